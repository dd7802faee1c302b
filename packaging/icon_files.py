"""The program's icon as the files that Windows and macOS take it from: containers of PNG images.

Decides sizes and formats. Does not draw (`dagdeck_desktop.icons.application`). Called by `build`.

Sources: Microsoft's description of ICO (ICONDIR, ICONDIRENTRY; PNG since Windows Vista); Apple's of ICNS (four-letter
types by size).
"""

from __future__ import annotations

import struct
from pathlib import Path

ICO_SIZES = (16, 24, 32, 48, 64, 128, 256)
ICNS_TYPES = {16: b"icp4", 32: b"icp5", 64: b"icp6", 128: b"ic07", 256: b"ic08", 512: b"ic09"}
_ENTRY = struct.Struct("<BBBBHHII")


def write_icons(folder: Path) -> tuple[Path, Path]:
    """Write dagdeck.ico and dagdeck.icns into `folder`; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    ico, icns = folder / "dagdeck.ico", folder / "dagdeck.icns"
    ico.write_bytes(ico_of({side: _png(side) for side in ICO_SIZES}))
    icns.write_bytes(icns_of({side: _png(side) for side in ICNS_TYPES}))
    return ico, icns


def ico_of(images: dict[int, bytes]) -> bytes:
    """An icon file for Windows of PNG images by their side in pixels (at most 256)."""
    offset = 6 + _ENTRY.size * len(images)
    entries, data = [], []
    for side, png in images.items():
        # 256 does not fit into a byte: it is written as 0.
        entries.append(_ENTRY.pack(side % 256, side % 256, 0, 0, 1, 32, len(png), offset))
        data.append(png)
        offset += len(png)
    return struct.pack("<HHH", 0, 1, len(images)) + b"".join(entries) + b"".join(data)


def icns_of(images: dict[int, bytes]) -> bytes:
    """An icon file for macOS of PNG images by their side in pixels."""
    chunks = b"".join(ICNS_TYPES[side] + struct.pack(">I", len(png) + 8) + png for side, png in images.items())
    return b"icns" + struct.pack(">I", len(chunks) + 8) + chunks


def _png(side: int) -> bytes:
    from PySide6.QtCore import QBuffer, QByteArray, QIODevice

    from dagdeck_desktop.icons.application import application_image

    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    application_image(side).save(buffer, "PNG")
    buffer.close()
    return bytes(content.data())
