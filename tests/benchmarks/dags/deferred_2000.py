"""2,000 tasks that wait in triggers. The word dagdeck makes this a DAG file."""

from measured_tasks import make_waiting  # type: ignore[import-not-found]  # it lies beside this file

make_waiting(2_000)
