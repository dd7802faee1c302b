"""`airflow.settings`, as far as DAG files read it.

Decides where the values come from: `dagdeck.configuration`. Found by DAG files through the table.
"""

from __future__ import annotations

import os

from dagdeck import timezone
from dagdeck.configuration import AIRFLOW_HOME, conf

TIMEZONE = timezone.TIMEZONE
PLUGINS_FOLDER: str = os.path.expanduser(
    conf.get("core", "plugins_folder", fallback=os.path.join(AIRFLOW_HOME, "plugins"))
)
LAZY_LOAD_PLUGINS = True
LAZY_LOAD_PROVIDERS = True
STORE_SERIALIZED_DAGS = True


def __getattr__(name: str) -> str:
    if name == "DAGS_FOLDER":
        return os.path.expanduser(conf.get("core", "dags_folder", fallback=os.path.join(AIRFLOW_HOME, "dags")))
    raise AttributeError(name)


__all__ = [
    "AIRFLOW_HOME",
    "DAGS_FOLDER",  # noqa: F822 - made when it is asked for
    "LAZY_LOAD_PLUGINS",
    "LAZY_LOAD_PROVIDERS",
    "PLUGINS_FOLDER",
    "STORE_SERIALIZED_DAGS",
    "TIMEZONE",
    "conf",
]
