"""The program behind `dagdeck dags migrate-check`.

Decides its arguments and its exit code. Started by the command line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dagdeck_task.migration.files import LONGEST_LOAD, check
from dagdeck_task.migration.report import as_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a folder and print the report; 0 when every file works, else 1."""
    parser = argparse.ArgumentParser(prog="dagdeck dags migrate-check", description="Check DAG files of Airflow.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--timeout", type=float, default=LONGEST_LOAD)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if not options.folder.exists():
        parser.error(f"there is no folder {options.folder}")
    report = check(options.folder.resolve(), timeout=options.timeout)
    text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode() if options.json else as_text(report)
    print(text)
    return report.exit_code(strict=options.strict)


if __name__ == "__main__":
    sys.exit(main())
