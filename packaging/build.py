"""Builds what this system can, in build/packages: the runner's wheels, both bundles, and the system's packages of them
(.deb and .rpm; an installer on Windows; a disk image on macOS).

Decides the steps and their order, what is stripped, the packages' names, and the glibc that they need. What bundles
hold is decided by `pyinstaller/contents`, what is taken out afterwards by `trimming`. Called by `./dev package`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import icon_files
import trimming

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "packages"
BUNDLES = BUILD / "bundles"
ICONS = BUILD / "icons"
WHEELS = ROOT / "build" / "runner_wheels"
NAMES = ("daemons", "desktop")
# The name of the machine as .deb, .rpm and nfpm call it.
ARCHITECTURES = {"x86_64": ("amd64", "x86_64"), "aarch64": ("arm64", "aarch64")}
# Libraries that wheels patched after linking do not load any more once they are stripped.
NOT_STRIPPED = ("numpy", "libscipy", "libgfortran", "libquadmath", "PySide6", "shiboken6", "libQt6")
_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)")
_VERSION = re.compile(r"\d+(\.\d+)*")


def main() -> None:
    """Build; `--only` skips other bundles, `--version` builds programs and packages of another version."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=NAMES, help="build this bundle only")
    parser.add_argument("--version", default=project_version(), help="the version; default: the project's")
    parser.add_argument("--reuse-bundles", action="store_true", help="package the bundles that are there")
    parser.add_argument("--formats", default="deb,rpm", help="kinds of packages, with commas between; default: deb,rpm")
    parser.add_argument("--into", type=Path, default=BUILD, help="the folder for packages; default: build/packages")
    options = parser.parse_args()
    if not _VERSION.fullmatch(options.version):
        parser.error(f"--version: {options.version!r} is no version such as 1.2.3")
    os.environ["DAGDECK_BUILD_VERSION"] = options.version
    if sys.platform in ("win32", "darwin"):
        ico, icns = icon_files.write_icons(ICONS)
        os.environ["DAGDECK_BUILD_ICON"] = str(ico if sys.platform == "win32" else icns)
    options.into.mkdir(parents=True, exist_ok=True)
    names = [options.only] if options.only else list(NAMES)
    if not options.reuse_bundles:
        run(sys.executable, str(ROOT / "packaging" / "runner" / "build_wheels.py"), str(WHEELS))
        for name in names:
            build_bundle(name)
    if sys.platform == "linux":
        for name in names:
            for package in build_packages(name, options.version, options.formats.split(","), options.into):
                print(f"{package}: {package.stat().st_size / 1e6:.0f} MB")
    elif "desktop" in names:
        build = build_installer if sys.platform == "win32" else build_disk_image
        package = build(options.version)
        print(f"{package}: {package.stat().st_size / 1e6:.0f} MB")


def project_version() -> str:
    """The version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def build_bundle(name: str) -> Path:
    """Build one bundle with PyInstaller, take out what is not needed, and see that it starts."""
    spec = ROOT / "packaging" / "pyinstaller" / f"dagdeck-{name}.spec"
    folders = ["--distpath", str(BUNDLES), "--workpath", str(BUILD / "work")]
    run(sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", *folders, str(spec))
    bundle = BUNDLES / f"dagdeck-{name}"
    if sys.platform == "linux":
        trimming.trim_icu(bundle)
        trimming.drop_unlinked(bundle)
        strip(bundle)
    program = bundle / ("dagdeckd" if name == "daemons" else "dagdeck-desktop")
    if name == "daemons" and os.name == "posix":
        (bundle / "dagdeck").unlink(missing_ok=True)
        (bundle / "dagdeck").symlink_to("dagdeckd")
    run(str(program), "dagdeckd", "--version")
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"{bundle}: {size / 1e6:.0f} MB")
    return bundle


def strip(bundle: Path) -> None:
    """Take symbols out of the libraries that still load without them."""
    found = [
        str(library)
        for library in trimming.shared_objects(bundle)
        if not any(word in str(library.relative_to(bundle)) for word in NOT_STRIPPED)
    ]
    run("strip", "--strip-unneeded", *found)


def build_packages(name: str, version: str, formats: list[str], folder: Path) -> list[Path]:
    """Build a bundle's packages of these kinds into `folder`; their paths."""
    bundle = BUNDLES / f"dagdeck-{name}"
    deb_arch, rpm_arch = ARCHITECTURES[platform.machine()]
    if name == "desktop":
        draw_icons(ICONS)
    values = {"VERSION": version, "ARCH": deb_arch, "GLIBC": glibc_floor(bundle), "BUNDLE": str(bundle)}
    values["ICONS"] = str(ICONS)
    # nfpm replaces variables in a few fields only, not in the paths of contents.
    text = (ROOT / "packaging" / "linux" / f"dagdeck-{name}.yaml").read_text(encoding="utf-8")
    config = BUILD / f"dagdeck-{name}.yaml"
    config.write_text(re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text), encoding="utf-8")
    targets = {
        "deb": folder / f"dagdeck-{name}_{version}_{deb_arch}.deb",
        "rpm": folder / f"dagdeck-{name}-{version}-1.{rpm_arch}.rpm",
    }
    nfpm = str(Path(sys.executable).with_name("nfpm"))
    for packager in formats:
        run(nfpm, "package", "--config", str(config), "--packager", packager, "--target", str(targets[packager]))
    return [targets[packager] for packager in formats]


def build_installer(version: str, *, bundles: Path = BUNDLES, icons: Path = ICONS, target: Path | None = None) -> Path:
    """Build the installer for Windows with NSIS, of both bundles; its path. Also compiles where NSIS is on Linux."""
    target = target or BUILD / f"DagDeck-{version}-setup.exe"
    values = {
        "VERSION": version,
        "DESKTOP": bundles / "dagdeck-desktop",
        "DAEMONS": bundles / "dagdeck-daemons",
        "ICON": icons / "dagdeck.ico",
        "OUTPUT": target,
    }
    definitions = [f"-D{name}={value}" for name, value in values.items()]
    run("makensis", "-V2", "-WX", *definitions, str(ROOT / "packaging" / "windows" / "dagdeck.nsi"))
    return target


def build_disk_image(version: str) -> Path:
    """Build the disk image for macOS, of the desktop's bundle; its path."""
    target = BUILD / f"DagDeck-{version}.dmg"
    script = ROOT / "packaging" / "macos" / "make_dmg.sh"
    run("sh", str(script), str(BUNDLES / "DagDeck.app"), version, str(target))
    return target


def draw_icons(target: Path) -> None:
    """Write the program's icon for the desktop's icon theme, in every size and as a drawing."""
    from dagdeck_desktop.icons.application import APPLICATION_ICON_SIZES, application_icon_source, application_image

    shutil.rmtree(target, ignore_errors=True)
    for side in APPLICATION_ICON_SIZES:
        folder = target / f"{side}x{side}" / "apps"
        folder.mkdir(parents=True)
        application_image(side).save(str(folder / "org.dagdeck.Desktop.png"))
    folder = target / "scalable" / "apps"
    folder.mkdir(parents=True)
    (folder / "org.dagdeck.Desktop.svg").write_bytes(application_icon_source())


def glibc_floor(bundle: Path) -> str:
    """The newest glibc that any program or library of the bundle asks for, such as "2.34"."""
    newest = (2, 17)
    programs = [path for path in bundle.iterdir() if path.is_file()]
    for path in (*programs, *trimming.shared_objects(bundle)):
        done = subprocess.run(["objdump", "-T", str(path)], capture_output=True, text=True, check=False)
        newest = max([newest, *((int(major), int(minor)) for major, minor in _GLIBC.findall(done.stdout))])
    return f"{newest[0]}.{newest[1]}"


def run(*command: str) -> None:
    """Run a step from the checkout. Exits when it fails."""
    shown = " ".join(command)
    print("+", shown if len(shown) < 300 else f"{shown[:300]} …", file=sys.stderr)
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(f"this step failed: {shown}")


if __name__ == "__main__":
    main()
