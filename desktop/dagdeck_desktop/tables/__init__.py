"""Long lists: columns as data, a model that keeps its own order, and the table that all pages share.

Decides how lists of thousands of rows are sorted, filtered and changed at once, and the look of their cells. Does not
know what rows are. Used by every page with a list.
"""

from dagdeck_desktop.tables.cells import paint_share, paint_text
from dagdeck_desktop.tables.row_model import ROW_ROLE, Column, RowModel
from dagdeck_desktop.tables.row_table import RowTable

__all__ = ["ROW_ROLE", "Column", "RowModel", "RowTable", "paint_share", "paint_text"]
