"""The settings as given on the command line, for all commands.

Decides how `--config` and `--set` reach the settings. Does not decide what a setting is. Made by
`cli`, read by every command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagdeck_core.errors import UserError

if TYPE_CHECKING:
    from dagdeck_io.settings import Settings


class GivenSettings:
    """What stood before the command's name."""

    def __init__(self, config: Path | None, values: tuple[str, ...]) -> None:
        """`values` are texts such as "worker.slots=8"."""
        self._config = config
        self._values = values

    def settings(self, overrides: dict[str, Any] | None = None, *, standalone: bool = False) -> Settings:
        """All settings; `overrides` by a command's own options win over --set. Raises UserError."""
        from dagdeck_io.settings import load_settings

        given: dict[str, Any] = {}
        for text in self._values:
            name, equals, value = text.partition("=")
            if not equals:
                raise UserError("this is no setting", field="--set", value=text, remedy="Write section.key=value")
            given[name.strip()] = value
        given |= {name: value for name, value in (overrides or {}).items() if value is not None}
        return load_settings(config=self._config, overrides=given, standalone=standalone)
