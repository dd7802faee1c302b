"""Verification: what does not fit in a chain, told in sentences.

Decides what is wrong with a chain that is fed to it link by link, in order, with its seals; it needs nothing else, so
it judges a database and an export alike. Called by `dagdeckd audit verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dagdeck_io.audit.links import GENESIS, Link, link_hash
from dagdeck_io.audit.seals import Seal, SealKind, is_authentic

MOST_TOLD = 100
"""Most findings that are kept; the rest is counted."""


@dataclass(slots=True, kw_only=True)
class Verification:
    """Judges one chain. `trusted`: public keys of the cluster's masters; empty: any key is taken, and that is said.

    `heads`: sequence → hash of links that somebody noted elsewhere.
    """

    trusted: frozenset[str] = frozenset()
    heads: Mapping[int, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list, init=False)
    more: int = field(default=0, init=False)
    links: int = field(default=0, init=False)
    first: int = field(default=0, init=False)
    """Number of the first link."""
    sequence: int = field(default=0, init=False)
    """Number of the last link so far."""
    hash: str = field(default=GENESIS, init=False)
    signed_to: int = field(default=0, init=False)
    """The last link under a good signature."""
    keys: dict[str, None] = field(default_factory=dict, init=False)
    """Keys that have signed, in order."""
    unchained: int = field(default=0, init=False)

    def begin(self, sequence: int, hash_: str, seals: list[Seal], *, is_excerpt: bool = False) -> None:
        """Where the chain begins: behind the link `sequence`, 0 for the very beginning.

        Of a whole chain that does not begin at its beginning, one of the `seals` must be a checkpoint that says so.
        """
        self.sequence, self.hash = sequence, hash_
        if sequence == 0:
            if hash_ != GENESIS:
                self._tell("the chain does not begin with its first record")
            return
        cut = [seal for seal in seals if seal.kind is SealKind.CHECKPOINT and seal.sequence == sequence]
        for seal in cut:
            self.seal(seal)
        self._check_head()
        if not is_excerpt and not any(seal.hash == hash_ for seal in cut):
            self._tell(f"records 1 to {sequence} are gone, and no checkpoint says that they were old")

    def link(self, link: Link) -> None:
        """The next link."""
        expected = self.sequence + 1
        if link.sequence != expected:
            told = f"records {expected} to {link.sequence - 1}" if link.sequence > expected else "the order of records"
            self._tell(f"{told} cannot be right: after {self.sequence} comes {link.sequence}")
        elif link.record is None:
            self._tell(f"record {link.sequence} (id {link.event_log_id}) was deleted")
        elif link.record.get("event_log_id") != link.event_log_id or (
            link_hash(self.hash, link.sequence, link.record) != link.hash
        ):
            self._tell(f"record {link.sequence} (id {link.event_log_id}) is not the one that was chained")
        self.links += 1
        self.first = self.first or link.sequence
        # Going on from what is written there, so that one changed record is one finding.
        self.sequence, self.hash = link.sequence, link.hash
        self._check_head()

    def seal(self, seal: Seal) -> None:
        """A seal of the link that came last."""
        what = f"the {seal.kind.value} of record {seal.sequence}"
        if seal.sequence != self.sequence:
            self._tell(f"{what} stands where record {self.sequence} is")
        elif seal.hash != self.hash:
            self._tell(f"{what} was made over another chain")
        elif not is_authentic(seal):
            self._tell(f"{what} is not signed by its key")
        elif self.trusted and seal.public_key not in self.trusted:
            self._tell(f"{what} is signed by a key that is not trusted here: {seal.public_key}")
        else:
            self.keys[seal.public_key] = None
            self.signed_to = seal.sequence

    def stray(self, event_log_id: int, *, is_old: bool) -> None:
        """A record that is not in the chain; new ones wait for the next seal."""
        self.unchained += 1
        if is_old:
            self._tell(f"record with id {event_log_id} is not in the chain, although it is old enough to be")

    def end(self, *, unsigned_is_old: bool = False) -> None:
        """No more links. `unsigned_is_old`: what the last seal does not cover should have been sealed by now."""
        for sequence in sorted(self.heads):
            if sequence > self.sequence:
                self._tell(f"the chain ends with record {self.sequence}, and record {sequence} was noted elsewhere")
        if unsigned_is_old and self.signed_to < self.sequence:
            self._tell(f"no signature covers records {self.signed_to + 1} to {self.sequence}")

    def _check_head(self) -> None:
        noted = self.heads.get(self.sequence)
        if noted is not None and noted != self.hash:
            self._tell(f"record {self.sequence} is not the one whose hash was noted elsewhere")

    def _tell(self, finding: str) -> None:
        if len(self.findings) < MOST_TOLD:
            self.findings.append(finding)
        else:
            self.more += 1
