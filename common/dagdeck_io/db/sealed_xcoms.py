"""XComs that hold secrets, as they are stored: `!`, the encrypted value, `!`, and the JSON that people may see.

Decides that form; JSON never begins with an exclamation mark, so all other values stay what they are. Does not decide
which values hold secrets (the worker, which knows what its task has seen). Called by the stores that write XComs for
tasks and read them, by the control API, and when keys are changed.
"""

from __future__ import annotations

import msgspec

from dagdeck_core.errors import Bug
from dagdeck_core.ports import XComWrite
from dagdeck_io.secrets import Vault

MARK = "!"


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    value: str
    secrets: tuple[str, ...]


def stored(item: XComWrite, vault: Vault | None) -> str:
    """The text for the column. Without a key there is nothing to seal with, and the value stands as it is."""
    if item.shown is None or vault is None:
        return item.value
    sealed = msgspec.json.encode(_Sealed(item.value, item.secrets)).decode()
    return f"{MARK}{vault.encrypt(sealed)}{MARK}{item.shown}"


def shown(text: str) -> str:
    """The JSON that people may see."""
    return _parts(text)[1] if text.startswith(MARK) else text


def opened(text: str, vault: Vault) -> tuple[str, tuple[str, ...]]:
    """The exact JSON of a text that begins with MARK, and the secrets in it. Raises EnvironmentFault: no key fits."""
    found = msgspec.json.decode(vault.decrypt(_parts(text)[0]), type=_Sealed)
    return found.value, found.secrets


def rotated(text: str, vault: Vault) -> str | None:
    """The text under the newest key; None when it is already. Raises EnvironmentFault when no key fits."""
    token, visible = _parts(text)
    fresh = vault.rotate(token)
    return None if fresh is None else f"{MARK}{fresh}{MARK}{visible}"


def is_newest(text: str, vault: Vault) -> bool:
    """Whether it is under the newest key."""
    return vault.is_newest(_parts(text)[0])


def _parts(text: str) -> tuple[str, str]:
    token, mark, visible = text[1:].partition(MARK)
    if not mark:
        raise Bug("a sealed XCom lacks its second mark")
    return token, visible
