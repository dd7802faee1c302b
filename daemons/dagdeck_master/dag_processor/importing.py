"""Imports one DAG file and turns its DAGs into specs.

Decides how errors of a file and of single DAGs become `ParseError`s. Does not decide how a file is loaded or a DAG
serialised (`dagdeck`). Runs in the parsing child; no other module of the DAG processor imports `dagdeck`.
"""

from __future__ import annotations

import traceback
import warnings
from pathlib import Path
from typing import Any

import msgspec

from dagdeck import runtime
from dagdeck.collect import ImportFailure, load_file
from dagdeck.dags import DAG
from dagdeck.deprecation import RemovedInAirflow3Warning
from dagdeck.listeners import get_listener_manager
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError
from dagdeck_core.spec import encode_spec
from dagdeck_master.dag_processor.protocol import MOST_OUTDATED, ChildChannel, ParsedDag, ParseError, ParseFile
from dagdeck_task.masking import Masker

_TRACE = 16_000
OUT_OF_MEMORY = "importing the file needed more memory than dag_processor.memory_limit allows"


class DagFileImporter:
    """Parses files one after the other; questions of user code go to the DAG processor."""

    def __init__(self, channel: ChildChannel) -> None:
        self._masker = Masker()
        self._requests = _ProcessorRequests(channel, self._masker)
        self.outdated: tuple[str, ...] = ()
        """What the last file used of earlier Airflow versions."""

    def parse(self, job: ParseFile) -> tuple[tuple[ParsedDag, ...], tuple[ParseError, ...]]:
        """The file's DAGs as specs, and what is wrong with it. Raises only what escapes `load_file`."""
        path = Path(job.root) / job.path
        self.outdated = ()
        with runtime.answering(self._requests):
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always", RemovedInAirflow3Warning)
                loaded = load_file(path, job.root, fresh=False)
            self.outdated = _outdated(heard)
            dags: list[ParsedDag] = []
            errors = [_import_error(failure) for failure in loaded.failures]
            for dag in loaded.dags:
                try:
                    dags.append(_parsed(dag, job))
                except UserError as error:
                    errors.append(_dag_error(dag, error, path))
            errors = [self.hidden(error) for error in errors]
            if errors:
                _tell_listeners(job, path, errors)
        return tuple(dags), tuple(errors)

    def hidden(self, error: ParseError) -> ParseError:
        """The error without the secrets that files have asked for at their top level."""
        mask = self._masker.mask
        return msgspec.structs.replace(error, message=mask(error.message), stack_trace=mask(error.stack_trace))


def _tell_listeners(job: ParseFile, path: Path, errors: list[ParseError]) -> None:
    moment = "on_existing_dag_import_error" if job.was_broken else "on_new_dag_import_error"
    trace = "\n".join(error.stack_trace or error.message for error in errors)
    get_listener_manager().call(moment, filename=str(path), stacktrace=trace)


def _outdated(heard: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """Those about earlier Airflow versions; all others go where they would have gone."""
    old = []
    for each in heard:
        if issubclass(each.category, RemovedInAirflow3Warning):
            old.append(each)
        else:
            warnings.showwarning(each.message, each.category, each.filename, each.lineno)
    return tuple(f"line {each.lineno}: {each.message}" for each in old[:MOST_OUTDATED])


def _parsed(dag: DAG, job: ParseFile) -> ParsedDag:
    spec = serialize_dag(
        dag,
        root=job.root,
        cron_data_intervals=job.cron_data_intervals,
        delta_data_intervals=job.delta_data_intervals,
        catchup_by_default=job.catchup,
    )
    return ParsedDag(dag_id=spec.dag_id, spec=encode_spec(spec))


def _import_error(failure: ImportFailure) -> ParseError:
    message = failure.message
    if failure.stack_trace.rstrip().rpartition("\n")[2].startswith("MemoryError"):
        message = OUT_OF_MEMORY
    return ParseError(message=message, line=failure.line, stack_trace=failure.stack_trace[-_TRACE:])


def _dag_error(dag: DAG, error: UserError, path: Path) -> ParseError:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == str(path)]
    return ParseError(
        message=str(error),
        line=own[-1] if own else None,
        stack_trace="".join(traceback.format_exception(error))[-_TRACE:],
        dag_id=dag.dag_id,
    )


class _ProcessorRequests:
    """Answers Variable and Connection lookups at a file's top level by asking the DAG processor."""

    def __init__(self, channel: ChildChannel, masker: Masker) -> None:
        self._channel = channel
        self._masker = masker

    def request(self, method: str, arguments: dict[str, Any]) -> Any:
        reply = self._channel.request(method, arguments)
        if reply.error is None:
            return reply.value
        kind, message = reply.error
        raise (runtime.NotFound if kind == "not_found" else runtime.RequestFailed)(message)

    def mask(self, value: str) -> None:
        """Hide it in this process's output, which may become part of an import error, and in errors."""
        self._masker.add(value)
