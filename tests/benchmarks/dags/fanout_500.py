"""500 tasks that do nothing. The word dagdeck makes this a DAG file."""

from measured_tasks import make_fan_out  # type: ignore[import-not-found]  # it lies beside this file

make_fan_out(500)
