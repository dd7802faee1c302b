"""What DAG files ask about this machine's Python.

Decides the answers. Found by DAG files through the table.
"""

from __future__ import annotations


def is_venv_installed() -> bool:
    """Whether virtual environments can be made: DagDeck brings what that needs."""
    return True
