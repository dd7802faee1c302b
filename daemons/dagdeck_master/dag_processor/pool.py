"""Parses a list of files in a few children at once; each file ends in exactly one result.

Decides how many children run, when one is replaced, and what a hang, a crash or a flood of output means for
the file that was being parsed. Does not decide which files are parsed (`incremental`) nor what their results
mean together (`catalog`). Called by `processor`, from one thread.
"""

from __future__ import annotations

import logging
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_core.wire import Reply, Request, WireError
from dagdeck_master.dag_processor.child_process import MAX_REPLY, ParsingChild
from dagdeck_master.dag_processor.failures import crashed, malformed, timed_out
from dagdeck_master.dag_processor.process_tree import kill_orphans
from dagdeck_master.dag_processor.protocol import ParsedFile, ParseFile, Ready, to_child_codec

if TYPE_CHECKING:
    from dagdeck_master.dag_processor.portable_child import PortableParsingChild

logger = logging.getLogger(__name__)

_TICK = 0.05
"""Seconds between looks at deadlines and at children that ended without a word."""
_START_TIMEOUT = 60.0
"""Seconds until a child that was started must be ready."""
_START_ATTEMPTS = 3
_FILES_PER_CHILD = 200
"""A child is replaced after so many files, so that what imports leave in its memory does not add up."""
_FILES_WORTH_A_CHILD = 4
"""Another child is started when so many files wait for each that runs: starting one takes as long as a few files."""
_SLOW_FILE = 1.0
"""Seconds after which a file that is still being parsed gets company for those that wait behind it."""

AnswerRequest = Callable[[Request], Reply]


@dataclass(slots=True)
class _Slot:
    child: ParsingChild | PortableParsingChild
    job: ParseFile | None = None
    deadline: float = 0.0
    files: int = 0


class ParsingPool:
    """Up to `parallel` children, started when there is work and ended when there is none."""

    def __init__(
        self,
        *,
        launch: Callable[[], ParsingChild | PortableParsingChild],
        answer: AnswerRequest,
        parallel: int,
        timeout: float,
        owns_children: bool = False,
        lifeline: Lifeline = UNWATCHED,
    ) -> None:
        """`timeout` is in seconds per file. `owns_children`: this process adopts orphans and has no other children."""
        self._launch = launch
        self._answer = answer
        self._parallel = parallel
        self._timeout = timeout
        self._owns_children = owns_children
        self._lifeline = lifeline
        self._slots: list[_Slot] = []
        self._failed_starts = 0

    def warm_up(self) -> None:
        """Start a child now, because there will be work in a moment."""
        if not self._slots:
            self._slots.append(_Slot(self._launch()))

    def parse(self, jobs: Sequence[ParseFile]) -> Iterator[ParsedFile]:
        """Results as they come, one for each of `jobs`.

        Raises EnvironmentFault when children cannot be started at all. Ending the iteration early kills the
        children that are at work.
        """
        waiting = deque(jobs)
        self._failed_starts = 0
        try:
            while waiting or any(slot.job for slot in self._slots):
                self._staff(len(waiting))
                self._hand_out(waiting)
                self._wait()
                self._lifeline.alive()
                for slot in list(self._slots):
                    yield from self._attend(slot)
        finally:
            for slot in [slot for slot in self._slots if slot.job is not None]:
                self._dismiss(slot)

    def close(self) -> None:
        """End all children."""
        for slot in list(self._slots):
            self._dismiss(slot)

    def _staff(self, waiting: int) -> None:
        if not waiting:
            return
        # A file that takes long must not hold up the others, however few they are.
        overdue = time.monotonic() - _SLOW_FILE + self._timeout
        slow = sum(1 for slot in self._slots if slot.job is not None and slot.deadline < overdue)
        wanted = min(self._parallel, max(-(-waiting // _FILES_WORTH_A_CHILD), slow + 1))
        while len(self._slots) < wanted:
            self._slots.append(_Slot(self._launch()))

    def _hand_out(self, waiting: deque[ParseFile]) -> None:
        for slot in self._slots:
            if waiting and slot.job is None and slot.child.ready:
                slot.child.output.clear()
                slot.job = waiting.popleft()
                slot.deadline = time.monotonic() + self._timeout
                slot.files += 1
                slot.child.send(slot.job)

    def _wait(self) -> None:
        with selectors.DefaultSelector() as selector:
            for slot in self._slots:
                for fd in slot.child.filenos():
                    selector.register(fd, selectors.EVENT_READ)
            if selector.get_map():
                selector.select(_TICK)
            else:
                time.sleep(_TICK)

    def _attend(self, slot: _Slot) -> Iterator[ParsedFile]:
        """Take what the child said; when it can no longer be used, end it and account for its file."""
        # Asked before the messages are read: a child that ended after it had said all is no crash.
        ended = slot.child.has_ended()
        try:
            for message in slot.child.receive():
                if isinstance(message, Ready):
                    slot.child.ready = True
                elif isinstance(message, Request):
                    self._reply(slot, message)
                else:
                    yield self._finished(slot, message)
        except WireError as error:
            complaint = str(error)
            yield from self._give_up(slot, lambda job, _: malformed(job, complaint))
            return
        if slot not in self._slots:
            return
        if ended:
            yield from self._give_up(slot, lambda job, status: crashed(job, status, slot.child.output.text()))
        elif slot.job is not None and time.monotonic() > slot.deadline:
            slot.child.dump_stacks()
            yield from self._give_up(slot, lambda job, _: timed_out(job, self._timeout, slot.child.output.text()))
        elif not slot.child.ready and time.monotonic() > slot.child.started_at + _START_TIMEOUT:
            yield from self._give_up(slot, lambda job, status: crashed(job, status, slot.child.output.text()))

    def _finished(self, slot: _Slot, result: ParsedFile) -> ParsedFile:
        job, slot.job = slot.job, None
        if job is None or result.path != job.path:
            raise WireError("a parsing process answered for a file that it was not given")
        if not result.reusable or slot.files >= _FILES_PER_CHILD:
            self._dismiss(slot)
        return result

    def _reply(self, slot: _Slot, request: Request) -> None:
        reply = self._answer(request)
        if len(to_child_codec.encode(reply)) > MAX_REPLY:
            reply = Reply(number=request.number, error=("too_large", f"the value is larger than {MAX_REPLY:,} bytes"))
        slot.child.send(reply)

    def _give_up(self, slot: _Slot, judge: Callable[[ParseFile, int], ParsedFile]) -> Iterator[ParsedFile]:
        job, was_ready = slot.job, slot.child.ready
        status = self._dismiss(slot)
        if job is not None:
            yield judge(job, status)
        elif not was_ready:
            self._start_failed(slot, status)

    def _start_failed(self, slot: _Slot, status: int) -> None:
        self._failed_starts += 1
        reason = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
        text = f"a parsing process ended before it was ready ({reason}): {slot.child.output.text()[-2000:].strip()}"
        logger.error("%s", text)
        if self._failed_starts >= _START_ATTEMPTS:
            raise EnvironmentFault(text, remedy="Check dag_processor.memory_limit and the Python installation")

    def _dismiss(self, slot: _Slot) -> int:
        """End a child and its tree; its exit status."""
        if slot in self._slots:
            self._slots.remove(slot)
        status = slot.child.kill()
        if self._owns_children:
            kill_orphans([other.child.pid for other in self._slots])
        return status
