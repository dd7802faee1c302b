"""Callbacks that a task's own process could not call, and mail, through the entry that a runner calls."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Outcome
from dagdeck_core.work import RunCallback, TaskCallback, TaskFacts
from dagdeck_task import task_log
from tests.integration.test_dagdeck_task_execution import DATE, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A DAG file to be written."""
    yield Bench(tmp_path)
    task_log.remove()


def facts(**changes: Any) -> TaskFacts:
    """The task `t` after its process was killed."""
    values: dict[str, Any] = {
        "ti_id": 1,
        "task_id": "t",
        "try_number": 2,
        "max_tries": 1,
        "dispatch_no": 7,
        "state": TaskInstanceState.FAILED,
        "start_date": DATE,
        "end_date": DATE + timedelta(seconds=5),
        "error": "it was killed by signal 9",
    }
    return TaskFacts(**{**values, **changes})


def call(bench: Bench, code: str, order: Any, dag: str = "") -> Outcome:
    """The outcome of one order for a DAG file with this task."""
    return bench.run(code, dag, kind="callback", order=order, try_number=2)


def test_a_killed_task_gets_its_failure_callback(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(
        bench,
        """
def tell(context):
    ti = context["ti"]
    print("TOLD", ti.task_id, ti.state, ti.try_number, ti.dispatch_no, ti.duration, context["exception"])
    print("CURRENT", get_current_context()["ds"])
EmptyOperator(task_id="t", on_failure_callback=[tell, note("second")])
""",
        TaskCallback(task=facts(), names=("on_failure_callback",)),
    )
    shown = capsys.readouterr().out
    assert outcome.result == "success"
    assert "TOLD t failed 2 7 5.0 it was killed by signal 9" in shown
    assert "CURRENT 2026-01-31" in shown
    assert "CALLED second state=failed" in shown


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (TaskInstanceState.UP_FOR_RETRY, "retry"),
        (TaskInstanceState.SUCCESS, "success"),
        (TaskInstanceState.SKIPPED, "skipped"),
    ],
)
def test_the_state_chooses_the_callback(
    bench: Bench, capsys: pytest.CaptureFixture[str], state: TaskInstanceState, name: str
) -> None:
    order = TaskCallback(task=facts(state=state), names=(f"on_{name}_callback",))
    call(bench, "EmptyOperator(task_id='t', **ALL)", order)
    called = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("CALLED")]
    assert called == [name]


def test_a_callback_that_raises_is_told_and_the_others_are_called(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(
        bench,
        """
def breaks(context):
    raise RuntimeError("no pager")
EmptyOperator(task_id="t", on_failure_callback=[breaks, note("second")])
""",
        TaskCallback(task=facts(), names=("on_failure_callback",)),
    )
    assert outcome.result == "failed"
    assert outcome.error is not None
    assert outcome.error.kind == "CallbackFailed"
    shown = capsys.readouterr().out
    assert "no pager" in shown
    assert "CALLED second" in shown


def test_a_dag_is_told_how_its_run_ended(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    code = "EmptyOperator(task_id='t')"
    tell = "lambda c: print('RUN', c['dag'].dag_id, c['run_id'], c['reason'], c['ti'].state)"
    dag = f"on_failure_callback=[{tell}], on_success_callback={tell}"
    failed = RunCallback(is_failure=True, reason="task_failure", task=facts())
    assert call(bench, code, failed, dag=dag).result == "success"
    well = RunCallback(is_failure=False, reason="success", task=facts(state=TaskInstanceState.SUCCESS))
    assert call(bench, code, well, dag=dag).result == "success"
    shown = capsys.readouterr().out
    assert "RUN d run_1 task_failure failed" in shown
    assert "RUN d run_1 success success" in shown


def test_a_callback_that_never_ends_is_stopped(bench: Bench) -> None:
    outcome = bench.run(
        "EmptyOperator(task_id='t', on_failure_callback=lambda c: time.sleep(60))",
        kind="callback",
        order=TaskCallback(task=facts(), names=("on_failure_callback",)),
        execution_timeout=0.2,
    )
    assert outcome.result == "failed"
    assert outcome.error is not None
    assert outcome.error.kind == "AirflowTaskTimeout"


# ---------------------------------------------------------------- mail


class MailServer(socketserver.ThreadingTCPServer):
    """Takes one mail after another and keeps what it was told."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.mails: list[str] = []
        self.receivers: list[str] = []


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, MailServer)
        self._say("220 here")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "DATA":
                self._say("354 go on")
                lines = []
                while (text := self.rfile.readline().decode()) != ".\r\n":
                    lines.append(text)
                server.mails.append("".join(lines))
            elif word == "RCPT":
                server.receivers.append(line.partition(":")[2].strip("<>"))
            self._say("221 bye" if word == "QUIT" else "250 ok")
            if word == "QUIT":
                return

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def mail_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A mail server that tasks find in their environment."""
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("AIRFLOW__SMTP__SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__SMTP__SMTP_PORT", str(server.server_address[1]))
        monkeypatch.setenv("AIRFLOW__SMTP__SMTP_STARTTLS", "false")
        yield server
        server.shutdown()
        thread.join()


def test_email_on_failure_and_on_retry(bench: Bench, mail_server: MailServer) -> None:
    code = "PythonOperator(task_id='t', python_callable=lambda: 1/0, email=['a@x.org', 'b@x.org'], retries=1)"
    bench.run(code, try_number=1, max_tries=1)
    bench.run(code, try_number=2, max_tries=1)
    assert mail_server.receivers == ["a@x.org", "b@x.org"] * 2
    first, second = mail_server.mails
    assert "will be tried again" in first
    assert "d.t failed" in second
    assert "division by zero" in second


def test_no_mail_when_it_is_not_wanted(bench: Bench, mail_server: MailServer) -> None:
    code = "PythonOperator(task_id='t', python_callable=lambda: 1/0, email='a@x.org', email_on_failure=False)"
    bench.run(code)
    assert mail_server.mails == []


def test_the_operator_and_the_notifier_send(bench: Bench, mail_server: MailServer, tmp_path: Path) -> None:
    attached = tmp_path / "report.csv"
    attached.write_text("1,2\n")
    outcome = bench.run(
        f"""
from dagdeck.operators.email import EmailOperator
from dagdeck.smtp import SmtpNotifier
EmailOperator(task_id="t", to="a@x.org; b@x.org", subject="Report of {{{{ ds }}}}", html_content="<b>good</b>",
              files=["{attached}"], cc="c@x.org", on_success_callback=SmtpNotifier(to="d@x.org"))
"""
    )
    assert outcome.result == "success", outcome.error
    assert mail_server.receivers == ["a@x.org", "b@x.org", "c@x.org", "d@x.org"]
    assert "Subject: Report of 2026-01-31" in mail_server.mails[0]
    assert 'filename="report.csv"' in mail_server.mails[0]
    assert "task t is success" in mail_server.mails[1]


def test_without_a_server_the_mail_says_what_to_do(bench: Bench) -> None:
    outcome = bench.run(
        "from dagdeck.operators.email import EmailOperator\nEmailOperator(task_id='t', to='a@x.org', subject='s')"
    )
    assert outcome.result == "failed"
    assert outcome.error is not None
    assert "make a Connection 'smtp_default'" in outcome.error.message
