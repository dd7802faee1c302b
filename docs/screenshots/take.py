"""Takes the screenshots of the desktop: a cluster of its own, brought into many states, shown by the real program.

Decides which pages and states are pictured, in both looks at 1× and 2×. Needs no display. For each look and scale it
starts itself once more, since Qt takes its scale at the start. Called by `./dev screenshots`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from dagdeck_desktop.app import Desktop

HERE = Path(__file__).parent
START_SECONDS = 60.0
SCENE_SECONDS = 120.0
CHURN = "customer_churn_daily"
FAILED_TASK = "join_orders_customers"
OTHER_DAGS = ("warehouse_refresh", "billing_export", "ml_features", "umsatz_bericht", "gdpr_erasure")
SIZE = (1600, 1000)


def main() -> int:
    """Take all pictures, or with --look only those of one look and scale; the exit code."""
    parser = argparse.ArgumentParser(prog="./dev screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to")
    parser.add_argument("--look", choices=("light", "dark"), help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look:
        shoot(options.look, options.scale, options.url, os.environ["DAGDECK_TOKEN"], options.out)
        return 0
    home = Path(tempfile.mkdtemp(prefix="dagdeck-pictures-"))
    daemons = start_cluster(home)
    try:
        access = wait_for_access(home, daemons)
        set_the_scene(access)
        for look in ("light", "dark"):
            for scale in (1, 2):
                picture(look, scale, access, options.out)
    finally:
        daemons.terminate()
        daemons.wait(timeout=30)
        shutil.rmtree(home, ignore_errors=True)
    return 0


# ------------------------------------------------------------ the cluster


def own_environ() -> dict[str, str]:
    """The environment without a person's own settings of DagDeck."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DAGDECK_")}


def start_cluster(home: Path) -> subprocess.Popen[bytes]:
    """Start a standalone cluster with the scene's DAGs."""
    folder = home / "dags"
    folder.mkdir()
    shutil.copy(HERE / "scene_dags.py", folder)
    command = [sys.executable, "-m", "dagdeckd", "standalone", "--home", str(home / "cluster")]
    command += ["--dags-folder", str(folder), "--port", "0", "--no-samples"]
    with open(home / "log", "wb") as log:
        return subprocess.Popen(command, env=own_environ(), stdout=log, stderr=subprocess.STDOUT)


def wait_for_access(home: Path, daemons: subprocess.Popen[bytes]) -> Mapping[str, str]:
    """The cluster's address and token, once it answers with all DAGs. Raises RuntimeError when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and daemons.poll() is None:
        try:
            access: dict[str, str] = json.loads((home / "cluster" / "token").read_text())
            if call(access, "GET", "/api/v2/dags")["total_entries"] >= len(OTHER_DAGS) + 2:
                return access
        except (OSError, ValueError, httpx.HTTPError):
            pass
        time.sleep(0.3)
    raise RuntimeError(f"the cluster did not start:\n{(home / 'log').read_text()[-2000:]}")


def call(access: Mapping[str, str], method: str, path: str, body: Any = None) -> Any:
    """Ask the control API. Raises httpx.HTTPError."""
    answer = httpx.request(
        method, access["url"] + path, json=body, headers={"Authorization": f"Bearer {access['token']}"}, timeout=30
    )
    answer.raise_for_status()
    return answer.json()


def set_the_scene(access: Mapping[str, str]) -> None:
    """Make a history, then leave one run in the middle of its work."""
    call(access, "POST", "/api/v2/pools", {"name": "gpu", "slots": 1, "include_deferred": False})
    for dag_id in (CHURN, *OTHER_DAGS[:-1]):
        call(access, "PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
    for number in range(14):
        run_to_its_end(access, CHURN, {"quick": True, "fails": number in (4, 9)})
        for dag_id in OTHER_DAGS[: 4 if number < 9 else 2]:
            trigger(access, dag_id, {"fails": (number, dag_id) in ((3, "billing_export"), (8, "umsatz_bericht"))})
    run_id = trigger(access, CHURN, {"quick": False}, note="with the corrected orders")
    wait_for(lambda: is_in_scene(access, run_id), "the run did not come into the state of the pictures")


def trigger(access: Mapping[str, str], dag_id: str, conf: Mapping[str, Any], note: str = "") -> str:
    """Start a run; its id."""
    body = {"logical_date": None, "conf": conf, "note": note or None}
    return str(call(access, "POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])


def run_to_its_end(access: Mapping[str, str], dag_id: str, conf: Mapping[str, Any]) -> None:
    """Start a run and wait for its end."""
    where = f"/api/v2/dags/{dag_id}/dagRuns/{trigger(access, dag_id, conf)}"
    wait_for(lambda: call(access, "GET", where)["state"] in ("success", "failed"), f"a run of {dag_id} did not end")


def is_in_scene(access: Mapping[str, str], run_id: str) -> bool:
    """True once the run has something of everything."""
    found = call(access, "GET", f"/api/v2/dags/{CHURN}/dagRuns/{run_id}/taskInstances")["task_instances"]
    states = {each["task_id"]: each["state"] for each in found}
    return states[FAILED_TASK] == "failed" and states["train_churn_model"] == "running"


def wait_for(is_so: Callable[[], bool], failure: str) -> None:
    """Wait until something is so. Raises RuntimeError."""
    deadline = time.monotonic() + SCENE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(failure)
        time.sleep(0.1)


def picture(look: str, scale: int, access: Mapping[str, str], out: Path) -> None:
    """Take the pictures of a look at a scale, in a process of their own."""
    environ = own_environ() | {
        "QT_QPA_PLATFORM": "offscreen",
        "QT_SCALE_FACTOR": str(scale),
        "DAGDECK_TOKEN": access["token"],
    }
    command = [sys.executable, str(Path(__file__)), "--look", look, "--scale", str(scale)]
    subprocess.run([*command, "--url", access["url"], "--out", str(out)], env=environ, check=True)


# ------------------------------------------------------------ the program


def shoot(look: str, scale: int, url: str, token: str, out: Path) -> None:
    """Open the program and take every picture of one look."""
    from PySide6.QtWidgets import QApplication

    from dagdeck_desktop.app import Desktop, StartOptions
    from dagdeck_desktop.settings import Places
    from dagdeck_desktop.theme import Appearance
    from dagdeck_desktop.views import register_pages

    application = QApplication(sys.argv[:1])
    folder = Path(tempfile.mkdtemp(prefix="dagdeck-pictures-"))
    desktop = Desktop(application, Places(config=folder, state=folder), register_pages, environ=own_environ())
    desktop.window.choose_appearance(Appearance(look))
    suffix = f"-{look}{'@2x' if scale == 2 else ''}.png"
    desktop.start(StartOptions())
    desktop.window.resize(*SIZE)
    wait(0.6)
    grab(desktop, out / f"connect{suffix}")
    desktop.open_url(url, token)
    wait(2.5)
    desktop.window.set_cluster("Production", url, desktop.theme.tokens.positive)
    take_pages(desktop, out, suffix)
    desktop.window.close()
    shutil.rmtree(folder, ignore_errors=True)


def take_pages(desktop: Desktop, out: Path, suffix: str) -> None:
    """Every page and state, one after the other."""
    from PySide6.QtWidgets import QDialog

    window = desktop.window
    page: Any = window.open_page("workers")
    wait(1.0)
    for chart, _names in page.charts.values():
        chart.set_window(20.0)
    wait(22.0)
    grab(desktop, out / f"workers{suffix}")
    window.open_page("home")
    wait(1.5)
    grab(desktop, out / f"home{suffix}")
    page = window.open_page("dags")
    wait(1.5)
    grab(desktop, out / f"dags{suffix}")
    page.search.setText("no such dag")
    wait(0.4)
    grab(desktop, out / f"dags-nothing-found{suffix}")
    page.clear_filter()
    window.open_palette()
    wait(0.6)
    grab(desktop, out / f"palette{suffix}")
    window.palette_dialog.close_again()
    page = window.open_page("dag", dag_id=CHURN)
    wait(2.5)
    grab(desktop, out / f"dag{suffix}")
    page.select_task(FAILED_TASK)
    wait(2.0)
    grab(desktop, out / f"task{suffix}")
    page.tabs.setCurrentIndex(1)
    page.panel.tabs.setCurrentIndex(4)
    wait(1.0)
    grab(desktop, out / f"runs{suffix}")
    page.tabs.setCurrentIndex(2)
    page.panel.tabs.setCurrentIndex(1)
    wait(1.0)
    grab(desktop, out / f"tasks{suffix}")
    page.tabs.setCurrentIndex(0)
    for name, ask in (("trigger", page.trigger), ("clear", lambda: page.clear((FAILED_TASK,)))):
        ask()
        wait(0.8)
        for dialog in window.findChildren(QDialog):
            if dialog.isVisible() and dialog.isModal():
                save(dialog.grab(), out / f"{name}{suffix}")
                dialog.reject()
    page = window.open_page("dag", dag_id="no_such_dag")
    wait(1.0)
    grab(desktop, out / f"dag-missing{suffix}")
    desktop.feed.link_state_changed.emit("lost", 12.0)
    window.open_page("home")
    desktop.feed.link_state_changed.emit("lost", 12.0)
    grab(desktop, out / f"link-lost{suffix}")


def grab(desktop: Desktop, path: Path) -> None:
    """Save what the window shows."""
    save(desktop.window.grab(), path)


def save(pixmap: Any, path: Path) -> None:
    """Save a picture, as small as PNG makes it."""
    from PySide6.QtGui import QImage

    if not pixmap.toImage().convertToFormat(QImage.Format.Format_RGB888).save(str(path), "PNG", 0):
        raise RuntimeError(f"{path} could not be written")


def wait(seconds: float) -> None:
    """Let the program work for some time."""
    from PySide6.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()


if __name__ == "__main__":
    sys.exit(main())
