"""Object storage: paths on any file system that fsspec knows, with logins from Connections."""

from dagdeck.storage.filesystems import attach, get_fs, has_fs
from dagdeck.storage.path import ObjectStoragePath

__all__ = ["ObjectStoragePath", "attach", "get_fs", "has_fs"]
