"""Builds what this system can: the runner's wheels, both bundles, and the daemons' .deb, in build/packages.

Decides the steps and their order, what is stripped, and the glibc that a package needs. Called by `./dev package`.
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
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "packages"
BUNDLES = BUILD / "bundles"
WHEELS = ROOT / "build" / "runner_wheels"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Libraries that wheels patched after linking do not load any more once they are stripped.
NOT_STRIPPED = ("numpy", "libscipy", "libgfortran", "libquadmath", "PySide6", "shiboken6", "libQt6")
_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)")


def main() -> None:
    """Build; `--only` skips other bundles, `--version` gives the package another one than the project's."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("daemons", "desktop"), help="build this bundle only")
    parser.add_argument("--version", default=project_version(), help="the package's version")
    parser.add_argument("--reuse-bundles", action="store_true", help="package the bundles that are there")
    options = parser.parse_args()
    if not options.reuse_bundles:
        run(sys.executable, str(ROOT / "packaging" / "runner" / "build_wheels.py"), str(WHEELS))
        for name in [options.only] if options.only else ["daemons", "desktop"]:
            build_bundle(name)
    if options.only != "desktop":
        package = build_deb(options.version)
        print(f"{package}: {package.stat().st_size / 1e6:.0f} MB")


def project_version() -> str:
    """The version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def build_bundle(name: str) -> Path:
    """Build one bundle with PyInstaller, strip what may be stripped, and see that it starts."""
    spec = ROOT / "packaging" / "pyinstaller" / f"dagdeck-{name}.spec"
    folders = ["--distpath", str(BUNDLES), "--workpath", str(BUILD / "work")]
    run(sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", *folders, str(spec))
    bundle = BUNDLES / f"dagdeck-{name}"
    if sys.platform == "linux" and shutil.which("strip"):
        for library in libraries(bundle):
            if not any(word in str(library.relative_to(bundle)) for word in NOT_STRIPPED):
                run("strip", "--strip-unneeded", str(library))
    program = bundle / ("dagdeckd" if name == "daemons" else "dagdeck-desktop")
    if name == "daemons" and os.name == "posix":
        (bundle / "dagdeck").unlink(missing_ok=True)
        (bundle / "dagdeck").symlink_to("dagdeckd")
    run(str(program), "dagdeckd", "--version")
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"{bundle}: {size / 1e6:.0f} MB")
    return bundle


def build_deb(version: str) -> Path:
    """Build the daemons' .deb from its bundle; its path."""
    bundle = BUNDLES / "dagdeck-daemons"
    arch = ARCHITECTURES[platform.machine()]
    target = BUILD / f"dagdeck-daemons_{version}_{arch}.deb"
    environ = os.environ | {"VERSION": version, "ARCH": arch, "GLIBC": glibc_floor(bundle), "BUNDLE": str(bundle)}
    # nfpm replaces variables in a few fields only, not in the paths of contents.
    text = (ROOT / "packaging" / "linux" / "nfpm-daemons.yaml").read_text(encoding="utf-8")
    config = BUILD / "nfpm-daemons.yaml"
    config.write_text(re.sub(r"\$\{(\w+)\}", lambda found: environ[found[1]], text), encoding="utf-8")
    run(str(Path(sys.executable).with_name("nfpm")), "package", "--config", str(config), "--packager", "deb",
        "--target", str(target))  # fmt: skip
    return target


def libraries(bundle: Path) -> Iterator[Path]:
    """Every shared library of a bundle, once."""
    for path in sorted(bundle.rglob("*.so*")):
        if path.is_file() and not path.is_symlink():
            yield path


def glibc_floor(bundle: Path) -> str:
    """The newest glibc that any program or library of the bundle asks for, such as "2.34"."""
    newest = (2, 17)
    for path in (bundle / "dagdeckd", *libraries(bundle)):
        done = subprocess.run(["objdump", "-T", str(path)], capture_output=True, text=True, check=False)
        newest = max([newest, *((int(major), int(minor)) for major, minor in _GLIBC.findall(done.stdout))])
    return f"{newest[0]}.{newest[1]}"


def run(*command: str) -> None:
    """Run a step from the checkout. Exits when it fails."""
    print("+", " ".join(command), file=sys.stderr)
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(f"this step failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
