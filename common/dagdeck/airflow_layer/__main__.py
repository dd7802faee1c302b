"""A DAG file as a script: `python -m dagdeck.airflow_layer my_dag.py`.

Decides that its `if __name__ == "__main__":` part, usually `dag.test()`, runs with the layer in place. Started by
people and by debuggers.
"""

from __future__ import annotations

import os
import runpy
import sys

from dagdeck import airflow_layer


def main() -> None:
    """Run the file that the first argument names; it finds the further arguments in sys.argv."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m dagdeck.airflow_layer FILE [arguments]")
    del sys.argv[0]
    airflow_layer.install()
    sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
