"""A runner as a program of its own, for systems without fork: pipes arrive as its standard streams.

Decides how the streams are moved out of user code's way. Started by `hosts.portable` with the command pipe as
standard input, the result pipe as standard output and the file for captured output as standard error.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from dagdeck_worker.runner import process


def main(arguments: list[str]) -> int:
    """Serve tasks from standard input; the exit code."""
    parser = argparse.ArgumentParser(prog="dagdeck_worker.runner")
    parser.add_argument("--entry", required=True)
    module, _, function = parser.parse_args(arguments).entry.partition(":")
    command, result, output = os.dup(0), os.dup(1), os.dup(2)
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (command, result, output):
            msvcrt.setmode(descriptor, os.O_BINARY)
    # What is printed while importing must not end up among the frames.
    os.dup2(output, 1)
    execute: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return process.serve(command, result, output, execute)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
