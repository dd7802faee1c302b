"""Operators that ask a person: HITLOperator, ApprovalOperator, HITLBranchOperator, HITLEntryOperator.

Decides what is asked and what an answer means, by the semantics of Airflow's standard provider. While nobody has
answered, the task instance is awaiting_input: it takes no slot and no process. Who may answer, and that an answer
fits, is checked where it is given (the control API); that it comes in time, by the scheduler. Used in DAG files.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from urllib.parse import urlencode, urlsplit, urlunsplit

from dagdeck.exceptions import (
    HITLRejectException,
    HITLTimeoutError,
    HITLTriggerEventError,
    ParamValidationError,
    TaskAwaitingInput,
    invalid,
)
from dagdeck.operator import BaseOperator
from dagdeck.operators.skipping import BranchMixIn, SkipMixin
from dagdeck.params import ParamsDict
from dagdeck_core.human_input import TIMED_OUT, Question, check_answer

if TYPE_CHECKING:
    from dagdeck.context import Context
    from dagdeck.notifier import BaseNotifier

HITLUser = dict[str, str]
"""A person: id and name."""


class HITLOperator(BaseOperator):
    """Ask a person to choose among `options`, and to fill in `params` where there are any.

    The result is a dict of chosen_options, params_input, responded_at and responded_by_user. When nobody has answered
    within `response_timeout`, `defaults` are taken, or the task fails without them. Only `assigned_users` may answer,
    if given; `notifiers` are called when the task begins to wait. Raises UserError for options that do not fit.
    """

    template_fields: ClassVar[Sequence[str]] = ("subject", "body")
    execution_timeout: timedelta | None

    def __init__(
        self,
        *,
        subject: str,
        options: Sequence[str],
        body: str | None = None,
        defaults: str | Sequence[str] | None = None,
        multiple: bool = False,
        params: ParamsDict | Mapping[str, Any] | None = None,
        notifiers: Sequence[BaseNotifier] | BaseNotifier | None = None,
        assigned_users: HITLUser | Sequence[HITLUser] | None = None,
        response_timeout: timedelta | None = None,
        **arguments: Any,
    ) -> None:
        self._form = ParamsDict(params, suppress_exception=True)
        super().__init__(**arguments)
        if self.execution_timeout and not response_timeout:
            warnings.warn(
                "execution_timeout as the time for an answer is deprecated: use response_timeout",
                DeprecationWarning,
                stacklevel=2,
            )
            response_timeout = self.execution_timeout
            self.execution_timeout = None
        self.subject = subject
        self.body = body
        self.options = list(options)
        self.defaults = [defaults] if isinstance(defaults, str) else None if defaults is None else list(defaults)
        self.multiple = multiple
        self.response_timeout = response_timeout
        many = notifiers if isinstance(notifiers, (list, tuple)) else [notifiers]
        self.notifiers: list[Any] = [notifier for notifier in many if notifier is not None]
        self.assigned_users = [assigned_users] if isinstance(assigned_users, dict) else list(assigned_users or [])
        self.hitl_summary_extra: dict[str, Any] = {}
        self._check()

    def _check(self) -> None:
        subject = f"task {self.task_id!r}"
        if not self.options:
            raise invalid("there must be an option to choose", subject=subject, field="options", value=self.options)
        if "_options" in self._form:
            raise invalid("this name is taken", subject=subject, field="params", value="_options")
        for default in self.defaults or ():
            if default not in self.options:
                raise invalid("a default must be an option", subject=subject, field="defaults", value=default)
        if not self.multiple and self.defaults is not None and len(self.defaults) > 1:
            raise invalid(
                "only one default can count without multiple=True",
                subject=subject,
                field="defaults",
                value=self.defaults,
            )

    # ------------------------------------------------------------ what is asked

    @property
    def params(self) -> ParamsDict:
        """The form's fields; the DAG's params have nothing to do with it."""
        return self._form

    @params.setter
    def params(self, params: Mapping[str, Any]) -> None:
        self._form = ParamsDict(params, suppress_exception=True)

    @property
    def serialized_params(self) -> dict[str, dict[str, Any]]:
        """The form's fields as data."""
        return {name: param.dump() for name, param in self._form.items_as_params()}

    @property
    def hitl_summary(self) -> dict[str, Any]:
        """What was asked and what came of it, for listeners."""
        return {
            "subject": self.subject,
            "body": self.body,
            "options": self.options,
            "defaults": self.defaults,
            "multiple": self.multiple,
            "assigned_users": self.assigned_users,
            "serialized_params": self.serialized_params or None,
            **self.hitl_summary_extra,
        }

    def question(self) -> Question:
        """The question as it is stored."""
        return Question(
            subject=str(self.subject),
            options=tuple(self.options),
            next_method="execute_complete",
            body=None if self.body is None else str(self.body),
            defaults=None if self.defaults is None else tuple(self.defaults),
            multiple=self.multiple,
            params=self.serialized_params,
            assigned_users=tuple({"id": str(user["id"]), "name": str(user["name"])} for user in self.assigned_users),
        )

    def execute(self, context: Context) -> NoReturn:
        """Call the notifiers, then wait for a person."""
        for notifier in self.notifiers:
            notifier(context)
        raise TaskAwaitingInput(method_name="execute_complete", timeout=self.response_timeout)

    # ------------------------------------------------------------ what is answered

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on with the answer, or with the defaults when nobody gave one in time."""
        if "error" in event:
            raise HITLTriggerEventError(str(event["error"]))
        chosen, given = self._answer(event)
        check_answer(self.options, chosen, multiple=self.multiple)
        self._fill_in(given)
        responded_at = event["responded_at"]
        at = datetime.fromisoformat(responded_at) if isinstance(responded_at, str) else responded_at
        result = {
            "chosen_options": chosen,
            "params_input": given,
            "responded_at": at,
            "responded_by_user": event.get("responded_by_user"),
        }
        self.hitl_summary_extra.update({**result, "responded_at": at.isoformat()})
        return result

    def _answer(self, event: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        if not event.get(TIMED_OUT) or "chosen_options" in event:
            return list(event["chosen_options"]), dict(event.get("params_input") or {})
        if self.defaults is None:
            self.hitl_summary_extra["error_type"] = "timeout"
            raise HITLTimeoutError("nobody answered in time, and there are no defaults")
        self.log.info("Nobody answered in time, so the defaults count: %s", self.defaults)
        return list(self.defaults), self._form.dump()

    def _fill_in(self, given: dict[str, Any]) -> None:
        """Check the form's values as those of a run's params. Raises ParamValidationError."""
        if given and self._form and set(given) != set(self._form):
            raise ParamValidationError(
                f"the form has the fields {sorted(self._form)}, the answer those of {sorted(given)}"
            )
        form = ParamsDict(self._form)
        for name, value in given.items():
            form[name] = value
        self._form = form

    # ------------------------------------------------------------ links for people

    def generate_link_to_ui(
        self,
        *,
        task_instance: Any,
        base_url: str | None = None,
        options: str | Sequence[str] | None = None,
        params_input: Mapping[str, Any] | None = None,
    ) -> str:
        """An address that names this question, also with an answer filled in. Raises UserError for a wrong one."""
        query: dict[str, Any] = {}
        chosen = [options] if isinstance(options, str) else list(options or [])
        if chosen:
            wrong = [option for option in chosen if option not in self.options]
            if wrong:
                raise invalid("there are no such options", field="options", value=wrong)
            query["_options"] = chosen
        if params_input:
            unknown = [name for name in params_input if name not in self._form]
            if unknown:
                raise invalid("there are no such params", field="params_input", value=unknown)
            query.update(params_input)
        query["map_index"] = task_instance.map_index
        if base_url is None:
            from dagdeck.configuration import conf

            base_url = str(conf.get("api", "base_url"))
        base = urlsplit(base_url)
        path = (
            f"/dags/{task_instance.dag_id}/runs/{task_instance.run_id}/tasks/{task_instance.task_id}/required_actions"
        )
        return urlunsplit((base.scheme, base.netloc, path, urlencode(query), ""))

    @staticmethod
    def generate_link_to_ui_from_context(
        *,
        context: Context,
        base_url: str | None = None,
        options: Sequence[str] | None = None,
        params_input: Mapping[str, Any] | None = None,
    ) -> str:
        """As `generate_link_to_ui`, for the task of this context. Raises UserError for one that asks nobody."""
        task = context["task"]
        if not isinstance(task, HITLOperator):
            raise invalid("only a HITLOperator has such a link", field="task", value=task)
        return task.generate_link_to_ui(
            task_instance=context["task_instance"], base_url=base_url, options=options, params_input=params_input
        )


class ApprovalOperator(HITLOperator, SkipMixin):
    """Ask for approval. A rejection skips what comes after, or fails the task with `fail_on_reject`.

    With `ignore_downstream_trigger_rules` everything downstream is skipped, otherwise what comes directly after.
    """

    APPROVE = "Approve"
    REJECT = "Reject"
    FIXED_ARGS = ("options", "multiple")

    def __init__(
        self, *, ignore_downstream_trigger_rules: bool = False, fail_on_reject: bool = False, **arguments: Any
    ) -> None:
        for name in self.FIXED_ARGS:
            if name in arguments:
                raise invalid("an approval has its own", field=name, value=arguments[name], remedy="Remove it")
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules
        self.fail_on_reject = fail_on_reject
        super().__init__(options=[self.APPROVE, self.REJECT], multiple=False, **arguments)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Let what comes after go on, or not."""
        result = super().execute_complete(context, event)
        approved = result["chosen_options"] == [self.APPROVE]
        self.hitl_summary_extra["approved"] = approved
        if approved:
            return result
        if self.fail_on_reject:
            raise HITLRejectException("a person rejected")
        if self.ignore_downstream_trigger_rules:
            self.skip(context["ti"], self.get_flat_relatives(upstream=False))
        else:
            self.skip(context["ti"], self.downstream_list)
        return result


class HITLBranchOperator(HITLOperator, BranchMixIn):
    """Follow the tasks that a person chooses: options are task ids, or `options_mapping` leads to them."""

    def __init__(self, *, options_mapping: Mapping[str, str] | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.options_mapping = dict(options_mapping or {})
        for option, task_id in self.options_mapping.items():
            if option not in self.options:
                raise invalid("this is no option", field="options_mapping", value=option)
            if not isinstance(task_id, str):
                raise invalid("an option leads to a task id", field="options_mapping", value=task_id)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Skip what was not chosen."""
        result = super().execute_complete(context, event)
        branches = [self.options_mapping.get(option, option) for option in result["chosen_options"]]
        self.hitl_summary_extra["branches_to_execute"] = branches
        return self.do_branch(context, branches)


class HITLEntryOperator(HITLOperator):
    """Ask a person to fill in a form; there is one option, OK, unless others are given."""

    OK = "OK"

    def __init__(self, **arguments: Any) -> None:
        if "options" not in arguments:
            arguments["options"] = [self.OK]
            arguments.setdefault("defaults", [self.OK])
        super().__init__(**arguments)
