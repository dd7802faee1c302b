"""Entry point of the packaged programs: one executable is every program of its bundle.

Decides which one by the first argument, when that is a program's name, else by the name it was called by (a link may
have any of them). Imports nothing before it knows.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path


def _desktop() -> int:
    from dagdeck_desktop.__main__ import main

    return main()


def _daemon() -> int:
    from dagdeckd.__main__ import main

    main()
    return 0


def _command_line() -> int:
    from dagdeck_client.cli import main

    main()
    return 0


def _service() -> int:
    from dagdeckd.windows_service import main

    return main()


PROGRAMS = {
    "dagdeck-desktop": _desktop,
    "dagdeckd": _daemon,
    "dagdeck": _command_line,
    "dagdeck-service": _service,
}


def main() -> int:
    """Run the program that is meant; its exit code."""
    called_by = Path(sys.argv[0]).name.removesuffix(".exe")
    if len(sys.argv) > 1 and sys.argv[1] in PROGRAMS:
        called_by = sys.argv.pop(1)
    return PROGRAMS.get(called_by, PROGRAMS["dagdeckd"])()


if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
