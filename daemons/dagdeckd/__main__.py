"""Entry point of `dagdeckd` and of `python -m dagdeckd`. Decides nothing; see `cli`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from dagdeckd.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        # Ctrl+C while modules are still being imported.
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
