"""Version constants as `airflow.version` and the compatibility modules of provider packages have them.

Decides nothing: they follow from the Airflow version that DagDeck stands for. Found through the table.
"""

from __future__ import annotations

AIRFLOW_VERSION = "3.3.2"
"""The Airflow version whose behaviour DAG files find."""
SDK_VERSION = "1.3.2"
"""The version of airflow.sdk that belongs to it."""
version = AIRFLOW_VERSION
AIRFLOW_V_2_10_PLUS = True
AIRFLOW_V_2_11_PLUS = True
AIRFLOW_V_3_0_PLUS = True
AIRFLOW_V_3_1_PLUS = True
AIRFLOW_V_3_2_PLUS = True
AIRFLOW_V_3_3_PLUS = True
AIRFLOW_V_3_4_PLUS = False


def get_base_airflow_version_tuple() -> tuple[int, int, int]:
    """The version's three numbers."""
    major, minor, micro = (int(part) for part in AIRFLOW_VERSION.split("."))
    return major, minor, micro
