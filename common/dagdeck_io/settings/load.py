"""Collects the values of all settings from their sources, checks them, and says where each comes from.

Decides the order of sources, from weak to strong: defaults; config files; environment variables
`DAGDECK__SECTION__KEY`; for secrets their `…_FILE` and `…_CMD` forms; overrides from the command line. Does
not decide which settings exist (`model`). Called by the composition roots, once per process.

Config files are read from the first of: the path given by `--config`; the path in the variable
DAGDECK_CONFIG; otherwise the system's file and then the user's, which wins over it.
"""

from __future__ import annotations

import difflib
import os
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from dagdeck_core.bundled import original_environment
from dagdeck_core.errors import Bug, UserError
from dagdeck_io.settings.convert import as_plain, convert
from dagdeck_io.settings.declaration import Setting, Surroundings
from dagdeck_io.settings.model import SECTIONS, SETTINGS, Origin, Reference, ReferenceForm, Settings, Source

CONFIG_VARIABLE = "DAGDECK_CONFIG"
PREFIX = "DAGDECK__"
SYSTEM_FILE = Path("/etc/dagdeck/dagdeck.toml")
SECRET_LIMIT_BYTES = 64 * 1024
COMMAND_TIMEOUT_SECONDS = 10.0
_FORMS = ("file", "cmd")


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as some source spells it; `base` is where its relative paths start."""

    raw: Any
    origin: Origin
    base: Path
    reference: Reference | None = None


def load_settings(
    *,
    config: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    standalone: bool = False,
    config_files: Iterable[Path] | None = None,
) -> Settings:
    """All settings.

    `config` is the path from the command line; `environ` the environment (this process's when None);
    `overrides` maps names such as "worker.slots" to values from the command line, where None means "not given";
    `standalone` chooses the defaults of standalone; `config_files` replaces the system's and the user's file.
    Raises UserError naming file or variable, setting, value and remedy.
    """
    environ = os.environ if environ is None else environ
    user_home = Path(environ.get("HOME") or Path.home())
    given: dict[str, _Given] = {}
    for path in _files(config, environ, user_home, config_files):
        given.update(_from_file(path, user_home))
    given.update(_from_environment(environ, user_home))
    given.update(_from_command_line(overrides or {}))
    return _build(given, environ, user_home, standalone)


def dump_settings(settings: Settings) -> bytes:
    """Everything in `settings`, secrets too, for a child process of the same user; hand it over by a pipe."""
    values = {name: as_plain(settings.value(name)) for name in SETTINGS}
    origins = {name: (origin.source.value, origin.place) for name, origin in settings.origins.items()}
    references = {name: (found.form.value, found.target) for name, found in settings.references.items()}
    stored = {"values": values, "origins": origins, "references": references, "standalone": settings.is_standalone}
    return msgspec.json.encode(stored)


def restore_settings(data: bytes) -> Settings:
    """The settings that `dump_settings` wrote. Raises Bug when they are not that."""
    try:
        stored = msgspec.json.decode(data)
        references = {
            name: Reference(form=ReferenceForm(form), target=target)
            for name, (form, target) in stored["references"].items()
        }
        given = {
            name: _Given(raw, Origin(source=Source(source), place=place), Path(), references.get(name))
            for name, raw in stored["values"].items()
            for source, place in [stored["origins"][name]]
        }
        return _build(given, {}, Path(), stored["standalone"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, UserError) as error:
        raise Bug(f"settings passed between processes cannot be read: {error}") from error


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """`settings` with some values replaced as if by the command line. Raises UserError for bad ones.

    Defaults that depend on a replaced value (paths.home) are not computed anew.
    """
    given = {
        name: _Given(settings.value(name), settings.origins[name], Path(), settings.references.get(name))
        for name in SETTINGS
    }
    given.update(_from_command_line(values))
    return _build(given, {}, Path(), settings.is_standalone)


def read_again(name: str, reference: Reference) -> str:
    """The secret `name` as it stands now where it was found. Raises UserError when it is not there any more."""
    if reference.form is ReferenceForm.COMMAND:
        return _secret_from_command(SETTINGS[name], reference.target, name)
    if reference.form is ReferenceForm.FILE:
        return _secret_from_file(SETTINGS[name], Path(reference.target), name)
    section, _, key = name.partition(".")
    found = _content(Path(reference.target)).get(section)
    if not isinstance(found, dict) or not isinstance(found.get(key), str):
        raise UserError("the config file does not give this any more", file=reference.target, field=name)
    return str(found[key])


# ---------------------------------------------------------------- where files are


def user_config_file(environ: Mapping[str, str], user_home: Path) -> Path:
    """The user's config file on this system."""
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or user_home / "AppData" / "Roaming") / "dagdeck" / "dagdeck.toml"
    return Path(environ.get("XDG_CONFIG_HOME") or user_home / ".config") / "dagdeck" / "dagdeck.toml"


def default_home(environ: Mapping[str, str], user_home: Path) -> Path:
    """The state folder when paths.home is not given."""
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or user_home / "AppData" / "Local") / "dagdeck"
    return Path(environ.get("XDG_DATA_HOME") or user_home / ".local" / "share") / "dagdeck"


def _files(
    config: str | Path | None, environ: Mapping[str, str], user_home: Path, config_files: Iterable[Path] | None
) -> list[Path]:
    for named, source in ((config, "--config"), (environ.get(CONFIG_VARIABLE), CONFIG_VARIABLE)):
        if named:
            path = Path(named).expanduser()
            if not path.is_file():
                raise UserError("there is no such config file", file=source, value=str(path), remedy="Check the path")
            return [path]
    standard = (SYSTEM_FILE, user_config_file(environ, user_home)) if config_files is None else config_files
    return [path for path in standard if path.is_file()]


# ---------------------------------------------------------------- the sources


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(
            f"the config file cannot be read: {error.strerror}", file=str(path), remedy="Make it readable for this user"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"this is not TOML: {error}", file=str(path), remedy="See `dagdeckd config template`"
        ) from error


def _from_file(path: Path, user_home: Path) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    base = path.resolve().parent
    for section, keys in _content(path).items():
        if not isinstance(keys, dict):
            raise UserError(
                "a setting stands outside a section",
                file=str(path),
                field=section,
                remedy="Write it below a line such as [worker]",
            )
        for key, raw in keys.items():
            setting, form = _find(section, key, str(path), f"{section}.{key}")
            if setting.name in given:
                raise _twice(setting, str(path))
            place = f"{path} ({key})" if form else str(path)
            value, reference = _resolve(setting, form, raw, place, base, user_home)
            if setting.secret and reference is None:
                reference = Reference(form=ReferenceForm.CONFIG, target=str(path.resolve()))
            given[setting.name] = _Given(value, Origin(source=Source.FILE, place=place), base, reference)
    return given


def _from_environment(environ: Mapping[str, str], user_home: Path) -> dict[str, _Given]:
    plain: dict[str, _Given] = {}
    referring: dict[str, _Given] = {}
    base = Path.cwd()
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
        setting, form = _find(section, key, "environment", variable)
        if form and setting.name in referring:
            raise _twice(setting, "environment")
        value, reference = _resolve(setting, form, environ[variable], variable, base, user_home)
        found = _Given(value, Origin(source=Source.ENVIRONMENT, place=variable), base, reference)
        (referring if form else plain)[setting.name] = found
    return plain | referring


def _from_command_line(overrides: Mapping[str, Any]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for name, raw in overrides.items():
        if raw is None:
            continue
        section, _, key = name.partition(".")
        setting, form = _find(section, key, "command line", name)
        if form:
            raise UserError("this form is for config files and variables", file="command line", field=name)
        given[setting.name] = _Given(raw, Origin(source=Source.COMMAND_LINE, place="command line"), Path.cwd())
    return given


def _find(section: str, key: str, place: str, written: str) -> tuple[Setting, str]:
    """The setting that is meant, and "", "file" or "cmd". Raises UserError with what is alike."""
    setting = SETTINGS.get(f"{section}.{key}")
    if setting is not None:
        return setting, ""
    stem, _, form = key.rpartition("_")
    setting = SETTINGS.get(f"{section}.{stem}")
    if setting is not None and form in _FORMS:
        if setting.secret:
            return setting, form
        raise UserError(
            f"only secrets have the form _{form}", file=place, field=written, remedy=f"Write {section}.{stem} itself"
        )
    raise UserError("there is no such setting", file=place, field=written, remedy=_similar(section, key, written))


def _similar(section: str, key: str, written: str) -> str:
    """What may have been meant: names spelt almost alike, or the same key in another section."""
    wanted = key or section
    alike = difflib.get_close_matches(f"{section}.{key}", SETTINGS, n=2, cutoff=0.85)
    elsewhere = [name for name, setting in SETTINGS.items() if setting.key == wanted and name not in alike]
    candidates = (alike + elsewhere)[:3]
    if candidates:
        as_variable = written.startswith(PREFIX)
        return f"Did you mean {' or '.join(SETTINGS[name].variable if as_variable else name for name in candidates)}?"
    known = "" if section in SECTIONS else f"Sections: {', '.join(SECTIONS)}. "
    return f"{known}`dagdeckd config list` shows all settings"


def _twice(setting: Setting, place: str) -> UserError:
    return UserError(
        "this is given in several forms", file=place, field=setting.name, remedy="Keep one of the value, _file and _cmd"
    )


# ---------------------------------------------------------------- secrets by reference


def _resolve(
    setting: Setting, form: str, raw: Any, place: str, base: Path, user_home: Path
) -> tuple[Any, Reference | None]:
    """The value, and where it can be read again if `form` says so."""
    if not form:
        return raw, None
    if not isinstance(raw, str) or not raw.strip():
        what = "a path" if form == "file" else "a command"
        raise UserError(f"this must be {what}", file=place, field=f"{setting.name}_{form}")
    if form == "file":
        text = raw.strip()
        path = (user_home / text[2:] if text.startswith("~/") else base / text).absolute()
        found = Reference(form=ReferenceForm.FILE, target=str(path))
        return _secret_from_file(setting, path, place), found
    return _secret_from_command(setting, raw, place), Reference(form=ReferenceForm.COMMAND, target=raw)


def _secret_from_file(setting: Setting, path: Path, place: str) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(SECRET_LIMIT_BYTES + 1)
    except OSError as error:
        raise UserError(
            f"the file cannot be read: {error.strerror}",
            file=place,
            field=setting.name,
            value=str(path),
            remedy="Check the path and who may read it",
        ) from error
    return _secret_text(setting, data, place, f"the file {path}")


def _secret_from_command(setting: Setting, command: str, place: str) -> str:
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            env=original_environment(os.environ, getattr(sys, "_MEIPASS", None)),
            check=False,
        )
    except subprocess.TimeoutExpired:
        complaint = f"the command did not end within {COMMAND_TIMEOUT_SECONDS:.0f} s"
    except (OSError, ValueError) as error:
        complaint = f"the command cannot be run: {error}"
    else:
        if done.returncode == 0:
            return _secret_text(setting, done.stdout, place, "the command's output")
        complaint = f"the command ended with exit code {done.returncode}"
    raise UserError(complaint, file=place, field=setting.name, value=command, remedy="Try it by hand as the same user")


def _secret_text(setting: Setting, data: bytes, place: str, what: str) -> str:
    if len(data) > SECRET_LIMIT_BYTES:
        raise UserError(f"{what} is larger than {SECRET_LIMIT_BYTES // 1024} KB", file=place, field=setting.name)
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise UserError(f"{what} is not UTF-8 text", file=place, field=setting.name) from None
    if not text:
        raise UserError(f"{what} is empty", file=place, field=setting.name, remedy="Put the secret there")
    return text


# ---------------------------------------------------------------- putting it together


def _build(given: Mapping[str, _Given], environ: Mapping[str, str], user_home: Path, standalone: bool) -> Settings:
    surroundings = Surroundings(
        home=default_home(environ, user_home),
        hostname=socket.gethostname() or "worker",
        cores=os.cpu_count() or 1,
        standalone=standalone,
    )
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origins: dict[str, Origin] = {}
    references = {name: found.reference for name, found in given.items() if found.reference is not None}
    for name, setting in SETTINGS.items():
        found = given.get(name)
        if found is None:
            value, origins[name] = setting.default_for(surroundings), Origin(source=Source.DEFAULT)
        else:
            value = convert(setting, found.raw, place=str(found.origin), base=found.base, user_home=user_home)
            origins[name] = found.origin
        values[setting.section][setting.key] = value
        if name == "paths.home":
            # First in the declaration, since other defaults lie within it.
            surroundings = Surroundings(
                home=value, hostname=surroundings.hostname, cores=surroundings.cores, standalone=standalone
            )
    sections: dict[str, Any] = {section: record(**values[section]) for section, record in SECTIONS.items()}
    settings = Settings(
        **sections,
        is_standalone=standalone,
        origins=MappingProxyType(origins),
        references=MappingProxyType(references),
    )
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Refuse values that are right one by one and wrong together."""
    if (settings.api.tls_certificate is None) != (settings.api.tls_key is None):
        missing = "api.tls_key" if settings.api.tls_key is None else "api.tls_certificate"
        raise UserError("certificate and key are needed together", field=missing, remedy=f"Set {missing} too")
    if settings.worker.poll_idle_interval < settings.worker.poll_interval:
        raise UserError(
            "an idle worker would poll more often than a busy one",
            file=str(settings.origins["worker.poll_idle_interval"]),
            field="worker.poll_idle_interval",
            value=settings.worker.poll_idle_interval,
            remedy=f"Make it at least worker.poll_interval, which is {settings.worker.poll_interval:g} s",
        )
