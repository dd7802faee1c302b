"""Messages between the Linux process host and its keeper, over a socket pair that keeps message borders.

Decides their shape. The file descriptors of a new runner travel beside `Spawned` (SCM_RIGHTS): the
writing end of its command pipe, the reading end of its result pipe, its output, and the reading end of the command
pipe, from which the host takes back what the runner has not taken. Used by `keeper` and
`hosts.linux`, which always come from the same installation, so there is no version.
"""

from __future__ import annotations

import msgspec

from dagdeck_core.process_port import EndCause, RunnerSetup

MESSAGE_LIMIT = 4096
"""Largest message in bytes."""
SETUP_REFUSED, SETUP_FAILED = 71, 72
"""Exit codes of a runner that may not take on its setup, or that the system did not let; the output says why."""
LONGEST_REASON = 1000
"""Characters of a sentence for people."""
SPAWNED_DESCRIPTORS = 4


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what travels."""


class Spawn(_Message, frozen=True):
    """Host → keeper: fork a runner; without a setup, one like the keeper itself."""

    runner_id: int
    setup: RunnerSetup | None = None


class Terminate(_Message, frozen=True):
    """Host → keeper: SIGTERM the runner, and kill its tree after `grace` seconds; at once when 0."""

    runner_id: int
    grace: float


class Deadline(_Message, frozen=True):
    """Host → keeper: kill every tree when CLOCK_BOOTTIME reaches `at` seconds."""

    at: float


class Ready(_Message, frozen=True):
    """Keeper → host: imports are done, runners can be forked."""


class Spawned(_Message, frozen=True):
    """Keeper → host: the runner lives; SPAWNED_DESCRIPTORS descriptors come with this."""

    runner_id: int
    pid: int


class Unlimited(_Message, frozen=True):
    """Keeper → host: the runner starts without the memory and CPU limits of its setup, for this reason."""

    runner_id: int
    reason: str


class Ended(_Message, frozen=True):
    """Keeper → host: the runner and all that descended from it are dead."""

    runner_id: int
    cause: EndCause
    exit_code: int | None = None
    signal: int | None = None


class Expired(_Message, frozen=True):
    """Keeper → host: the deadline passed and every tree has been sent SIGKILL."""

    at: float


ToKeeper = Spawn | Terminate | Deadline
FromKeeper = Ready | Spawned | Unlimited | Ended | Expired

encode = msgspec.msgpack.Encoder().encode
decode_to_keeper = msgspec.msgpack.Decoder(ToKeeper).decode
decode_from_keeper = msgspec.msgpack.Decoder(FromKeeper).decode
