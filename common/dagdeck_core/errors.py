"""The one root of every error that DagDeck raises on purpose, and its three branches.

Decides whose fault an error is: the user's definition or input, the environment, or our own code.
Does not decide how an error is shown. Every package raises these; drivers' errors are translated
into them at the boundary where the driver is called.
"""

from __future__ import annotations


class DagDeckError(Exception):
    """Root of all errors raised on purpose. `message` is a sentence for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UserError(DagDeckError):
    """A definition, a setting or an input is wrong; the person who gave it can mend it.

    `file` and `field` say where (either may be empty), `value` what was found there (already
    shortened and masked by the caller if it may be secret), `remedy` what to write instead.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        field: str = "",
        value: object = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.file = file
        self.field = field
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        """One line: place, message, value, remedy; absent parts leave no trace."""
        place = ": ".join(part for part in (self.file, self.field) if part)
        text = f"{place}: {self.message}" if place else self.message
        if self.value is not None:
            shown = repr(self.value)
            text += f" (found {shown if len(shown) <= 120 else shown[:117] + '...'})"
        return f"{text}. {self.remedy}" if self.remedy else text


class EnvironmentFault(DagDeckError):
    """Something outside failed: a server is down, a disk is full, a port is taken.

    `transient` is True when the same call may succeed later without anyone changing anything.
    """

    def __init__(self, message: str, *, transient: bool = True, remedy: str = "") -> None:
        super().__init__(f"{message}. {remedy}" if remedy else message)
        self.transient = transient
        self.remedy = remedy


class DiskFull(EnvironmentFault):
    """A disk, or what a quota leaves of it, has no room. It goes on by itself when there is room again."""


class Bug(DagDeckError):
    """An invariant of ours does not hold. Never caught to go on; reported with its context."""
