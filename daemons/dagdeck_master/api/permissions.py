"""Who may do what: one table from operation to the least role that may call it.

Decides roles and the rule of every operation of the OpenAPI document. Does not know users or tokens
(`auth`). Asked for every request; an operation without a rule cannot be served (`require_rules`).

Each role includes the one before it. Restricted users see nothing but what is granted to them. Viewers see DAGs, runs
and logs. Operators also steer runs and see how the cluster is set up. Administrators also change that set-up and delete
what cannot be brought back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, IntEnum

from dagdeck_core.errors import Bug


class Role(IntEnum):
    """Roles in ascending order; PUBLIC needs no token at all, RESTRICTED reaches only what grants give."""

    PUBLIC = 0
    RESTRICTED = 1
    VIEWER = 2
    OPERATOR = 3
    ADMIN = 4

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


_BY_NAME: Mapping[str, Role] = {
    "restricted": Role.RESTRICTED,
    "viewer": Role.VIEWER,
    "operator": Role.OPERATOR,
    "admin": Role.ADMIN,
}

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
    "list_grants": Role.ADMIN,
    "create_grant": Role.ADMIN,
    "delete_grant": Role.ADMIN,
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


class Reach(Enum):
    """What an operation is about, for those who have rights on single DAGs only."""

    CLUSTER = "cluster"
    """Not a DAG: it needs the role itself."""
    DAG = "dag"
    """The DAG that its path names."""
    LISTING = "listing"
    """Many DAGs: it keeps to those of `Scoped`, and to the one that its path names, if any."""
    OWN = "own"
    """What belongs to the caller."""


def _reach(**groups: str) -> dict[str, Reach]:
    return {operation: Reach[name] for name, operations in groups.items() for operation in operations.split()}


REACH: Mapping[str, Reach] = _reach(
    OWN="get_action list_own_tokens create_own_token revoke_own_token revoke_one_own_token stream_events",
    LISTING="""
        get_dags patch_dags get_dag_tags get_dag_stats get_dag_versions list_dag_warnings
        get_import_errors get_import_error get_event_logs get_event_log
        get_dag_runs get_list_dag_runs_batch get_task_instances get_task_instances_batch get_mapped_task_instances
        get_hitl_details get_xcom_entries get_xcom_entry
    """,
    DAG="""
        get_dag get_dag_details get_dag_version get_dag_source get_tasks get_task favorite_dag unfavorite_dag
        patch_dag delete_dag get_dag_structure
        get_dag_run wait_dag_run_until_finished trigger_dag_run patch_dag_run clear_dag_run delete_dag_run
        list_run_deadlines explain_dag_run get_upstream_asset_events
        get_task_instance get_mapped_task_instance get_task_instance_tries get_mapped_task_instance_tries
        get_task_instance_try_details get_mapped_task_instance_try_details get_task_instance_dependencies
        get_task_instance_dependencies_by_map_index explain_task_instance
        get_hitl_detail get_hitl_detail_try_detail update_hitl_detail get_log get_log_range
        get_extra_links
        patch_task_instance patch_task_instance_by_map_index patch_task_instance_dry_run
        patch_task_instance_dry_run_by_map_index post_clear_task_instances
        get_dag_asset_queued_events get_dag_asset_queued_event delete_dag_asset_queued_events
        delete_dag_asset_queued_event
        list_task_state_store get_task_state_store set_task_state_store patch_task_state_store
        delete_task_state_store clear_task_state_store
    """,
    CLUSTER="""
        create_token create_token_cli get_health get_version get_liveness get_readiness get_metrics reparse_dag_file
        get_assets get_asset get_asset_aliases get_asset_alias get_asset_events get_asset_queued_events
        list_asset_state_store get_asset_state_store create_asset_event materialize_asset delete_asset_queued_events
        set_asset_state_store delete_asset_state_store clear_asset_state_store
        get_pools get_pool post_pool patch_pool delete_pool
        get_variables get_variable post_variable patch_variable delete_variable
        get_connections get_connection post_connection patch_connection delete_connection
        list_workers list_queues drain_worker resume_worker list_users create_user patch_user
        list_grants create_grant delete_grant
    """,
)
"""What each operation is about. Whoever adds one says it here; a DAG's data in a CLUSTER operation would be hidden from
those who may see the DAG, and a listing that does not keep to its scope would show others: the tests look for both."""


def require_rules(operations: Iterable[str]) -> None:
    """Raise Bug when an operation has no rule; called once, before anything is served."""
    for name, table in (("RULES", RULES), ("REACH", REACH)):
        missing = sorted(set(operations) - table.keys())
        if missing:
            raise Bug(f"operations without a rule in permissions.{name}: {', '.join(missing)}")
