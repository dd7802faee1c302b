"""Secrets in the system's keyring, asked off the GUI thread."""

from dagdeck_desktop.keyring.secret_store import Secret, SecretStore

__all__ = ["Secret", "SecretStore"]
