"""The cases: what is run on a bed, how often, and which numbers come of it.

Decides what each number means. Does not decide how it is shown (`report`). Called by `__main__` and by the short
form in test_benchmarks.py.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from dagdeck_core.actions import PutPool
from tests.benchmarks import bed as beds
from tests.benchmarks import usage
from tests.benchmarks.bed import Bed, Finished, Servers
from tests.benchmarks.dags.measured_tasks import fibonacci
from tests.benchmarks.report import Measurement
from tests.e2e.daemon import wait_until

IDLE_SECONDS = 20.0
SETTLE_SECONDS = 3.0
TRIGGERS = 30
DELAY_SAMPLES = 10
MS = 1000.0
MB = 1024.0 * 1024.0

Results = dict[str, Measurement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case on a warm cluster: the DAGs that it needs, how often it is run by default, and what it gives."""

    dag_ids: tuple[str, ...]
    runs: int
    measure: Callable[[Bed, int], Results]
    own_bed: bool = False
    """True for a DAG so large that it would show in what the others measure."""


def chain(bed: Bed, dag_id: str, count: int, name: str) -> tuple[Results, list[Finished]]:
    """A chain from the trigger's commit to the run's end, and its hops."""
    finished = [bed.run(dag_id) for _ in range(count)]
    hops = [hop * MS for each in finished for hop in each.hops]
    return {
        name: Measurement(unit="s", runs=[each.seconds for each in finished]),
        f"{name}_hop": Measurement(unit="ms", runs=hops, note="from one task's end to the next one's start"),
        f"{name}_cpu": cpu_per_task(finished),
    }, finished


def chain40(bed: Bed, count: int) -> Results:
    """40 tasks of fibo(10), one after another."""
    return chain(bed, "chain_40_10", count, "chain40")[0]


def chain10(bed: Bed, count: int) -> Results:
    """10 tasks of fibo(33), one after another, and what the bare computation takes in this process."""
    bare = [bare_chain() for _ in range(count)]
    results, finished = chain(bed, "chain_10_33", count, "chain10")
    base = sorted(bare)[len(bare) // 2]
    results["chain10_bare"] = Measurement(unit="s", runs=bare, note="10 × fibo(33) in one process, no orchestrator")
    results["chain10_ratio"] = Measurement(unit="×", runs=[each.seconds / base for each in finished])
    return results


def bare_chain() -> float:
    """Seconds for the same computation without any orchestrator."""
    began = time.perf_counter()
    for _ in range(10):
        fibonacci(33)
    return time.perf_counter() - began


def fanout(size: int) -> Callable[[Bed, int], Results]:
    """`size` tasks that do nothing and wait for nothing; creating the run is included."""

    def measure(bed: Bed, count: int) -> Results:
        finished = [bed.run(f"fanout_{size}", timeout=300) for _ in range(count)]
        name = f"fanout{size}"
        return {
            name: Measurement(unit="tasks/s", runs=[size / each.seconds for each in finished]),
            f"{name}_cpu": cpu_per_task(finished),
        }

    return measure


def cpu_per_task(finished: list[Finished]) -> Measurement:
    """CPU time per task of all processes together; its parts by role in the note."""
    parts: Counter[str] = Counter()
    tasks = 0
    for each in finished:
        parts.update(each.cpu)
        tasks += len(each.tasks)
    shares = ", ".join(
        f"{role} {seconds / tasks * 1e6:.0f}" for role, seconds in parts.most_common() if seconds / tasks > 5e-7
    )
    totals = [sum(each.cpu.values()) / len(each.tasks) * 1e6 for each in finished]
    return Measurement(unit="µs", runs=totals, note=shares)


def trigger_to_start(bed: Bed, count: int) -> Results:
    """From just before the request to the control API is sent until the task's own code begins."""
    return {"trigger_to_start": Measurement(unit="ms", runs=[_start_of_one(bed) for _ in range(count)])}


def _start_of_one(bed: Bed) -> float:
    time.sleep(0.15)
    finished = bed.run(beds.SINGLE)
    return (finished.first_start - finished.sent_at).total_seconds() * MS


def expansion(size: int) -> Callable[[Bed, int], Results]:
    """One task expanded into `size` instances that none may start, and what that does to runs beside it."""

    def measure(bed: Bed, count: int) -> Results:
        results: Results = {}
        bed.cluster.database.act_and_wait(PutPool(name="closed", slots=0))
        for _ in range(count):
            alone = statistics.median([_start_of_one(bed) for _ in range(DELAY_SAMPLES)])
            run_id, asked = bed.ask(f"expand_{size}")
            beside = []
            while bed.instances(run_id) < size:
                beside.append(_start_of_one(bed))
            seconds = (datetime.now(UTC) - asked).total_seconds()
            delay = statistics.median(beside) - alone
            note = f"alone {alone:.1f}, beside it {statistics.median(beside):.1f}, at most {max(beside):.1f}"
            _add(results, f"expand{size}", "s", seconds, "from the stored trigger until all instances are there")
            _add(results, f"expand{size}_delay", "ms", delay, f"of the start of other runs: {note}")
        return results

    return measure


def idle(bed: Bed, count: int) -> Results:
    """Memory and CPU of everything while nothing happens; the servers are counted apart."""
    time.sleep(SETTLE_SECONDS)
    cpu, servers_cpu, shares = [], [], Counter[str]()
    for _ in range(count):
        named = bed.processes()
        before, began = usage.cpu_seconds(named), time.monotonic()
        time.sleep(IDLE_SECONDS)
        used = usage.cpu_seconds(named)
        used.subtract(before)
        seconds = time.monotonic() - began
        servers_cpu.append(100 * sum(used[name] for name in usage.SERVERS) / seconds)
        cpu.append(100 * sum(used.values()) / seconds - servers_cpu[-1])
        shares.update({role: 100 * value / seconds / count for role, value in used.items()})
    memory = usage.pss_bytes(bed.processes())
    own = sum(value for role, value in memory.items() if role not in usage.SERVERS)
    parts = ", ".join(f"{role} {value / MB:.0f}" for role, value in memory.most_common())
    cpu_parts = ", ".join(f"{role} {value:.2f}" for role, value in shares.most_common())
    return {
        "idle_memory": Measurement(unit="MB", runs=[own / MB], note=f"PSS: {parts}"),
        "idle_cpu": Measurement(unit="% of a core", runs=cpu, note=cpu_parts),
        **({"idle_servers_cpu": Measurement(unit="% of a core", runs=servers_cpu)} if bed.servers else {}),
    }


def deferred(size: int) -> Callable[[Bed, int], Results]:
    """`size` tasks that wait in triggers: how fast they begin to, and what their waiting costs."""

    def measure(bed: Bed, count: int) -> Results:
        results: Results = {}
        for _ in range(count):
            before = usage.pss_bytes(bed.processes())
            run_id, seconds = bed.defer(f"deferred_{size}", size)
            time.sleep(SETTLE_SECONDS)
            named = bed.processes()
            memory = usage.pss_bytes(named)
            cpu_before, began = usage.cpu_seconds(named), time.monotonic()
            time.sleep(IDLE_SECONDS)
            cpu = usage.cpu_seconds(named)
            cpu.subtract(cpu_before)
            elapsed = time.monotonic() - began
            bed.end(run_id)
            host = "worker" if memory["worker"] else "standalone"
            parts = ", ".join(f"{role} {value / MB:.0f}" for role, value in memory.most_common())
            _add(results, f"deferred{size}_memory", "MB", memory["triggerer"] / MB, f"PSS of the triggerer; {parts}")
            grown = (memory[host] - before[host]) / MB
            _add(results, f"deferred{size}_worker_growth", "MB", grown, "PSS of the worker, compared with before")
            used = 100 * (cpu["triggerer"] + cpu[host]) / elapsed
            _add(results, f"deferred{size}_cpu", "% of a core", used, "triggerer and worker while all wait")
            _add(results, f"deferred{size}", "tasks/s", size / seconds, "from the trigger until all are held")
        return results

    return measure


def _add(results: Results, name: str, unit: str, value: float, note: str) -> None:
    known = results.get(name)
    results[name] = Measurement(unit=unit, runs=[*(known.runs if known else ()), value], note=note)


def cold_start(backend: str, on: Servers | None, count: int) -> Results:
    """From the command's start on a fresh state folder to the end of the first task.

    On servers the schema has been made before, and master and worker are started together.
    """
    seconds = []
    for _ in range(count):
        with tempfile.TemporaryDirectory(prefix="dagdeck-cold-") as folder:
            dags = [Path(__file__).parent / "cold_dags"]
            with beds.new_cluster(backend, Path(folder), on, dags) as cluster:
                if not cluster.is_standalone:
                    cluster.command("db", "upgrade")
                began = datetime.now(UTC)
                if cluster.is_standalone:
                    cluster.start_standalone()
                else:
                    cluster.start_master()
                    cluster.start_worker("worker-1")
                cluster.wait_ready("once")
                wait_until(cluster.database.runs, 30, "the first run exists", pause=0.1)
                run = cluster.wait_run(cluster.database.runs()[0].run_id)
                [task] = cluster.database.task_instances(run.run_id)
                assert task.end_date is not None
                seconds.append((task.end_date - began).total_seconds())
    return {"cold_start": Measurement(unit="s", runs=seconds)}


WARM: Mapping[str, Case] = {
    "idle": Case(dag_ids=(), runs=1, measure=idle),
    "trigger_to_start": Case(dag_ids=(), runs=TRIGGERS, measure=trigger_to_start),
    "chain40": Case(dag_ids=("chain_40_10",), runs=10, measure=chain40),
    "chain10": Case(dag_ids=("chain_10_33",), runs=3, measure=chain10),
    "fanout500": Case(dag_ids=("fanout_500",), runs=10, measure=fanout(500)),
    "deferred2000": Case(dag_ids=("deferred_2000",), runs=1, measure=deferred(2_000), own_bed=True),
    "expand100000": Case(dag_ids=("expand_100000",), runs=1, measure=expansion(100_000), own_bed=True),
    "fanout10000": Case(dag_ids=("fanout_10000",), runs=5, measure=fanout(10_000), own_bed=True),
}
"""Cases that share one warm cluster, in the order in which they are run."""

COLD = "cold_start"
COLD_RUNS = 5
ALL = (COLD, *WARM)


def load_average() -> str:
    """The machine's load, for the account of a measurement."""
    return " ".join(f"{value:.2f}" for value in psutil.getloadavg())
