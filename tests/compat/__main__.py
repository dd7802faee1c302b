"""`python -m tests.compat`: holds DagDeck against Airflow's own example DAGs, or against a folder of others.

Decides the command line and the exit code: 0 when every comparable DAG matches. Called by `./dev compat`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dagdeck_core.errors import DagDeckError
from tests.compat import report, stage
from tests.compat.campaign import Campaign, Outcome
from tests.compat.corpus import airflow_examples, from_folder
from tests.compat.expectations import COMPARABLE
from tests.support.service_binaries import ServiceUnavailable

BUILD = Path(__file__).resolve().parents[2] / "build"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        corpus = from_folder(options.folder) if options.folder else airflow_examples(BUILD / "compat")
        with (
            tempfile.TemporaryDirectory(prefix="dagdeck-compat-", ignore_cleanup_errors=True) as folder,
            stage.cluster(corpus, Path(folder), standalone=options.standalone) as cluster,
            cluster.client() as client,
        ):
            campaign = Campaign(
                cluster, corpus, client=client, say=to_standard_error, only=options.only, limit=options.limit
            )
            verdicts = campaign.run()
            if options.logs:
                to_standard_error(cluster.logs())
    except (DagDeckError, ServiceUnavailable) as error:
        to_standard_error(f"compat: {error}")
        return 2
    report.show(campaign, verdicts)
    report.write(options.output, campaign, verdicts)
    print(f"written to {options.output}")
    return int(any(each.outcome is not Outcome.MATCHED for each in verdicts if each.kind in COMPARABLE))


def to_standard_error(text: str) -> None:
    """Tell people what is going on without getting among the results."""
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description="DagDeck against Airflow's DAG files")
    parser.add_argument("--only", default="*", metavar="GLOB", help="only DAGs whose dag_id matches; default: all")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="a DAG folder with an expected.json of its own")
    parser.add_argument("--standalone", action="store_true", help="on the embedded database and queue")
    parser.add_argument("--limit", type=float, default=300.0, metavar="SECONDS", help="for each DAG; default: 300")
    parser.add_argument("--logs", action="store_true", help="show the end of every daemon's output")
    parser.add_argument("--output", type=Path, default=BUILD / "compat.json", help="default: build/compat.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
