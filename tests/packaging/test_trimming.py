"""What is taken out of bundles: ICU's data stays readable, and only libraries that nothing links to go."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
HEADER = b"\x10\x00\xda\x27" + b"\0" * 12


@pytest.fixture
def trimming(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, which is no part of the product."""
    monkeypatch.syspath_prepend(str(PACKAGING))
    import trimming  # type: ignore[import-not-found]

    assert isinstance(trimming, ModuleType)
    return trimming


def items_of(data: bytes) -> dict[str, bytes]:
    """What an ICU data file holds, read as ICU does: by the table of contents."""
    base, (count,) = 16, struct.unpack_from("<I", data, 16)
    entries = [struct.unpack_from("<II", data, base + 4 + 8 * at) for at in range(count)]
    ends = [*(place for _name, place in entries[1:]), len(data) - base]
    names = [data[base + name : data.index(b"\0", base + name)].decode() for name, _place in entries]
    return {name: data[base + place : base + end] for name, (_n, place), end in zip(names, entries, ends, strict=True)}


def test_languages_still_sort_and_the_rest_is_gone(trimming: ModuleType) -> None:
    whole = {
        "icudt73l/af.res": b"a" * 20,
        "icudt73l/coll/de.res": b"b" * 33,
        "icudt73l/coll/root.res": b"c" * 16,
        "icudt73l/curr/de.res": b"d" * 16,
        "icudt73l/gb18030.cnv": b"e" * 16,
        "icudt73l/nfkc.nrm": b"f",
        "icudt73l/pool.res": b"g" * 17,
        "icudt73l/sr_Latn_RS.res": b"h",
        "icudt73l/unames.icu": b"i",
        "icudt73l/zone/de.res": b"j" * 16,
    }
    packed = HEADER + trimming._package([(name.encode(), item) for name, item in whole.items()])
    assert {name: item.rstrip(b"\0") for name, item in items_of(packed).items()} == whole
    fewer = trimming.fewer_data(packed)
    assert {name: item.rstrip(b"\0") for name, item in items_of(fewer).items()} == {
        name: whole[name]
        for name in ("icudt73l/coll/de.res", "icudt73l/coll/root.res", "icudt73l/nfkc.nrm", "icudt73l/pool.res")
    }
    assert len(fewer) % 16 == 0


@pytest.mark.skipif(
    sys.platform != "linux" or not all(map(shutil.which, ("as", "ld", "objdump"))), reason="this system has no binutils"
)
def test_only_libraries_that_nothing_links_to_go(trimming: ModuleType, tmp_path: Path) -> None:
    inner = tmp_path / "_internal"
    plugins = inner / "plugins"
    plugins.mkdir(parents=True)

    def library(path: Path, *links: Path) -> Path:
        source, made = tmp_path / "empty.s", tmp_path / "empty.o"
        source.write_text(f".globl of_{path.stem.replace('.', '_')}\nof_{path.stem.replace('.', '_')}:\n")
        subprocess.run(["as", "-o", made, source], check=True, timeout=30)
        subprocess.run(["ld", "-shared", "-soname", path.name, "-o", path, made, *links], check=True, timeout=30)
        source.unlink()
        made.unlink()
        return path

    deep = library(inner / "libdeep.so.1")
    near = library(inner / "libnear.so.2", deep)
    library(plugins / "libplugin.so", near)
    library(inner / "libssl.so.3")
    other = library(inner / "libother.so.1")
    library(inner / "libonlyother.so.1", other)
    assert trimming.drop_unlinked(tmp_path) == ["libonlyother.so.1", "libother.so.1"]
    assert sorted(path.name for path in trimming.shared_objects(tmp_path)) == [
        *("libdeep.so.1", "libnear.so.2", "libplugin.so", "libssl.so.3")
    ]
