"""View models: what each screen knows and what a person can do there, without any widget.

Decides how REST answers and the live feed become one state, and which request an intent sends. Does not draw. Used by
`dagdeck_desktop.views`; tested without a window.
"""

from dagdeck_desktop.viewmodels.base import Phase, ViewModel

__all__ = ["Phase", "ViewModel"]
