"""Running a whole DAG in one process: `dag.test()` and `dagdeck dags test`.

Decides the order in which tasks run, by the same trigger rules and through the same execution as a cluster,
but without waiting for pools, dates or retry delays. Called by `DAG.test`; nothing is stored.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dagdeck import plugins, runtime
from dagdeck.dags import DAG
from dagdeck.exceptions import ParamValidationError
from dagdeck.listeners import get_listener_manager
from dagdeck.operator import BaseOperator
from dagdeck.params import merged_params
from dagdeck.serialize import serialize_dag
from dagdeck.xcom import deserialize
from dagdeck.xcom_arg import XCOM_RETURN_KEY, ArgNotSet
from dagdeck_core.deferral import TriggerOutcome
from dagdeck_core.graph import Graph, build_graph
from dagdeck_core.outcome import decide
from dagdeck_core.records import RunRecord, TaskRecord
from dagdeck_core.scheduling.instances import MISSING, length_of
from dagdeck_core.scheduling.run_state import SUMMARY, RunState, Task
from dagdeck_core.spec import DagSpec
from dagdeck_core.states import TERMINAL, DagRunState, DagRunType, TaskInstanceState
from dagdeck_core.timetables import run_id_for
from dagdeck_core.trigger_rules import Judgement
from dagdeck_core.wire import DagRunContext, Deferral, Effects, Outcome, RunTask, TaskError
from dagdeck_core.work import RunBegun, RunCallback, TaskCallback, TaskFacts
from dagdeck_task import execution, in_process_trigger, listener_calls, task_log
from dagdeck_task.asset_news import tell_of_tested
from dagdeck_task.definitions import Definition
from dagdeck_task.in_process_channel import InProcessChannel, RunMemory, TriggeredRun, read_connections, read_variables
from dagdeck_task.masking import Masker
from dagdeck_task.questions import Responder, answer_question
from dagdeck_task.run_context import IN_PROCESS
from dagdeck_task.timetable_questions import interval_of_manual_run

_log = logging.getLogger("dagdeck.test")
MAX_MAP_LENGTH = 1024
"""Most items of a value that tasks are expanded over, as clusters have it by default."""
_STATES = {
    Judgement.SKIP: TaskInstanceState.SKIPPED,
    Judgement.UPSTREAM_FAILED: TaskInstanceState.UPSTREAM_FAILED,
}


@dataclass(kw_only=True)
class FinishedTask:
    """How one task of a tested run ended, or one instance of an expanded task."""

    task_id: str
    map_index: int = SUMMARY
    ti_id: int = 0
    rendered_map_index: str | None = None
    effects: Effects | None = None
    state: TaskInstanceState = TaskInstanceState.NONE
    try_number: int = 0
    error: TaskError | None = None
    rendered_fields: dict[str, Any] | None = None
    outcomes: list[Outcome] = field(default_factory=list)


_CALLED_AT_END = {
    TriggerOutcome.SUCCESS: "on_success_callback",
    TriggerOutcome.SKIPPED: "on_skipped_callback",
    TriggerOutcome.FAILED: "on_failure_callback",
}
"""What is called for a task that its trigger ends."""


def _facts(task: FinishedTask) -> TaskFacts:
    """What a callback is told of a task."""
    return TaskFacts(
        ti_id=task.ti_id,
        task_id=task.task_id,
        map_index=task.map_index,
        try_number=task.try_number,
        state=task.state,
        start_date=task.outcomes[0].started_at if task.outcomes else None,
        end_date=task.outcomes[-1].ended_at if task.outcomes else None,
        error=task.error.message if task.error else "",
    )


@dataclass(kw_only=True)
class FinishedRun:
    """A run that `dag.test()` has finished. `xcom(task_id)` gives what a task returned."""

    dag_id: str
    run_id: str
    state: DagRunState
    logical_date: datetime | None
    start_date: datetime
    end_date: datetime
    conf: dict[str, Any]
    tasks: dict[str, FinishedTask]
    memory: RunMemory

    @property
    def states(self) -> dict[str, str]:
        """The state of each task, by id; instances of expanded tasks are named task_id[map_index]."""
        return {task_id: task.state.value for task_id, task in self.tasks.items()}

    def get_task_instances(self) -> list[FinishedTask]:
        """The tasks, in the order of the DAG."""
        return list(self.tasks.values())

    def get_task_instance(self, task_id: str, map_index: int = SUMMARY) -> FinishedTask | None:
        """One task, or one instance of an expanded task."""
        return self.tasks.get(_name(task_id, map_index))

    @property
    def triggered(self) -> list[TriggeredRun]:
        """Runs of other DAGs that the tasks asked for; they were noted and not made."""
        return self.memory.triggered

    def xcom(self, task_id: str, key: str = XCOM_RETURN_KEY, map_index: int = SUMMARY) -> Any:
        """What a task pushed under `key`; None when it pushed nothing."""
        text = self.memory.xcoms.get((task_id, map_index, key))
        if text is None:
            return None
        whose = {"key": key, "task_id": task_id, "dag_id": self.dag_id, "run_id": self.run_id}
        return deserialize(text, map_index=map_index, **whose)


def _name(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


def run_dag(
    dag: DAG,
    *,
    logical_date: datetime | ArgNotSet | None,
    run_conf: Mapping[str, Any] | None = None,
    connections_file: str | None = None,
    variables_file: str | None = None,
    mark_success_pattern: str | re.Pattern[str] | None = None,
    run_after: datetime | None = None,
    responder: Responder | None = None,
) -> FinishedRun:
    """Run `dag` once and return the finished run; logs go to standard output unless logging is configured.

    Raises UserError when the DAG or the conf is wrong.
    """
    plugins.load_once(Path(dag.fileloc).parent)
    spec = serialize_dag(dag)
    conf = dict(run_conf or {})
    try:
        merged_params(dag, None, conf)
    except ParamValidationError as error:
        raise ParamValidationError(f"dag {dag.dag_id!r}: {error}") from error
    memory = RunMemory(
        variables=read_variables(variables_file) if variables_file else None,
        connections=read_connections(connections_file) if connections_file else None,
    )
    run = _run_context(dag, logical_date, run_after, conf)
    own_log = not logging.getLogger().handlers
    try:
        return _Session(dag, spec, run, memory, mark_success_pattern, responder, own_log=own_log).finish()
    finally:
        if own_log:
            task_log.remove()


def _run_context(
    dag: DAG, logical_date: datetime | ArgNotSet | None, run_after: datetime | None, conf: dict[str, Any]
) -> DagRunContext:
    now = datetime.now(UTC)
    date = now if isinstance(logical_date, ArgNotSet) else logical_date
    if date is not None:
        date = (date if date.utcoffset() is not None else date.replace(tzinfo=UTC)).astimezone(UTC)
        date = datetime(*date.timetuple()[:6], date.microsecond, tzinfo=UTC)
    after = run_after or date or now
    interval = interval_of_manual_run(dag, after) if date is not None else None
    return DagRunContext(
        run_key=0,
        dag_id=dag.dag_id,
        run_id=run_id_for(DagRunType.MANUAL, after),
        run_type=DagRunType.MANUAL.value,
        state=DagRunState.RUNNING.value,
        logical_date=date,
        data_interval_start=interval[0] if interval else None,
        data_interval_end=interval[1] if interval else None,
        run_after=after,
        start_date=now,
        end_date=None,
        conf=conf,
    )


def _record(run: DagRunContext, spec: DagSpec) -> RunRecord:
    """The run as the scheduler's rules see it."""
    return RunRecord(
        run_key=0,
        dag_id=run.dag_id,
        run_id=run.run_id,
        version_id=0,
        state=DagRunState.RUNNING,
        run_type=DagRunType.MANUAL,
        run_after=run.run_after,
        queued_at=run.run_after,
        created_tasks=len(spec.tasks),
    )


class _Session:
    """One tested run while it goes on."""

    def __init__(
        self,
        dag: DAG,
        spec: DagSpec,
        run: DagRunContext,
        memory: RunMemory,
        mark_success_pattern: str | re.Pattern[str] | None,
        responder: Responder | None,
        *,
        own_log: bool,
    ) -> None:
        self._dag = dag
        self._run = run
        self._memory = memory
        self._spec = spec
        self._graph: Graph = build_graph(spec)
        self._marked = re.compile(mark_success_pattern) if mark_success_pattern else None
        self._own_log = own_log
        self._responder = responder
        self._dispatches = 0
        for operator in dag.tasks:
            memory.assets.learn(operator)
        self._tasks: dict[str, FinishedTask] = {}
        self._states = RunState(_record(run, spec), self._graph, 0)
        for index in range(len(self._graph.tasks)):
            self._add(index, SUMMARY)

    def _add(self, index: int, map_index: int) -> None:
        """Take in one more task instance."""
        ti_id = len(self._states.by_id) + 1
        task_id = self._graph.tasks[index].task_id
        self._states.add(TaskRecord(ti_id=ti_id, run_key=0, task_id=task_id, map_index=map_index), index)
        self._tasks[_name(task_id, map_index)] = FinishedTask(task_id=task_id, map_index=map_index, ti_id=ti_id)

    def finish(self) -> FinishedRun:
        """Bring every task to its end: again and again each that has not begun, until nothing changes."""
        started = self._run.start_date or self._run.run_after
        listener_calls.run_began(self._run, RunBegun(queued_at=self._run.run_after, start_date=started))
        while self._go_on():
            pass
        state = self._state()
        self._call_back(state)
        _log.info("Run %s of dag %s ended as %s", self._run.run_id, self._dag.dag_id, state.value)
        return FinishedRun(
            dag_id=self._dag.dag_id,
            run_id=self._run.run_id,
            state=state,
            logical_date=self._run.logical_date,
            start_date=self._run.start_date or self._run.run_after,
            end_date=datetime.now(UTC),
            conf=self._run.conf,
            tasks=self._tasks,
            memory=self._memory,
        )

    def _call_back(self, state: DagRunState) -> None:
        """Call the DAG's callback, as a worker would."""
        is_failure = state is DagRunState.FAILED
        if not (self._spec.has_on_failure_callback if is_failure else self._spec.has_on_success_callback):
            return
        failed = (task for task in self._tasks.values() if task.state is TaskInstanceState.FAILED)
        shown = next(failed, None) if is_failure else next(reversed(self._tasks.values()), None)
        if shown is None:
            return
        reason = "task_failure" if is_failure else "success"
        order = RunCallback(is_failure=is_failure, reason=reason, task=_facts(shown))
        self._run = msgspec.structs.replace(self._run, state=state.value, end_date=datetime.now(UTC))
        message = self._message(self._dag.task_dict[shown.task_id], shown.try_number, None)
        self._carry_out(message, order)

    def _carry_out(self, message: RunTask, order: RunCallback | TaskCallback) -> None:
        """Do what a worker would do in a process of its own."""
        from dagdeck_task import side_work

        masker = Masker()
        channel = self._channel(message)
        if self._own_log:
            task_log.begin(masker)
        try:
            side_work.run(msgspec.structs.replace(message, kind="callback", order=order), self._dag, channel, masker)
        finally:
            masker.close()
            task_log.end()

    def _go_on(self) -> bool:
        """Bring each task instance as far as it can go now; False when none of them could go anywhere."""
        changed = False
        for index, tasks in enumerate(self._states.tasks):
            # An expansion makes the list longer meanwhile.
            position = 0
            while position < len(tasks):
                task = tasks[position]
                if task.state is TaskInstanceState.NONE and self._advance(index, task):
                    changed = True
                position += 1
        return changed

    def _advance(self, index: int, task: Task) -> bool:
        """Bring one task instance as far as it can go now; False while it has to wait."""
        tested = self._tasks[_name(task.spec.task_id, task.map_index)]
        expansion = self._graph.expansion
        is_summary = task.map_index < 0 and expansion is not None and expansion.is_expanded(index)
        if is_summary and expansion is not None and not expansion.sources[index]:
            return self._expand(index, task, tested)
        verdict = self._states.verdict(task)
        if verdict is Judgement.WAIT:
            return False
        if verdict in _STATES:
            self._end(tested, _STATES[verdict])
        elif is_summary:
            return self._expand(index, task, tested)
        elif self._marked is not None and self._marked.match(task.spec.task_id):
            _log.info("Task %s is marked a success without being run", _name(task.spec.task_id, task.map_index))
            self._end(tested, TaskInstanceState.SUCCESS)
        else:
            self._run_to_end(index, tested)
        return True

    def _expand(self, index: int, summary: Task, tested: FinishedTask) -> bool:
        """Make the instances of a task that is expanded; False while their number is not known."""
        length = length_of(self._states, index)
        if length is None:
            return False
        if length == MISSING:
            self._end(tested, TaskInstanceState.UPSTREAM_FAILED)
        elif length == 0:
            _log.info("Task %s is skipped: it is expanded over nothing", tested.task_id)
            self._end(tested, TaskInstanceState.SKIPPED)
        else:
            del self._tasks[tested.task_id]
            self._states.becomes_first(summary)
            tested.map_index = 0
            self._tasks[_name(tested.task_id, 0)] = tested
            for map_index in range(1, length):
                self._add(index, map_index)
            self._memory.instances[tested.task_id] = length
        return True

    def _end(self, tested: FinishedTask, state: TaskInstanceState) -> None:
        tested.state = state
        task = self._states.by_id[tested.ti_id]
        if state in TERMINAL:
            task.effects = tested.effects
            self._states.move(task, state)
        name = tested.task_id if tested.map_index < 0 else f"{tested.task_id}_{tested.map_index}"
        self._memory.states[name] = state.value

    def _run_to_end(self, index: int, tested: FinishedTask) -> None:
        """Run a task with all its retries and reschedules, without waiting between them."""
        spec = self._graph.tasks[index]
        definition = Definition(operator=self._dag.task_dict[spec.task_id], known_spec=spec)
        tested.try_number = 1
        first_start: datetime | None = None
        resumed: tuple[str, str] | None = None
        while tested.state not in TERMINAL:
            message = self._message(definition.operator, tested.try_number, first_start, resumed)
            resumed = None
            message = msgspec.structs.replace(message, ti_id=tested.ti_id, map_index=tested.map_index)
            outcome = self._execute(message, definition)
            tested.outcomes.append(outcome)
            tested.error = outcome.error
            tested.effects = outcome.effects
            tested.rendered_map_index = outcome.rendered_map_index
            tested.rendered_fields = outcome.rendered_fields
            first_start = first_start or outcome.started_at
            source = (self._dag.dag_id, self._run.run_id, spec.task_id, message.map_index)
            emitted = self._memory.assets.register(source, outcome.effects, self._run.partition_key)
            if emitted and get_listener_manager().has_listeners:
                tell_of_tested(emitted)
            state = decide(
                outcome.result,
                task=spec,
                ti_id=message.ti_id,
                try_number=tested.try_number,
                max_tries=spec.retries,
                now=outcome.ended_at,
                reschedule_at=outcome.reschedule_at,
                retry_after=outcome.retry_after,
            ).state
            self._end(tested, state)
            if state is TaskInstanceState.UP_FOR_RETRY:
                tested.try_number += 1
                first_start = None
            elif state is TaskInstanceState.UP_FOR_RESCHEDULE:
                self._wait_until(outcome.reschedule_at)
            elif state is TaskInstanceState.DEFERRED and outcome.deferral is not None:
                resumed = self._wait_for_trigger(message, outcome.deferral, tested)
            elif state is TaskInstanceState.AWAITING_INPUT and outcome.question is not None:
                resumed = answer_question(outcome.question, spec.task_id, self._responder)

    @staticmethod
    def _wait_until(moment: datetime | None) -> None:
        import time

        if moment is not None:
            time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))

    def _wait_for_trigger(self, message: RunTask, deferral: Deferral, tested: FinishedTask) -> tuple[str, str] | None:
        """Run a trigger until it fires: how the task goes on, or None when the trigger has ended it."""
        channel = self._channel(message)
        masker = Masker()
        with self._logging(masker), runtime.answering(execution.MaskingChannel(channel, masker)):
            found = in_process_trigger.wait(message, deferral)
        for key, value in found.xcoms:
            channel.request("xcom_set", {"key": key, "value": value})
        if found.outcome is not TriggerOutcome.RESUME:
            self._end(tested, TaskInstanceState(found.outcome.value))
            name = _CALLED_AT_END[found.outcome]
            if getattr(self._dag.task_dict[tested.task_id], name):
                self._carry_out(message, TaskCallback(task=_facts(tested), names=(name,)))
            return None
        return found.next_method, found.next_kwargs

    def _message(
        self,
        operator: BaseOperator,
        try_number: int,
        first_start: datetime | None,
        resumed: tuple[str, str] | None = None,
    ) -> RunTask:
        self._dispatches += 1
        return RunTask(
            ti_id=self._graph.index[operator.task_id],
            dispatch_no=self._dispatches,
            task_id=operator.task_id,
            map_index=-1,
            try_number=try_number,
            max_tries=operator.retries,
            bundle_root=self._dag.folder,
            bundle_name=IN_PROCESS,
            bundle_version="",
            fileloc=self._dag.fileloc,
            dag_run=self._run,
            next_method=resumed[0] if resumed else None,
            next_kwargs=resumed[1] if resumed else None,
            first_start_date=first_start,
            hostname=IN_PROCESS,
            map_limit=MAX_MAP_LENGTH,
        )

    def _channel(self, message: RunTask) -> InProcessChannel:
        return InProcessChannel(self._memory, self._dag.dag_id, self._run.run_id, message.task_id, message.map_index)

    def _execute(self, message: RunTask, definition: Definition) -> Outcome:
        masker = Masker()
        channel = self._channel(message)
        with self._logging(masker):
            return execution.run(message, definition, channel, masker)

    @contextmanager
    def _logging(self, masker: Masker) -> Iterator[None]:
        if self._own_log:
            task_log.begin(masker)
        try:
            yield
        finally:
            masker.close()
            task_log.end()
            sys.stdout.flush()

    def _state(self) -> DagRunState:
        """The run's state: failed when a task that decides it did not end well, or when tasks were left over."""
        return DagRunState.FAILED if self._states.unfinished else self._states.outcome()
