"""`import airflow…` in DAG files gets DagDeck's own classes and functions.

Decides when the layer is in place. Which path leads to what is declared in `table`; how Python's import system is
told is in `finder`. Put in place by everything that loads users' code: the parsing child, runners, the triggerer,
`dag.test()` and `dagdeck dags test`.
"""

from __future__ import annotations

import os
import sys

from dagdeck.airflow_layer.finder import AirflowFinder

SWITCH = "DAGDECK_AIRFLOW_LAYER"
"""Environment variable by which a daemon tells its children that core.airflow_layer is off ("off")."""

_finder = AirflowFinder()


def install() -> None:
    """Put the layer in place, unless the switch is off. Doing it twice is harmless.

    Modules of an installed Airflow that were imported before are forgotten: one class must not exist twice.
    """
    if os.environ.get(SWITCH, "").lower() == "off" or _finder in sys.meta_path:
        return
    _forget_airflow()
    sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Take the layer away again, with the modules that it made."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
        _forget_airflow()


def is_installed() -> bool:
    """Whether `import airflow` gets DagDeck now."""
    return _finder in sys.meta_path


def _forget_airflow() -> None:
    for name in [name for name in sys.modules if name == "airflow" or name.startswith("airflow.")]:
        del sys.modules[name]


__all__ = ["SWITCH", "install", "is_installed", "uninstall"]
