"""`conf`: settings as DAG files ask for them, by Airflow's sections and keys.

Decides where a value comes from: an environment variable `AIRFLOW__SECTION__KEY`, what the process that started this
one handed over, else Airflow's default. Does not read DagDeck's own settings, which hold credentials that user code
must not see. Used in DAG files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagdeck.exceptions import AirflowConfigException

HANDED_OVER = "DAGDECK_AIRFLOW_CONF"
"""Environment variable with a JSON object of values that a daemon hands to its children: "section.key" → text."""

_DEFAULTS: Mapping[str, str] = {
    "api.base_url": "http://localhost:8080",
    "celery.worker_concurrency": "16",
    "celery_kubernetes_executor.kubernetes_queue": "kubernetes",
    "core.dag_default_view": "grid",
    "core.dag_orientation": "LR",
    "core.default_task_execution_timeout": "",
    "core.default_task_retries": "0",
    "core.default_task_retry_delay": "300",
    "core.default_task_weight_rule": "downstream",
    "core.default_timezone": "utc",
    "core.dagbag_import_timeout": "30.0",
    "core.enable_xcom_pickling": "False",
    "core.executor": "DagDeck",
    "core.hide_sensitive_var_conn_fields": "True",
    "core.killed_task_cleanup_time": "60",
    "core.load_examples": "False",
    "core.max_active_runs_per_dag": "16",
    "core.max_active_tasks_per_dag": "16",
    "core.max_map_length": "1024",
    "core.parallelism": "32",
    "core.test_connection": "Disabled",
    "core.unit_test_mode": "False",
    "core.xcom_backend": "",
    "email.default_email_on_failure": "True",
    "email.default_email_on_retry": "True",
    "email.email_backend": "dagdeck.email_messages.send_email",
    "kubernetes_executor.delete_worker_pods": "True",
    "kubernetes_executor.in_cluster": "True",
    "kubernetes_executor.namespace": "default",
    "kubernetes_executor.pod_template_file": "",
    "kubernetes_executor.worker_container_repository": "",
    "kubernetes_executor.worker_container_tag": "",
    "local_kubernetes_executor.kubernetes_queue": "kubernetes",
    "logging.logging_level": "INFO",
    "logging.remote_logging": "False",
    "operators.allow_illegal_arguments": "False",
    "operators.default_deferrable": "False",
    "operators.default_owner": "airflow",
    "operators.default_queue": "default",
    "scheduler.catchup_by_default": "False",
    "scheduler.create_cron_data_intervals": "False",
    "scheduler.create_delta_data_intervals": "False",
    "sensors.default_timeout": "604800",
    "smtp.smtp_host": "localhost",
    "smtp.smtp_mail_from": "airflow@example.com",
    "smtp.smtp_port": "25",
    "webserver.base_url": "http://localhost:8080",
}
"""What Airflow 3.3 ships with, for the keys that DAG files and provider packages ask for; those of executors too."""

_TRUE = ("t", "true", "1", "yes", "on")
_FALSE = ("f", "false", "0", "no", "off")
_UNSET: Any = object()
_dags_folder: list[str] = []


def _folder(variable: str, default: Path) -> str:
    return os.environ.get(variable) or str(default)


AIRFLOW_HOME = _folder("AIRFLOW_HOME", Path.home() / "airflow")
"""The folder that AIRFLOW_HOME names, for files that keep something beside it."""


def get_airflow_home() -> str:
    """The folder that AIRFLOW_HOME names."""
    return AIRFLOW_HOME


class AirflowConfigParser:
    """Settings by section and key. Sections and keys are not case sensitive."""

    def get(self, section: str, key: str, fallback: Any = _UNSET, **_: Any) -> Any:
        """The value as text; `fallback` when there is none. Raises AirflowConfigException without either."""
        found = self._find(section, key)
        if found is not None:
            return found
        if fallback is _UNSET:
            raise AirflowConfigException(
                f"there is no setting [{section}] {key}; set the environment variable "
                f"{variable_of(section, key)} or give conf.get a fallback"
            )
        return fallback

    def getboolean(self, section: str, key: str, fallback: Any = _UNSET, **_: Any) -> Any:
        """The value as True or False. Raises AirflowConfigException for other text."""
        value = self.get(section, key, fallback)
        if not isinstance(value, str):
            return value
        word = value.partition("#")[0].strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise AirflowConfigException(f"[{section}] {key} is {value!r}, which is neither true nor false")

    def getint(self, section: str, key: str, fallback: Any = _UNSET, **_: Any) -> Any:
        """The value as a whole number. Raises AirflowConfigException for other text."""
        return self._number(section, key, fallback, int)

    def getfloat(self, section: str, key: str, fallback: Any = _UNSET, **_: Any) -> Any:
        """The value as a number. Raises AirflowConfigException for other text."""
        return self._number(section, key, fallback, float)

    def getlist(self, section: str, key: str, fallback: Any = _UNSET, delimiter: str = ",", **_: Any) -> Any:
        """The value's parts."""
        value = self.get(section, key, fallback)
        return [part.strip() for part in value.split(delimiter)] if isinstance(value, str) else value

    def getjson(self, section: str, key: str, fallback: Any = _UNSET, **_: Any) -> Any:
        """The value read as JSON. Raises AirflowConfigException for other text."""
        value = self.get(section, key, fallback)
        if not isinstance(value, str) or not value:
            return {} if value == "" else value
        try:
            return json.loads(value)
        except ValueError as error:
            raise AirflowConfigException(f"[{section}] {key} does not hold JSON: {error}") from error

    def get_mandatory_value(self, section: str, key: str, **options: Any) -> str:
        """The value. Raises AirflowConfigException when there is none."""
        return str(self.get(section, key, **options))

    def getimport(self, section: str, key: str, **options: Any) -> Any:
        """The object whose path the value is; None for an empty one. Raises ImportError."""
        from dagdeck.imports import import_string

        path = self.get(section, key, **options)
        return import_string(path) if path else None

    def getsection(self, section: str) -> dict[str, Any]:
        """All values of a section."""
        start = f"{section.lower()}."
        keys = {name.removeprefix(start) for name in (*_DEFAULTS, *_handed_over()) if name.startswith(start)}
        prefix = f"AIRFLOW__{section.upper()}__"
        keys |= {name.removeprefix(prefix).lower() for name in os.environ if name.startswith(prefix)}
        return {key: self.get(section, key) for key in sorted(keys)}

    def has_option(self, section: str, option: str) -> bool:
        """Whether there is a value."""
        return self._find(section, option) is not None

    def has_section(self, section: str) -> bool:
        """Whether there is any value in a section."""
        return bool(self.getsection(section))

    def _number(self, section: str, key: str, fallback: Any, kind: type[int] | type[float]) -> Any:
        value = self.get(section, key, fallback)
        if value is None or not isinstance(value, str):
            return value
        try:
            return kind(value.partition("#")[0].strip())
        except ValueError as error:
            raise AirflowConfigException(f"[{section}] {key} is {value!r}, which is no number") from error

    @staticmethod
    def _find(section: str, key: str) -> str | None:
        found = os.environ.get(variable_of(section, key))
        if found is not None:
            return found
        name = f"{section}.{key}".lower()
        if name == "core.dags_folder" and _dags_folder:
            return _dags_folder[-1]
        found = _handed_over().get(name)
        return found if found is not None else _DEFAULTS.get(name)


def variable_of(section: str, key: str) -> str:
    """The environment variable that sets a value."""
    return f"AIRFLOW__{section.replace('.', '_').upper()}__{key.upper()}"


def _handed_over() -> Mapping[str, str]:
    text = os.environ.get(HANDED_OVER)
    if not text:
        return {}
    values: Mapping[str, str] = json.loads(text)
    return values


def note_dags_folder(folder: str) -> None:
    """DAG files of this folder are being loaded: it is what [core] dags_folder means to them."""
    _dags_folder[:] = [folder]


conf = AirflowConfigParser()
get, getint, getfloat, getboolean = conf.get, conf.getint, conf.getfloat, conf.getboolean

__all__ = ["AIRFLOW_HOME", "HANDED_OVER", "AirflowConfigParser", "conf", "get_airflow_home", "variable_of"]
