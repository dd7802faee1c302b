"""The addresses of a task's extra links, asked for when a try has ended.

Decides when links are asked and what becomes of their answers: text is pushed as an XCom under the link's key, where
the control API finds it. Links are the author's code; what they raise is logged and changes nothing. Called by
`execution` for tasks that have links.
"""

from __future__ import annotations

import logging

from dagdeck.operator_link import key_of, links_of
from dagdeck_task.task_instance import TaskInstance

_log = logging.getLogger("dagdeck.task")


def push(ti: TaskInstance) -> None:
    """Ask each link of the task for its address, and keep it."""
    for name, link in links_of(ti.task).items():
        try:
            address = link.get_link(ti.task, ti_key=ti)
            if address:
                ti.xcom_push(key_of(link), str(address))
        except Exception:  # noqa: BLE001 - a link of the author's may raise anything
            _log.exception("the link %r cannot be worked out", name)
