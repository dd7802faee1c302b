"""Prepares the data folder of a private MariaDB server.

Decides how a data folder is initialised (once per version of the server, kept as a template) and copied,
and which options tell the server where its own files are. It does not start a server: services.py, its only
caller, does.

Only the standard library is used, because this runs before anything has been installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support import service_binaries
from tests.support.service_binaries import Programs, ServiceUnavailable


def base_command(programs: Programs) -> tuple[str, ...]:
    """The server program and the options that say where its own files are."""
    share = programs.prefix / "usr" / "share" / "mysql"
    found: tuple[str, ...] = (str(programs.server), "--no-defaults")
    if programs.prefix != Path("/"):
        plugins = [str(path) for path in (programs.prefix / "usr" / "lib").glob("**/plugin") if path.is_dir()]
        found += (
            f"--basedir={programs.prefix / 'usr'}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
            *(f"--plugin-dir={path}" for path in plugins[:1]),
        )
    # The server refuses to run as root unless this is said.
    return (*found, "--user=root") if os.geteuid() == 0 else found


def template(programs: Programs) -> Path:
    """An initialised, cleanly shut data folder of this version of the server, made on first use."""
    version = subprocess.run(
        (str(programs.server), "--no-defaults", "--version"),
        env=programs.environ(),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    match = re.search(r"\d+\.\d+\.\d+", version)
    release = match.group() if match else "unknown"
    prepared = service_binaries.cache_directory() / f"mariadb-{release}-{os.geteuid()}"
    if prepared.is_dir():
        return prepared
    with tempfile.TemporaryDirectory(prefix="dagdeck-") as scratch:
        fresh = _initialise(programs, Path(scratch))
        # Whoever is first wins; a template appears whole or not at all.
        staging = Path(tempfile.mkdtemp(prefix="staging-", dir=prepared.parent))
        try:
            copy_tree(fresh, staging / "data")
            (staging / "data").rename(prepared)
        except OSError:
            if not prepared.is_dir():
                raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return prepared


def _initialise(programs: Programs, scratch: Path) -> Path:
    if programs.installer is None:
        raise ServiceUnavailable("mariadb-install-db is missing: install mariadb-server")
    data = scratch / "data"
    # The installer is a shell script that loses folder names with blanks: it sees the prefix by a plain name.
    prefix = scratch / "prefix"
    prefix.symlink_to(programs.prefix)
    command = [
        str(prefix / programs.installer.relative_to(programs.prefix)),
        "--no-defaults",
        f"--basedir={prefix / 'usr'}",
        f"--datadir={data}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        "--innodb-log-file-size=64M",
    ]
    if os.geteuid() == 0:
        command.append("--user=root")
    done = subprocess.run(
        command,
        cwd=scratch,
        env=programs.environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        complaint = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ServiceUnavailable(f"MariaDB's data folder cannot be initialised:\n{complaint}")
    return data


def copy_tree(source: Path, target: Path) -> None:
    """Copy a data folder, leaving the holes of its preallocated files as holes."""
    command = ["cp", "-a", "--sparse=always", "--reflink=auto", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise ServiceUnavailable(f"cannot copy {source} to {target}: {done.stderr.strip()}")
