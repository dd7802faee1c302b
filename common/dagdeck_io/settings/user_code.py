"""What processes that run users' code are told of the settings: nothing that is secret.

Decides which values they get, as environment variables. Called by the composition roots of the DAG processor and the
worker; `dagdeck.airflow_layer` and `dagdeck.configuration` read them on the other side.
"""

from __future__ import annotations

import json

from dagdeck_io.settings.model import Settings

LAYER_VARIABLE = "DAGDECK_AIRFLOW_LAYER"
CONF_VARIABLE = "DAGDECK_AIRFLOW_CONF"


def environment_for_user_code(settings: Settings) -> dict[str, str]:
    """The environment variables to add."""
    scheduler = settings.scheduler
    values = {
        "core.max_map_length": settings.core.max_map_length,
        "core.plugins_folder": settings.core.plugins_folder,
        "core.xcom_backend": settings.xcom.backend,
        "secrets.backend": settings.secrets.backend,
        "secrets.backend_kwargs": settings.secrets.backend_kwargs,
        "operators.default_deferrable": settings.operators.default_deferrable,
        "scheduler.create_cron_data_intervals": scheduler.create_cron_data_intervals,
        "scheduler.create_delta_data_intervals": scheduler.create_delta_data_intervals,
        "scheduler.catchup_by_default": scheduler.catchup_by_default,
    }
    found = {CONF_VARIABLE: json.dumps({name: str(value) for name, value in values.items()})}
    if not settings.core.airflow_layer:
        found[LAYER_VARIABLE] = "off"
    return found
