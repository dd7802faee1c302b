"""`airflow.typing_compat`: names of typing that older Pythons lacked.

Decides nothing. Found through the table.
"""

from __future__ import annotations

from typing import Literal, ParamSpec, Protocol, Self, TypeAlias, TypedDict, TypeGuard, Unpack, runtime_checkable

__all__ = [
    "Literal",
    "ParamSpec",
    "Protocol",
    "Self",
    "TypeAlias",
    "TypeGuard",
    "TypedDict",
    "Unpack",
    "runtime_checkable",
]
