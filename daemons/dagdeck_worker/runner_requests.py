"""Answers what running tasks ask: XComs, Variables, Connections, other runs' states.

Decides which questions are answered from what the task itself has written, that answers are bounded, and how
failures are worded. The rest is asked of the database by a thread with a connection of its own, so that a slow answer
never holds up results. Does not read pipes (the main loop does).
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_core.ports import Revealing
from dagdeck_core.wire import REQUEST_METHODS, Reply, Request
from dagdeck_core.work import facts_of
from dagdeck_io.db.faults import NotFound
from dagdeck_worker.dispatches import Dispatch, xcom_of
from dagdeck_worker.worker_thread import WorkerThread

_log = logging.getLogger(__name__)

XCOM_BYTES_PER_DISPATCH = 64 * 1024 * 1024
_ACTIONS = frozenset({"dag_run_trigger", "dag_run_clear"})
FIRST_RETRY_DELAY = 0.1
LONGEST_RETRY_DELAY = 2.0


class RunnerQueries(Protocol):
    """The database's side of requests: one method per `REQUEST_METHODS` entry that needs it, behind one door."""

    def answer(self, ti_id: int, method: str, arguments: Mapping[str, Any]) -> Any:
        """The answer for a task of `ti_id`, within `Revealing` when there are secrets in it.

        Raises NotFound, UserError for arguments that make no sense, EnvironmentFault.
        """


@dataclass(frozen=True, slots=True)
class _Question:
    asker: int
    """A dispatch_no, or what `ask_for_trigger` was given."""
    ti_id: int
    request: Request


class RequestDesk(WorkerThread):
    """See the module. `on_reply` is called from this thread with the asker (a dispatch_no) and the reply;
    `is_live` tells whether an asker still waits for answers, and `on_action` is told of actions that were stored.
    """

    def __init__(
        self,
        queries: RunnerQueries,
        *,
        xcom_limit: int,
        on_reply: Callable[[int, Reply], None],
        is_live: Callable[[int], bool],
        on_action: Callable[[int], None],
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__("requests", on_crash)
        self._queries = queries
        self._xcom_limit = xcom_limit
        self._on_reply = on_reply
        self._is_live = is_live
        self._on_action = on_action
        self._waiting: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()

    def stop(self) -> None:
        """See WorkerThread."""
        super().stop()
        self._waiting.put(None)

    def ask(self, dispatch: Dispatch, request: Request) -> Reply | None:
        """Called by the main loop: the reply when it can be given now; otherwise `on_reply` follows."""
        known = REQUEST_METHODS.get(request.method)
        if known is None or not set(request.arguments) <= set(known):
            return Reply(request.number, error=("bad_request", f"there is no request {request.method!r} of this form"))
        about = None if dispatch.order is None else facts_of(dispatch.order)
        if request.method == "xcom_set" and dispatch.order is None:
            return self._set_xcom(dispatch, request)
        if request.method == "xcom_get" and (reply := _own_xcom(dispatch, request)) is not None:
            return reply
        if request.method == "xcom_set":
            request = _sealing(dispatch, request)
        if request.method == "xcom_delete":
            dispatch.xcom_bytes -= len(dispatch.xcoms.pop(str(request.arguments.get("key")), ""))
        ti_id = dispatch.claimed.ti_id if about is None else about.ti_id
        self._waiting.put(_Question(dispatch.claimed.dispatch_no, ti_id, request))
        return None

    def ask_for_trigger(self, asker: int, ti_id: int, request: Request) -> Reply | None:
        """The same for a trigger: `asker`, a negative number, says which process has asked, and comes back with the
        reply. Triggers write no XComs; an event that ends the task carries them."""
        known = REQUEST_METHODS.get(request.method)
        if known is None or not set(request.arguments) <= set(known):
            return Reply(request.number, error=("bad_request", f"there is no request {request.method!r} of this form"))
        if request.method in ("xcom_set", "xcom_delete"):
            return Reply(request.number, error=("refused", "a trigger pushes no XComs; give them to the event"))
        self._waiting.put(_Question(asker, ti_id, request))
        return None

    def _set_xcom(self, dispatch: Dispatch, request: Request) -> Reply:
        """Keep the value; it is committed with the dispatch's end."""
        key, value = request.arguments.get("key"), request.arguments.get("value")
        if not isinstance(key, str) or not isinstance(value, str):
            return Reply(request.number, error=("bad_request", "an XCom needs a key and a value as JSON text"))
        size = len(value.encode())
        if size > self._xcom_limit:
            message = f"the XCom {key!r} has {size:,} bytes as JSON; the limit xcom.max_bytes is {self._xcom_limit:,}"
            return Reply(request.number, error=("too_large", message))
        total = dispatch.xcom_bytes - len(dispatch.xcoms.get(key, "")) + len(value)
        if total > XCOM_BYTES_PER_DISPATCH:
            message = f"the XComs of one task instance may have {XCOM_BYTES_PER_DISPATCH:,} bytes altogether"
            return Reply(request.number, error=("too_large", message))
        dispatch.xcom_bytes = total
        dispatch.xcoms[key] = value
        return Reply(request.number)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while (question := self._waiting.get()) is not None and not self.stopping.is_set():
            if self._is_live(question.asker):
                reply = self._answer(question)
                if reply is not None:
                    self._on_reply(question.asker, reply)

    def _answer(self, question: _Question) -> Reply | None:
        """The database's answer, waited for as long as the dispatch lives; None when it no longer does."""
        request = question.request
        delay = FIRST_RETRY_DELAY
        while True:
            try:
                value = self._queries.answer(question.ti_id, request.method, request.arguments)
                if request.method in _ACTIONS:
                    self._on_action(value["action_id"])
                if isinstance(value, Revealing):
                    return Reply(request.number, value.value, secrets=value.secrets)
                return Reply(request.number, value)
            except NotFound as error:
                return Reply(request.number, error=("not_found", str(error)))
            except EnvironmentFault as error:
                if not error.transient:
                    return Reply(request.number, error=("environment", error.message))
                _log.warning("the database does not answer a task's request; trying again: %s", error.message)
                if self.stopping.wait(delay) or not self._is_live(question.asker):
                    return None
                delay = min(delay * 2, LONGEST_RETRY_DELAY)
            except DagDeckError as error:
                return Reply(request.number, error=("refused", str(error)))


def _sealing(dispatch: Dispatch, request: Request) -> Request:
    """The request of a callback, which is stored at once, with what is to be sealed if secrets occur in its value."""
    key, value = request.arguments.get("key"), request.arguments.get("value")
    if not isinstance(key, str) or not isinstance(value, str):
        return request
    item = xcom_of(dispatch.log, key, value)
    return request if item.shown is None else Request(request.number, request.method, {"key": key, "value": item})


def _own_xcom(dispatch: Dispatch, request: Request) -> Reply | None:
    """The task's question for an XCom that it has set itself a moment ago."""
    asked, claimed = request.arguments, dispatch.claimed
    indexes = (claimed.map_index, None) if claimed.map_index < 0 else (claimed.map_index,)
    is_own = (
        asked.get("run_key") == claimed.run_key
        and asked.get("task_id") == claimed.task_id
        and asked.get("map_index") in indexes
        and asked.get("dag_id") in (None, dispatch.dag_id)
        and asked.get("run_id") in (None, dispatch.prepared.run.run_id if dispatch.prepared else None)
    )
    value = dispatch.xcoms.get(str(asked.get("key"))) if is_own else None
    return None if value is None else Reply(request.number, [(claimed.map_index, value)])
