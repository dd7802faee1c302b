"""Tasks that read and write what is stored encrypted, again and again."""

from __future__ import annotations

import time

from dagdeck import DAG, BaseHook, Variable, task

ROUNDS = 40


@task
def keeps_reading(number: int) -> None:
    """Ends after some seconds, or at the first value that it does not understand."""
    for round_ in range(ROUNDS):
        assert Variable.get("known") == "as it was"
        assert BaseHook.get_connection("known").password == "a password"
        Variable.set(f"own_{number}", str(round_))
        assert Variable.get(f"own_{number}") == str(round_)
        time.sleep(0.1)


with DAG("keyed"):
    keeps_reading.expand(number=[1, 2, 3])
