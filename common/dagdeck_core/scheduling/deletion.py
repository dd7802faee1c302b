"""Deleting runs and DAGs, as people ask for it.

Decides whether a run or a DAG may go, and in which parts: a run is one small decision however many task instances it
has (its rows are cleared away later), a DAG as many of these as it has runs. Called by `people`.
"""

from __future__ import annotations

from dagdeck_core.actions import DeleteDag, DeleteDagRun
from dagdeck_core.scheduling import deadlines, past, side_work
from dagdeck_core.scheduling.decisions import DeleteDagRows, DeleteRun
from dagdeck_core.scheduling.events import ActionPosted
from dagdeck_core.scheduling.parts import Parts, Refused, Result
from dagdeck_core.scheduling.world import World

ROWS_OF_A_REMOVAL = 8
"""What the deletion of a run counts for in a step: about so many statements."""


def delete_run(world: World, event: ActionPosted, action: DeleteDagRun) -> Result:
    run, ended = world.runs.get(action.run_key), event.ended_run
    if run is None and ended is None:
        raise Refused("not_found", f"the dag run with key {action.run_key} does not exist")
    if run is not None and run.active:
        raise Refused(
            "conflict", f"{run.active} tasks of the run are still queued or running; mark the run failed first"
        )
    record = run.record if run is not None else ended
    assert record is not None
    _remove(world, action.run_key, record.dag_id)
    # It may have taken the place of a run that waits, or of one that is due and not created yet.
    world.to_activate[record.dag_id] = None
    world.due[record.dag_id] = None
    return {"run_key": action.run_key}


def _remove(world: World, run_key: int, dag_id: str) -> None:
    world.drop_run(run_key)
    side_work.run_gone(world, run_key)
    deadlines.run_gone(world, run_key)
    past.run_deleted(world, run_key)
    world.emit(DeleteRun(run_key=run_key, dag_id=dag_id), rows=ROWS_OF_A_REMOVAL)


def delete_dag(world: World, event: ActionPosted, action: DeleteDag) -> Parts:
    """Delete a DAG with all its runs, which are asked for a few hundred at a time. It does nothing meanwhile."""
    dag_id = action.dag_id
    entry = world.dags.get(dag_id)
    if entry is None:
        raise Refused("not_found", f"the DAG {dag_id!r} does not exist")
    if entry.runs or any(run.active for run in world.runs.values() if run.record.dag_id == dag_id):
        raise Refused("conflict", f"the DAG {dag_id!r} has unfinished runs; end them first")
    del world.dags[dag_id]
    more = True
    while more:
        world.removing[dag_id] = None
        while (found := world.removing[dag_id]) is None:
            yield
        for run_key in found.run_keys:
            if world.rows_left <= 0:
                yield
            _remove(world, run_key, dag_id)
        more = found.more
    if world.rows_left <= 0:
        yield
    del world.removing[dag_id]
    world.emit(DeleteDagRows(dag_id=dag_id), rows=world.settings.max_rows)
    return {"dag_id": dag_id}
