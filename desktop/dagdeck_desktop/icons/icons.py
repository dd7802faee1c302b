"""Turns the bundled SVG drawings into pixmaps and icons.

Decides sizes in device pixels and colours. An icon is rendered at exactly the size it is shown at: a scaled one looks
blurred, one on a fraction of a pixel looks octagonal. Does not decide which icon stands where. Made once by `app`.
"""

from __future__ import annotations

import weakref
from importlib import resources
from typing import Any

import shiboken6
from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt
from PySide6.QtGui import QAction, QColor, QGuiApplication, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QAbstractButton

from dagdeck_core.errors import Bug
from dagdeck_desktop.theme import Theme

_CACHED_PIXMAPS = 2_000


class Icons(QObject):
    """Pixmaps and icons by Lucide's names, in the theme's colours. GUI thread only."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._sources: dict[str, bytes] = {}
        self._pixmaps: dict[tuple[str, int, int, float], QPixmap] = {}
        self._bound: list[tuple[weakref.ref[Any], str, int, str]] = []
        theme.changed.connect(self._repaint)

    def pixmap(self, name: str, size_px: int, color: QColor, dpr: float) -> QPixmap:
        """The icon in a square of `size_px` logical pixels for a display of the ratio `dpr`.

        Raises Bug for a name without a drawing.
        """
        key = (name, size_px, color.rgba(), dpr)
        found = self._pixmaps.get(key)
        if found is None:
            if len(self._pixmaps) >= _CACHED_PIXMAPS:
                self._pixmaps.clear()
            found = self._pixmaps[key] = self._render(name, size_px, color, dpr)
        return found

    def icon(self, name: str, size: int = 16, token: str = "text_2") -> QIcon:
        """An icon in a token's colour, with its disabled variant, for the displays that are connected.

        It keeps its colours when the theme changes; `bind` does not.
        """
        tokens = self._theme.tokens
        icon = QIcon()
        for dpr in sorted({1.0, 2.0, *(screen.devicePixelRatio() for screen in QGuiApplication.screens())}):
            icon.addPixmap(self.pixmap(name, size, getattr(tokens, token), dpr), QIcon.Mode.Normal)
            icon.addPixmap(self.pixmap(name, size, tokens.text_3, dpr), QIcon.Mode.Disabled)
        return icon

    def bind(self, target: QAbstractButton | QAction, name: str, size: int = 16, token: str = "text_2") -> None:
        """Give a button or an action an icon that follows the theme; a later call replaces an earlier one."""
        self._bound = [entry for entry in self._bound if entry[0]() is not None and entry[0]() is not target]
        self._bound.append((weakref.ref(target), name, size, token))
        self._set(target, name, size, token)

    def _set(self, target: QAbstractButton | QAction, name: str, size: int, token: str) -> None:
        target.setIcon(self.icon(name, size, token))
        if isinstance(target, QAbstractButton):
            target.setIconSize(QSize(size, size))

    def _repaint(self) -> None:
        alive = []
        for reference, name, size, token in self._bound:
            target = reference()
            # Qt may have deleted the object while Python still holds its wrapper.
            if target is not None and shiboken6.isValid(target):
                self._set(target, name, size, token)
                alive.append((reference, name, size, token))
        self._bound = alive

    def _render(self, name: str, size_px: int, color: QColor, dpr: float) -> QPixmap:
        side = max(1, round(size_px * dpr))
        text = self._source(name).replace(b"currentColor", color.name().encode())
        renderer = QSvgRenderer(QByteArray(text))
        pixmap = QPixmap(side, side)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(color.alphaF())
        renderer.render(painter, QRectF(0, 0, side, side))
        painter.end()
        pixmap.setDevicePixelRatio(dpr)
        return pixmap

    def _source(self, name: str) -> bytes:
        if name not in self._sources:
            try:
                self._sources[name] = (resources.files("dagdeck_assets") / "icons" / f"{name}.svg").read_bytes()
            except OSError as error:
                raise Bug(f"there is no icon {name!r}") from error
        return self._sources[name]
