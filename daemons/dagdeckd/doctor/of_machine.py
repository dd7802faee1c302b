"""What `dagdeckd doctor` looks at on this machine alone: program, folders, disk, limits, services, key.

Decides from which values on something is worth telling. Called by `doctor.examine`.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from dagdeck_io.composition import secret_key_of
from dagdeck_io.db.url import parse_url
from dagdeck_io.secrets import FIELD, Vault
from dagdeck_io.settings import Settings
from dagdeck_io.user_python import outside_environment
from dagdeckd.doctor.findings import Finding, failure, good, warning

FEW_BYTES, TOO_FEW_BYTES = 2 << 30, 200 << 20
"""Free disk space below which a warning and a failure are due."""
FEW_FILES = 4096
"""Open files that a busy worker or API may need."""
UNITS = "dagdeck-*.service"
LANGUAGES = {"zh": "Chinese", "ja": "Japanese", "ko": "Korean", "ar": "Arabic"}
"""Languages whose letters the desktop's own fonts lack, as fontconfig names them."""
_LOOSE = stat.S_IRWXG | stat.S_IRWXO


def program(settings: Settings) -> Iterator[Finding]:
    """Versions."""
    system = f"{platform.system()} {platform.release()}"
    yield good("program", f"DagDeck {version('dagdeck')}, Python {platform.python_version()}, {system}")


def home(settings: Settings) -> Iterator[Finding]:
    """The state folder and the space for it."""
    folder = settings.paths.home
    if not folder.is_dir():
        yield warning("state folder", f"{folder} does not exist", "A daemon makes it at its first start; or make it")
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not os.access(folder, os.W_OK):
        yield failure("state folder", f"{folder} cannot be written by this user", f"chown it to the user {_user()}")
    elif mode & _LOOSE and parse_url(settings.database.address).kind == "sqlite":
        yield warning("state folder", f"{folder} is open to other users (mode {mode:o})", f"chmod 700 {folder}")
    else:
        yield good("state folder", str(folder))
    yield _space(folder)


def _space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GB free below {folder}"
    if free < TOO_FEW_BYTES:
        return failure("disk", text, "Make room: state, logs and DAG code cannot be stored without it")
    if free < FEW_BYTES:
        return warning("disk", text, "Make room, or shorten what is kept (settings of section retention)")
    return good("disk", text)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else "this user"


def limits(settings: Settings) -> Iterator[Finding]:
    """How many files a process may open."""
    try:
        import resource
    except ImportError:  # not on this system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = "without limit" if soft == resource.RLIM_INFINITY else f"{soft:,}"
    text = f"a process may open {shown} files"
    if soft != resource.RLIM_INFINITY and soft < FEW_FILES:
        yield warning(
            "limits", text, f"ulimit -n {min(hard, 65536) if hard > 0 else 65536}, or LimitNOFILE= in the unit"
        )
    else:
        yield good("limits", text)


def services(settings: Settings) -> Iterator[Finding]:
    """The services that packages install, where there is a service manager: every instance that is loaded."""
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        return
    listed = _output("systemctl", "list-units", "--all", "--plain", "--no-legend", UNITS)
    for line in listed.splitlines():
        unit, _load, state, detail = [*line.split(), "", "", "", ""][:4]
        if state == "active":
            yield good("service", f"{unit} runs")
        elif state == "failed":
            yield failure("service", f"{unit} has failed", f"journalctl -u {unit} -n 50")
        elif state == "activating":
            told = _output("systemctl", "show", "--property=StatusText", "--value", unit).strip()
            yield warning("service", f"{unit} is starting{': ' + told if told else ''}", f"journalctl -u {unit} -n 50")
        elif unit:
            yield warning("service", f"{unit} is {state} ({detail})", f"systemctl start {unit}")


def time_service(settings: Settings) -> Iterator[Finding]:
    """Whether something keeps this machine's clock right. Nothing compares clocks, but schedules go by the master's."""
    if shutil.which("timedatectl") is None:
        return
    told = _output("timedatectl", "show", "--property=NTPSynchronized", "--value").strip()
    if told == "no":
        yield warning(
            "clock", "this machine's clock is not synchronised", "timedatectl set-ntp true, or another NTP client"
        )
    elif told == "yes":
        yield good("clock", "synchronised by a time service")


def fonts(settings: Settings) -> Iterator[Finding]:
    """Whether the desktop, where it is installed, has letters for what people write."""
    if find_spec("PySide6") is None:
        return
    folder = files("dagdeck_assets") / "fonts"
    if not any(entry.name.endswith(".ttf") for entry in folder.iterdir()):
        yield warning("fonts", "the desktop's own fonts are missing", "Install DagDeck again")
    if shutil.which("fc-list") is None:
        return
    lacking = [name for code, name in LANGUAGES.items() if not _output("fc-list", f":lang={code}", "family").strip()]
    if lacking:
        yield warning(
            "fonts",
            f"no font for {', '.join(lacking)}: such names show as boxes",
            "Install fonts, such as fonts-noto-cjk",
        )
    else:
        yield good("fonts", "for all scripts that DagDeck looks for")


def _output(*command: str) -> str:
    """What another program of this system prints; nothing when it cannot be run."""
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=10, env=outside_environment(), check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout


def secret_key(settings: Settings) -> Iterator[Finding]:
    """The key that encrypts variables and connections."""
    keys = secret_key_of(settings)
    Vault(keys)
    where = f"setting {FIELD}" if settings.security.secret_key else str(settings.paths.secret_key_file)
    path = settings.paths.secret_key_file
    if not settings.security.secret_key and stat.S_IMODE(path.stat().st_mode) & _LOOSE:
        yield failure("secret key", f"{path} can be read by other users", f"chmod 600 {path}")
    elif keys.count(","):
        yield warning("secret key", f"{where} holds several keys", "Finish the change of keys and keep the newest only")
    else:
        yield good("secret key", where)


def dags_folder(settings: Settings) -> Iterator[Finding]:
    """Where DAG files come from; only a master needs it."""
    folder = settings.paths.dags_folder
    if not folder.is_dir():
        yield warning(
            "DAG folder", f"{folder} does not exist here", "A master needs it (paths.dags_folder); a worker not"
        )
    elif not os.access(folder, os.R_OK | os.X_OK):
        yield failure("DAG folder", f"{folder} cannot be read by this user", f"Let the user {_user()} read it")
    else:
        yield good("DAG folder", str(folder))
