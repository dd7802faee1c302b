"""`airflow.utils.yaml`: PyYAML's functions, safe by name.

Decides nothing. Found by DAG files through the table; PyYAML is needed only then.
"""

from __future__ import annotations

from yaml import YAMLError, dump, load, safe_dump, safe_load

__all__ = ["YAMLError", "dump", "load", "safe_dump", "safe_load"]
