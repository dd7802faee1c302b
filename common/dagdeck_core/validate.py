"""Whether a DAG spec is sound: everything that can be said of it without running its code.

Decides which specs may be stored (no finding is an error) and what its author should be told (warnings). Does not
parse DAG files and changes nothing. Called where specs are made (the DAG processor, `dagdeck dags test`) and by
whoever reads one from outside. A spec without errors can be scheduled: its graph has an order, its ids are keys,
its timetable compiles.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum

import msgspec

from dagdeck_core.errors import UserError
from dagdeck_core.graph import CycleFound, topological_order
from dagdeck_core.spec import DagSpec, MappedSpec, TaskGroupSpec, TaskSpec, TriggerRule
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.timetables import ZoneLoader, compile_timetable

KEY_LENGTH = 250
NAME_LENGTH = 256
"""Longest name of a pool or queue."""
TAG_LENGTH = 100
MANY_TASKS, MOST_TASKS = 10_000, 100_000
MANY_RETRIES = 1000
LARGEST_WEIGHT = 2**31 - 1
_KEY = re.compile(r"[\w.\-]+", re.ASCII)
_S = TaskInstanceState


class Severity(StrEnum):
    """An error keeps the DAG from being stored; a warning is shown beside it."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong or doubtful. `task` is empty when it is about the DAG as a whole."""

    severity: Severity
    field: str
    message: str
    task: str = ""
    value: object = None
    remedy: str = ""

    def as_error(self, file: str = "") -> UserError:
        """The finding as an error to raise or to show."""
        place = f"task {self.task!r}: {self.field}" if self.task else self.field
        return UserError(self.message, file=file, field=place, value=self.value, remedy=self.remedy)

    def __str__(self) -> str:
        """One line: place, message, value, remedy."""
        return str(self.as_error())


Findings = Iterator[Finding]


def validate(spec: DagSpec, load_zone: ZoneLoader | None = None) -> list[Finding]:
    """All that is wrong or doubtful about `spec`, errors first.

    With `load_zone` the time zones that it names are checked as well, and with them its timetable.
    """
    found = [
        *_ids(spec),
        *_groups(spec),
        *_edges(spec),
        *_expansions(spec),
        *_dag_numbers(spec),
        *_dag_fields(spec),
        *_schedule(spec, load_zone),
    ]
    for task in spec.tasks:
        found += [*_task_numbers(task), *_task_fields(task), *_rule_without_upstream(task)]
    found += [*_setups_and_teardowns(spec), *_fail_fast(spec)]
    if not any(finding.severity is Severity.ERROR for finding in found):
        found += _never_runs(spec)
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def _error(field: str, message: str, *, task: str = "", value: object = None, remedy: str = "") -> Finding:
    return Finding(severity=Severity.ERROR, field=field, message=message, task=task, value=value, remedy=remedy)


def _warning(field: str, message: str, *, task: str = "", value: object = None, remedy: str = "") -> Finding:
    return Finding(severity=Severity.WARNING, field=field, message=message, task=task, value=value, remedy=remedy)


# ---------------------------------------------------------------- ids and structure


def _ids(spec: DagSpec) -> Findings:
    yield from _key("dag_id", spec.dag_id)
    for task in spec.tasks:
        yield from _key("task_id", task.task_id, task.task_id)
    for task_id, count in Counter(task.task_id for task in spec.tasks).items():
        if count > 1:
            yield _error(
                "task_id", f"{count} tasks have this id", task=task_id, value=task_id, remedy="Rename all but one"
            )
    if len(spec.tasks) > MOST_TASKS:
        yield _error("tasks", f"a DAG has at most {MOST_TASKS} tasks", value=len(spec.tasks), remedy="Split the DAG")
    elif len(spec.tasks) > MANY_TASKS:
        yield _warning(
            "tasks",
            "so many tasks make every run slow to create and to show",
            value=len(spec.tasks),
            remedy="Split the DAG, or let one task do more",
        )


def _key(field: str, value: str, task: str = "") -> Findings:
    if not value:
        yield _error(field, "an id cannot be empty", task=task)
    elif len(value) > KEY_LENGTH:
        yield _error(
            field,
            f"an id has at most {KEY_LENGTH} characters, not {len(value)}",
            task=task,
            value=value,
            remedy="Shorten it; a display name may be longer",
        )
    elif not _KEY.fullmatch(value):
        yield _error(
            field,
            "this is not a valid id",
            task=task,
            value=value,
            remedy="Use letters, digits, dashes, dots and underscores (ASCII) only",
        )


def _groups(spec: DagSpec) -> Findings:
    parents = {group.group_id: group.parent_id for group in spec.groups}
    tasks = dict.fromkeys(task.task_id for task in spec.tasks)
    for group_id, count in Counter(group.group_id for group in spec.groups).items():
        if count > 1 or group_id in tasks:
            other = "task" if group_id in tasks else "group"
            yield _error("group_id", f"another {other} has this id", value=group_id, remedy="Rename one")
    for group_id, parent in parents.items():
        if parent is not None and parent not in parents:
            yield _error("parent_id", f"the group {group_id!r} lies in a group that does not exist", value=parent)
        elif _is_own_ancestor(group_id, parents):
            yield _error("parent_id", f"the group {group_id!r} lies in itself", value=parent)
    for task in spec.tasks:
        if task.group_id is not None and task.group_id not in parents:
            yield _error("group_id", "the group does not exist", task=task.task_id, value=task.group_id)


def _is_own_ancestor(group_id: str, parents: dict[str, str | None]) -> bool:
    seen: dict[str, None] = {}
    above = parents.get(group_id)
    while above is not None and above not in seen:
        if above == group_id:
            return True
        seen[above] = None
        above = parents.get(above)
    return False


def _edges(spec: DagSpec) -> Findings:
    known = dict.fromkeys(task.task_id for task in spec.tasks)
    for task in spec.tasks:
        for upstream, count in Counter(task.upstream).items():
            if upstream not in known:
                yield _error(
                    "upstream",
                    "the DAG has no such task",
                    task=task.task_id,
                    value=upstream,
                    remedy="Add the task to the DAG or remove the dependency",
                )
            if count > 1:
                yield _error("upstream", "this upstream is named twice", task=task.task_id, value=upstream)
    edges = {task.task_id: tuple(up for up in task.upstream if up in known) for task in spec.tasks}
    try:
        topological_order(edges)
    except CycleFound as found:
        yield _error(
            "upstream",
            "the tasks depend on each other in a circle",
            value=str(found),
            remedy="Remove one of these dependencies",
        )


def _expansions(spec: DagSpec) -> Findings:
    """What tasks and groups are expanded over exists and comes before them; nothing is expanded twice by itself."""
    known = dict.fromkeys(task.task_id for task in spec.tasks)
    groups = {group.group_id: group for group in spec.groups}
    needs = {task.task_id: dict.fromkeys(up for up in task.upstream if up in known) for task in spec.tasks}
    if not any([*(task.mapped for task in spec.tasks), *(group.mapped for group in spec.groups)]):
        return
    for task in spec.tasks:
        around = _mapped_groups_around(task.group_id, groups)
        if task.mapped is not None and around:
            yield _error("mapped", "a task inside an expanded group cannot be expanded itself", task=task.task_id)
        chain = [*around, *([task.mapped] if task.mapped is not None else [])]
        for source in dict.fromkeys(source for each in chain for source in each.sources):
            if source not in known:
                yield _error(
                    "mapped", "it is expanded over a task that does not exist", task=task.task_id, value=source
                )
            else:
                needs[task.task_id][source] = None
    for group in spec.groups:
        inside = group.mapped is not None and _mapped_groups_around(group.parent_id, groups)
        if inside and group.mapped is not None and group.mapped.sources:
            yield _error(
                "mapped",
                "a group inside an expanded group can only be expanded over what stands in the file",
                value=group.group_id,
            )
    try:
        topological_order({task_id: tuple(ups) for task_id, ups in needs.items()})
    except CycleFound as found:
        yield _error("mapped", "tasks are expanded over what comes after them", value=str(found))


def _mapped_groups_around(group_id: str | None, groups: dict[str, TaskGroupSpec]) -> list[MappedSpec]:
    """What the groups that a task or group lies in are expanded over."""
    found: list[MappedSpec] = []
    seen: dict[str, None] = {}
    while group_id in groups and group_id is not None and group_id not in seen:
        seen[group_id] = None
        mapped = groups[group_id].mapped
        found += [mapped] if mapped is not None else []
        group_id = groups[group_id].parent_id
    return found


# ---------------------------------------------------------------- numbers and fields


def _number(
    field: str, value: float | None, *, task: str = "", least: float = 0, above: bool = False, unit: str = ""
) -> Findings:
    """An error unless `value` is None or finite and at least `least` (or, with `above`, above it)."""
    if value is None:
        return
    if not math.isfinite(value) or value < least or (above and value == least):
        bound = f"above {least:g}" if above else f"at least {least:g}"
        yield _error(field, f"this must be {bound}{unit}", task=task, value=value)


def _dag_numbers(spec: DagSpec) -> Findings:
    yield from _number("max_active_runs", spec.max_active_runs)
    yield from _number("max_active_tasks", spec.max_active_tasks, least=1)
    yield from _number("max_consecutive_failed_dag_runs", spec.max_consecutive_failed_dag_runs)
    yield from _number("dagrun_timeout", spec.dagrun_timeout, above=True, unit=" seconds")


def _task_numbers(task: TaskSpec) -> Findings:
    name = task.task_id
    yield from _number("retries", task.retries, task=name)
    yield from _number("retry_delay", task.retry_delay, task=name, unit=" seconds")
    yield from _number("retry_exponential_backoff", task.retry_exponential_backoff, task=name)
    yield from _number("max_retry_delay", task.max_retry_delay, task=name, above=True, unit=" seconds")
    yield from _number("execution_timeout", task.execution_timeout, task=name, above=True, unit=" seconds")
    yield from _number("pool_slots", task.pool_slots, task=name, least=1)
    yield from _number("max_active_tis_per_dag", task.max_active_tis_per_dag, task=name, least=1)
    yield from _number("max_active_tis_per_dagrun", task.max_active_tis_per_dagrun, task=name, least=1)
    if abs(task.priority_weight) > LARGEST_WEIGHT:
        yield _error(
            "priority_weight",
            f"this must lie between −{LARGEST_WEIGHT} and {LARGEST_WEIGHT}",
            task=name,
            value=task.priority_weight,
        )
    if task.retries > MANY_RETRIES:
        yield _warning(
            "retries", "so many retries keep a run going long after anyone waits for it", task=name, value=task.retries
        )


def _dag_fields(spec: DagSpec) -> Findings:
    yield from _dates(spec.start_date, spec.end_date)
    for tag in spec.tags:
        if len(tag) > TAG_LENGTH:
            yield _error("tags", f"a tag has at most {TAG_LENGTH} characters", value=tag, remedy="Shorten it")
    if not spec.fileloc or spec.fileloc.startswith("/") or ".." in spec.fileloc.split("/"):
        yield _error("fileloc", "this is no path inside the bundle", value=spec.fileloc)


def _task_fields(task: TaskSpec) -> Findings:
    yield from _dates(task.start_date, task.end_date, task.task_id)
    for field, value in (("pool", task.pool), ("queue", task.queue)):
        if not value or len(value) > NAME_LENGTH:
            yield _error(field, f"a name has 1 to {NAME_LENGTH} characters", task=task.task_id, value=value)


def _dates(start: datetime | None, end: datetime | None, task: str = "") -> Findings:
    for field, value in (("start_date", start), ("end_date", end)):
        if value is not None and value.utcoffset() is None:
            yield _error(field, "this date has no time zone", task=task, value=value, remedy="Store it in UTC")
            return
    if start is not None and end is not None and end < start:
        yield _error("end_date", f"it lies before start_date ({start.isoformat()})", task=task, value=end.isoformat())


# ---------------------------------------------------------------- schedule


def _schedule(spec: DagSpec, load_zone: ZoneLoader | None) -> Findings:
    if load_zone is None:
        return
    try:
        load_zone(spec.timezone)
    except UserError as error:
        yield _error("timezone", error.message, value=spec.timezone, remedy=error.remedy)
    try:
        timetable = compile_timetable(spec.timetable, load_zone)
    except UserError as error:
        yield _error(error.field or "schedule", error.message, value=error.value, remedy=error.remedy)
        return
    if not timetable.can_be_scheduled:
        return
    for name, param in spec.params.items():
        if not param.has_value:
            yield _error(
                "params",
                f"a DAG with a schedule needs a default for each param, and {name!r} has none",
                value=name,
                remedy="Give it a default, or set schedule=None",
            )
    if spec.catchup and spec.start_date is None and timetable.periodic:
        yield _warning(
            "catchup",
            "without a start_date there is nothing to catch up",
            remedy="Set start_date to the first date whose run is wanted",
        )


# ---------------------------------------------------------------- trigger rules, setups, teardowns


def _rule_without_upstream(task: TaskSpec) -> Findings:
    if not task.upstream and task.trigger_rule not in (
        TriggerRule.ALL_SUCCESS,
        TriggerRule.ALWAYS,
        TriggerRule.ALL_DONE,
        TriggerRule.ALL_DONE_SETUP_SUCCESS,
    ):
        yield _warning(
            "trigger_rule",
            "the task has no upstream, so its rule says nothing and it runs at once",
            task=task.task_id,
            value=task.trigger_rule.value,
            remedy="Connect it, or leave the rule out",
        )


def _setups_and_teardowns(spec: DagSpec) -> Findings:
    by_id = {task.task_id: task for task in spec.tasks}
    for task in spec.tasks:
        if task.is_setup and task.is_teardown:
            yield _error("is_teardown", "a task cannot be both setup and teardown", task=task.task_id)
        if task.is_teardown:
            if task.trigger_rule is not TriggerRule.ALL_DONE_SETUP_SUCCESS:
                yield _warning(
                    "trigger_rule",
                    "a teardown with this rule may be skipped when the work before it fails",
                    task=task.task_id,
                    value=task.trigger_rule.value,
                    remedy="Leave trigger_rule out for teardowns",
                )
            continue
        setups = [up for up in task.upstream if up in by_id and by_id[up].is_setup]
        if setups and task.trigger_rule is not TriggerRule.ALL_SUCCESS:
            yield _error(
                "trigger_rule",
                f"it follows the setup task {setups[0]!r} and so needs the rule all_success",
                task=task.task_id,
                value=task.trigger_rule.value,
            )


def _fail_fast(spec: DagSpec) -> Findings:
    for task in spec.tasks if spec.fail_fast else ():
        if task.trigger_rule is not TriggerRule.ALL_SUCCESS and not task.is_teardown:
            yield _error(
                "trigger_rule",
                "a DAG with fail_fast has tasks with the default trigger rule only",
                task=task.task_id,
                value=task.trigger_rule.value,
                remedy="Use all_success, or drop fail_fast",
            )


# ---------------------------------------------------------------- tasks that can never run

_Ends = frozenset[TaskInstanceState]
_FAILURES: _Ends = frozenset({_S.FAILED, _S.UPSTREAM_FAILED})
_NOT_RUN: _Ends = frozenset({_S.SKIPPED, _S.UPSTREAM_FAILED})
_GOOD: _Ends = frozenset({_S.SUCCESS, _S.SKIPPED})


def _each(wanted: _Ends) -> Callable[[list[_Ends]], bool]:
    return lambda ends: all(end & wanted for end in ends)


def _some(wanted: _Ends) -> Callable[[list[_Ends]], bool]:
    return lambda ends: any(end & wanted for end in ends)


_CAN_HOLD: dict[TriggerRule, Callable[[list[_Ends]], bool]] = {
    TriggerRule.ALL_SUCCESS: _each(frozenset({_S.SUCCESS})),
    TriggerRule.ALL_FAILED: _each(_FAILURES),
    TriggerRule.ONE_SUCCESS: _some(frozenset({_S.SUCCESS})),
    TriggerRule.ONE_FAILED: _some(_FAILURES),
    TriggerRule.ONE_DONE: _some(frozenset({_S.SUCCESS, _S.FAILED})),
    TriggerRule.NONE_FAILED: _each(_GOOD),
    TriggerRule.NONE_SKIPPED: _each(_FAILURES | {_S.SUCCESS}),
    TriggerRule.ALL_SKIPPED: _each(frozenset({_S.SKIPPED})),
}
"""Whether a rule can hold at all, given the states in which each upstream may end; rules left out always can."""


def _never_runs(spec: DagSpec) -> list[Finding]:
    """Warnings about tasks whose rule no outcome of their upstream satisfies (an empty task never fails, say)."""
    by_id = {task.task_id: task for task in spec.tasks}
    ends: dict[str, _Ends] = {}
    found = []
    for task_id in topological_order({task.task_id: task.upstream for task in spec.tasks}):
        task = by_id[task_id]
        upstream = [ends[up] for up in task.upstream]
        can_hold = _CAN_HOLD.get(task.trigger_rule)
        runs = not upstream or can_hold is None or can_hold(upstream)
        if not runs:
            found.append(
                _warning(
                    "trigger_rule",
                    "this task can never run: no outcome of its upstream satisfies its rule",
                    task=task_id,
                    value=task.trigger_rule.value,
                )
            )
        own: _Ends = frozenset({_S.SUCCESS}) if task.is_empty else frozenset({_S.SUCCESS, _S.FAILED, _S.SKIPPED})
        ends[task_id] = (own if runs else frozenset()) | (_NOT_RUN if upstream else frozenset())
    return found
