"""A display for programs in a clean system, and pictures of it.

Decides how the display is reached (TCP within the system's network: no file is shared) and how its memory becomes a
picture. Uses this machine's Xvfb: the system itself gets nothing but what packages bring. Called by `package_test`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from clean_system import CannotTry, CleanSystem

NUMBER = 7
WIDTH, HEIGHT = 1440, 900
_START_SECONDS = 20.0
# Of a dump in X's format: size of the header, then width, height and bytes of a line, and how many colours follow.
_HEADER_BYTES, _WIDTH, _HEIGHT, _LINE_BYTES, _COLORS = 0, 4, 5, 12, 19
_COLOR_BYTES = 12


class Screen:
    """A display of its own. A context manager."""

    def __init__(self, system: CleanSystem) -> None:
        self._system = system
        self._folder = Path(tempfile.mkdtemp(prefix="dagdeck-screen-"))
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The value of DISPLAY."""
        return f"127.0.0.1:{NUMBER}"

    def __enter__(self) -> Self:
        for tool in ("Xvfb", "xdotool"):
            if shutil.which(tool) is None:
                raise CannotTry(f"{tool} is not installed")
        enter = ["nsenter", f"--net=/proc/{self._system.network_of}/ns/net", "--"]
        server = ["Xvfb", f":{NUMBER}", "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-fbdir", str(self._folder),
                  "-listen", "tcp", "-nolisten", "unix", "-nolisten", "local", "-ac"]  # fmt: skip
        self._server = subprocess.Popen([*enter, *server], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while not self._memory.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(timeout=20)
        shutil.rmtree(self._folder, ignore_errors=True)

    def click(self, x: int, y: int) -> None:
        """Press the first mouse button there."""
        enter = ["nsenter", f"--net=/proc/{self._system.network_of}/ns/net", "--"]
        press = ["xdotool", "mousemove", str(x), str(y), "click", "1"]
        subprocess.run([*enter, *press], env={**os.environ, "DISPLAY": self.name}, timeout=20, check=True)

    @property
    def _memory(self) -> Path:
        return self._folder / "Xvfb_screen0"

    def settle(self, *, quiet: float = 3.0, most: float = 40.0) -> None:
        """Wait until something is shown and has not changed for `quiet` seconds, or until `most` have passed."""
        began = changed = time.monotonic()
        empty = seen = hashlib.sha256(self._memory.read_bytes()).digest() if self._is_empty() else b""
        while time.monotonic() - began < most:
            time.sleep(0.25)
            now = hashlib.sha256(self._memory.read_bytes()).digest()
            if now != seen:
                seen, changed = now, time.monotonic()
            elif now != empty and time.monotonic() - changed >= quiet:
                return

    def await_empty(self, most: float = 30.0) -> None:
        """Wait until nothing is shown any more."""
        began = time.monotonic()
        while not self._is_empty() and time.monotonic() - began < most:
            time.sleep(0.25)

    def _is_empty(self) -> bool:
        dump = self._memory.read_bytes()
        return len(set(dump[len(dump) // 3 : len(dump) // 3 + 40 * WIDTH])) <= 2

    def picture(self, target: Path) -> int:
        """Save what is shown as PNG; how many different colours it has (an empty screen has one)."""
        from PySide6.QtGui import QImage

        dump = self._memory.read_bytes()
        fields = struct.unpack_from(">25I", dump)
        begin = fields[_HEADER_BYTES] + fields[_COLORS] * _COLOR_BYTES
        width, height, stride = fields[_WIDTH], fields[_HEIGHT], fields[_LINE_BYTES]
        image = QImage(dump[begin : begin + stride * height], width, height, stride, QImage.Format.Format_RGB32).copy()
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(str(target))
        small = image.scaled(160, 100)
        return len({small.pixel(x, y) for x in range(160) for y in range(100)})
