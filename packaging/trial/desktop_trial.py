"""The desktop's package in a clean system without Python: it opens, opens connection files, and starts a local cluster.

Decides what is looked at and pictured. Called by `package_test`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from clean_system import CleanSystem, Done
from guide import Block
from screen import Screen
from transcript import Transcript, TrialFailed

PERSON = "grace"
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "packaging"
FEWEST_COLORS = 30
OFFSCREEN = {"QT_QPA_PLATFORM": "offscreen"}
FILE = '[connection]\nname = "Plant"\nurl = "https://deck.example:8443"\ncolor = "#C0392B"\n'
_CLUSTER_SECONDS = 120.0
# Where these are in the window as it first opens.
_WORKERS, _FIRST_WORKER = (57, 230), (300, 250)
_TOKEN = ".local/share/dagdeck/token"


class DesktopTrial:
    """Installs the package and looks at what a person sees."""

    def __init__(self, system: CleanSystem, transcript: Transcript, package: Path) -> None:
        self._system = system
        self._transcript = transcript
        self._package = package

    def follow(self, blocks: list[Block]) -> None:
        """Install without what is only recommended, look, then install as the guide says. Raises TrialFailed."""
        self._transcript.say("## The control center, in another clean system without Python")
        self._must(["useradd", "--create-home", PERSON])
        shutil.copyfile(self._package, self._system.path("/root") / self._package.name)
        self._step("#", "apt-get install --yes --no-install-recommends ./dagdeck-desktop_*_amd64.deb")
        self._transcript.check("there is no Python", self._system.run(["sh", "-c", "command -v python3"]).code != 0)
        self._see_the_files()
        self._see_that_it_opens()
        with Screen(self._system) as screen:
            display = {"DISPLAY": screen.name}
            self._picture_of(screen, [], display, "first-start")
            self._picture_of(screen, ["Plant.dagdeck"], display, "connection-file")
            self._see_the_profile()
            self._transcript.say("Without a Python, starting a local cluster asks for one:")
            self._picture_of(screen, ["--local"], display, "no-python")
            self._transcript.say("Now with what the package recommends, as the guide says:")
            self._step("#", "apt-get purge --yes dagdeck-desktop")
            for block in blocks:
                self._step("#", block.text.strip())
            self._see_the_type()
            self._see_a_local_cluster(screen, display)
        self._step("#", "apt-get purge --yes dagdeck-desktop")
        self._transcript.check("/opt/dagdeck is gone", not self._system.path("/opt/dagdeck").exists())

    def _see_the_files(self) -> None:
        for path in (
            "/usr/share/applications/org.dagdeck.Desktop.desktop",
            "/usr/share/metainfo/org.dagdeck.Desktop.metainfo.xml",
            "/usr/share/mime/packages/org.dagdeck.Desktop.xml",
            "/usr/share/icons/hicolor/scalable/apps/org.dagdeck.Desktop.svg",
            "/usr/share/icons/hicolor/256x256/apps/org.dagdeck.Desktop.png",
        ):
            self._transcript.check(f"{path} is there", self._system.path(path).is_file())

    def _see_that_it_opens(self) -> None:
        seconds = []
        for _again in range(3):
            began = time.monotonic()
            done = self._run(["dagdeck-desktop", "--exit-after", "0"], OFFSCREEN)
            seconds.append(time.monotonic() - began)
            self._transcript.check("it opens without a display and ends well", done.code == 0, done.output)
        self._transcript.say(
            f"From its start to its end, with the window drawn: {min(seconds):.1f} s at best of three."
        )

    def _see_the_profile(self) -> None:
        path = self._system.path(f"/home/{PERSON}/.config/dagdeck/desktop-profiles.json")
        (profile,) = json.loads(path.read_text(encoding="utf-8"))
        self._transcript.check("a connection file added its cluster", profile["url"] == "https://deck.example:8443")

    def _see_the_type(self) -> None:
        known = self._system.path("/usr/share/mime/globs2").read_text(encoding="utf-8")
        self._transcript.check("the system knows connection files", "vnd.dagdeck.connection+toml:*.dagdeck" in known)
        opens = self._system.path("/usr/share/applications/mimeinfo.cache").read_text(encoding="utf-8")
        told = "vnd.dagdeck.connection+toml=org.dagdeck.Desktop.desktop;" in opens
        self._transcript.check("a double click on one opens the control center", told)

    def _see_a_local_cluster(self, screen: Screen, display: Mapping[str, str]) -> None:
        began = time.monotonic()
        self._background(["dagdeck-desktop", "--local"], display)
        token = self._system.path(f"/home/{PERSON}") / _TOKEN
        while not self._is_in(token) and time.monotonic() - began < _CLUSTER_SECONDS:
            time.sleep(0.5)
        self._transcript.check("the cluster on this computer runs and answers", self._is_in(token))
        self._transcript.say(f"Its first start, with the Python environment made: {time.monotonic() - began:.0f} s.")
        listed = json.loads(self._run(["dagdeck-desktop", "dagdeck", "dags", "list", "-o", "json"], {}).output)
        self._transcript.check("it has the sample DAGs", len(listed) >= 3, listed)
        sample = "atlantic_hurricanes"
        self._step_of_person(f"dagdeck-desktop dagdeck dags unpause {sample}")
        self._step_of_person(f"dagdeck-desktop dagdeck dags trigger {sample} --wait --timeout 180")
        self._save(screen, "local-cluster")
        # The page with charts, which is imported only now.
        screen.click(*_WORKERS)
        screen.settle(most=8)
        screen.click(*_FIRST_WORKER)
        self._save(screen, "workers")
        self._step("#", f"pkill -u {PERSON}")

    def _is_in(self, token: Path) -> bool:
        return token.exists() and self._run(["dagdeck-desktop", "dagdeck", "dags", "list"], {}).code == 0

    # ------------------------------------------------------------ doing

    def _picture_of(self, screen: Screen, arguments: list[str], display: Mapping[str, str], name: str) -> None:
        home = self._system.path(f"/home/{PERSON}")
        (home / "Plant.dagdeck").write_text(FILE, encoding="utf-8")
        self._background(["dagdeck-desktop", *arguments], display)
        self._save(screen, name)
        # One desktop per person: the next start would only call this one.
        self._must(["pkill", "-u", PERSON])
        screen.await_empty()

    def _save(self, screen: Screen, name: str) -> None:
        screen.settle()
        colors = screen.picture(PICTURES / f"{name}.png")
        self._transcript.check(f"something is to be seen ({colors} colours)", colors >= FEWEST_COLORS)
        self._transcript.say(f"![{name.replace('-', ' ')}](packaging/{name}.png)")

    def _background(self, command: list[str], environ: Mapping[str, str]) -> None:
        self._run(["sh", "-c", '"$@" >/dev/null 2>&1 &', "sh", *command], environ)

    def _run(self, command: list[str], environ: Mapping[str, str]) -> Done:
        return self._system.run(command, user=PERSON, environ=environ, timeout=240)

    def _step(self, prompt: str, text: str) -> None:
        began = time.monotonic()
        done = self._system.run(["sh", "-euc", text], timeout=300)
        self._transcript.step(prompt, text, done, time.monotonic() - began)

    def _step_of_person(self, text: str) -> None:
        began = time.monotonic()
        done = self._run(["sh", "-euc", text], {})
        self._transcript.step("$", text, done, time.monotonic() - began)

    def _must(self, command: list[str]) -> None:
        done = self._system.run(command)
        if done.code:
            raise TrialFailed(f"{' '.join(command)}: {done.output}")
