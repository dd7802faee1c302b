"""Icons from the bundled Lucide drawings, sharp at every scale and in the theme's colours; and the program's own."""

from dagdeck_desktop.icons.application import application_icon
from dagdeck_desktop.icons.icons import Icons

__all__ = ["Icons", "application_icon"]
