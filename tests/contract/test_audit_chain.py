"""The chain over the audit log: what is chained when, and what is found when somebody has changed something."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ids import IdSource
from dagdeck_io.audit.export import Beginning, items_of, judge, lines_of
from dagdeck_io.audit.links import Link
from dagdeck_io.audit.seals import KEY_FILE, Seal, SealingKey, SealKind, known_public_key, sealing_key_of
from dagdeck_io.audit.verification import Verification
from dagdeck_io.db.audit_chain import BATCH, LAP, LATE, RECENT, AuditChain
from dagdeck_io.db.audit_reading import SEALED_WITHIN, head_of, read_items, unsigned_is_old
from dagdeck_io.db.sweeps import RetentionPeriods
from dagdeck_io.db.tables import audit_chain, audit_log, audit_seal
from tests.contract.store_world import StoreWorld

NOW = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + SEALED_WITHIN + timedelta(minutes=1)


class World:
    """An audit log with its chain."""

    def __init__(self, stores: StoreWorld, home: Path) -> None:
        self.database = stores.database
        self.home = home
        self.nodes = itertools.count(1)
        self.chain = self.new_chain()

    def new_chain(self) -> AuditChain:
        return self.database.audit_chain(lambda: sealing_key_of(self.home))

    def add(self, count: int = 1, *, at: datetime = NOW, **values: Any) -> list[int]:
        """Insert records, as of `at`; their ids."""
        source = IdSource(node=next(self.nodes))  # so that what is of an earlier time gets earlier ids
        ids = [source.next(int(at.timestamp() * 1000)) for _ in range(count)]
        rows = [
            {
                "event_log_id": number,
                "when": at,
                "event": "patch_dag",
                "owner": "ann",
                "source": "ui",
                "extra": {"b": [1, 2.5, None], "a": "ünï ☃", "n": 10**12},
                **values,
            }
            for number in ids
        ]
        with self.database.writing() as connection:
            connection.execute(audit_log.insert(), rows)
        return ids

    def run(self, now: datetime = NOW, *, chain: AuditChain | None = None) -> None:
        while (chain or self.chain).step(now):
            pass

    def items(self, now: datetime = NOW, **span: Any) -> list[Any]:
        with self.database.reading() as connection:
            return list(read_items(connection, now, **span))

    def judged(self, now: datetime = NOW, *, trusted: frozenset[str] | None = None, **more: Any) -> Verification:
        """What verification says of the database."""
        keys = frozenset([sealing_key_of(self.home).public_key]) if trusted is None else trusted
        verification = Verification(trusted=keys, **more)
        judge(self.items(now), verification)
        with self.database.reading() as connection:
            verification.end(unsigned_is_old=unsigned_is_old(connection, now, verification.signed_to))
        return verification

    def rewrite(self, table: sa.Table, key: sa.ColumnElement[bool], **values: Any) -> None:
        """Change a row with the rights that the master has: delete it and insert another."""
        with self.database.writing() as connection:
            row = dict(connection.execute(sa.select(table).where(key)).mappings().one())
            connection.execute(table.delete().where(key))
            connection.execute(table.insert().values(**(row | values)))

    def delete(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> None:
        with self.database.writing() as connection:
            connection.execute(table.delete().where(condition))

    def count(self, table: sa.Table) -> int:
        with self.database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())

    def cut(self, before: datetime, *, limit: int = 1000, now: datetime = NOW) -> int:
        """What retention does with the old links."""
        links = self.chain.old_links(before, limit)
        if links:
            script = self.chain.connection.script()
            assert self.chain.cut(script, links, now)
            self.chain.connection.run(script)
        return len(links)


@pytest.fixture
def world(stores: StoreWorld, tmp_path: Path) -> Any:
    made = World(stores, tmp_path)
    yield made
    made.chain.connection.close()


class TestChaining:
    def test_new_records_are_chained_and_sealed(self, world: World) -> None:
        world.add(3)
        assert world.judged().unchained == 3
        world.run()
        found = world.judged()
        assert (found.findings, found.links, found.sequence, found.signed_to, found.unchained) == ([], 3, 3, 3, 0)
        world.add(2, at=NOW + timedelta(seconds=5), refused="404: no", token_id=7, address="::1", logical_date=NOW)
        world.run(NOW + timedelta(seconds=10))
        found = world.judged()
        assert (found.findings, found.links, found.signed_to) == ([], 5, 5)
        assert world.count(audit_seal) == 2

    def test_a_step_is_bounded_and_goes_on(self, world: World) -> None:
        world.add(2 * BATCH + 5)
        assert world.chain.step(NOW)
        assert world.count(audit_chain) == BATCH
        world.run()
        assert world.count(audit_chain) == 2 * BATCH + 5
        assert world.judged().findings == []

    def test_an_idle_step_writes_nothing(self, world: World) -> None:
        world.run()
        world.add()
        world.run()
        assert not world.chain.step(NOW + timedelta(minutes=1))
        assert (world.count(audit_chain), world.count(audit_seal)) == (1, 1)

    def test_what_was_there_before_the_chain_is_chained_too(self, world: World) -> None:
        old = NOW - timedelta(days=300)
        world.add(BATCH + 3, at=old)
        world.add(2)
        world.run()
        found = world.judged()
        assert (found.findings, found.links, found.unchained) == ([], BATCH + 5, 0)

    def test_a_record_that_committed_late_is_found_in_the_next_lap(self, world: World) -> None:
        world.add(2)
        world.run()
        world.add(at=NOW - RECENT - timedelta(minutes=3))
        world.run(NOW + timedelta(seconds=10))
        assert world.judged().unchained == 1
        world.run(NOW + LAP + timedelta(minutes=1))
        assert world.judged(LATER).findings == []
        assert world.judged().unchained == 0

    def test_another_leader_goes_on_behind_the_last_link(self, world: World) -> None:
        world.add(2)
        world.run()
        world.add(2, at=NOW + timedelta(seconds=1))
        other = world.new_chain()
        world.run(NOW + timedelta(seconds=2), chain=other)
        other.connection.close()
        assert world.judged().links == 4
        world.add(1, at=NOW + timedelta(seconds=3))
        world.run(NOW + timedelta(seconds=4))
        assert (world.judged().findings, world.judged().links) == ([], 5)

    def test_two_leaders_cannot_fork_it(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.add(2)
        head = world.chain._head()
        world.run()
        world.add(1, at=NOW + timedelta(seconds=1))
        # The other one has read the head before this one wrote behind it.
        other = world.new_chain()
        monkeypatch.setattr(type(other), "_head", lambda self: head)
        assert other.step(NOW + timedelta(seconds=2))
        other.connection.close()
        monkeypatch.undo()
        assert world.count(audit_chain) == 2
        world.run(NOW + timedelta(seconds=3))
        assert (world.judged().findings, world.judged().links) == ([], 3)

    def test_the_clock_of_a_machine_may_lag_behind(self, world: World) -> None:
        """Ids of up to two days ago are still found; what is older is told of."""
        world.add()
        world.run()
        world.add(at=NOW - LATE + timedelta(hours=1))
        world.add(at=NOW - LATE - timedelta(hours=1))
        world.run(NOW + LAP * 2)
        found = world.judged(LATER)
        assert found.unchained == 1
        assert [finding for finding in found.findings if "is not in the chain" in finding]


def change_a_record(world: World, ids: list[int]) -> None:
    world.rewrite(audit_log, audit_log.c.event_log_id == ids[2], owner="bob")


def change_a_detail(world: World, ids: list[int]) -> None:
    world.rewrite(audit_log, audit_log.c.event_log_id == ids[2], extra={"b": [1, 2.5, None], "a": "ünï ☃", "n": 1})


def delete_a_record(world: World, ids: list[int]) -> None:
    world.delete(audit_log, audit_log.c.event_log_id == ids[2])


def delete_a_record_and_its_link(world: World, ids: list[int]) -> None:
    world.delete(audit_log, audit_log.c.event_log_id == ids[2])
    world.delete(audit_chain, audit_chain.c.event_log_id == ids[2])


def delete_the_first(world: World, ids: list[int]) -> None:
    world.delete(audit_log, audit_log.c.event_log_id.in_(ids[:2]))
    world.delete(audit_chain, audit_chain.c.event_log_id.in_(ids[:2]))


def swap_two(world: World, ids: list[int]) -> None:
    with world.database.writing() as connection:
        rows = [dict(row) for row in connection.execute(sa.select(audit_chain)).mappings()]
        connection.execute(audit_chain.delete())
        rows[1]["event_log_id"], rows[2]["event_log_id"] = rows[2]["event_log_id"], rows[1]["event_log_id"]
        connection.execute(audit_chain.insert(), rows)


def make_a_chain_of_ones_own(world: World, ids: list[int]) -> None:
    """Everything is chained anew over a changed record, with the seals left as they were."""
    seals = keep_seals(world)
    change_a_record(world, ids)
    world.delete(audit_chain, audit_chain.c.sequence > 0)
    world.delete(audit_seal, audit_seal.c.sequence > 0)
    world.chain = world.new_chain()
    world.run()
    world.delete(audit_seal, audit_seal.c.sequence > 0)
    with world.database.writing() as connection:
        connection.execute(audit_seal.insert(), seals)


def make_a_chain_with_ones_own_key(world: World, ids: list[int]) -> None:
    change_a_record(world, ids)
    world.delete(audit_chain, audit_chain.c.sequence > 0)
    world.delete(audit_seal, audit_seal.c.sequence > 0)
    intruder = world.database.audit_chain(lambda: sealing_key_of(world.home / "intruder"))
    world.run(chain=intruder)
    intruder.connection.close()


def take_the_seals_away(world: World, ids: list[int]) -> None:
    world.delete(audit_seal, audit_seal.c.sequence > 0)


def forge_a_checkpoint(world: World, ids: list[int]) -> None:
    delete_the_first(world, ids)
    seal = keep_seals(world)[0]
    with world.database.reading() as connection:
        third = connection.execute(sa.select(audit_chain).where(audit_chain.c.sequence == 3)).one()
    with world.database.writing() as connection:
        forged = {**seal, "sequence": 2, "kind": "checkpoint", "hash": third.hash}
        connection.execute(audit_seal.insert().values(**forged))


def slip_one_in(world: World, ids: list[int]) -> None:
    world.add(at=NOW - timedelta(days=30))


def keep_seals(world: World) -> list[dict[str, Any]]:
    with world.database.reading() as connection:
        return [dict(row) for row in connection.execute(sa.select(audit_seal)).mappings()]


class TestTampering:
    @pytest.mark.parametrize(
        ("tamper", "finding"),
        [
            (change_a_record, "record 3 (id {2}) is not the one that was chained"),
            (change_a_detail, "record 3 (id {2}) is not the one that was chained"),
            (delete_a_record, "record 3 (id {2}) was deleted"),
            (delete_a_record_and_its_link, "records 3 to 3 cannot be right: after 2 comes 4"),
            (delete_the_first, "records 1 to 2 cannot be right: after 0 comes 3"),
            (swap_two, "record 2 (id {2}) is not the one that was chained"),
            (make_a_chain_of_ones_own, "the seal of record 5 was made over another chain"),
            (make_a_chain_with_ones_own_key, "the seal of record 5 is signed by a key that is not trusted here"),
            (take_the_seals_away, "no signature covers records 1 to 5"),
            (forge_a_checkpoint, "the checkpoint of record 2 is not signed by its key"),
            (slip_one_in, "is not in the chain, although it is old enough to be"),
        ],
    )
    def test_it_is_found(self, world: World, tamper: Callable[[World, list[int]], None], finding: str) -> None:
        ids = world.add(5)
        world.run()
        assert world.judged(LATER).findings == []
        tamper(world, ids)
        findings = world.judged(LATER).findings
        assert any(finding.format(*ids) in each for each in findings), findings

    def test_one_changed_record_is_one_finding(self, world: World) -> None:
        ids = world.add(50)
        world.run()
        change_a_record(world, ids)
        assert len(world.judged().findings) == 1

    def test_only_a_head_kept_elsewhere_shows_that_the_end_is_gone(self, world: World) -> None:
        ids = world.add(3)
        world.run()
        more = world.add(2, at=NOW + timedelta(seconds=1))
        world.run(NOW + timedelta(seconds=2))
        with world.database.reading() as connection:
            sequence, head = head_of(connection)
        assert world.judged(heads={sequence: head}).findings == []
        for table in (audit_log, audit_chain):
            world.delete(table, table.c.event_log_id.in_(more))
        world.delete(audit_seal, audit_seal.c.sequence == 5)
        assert world.judged(LATER).findings == []
        (finding,) = world.judged(LATER, heads={sequence: head}).findings
        assert finding == "the chain ends with record 3, and record 5 was noted elsewhere"
        assert "noted elsewhere" in world.judged(heads={3: "f" * 64}).findings[0]
        assert ids

    def test_many_findings_are_counted(self, world: World) -> None:
        world.add(150)
        world.run()
        world.delete(audit_log, audit_log.c.event_log_id > 0)
        found = world.judged()
        assert (len(found.findings), found.more) == (100, 50)


class TestRetention:
    def test_the_old_end_is_cut_and_the_rest_verifies(self, world: World) -> None:
        world.add(4, at=NOW - timedelta(days=60))
        world.add(3)
        world.run()
        assert world.cut(NOW - timedelta(days=30), limit=3) == 3
        found = world.judged()
        assert (found.findings, found.first, found.sequence) == ([], 4, 7)
        assert world.cut(NOW - timedelta(days=30)) == 1
        assert world.cut(NOW - timedelta(days=30)) == 0
        assert (world.count(audit_log), world.count(audit_chain)) == (3, 3)
        assert sorted(row["kind"] for row in keep_seals(world)) == ["checkpoint", "seal"]
        assert world.judged().findings == []

    def test_all_of_it_may_go_and_the_chain_goes_on(self, world: World) -> None:
        world.add(3, at=NOW - timedelta(days=60))
        world.run()
        assert world.cut(NOW) == 3
        assert world.judged().findings == []
        with world.database.reading() as connection:
            assert head_of(connection)[0] == 3
        world.add(2)
        world.run(NOW + timedelta(seconds=1))
        found = world.judged()
        assert (found.findings, found.first, found.sequence) == ([], 4, 5)

    def test_retention_cuts_it_in_bounded_transactions(self, world: World) -> None:
        year = timedelta(days=365)
        names = (each.name for each in fields(RetentionPeriods) if each.name not in ("rows_per_step", "longest_step"))
        kept: dict[str, Any] = {**dict.fromkeys(names, year), "audit": timedelta(days=30)}
        periods = RetentionPeriods(**kept, rows_per_step=100)
        world.add(250, at=NOW - timedelta(days=60))
        world.add(3)
        world.run()
        for key, left in ((None, 253), (lambda: sealing_key_of(world.home), 3)):
            retention = world.database.retention(periods, audit_key=key)
            assert dict(retention.preview(NOW))["audit log"] == 250
            steps = 0
            while retention.step(NOW):
                steps += 1
            assert world.count(audit_log) == world.count(audit_chain) == left
            assert steps >= 3 or key is None
            retention.connection.close()
        found = world.judged()
        assert (found.findings, found.first, found.sequence) == ([], 251, 253)

    def test_records_are_cut_in_the_chain_s_order(self, world: World) -> None:
        """An old record that was chained behind a young one waits for it."""
        world.add(1)
        world.run()
        world.add(1, at=NOW - timedelta(days=1))
        world.run(NOW + LAP * 2)
        assert world.judged().links == 2
        assert world.cut(NOW - timedelta(hours=12)) == 0

    def test_without_a_key_nothing_is_cut_and_the_chain_is_unsigned(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        def no_key() -> SealingKey:
            raise EnvironmentFault("there is no room for a key")

        chain = world.database.audit_chain(no_key)
        world.add(2, at=NOW - timedelta(days=60))
        world.run(chain=chain)
        assert (world.count(audit_chain), world.count(audit_seal)) == (2, 0)
        links = chain.old_links(NOW, 10)
        script = chain.connection.script()
        assert not chain.cut(script, links, NOW)
        assert script.statements == []
        chain.connection.close()
        assert [record.getMessage() for record in caplog.records if "not sealed" in record.getMessage()] == [
            "the audit log's chain is not sealed: there is no room for a key"
        ]


class TestExports:
    def exported(self, world: World, **span: Any) -> list[str]:
        return list(lines_of(world.items(LATER, **span)))

    def verified(self, world: World, lines: list[str], **more: Any) -> Verification:
        found = Verification(trusted=frozenset([sealing_key_of(world.home).public_key]), **more)
        judge(items_of(lines), found)
        found.end()
        return found

    def test_an_export_verifies_on_its_own(self, world: World) -> None:
        world.add(3, at=NOW - timedelta(days=60))
        world.add(600)
        world.run()
        world.cut(NOW - timedelta(days=30))
        found = self.verified(world, self.exported(world))
        assert (found.findings, found.links, found.sequence) == ([], 600, 603)

    def test_a_range_goes_from_its_first_to_the_next_seal(self, world: World) -> None:
        for minute in range(6):
            at = NOW + timedelta(minutes=minute)
            world.add(2, at=at)
            world.run(at)
        span = {"since": NOW + timedelta(minutes=2), "until": NOW + timedelta(minutes=3, seconds=30)}
        lines = self.exported(world, **span)
        found = self.verified(world, lines)
        assert (found.findings, found.first, found.sequence, found.signed_to) == ([], 5, 8, 8)
        nothing = self.exported(world, since=LATER)
        assert self.verified(world, nothing).links == 0

    @pytest.mark.parametrize(
        ("old", "new", "finding"),
        [
            ('"owner":"ann"', '"owner":"bob"', "is not the one that was chained"),
            ('"n":1000000000000', '"n":1', "is not the one that was chained"),
            ('"sequence":2,"event_log_id"', '"sequence":7,"event_log_id"', "cannot be right"),
        ],
    )
    def test_a_changed_export_is_found(self, world: World, old: str, new: str, finding: str) -> None:
        world.add(3)
        world.run()
        lines = self.exported(world)
        changed = [line.replace(old, new) for line in lines]
        assert changed != lines
        assert finding in self.verified(world, changed).findings[0]

    @pytest.mark.parametrize("damage", [lambda lines: lines[:-1], lambda lines: lines[:2] + lines[3:]])
    def test_one_that_was_cut_short_is_refused(self, world: World, damage: Callable[[list[str]], list[str]]) -> None:
        world.add(3)
        world.run()
        with pytest.raises(UserError, match="cut short"):
            self.verified(world, damage(self.exported(world)))

    @pytest.mark.parametrize("line", ["{}", "[]", "not json", '{"kind":"other"}', '{"kind":"record"}'])
    def test_what_is_no_export_is_refused(self, world: World, line: str) -> None:
        with pytest.raises(UserError, match="line 1 is no line of an export"):
            self.verified(world, [line])


class TestKeys:
    def test_a_key_is_made_once_and_private(self, tmp_path: Path) -> None:
        key = sealing_key_of(tmp_path)
        assert sealing_key_of(tmp_path).public_key == key.public_key == known_public_key(tmp_path)
        assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0
        assert known_public_key(tmp_path / "elsewhere") is None

    def test_a_key_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        sealing_key_of(tmp_path)
        (tmp_path / KEY_FILE).chmod(0o644)
        with pytest.raises(UserError, match="other users may read"):
            sealing_key_of(tmp_path)

    def test_what_is_no_key_is_refused_without_being_repeated(self, tmp_path: Path) -> None:
        (tmp_path / KEY_FILE).write_text("hello")
        (tmp_path / KEY_FILE).chmod(0o600)
        with pytest.raises(UserError, match="no key that seals") as refused:
            sealing_key_of(tmp_path)
        assert "hello" not in str(refused.value)

    def test_a_folder_that_cannot_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(EnvironmentFault, match="cannot be kept"):
            sealing_key_of(tmp_path / "file")

    @pytest.mark.parametrize("change", [{"sequence": 2}, {"hash": "1" * 64}, {"kind": SealKind.CHECKPOINT}])
    def test_a_signature_covers_everything(self, tmp_path: Path, change: dict[str, Any]) -> None:
        seal = sealing_key_of(tmp_path).sign(SealKind.SEAL, 1, "0" * 64, "now")
        verification = Verification()
        changed = replace(seal, **change)
        verification.begin(changed.sequence, changed.hash, [], is_excerpt=True)
        verification.seal(changed)
        assert verification.findings == [f"the {changed.kind} of record {changed.sequence} is not signed by its key"]

    @pytest.mark.parametrize("text", ["", "äö", base64.b64encode(b"short").decode()])
    def test_a_malformed_signature_is_no_error(self, text: str) -> None:
        seal = Seal(sequence=1, kind=SealKind.SEAL, hash="0", sealed_at="", public_key=text, signature=text)
        verification = Verification()
        judge([Beginning(sequence=1, hash="0", is_excerpt=True), seal], verification)
        assert len(verification.findings) == 1

    def test_links_of_another_beginning(self) -> None:
        verification = Verification()
        judge(
            [Beginning(sequence=0, hash="f" * 64), Link(sequence=1, event_log_id=1, hash="0", record=None)],
            verification,
        )
        assert "does not begin with its first record" in verification.findings[0]
