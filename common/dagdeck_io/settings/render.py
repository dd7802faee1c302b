"""Shows settings to people: the table of `dagdeckd config list`, the config file's template, the documentation.

Decides how declarations and values look as text, and that no secret is shown. Does not decide what they are.
Called by the `dagdeckd config` commands and by the test that keeps docs/settings.md up to date.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from dagdeck_io.masking import MASK, mask_url
from dagdeck_io.settings.convert import as_plain, bound
from dagdeck_io.settings.declaration import EVERY_READER, Derived, Kind, Setting, Unit
from dagdeck_io.settings.model import SECTIONS, SETTINGS, Settings

_SIZES = ((1024**3, "GB"), (1024**2, "MB"), (1024, "KB"))
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One line of `dagdeckd config list`. `value` is text, with secrets masked."""

    name: str
    value: str
    unit: str
    origin: str
    text: str


def describe(settings: Settings) -> list[SettingRow]:
    """All settings in the order of their declaration."""
    return [
        SettingRow(
            name=name,
            value=shown_value(setting, settings.value(name)),
            unit=setting.unit.value,
            origin=str(settings.origins[name]),
            text=setting.text,
        )
        for name, setting in SETTINGS.items()
    ]


def secret_values(settings: Settings) -> tuple[str, ...]:
    """The secrets among the values, for the masker of the log: passwords within URLs, keys one by one."""
    found: list[str] = []
    for name, setting in SETTINGS.items():
        value = settings.value(name) if setting.secret else None
        if isinstance(value, str) and "://" in value:
            found.append(_password(value))
        elif isinstance(value, str):
            found += [part.strip() for part in value.split(",")] if setting.key == "secret_key" else []
    return tuple(each for each in found if each)


def render_table(settings: Settings, *, changed_only: bool = False) -> str:
    """The table: name, value with unit, origin. `changed_only` leaves defaults out."""
    rows = [row for row in describe(settings) if not changed_only or row.origin != "default"]
    shown = [(row.name, _shortened(f"{row.value} {_unit_suffix(row.unit)}".strip()), row.origin) for row in rows]
    lines = [("name", "value", "origin"), *shown]
    widths = [max(len(line[column]) for line in lines) for column in range(2)]
    return "\n".join(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for name, value, origin in lines) + "\n"


def render_template() -> str:
    """A config file with every setting, commented out at its default."""
    parts = [
        "# Settings of DagDeck. A line without # sets one; `dagdeckd config list` shows what is in force and why.",
        "# The environment wins over this file: DAGDECK__WORKER__SLOTS=8 sets slots below [worker].",
        "# A secret may stand in a file or come from a command: write url_file or url_cmd instead of url.",
        "# Where a default depends on the machine, an example stands in its place.",
    ]
    for section in SECTIONS:
        parts += ["", f"[{section}]"]
        for setting in _settings_of(section):
            parts += ["", *(f"# {line}" for line in textwrap.wrap(_explained(setting), 110))]
            parts.append(f"# {setting.key} = {_toml(setting)}")
    return "\n".join(parts) + "\n"


def render_docs() -> str:
    """docs/settings.md."""
    return "\n".join(_docs_lines()) + "\n"


def shown_value(setting: Setting, value: Any) -> str:
    """A value as text, without its secret."""
    if setting.secret:
        text = str(value)
        return mask_url(text) if "://" in text else _masked_word(setting, text)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    if setting.kind is Kind.SIZE:
        return _size(value)
    return f"{value:.12g}" if isinstance(value, float) else str(as_plain(value))


def _masked_word(setting: Setting, text: str) -> str:
    """Words such as "embedded" are no secrets."""
    return text if text in ("", "off", "embedded") or text == setting.default else MASK


def _password(url: str) -> str:
    try:
        return unquote(urlsplit(url).password or "")
    except ValueError:
        return ""


def _size(count: int) -> str:
    for factor, name in _SIZES:
        if count and count % factor == 0:
            return f"{count // factor} {name}"
    return str(count)


def _unit_suffix(unit: str) -> str:
    return "" if unit in (Unit.NONE.value, Unit.COUNT.value, Unit.BYTES.value) else unit


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _settings_of(section: str) -> Iterator[Setting]:
    return (setting for setting in SETTINGS.values() if setting.section == section)


def default_text(setting: Setting) -> str:
    """A setting's default as documents show it."""
    if isinstance(setting.default, Derived):
        return setting.default.text
    if setting.default in (None, ""):
        return "none"
    suffix = "" if isinstance(setting.default, str) else _unit_suffix(setting.unit.value)
    return f"{shown_value(setting, setting.default)} {suffix}".strip()


def _bounds_text(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(setting.choices)
    if setting.low is None and setting.high is None:
        return setting.kind.value
    limits = [setting.low, setting.high]
    if setting.kind is Kind.SIZE:
        low, high = (_size(int(limit)) if limit is not None else "" for limit in limits)
    else:
        low, high = (bound(setting, limit) if limit is not None else "" for limit in limits)
    return f"{setting.kind.value}, {low} to {high}"


def _explained(setting: Setting) -> str:
    return f"{setting.text} ({_bounds_text(setting)}; default: {default_text(setting)})"


def _toml(setting: Setting) -> str:
    """The default, as TOML; where it depends on the machine, an example."""
    value = setting.default.example if isinstance(setting.default, Derived) else setting.default
    # JSON's texts, numbers, switches and lists of texts are TOML as well.
    return json.dumps(_size(value) if setting.kind is Kind.SIZE else as_plain(value), ensure_ascii=False)


def _docs_lines() -> Iterator[str]:
    yield from _DOCS_HEAD.splitlines()
    for section, record in SECTIONS.items():
        yield from ("", f"## [{section}]", "", inspect.cleandoc(record.__doc__ or ""), "")
        yield "| setting | default | values | meaning | read by |"
        yield "|---|---|---|---|---|"
        for setting in _settings_of(section):
            readers = "all" if setting.readers == EVERY_READER else ", ".join(each.value for each in setting.readers)
            secret = " Secret." if setting.secret else ""
            cells = (f"`{setting.key}`", default_text(setting), _bounds_text(setting), setting.text + secret, readers)
            yield "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


_DOCS_HEAD = """\
# Settings

This page is generated from the declarations in `common/dagdeck_io/settings`; change them, then run
`python -m dagdeck_io.settings > docs/settings.md`.

`dagdeckd config list` shows every setting's value and where it comes from; `dagdeckd config template` prints a config
file with all of them.

A value comes from the strongest source that gives one:

1. the command line,
2. for secrets, the file that `DAGDECK__SECTION__KEY_FILE` names or the output of the command in
   `DAGDECK__SECTION__KEY_CMD`,
3. the environment variable `DAGDECK__SECTION__KEY`, for example `DAGDECK__WORKER__SLOTS=8`,
4. the config file: the one named by `--config`; otherwise by `DAGDECK_CONFIG`; otherwise
   `~/.config/dagdeck/dagdeck.toml` and, weaker, `/etc/dagdeck/dagdeck.toml`,
5. the default.

In a config file a secret may be given as `key_file = "/path"` or `key_cmd = "command"`, too. Durations are seconds or
texts such as `"500 ms"`, `"20 s"`, `"5 min"`, `"2 h"`; sizes are bytes or texts such as `"256 KB"`, `"64 MB"`,
`"1 GB"`. Relative paths in a config file start at its folder, elsewhere at the working directory."""
