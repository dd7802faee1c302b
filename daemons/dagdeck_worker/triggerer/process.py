"""The process that runs triggers: one event loop, thousands of coroutines, users' code, no credentials.

Decides how a trigger is begun, stopped and cleaned up, and that one which blocks the loop is named. What an event means
and how it is stored is the worker's business (`trigger_host`, `trigger_desk`). Begun by `runner.process` in a runner
that was told to be the triggerer; ends when its pipe closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from dagdeck import runtime
from dagdeck.triggers.base import BaseTrigger
from dagdeck_core.wire import (
    BeTriggerer,
    RunTrigger,
    Shutdown,
    StopTrigger,
    ToRunner,
    TriggerBroke,
    TriggerOutput,
    TriggerYielded,
)
from dagdeck_task import task_log, triggering
from dagdeck_task.masking import Masker
from dagdeck_worker.frames import FrameReader
from dagdeck_worker.triggerer.pipe import TriggererPipe
from dagdeck_worker.triggerer.sharing import SharedStreams
from dagdeck_worker.triggerer.streams import Lines, TriggerStream, current

_log = logging.getLogger("dagdeck.trigger")

COMMAND_NAME = "dagdeck-trigger"
"""What `ps` shows; the system allows 15 characters."""
WAITING_THREADS = 32
BEAT_SECONDS = 0.25
SEND_AT_ONCE = 64 * 1024
"""Characters of one trigger's lines that do not wait for the interval."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds before a trigger that goes on is begun anew after it ended or failed."""


class _Running:
    """One trigger while it is here."""

    __slots__ = ("claim_no", "is_killed", "is_stopping", "lines", "message", "task", "trigger")

    def __init__(self, message: RunTrigger) -> None:
        self.message = message
        self.claim_no = message.claim_no
        self.lines = Lines(message.trigger_id)
        self.task: asyncio.Task[None] | None = None
        self.trigger: BaseTrigger | None = None
        self.is_stopping = False
        self.is_killed = False


def serve(command: int, result: int, reader: FrameReader, received: list[ToRunner], options: BeTriggerer) -> int:
    """Run triggers until the pipe `command` closes; the exit code of the process.

    `reader` and `received` hold what was read from the pipe already.
    """
    with suppress(OSError):
        Path("/proc/self/comm").write_text(COMMAND_NAME)
    return asyncio.run(Triggerer(command, result, reader, options).serve(received))


class Triggerer:
    """All triggers of this process. Everything but `_watch` runs in the event loop's thread."""

    def __init__(self, command: int, result: int, reader: FrameReader, options: BeTriggerer) -> None:
        self._options = options
        self._masker = Masker(wrap_streams=False)
        self._pipe = TriggererPipe(
            command,
            result,
            reader,
            self._masker,
            on_message=self._post,
            on_close=lambda: self._post(Shutdown()),
        )
        self._running: dict[int, _Running] = {}
        self._classes = triggering.TriggerClasses()
        self._shared = SharedStreams()
        # Imports may take long; one at a time, because they change what the next one finds.
        self._importer = ThreadPoolExecutor(1, "import")
        self._unsent: set[Lines] = set()
        self._beat = time.monotonic()
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Event

    async def serve(self, received: list[ToRunner]) -> int:
        """See the function."""
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        # What triggers wait for in threads (files, databases without asynchronous drivers) may hang for some of them.
        self._loop.set_default_executor(ThreadPoolExecutor(WAITING_THREADS, "waiting"))
        sys.stdout = TriggerStream(sys.stdout, self._masker, self._written)
        sys.stderr = TriggerStream(sys.stderr, self._masker, self._written)
        task_log.begin(self._masker)
        self._schedule_beat()
        self._loop.call_later(self._options.output_interval, self._send_output)
        threading.Thread(target=self._watch, args=(threading.get_ident(),), name="watchdog", daemon=True).start()
        with runtime.answering(self._pipe):
            self._pipe.start(received)
            await self._over.wait()
            await self._end()
        return 0

    async def _end(self) -> None:
        """Stop everything and give it a while to clean up."""
        tasks = []
        for running in list(self._running.values()):
            running.is_stopping = True
            if running.task is not None:
                running.task.cancel()
                tasks.append(running.task)
        if tasks:
            await asyncio.wait(tasks, timeout=self._options.cleanup_limit)
        self._send_output(is_end=True)
        sys.stdout.flush()
        # Threads of triggers that hang must not keep the process.
        os._exit(0)

    # ------------------------------------------------------------ from the worker

    def _post(self, message: ToRunner) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(self._handle, message)

    def _handle(self, message: ToRunner) -> None:
        if isinstance(message, RunTrigger):
            self._begin(message)
        elif isinstance(message, StopTrigger):
            running = self._running.get(message.trigger_id)
            if running is not None and running.task is not None:
                running.is_stopping, running.is_killed = True, message.killed
                running.task.cancel()
        elif isinstance(message, Shutdown):
            self._over.set()

    def _begin(self, message: RunTrigger) -> None:
        before = self._running.get(message.trigger_id)
        if before is not None and before.claim_no >= message.claim_no:
            return
        if before is not None and before.task is not None:
            before.is_stopping = True
            before.task.cancel()
        running = self._running[message.trigger_id] = _Running(message)
        name = f"{message.classpath} of {message.dag_id}.{message.task_id}" if message.task_id else message.classpath
        running.task = self._loop.create_task(self._run(running), name=name)

    # ------------------------------------------------------------ one trigger

    async def _run(self, running: _Running) -> None:
        message = running.message
        current.set(running.lines)
        try:
            if message.goes_on:
                await self._go_on(running)
            else:
                await self._until_first_event(running)
        except asyncio.CancelledError:
            if not running.is_stopping:
                self._broke(running, "the trigger cancelled itself")
        except BaseException as error:  # noqa: BLE001 - whatever a trigger raises must not end the others
            self._broke(running, triggering.trace_of(error))
        finally:
            if self._running.get(message.trigger_id) is running:
                del self._running[message.trigger_id]

    async def _until_first_event(self, running: _Running) -> None:
        message = running.message
        try:
            trigger = await self._make(running)
            _log.info("Trigger %s begins to wait", message.classpath)
            event = await triggering.first_event(self._shared.events(trigger))
            _log.info("Trigger %s fired", message.classpath)
            self._flush(running.lines, is_end=True)
            self._pipe.send(
                TriggerYielded(message.trigger_id, running.claim_no, event.outcome.value, event.payload, event.xcoms)
            )
        finally:
            await self._clean_up(running)

    async def _go_on(self, running: _Running) -> None:
        """Run a trigger that fires again and again, anew whenever it ends."""
        message = running.message
        pause = FIRST_PAUSE
        while True:
            try:
                trigger = await self._make(running)
                async with aclosing(self._shared.events(trigger)) as events:  # type: ignore[type-var]
                    async for each in events:
                        event = triggering.described(each)
                        self._pipe.send(
                            TriggerYielded(message.trigger_id, running.claim_no, event.outcome.value, event.payload)
                        )
                        pause = FIRST_PAUSE
            except Exception:  # noqa: BLE001 - whatever a trigger raises must not end the others
                _log.exception("Trigger %s failed; it begins anew in %.0f s", message.classpath, pause)
            finally:
                await self._clean_up(running)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _make(self, running: _Running) -> BaseTrigger:
        message = running.message
        place = triggering.TriggerPlace(
            root=message.bundle_root, version=message.bundle_version, fileloc=message.fileloc
        )
        cls = self._classes.known(message.classpath, place)
        if cls is None:
            cls = await self._loop.run_in_executor(self._importer, self._classes.find, message.classpath, place)
        instance = None
        if message.task_id:
            instance = triggering.WaitingTaskInstance(
                dag_id=message.dag_id,
                run_id=message.run_id,
                task_id=message.task_id,
                map_index=message.map_index,
                try_number=message.try_number,
            )
        running.trigger = triggering.make_trigger(cls, message.kwargs, message.trigger_id, instance)
        return running.trigger

    async def _clean_up(self, running: _Running) -> None:
        trigger, running.trigger = running.trigger, None
        if trigger is None:
            return
        try:
            if running.is_killed:
                await trigger.on_kill()
            await trigger.cleanup()
        except Exception:  # noqa: BLE001 - nor whatever its cleaning up does
            _log.exception("cleaning up after trigger %s failed", running.message.classpath)

    def _broke(self, running: _Running, trace: str) -> None:
        _log.error("Trigger %s failed: %s", running.message.classpath, trace.rstrip().rpartition("\n")[2])
        self._flush(running.lines, is_end=True)
        self._pipe.send(TriggerBroke(running.message.trigger_id, running.claim_no, trace))

    # ------------------------------------------------------------ output

    def _written(self, lines: Lines) -> None:
        """Called by whoever writes, in any thread."""
        self._unsent.add(lines)
        if lines.size > SEND_AT_ONCE:
            self._flush(lines)

    def _send_output(self, is_end: bool = False) -> None:
        if not is_end:
            self._loop.call_later(self._options.output_interval, self._send_output)
        unsent, self._unsent = self._unsent, set()
        for lines in unsent:
            self._flush(lines, is_end=is_end)

    def _flush(self, lines: Lines, *, is_end: bool = False) -> None:
        data = lines.take(is_end=is_end)
        if data:
            self._pipe.send(TriggerOutput(lines.trigger_id, data))

    # ------------------------------------------------------------ the watchdog

    def _schedule_beat(self) -> None:
        self._beat = time.monotonic()
        self._loop.call_later(BEAT_SECONDS, self._schedule_beat)

    def _watch(self, loop_thread: int) -> None:
        """Name whoever holds up the loop, each one once. In a thread of its own."""
        limit = self._options.block_limit
        since = last_beat = 0.0
        holder: asyncio.Task[Any] | None = None
        is_told = False
        while True:
            # More often than the limit, or a look that comes late on a busy machine misses what just exceeds it.
            time.sleep(limit / 2)
            now, beat, task = time.monotonic(), self._beat, asyncio.current_task(self._loop)
            if beat != last_beat:
                last_beat, since, is_told = beat, beat + BEAT_SECONDS, False
            elif task is not holder:
                # One after the other, without a beat between them: the second has not held it up for so long.
                since, is_told = now, False
            holder = task
            blocked = now - since
            if blocked < limit or is_told:
                continue
            is_told = True
            frame: Any = sys._current_frames().get(loop_thread)
            stack = "".join(traceback.format_stack(frame)[-5:]) if frame is not None else ""
            name = task.get_name() if task is not None else "something outside a trigger"
            text = (
                f"{name} has been blocking the triggerer's event loop, and with it all other triggers, for "
                f"{blocked:.1f} s; use asynchronous calls or asyncio.to_thread\n{stack}"
            )
            line = task_log.formatted("WARNING", "dagdeck.trigger", text)
            owner = next((each for each in list(self._running.values()) if each.task is task), None)
            self._pipe.send(TriggerOutput(owner.message.trigger_id if owner else 0, line.encode()))
