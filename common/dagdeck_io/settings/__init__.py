"""Settings: declared once, loaded from files, environment and command line, with the origin of each value.

Composition roots call `load_settings`; the `dagdeckd config` commands use `describe` and the `render_…` functions.
"""

from dagdeck_io.settings.load import dump_settings, load_settings, read_again, restore_settings, with_values
from dagdeck_io.settings.model import SETTINGS, Origin, Reference, ReferenceForm, Settings, Source
from dagdeck_io.settings.render import SettingRow, describe, render_docs, render_table, render_template, secret_values
from dagdeck_io.settings.shared_sections import (
    BundleSignatures,
    EmbeddedTransport,
    LogFormat,
    LogLevel,
    SqliteSynchronous,
)

__all__ = [
    "SETTINGS",
    "BundleSignatures",
    "EmbeddedTransport",
    "LogFormat",
    "LogLevel",
    "Origin",
    "Reference",
    "ReferenceForm",
    "SettingRow",
    "Settings",
    "Source",
    "SqliteSynchronous",
    "describe",
    "dump_settings",
    "load_settings",
    "read_again",
    "render_docs",
    "render_table",
    "render_template",
    "restore_settings",
    "secret_values",
    "with_values",
]
