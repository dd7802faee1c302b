"""The `dagdeck` command line: the control API for people and scripts.

Decides commands, options, output and exit codes. Sub-commands are imported when they are used, so that `dagdeck` starts
quickly. Entry point: `main`.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from dagdeck_client.cli.root import run

    raise SystemExit(run())
