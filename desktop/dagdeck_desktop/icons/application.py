"""The program's own icon, as pixels.

Decides the sizes in which systems ask for it. Used by the main window and by whoever builds packages.
"""

from __future__ import annotations

from importlib import resources

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QIcon, QImage, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

APPLICATION_ICON_SIZES = (16, 24, 32, 48, 64, 128, 256, 512)
_OF_WINDOWS = (16, 32, 64, 128)


def application_icon_source() -> bytes:
    """The drawing, in SVG."""
    return (resources.files("dagdeck_assets") / "app_icon" / "dagdeck.svg").read_bytes()


def application_image(side: int) -> QImage:
    """The icon in a square of `side` pixels."""
    image = QImage(side, side, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(QByteArray(application_icon_source())).render(painter, QRectF(0, 0, side, side))
    painter.end()
    return image


def application_icon() -> QIcon:
    """The icon for a window and the task bar."""
    icon = QIcon()
    for side in _OF_WINDOWS:
        icon.addPixmap(QPixmap.fromImage(application_image(side)))
    return icon
