"""A task's log, painted: a million lines that can be followed, searched, filtered, selected and copied.

Decides how a log looks. Does not fetch it. Used by the task panel.
"""

from dagdeck_desktop.log.area import LogArea
from dagdeck_desktop.log.buffer import LogBuffer

__all__ = ["LogArea", "LogBuffer"]
