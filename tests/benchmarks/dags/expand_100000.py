"""One task expanded into 100,000 instances. The word dagdeck makes this a DAG file."""

from measured_tasks import make_expansion  # type: ignore[import-not-found]  # it lies beside this file

make_expansion(250, 400)
