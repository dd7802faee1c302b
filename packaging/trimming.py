"""Makes a built bundle smaller without changing what its programs can do.

Decides two things: libraries that nothing in the bundle links to any more go (those of plugins that were left out), and
of ICU's data only what Qt reads of it stays: how languages sort, not what their currencies and time zones are called,
which Qt knows by itself. Linux only. Called by `build` once a bundle stands, before it is tried out.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_NEEDED = re.compile(r"^\s+NEEDED\s+(\S+)", re.MULTILINE)
_SYMBOL = re.compile(r"^\s*\d+:\s+[0-9a-f]+\s+\S+\s+OBJECT\s+GLOBAL\s+DEFAULT\s+\S+\s+(icudt\d+_dat)$", re.MULTILINE)
_MAGIC = b"\xda\x27"
_MAGIC_OFFSET = 2
# Opened by name at run time: no link says that they are needed.
_OPENED_BY_NAME = ("libpython", "libssl", "libcrypto")
_OTHER_TREES = ("curr/", "lang/", "region/", "unit/", "zone/", "rbnf/", "translit/", "brkitr/")
_OF_ONE_LANGUAGE = re.compile(r"[a-z]{2,3}(_\w+)?\.res")
_UNUSED_SUFFIXES = (".cnv", ".spp")


def shared_objects(bundle: Path) -> Iterator[Path]:
    """Every shared library and extension module of a bundle, once: no links."""
    for path in sorted(bundle.rglob("*.so*")):
        if path.is_file() and not path.is_symlink():
            yield path


def drop_unlinked(bundle: Path) -> list[str]:
    """Remove libraries that no module, plugin or program of the bundle links to, not even by others; their names."""
    folder = bundle / "_internal"
    libraries = {path.name: path for path in shared_objects(bundle) if path.parent == folder and _is_library(path)}
    roots = [path for path in shared_objects(bundle) if path not in libraries.values()]
    roots += [path for name, path in libraries.items() if name.startswith(_OPENED_BY_NAME)]
    roots += [path for path in bundle.iterdir() if path.is_file() and not path.is_symlink()]
    reached: set[str] = {path.name for path in roots}
    waiting = list(roots)
    while waiting:
        for name in needed(waiting.pop()):
            if name in libraries and name not in reached:
                reached.add(name)
                waiting.append(libraries[name])
    dropped = sorted(set(libraries) - reached)
    for name in dropped:
        libraries[name].unlink()
    return dropped


def _is_library(path: Path) -> bool:
    return path.name.startswith("lib") and ".cpython-" not in path.name and ".abi3." not in path.name


def needed(path: Path) -> list[str]:
    """The libraries that a shared object or a program links to."""
    done = subprocess.run(["objdump", "-p", str(path)], capture_output=True, text=True, check=False)
    return _NEEDED.findall(done.stdout)


def trim_icu(bundle: Path) -> None:
    """Replace ICU's data library by one with fewer data, for the same symbol and name; nothing without ICU."""
    for library in sorted((bundle / "_internal").glob("libicudata.so.*")):
        symbols = subprocess.run(
            ["readelf", "-Ws", "--dyn-syms", str(library)], capture_output=True, text=True, check=True
        )
        (symbol,) = set(_SYMBOL.findall(symbols.stdout))
        content = library.read_bytes()
        start = content.index(_MAGIC) - _MAGIC_OFFSET
        _link(fewer_data(content[start:]), symbol, library)


def fewer_data(data: bytes) -> bytes:
    """An ICU data file with only the items that are kept. What `data` has after its end goes with its last item."""
    (header,) = struct.unpack_from("<H", data, 0)
    (count,) = struct.unpack_from("<I", data, header)
    entries = [struct.unpack_from("<II", data, header + 4 + 8 * at) for at in range(count)]
    ends = [*(place for _name, place in entries[1:]), len(data) - header]
    items = []
    for (name, place), end in zip(entries, ends, strict=True):
        name_end = data.index(b"\0", header + name)
        text = data[header + name : name_end]
        if is_kept(text.decode("ascii").split("/", 1)[1]):
            items.append((text, data[header + place : header + end]))
    return data[:header] + _package(items)


def is_kept(item: str) -> bool:
    """Whether Qt may read an item: "coll/de.res" is, "curr/de.res" and "de.res" are not."""
    if item.startswith(_OTHER_TREES) or item.endswith(_UNUSED_SUFFIXES) or item == "unames.icu":
        return False
    return _OF_ONE_LANGUAGE.fullmatch(item) is None


def _package(items: list[tuple[bytes, bytes]]) -> bytes:
    """The table of contents, the names, then the items, each at a multiple of 16 as ICU wants them."""
    at = 4 + 8 * len(items)
    names = b""
    places = []
    for name, _item in items:
        places.append(at + len(names))
        names += name + b"\0"
    body = b"\0" * (-(at + len(names)) % 16)
    begin = at + len(names)
    table = struct.pack("<I", len(items))
    for place, (_name, item) in zip(places, items, strict=True):
        table += struct.pack("<II", place, begin + len(body))
        body += item + b"\0" * (-len(item) % 16)
    return table + names + body


def _link(data: bytes, symbol: str, library: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, object_file = Path(folder, "data.s"), Path(folder, "data.o")
        Path(folder, "data").write_bytes(data)
        source.write_text(
            f".section .rodata\n.balign 16\n.globl {symbol}\n.type {symbol}, %object\n"
            f'{symbol}:\n.incbin "{folder}/data"\n.size {symbol}, .-{symbol}\n'
            '.section .note.GNU-stack,"",%progbits\n',
            encoding="ascii",
        )
        _run(["as", "-o", str(object_file), str(source)])
        _run(["ld", "-shared", "-soname", library.name, "-o", str(library), str(object_file)])


def _run(command: Iterable[str]) -> None:
    subprocess.run(list(command), check=True, timeout=120)
