"""40 tasks of fibo(10), one after another. The word dagdeck makes this a DAG file."""

from measured_tasks import make_chain  # type: ignore[import-not-found]  # it lies beside this file

make_chain(40, 10)
