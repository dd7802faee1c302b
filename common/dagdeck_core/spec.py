"""The DAG spec: all that DagDeck knows of a DAG without running its code, as versioned JSON.

Decides the shape of what the DAG processor stores and every other part reads. Does not decide
whether a spec is sound (`dagdeck_core.validate`) nor how it is made (`dagdeck` serialises, the DAG
processor stores). Durations are float seconds, instants aware UTC datetimes. Nothing in it is code:
callables and user classes stay in the DAG file and are named by (file, dag_id, task_id).

Fields that belong to features which are not built yet (assets) have their place
here already, so that a spec stored today can be read tomorrow.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from dagdeck_core.errors import UserError
from dagdeck_core.limits import TaskLimits
from dagdeck_core.timetables import NullSpec, TimetableSpec

SPEC_VERSION = 1
"""Raised when a reader of the old shape would misread the new one."""

DEFAULT_POOL = "default_pool"
DEFAULT_QUEUE = "default"


class TriggerRule(StrEnum):
    """When a task may run, judged by the states of its direct upstream tasks (Airflow's names)."""

    ALL_SUCCESS = "all_success"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    NONE_SKIPPED = "none_skipped"
    ALL_SKIPPED = "all_skipped"
    ALWAYS = "always"


class WeightRule(StrEnum):
    """How a task's effective priority is summed over the graph."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    ABSOLUTE = "absolute"


class ParamSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One DAG or task parameter: its default (when it has one), description and JSON schema."""

    value: Any = None
    has_value: bool = True
    description: str | None = None
    schema: dict[str, Any] = {}


class WatcherSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trigger that watches an asset: its name, its class and the arguments to make it of."""

    name: str
    class_path: str
    kwargs: dict[str, Any] = {}


class ReferenceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An asset, alias or asset reference a task reads or writes."""

    kind: str
    name: str = ""
    uri: str = ""
    group: str = ""
    extra: dict[str, Any] = {}
    watchers: tuple[WatcherSpec, ...] = ()


class LengthSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many values one input of an expansion has; exactly one field says it.

    `length` is known from the file. `task_id` names the task whose return value counts: the items of the list or dict
    that it returned, or, when it is itself expanded, how many of its instances returned something. `zipped` inputs
    are taken side by side (as many as the shortest has, with `longest` as the longest), `joined` ones end to end.
    """

    length: int | None = None
    task_id: str | None = None
    zipped: tuple[LengthSpec, ...] = ()
    longest: bool = False
    joined: tuple[LengthSpec, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Ids of the tasks whose results it depends on, each once."""
        found: dict[str, None] = {} if self.task_id is None else {self.task_id: None}
        for part in (*self.zipped, *self.joined):
            found.update(dict.fromkeys(part.sources))
        return tuple(found)


class MappedSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a task (or task group) is expanded over values known only when its run is under way.

    `kind` is "expand" (one instance for each combination of the inputs' values, the last input varying fastest) or
    "expand_kwargs" (one for each dict of the only input). `inputs` are in the order in which they were written.
    """

    kind: str
    inputs: dict[str, LengthSpec] = {}

    @property
    def literal_length(self) -> int | None:
        """The number of instances when the file alone says it; otherwise None."""
        total = 1
        for spec in self.inputs.values():
            if spec.length is None:
                return None
            total *= spec.length
        return total

    @property
    def sources(self) -> tuple[str, ...]:
        """Ids of the tasks whose results decide the number of instances."""
        return tuple(dict.fromkeys(source for spec in self.inputs.values() for source in spec.sources))


class StartTriggerSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The trigger in which a task begins, before anything of it runs, so that it needs no slot until that fires.

    `kwargs` are the trigger's and `next_kwargs` those of `next_method`, each a dict as JSON text in the form of XComs.
    Without an event for `timeout` seconds (None: for ever) the task goes on to fail.
    """

    classpath: str
    kwargs: str
    next_method: str
    next_kwargs: str = "{}"
    timeout: float | None = None


class MarkerSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task of another DAG that depends on this one and is cleared with it.

    `logical_date` is ISO text, a template to be found among the rendered fields, or None for the run's own date;
    `depth` is how many DAGs are followed, one behind the other.
    """

    dag_id: str
    task_id: str
    logical_date: str | None = None
    depth: int = 10


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task. `upstream` holds the ids of its direct upstream tasks, sorted."""

    task_id: str
    task_type: str
    """The operator's class name, as shown."""
    module: str = ""
    """The module of the operator's class."""
    display_name: str | None = None
    operator_name: str | None = None
    """Shown instead of task_type where an operator sets custom_operator_name."""
    group_id: str | None = None
    upstream: tuple[str, ...] = ()
    edge_labels: dict[str, str] = {}
    """Label per downstream task id."""
    owner: str = "airflow"
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
    retries: int = 0
    retry_delay: float = 300.0
    retry_exponential_backoff: float = 0.0
    """0: constant delay; otherwise the factor by which each further delay grows (True in Airflow 2 means 2)."""
    max_retry_delay: float | None = None
    execution_timeout: float | None = None
    depends_on_past: bool = False
    ignore_first_depends_on_past: bool = False
    wait_for_downstream: bool = False
    wait_for_past_depends_before_skipping: bool = False
    start_date: datetime | None = None
    end_date: datetime | None = None
    pool: str = DEFAULT_POOL
    pool_slots: int = 1
    priority_weight: int = 1
    weight_rule: str = WeightRule.DOWNSTREAM
    """A WeightRule, or the import path of a custom strategy."""
    weights: tuple[int, ...] = ()
    """What a custom strategy says: the effective weight of the first try, the second, …; later ones have the last."""
    queue: str = DEFAULT_QUEUE
    executor: str | None = None
    executor_config: dict[str, Any] = {}
    run_as_user: str | None = None
    max_active_tis_per_dag: int | None = None
    max_active_tis_per_dagrun: int | None = None
    is_setup: bool = False
    is_teardown: bool = False
    on_failure_fail_dagrun: bool = False
    is_empty: bool = False
    """True when there is nothing to execute and nothing to call: the scheduler completes it itself."""
    is_sensor: bool = False
    can_skip_downstream: bool = False
    """True for branch and short-circuit operators: their result may name tasks to skip."""
    start_trigger: StartTriggerSpec | None = None
    """None too where the trigger's arguments are known only once a worker has rendered them."""
    own_process: bool = False
    """True: run in a process forked for this task alone instead of a warm runner."""
    limits: TaskLimits | None = None
    """What it may use of the worker's machine; where it does not say, the worker's settings do."""
    has_on_execute_callback: bool = False
    has_on_failure_callback: bool = False
    has_on_success_callback: bool = False
    has_on_retry_callback: bool = False
    has_on_skipped_callback: bool = False
    has_retry_policy: bool = False
    inlets: tuple[ReferenceSpec, ...] = ()
    outlets: tuple[ReferenceSpec, ...] = ()
    do_xcom_push: bool = True
    multiple_outputs: bool = False
    template_fields: tuple[str, ...] = ()
    template_fields_renderers: dict[str, str] = {}
    template_values: dict[str, Any] = {}
    """Unrendered template field values as shown to people (strings shortened)."""
    params: dict[str, ParamSpec] = {}
    map_index_template: str | None = None
    mapped: MappedSpec | None = None
    marker: MarkerSpec | None = None
    extra_links: tuple[str, ...] = ()
    extra_link_keys: tuple[str, ...] = ()
    """The keys of the XComs that hold the links' addresses, in the order of `extra_links`."""
    doc_md: str | None = None
    ui_color: str = "#fff"
    ui_fgcolor: str = "#000"
    email: tuple[str, ...] = ()


class TaskGroupSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task group; tasks and groups name their group by `group_id`."""

    group_id: str
    parent_id: str | None = None
    label: str = ""
    tooltip: str = ""
    prefix_group_id: bool = True
    upstream_group_ids: tuple[str, ...] = ()
    upstream_task_ids: tuple[str, ...] = ()
    downstream_group_ids: tuple[str, ...] = ()
    downstream_task_ids: tuple[str, ...] = ()
    mapped: MappedSpec | None = None
    ui_color: str = "CornflowerBlue"
    ui_fgcolor: str = "#000"


class ReferencePoint(StrEnum):
    """What a deadline is counted from."""

    LOGICAL_DATE = "logical_date"
    QUEUED_AT = "queued_at"
    FIXED = "fixed"
    AVERAGE_RUNTIME = "average_runtime"
    CUSTOM = "custom"
    """Code of the author's: asked when the run is created."""


class DeadlineSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One deadline: `interval` seconds after `reference` the run should have ended, or `callback` is called.

    Without an interval its Variable is asked for when the run is created.
    """

    reference: ReferencePoint
    callback: str
    """Import path."""
    kwargs: dict[str, Any] = {}
    is_async: bool = False
    interval: float | None = None
    at: datetime | None = None
    max_runs: int = 0
    min_runs: int = 0
    name: str = ""


class DagSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One DAG as parsed from one file of a bundle."""

    spec_version: int = 1
    """Written only when it is not 1; a writer of a later shape passes SPEC_VERSION."""
    dag_id: str
    fileloc: str
    """Path of the DAG file relative to the bundle's root, with forward slashes."""
    display_name: str | None = None
    description: str | None = None
    doc_md: str | None = None
    tags: tuple[str, ...] = ()
    owner_links: dict[str, str] = {}
    timetable: TimetableSpec = NullSpec()
    timezone: str = "UTC"
    start_date: datetime | None = None
    end_date: datetime | None = None
    catchup: bool = False
    max_active_runs: int = 16
    max_active_tasks: int = 16
    max_consecutive_failed_dag_runs: int = 0
    dagrun_timeout: float | None = None
    is_paused_upon_creation: bool | None = None
    fail_fast: bool = False
    render_template_as_native_obj: bool = False
    has_on_success_callback: bool = False
    """Or a listener that is told."""
    has_on_failure_callback: bool = False
    has_on_running_listener: bool = False
    asset_listeners: tuple[str, ...] = ()
    """What of assets listeners of its plugins want to be told, by the names of the moments."""
    params: dict[str, ParamSpec] = {}
    param_order: tuple[str, ...] = ()
    """The params' names as their author put them; written only where that is not the order of the alphabet, which
    JSON of a spec has."""
    default_args: dict[str, Any] = {}
    """As shown to people; not used to build anything."""
    access_control: dict[str, Any] = {}
    deadlines: tuple[DeadlineSpec, ...] = ()
    asset_expression: dict[str, Any] | None = None
    schedule_assets: tuple[ReferenceSpec, ...] = ()
    """What the asset expression names, with all that is known of it."""
    tasks: tuple[TaskSpec, ...] = ()
    groups: tuple[TaskGroupSpec, ...] = ()

    def tasks_of_group(self, group_id: str) -> list[str]:
        """Ids of the tasks in a group, those of its inner groups included; empty when there is no such group."""
        inner = {group_id: None}
        for group in self.groups:  # outer ones stand before inner ones
            if group.parent_id in inner:
                inner[group.group_id] = None
        return [task.task_id for task in self.tasks if task.group_id in inner]


def params_in_order(spec: DagSpec) -> dict[str, ParamSpec]:
    """The params of a DAG in the order in which their author wrote them, for forms."""
    first = {name: spec.params[name] for name in spec.param_order if name in spec.params}
    return first | {name: param for name, param in spec.params.items() if name not in first}


_encoder = msgspec.json.Encoder(order="deterministic", decimal_format="number")
_decoder = msgspec.json.Decoder(DagSpec)


def encode_spec(spec: DagSpec) -> bytes:
    """Canonical JSON of `spec`: equal specs give equal bytes, so a hash of it is a version's identity."""
    return _encoder.encode(spec)


def decode_spec(data: bytes) -> DagSpec:
    """The spec stored as `data`.

    Raises UserError when the JSON is not a spec or was written by a newer DagDeck.
    """
    try:
        spec = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise UserError(f"stored DAG spec cannot be read: {error}", field="spec") from error
    if spec.spec_version > SPEC_VERSION:
        raise UserError(
            "this DAG spec was written by a newer DagDeck",
            field="spec_version",
            value=spec.spec_version,
            remedy=f"Upgrade this process; it reads versions up to {SPEC_VERSION}",
        )
    return spec
