"""The report of a migration check, for people.

Decides its words and order: a line for each DAG, and below what its author has to know. Used by the program.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagdeck_task.migration.findings import DagFinding, FileFinding, Report, Use


def as_text(report: Report) -> str:
    """The whole report."""
    lines = [line for found in report.files for line in (*_file(found), "")]
    return "\n".join([*lines, _summary(report)])


def _file(found: FileFinding) -> Iterator[str]:
    verdict = "loads" if found.works else "DOES NOT LOAD" if found.error else "USES WHAT IS MISSING"
    yield f"{found.file}: {verdict} (written for {found.written_for})"
    if found.error:
        yield f"  error: {found.error}"
    for use in found.unsupported:
        if not (found.error and use.advice in found.error):
            yield f"  not supported, line {use.line}: {use.advice}"
    for dag in found.dags:
        yield from _dag(dag)
    for use in found.outdated:
        yield f"  outdated, line {use.line}: {_advice(use)}"


def _dag(dag: DagFinding) -> Iterator[str]:
    runs = f"next run {dag.next_run}, ds {dag.next_ds}" if dag.next_run else "no runs by itself"
    yield f"  dag {dag.dag_id}: schedule {dag.schedule}, catchup {'on' if dag.catchup else 'off'}, {runs}"
    for change in dag.changes:
        yield f"    changes: {change.what}. {change.remedy}"


def _advice(use: Use) -> str:
    return f"{use.name}. {use.advice}" if use.advice else use.name


def _summary(report: Report) -> str:
    dags = sum(len(found.dags) for found in report.files)
    broken = sum(not found.works for found in report.files)
    changed = sum(bool(dag.changes) for found in report.files for dag in found.dags)
    return (
        f"{len(report.files)} files with {dags} DAGs: {len(report.files) - broken} work, {broken} do not; "
        f"dates or runs of {changed} DAGs change"
    )
