"""What DagDeck does not have and why, for those parts of Airflow that DAG files ask for most.

Decides the explanations. Does not decide what there is (the rows). Read by `table` when a path is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

_NO_DATABASE = (
    "DAG files and tasks have no access to the metadata database. Use Variable, Connection, XCom, the task's context, "
    "or the REST API"
)
_REMOVED = "it was removed in Airflow 3"

REFUSED: Mapping[str, str] = {
    "airflow.models.SlaMiss": "SLAs were removed in Airflow 3. Use a deadline (DeadlineAlert)",
    "airflow.models.DagPickle": _REMOVED,
    "airflow.settings.Session": _NO_DATABASE,
    "airflow.settings.engine": _NO_DATABASE,
    "airflow.settings.SQL_ALCHEMY_CONN": _NO_DATABASE,
}
"""Full path → why DagDeck has it not."""

MODULES_REFUSED: Mapping[str, str] = {
    "airflow.operators.subdag": f"SubDagOperator: {_REMOVED}. Use a TaskGroup",
    "airflow.operators.subdag_operator": f"SubDagOperator: {_REMOVED}. Use a TaskGroup",
    "airflow.jobs": "DagDeck's scheduler is not started from Python. Run `dagdeckd master`",
    "airflow.executors": "DagDeck hands tasks out by itself; executors are not chosen from Python",
    "airflow.www": "DagDeck has a desktop application in place of Airflow's web server",
    "airflow.api_connexion": "DagDeck's REST API is described at /api/v2 of its server",
    "airflow.api": "DagDeck's REST API is described at /api/v2 of its server",
    "airflow.api_fastapi": "DagDeck's REST API is described at /api/v2 of its server",
    "airflow.cli": "DagDeck has the command lines `dagdeck` and `dagdeckd`",
    "airflow.contrib": "it was removed in Airflow 2.0. The class is in a package apache-airflow-providers-…",
    "airflow.kubernetes": "it is in the package apache-airflow-providers-cncf-kubernetes",
    "airflow.migrations": _NO_DATABASE,
    "airflow.serialization": "DagDeck stores DAGs in a form of its own",
    "airflow.dag_processing": "DagDeck's DAG processor is not steered from Python",
    "airflow.ti_deps": "DagDeck decides by itself what keeps a task from running; ask `dagdeck runs why`",
    "airflow.models": _NO_DATABASE,
    "airflow.utils.sqlalchemy": _NO_DATABASE,
    "airflow.utils.db": _NO_DATABASE,
    "airflow.api_internal": _NO_DATABASE,
    "airflow.auth": "DagDeck has users and roles of its own",
}
"""Module → why what it holds (beyond what the rows list) is not there."""


def refusal(path: str) -> str:
    """Why DagDeck has not got `path`; "" when nothing particular is known."""
    told = REFUSED.get(path)
    if told:
        return f"{path} is not available: {told}"
    module = path
    while module:
        if module in MODULES_REFUSED:
            return f"{path} is not available: {MODULES_REFUSED[module]}"
        module = module.rpartition(".")[0]
    return ""
