"""Admission: which of the tasks that may run is released next, within every limit.

Decides by priority among candidates, and keeps the count of what each limit holds: pool slots, active
tasks of a run, of a task, and the workers' capacity per queue. Does not decide whether a task may run
(trigger rules) nor write anything. Called only by the machine.

Candidates wait in heaps, one per (pool, queue). One that a narrower limit holds back is parked under
that limit, and comes back, best first, one for each place that becomes free; so no event rescans the
waiting. Within a pool the head waits for the slots that it needs and nothing smaller overtakes it;
pools do not wait for each other.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from dagdeck_core.records import PoolRecord
from dagdeck_core.scheduling.run_state import Task
from dagdeck_core.states import DISPATCHED, TaskInstanceState

SHORT_TASK = 0.05
"""Seconds: tasks measured below this are handed out ahead of free slots."""
MOST_AHEAD = 128
"""Most dispatches of one queue beyond the workers' slots."""

Entry = tuple[int, datetime, int, int, int, Task]
"""(−priority, run_after, run_key, ti_id, ticket, task): smaller goes first."""
Key = tuple[Any, ...]
"""What a parked entry waits for: ("run", run_key), ("task", dag_id, task_id), …"""


class PoolUse:
    """One pool and how many of its slots are held."""

    __slots__ = ("include_deferred", "name", "slots", "used")

    def __init__(self, record: PoolRecord, used: int) -> None:
        self.name = record.name
        self.slots = record.slots
        self.include_deferred = record.include_deferred
        self.used = used

    @property
    def free(self) -> float:
        """Slots that are free; infinite for a pool without limit. Negative after a pool was made smaller."""
        return float("inf") if self.slots < 0 else self.slots - self.used


class Admission:
    """Candidates and limits. `capacity(queue)` gives the slots of workers that serve a queue now."""

    def __init__(self, capacity: Callable[[str], int], is_paused: Callable[[str], bool]) -> None:
        self._capacity = capacity
        self._is_paused = is_paused
        self.pools: dict[str, PoolUse] = {}
        self._pool_held: dict[str, list[int]] = {}
        """Per pool name [slots held by live dispatches, slots held by deferred tasks]; outlives the pool's row."""
        self._groups: dict[tuple[str, str], list[Entry]] = {}
        self._parked: dict[Key, list[Entry]] = {}
        self._task_active: dict[Key, int] = {}
        self._queue_active: dict[str, int] = {}
        self._pace: dict[str, float] = {}
        self._tickets = 0
        self.deferred = 0
        """Task instances in state deferred."""

    # ------------------------------------------------------------ limits

    def set_pools(self, records: Iterable[PoolRecord]) -> None:
        """Take in all pools; tasks that waited for one of them are looked at again."""
        self.pools = {}
        for record in records:
            self.put_pool(record)

    def put_pool(self, record: PoolRecord) -> None:
        """Take in one pool, new or changed."""
        live, deferred = self._pool_held.get(record.name, (0, 0))
        self.pools[record.name] = PoolUse(record, live + (deferred if record.include_deferred else 0))
        self.unpark(("pool", record.name))

    def remove_pool(self, name: str) -> None:
        """A pool is gone: its tasks wait until it is there again."""
        self.pools.pop(name, None)

    def task_moved(self, task: Task, old: TaskInstanceState, new: TaskInstanceState) -> None:
        """Keep the counts right after a state change; frees and takes places."""
        was, now = old in DISPATCHED, new in DISPATCHED
        if was != now:
            self._hold(task, 1 if now else -1)
        if (old is TaskInstanceState.DEFERRED) != (new is TaskInstanceState.DEFERRED):
            step = 1 if new is TaskInstanceState.DEFERRED else -1
            self.deferred += step
            self._hold_pool(task, 1, step * task.spec.pool_slots)

    def add_run(self, tasks: Iterable[Task], step: int) -> None:
        """Count (1) or take away (−1) all that the tasks of a loaded or dropped run hold."""
        for task in tasks:
            if task.state in DISPATCHED:
                self._hold(task, step)
            elif task.state is TaskInstanceState.DEFERRED:
                self.deferred += step
                self._hold_pool(task, 1, step * task.spec.pool_slots)

    def holds_while_deferred(self, task: Task) -> bool:
        """Whether a task instance holds slots of its pool while it is deferred."""
        pool = self.pools.get(task.spec.pool)
        return pool is not None and pool.include_deferred

    def forget_run(self, run_key: int) -> None:
        """Drop what was parked under a run's own limits."""
        for key in [key for key in self._parked if key[0] in ("run", "run_task") and key[1] == run_key]:
            del self._parked[key]

    def note_duration(self, queue: str, seconds: float) -> None:
        """Remember how long tasks of a queue take, to know how many to hand out ahead."""
        pace = self._pace.get(queue)
        self._pace[queue] = seconds if pace is None else pace + 0.1 * (seconds - pace)

    def window(self, queue: str) -> int:
        """How many dispatches of a queue may be live: the workers' slots, more when its tasks are short."""
        slots = self._capacity(queue)
        pace = self._pace.get(queue)
        if not slots or pace is None or pace >= SHORT_TASK:
            return slots
        return slots + min(MOST_AHEAD, int(slots * min(15.0, SHORT_TASK / max(pace, 1e-6))))

    def active_in_queue(self, queue: str) -> int:
        """Live dispatches of a queue."""
        return self._queue_active.get(queue, 0)

    # ------------------------------------------------------------ candidates

    def offer(self, task: Task) -> None:
        """Make `task` a candidate (again); any earlier entry of it becomes void."""
        self._tickets += 1
        run = task.run
        if not task.ticket:
            run.candidates += 1
        task.ticket = self._tickets
        entry = (-task.priority, run.record.run_after, run.key, task.ti_id, task.ticket, task)
        self._push(entry)

    @staticmethod
    def withdraw(task: Task) -> None:
        """Make every entry of `task` void."""
        if task.ticket:
            task.ticket = 0
            task.run.candidates -= 1

    def unpark(self, key: Key) -> None:
        """Look again at all that was parked under `key`."""
        for entry in self._parked.pop(key, ()):
            self._push(entry)

    def pick(self) -> Iterator[Task]:
        """Candidates to release, best first; the caller dispatches each before it asks for the next.

        Ends when every group is empty or held back.
        """
        blocked: dict[tuple[str, str], None] = {}
        # Pools whose head waits for slots: nothing that comes after it may take them, whatever its queue.
        full: dict[str, None] = {}
        room: dict[str, int] = {}
        while True:
            best: tuple[str, str] | None = None
            for name, heap in self._groups.items():
                if (
                    heap
                    and name not in blocked
                    and name[0] not in full
                    and (best is None or heap[0] < self._groups[best][0])
                ):
                    best = name
            if best is None:
                self._groups = {name: heap for name, heap in self._groups.items() if heap}
                return
            pool_name, queue = best
            if queue not in room:
                room[queue] = self.window(queue) - self.active_in_queue(queue)
            pool = self.pools.get(pool_name)
            if pool is None or room[queue] <= 0:
                blocked[best] = None
                continue
            heap = self._groups[best]
            entry = heap[0]
            task = entry[-1]
            if task.ticket != entry[4]:
                heapq.heappop(heap)
                self._replace(task)
                continue
            key = self._held_back_by(task)
            if key is not None:
                heapq.heappop(heap)
                heapq.heappush(self._parked.setdefault(key, []), entry)
                self._replace(task, but=key)
                continue
            slots = task.spec.pool_slots
            if 0 <= pool.slots < slots:
                heapq.heappop(heap)
                heapq.heappush(self._parked.setdefault(("pool", pool_name), []), entry)
                self._replace(task)
                continue
            if pool.free < slots:
                full[pool_name] = None
                continue
            heapq.heappop(heap)
            self.withdraw(task)
            room[queue] -= 1
            yield task

    # ------------------------------------------------------------ inside

    def _held_back_by(self, task: Task) -> Key | None:
        run = task.run
        if self._is_paused(run.record.dag_id):
            return ("dag", run.record.dag_id)
        for key, limit in self._keys(task):
            if self._active(key, task) >= limit:
                return key
        return None

    def _keys(self, task: Task) -> list[tuple[Key, int]]:
        """The narrow limits that hold for a task: (key, how many may be active)."""
        run, spec = task.run, task.spec
        keys: list[tuple[Key, int]] = [(("run", run.key), run.max_active_tasks)]
        if spec.max_active_tis_per_dag is not None:
            keys.append((("task", run.record.dag_id, spec.task_id), spec.max_active_tis_per_dag))
        if spec.max_active_tis_per_dagrun is not None:
            keys.append((("run_task", run.key, spec.task_id), spec.max_active_tis_per_dagrun))
        return keys

    def _active(self, key: Key, task: Task) -> int:
        return task.run.active if key[0] == "run" else self._task_active.get(key, 0)

    def _replace(self, task: Task, but: Key | None = None) -> None:
        """An entry left its heap without a dispatch: let another take the place it was called back for."""
        for key, limit in self._keys(task):
            if key != but and self._active(key, task) < limit:
                self._call_back(key)

    def _call_back(self, key: Key) -> None:
        parked = self._parked.get(key)
        while parked:
            entry = heapq.heappop(parked)
            if entry[-1].ticket == entry[4]:
                self._push(entry)
                break
        if parked is not None and not parked:
            del self._parked[key]

    def _push(self, entry: Entry) -> None:
        spec = entry[-1].spec
        heapq.heappush(self._groups.setdefault((spec.pool, spec.queue), []), entry)

    def _hold(self, task: Task, step: int) -> None:
        spec = task.spec
        self._hold_pool(task, 0, step * spec.pool_slots)
        self._queue_active[spec.queue] = self._queue_active.get(spec.queue, 0) + step
        if spec.max_active_tis_per_dag is None and spec.max_active_tis_per_dagrun is None:
            if step < 0 and self._parked:
                self._call_back(("run", task.run.key))
            return
        for key, _ in self._keys(task):
            if key[0] != "run":
                active = self._task_active.get(key, 0) + step
                if active:
                    self._task_active[key] = active
                else:
                    self._task_active.pop(key, None)
            if step < 0:
                self._call_back(key)

    def _hold_pool(self, task: Task, kind: int, slots: int) -> None:
        name = task.spec.pool
        self._pool_held.setdefault(name, [0, 0])[kind] += slots
        pool = self.pools.get(name)
        if pool is not None and (kind == 0 or pool.include_deferred):
            pool.used += slots
