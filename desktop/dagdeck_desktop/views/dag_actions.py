"""What a person can do with a DAG, a run and a task, in the action registry once for all pages.

Decides titles, shortcuts, questions before, and the command line of each. Does not send anything (`viewmodels`).
Registered by `views`; the DAG page puts itself in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, cast, runtime_checkable

import shiboken6

from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_desktop.actions import ActionScope, ActionSpec
from dagdeck_desktop.context import DesktopContext

AnyTarget = TypeVar("AnyTarget", bound="DagTarget")


class DagTarget(Protocol):
    """The page that the actions act on."""

    @property
    def dag_id(self) -> str:
        """The DAG in front."""

    @property
    def is_dag_paused(self) -> bool:
        """Whether the DAG is paused."""

    def is_shown(self) -> bool:
        """True while the page is in front."""

    def trigger(self) -> None:
        """Ask for params and start a run."""

    def set_paused(self, is_paused: bool) -> None:
        """Pause the DAG or let it run."""


@runtime_checkable
class RunTarget(DagTarget, Protocol):
    """A page that shows a run too."""

    @property
    def run_id(self) -> str:
        """The run that is looked at; "" for none."""

    @property
    def task_id(self) -> str:
        """The selected task; "" for none."""

    def clear(self, task_ids: Sequence[str]) -> None:
        """Ask, then clear tasks, or the whole run."""

    def mark_task(self, state: TaskInstanceState) -> None:
        """Ask, then mark the selected task."""

    def mark_run(self, state: DagRunState) -> None:
        """Ask, then mark the run."""

    def delete_run(self) -> None:
        """Ask, then delete the run."""

    def find_task(self) -> None:
        """Let a person type a task's name."""


class DagActions:
    """The actions, and the target in front."""

    def __init__(self, context: DesktopContext) -> None:
        self._context = context
        self._target: DagTarget | None = None
        self._add_dag_actions()
        self._add_run_actions()
        self._add_task_actions()

    def set_target(self, target: DagTarget) -> None:
        """Let the actions act on this page from now on."""
        self._target = target

    @property
    def target(self) -> DagTarget | None:
        """The page in front, or None."""
        target = self._target
        if target is None or not shiboken6.isValid(target) or not target.is_shown():
            return None
        return target

    # ------------------------------------------------------------ inside

    def _add(
        self,
        key: str,
        title: str,
        run: Callable[[AnyTarget], None],
        cli: Callable[[AnyTarget], Sequence[str]],
        *,
        needs: Callable[[AnyTarget], bool],
        icon: str = "",
        shortcuts: tuple[str, ...] = (),
        words: str = "",
        is_destructive: bool = False,
    ) -> None:
        def fitting() -> AnyTarget | None:
            target = self.target
            if target is None or (not key.startswith("dag.") and not isinstance(target, RunTarget)):
                return None
            # What acts on runs and tasks gets only a target that has them.
            fit = cast(AnyTarget, target)
            return fit if needs(fit) else None

        def act() -> None:
            target = fitting()
            if target is not None:
                run(target)

        def is_enabled() -> bool:
            return fitting() is not None

        def command() -> Sequence[str] | None:
            target = fitting()
            return cli(target) if target is not None else None

        scope = {"dag": ActionScope.DAG, "run": ActionScope.RUN, "task": ActionScope.TASK}[key.partition(".")[0]]
        spec = ActionSpec(
            key=key,
            title=title,
            run=act,
            scope=scope,
            icon=icon,
            shortcuts=shortcuts,
            keywords=tuple(words.split()),
            is_destructive=is_destructive,
            is_enabled=is_enabled,
            cli=command,
        )
        self._context.actions.add(spec, self._context.window)

    def _add_dag_actions(self) -> None:
        def has_dag(target: DagTarget) -> bool:
            return bool(target.dag_id)

        def trigger(target: DagTarget) -> None:
            target.trigger()

        self._add(
            "dag.trigger",
            "Trigger a run",
            trigger,
            lambda target: ["dags", "trigger", target.dag_id],
            needs=has_dag,
            icon="play",
            shortcuts=("Ctrl+T",),
            words="start run now",
        )
        for verb, pauses, icon in (("pause", True, "pause"), ("unpause", False, "circle-play")):
            self._add_switch(verb, pauses, icon)

    def _add_switch(self, verb: str, pauses: bool, icon: str) -> None:
        def switch(target: DagTarget) -> None:
            target.set_paused(pauses)

        self._add(
            f"dag.{verb}",
            f"{verb.capitalize()} the DAG",
            switch,
            lambda target: ["dags", verb, target.dag_id],
            needs=lambda target: bool(target.dag_id) and target.is_dag_paused is not pauses,
            icon=icon,
            words="resume activate" if not pauses else "stop",
        )

    def _add_run_actions(self) -> None:
        def has_run(target: RunTarget) -> bool:
            return bool(target.run_id)

        def clear(target: RunTarget) -> None:
            target.clear(())

        def delete(target: RunTarget) -> None:
            target.delete_run()

        self._add(
            "run.clear",
            "Clear the run",
            clear,
            lambda target: ["tasks", "clear", target.dag_id, target.run_id],
            needs=has_run,
            icon="rotate-ccw",
            words="again retry rerun",
        )
        for state, icon in ((DagRunState.SUCCESS, "circle-check"), (DagRunState.FAILED, "circle-x")):
            self._add_run_mark(state, icon)
        self._add(
            "run.delete",
            "Delete the run",
            delete,
            lambda target: ["runs", "delete", target.dag_id, target.run_id],
            needs=has_run,
            icon="trash-2",
            is_destructive=True,
        )

    def _add_run_mark(self, state: DagRunState, icon: str) -> None:
        def mark(target: RunTarget) -> None:
            target.mark_run(state)

        self._add(
            f"run.mark_{state.value}",
            f"Mark the run {state.value}",
            mark,
            lambda target: ["runs", "mark", target.dag_id, target.run_id, state.value],
            needs=lambda target: bool(target.run_id),
            icon=icon,
        )

    def _add_task_actions(self) -> None:
        def clear(target: RunTarget) -> None:
            target.clear((target.task_id,))

        self._add(
            "task.clear",
            "Clear the task",
            clear,
            lambda target: ["tasks", "clear", *task_names(target), "--downstream"],
            needs=lambda target: bool(target.run_id and target.task_id),
            icon="rotate-ccw",
            shortcuts=("Ctrl+E",),
            words="again retry rerun",
        )
        self._context.actions.add(
            ActionSpec(
                key="task.find",
                title="Find a task",
                run=self._find_task,
                scope=ActionScope.TASK,
                icon="search",
                shortcuts=("Ctrl+F",),
                is_enabled=lambda: isinstance(self.target, RunTarget),
            ),
            self._context.window,
        )
        for state, icon in (
            (TaskInstanceState.SUCCESS, "circle-check"),
            (TaskInstanceState.FAILED, "circle-x"),
            (TaskInstanceState.SKIPPED, "skip-forward"),
        ):
            self._add_task_mark(state, icon)

    def _find_task(self) -> None:
        target = self.target
        if isinstance(target, RunTarget):
            target.find_task()

    def _add_task_mark(self, state: TaskInstanceState, icon: str) -> None:
        def mark(target: RunTarget) -> None:
            target.mark_task(state)

        self._add(
            f"task.mark_{state.value}",
            f"Mark the task {state.value}",
            mark,
            lambda target: ["tasks", "mark", *task_names(target), state.value],
            needs=lambda target: bool(target.run_id and target.task_id),
            icon=icon,
        )


def task_names(target: RunTarget) -> list[str]:
    """What names the selected task on the command line."""
    return [target.dag_id, target.run_id, target.task_id]
