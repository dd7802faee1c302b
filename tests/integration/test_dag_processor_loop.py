"""The DAG processor's loop over a real folder and real children, publishing into memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import BundleManifest
from dagdeck_core.spec import decode_spec
from dagdeck_core.wire import Reply, Request
from dagdeck_io.bundles.manifest import BundleLimits
from dagdeck_io.bundles.scan import FolderScanner
from dagdeck_io.bundles.unpack import BundleCache
from dagdeck_master.dag_processor.catalog import Catalog, FileError
from dagdeck_master.dag_processor.child_process import ChildOptions, ParsingChild
from dagdeck_master.dag_processor.pool import ParsingPool
from dagdeck_master.dag_processor.processor import DagProcessor, RoundResult
from dagdeck_master.dag_processor.protocol import ParsedFile, ParseFile
from tests.support.dag_folders import dag_file, write_files


class MemoryPublisher:
    """Keeps what was published; may pretend that the database is down."""

    def __init__(self) -> None:
        self.stored: dict[str, BundleManifest] = {}
        self.contents: dict[str, bytes] = {}
        self.published: list[tuple[BundleManifest, Catalog, bool]] = []
        self.folder_errors: list[FileError] = []
        self.requests: list[str] = []
        self.down = False
        self.in_charge = True

    def _reach(self) -> None:
        if self.down:
            raise EnvironmentFault("the database does not answer")

    def owners(self) -> dict[str, str]:
        self._reach()
        return {dag.dag_id: dag.path for dag in self.published[-1][1].dags} if self.published else {}

    def store(self, manifest: BundleManifest, read: Callable[[str], bytes]) -> None:
        self._reach()
        self.stored[manifest.version] = manifest
        for file in manifest.files:
            self.contents.setdefault(file.sha256, read(file.path))

    def publish(self, manifest: BundleManifest, catalog: Catalog, *, complete: bool) -> Collection[str]:
        self._reach()
        assert manifest.version in self.stored
        self.published.append((manifest, catalog, complete))
        return [dag.dag_id for dag in catalog.dags]

    def folder_failed(self, error: FileError) -> None:
        self.folder_errors.append(error)

    def requested(self) -> Collection[str]:
        self._reach()
        taken, self.requests = self.requests, []
        return taken

    def leads(self) -> bool:
        self._reach()
        return self.in_charge

    @property
    def catalog(self) -> Catalog:
        return self.published[-1][1]

    def dags(self) -> dict[str, str]:
        return {dag.dag_id: dag.path for dag in self.catalog.dags}

    def codes(self) -> dict[str, str]:
        return {dag.dag_id: dag.code for dag in self.catalog.dags}

    def errors(self) -> dict[str, str]:
        return {error.path: error.message for error in self.catalog.errors}


class RecordingPool(ParsingPool):
    """Notes which files were parsed."""

    parsed: list[str]

    def parse(self, jobs: Collection[ParseFile]) -> Iterator[ParsedFile]:
        for result in super().parse(list(jobs)):
            self.parsed.append(result.path)
            yield result


class Bench:
    """A DAG processor over `root`."""

    def __init__(self, folder: Path, *, refresh_interval: float = 3600.0) -> None:
        self.root = folder / "dags"
        self.root.mkdir()
        self.publisher = MemoryPublisher()
        self.launched = 0
        self.variables: dict[str, str] = {}
        self.pool = RecordingPool(launch=self._launch, answer=self._answer, parallel=2, timeout=5.0)
        self.pool.parsed = []
        self.limits = BundleLimits(max_bytes=10_000)
        self.processor = DagProcessor(
            scanner=FolderScanner(name="dags", root=self.root, limits=self.limits),
            cache=BundleCache(folder / "cache", max_bytes=0),
            pool=self.pool,
            publisher=self.publisher,
            refresh_interval=refresh_interval,
        )

    def _launch(self) -> ParsingChild:
        self.launched += 1
        return ParsingChild(ChildOptions(memory_limit=1 << 30, max_output=1 << 16))

    def _answer(self, request: Request) -> Reply:
        return Reply(number=request.number, value=self.variables[request.arguments["key"]])

    def write(self, files: dict[str, str]) -> None:
        write_files(self.root, files)

    def round(self) -> list[str]:
        """One round that publishes; the files that it parsed, sorted."""
        before = len(self.pool.parsed)
        assert self.processor.round() is RoundResult.PUBLISHED
        return sorted(self.pool.parsed[before:])

    def quiet(self) -> bool:
        return self.processor.round() is RoundResult.QUIET


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_dag_files_are_found_parsed_and_published_once(bench: Bench) -> None:
    bench.write({"a.py": dag_file("a"), "team/b.py": dag_file("b"), "lib.py": "X = 1", "notes.md": "dag airflow"})
    assert bench.round() == ["a.py", "team/b.py"]
    assert bench.publisher.dags() == {"a": "a.py", "b": "team/b.py"}
    manifest, catalog, complete = bench.publisher.published[0]
    assert complete
    assert decode_spec(catalog.dags[0].spec).dag_id == "a"
    assert [file.path for file in manifest.files] == ["a.py", "lib.py", "notes.md", "team/b.py"]
    assert bench.quiet()
    assert len(bench.publisher.published) == 1


def test_only_what_depends_on_a_change_is_parsed_again(bench: Bench) -> None:
    bench.write(
        {
            "a.py": dag_file("a", before="from lib.helper import X"),
            "b.py": dag_file("b"),
            "lib/helper.py": "from lib.deeper import X",
            "lib/deeper.py": "X = 1",
        }
    )
    assert bench.round() == ["a.py", "b.py"]
    bench.write({"lib/deeper.py": "X = 2"})
    assert bench.round() == ["a.py"]
    bench.write({"b.py": dag_file("b2")})
    assert bench.round() == ["b.py"]
    assert bench.publisher.dags() == {"a": "a.py", "b2": "b.py"}
    bench.write({"c.py": dag_file("c")})
    assert bench.round() == ["c.py"]
    (bench.root / "a.py").unlink()
    assert bench.round() == []
    assert bench.publisher.dags() == {"b2": "b.py", "c": "c.py"}


def test_listed_folders_and_missing_files_are_dependencies_too(bench: Bench) -> None:
    listing = (
        "import pathlib\nNAMES = sorted(p.stem for p in (pathlib.Path(__file__).parent / 'configs').glob('*.json'))"
    )
    optional = "try:\n    from overrides import X\nexcept ImportError:\n    X = 1"
    bench.write({"a.py": dag_file("a", before=listing), "b.py": dag_file("b", before=optional), "configs/x.json": ""})
    bench.round()
    bench.write({"configs/y.json": ""})
    assert bench.round() == ["a.py"]
    bench.write({"overrides.py": "X = 2"})
    assert bench.round() == ["b.py"]


def test_code_counts_as_changed_for_dags_that_may_read_it(bench: Bench) -> None:
    bench.write({"a.py": dag_file("a"), "b.py": dag_file("b"), "c.py": dag_file("c", before="import a")})
    bench.write({"lib.py": "X = 1", "query.sql": "select 1"})
    bench.round()
    first = bench.publisher.codes()
    bench.write({"a.py": dag_file("a") + "# changed"})
    bench.round()
    second = bench.publisher.codes()
    assert {name for name in first if first[name] != second[name]} == {"a", "c"}
    bench.write({"query.sql": "select 2"})
    assert bench.round() == []
    third = bench.publisher.codes()
    assert all(third[name] != second[name] for name in third), "any task may read a file that is no DAG file"


def test_code_does_not_depend_on_what_was_parsed_before(bench: Bench, tmp_path: Path) -> None:
    files = {"a.py": dag_file("a", before="import json.tool"), "b.py": dag_file("b"), "lib.py": "X = 1"}
    bench.write({"b.py": files["b.py"]})
    bench.round()
    bench.write(files)
    bench.round()
    other = tmp_path / "other"
    other.mkdir()
    fresh = Bench(other)
    fresh.write(files)
    fresh.round()
    assert fresh.publisher.codes() == bench.publisher.codes()


def test_a_broken_file_keeps_its_dags_and_is_tried_again(bench: Bench) -> None:
    bench.write({"a.py": dag_file("a"), "b.py": dag_file("b")})
    bench.round()
    bench.write({"a.py": "from dagdeck import DAG\nwith DAG('a'\n"})
    bench.round()
    assert bench.publisher.dags() == {"b": "b.py"}
    assert bench.publisher.catalog.kept_files == {"a.py"}
    error = bench.publisher.catalog.errors[0]
    assert (error.path, error.line) == ("a.py", 2)
    assert "SyntaxError" in error.message
    bench.write({"unrelated.txt": "x"})
    assert bench.round() == ["a.py"]
    bench.write({"a.py": dag_file("a")})
    bench.round()
    assert bench.publisher.errors() == {}
    assert bench.publisher.catalog.kept_files == frozenset()


def test_a_dag_id_in_two_files_stays_with_its_owner_and_names_both(bench: Bench) -> None:
    bench.write({"m.py": dag_file("same")})
    bench.round()
    bench.write({"a.py": dag_file("same"), "z.py": dag_file("same")})
    bench.round()
    assert bench.publisher.dags() == {"same": "m.py"}
    duplicate = bench.publisher.catalog.duplicates[0]
    assert (duplicate.dag_id, duplicate.path, duplicate.others) == ("same", "m.py", ("a.py", "z.py"))
    for path in ("a.py", "z.py"):
        assert "'same' is defined in m.py" in bench.publisher.errors()[path]
    (bench.root / "m.py").unlink()
    bench.round()
    assert bench.publisher.dags() == {"same": "a.py"}


def test_problems_of_the_folder_are_shown_as_import_errors(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("x")
    bench.write({"a.py": dag_file("a")})
    (bench.root / "link.py").symlink_to(tmp_path / "outside.py")
    bench.round()
    assert "outside the DAG folder" in bench.publisher.errors()["link.py"]
    assert bench.publisher.dags() == {"a": "a.py"}


def test_a_folder_over_its_limit_keeps_everything_and_is_named_once(bench: Bench) -> None:
    bench.write({"a.py": dag_file("a")})
    bench.round()
    bench.write({"large.bin": "x" * 20_000})
    assert bench.processor.round() is RoundResult.FAILED
    assert bench.processor.round() is RoundResult.FAILED
    assert len(bench.publisher.folder_errors) == 1
    assert "max_bundle_bytes" in bench.publisher.folder_errors[0].message
    assert len(bench.publisher.published) == 1
    (bench.root / "large.bin").unlink()
    bench.processor.round()
    assert bench.publisher.dags() == {"a": "a.py"}


def test_what_a_database_that_is_down_did_not_take_is_published_later(bench: Bench) -> None:
    bench.write({"a.py": dag_file("a")})
    bench.publisher.down = True
    assert bench.processor.round() is RoundResult.FAILED
    assert bench.processor.round() is RoundResult.FAILED
    assert bench.launched <= 1, "nothing is parsed while nobody can take it"
    bench.publisher.down = False
    assert bench.round() == ["a.py"]
    assert bench.publisher.dags() == {"a": "a.py"}
    assert bench.quiet()


def test_a_processor_that_is_not_in_charge_does_nothing(bench: Bench) -> None:
    bench.write({"a.py": dag_file("a")})
    bench.publisher.in_charge = False
    assert bench.processor.round() is RoundResult.STANDING_BY
    assert bench.launched == 0
    bench.publisher.in_charge = True
    assert bench.round() == ["a.py"]


def test_no_child_stays_while_nothing_happens(bench: Bench) -> None:
    bench.write({"a.py": dag_file("a"), "query.sql": "x"})
    bench.round()
    assert bench.pool._slots == []
    bench.write({"query.sql": "y"})
    bench.round()
    assert bench.pool._slots == []


def test_files_are_parsed_again_on_request_and_when_they_asked_for_variables(tmp_path: Path) -> None:
    bench = Bench(tmp_path, refresh_interval=0.2)
    bench.variables["name"] = "one"
    asking = dag_file(
        "asks", before="from dagdeck import Variable", tasks="EmptyOperator(task_id=Variable.get('name'))"
    )
    bench.write({"a.py": asking, "b.py": dag_file("b")})
    bench.round()
    bench.publisher.requests = ["b.py", "no_such_file.py"]
    bench.variables["name"] = "two"
    assert "b.py" in bench.round()
    time.sleep(0.25)
    bench.round()
    dags = {dag.dag_id: decode_spec(dag.spec) for dag in bench.publisher.catalog.dags}
    assert [task.task_id for task in dags["asks"].tasks] == ["two"]


def test_a_large_folder_is_published_in_parts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagdeck_master.dag_processor.processor._PUBLISH_EVERY", 0.0)
    bench.write({f"d{number}.py": dag_file(f"d{number}") for number in range(4)})
    bench.round()
    assert [complete for _, _, complete in bench.publisher.published] == [False] * (
        len(bench.publisher.published) - 1
    ) + [True]
    sizes = [len(catalog.dags) for _, catalog, _ in bench.publisher.published]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 4
    assert sizes[0] < 4


def test_from_saving_a_file_to_publishing_it_takes_a_scan_interval_and_a_moment(bench: Bench) -> None:
    stop, first = threading.Event(), threading.Event()
    bench.write({"a.py": dag_file("a")})
    thread = threading.Thread(
        target=bench.processor.run, args=(stop,), kwargs={"scan_interval": 0.2, "first_round_done": first.set}
    )
    thread.start()
    try:
        assert first.wait(10)
        assert bench.publisher.dags() == {"a": "a.py"}
        bench.write({"b.py": dag_file("b")})
        saved = time.monotonic()
        while "b" not in bench.publisher.dags():
            assert time.monotonic() < saved + 10
            time.sleep(0.01)
        # Half a second in a quiet moment; the bound allows for a busy machine.
        assert time.monotonic() - saved < 0.2 + 3.0
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def test_an_unchanged_cache_folder_holds_two_versions_at_most(bench: Bench, tmp_path: Path) -> None:
    for number in range(4):
        bench.write({"a.py": dag_file(f"a{number}")})
        bench.round()
    assert len(os.listdir(tmp_path / "cache" / "dags")) <= 2
