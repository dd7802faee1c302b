"""DAGs whose tasks wait in triggers: for a flag file, for ever, with a timeout, by a trigger of this very file."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from dagdeck import DAG, BaseOperator, BaseSensorOperator, Context, Variable, task
from dagdeck.triggers.base import BaseTrigger, StartTriggerArgs, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from dagdeck.triggers.file import FileTrigger
from dagdeck.triggers.temporal import TimeDeltaTrigger

FLAGS = Path(os.environ["STAMP_FILE"]).parent / "flags"


class Flag(BaseTrigger):
    """Waits for a flag; tells when it is begun, killed and cleaned up."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Named as this module is loaded."""
        return f"{type(self).__module__}.Flag", {"name": self.name}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for the flag."""
        print(f"printed: {self.name} begins in process {os.getpid()}")
        self.log.info("looking for %s of %s", self.name, self.task_instance.run_id)
        tell(f"{self.name} begins")
        while not (FLAGS / self.name).exists():
            await asyncio.sleep(0.05)
        yield TriggerEvent({"pid": os.getpid(), "variable": await asyncio.to_thread(Variable.get, "x", "none")})

    async def cleanup(self) -> None:
        """Tell."""
        tell(f"{self.name} cleaned up")

    async def on_kill(self) -> None:
        """Tell."""
        tell(f"{self.name} killed")


class Ending(BaseTrigger):
    """Ends its task."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Write it down."""
        return f"{type(self).__module__}.Ending", {"how": self.how}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Act."""
        await asyncio.sleep(0.1)
        if self.how == "success":
            yield TaskSuccessEvent(xcoms={"return_value": "from the trigger"})
        elif self.how == "skipped":
            yield TaskSkippedEvent()
        elif self.how == "raise":
            raise ValueError("this trigger is broken")
        elif self.how == "exit":
            os._exit(0)
        elif self.how == "block":
            time.sleep(1.5)
            yield TriggerEvent("at last")


def tell(text: str) -> None:
    """Append a line that the test reads."""
    FLAGS.mkdir(exist_ok=True)
    with (FLAGS / "told").open("a") as file:
        file.write(text + "\n")


class Waiter(BaseOperator):
    """Defers to a trigger and returns its event."""

    def __init__(self, trigger: BaseTrigger, timeout: timedelta | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trigger = trigger
        self.limit = timeout

    def execute(self, context: Context) -> None:
        """Defer."""
        print("before the waiting")
        context["ti"].xcom_push("before", context["ti"].dispatch_no)
        self.defer(trigger=self.trigger, method_name="go_on", kwargs={"n": 5}, timeout=self.limit)

    def go_on(self, context: Context, n: int, event: Any = None) -> Any:
        """Go on."""
        print("after the waiting")
        return {"n": n, "event": event, "try": context["ti"].try_number, "dispatch": context["ti"].dispatch_no}


class FileSensor(BaseSensorOperator):
    """A sensor that gives its waiting away."""

    def execute(self, context: Context) -> None:
        """Defer."""
        self.defer(
            trigger=FileTrigger("/nowhere/at/all", poke_interval=0.1),
            method_name="found",
            timeout=self.time_left(context),
        )

    def found(self, context: Context, event: bool) -> None:
        """Never."""


class FromStart(BaseOperator):
    """Begins in a trigger, and ends there or goes on."""

    start_from_trigger = True

    def __init__(self, how: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"{__name__}.Ending",
            trigger_kwargs={"how": how},
            next_method="go_on",
            next_kwargs={"n": 6},
        )

    def go_on(self, context: Context, n: int, event: Any) -> Any:
        """Go on."""
        return [n, event]

    def execute(self, context: Context) -> None:
        """Never called."""
        raise AssertionError


def tell_of(context: Context) -> None:
    """A callback."""
    tell(f"{context['ti'].task_id} is {context['ti'].state}, {context.get('exception')}")


with DAG("flagged"):
    waiting = Waiter(task_id="waiting", trigger=Flag("flag"))

    @task
    def after(value: dict[str, Any]) -> dict[str, Any]:
        """Pass it on."""
        return value

    after(waiting.output)

with DAG("cancelled"):
    Waiter(task_id="waiting", trigger=Flag("never"))

with DAG("timed"):
    Waiter(task_id="short", trigger=TimeDeltaTrigger(timedelta(seconds=1)))
    Waiter(task_id="late", trigger=TimeDeltaTrigger(timedelta(hours=1)), timeout=timedelta(seconds=1))
    FileSensor(task_id="gives_up", timeout=1, soft_fail=True, retries=2)
    FromStart(task_id="begins", how="block")
    FromStart(task_id="begins_and_ends", how="success", on_success_callback=tell_of)
    for how in ("success", "skipped", "raise", "block"):
        Waiter(task_id=how, trigger=Ending(how))

with DAG("deadly"):
    Waiter(task_id="exit", trigger=Ending("exit"))
    Waiter(task_id="innocent", trigger=TimeDeltaTrigger(timedelta(seconds=1)))

with DAG("many", max_active_tasks=64):
    for number in range(200):
        Waiter(task_id=f"t{number}", trigger=Flag("all"))
