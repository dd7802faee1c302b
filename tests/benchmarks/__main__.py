"""`python -m tests.benchmarks`: measures whole clusters and writes build/bench.json.

Decides which cases run on which backend. Called by `./dev bench`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import bed as beds
from tests.benchmarks import cases
from tests.benchmarks.report import Measurement, make_console, surroundings, table, write_json
from tests.support.service_binaries import ServiceUnavailable

OUTPUT = Path(__file__).resolve().parents[2] / "build" / "bench.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    console = make_console()
    console.print(surroundings(beds.SETTINGS, cases.load_average()), highlight=False)
    results: dict[str, Measurement] = {}
    for backend in options.backends:
        try:
            found = run_backend(backend, chosen(options.cases), options.runs, say=to_standard_error)
        except ServiceUnavailable as error:
            console.print(f"{backend} cannot be measured: {error}", style="red")
            return 1
        named = {f"{backend}/{name}": each for name, each in found.items()}
        results |= named
        console.print(table(backend, named))
        write_json(options.output, results)
    console.print(f"written to {options.output}")
    return 0


def chosen(names: Sequence[str]) -> dict[str, cases.Case | None]:
    """The cases of these names, in the order in which they are run; a cold start needs no description."""
    wanted: dict[str, cases.Case | None] = {cases.COLD: None} if cases.COLD in names else {}
    return wanted | {name: case for name, case in cases.WARM.items() if name in names}


def to_standard_error(text: str) -> None:
    """Tell people what is going on without getting among the results."""
    print(text, file=sys.stderr, flush=True)


def run_backend(
    backend: str, wanted: Mapping[str, cases.Case | None], count: int | None, *, say: beds.Say
) -> dict[str, Measurement]:
    """All wanted cases of one backend. Raises ServiceUnavailable when its servers cannot be had."""
    results: dict[str, Measurement] = {}
    with ExitStack() as stack:
        on = stack.enter_context(beds.servers()) if backend == "mariadb" else None
        if cases.COLD in wanted:
            say(f"{backend}: {cases.COLD}")
            results |= cases.cold_start(backend, on, count or cases.COLD_RUNS)
        warm = {name: case for name, case in wanted.items() if case is not None}
        shared = {name: case for name, case in warm.items() if not case.own_bed}
        for group in (shared, *({name: case} for name, case in warm.items() if case.own_bed)):
            if group:
                results |= _run_on_one_bed(backend, on, group, count, say)
    return results


def _run_on_one_bed(
    backend: str, on: beds.Servers | None, group: Mapping[str, cases.Case], count: int | None, say: beds.Say
) -> dict[str, Measurement]:
    dag_ids = [dag_id for case in group.values() for dag_id in case.dag_ids]
    results: dict[str, Measurement] = {}
    with (
        tempfile.TemporaryDirectory(prefix="dagdeck-bench-") as folder,
        beds.bed(backend, Path(folder), on, dag_ids) as bed,
    ):
        for name, case in group.items():
            say(f"{backend}: {name} (load {cases.load_average()})")
            results |= case.measure(bed, count or case.runs)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Benchmarks of whole clusters")
    parser.add_argument(
        "--cases",
        type=_choices(cases.ALL),
        default=list(cases.ALL),
        help=f"which ones, with commas between: {', '.join(cases.ALL)}; default: all",
    )
    parser.add_argument(
        "--backends",
        type=_choices(beds.BACKENDS),
        default=list(beds.BACKENDS),
        help=f"on what, with commas between: {', '.join(beds.BACKENDS)}; default: both",
    )
    parser.add_argument("--runs", type=int, help="how often each case is run; default: its own number")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"default: {OUTPUT}")
    return parser


def _choices(known: Sequence[str]) -> type[list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is none of {', '.join(known)}")
        return chosen

    return parse  # type: ignore[return-value]


if __name__ == "__main__":
    sys.exit(main())
