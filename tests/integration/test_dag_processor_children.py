"""Parsing children: what user code may do at import, and what its author then reads."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dagdeck_core.spec import decode_spec
from dagdeck_core.wire import Reply, Request
from dagdeck_master.dag_processor.child_process import CapturedOutput, ChildOptions, ParsingChild, scrubbed_environment
from dagdeck_master.dag_processor.pool import ParsingPool
from dagdeck_master.dag_processor.portable_child import PortableParsingChild
from dagdeck_master.dag_processor.protocol import FrameBuffer, ParsedFile, ParseFile, frame
from tests.support.dag_folders import dag_file, write_files

Child = ParsingChild | PortableParsingChild
MB = 1024 * 1024
TIMEOUT = 3.0


class Parser:
    """A pool over one folder, with the children that it started."""

    def __init__(self, root: Path, form: type[Child]) -> None:
        self.root = root
        self.form = form
        self.children: list[Child] = []
        self.variables = {"region": "north"}
        self.python = sys.executable

    def launch(self) -> Child:
        environ = dict(os.environ) | {"DAGDECK__DATABASE__URL": "mysql://root:secret@db", "VISIBLE": "yes"}
        child = self.form(self._options(environ))
        self.children.append(child)
        return child

    def _options(self, environ: dict[str, str]) -> ChildOptions:
        return ChildOptions(memory_limit=256 * MB, max_output=64 * 1024, environ=environ, python=self.python)

    def answer(self, request: Request) -> Reply:
        value = self.variables.get(str(request.arguments.get("key")))
        if request.method == "variable_get" and value is not None:
            return Reply(number=request.number, value=value)
        return Reply(number=request.number, error=("not_found", f"there is no variable {request.arguments['key']!r}"))

    def parse(self, files: dict[str, str], *, parallel: int = 1, timeout: float = TIMEOUT) -> dict[str, ParsedFile]:
        write_files(self.root, files)
        pool = ParsingPool(launch=self.launch, answer=self.answer, parallel=parallel, timeout=timeout)
        jobs = [ParseFile(root=str(self.root), path=path) for path in files if not path.startswith("lib/")]
        try:
            return {result.path: result for result in pool.parse(jobs)}
        finally:
            pool.close()


@pytest.fixture(params=[ParsingChild, PortableParsingChild], ids=["linux", "portable"])
def parser(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Parser]:
    root = tmp_path / "bundle"
    root.mkdir()
    made = Parser(root.resolve(), request.param)
    yield made
    for child in made.children:
        assert child.has_ended()


def dag_ids(result: ParsedFile) -> list[str]:
    return [dag.dag_id for dag in result.dags]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def error_of(result: ParsedFile) -> tuple[int | None, str]:
    assert len(result.errors) == 1, result
    assert result.dags == ()
    return result.errors[0].line, result.errors[0].message


def test_a_file_becomes_specs(parser: Parser) -> None:
    result = parser.parse({"team/good.py": dag_file("good")})["team/good.py"]
    spec = decode_spec(result.dags[0].spec)
    assert (spec.dag_id, spec.fileloc, [task.task_id for task in spec.tasks]) == ("good", "team/good.py", ["only"])
    assert result.errors == ()
    assert result.duration > 0


def test_errors_name_file_line_and_message(parser: Parser) -> None:
    results = parser.parse(
        {
            "syntax.py": "from dagdeck import DAG\nwith DAG('x'\n    pass\n",
            "raising.py": dag_file("x", before="\n\nraise ValueError('no luck')"),
            "missing.py": dag_file("x", before="import no_such_module_anywhere"),
            "exiting.py": dag_file("x", before="import sys\nsys.exit(4)"),
            "deep.py": dag_file("x", before="from lib import broken"),
            "lib/broken.py": "\n\n1 / 0\n",
            "good.py": dag_file("good"),
        }
    )
    assert error_of(results["syntax.py"])[0] == 2
    assert "SyntaxError" in error_of(results["syntax.py"])[1]
    line, message = error_of(results["raising.py"])
    assert (line, "ValueError: no luck" in message) == (5, True)
    assert "no_such_module_anywhere" in error_of(results["missing.py"])[1]
    assert "SystemExit" in error_of(results["exiting.py"])[1]
    assert error_of(results["deep.py"])[0] == 3
    assert "lib/broken.py" in results["deep.py"].errors[0].stack_trace
    assert dag_ids(results["good.py"]) == ["good"]


def test_a_cycle_names_its_tasks_and_keeps_the_file_s_other_dags(parser: Parser) -> None:
    tasks = "a, b = EmptyOperator(task_id='a'), EmptyOperator(task_id='b'); a >> b >> a"
    result = parser.parse({"cycle.py": dag_file("good") + dag_file("round", tasks=tasks)})["cycle.py"]
    assert dag_ids(result) == ["good"]
    assert result.errors[0].dag_id == "round"
    assert "b >> a >> b" in result.errors[0].message


def test_a_hanging_import_is_ended_and_its_line_named(parser: Parser) -> None:
    started = time.monotonic()
    results = parser.parse(
        {"a_hang.py": dag_file("hang", before="import time\n\ntime.sleep(3600)"), "b_good.py": dag_file("good")},
        timeout=1.0,
    )
    line, message = error_of(results["a_hang.py"])
    assert line == 5
    assert "longer than dag_processor.parse_timeout = 1 s" in message
    assert "time.sleep" not in message
    assert "a_hang.py" in results["a_hang.py"].errors[0].stack_trace
    assert dag_ids(results["b_good.py"]) == ["good"]
    assert time.monotonic() - started < 6
    assert len(parser.children) == 2


def test_a_slow_file_does_not_hold_up_the_others(parser: Parser) -> None:
    files = {"a_slow.py": dag_file("slow", before="import time; time.sleep(3600)")}
    files |= {f"good_{number}.py": dag_file(f"good_{number}") for number in range(3)}
    write_files(parser.root, files)
    pool = ParsingPool(launch=parser.launch, answer=parser.answer, parallel=2, timeout=TIMEOUT)
    order = [result.path for result in pool.parse([ParseFile(root=str(parser.root), path=path) for path in files])]
    pool.close()
    assert order[-1] == "a_slow.py"


def test_ending_the_process_is_blamed_on_the_file(parser: Parser) -> None:
    results = parser.parse(
        {
            "exit.py": dag_file("x", before="import os\nos._exit(3)"),
            "crash.py": dag_file("x", before="import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"),
            "killed.py": dag_file("x", before="import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
            "good.py": dag_file("good"),
        }
    )
    assert "exit code 3" in error_of(results["exit.py"])[1]
    assert "SIGSEGV" in error_of(results["crash.py"])[1]
    assert "SIGKILL (out of memory?)" in error_of(results["killed.py"])[1]
    assert dag_ids(results["good.py"]) == ["good"]


def test_a_flood_of_output_is_bounded(parser: Parser) -> None:
    flood = "line = 'x' * 99 + chr(10)\nfor _ in range(1024):\n    print(line * 1024, end='')"
    results = parser.parse({"flood.py": dag_file("flood", before=flood)}, timeout=30)
    assert dag_ids(results["flood.py"]) == ["flood"]
    assert len(parser.children[0].output.text()) < 70 * 1024
    assert "bytes dropped" in parser.children[0].output.text()


def test_a_file_that_wants_too_much_memory_says_so(parser: Parser) -> None:
    results = parser.parse(
        {"hog.py": dag_file("hog", before="hog = bytearray(1 << 30)"), "good.py": dag_file("good")}, timeout=20
    )
    assert "dag_processor.memory_limit" in error_of(results["hog.py"])[1]
    assert dag_ids(results["good.py"]) == ["good"]


def test_what_an_import_starts_dies_with_its_child(parser: Parser, tmp_path: Path) -> None:
    script = "import os, sys, time; os.setsid(); open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    before = f"""
        import subprocess, sys, time, pathlib
        mark = pathlib.Path({str(tmp_path / "pid")!r})
        subprocess.Popen([sys.executable, "-c", {script!r}, str(mark)])
        while not (mark.exists() and mark.read_text()):
            time.sleep(0.01)
        """
    result = parser.parse({"spawning.py": dag_file("spawning", before=before)})["spawning.py"]
    assert dag_ids(result) == ["spawning"]
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 3
    while is_running(pid):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_file_that_leaves_threads_behind_does_not_disturb_the_next(parser: Parser) -> None:
    before = """
        import os, threading, time
        def later():
            time.sleep(0.3)
            os._exit(9)
        threading.Thread(target=later, daemon=True).start()
        """
    slow = "import time\ntime.sleep(0.6)"
    results = parser.parse({"a_leaky.py": dag_file("leaky", before=before), "b_slow.py": dag_file("slow", before=slow)})
    assert dag_ids(results["a_leaky.py"]) == ["leaky"]
    assert dag_ids(results["b_slow.py"]) == ["slow"]
    assert len(parser.children) == 2


def test_user_code_sees_no_credentials_and_cannot_reach_the_protocol_by_printing(parser: Parser) -> None:
    before = """
        import os, sys
        print("to stdout"); os.write(1, b"raw"); sys.stderr.write("to stderr")
        assert os.environ["VISIBLE"] == "yes"
        leaked = [name for name in os.environ if name.startswith("DAGDECK")]
        assert not leaked, leaked
        assert sys.stdin.read() == ""
        """
    result = parser.parse({"nosy.py": dag_file("nosy", before=before)})["nosy.py"]
    assert dag_ids(result) == ["nosy"], result.errors
    assert scrubbed_environment({"DAGDECK_CONFIG": "x", "dagdeck__a__b": "y", "PATH": "z"}) == {"PATH": "z"}


def test_variables_at_the_top_level_are_asked_of_the_processor(parser: Parser) -> None:
    before = "from dagdeck import Variable\nregion = Variable.get('region')"
    missing = "from dagdeck import Variable\nVariable.get('nothing')"
    results = parser.parse(
        {"asks.py": dag_file("asks", before=before, tasks="EmptyOperator(task_id=region)")}
        | {"misses.py": dag_file("x", before=missing), "plain.py": dag_file("plain")}
    )
    assert [task.task_id for task in decode_spec(results["asks.py"].dags[0].spec).tasks] == ["north"]
    assert "nothing" in error_of(results["misses.py"])[1]
    assert [results[path].asked for path in ("asks.py", "misses.py", "plain.py")] == [True, True, False]


def test_an_answer_that_does_not_fit_the_pipe_is_refused(parser: Parser) -> None:
    parser.variables["region"] = "x" * MB
    before = "from dagdeck import Variable\nregion = Variable.get('region')"
    result = parser.parse({"asks.py": dag_file("asks", before=before)})["asks.py"]
    assert "the value is larger than" in error_of(result)[1]


def test_everything_that_an_import_reads_is_reported(parser: Parser) -> None:
    before = """
        import os
        from lib.helper import VALUE
        from pathlib import Path
        here = Path(__file__).parent
        sorted(here.glob("config/*.json"))
        open(here / "query.sql").read()
        try:
            import local_settings
        except ImportError:
            pass
        """
    files = {
        "dag.py": dag_file("reading", before=before),
        "lib/__init__.py": "",
        "lib/helper.py": "from lib.base import VALUE",
        "lib/base.py": "VALUE = 1",
        "lib/unused.py": "",
    }
    write_files(parser.root, {"query.sql": "select 1", "config/a.json": "{}"})
    first = parser.parse(files)["dag.py"]
    assert first.errors == ()
    expected = {
        "dag.py",
        "lib/__init__.py",
        "lib/helper.py",
        "lib/base.py",
        "query.sql",
        "config/",
        "local_settings.py",
    }
    assert expected <= set(first.touched)
    assert not {"lib/unused.py", "config/a.json", "/"} & set(first.touched)


def test_each_file_reports_a_shared_module_although_one_process_parses_both(parser: Parser) -> None:
    shared = {"lib/__init__.py": "", "lib/shared.py": "VALUE = 1"}
    use = "from lib.shared import VALUE"
    results = parser.parse({"a.py": dag_file("a", before=use), "b.py": dag_file("b", before=use)} | shared)
    assert len(parser.children) == 1
    assert all("lib/shared.py" in results[path].touched for path in ("a.py", "b.py"))


def test_many_files_are_shared_among_children(parser: Parser) -> None:
    files = {f"dag_{number}.py": dag_file(f"dag_{number}") for number in range(12)}
    results = parser.parse(files, parallel=2)
    assert sorted(dag_ids(result)[0] for result in results.values()) == sorted(f"dag_{n}" for n in range(12))
    assert len(parser.children) == 2


def test_a_child_that_cannot_start_is_an_environment_fault(parser: Parser) -> None:
    parser.python = "/bin/false"
    from dagdeck_core.errors import EnvironmentFault

    with pytest.raises(EnvironmentFault, match="ended before it was ready"):
        parser.parse({"good.py": dag_file("good")})


def test_garbage_on_the_result_pipe_is_blamed_on_the_file(parser: Parser) -> None:
    before = """
        import os
        for fd in range(3, 1024):
            try:
                os.write(fd, b"\\x00\\x00\\x00\\x04junk")
            except OSError:
                pass
        """
    results = parser.parse({"rude.py": dag_file("rude", before=before), "good.py": dag_file("good")})
    assert "disturbed the parsing process" in error_of(results["rude.py"])[1]
    assert dag_ids(results["good.py"]) == ["good"]


def test_frames_are_put_together_from_any_pieces() -> None:
    data = frame(b"one") + frame(b"") + frame(b"three")
    for size in (1, 2, 5, len(data)):
        buffer = FrameBuffer()
        found = [message for start in range(0, len(data), size) for message in buffer.feed(data[start : start + size])]
        assert found == [b"one", b"", b"three"]


def test_captured_output_keeps_its_beginning_and_its_end() -> None:
    output = CapturedOutput(4096)
    output.feed(b"begin" + b"x" * 100_000 + b"end")
    assert output.text().startswith("begin")
    assert output.text().endswith("end")
    assert len(output.text()) < 4200


def test_the_cluster_s_defaults_decide_what_a_dag_leaves_open(parser: Parser) -> None:
    dated = "from datetime import datetime\nSINCE = datetime(2026, 1, 1)"
    text = dag_file("x", before=dated).replace("schedule=None", 'schedule="@daily", start_date=SINCE')
    write_files(parser.root, {"open.py": text, "said.py": text.replace("schedule=", "catchup=False, schedule=")})
    pool = ParsingPool(launch=parser.launch, answer=parser.answer, parallel=1, timeout=TIMEOUT)
    jobs = [
        ParseFile(root=str(parser.root), path=path, cron_data_intervals=True, catchup=True)
        for path in ("open.py", "said.py")
    ]
    specs = [decode_spec(result.dags[0].spec) for result in pool.parse(jobs)]
    pool.close()
    assert [spec.catchup for spec in specs] == [True, False]
    assert [type(spec.timetable).__name__ for spec in specs] == ["CronDataIntervalSpec"] * 2
