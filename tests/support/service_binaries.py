"""Finds MariaDB's and Redis' programs on this machine, and obtains them where they are missing.

Decides where the programs are looked for, which Debian packages hold them and how these are installed (as
root) or unpacked into a folder (as anybody else).  It does not start a server: services.py does.  Called by
services.py, and through it by the tests, by the cluster demo and by continuous integration.

Only the standard library is used, because this runs before anything has been installed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
APT_TIMEOUT_SECONDS = 600.0

# The first group of which apt knows every package is taken; the core packages are small and start no service.
MARIADB_PACKAGES = (("mariadb-server-core", "mariadb-client-core"), ("mariadb-server", "mariadb-client"))
REDIS_PACKAGES = (("redis-server", "redis-tools"), ("valkey-server", "valkey-tools"))


class ServiceUnavailable(RuntimeError):
    """A server's programs can neither be found nor obtained, or the server does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where one installation's programs are.

    ``prefix`` is the folder that stands for ``/`` (``/`` itself, or an unpack folder), ``environment`` what
    its programs need in addition to the caller's environment.
    """

    prefix: Path
    server: Path
    client: Path | None
    installer: Path | None
    environment: tuple[tuple[str, str], ...] = ()

    def environ(self) -> dict[str, str]:
        """The complete environment for a process of this installation."""
        return {**os.environ, **dict(self.environment)}


def cache_directory() -> Path:
    """The folder for unpacked packages and prepared data: in the checkout, or per user elsewhere."""
    for candidate in (REPOSITORY / "build" / "services", Path.home() / ".cache" / "dagdeck" / "services"):
        try:
            candidate.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(candidate, os.W_OK):
            return candidate
    fallback = Path(tempfile.gettempdir()) / f"dagdeck-services-{os.getuid()}"
    fallback.mkdir(mode=0o700, exist_ok=True)
    if fallback.stat().st_uid != os.getuid():
        raise ServiceUnavailable(f"{fallback} belongs to somebody else: remove it, or set TMPDIR")
    return fallback


def unpack_directory() -> Path:
    """The folder that stands for ``/`` when packages are unpacked instead of installed."""
    return cache_directory() / "root"


def find_mariadb() -> Programs | None:
    """MariaDB's programs, or None if they are not on this machine."""
    return _find(("mariadbd",), ("mariadb", "mysql"), ("mariadb-install-db", "mysql_install_db"))


def find_redis() -> Programs | None:
    """The programs of Redis (or Valkey, which speaks the same protocol), or None."""
    return _find(("redis-server", "valkey-server"), ("redis-cli", "valkey-cli"), ())


def obtain_mariadb() -> Programs:
    """Find MariaDB, getting its packages first if need be.  Raises ServiceUnavailable."""
    return find_mariadb() or _obtained("MariaDB", MARIADB_PACKAGES, find_mariadb)


def obtain_redis() -> Programs:
    """Find Redis, getting its packages first if need be.  Raises ServiceUnavailable."""
    return find_redis() or _obtained("Redis", REDIS_PACKAGES, find_redis)


def _find(servers: Sequence[str], clients: Sequence[str], installers: Sequence[str]) -> Programs | None:
    path = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_DIRECTORIES))
    server = _which(servers, path)
    if server is not None:
        return Programs(
            prefix=Path("/"),
            server=server,
            client=_which(clients, path),
            installer=_which(installers, path),
        )
    root = unpack_directory()
    unpacked_path = os.pathsep.join(str(root / part) for part in ("usr/sbin", "usr/bin"))
    server = _which(servers, unpacked_path)
    if server is None:
        return None
    return Programs(
        prefix=root,
        server=server,
        client=_which(clients, unpacked_path),
        installer=_which(installers, unpacked_path),
        environment=(("LD_LIBRARY_PATH", _library_path(root)),),
    )


def _which(names: Sequence[str], path: str) -> Path | None:
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return Path(found)
    return None


def _library_path(root: Path) -> str:
    """The folders below ``root`` that hold shared libraries, then whatever the caller had."""
    found = [root / "usr/lib", root / "lib"]
    for parent in (root / "usr/lib", root / "lib"):
        found.extend(sorted(parent.glob("*-linux-gnu*")))
    inherited = os.environ.get("LD_LIBRARY_PATH")
    return os.pathsep.join([str(folder) for folder in found if folder.is_dir()] + ([inherited] if inherited else []))


def _obtained(label: str, groups: Sequence[Sequence[str]], find: Callable[[], Programs | None]) -> Programs:
    if shutil.which("apt-get") is None:
        raise ServiceUnavailable(f"{label} is not installed and there is no apt-get here: install {label} yourself")
    if os.geteuid() == 0:
        _install(label, groups)
    else:
        _unpack(label, groups)
    programs = find()
    if programs is None:
        raise ServiceUnavailable(f"{label}: its packages came, but its server program is not among them")
    return programs


def _install(label: str, groups: Sequence[Sequence[str]]) -> None:
    """Install the first known group of packages, without letting a package start its service."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    lock = ("-o", "DPkg::Lock::Timeout=300")
    _run(["apt-get", *lock, "update", "-q"], environment)
    group = _known_group(label, groups, ())
    with _services_stay_off():
        _run(["apt-get", *lock, "install", "-y", "-q", "--no-install-recommends", *group], environment)


@contextlib.contextmanager
def _services_stay_off() -> Iterator[None]:
    """Tell Debian's invoke-rc.d for a while that no service may be started."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


def _unpack(label: str, groups: Sequence[Sequence[str]]) -> None:
    """Download the packages and whatever they need that is not installed, and unpack them: no root needed."""
    cache = cache_directory()
    options: tuple[str, ...] = ()
    try:
        group = _known_group(label, groups, options)
        needed = _missing_packages(group, options)
    except ServiceUnavailable:
        # The machine's package lists are empty or stale, and only root may renew them: keep lists of our own.
        options = _own_package_lists(cache)
        _run(["apt-get", *options, "update", "-q"])
        group = _known_group(label, groups, options)
        needed = _missing_packages(group, options)
    archives = cache / "archives"
    archives.mkdir(exist_ok=True)
    _run(["apt-get", *options, "download", "-q", *needed], cwd=archives)
    root = unpack_directory()
    root.mkdir(exist_ok=True)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg", "-x", str(archive), str(root)])
        archive.unlink()


def _own_package_lists(cache: Path) -> tuple[str, ...]:
    state, archives = cache / "apt" / "state", cache / "apt" / "cache"
    for folder in (state / "lists" / "partial", archives / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    # These are joined with other names as they stand, so they end with a slash.
    return (
        "-o",
        f"Dir::State={state}/",
        "-o",
        "Dir::State::status=/var/lib/dpkg/status",
        "-o",
        f"Dir::Cache={archives}/",
    )


def _known_group(label: str, groups: Sequence[Sequence[str]], options: Sequence[str]) -> Sequence[str]:
    for group in groups:
        if all(_has_candidate(name, options) for name in group):
            return group
    names = " or ".join(" ".join(group) for group in groups)
    raise ServiceUnavailable(f"{label} is not installed and apt offers none of: {names}")


def _has_candidate(package: str, options: Sequence[str]) -> bool:
    answer = _run(["apt-cache", *options, "policy", package])
    candidates = [line.split(":", 1)[1].strip() for line in answer.splitlines() if "Candidate:" in line]
    return bool(candidates) and candidates[0] != "(none)"


def _missing_packages(group: Sequence[str], options: Sequence[str]) -> list[str]:
    """Names (with versions) of the packages that installing ``group`` would add."""
    plan = _run(["apt-get", *options, "-s", "-o", "Debug::NoLocking=1", "install", "--no-install-recommends", *group])
    # "Inst name (version …)", or "Inst name [installed version] (version …)" for an upgrade.
    found = re.findall(r"^Inst (\S+)(?: \[[^]]*\])? \((\S+)", plan, flags=re.MULTILINE)
    return [f"{name}={version}" for name, version in found]


def _run(command: Sequence[str], environment: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a program of the package system and give its output.  Raises ServiceUnavailable."""
    # Output is matched by its English words.
    settings = {**(environment or os.environ), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            env=settings,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=APT_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceUnavailable(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise ServiceUnavailable(f"{' '.join(command)} failed:\n{tail}")
    return done.stdout
