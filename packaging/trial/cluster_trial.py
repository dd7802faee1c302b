"""The daemons' package in a clean system: the administrator's guide, block by block, with what must be so in between.

Decides what is looked at: who runs what, what an upgrade and a removal leave, and that a run in flight goes on
through an upgrade. What to type is decided by docs/administration.md. Called by `package_test`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from clean_system import CannotTry, CleanSystem, Done
from guide import Block
from servers import AUTHORITY_FILE, DATABASE_HOST, QUEUE_HOST
from transcript import Transcript, TrialFailed

HERE = Path(__file__).resolve().parent
API_HOST = "deck.example"
PERSON = "ada"
PROMPTS = {"root": "#", "ada": "$", "database": "sql>", "desktop": "#"}
SECONDS_OF_THE_RUN = 20
AS_PERSON = {"DAGDECK_URL": f"https://{API_HOST}:8443", "DAGDECK_CA_FILE": "/etc/dagdeck-ca.pem"}
SETTING = "\n[worker]\nslots = 3\n"
MOST_EXPOSED = 4.0
_RUN_SECONDS = 240.0


class Servers:
    """The database server and the queue, in the system's network. A context manager."""

    def __init__(self, system: CleanSystem) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dagdeck-servers-"))
        enter = ["nsenter", f"--net=/proc/{system.network_of}/ns/net", "--"]
        self._process = subprocess.Popen(
            [*enter, sys.executable, str(HERE / "servers.py"), str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Servers:
        if self._answer() != "ready":
            raise CannotTry("MariaDB and Redis cannot be started")
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def authority(self) -> Path:
        """The certificate of the authority that signed theirs."""
        return self._folder / AUTHORITY_FILE

    def sql(self, text: str) -> Done:
        """Run SQL as the database's administrator."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(text) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._answer())
        return Done(code=0 if "ok" in answer else 1, output=answer.get("ok", answer.get("failed")))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class ClusterTrial:
    """Follows the guide in one system. `packages` are the daemons' .deb, older and newer.

    `wheels` is a folder with what the guide installs by pip: the system has no network.
    """

    def __init__(
        self,
        system: CleanSystem,
        servers: Servers,
        transcript: Transcript,
        packages: tuple[Path, Path],
        newer: str,
        wheels: Path,
    ) -> None:
        self._system = system
        self._servers = servers
        self._transcript = transcript
        self._packages = packages
        self._newer = newer
        self._wheels = wheels
        self._before: dict[str, Callable[[], None]] = {
            "The master": self._hand_over,
            "Upgrade": self._start_a_run,
        }
        self._after: dict[str, Callable[[], None]] = {
            "The master": self._see_the_master,
            "Workers": self._see_the_workers,
            "The first DAG": self._see_the_run,
            "Upgrade": self._see_the_upgrade,
        }

    def follow(self, blocks: list[Block]) -> None:
        """Run every block, and look at the system between sections. Raises TrialFailed."""
        ours = [block for block in blocks if block.actor != "desktop"]
        for at, block in enumerate(ours):
            if at == 0 or ours[at - 1].section != block.section:
                self._transcript.say(f"## {block.section}")
                self._before.get(block.section, _nothing)()
            self.run(block.actor, block.text)
            if "purge" in block.text:
                self._see_nothing_left()
            elif "apt-get remove" in block.text:
                self._see_the_removal()
            if at + 1 == len(ours) or ours[at + 1].section != block.section:
                self._after.get(block.section, _nothing)()

    def run(self, actor: str, text: str) -> Done:
        """Run a block as the guide's reader would."""
        began = time.monotonic()
        if actor == "database":
            done = self._servers.sql(text)
        else:
            user = "root" if actor == "root" else PERSON
            done = self._system.run(["sh", "-euc", text], user=user, timeout=600)
        self._transcript.step(PROMPTS[actor], text.strip(), done, time.monotonic() - began)
        return done

    def _as_person(self, command: str) -> None:
        settings = " ".join(f"{name}={value}" for name, value in AS_PERSON.items())
        self.run(PERSON, f"export {settings}\n{command}\n")

    # ------------------------------------------------------------ what the page takes for granted

    def _hand_over(self) -> None:
        system = self._system
        with system.path("/etc/hosts").open("a") as hosts:
            hosts.write(f"127.0.0.1 {API_HOST} {DATABASE_HOST} {QUEUE_HOST}\n")
        self._must(["useradd", "--create-home", PERSON])
        shutil.copytree(self._wheels, system.path("/srv/wheels"))
        system.path("/etc/pip.conf").write_text(
            "[global]\nno-index = true\nfind-links = /srv/wheels\n", encoding="utf-8"
        )
        self._put(self._packages[0])
        folder = system.path("/etc/dagdeck")
        folder.mkdir(mode=0o755, exist_ok=True)
        shutil.copyfile(self._servers.authority, folder / "servers-ca.pem")

    def _put(self, package: Path) -> None:
        for old in self._system.path("/root").glob("*.deb"):
            old.unlink()
        shutil.copyfile(package, self._system.path("/root") / package.name)

    def _start_a_run(self) -> None:
        config = self._system.path("/etc/dagdeck/dagdeck.toml")
        config.write_text(config.read_text(encoding="utf-8") + SETTING, encoding="utf-8")
        self._must(["sh", "-c", "echo mine >/var/lib/dagdeck/runner-env/of-the-administrator"])
        self._transcript.say(
            f"A run begins, whose first task takes {SECONDS_OF_THE_RUN} s; the upgrade comes in its midst."
        )
        conf = json.dumps({"seconds": SECONDS_OF_THE_RUN})
        self._as_person(f"dagdeck dags trigger nightly --run-id in-flight --conf '{conf}'")
        self._wait(lambda: self._state("in-flight", "extract") == "running", "the first task runs", 60)
        self._put(self._packages[1])

    # ------------------------------------------------------------ what must be so

    def _see_the_master(self) -> None:
        check = self._transcript.check
        owner = self._must(["stat", "--format=%U:%G %a", "/etc/dagdeck/dagdeck.toml"]).output.strip()
        check("only root and the service's group can read the settings", owner == "root:dagdeck 640", owner)
        users = self._must(["sh", "-c", "ps -C dagdeckd -o user= | sort -u"]).output.split()
        check("everything of the master runs as the service user", users == ["dagdeck"], users)
        enabled = self._must(["systemctl", "is-enabled", "dagdeck-master"]).output.strip()
        check("the service is enabled", enabled == "enabled", enabled)
        rated = self._must(["systemd-analyze", "security", "--no-pager", "dagdeck-master.service"]).output
        exposure = float(rated.split("Overall exposure level for dagdeck-master.service: ")[1].split()[0])
        check(f"systemd rates what the master may do with {exposure} of 10", exposure < MOST_EXPOSED, exposure)

    def _see_the_workers(self) -> None:
        units = self._active_units()
        expected = ["dagdeck-master.service", "dagdeck-worker@1.service", "dagdeck-worker@2.service"]
        self._transcript.check("a master and two workers run under systemd", units == expected, units)

    def _see_the_run(self) -> None:
        logged = self._system.run(
            ["dagdeck", "logs", "nightly", "first", "load"], user=PERSON, environ=AS_PERSON
        ).output
        self._transcript.check("a DAG that imports pandas at its top has run", "loaded 42" in logged, logged)
        states = {task: self._state("first", task) for task in ("extract", "load")}
        self._transcript.check("both tasks succeeded", set(states.values()) == {"success"}, states)
        hosts = [each["hostname"] for each in self._json("workers", "list")]
        self._transcript.check("two workers are known to the cluster", len(hosts) == 2, hosts)
        self.run("root", "logrotate --force /etc/logrotate.d/dagdeck\n")
        rotated = self._system.path("/var/log/dagdeck/master.log.1").exists()
        self._transcript.check("logs are rotated, and the services go on", rotated)
        self._see_the_workers()

    def _see_the_upgrade(self) -> None:
        check = self._transcript.check
        said = self._must(["dagdeckd", "--version"]).output
        check(f"the program is now of version {self._newer}", self._newer in said, said)
        self._see_the_workers()
        self._wait(lambda: self._run_state("in-flight") in ("success", "failed"), "the run ends", _RUN_SECONDS)
        tries = {task["task_id"]: (task["state"], task["try_number"]) for task in self._tasks("in-flight")}
        expected = {"extract": ("success", 1), "load": ("success", 1)}
        check("the run in flight went on through the upgrade: each task ran once, to success", tries == expected, tries)
        config = self._system.path("/etc/dagdeck/dagdeck.toml").read_text(encoding="utf-8")
        check("changed settings are kept", config.endswith(SETTING))
        kept = self._system.path("/var/lib/dagdeck/runner-env/of-the-administrator").exists()
        check("what the administrator put into the environment is kept", kept)
        self._as_person("dagdeck dags trigger nightly --run-id afterwards --wait --timeout 120")

    def _see_the_removal(self) -> None:
        check = self._transcript.check
        check("nothing of it runs", self._system.run(["pgrep", "-u", "dagdeck"]).code == 1)
        for kept in ("/etc/dagdeck/dagdeck.toml", "/var/lib/dagdeck/dags/nightly.py", "/var/log/dagdeck/master.log"):
            check(f"{kept} stays", self._system.path(kept).exists())
        for gone in ("/usr/bin/dagdeckd", "/opt/dagdeck/daemons", "/usr/lib/systemd/system/dagdeck-master.service"):
            check(f"{gone} is gone", not self._system.path(gone).exists())

    def _see_nothing_left(self) -> None:
        check = self._transcript.check
        for gone in ("/etc/dagdeck/dagdeck.toml", "/var/lib/dagdeck", "/var/log/dagdeck", "/etc/logrotate.d/dagdeck"):
            check(f"{gone} is gone", not self._system.path(gone).exists())
        check("the service user is gone", self._system.run(["getent", "passwd", "dagdeck"]).code != 0)
        failed = self._must(["systemctl", "--failed", "--no-legend"]).output.strip()
        check("systemd knows of no failed unit", failed == "", failed)

    # ------------------------------------------------------------ looking

    def _active_units(self) -> list[str]:
        listed = self._must(
            ["systemctl", "list-units", "--plain", "--no-legend", "--state=active", "dagdeck-*.service"]
        ).output
        return sorted(line.split()[0] for line in listed.splitlines())

    def _state(self, run_id: str, task_id: str) -> str | None:
        return next((each["state"] for each in self._tasks(run_id) if each["task_id"] == task_id), None)

    def _tasks(self, run_id: str) -> list[dict[str, str]]:
        return self._json("tasks", "states", "nightly", run_id)

    def _run_state(self, run_id: str) -> str:
        found = self._json("runs", "show", "nightly", run_id)
        return str((found[0] if isinstance(found, list) else found)["state"])

    def _json(self, *arguments: str) -> list[dict[str, str]]:
        done = self._system.run(["dagdeck", *arguments, "-o", "json"], user=PERSON, environ=AS_PERSON)
        if done.code:
            raise TrialFailed(f"dagdeck {' '.join(arguments)}: {done.output}")
        found = json.loads(done.output)
        return found

    def _wait(self, is_so: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise TrialFailed(f"not within {seconds:.0f} s: {what}")
            time.sleep(0.5)
        self._transcript.check(what, True)

    def _must(self, command: list[str]) -> Done:
        done = self._system.run(command)
        if done.code:
            raise TrialFailed(f"{' '.join(command)}: exit code {done.code}: {done.output}")
        return done


def _nothing() -> None:
    """Nothing is looked at here."""


@contextlib.contextmanager
def logs_on_failure(system: CleanSystem) -> Iterator[None]:
    """Print the services' logs when the trial fails in this block: afterwards the system is gone."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            for log in sorted(system.path("/var/log/dagdeck").glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)
            print(system.run(["journalctl", "--no-pager", "--lines=40"]).output, file=sys.stderr)
        raise
