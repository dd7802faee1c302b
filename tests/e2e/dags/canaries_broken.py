"""A DAG file that cannot be loaded: it asks for secrets at its top level, prints them and dies of them."""

from __future__ import annotations

from dagdeck import BaseHook, Variable

connection = BaseHook.get_connection("canary_connection")
print("loading with", connection.password)
raise RuntimeError(f"{connection.password} and {Variable.get('canary_password')} do not fit")
