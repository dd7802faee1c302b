"""DAG code that nobody needs any more: versions, bundles, contents of files.

Decides that a version may go when a newer one has replaced it, all runs that began under it are gone, and nothing
unsettled names it; a bundle when no version and no DAG is pinned to it; a content when no bundle holds it. The newest
of everything stays. What was stored or published within GRACE stays too: the bundle store renews that time of what
it is about to rely on, so that nothing vanishes between its look and its use. Called by retention.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from dagdeck_core.ids import first_id_of
from dagdeck_io.db.bundle_store import GRACE
from dagdeck_io.db.dialects import HotConnection, Row, id_list, with_retry
from dagdeck_io.db.purge import Purge
from dagdeck_io.db.removal import among
from dagdeck_io.db.run_tables import RemovalKind
from dagdeck_io.db.slices import Rows, plain

AT_ONCE = 200
_SLACK = timedelta(days=1)
"""So long after a version was replaced, runs of the earlier one may still have been begun (clocks, waiting)."""


class CodeSweeps:
    """The sweeps of one pass at the time `now`. `age`: for how long unused code is kept."""

    def __init__(self, connection: HotConnection, purge: Purge, now: datetime, age: timedelta) -> None:
        self._connection = connection
        self._purge = purge
        self._now = now
        self._age = max(age, GRACE)

    def all(self) -> Iterator[None]:
        """Delete versions, then bundles, then contents."""
        versions = self.unused_versions()
        for start in range(0, len(versions), AT_ONCE):
            ids = id_list(versions[start : start + AT_ONCE])
            text = (
                f"version_id IN ({ids}) AND NOT EXISTS (SELECT 1 FROM dag d WHERE d.dag_id = dag_version.dag_id "
                "AND d.version_id = dag_version.version_id)"
            )
            rows = Rows(
                table="dag_version",
                keys=("version_id",),
                where=plain(text),
                size="LENGTH(spec)",
            )
            yield from self._purge.take_all(rows)
        self._purge.commit()
        yield
        for bundle_id in self.unused_bundles():
            self._drop_bundle(bundle_id)
            yield
            files = Rows(table="bundle_file", keys=("bundle_id", "path"), where=among("bundle_id", [bundle_id]))
            yield from self._purge.take_all(files, archived=False)
            self._purge.script.add(
                f"DELETE FROM removal WHERE kind = '{RemovalKind.BUNDLE}' AND subject_id = {bundle_id}"
            )
            self._purge.commit()
            yield
        yield from self._unused_contents()

    # -------------------------------------------------------------- versions

    def unused_versions(self) -> list[int]:
        """Versions that may go, oldest first."""
        before = first_id_of(self._now - self._age)
        old = self._read(
            f"SELECT dag_id, version_id FROM dag_version WHERE version_id < {before} ORDER BY dag_id, version_number"
        )
        pinned = {row[0] for row in self._read("SELECT version_id FROM dag")}
        pinned.update(row[0] for row in self._read("SELECT version_id FROM work WHERE settled = 0"))
        pinned.update(row[0] for row in self._read("SELECT version_id FROM `trigger` WHERE version_id IS NOT NULL"))
        replaced: dict[str, list[tuple[int, int]]] = {}
        for (dag_id, version_id), (next_dag, successor) in itertools.pairwise(old):
            if dag_id == next_dag and version_id not in pinned:
                replaced.setdefault(dag_id, []).append((version_id, successor))
        return sorted(each for dag_id, pairs in replaced.items() for each in self._without_runs(dag_id, pairs))

    def _without_runs(self, dag_id: str, replaced: Sequence[tuple[int, int]]) -> list[int]:
        """Of versions (and by what each was replaced) of a DAG those under which none of its runs began."""
        script = self._connection.script()
        of_dag = f"FROM dag_run WHERE dag_id = {script.text(dag_id)}"
        slack = first_id_of(self._now) - first_id_of(self._now - _SLACK)
        oldest = self._read(f"SELECT MIN(run_key) {of_dag}")[0][0]
        left = [version for version, successor in replaced if oldest is None or successor + slack < oldest]
        if not left or oldest is None:
            return left
        used = {row[0] for row in self._read(f"SELECT DISTINCT version_id {of_dag}")}
        return [version for version in left if version not in used]

    # -------------------------------------------------------------- bundles

    def unused_bundles(self) -> list[int]:
        """Bundles that no version and no DAG is pinned to, oldest first."""
        pinned = {
            (row[0], row[1]) for row in self._read("SELECT DISTINCT bundle_name, bundle_version FROM dag_version")
        }
        pinned.update((row[0], row[1]) for row in self._read("SELECT bundle_name, bundle_version FROM dag"))
        newest = {row[0] for row in self._read("SELECT MAX(bundle_id) FROM bundle GROUP BY name")}
        old = self._read(f"SELECT bundle_id, name, version FROM bundle WHERE {self._is_old()} ORDER BY bundle_id")
        return [row[0] for row in old if row[0] not in newest and (row[1], row[2]) not in pinned]

    def _drop_bundle(self, bundle_id: int) -> None:
        """The bundle is unknown from now on; its list of files goes afterwards."""
        script = self._purge.script
        script.add(
            f"DELETE FROM bundle WHERE bundle_id = {bundle_id} AND {self._is_old()}", expect=1, what="removing a bundle"
        )
        script.add(f"DELETE FROM bundle_signature WHERE bundle_id = {bundle_id}")
        script.insert("removal", "kind, subject_id", [bundle_id], lambda key: f"('{RemovalKind.BUNDLE}',{key})")
        self._purge.note("bundle", 1)
        self._purge.commit()

    def _is_old(self) -> str:
        at = self._connection.script().instant(self._now - self._age)
        return f"created_at < {at} AND COALESCE(published_at, created_at) < {at}"

    def _unused_contents(self) -> Iterator[None]:
        at = self._connection.script().instant(self._now - GRACE)
        unused = "NOT EXISTS (SELECT 1 FROM bundle_file f WHERE f.sha256 = bundle_content.sha256)"
        last = ""
        while True:
            found = self._read(
                f"SELECT sha256 FROM bundle_content WHERE sha256 > '{last}' AND {unused} "
                f"ORDER BY sha256 LIMIT {AT_ONCE}"
            )
            if not found:
                return
            named = ",".join(f"'{row[0]}'" for row in found)
            text = f"sha256 IN ({named}) AND created_at < {at} AND {unused}"
            rows = Rows(table="bundle_content", keys=("sha256",), where=plain(text), size="size")
            yield from self._purge.take_all(rows, archived=False)
            last = found[-1][0]

    def _read(self, sql: str) -> Sequence[Row]:
        script = self._connection.script()
        script.read(sql)
        return with_retry(lambda: self._connection.run(script, begin=False, commit=False))[0]
