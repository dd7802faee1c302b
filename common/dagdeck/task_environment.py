"""The running task's names as environment variables, for commands that it starts.

Decides the variables' names, which are Airflow's. Used by custom operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELDS = {
    "DAG_ID": "dag_id",
    "TASK_ID": "task_id",
    "LOGICAL_DATE": "logical_date",
    "TRY_NUMBER": "try_number",
    "DAG_RUN_ID": "dag_run_id",
    "DAG_OWNER": "dag_owner",
    "DAG_EMAIL": "dag_email",
}
AIRFLOW_VAR_NAME_FORMAT_MAPPING: Mapping[str, Mapping[str, str]] = {
    f"AIRFLOW_CONTEXT_{field}": {"default": f"airflow.ctx.{name}", "env_var_format": f"AIRFLOW_CTX_{field}"}
    for field, name in _FIELDS.items()
}


def context_to_airflow_vars(context: Mapping[str, Any], in_env_var_format: bool = False) -> dict[str, str]:
    """What is running, by names such as `airflow.ctx.dag_id`, or `AIRFLOW_CTX_DAG_ID` for an environment."""
    ti, run, task = (context.get(key) for key in ("ti", "dag_run", "task"))
    values: dict[str, Any] = {}
    if ti is not None:
        values |= {"DAG_ID": ti.dag_id, "TASK_ID": ti.task_id, "TRY_NUMBER": ti.try_number}
    if run is not None:
        values |= {"DAG_RUN_ID": run.run_id, "LOGICAL_DATE": run.logical_date and run.logical_date.isoformat()}
    if task is not None:
        values |= {"DAG_OWNER": task.owner, "DAG_EMAIL": ",".join(task.email or ())}
    form = "env_var_format" if in_env_var_format else "default"
    names = {field: AIRFLOW_VAR_NAME_FORMAT_MAPPING[f"AIRFLOW_CONTEXT_{field}"][form] for field in values}
    return {names[field]: str(value) for field, value in values.items() if value not in (None, "")}


__all__ = ["AIRFLOW_VAR_NAME_FORMAT_MAPPING", "context_to_airflow_vars"]
