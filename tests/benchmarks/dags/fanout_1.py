"""One task that does nothing. The word dagdeck makes this a DAG file."""

from measured_tasks import make_fan_out

make_fan_out(1)
