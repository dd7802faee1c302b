"""All settings together: one frozen object, and the table of their declarations.

Decides which sections exist and their order in documents. Does not decide what a section holds
(`shared_sections`, `master_sections`, `worker_sections`) nor where values come from (`load`). The composition
roots read `Settings` and pass sections or single values on; nothing below them looks a setting up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, get_type_hints

from dagdeck_io.settings.declaration import Setting, settings_of
from dagdeck_io.settings.master_sections import Api, DagProcessor, Metrics, Retention, Scheduler, Standalone, Supervisor
from dagdeck_io.settings.shared_sections import (
    Core,
    Database,
    Logging,
    Operators,
    Paths,
    Queue,
    Secrets,
    Security,
)
from dagdeck_io.settings.worker_sections import Logs, StateStore, Worker, XCom


class Source(StrEnum):
    """What kind of place a value comes from, weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one value comes from. `place` is the file or the variable, empty for a default."""

    source: Source
    place: str = ""

    def __str__(self) -> str:
        return self.place or self.source.value


class ReferenceForm(StrEnum):
    """In what a secret can be looked up again."""

    FILE = "file"
    """A file that holds it alone."""
    COMMAND = "cmd"
    """A command that prints it."""
    CONFIG = "config"
    """A config file that gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where a secret can be read again while the process runs. `target` is an absolute path or the command."""

    form: ReferenceForm
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, typed and checked. `origins` says for each name where its value comes from.

    `references` has the secrets that do not stand in the environment or on the command line, by name.
    """

    paths: Paths
    core: Core
    operators: Operators
    database: Database
    queue: Queue
    security: Security
    secrets: Secrets
    api: Api
    scheduler: Scheduler
    worker: Worker
    logs: Logs
    xcom: XCom
    state_store: StateStore
    dag_processor: DagProcessor
    retention: Retention
    metrics: Metrics
    logging: Logging
    supervisor: Supervisor
    standalone: Standalone
    is_standalone: bool
    """Whether the defaults are those of `dagdeckd standalone`."""
    origins: Mapping[str, Origin] = field(repr=False)
    references: Mapping[str, Reference] = field(repr=False)

    def value(self, name: str) -> Any:
        """The value of the setting `name`, written "section.key"; KeyError when there is none of that name."""
        setting = SETTINGS[name]
        return getattr(getattr(self, setting.section), setting.key)


def _sections() -> dict[str, type]:
    hints = get_type_hints(Settings)
    named = {each.name: hints[each.name] for each in fields(Settings)}
    return {name: record for name, record in named.items() if name not in ("is_standalone", "origins", "references")}


SECTIONS: Mapping[str, type] = MappingProxyType(_sections())
"""Section name → its dataclass, in the order of documents."""
SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {setting.name: setting for section, record in SECTIONS.items() for setting in settings_of(section, record)}
)
"""Name → declaration of every setting, in the order of documents."""
