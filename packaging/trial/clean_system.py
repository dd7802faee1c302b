"""A clean, minimal Debian with systemd, a network of its own and nothing of this machine but its kernel.

Decides how it is made (debootstrap, kept for later), how it is started (namespaces, an overlay over what is kept,
systemd as its first process) and how commands run in it. What is installed into it is decided by `package_test`,
which calls this. Needs root on Linux. It has no network beyond its loopback interface: packages come from what was
downloaded when it was made.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SUITE = "bookworm"
TOOLS = ("debootstrap", "unshare", "nsenter", "pivot_root", "mount", "ip")
# systemd, and what an administrator of a minimal system has.
INCLUDED = ("systemd", "systemd-sysv", "ca-certificates", "procps")
BOOT_SECONDS = 90.0
_LAYOUT = 2
"""Raised when a kept system must be made anew."""

# Runs in new namespaces; $1 is the kept root, $2 an empty folder for what changes.
_START = r"""
set -e
mount --make-rprivate /
ip link set lo up
root=$2/root
mkdir -p "$2/upper" "$2/work" "$root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/before"
echo deck >"$root/etc/hostname"
cd "$root"
pivot_root . run/before
mount --make-rshared /
exec chroot . /bin/sh -c '
    umount -l /run/before
    rmdir /run/before
    exec env -i container=trial PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --log-target=null --show-status=no
'
"""


class CannotTry(Exception):
    """What is needed for a trial is not there: a tool, a right, or the network when nothing is kept yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    output: str


def missing_tools() -> list[str]:
    """What keeps this machine from starting such a system; empty when nothing does."""
    found = [name for name in TOOLS if shutil.which(name) is None]
    if os.geteuid() != 0:
        found.append("root's rights")
    return found


def kept_root(cache: Path, downloads: Sequence[str]) -> Path:
    """The root file system, made at the first call. Raises CannotTry when that fails.

    `downloads` are Debian packages that can be installed in the system, which has no network.
    """
    key = hashlib.sha256(repr((_LAYOUT, SUITE, INCLUDED, tuple(downloads))).encode()).hexdigest()[:12]
    root = cache / f"{SUITE}-{key}"
    if root.exists():
        return root
    draft = cache / f".{root.name}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    try:
        _make(["debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", SUITE, str(draft)])
        for step in (
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qq", "--yes", "--download-only", "install", *downloads],
            # No service of the system's own takes part.
            ["systemctl", "mask", "systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service"],
        ):
            _make(["chroot", str(draft), *step])
        draft.rename(root)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return root


def _make(command: Sequence[str]) -> None:
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            env=environ,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotTry(f"{' '.join(command)} took more than 900 s") from error
    if done.returncode:
        raise CannotTry(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-800:]}")


class CleanSystem:
    """A running system. A context manager: entering boots it, leaving ends its processes and forgets what changed."""

    def __init__(self, root: Path, place: Path | None = None) -> None:
        self._kept = root
        self._folder = Path(tempfile.mkdtemp(prefix="dagdeck-trial-", dir=place))
        self._starter: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def __enter__(self) -> Self:
        namespaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
        script = ["sh", "-c", _START, "start", str(self._kept), str(self._folder)]
        with (self._folder / "boot.log").open("wb") as log:
            self._starter = subprocess.Popen(
                ["unshare", *namespaces, "--", *script], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._await_boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the system's processes and forget what changed."""
        if self._starter is not None:
            # The first process of its own namespace: with it everything in there ends.
            if self._pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            self._starter.kill()
            self._starter.wait(timeout=30)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def network_of(self) -> int:
        """A process in the system's network, for `nsenter --net`."""
        return self._pid

    def path(self, inside: str) -> Path:
        """A file of the running system, as seen from outside."""
        return Path(f"/proc/{self._pid}/root{inside}")

    def run(
        self,
        command: Sequence[str],
        *,
        user: str = "root",
        environ: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        folder: str = "",
        typed: str = "",
    ) -> Done:
        """Run a command in the system; its exit code and what it printed. Raises subprocess.TimeoutExpired."""
        home = "/root" if user == "root" else f"/home/{user}"
        values = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": home,
            "USER": user,
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **(environ or {}),
        }
        as_user = [] if user == "root" else ["runuser", "--user", user, "--"]
        setting = ["env", "-i", *(f"{name}={value}" for name, value in values.items())]
        place = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", folder or home]
        done = subprocess.run(
            [*self._enter(), *setting, *as_user, *place, *command],
            input=typed.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        return Done(code=done.returncode, output=done.stdout.decode("utf-8", "replace"))

    def _enter(self) -> list[str]:
        return ["nsenter", "--target", str(self._pid), *("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"),
                "--root", "--wd", "--"]  # fmt: skip

    def _await_boot(self) -> None:
        assert self._starter is not None
        deadline = time.monotonic() + BOOT_SECONDS
        said = ""
        while time.monotonic() < deadline:
            if self._starter.poll() is not None:
                log = (self._folder / "boot.log").read_text(errors="replace").strip()
                raise CannotTry(f"a system cannot be started in namespaces of its own here: {log[-800:]}")
            self._pid = self._pid or _child_of(self._starter.pid)
            if self._pid:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    said = self.run(["systemctl", "is-system-running"], timeout=10, folder="/").output.strip()
                if said in ("running", "degraded"):
                    return
            time.sleep(0.2)
        raise CannotTry(f"systemd did not come up in {BOOT_SECONDS:.0f} s (it says: {said})")


def _child_of(pid: int) -> int:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(children[0]) if children else 0
