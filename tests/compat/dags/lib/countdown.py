"""A trigger of one's own; triggers live in importable modules."""

import asyncio

from airflow.triggers.base import BaseTrigger, TriggerEvent


class CountdownTrigger(BaseTrigger):
    def __init__(self, start):
        super().__init__()
        self.start = start

    def serialize(self):
        return ("lib.countdown.CountdownTrigger", {"start": self.start})

    async def run(self):
        for _ in range(self.start):
            await asyncio.sleep(0.05)
        yield TriggerEvent({"counted": self.start})
