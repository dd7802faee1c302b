"""ResumableJobMixin: operators that start a job elsewhere and find it again after a crash.

Decides when a job is submitted, taken up again or its result fetched. The id of the job stands in the task's state
store. Mixed into operators by their authors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from dagdeck.context import Context
from dagdeck.operator_defaults import OperatorMeta


class ResumableJobMixin(ABC, metaclass=OperatorMeta):
    """Before BaseOperator among an operator's bases; its `execute` calls `execute_resumable`.

    With `durable=False` every try submits a job of its own.
    """

    external_id_key: str = "remote_job_id"
    """The key in the task's state store that holds the id of the job."""

    def __init__(self, *, durable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.durable = durable

    def execute_resumable(self, context: Context) -> Any:
        """Submit a job, or go on with the one that an earlier try has submitted; its result.

        A job that has failed meanwhile is submitted anew.
        """
        store = context["task_state_store"] if self.durable and "task_state_store" in context else None
        known = store.get(self.external_id_key) if store is not None else None
        if known:
            status = self.get_job_status(known, context)
            if self.is_job_active(status):
                return self._finish(known, context)
            if self.is_job_succeeded(status):
                return self.get_job_result(known, context)
        submitted = self.submit_job(context)
        if store is not None:
            store.set(self.external_id_key, submitted)
        return self._finish(submitted, context)

    def _finish(self, external_id: Any, context: Context) -> Any:
        self.poll_until_complete(external_id, context)
        return self.get_job_result(external_id, context)

    @abstractmethod
    def submit_job(self, context: Context) -> Any:
        """Start the job; its id."""

    @abstractmethod
    def get_job_status(self, external_id: Any, context: Context) -> str:
        """The job's state, in the words of the other system."""

    @abstractmethod
    def is_job_active(self, status: str) -> bool:
        """Whether a job in this state is still at work."""

    @abstractmethod
    def is_job_succeeded(self, status: str) -> bool:
        """Whether a job in this state has ended well."""

    @abstractmethod
    def poll_until_complete(self, external_id: Any, context: Context) -> None:
        """Wait until the job has ended. Raises what makes the task fail when it has not ended well."""

    def get_job_result(self, external_id: Any, context: Context) -> Any:
        """What the task returns."""
        return None
