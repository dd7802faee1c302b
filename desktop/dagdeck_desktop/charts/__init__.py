"""Curves over time: small ones beside figures, and large live ones to explore.

Decides how curves look. Does not collect samples. `live_chart` is imported by whoever shows one, for pyqtgraph takes
longer to import than the window to open. Used by Home, the DAG page and the Workers page.
"""

from dagdeck_desktop.charts.ring import Ring
from dagdeck_desktop.charts.sparkline import Sparkline

__all__ = ["Ring", "Sparkline"]
