"""Who may do what: one table from operation to the least role that may call it.

Decides roles and the rule of every operation of the OpenAPI document. Does not know users or tokens
(`auth`). Asked for every request; an operation without a rule cannot be served (`require_rules`).

Each role includes the one before it. Viewers see DAGs, runs and logs. Operators also steer runs and see how the
cluster is set up. Administrators also change that set-up and delete what cannot be brought back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from dagdeck_core.errors import Bug


class Role(IntEnum):
    """Roles in ascending order; PUBLIC needs no token at all."""

    PUBLIC = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @classmethod
    def named(cls, name: str) -> Role:
        """The role stored as `name`. Raises Bug for a name that no role has."""
        try:
            return _BY_NAME[name]
        except KeyError:
            raise Bug(f"a user has the role {name!r}, which does not exist") from None

    @property
    def stored_name(self) -> str:
        """How a user's row names it."""
        return self.name.lower()


_BY_NAME: Mapping[str, Role] = {"viewer": Role.VIEWER, "operator": Role.OPERATOR, "admin": Role.ADMIN}

RULES: Mapping[str, Role] = {
    "create_token": Role.PUBLIC,
    "create_token_cli": Role.PUBLIC,
    "get_health": Role.PUBLIC,
    "get_liveness": Role.PUBLIC,
    "get_metrics": Role.VIEWER,  # or by the scrape token, see `metrics_access`
    "get_readiness": Role.PUBLIC,
    "get_version": Role.PUBLIC,
    # DAGs
    "get_dags": Role.VIEWER,
    "get_dag": Role.VIEWER,
    "get_dag_details": Role.VIEWER,
    "get_dag_tags": Role.VIEWER,
    "get_dag_versions": Role.VIEWER,
    "get_dag_version": Role.VIEWER,
    "get_dag_source": Role.VIEWER,
    "get_dag_stats": Role.VIEWER,
    "list_dag_warnings": Role.VIEWER,
    "get_import_errors": Role.VIEWER,
    "get_import_error": Role.VIEWER,
    "get_tasks": Role.VIEWER,
    "get_task": Role.VIEWER,
    "favorite_dag": Role.VIEWER,
    "unfavorite_dag": Role.VIEWER,
    "patch_dag": Role.OPERATOR,
    "patch_dags": Role.OPERATOR,
    "reparse_dag_file": Role.OPERATOR,
    "delete_dag": Role.ADMIN,
    # runs
    "get_dag_runs": Role.VIEWER,
    "get_dag_run": Role.VIEWER,
    "get_list_dag_runs_batch": Role.VIEWER,
    "wait_dag_run_until_finished": Role.VIEWER,
    "trigger_dag_run": Role.OPERATOR,
    "patch_dag_run": Role.OPERATOR,
    "clear_dag_run": Role.OPERATOR,
    "delete_dag_run": Role.ADMIN,
    # task instances
    "get_task_instances": Role.VIEWER,
    "get_task_instances_batch": Role.VIEWER,
    "get_task_instance": Role.VIEWER,
    "get_mapped_task_instance": Role.VIEWER,
    "get_mapped_task_instances": Role.VIEWER,
    "get_task_instance_tries": Role.VIEWER,
    "get_mapped_task_instance_tries": Role.VIEWER,
    "get_task_instance_try_details": Role.VIEWER,
    "get_mapped_task_instance_try_details": Role.VIEWER,
    "get_task_instance_dependencies": Role.VIEWER,
    "get_task_instance_dependencies_by_map_index": Role.VIEWER,
    "get_hitl_details": Role.VIEWER,
    "get_hitl_detail": Role.VIEWER,
    "get_hitl_detail_try_detail": Role.VIEWER,
    "update_hitl_detail": Role.OPERATOR,
    "get_log": Role.VIEWER,
    "get_xcom_entries": Role.VIEWER,
    "get_xcom_entry": Role.VIEWER,
    "get_extra_links": Role.VIEWER,
    "patch_task_instance": Role.OPERATOR,
    "patch_task_instance_by_map_index": Role.OPERATOR,
    "patch_task_instance_dry_run": Role.OPERATOR,
    "patch_task_instance_dry_run_by_map_index": Role.OPERATOR,
    "post_clear_task_instances": Role.OPERATOR,
    # assets and state stores
    "get_assets": Role.VIEWER,
    "get_asset": Role.VIEWER,
    "get_asset_aliases": Role.VIEWER,
    "get_asset_alias": Role.VIEWER,
    "get_asset_events": Role.VIEWER,
    "get_upstream_asset_events": Role.VIEWER,
    "get_asset_queued_events": Role.VIEWER,
    "get_dag_asset_queued_events": Role.VIEWER,
    "get_dag_asset_queued_event": Role.VIEWER,
    "list_asset_state_store": Role.VIEWER,
    "get_asset_state_store": Role.VIEWER,
    "list_task_state_store": Role.VIEWER,
    "get_task_state_store": Role.VIEWER,
    "create_asset_event": Role.OPERATOR,
    "materialize_asset": Role.OPERATOR,
    "delete_asset_queued_events": Role.OPERATOR,
    "delete_dag_asset_queued_events": Role.OPERATOR,
    "delete_dag_asset_queued_event": Role.OPERATOR,
    "set_asset_state_store": Role.OPERATOR,
    "delete_asset_state_store": Role.OPERATOR,
    "clear_asset_state_store": Role.OPERATOR,
    "set_task_state_store": Role.OPERATOR,
    "patch_task_state_store": Role.OPERATOR,
    "delete_task_state_store": Role.OPERATOR,
    "clear_task_state_store": Role.OPERATOR,
    # set-up
    "get_pools": Role.VIEWER,
    "get_pool": Role.VIEWER,
    "post_pool": Role.ADMIN,
    "patch_pool": Role.ADMIN,
    "delete_pool": Role.ADMIN,
    "get_variables": Role.OPERATOR,
    "get_variable": Role.OPERATOR,
    "post_variable": Role.ADMIN,
    "patch_variable": Role.ADMIN,
    "delete_variable": Role.ADMIN,
    "get_connections": Role.OPERATOR,
    "get_connection": Role.OPERATOR,
    "post_connection": Role.ADMIN,
    "patch_connection": Role.ADMIN,
    "delete_connection": Role.ADMIN,
    "get_event_logs": Role.OPERATOR,
    "get_event_log": Role.OPERATOR,
    # DagDeck's own
    "list_workers": Role.VIEWER,
    "list_run_deadlines": Role.VIEWER,
    "list_queues": Role.VIEWER,
    "get_action": Role.VIEWER,
    "get_log_range": Role.VIEWER,
    "stream_events": Role.VIEWER,
    "explain_dag_run": Role.VIEWER,
    "explain_task_instance": Role.VIEWER,
    "drain_worker": Role.OPERATOR,
    "resume_worker": Role.OPERATOR,
    "get_dag_structure": Role.VIEWER,
    "revoke_own_token": Role.VIEWER,
    "list_own_tokens": Role.VIEWER,
    "create_own_token": Role.VIEWER,
    "revoke_one_own_token": Role.VIEWER,
    "list_users": Role.ADMIN,
    "create_user": Role.ADMIN,
    "patch_user": Role.ADMIN,
}


_ONLY_READ = frozenset(
    {
        "get_list_dag_runs_batch",
        "get_task_instances_batch",
        "patch_task_instance_dry_run",
        "patch_task_instance_dry_run_by_map_index",
    }
)
"""Operations that change nothing although their method is not GET."""


def changes_something(operation: str, method: str) -> bool:
    """Whether an operation is one whose every use is recorded in the audit log."""
    return method != "GET" and operation not in _ONLY_READ


def require_rules(operations: Iterable[str]) -> None:
    """Raise Bug when an operation has no rule; called once, before anything is served."""
    missing = sorted(set(operations) - RULES.keys())
    if missing:
        raise Bug(f"operations without a rule in permissions.RULES: {', '.join(missing)}")
