"""Long lists: a model that keeps its own order, and a table that paints states and bars.

Decides how lists of thousands of rows are sorted and filtered at once. Does not know what rows are. Used where a
painted area offers a table as its alternative.
"""

from dagdeck_desktop.tables.list_model import ROW_ROLE, CellKind, ListColumn, ListModel
from dagdeck_desktop.tables.list_table import ListTable

__all__ = ["ROW_ROLE", "CellKind", "ListColumn", "ListModel", "ListTable"]
