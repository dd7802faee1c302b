"""Icons from the bundled Lucide drawings, sharp at every scale and in the theme's colours."""

from dagdeck_desktop.icons.icons import Icons

__all__ = ["Icons"]
