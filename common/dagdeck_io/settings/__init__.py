"""Settings: declared once, loaded from files, environment and command line, with the origin of each value.

Composition roots call `load_settings`; `dagdeckd config` uses the functions of `render`.
"""

from dagdeck_io.settings.load import dump_settings, load_settings, restore_settings, with_values
from dagdeck_io.settings.model import SETTINGS, Origin, Settings, Source
from dagdeck_io.settings.shared_sections import EmbeddedTransport, LogFormat, LogLevel, SqliteSynchronous

__all__ = [
    "SETTINGS",
    "EmbeddedTransport",
    "LogFormat",
    "LogLevel",
    "Origin",
    "Settings",
    "Source",
    "SqliteSynchronous",
    "dump_settings",
    "load_settings",
    "restore_settings",
    "with_values",
]
