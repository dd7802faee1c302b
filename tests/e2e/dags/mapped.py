"""Mapped tasks for the end-to-end tests. How many values there are is read from the run's conf, and from a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dagdeck import DAG, BashOperator, get_current_context, task, task_group


@task
def values() -> list[int]:
    """As many numbers as the conf says; after a clear as many as the file says."""
    context = get_current_context()
    conf = context["dag_run"].conf or {}
    file = Path(os.environ["HOME"], "length")
    count = int(file.read_text()) if context["ti"].try_number > 1 and file.exists() else int(conf.get("count", 3))
    return list(range(1, count + 1))


@task(map_index_template="number {{ shown }}")
def add(x: int, y: int = 10) -> int:
    """Add, and be shown under the number."""
    context: Any = get_current_context()
    context["shown"] = x
    return x + y


@task
def total(of: Any) -> int:
    """A reduction."""
    return sum(of)


@task
def double(x: int) -> int:
    """Twice the number; 13 cannot be doubled."""
    if x == 13:
        raise ValueError("not thirteen")
    return x * 2


@task_group
def group(x: int) -> Any:
    """Two tasks, index by index."""
    return add.override(task_id="inside", map_index_template=None)(double(x), 0)


with DAG("mapped") as mapped:
    numbers = values()
    first = add.expand(x=numbers)
    second = add.override(task_id="second").partial(y=100).expand(x=first)
    total(second)
    total.override(task_id="of_group")(group.expand(x=numbers))
    BashOperator.partial(task_id="bash", bash_command="echo $N {{ ti.map_index }}").expand_kwargs(
        numbers.map(lambda n: {"env": {"N": str(n)}})
    )

with DAG("mapped_wide") as mapped_wide:
    total.override(task_id="reduce", trigger_rule="all_done")(double.override(task_id="wide").expand(x=list(range(40))))
