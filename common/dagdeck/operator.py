"""BaseOperator: what a task is before it runs.

Decides how an operator is made (default_args, checks, its place in DAG and group) and what it can
override to do its work. Does not decide when it runs (the scheduler) or how (`dagdeck_task`).
Subclassed by all operators; DAG authors subclass it too.
"""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from dagdeck import scope
from dagdeck.airflow2_attributes import OperatorMethods
from dagdeck.dependencies import DependencyMixin, EdgeModifier, Related, as_nodes
from dagdeck.exceptions import (
    AirflowException,
    InvalidArguments,
    TaskDeferralError,
    TaskDeferralTimeout,
    TaskDeferred,
    close_match,
    invalid,
    unavailable,
)
from dagdeck.keys import check_key
from dagdeck.operator_arguments import COMMON_ARGUMENTS, CONSTRUCTION_ARGUMENTS
from dagdeck.operator_defaults import OperatorMeta
from dagdeck_core.deferral import FAILED_DEFERRAL, TriggerFailure
from dagdeck_core.spec import TriggerRule

if TYPE_CHECKING:
    from dagdeck.context import Context
    from dagdeck.dags import DAG
    from dagdeck.groups import TaskGroup
    from dagdeck.mapping.partials import OperatorPartial
    from dagdeck.params import ParamsDict
    from dagdeck.teardown_scope import TeardownScope
    from dagdeck.triggers.base import BaseTrigger
    from dagdeck.xcom_arg import XComArg

_MUTABLE_DEFAULTS = [
    (name, argument.default)
    for name, argument in COMMON_ARGUMENTS.items()
    if isinstance(argument.default, (list, dict))
]
_PLAIN_DEFAULTS = {
    name: argument.default
    for name, argument in COMMON_ARGUMENTS.items()
    if not isinstance(argument.default, (list, dict))
}
"""Defaults that all tasks share, set in one go: a DAG may have ten thousand tasks."""


class BaseOperator(DependencyMixin, OperatorMethods, metaclass=OperatorMeta):
    """A template of task instances. Subclasses override `execute` and list their `template_fields`.

    Takes every argument of COMMON_ARGUMENTS besides those named in `__init__`; what is not given
    comes from default_args of the task, its groups and its DAG, in this order. Raises UserError,
    which is also a TypeError or ValueError, for unknown arguments and wrong values.
    """

    template_fields: ClassVar[Sequence[str]] = ()
    template_ext: Sequence[str] = ()
    template_fields_renderers: ClassVar[Mapping[str, str]] = {}
    ui_color: str = "#fff"
    ui_fgcolor: str = "#000"
    custom_operator_name: str | None = None
    operator_extra_links: ClassVar[Sequence[Any]] = ()
    inherits_from_empty_operator: ClassVar[bool] = False
    is_setup: bool = False
    is_teardown: bool = False
    on_failure_fail_dagrun: bool = False
    is_mapped: ClassVar[bool] = False
    returns_dag_result: bool = False
    """Whether what the task returns is the DAG's result."""
    start_trigger_args: Any = None
    start_from_trigger: bool = False

    # Set from COMMON_ARGUMENTS.
    owner: str
    retries: int
    pool: str
    queue: str
    do_xcom_push: bool
    multiple_outputs: bool
    trigger_rule: TriggerRule
    executor_config: dict[str, Any]
    inlets: list[Any]
    outlets: list[Any]
    task_display_name: str | None
    doc_md: str | None

    def __init__(
        self,
        *,
        task_id: str,
        dag: DAG | None = None,
        task_group: TaskGroup | None = None,
        default_args: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        pre_execute: Any = None,
        post_execute: Any = None,
        **arguments: Any,
    ) -> None:
        dag = dag or (task_group.dag if task_group else None) or scope.current_dag()
        group = task_group or scope.current_group(dag)
        check_key(task_id, subject=_subject(dag, task_id), field="task_id")
        self._label = task_id
        self.task_id = group.child_id(task_id) if group else task_id
        check_key(self.task_id, subject=_subject(dag, self.task_id), field="task_id (with its groups)")
        self._refuse_unknown(arguments, dag)
        self._set_common(arguments, dag)
        self.default_args = dict(default_args or {})
        self._pre_execute_hook = pre_execute
        self._post_execute_hook = post_execute
        self.upstream_task_ids: set[str] = set()
        self.downstream_task_ids: set[str] = set()
        self._own_params = dict(params or {})
        self._dag: DAG | None = None
        self.task_group: TaskGroup | None = None
        if group is not None:
            group.add(self)
        if dag is not None:
            self.dag = dag
        scope.note_task(self)

    def _refuse_unknown(self, arguments: Mapping[str, Any], dag: DAG | None) -> None:
        unknown = [name for name in arguments if name not in COMMON_ARGUMENTS]
        if not unknown:
            return
        name = unknown[0]
        known = {*COMMON_ARGUMENTS, *CONSTRUCTION_ARGUMENTS, *type(self).own_arguments()}
        hint = close_match(name, known)
        raise invalid(
            f"{type(self).__name__} takes no argument {name!r}{hint}",
            subject=_subject(dag, self.task_id),
            field=name,
            value=arguments[name],
            remedy="Remove it or correct its name",
            error=InvalidArguments,
        )

    def _set_common(self, arguments: Mapping[str, Any], dag: DAG | None) -> None:
        subject = _subject(dag, self.task_id)
        attributes = self.__dict__
        attributes.update(_PLAIN_DEFAULTS)
        for name, default in _MUTABLE_DEFAULTS:
            attributes[name] = copy.copy(default)
        for name, value in arguments.items():
            attributes[name] = COMMON_ARGUMENTS[name].convert(value, subject=subject, field=name)
        if self.wait_for_downstream:
            self.depends_on_past = True
        if self.task_display_name is None:
            self.task_display_name = self.task_id

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    # ------------------------------------------------------------ identity

    @property
    def label(self) -> str:
        """The task's id without its groups' prefix."""
        return self._label

    @property
    def node_id(self) -> str:
        """The id by which groups know their children."""
        return self.task_id

    @property
    def task_type(self) -> str:
        """The name of the operator's class."""
        return type(self).__name__

    @property
    def operator_name(self) -> str:
        """What is shown as the operator's name."""
        return self.custom_operator_name or self.task_type

    @property
    def operator_class(self) -> type[BaseOperator]:
        """The operator's class."""
        return type(self)

    @property
    def dag(self) -> DAG:
        """The DAG that the task belongs to. Raises UserError when it has none yet."""
        if self._dag is None:
            raise invalid(
                "this task belongs to no DAG",
                subject=f"task {self.task_id!r}",
                remedy="Make it inside `with DAG(...)`, or give it dag=",
            )
        return self._dag

    @dag.setter
    def dag(self, dag: DAG) -> None:
        if self._dag is dag:
            return
        if self._dag is not None:
            raise invalid(
                f"this task already belongs to dag {self._dag.dag_id!r}",
                subject=_subject(dag, self.task_id),
                field="dag",
            )
        if self.task_group is None:
            dag.task_group.add(self)
        dag.add_task(self)
        self._dag = dag

    def has_dag(self) -> bool:
        """Whether the task belongs to a DAG."""
        return self._dag is not None

    @property
    def dag_id(self) -> str:
        """The id of the task's DAG; an ad-hoc name when it has none."""
        return self._dag.dag_id if self._dag is not None else f"adhoc_{self.owner}"

    @property
    def params(self) -> ParamsDict:
        """The DAG's params with the task's own over them."""
        from dagdeck.params import ParamsDict

        merged = ParamsDict()
        if self._dag is not None:
            merged.update(self._dag.params)
        merged.update(self._own_params)
        return merged

    @params.setter
    def params(self, params: Mapping[str, Any]) -> None:
        self._own_params = dict(params)

    @property
    def output(self) -> XComArg:
        """The task's return value, to be given to other tasks."""
        from dagdeck.xcom_arg import XComArg

        return XComArg(self)

    @property
    def log(self) -> logging.Logger:
        """The logger of the operator's class, or of `logger_name`."""
        return logging.getLogger(self.logger_name or f"dagdeck.task.{type(self).__name__.lstrip('_')}")

    def __repr__(self) -> str:
        return f"<Task({self.task_type}): {self.task_id}>"

    # ------------------------------------------------------------ what subclasses override

    def execute(self, context: Context) -> Any:
        """Do the work; the return value becomes the task's XCom. Raises whatever makes the task fail."""
        raise unavailable(f"{self.task_type} has no execute method: running it", "Override execute(self, context)")

    def pre_execute(self, context: Context) -> None:
        """Called before `execute`; the base class calls the hook given as pre_execute=."""
        if self._pre_execute_hook is not None:
            self._pre_execute_hook(context)

    def post_execute(self, context: Context, result: Any = None) -> None:
        """Called after `execute` with its result; the base class calls the hook given as post_execute=."""
        if self._post_execute_hook is not None:
            self._post_execute_hook(context, result)

    def on_kill(self) -> None:
        """Called when the task is to end before it is done; release here what would outlive it."""

    def prepare_template(self) -> None:
        """Called before templates are rendered; may change template_fields' values."""

    # ------------------------------------------------------------ deferring

    def defer(
        self,
        *,
        trigger: BaseTrigger,
        method_name: str,
        kwargs: dict[str, Any] | None = None,
        timeout: timedelta | None = None,
    ) -> NoReturn:
        """End here and let `trigger` wait; when it fires the task goes on in the method called `method_name`.

        That is called with the context, `kwargs` and `event`, the payload of the trigger's event. Without an event for
        `timeout` the task fails with TaskDeferralTimeout. Raises TaskDeferred, which no `except Exception` catches.
        """
        raise TaskDeferred(trigger=trigger, method_name=method_name, kwargs=kwargs, timeout=timeout)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral; subclasses may override it to see what becomes of the waiting.

        Raises TaskDeferralError when the trigger failed, TaskDeferralTimeout when it did not fire in time.
        """
        return self.next_callable(self, next_method, next_kwargs)(context)

    @classmethod
    def next_callable(
        cls, operator: BaseOperator, next_method: str, next_kwargs: dict[str, Any] | None
    ) -> Callable[..., Any]:
        """The method with which `operator` goes on, its keyword arguments bound. Raises as `resume_execution` does."""
        arguments = next_kwargs or {}
        if next_method == FAILED_DEFERRAL:
            trace = arguments.get("traceback")
            if trace:
                operator.log.error("Trigger failed:\n%s", "\n".join(trace))
            error = str(arguments.get("error", "Unknown"))
            raise TaskDeferralTimeout(error) if error == TriggerFailure.TIMEOUT else TaskDeferralError(error)
        method = getattr(operator, next_method, None)
        if not callable(method):
            raise AirflowException(f"{operator.task_type} has no method {next_method!r} to go on with after deferring")
        return functools.partial(method, **arguments)

    # ------------------------------------------------------------ templates

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Replace the template fields' values by their rendered form. Raises what rendering raises."""
        from dagdeck.templating import render_fields

        render_fields(self, context, jinja_env)

    def render_template(self, content: Any, context: Context, jinja_env: Any = None, seen_oids: Any = None) -> Any:
        """`content` rendered: strings as templates, containers item by item, XComArgs resolved."""
        from dagdeck.templating import environment_of, render

        return render(content, context, self, jinja_env or environment_of(self))

    def get_template_env(self, dag: DAG | None = None) -> Any:
        """The Jinja environment of the task's DAG."""
        from dagdeck.templating import environment_of

        return environment_of(self)

    # ------------------------------------------------------------ dependencies

    @property
    def roots(self) -> list[BaseOperator]:
        """The task itself."""
        return [self]

    @property
    def leaves(self) -> list[BaseOperator]:
        """The task itself."""
        return [self]

    @property
    def upstream_list(self) -> list[BaseOperator]:
        """The tasks directly upstream, by id."""
        return [self.dag.get_task(task_id) for task_id in sorted(self.upstream_task_ids)]

    @property
    def downstream_list(self) -> list[BaseOperator]:
        """The tasks directly downstream, by id."""
        return [self.dag.get_task(task_id) for task_id in sorted(self.downstream_task_ids)]

    def get_direct_relative_ids(self, upstream: bool = False) -> set[str]:
        """Ids of the tasks directly upstream or downstream."""
        return self.upstream_task_ids if upstream else self.downstream_task_ids

    def get_direct_relatives(self, upstream: bool = False) -> list[BaseOperator]:
        """The tasks directly upstream or downstream."""
        return self.upstream_list if upstream else self.downstream_list

    def get_flat_relative_ids(self, *, upstream: bool = False) -> set[str]:
        """Ids of all tasks upstream or downstream, however far away."""
        found: set[str] = set()
        waiting = list(self.get_direct_relative_ids(upstream))
        while waiting:
            task_id = waiting.pop()
            if task_id not in found:
                found.add(task_id)
                waiting.extend(self.dag.get_task(task_id).get_direct_relative_ids(upstream))
        return found

    def get_flat_relatives(self, upstream: bool = False) -> list[BaseOperator]:
        """All tasks upstream or downstream, by id."""
        return [self.dag.get_task(task_id) for task_id in sorted(self.get_flat_relative_ids(upstream=upstream))]

    def set_upstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make this task depend on `other`."""
        self._relate(other, upstream=True, edge_modifier=edge_modifier)

    def set_downstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make `other` depend on this task."""
        self._relate(other, upstream=False, edge_modifier=edge_modifier)

    def _relate(self, other: Related, *, upstream: bool, edge_modifier: EdgeModifier | None) -> None:
        for node in as_nodes(other):
            node.update_relative(self, not upstream, edge_modifier)
            if isinstance(node, EdgeModifier):
                continue
            for task in _tasks_of(node.leaves if upstream else node.roots):
                before, after = (task, self) if upstream else (self, task)
                connect(before, after, edge_modifier)

    # ------------------------------------------------------------ setup and teardown

    def as_setup(self) -> BaseOperator:
        """Make this a setup task."""
        self.is_setup = True
        return self

    def as_teardown(
        self, *, setups: Any = None, on_failure_fail_dagrun: bool = False, **arguments: Any
    ) -> BaseOperator:
        """Make this a teardown task, of `setups` when given; its failure fails the run only when asked."""
        self.is_teardown = True
        self.trigger_rule = TriggerRule.ALL_DONE_SETUP_SUCCESS
        self.on_failure_fail_dagrun = on_failure_fail_dagrun
        for node in as_nodes(setups) if setups is not None else []:
            for task in _tasks_of(node.leaves):
                task.is_setup = True
                connect(task, self, None)
        return self

    def __enter__(self) -> TeardownScope:
        """Tasks made inside the block run between this setup/teardown pair. Raises UserError for other tasks."""
        from dagdeck.teardown_scope import TeardownScope

        if not self.is_setup and not self.is_teardown:
            raise invalid(
                "only a setup or teardown task can be used with `with`", subject=_subject(self._dag, self.task_id)
            )
        return TeardownScope(self).open()

    def __exit__(self, failed: object, *_: object) -> None:
        opened = scope.current_teardown_scope()
        assert opened is not None
        opened.close(connect=failed is None)

    # ------------------------------------------------------------ mapping

    @classmethod
    def partial(cls, **arguments: Any) -> OperatorPartial:
        """The arguments that all instances have in common; `.expand()` or `.expand_kwargs()` on it makes the task.

        Raises UserError for arguments that the operator does not take.
        """
        from dagdeck.mapping.partials import OperatorPartial

        return OperatorPartial(cls, arguments)


def _subject(dag: DAG | None, task_id: object) -> str:
    task = f"task {task_id!r}"
    return f"dag {dag.dag_id!r}, {task}" if dag is not None else task


def _tasks_of(nodes: Iterable[Any]) -> list[BaseOperator]:
    """The operators among what `roots` or `leaves` gave."""
    return [node for node in nodes if isinstance(node, BaseOperator)]


def connect(before: BaseOperator, after: BaseOperator, edge_modifier: EdgeModifier | None) -> None:
    """Make `after` depend on `before`, both in one DAG; a task without DAG joins the other's.

    Raises UserError when neither has a DAG or they have different ones.
    """
    if before._dag is None and after._dag is not None:
        before.dag = after._dag
    elif after._dag is None and before._dag is not None:
        after.dag = before._dag
    if before._dag is not after._dag:
        raise invalid(
            f"it cannot depend on task {before.task_id!r} of dag {before.dag_id!r}",
            subject=_subject(after._dag, after.task_id),
            field="upstream",
            remedy="Both tasks must belong to one DAG",
        )
    if before._dag is None:
        raise invalid(
            f"tasks {before.task_id!r} and {after.task_id!r} belong to no DAG",
            remedy="Make them inside `with DAG(...)`, or give one of them dag=",
        )
    before.downstream_task_ids.add(after.task_id)
    after.upstream_task_ids.add(before.task_id)
    if edge_modifier is not None and edge_modifier.label:
        before._dag.set_edge_label(before.task_id, after.task_id, edge_modifier.label)
