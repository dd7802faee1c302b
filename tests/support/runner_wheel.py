"""An environment with the runner package, made without a download.

What the package needs comes from the environment of the tests; DagDeck itself comes from the package alone.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BUILD = """
import pathlib, sys
sys.path.insert(0, {folder!r})
import build_wheels
build_wheels.build_runner(pathlib.Path({to!r}))
"""


def build_runner_wheel(target: Path) -> Path:
    """Build the runner package's wheel into `target`; its path."""
    program = _BUILD.format(folder=str(ROOT / "packaging" / "runner"), to=str(target))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = target.glob("dagdeck_runner-*.whl")
    return wheel


def site_packages(python: Path) -> Path:
    """Where an environment's packages are."""
    question = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(question, capture_output=True, text=True, check=True, timeout=30).stdout.strip())


def make_environment(folder: Path, wheel: Path, *, base: str = sys.executable) -> Path:
    """A virtual environment of the Python `base` with `wheel`; its interpreter."""
    subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    python = folder / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True, timeout=120)
    # A folder named in a .pth file joins the path, but its own .pth files, the checkout's among them, are not read.
    folders = [sysconfig.get_path("purelib"), *(path for path in sys.path if Path(path).name == "site-packages")]
    (site_packages(python) / "requirements.pth").write_text("\n".join(folders) + "\n", encoding="utf-8")
    return python
