"""The appearance that is shown now, and everything that follows from it.

Decides light or dark (the system's, or the person's choice), and hands out tokens, fonts and states' looks. Does not
keep the choice (`settings`). One is made by `app` and passed by constructor.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTemporaryDir, Signal
from PySide6.QtGui import QColor, QFont, QGuiApplication
from PySide6.QtWidgets import QApplication, QStyleFactory

from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_desktop.theme.appearance import Appearance
from dagdeck_desktop.theme.contrast import GRAPHIC, contrast, mix, readable
from dagdeck_desktop.theme.fonts import FontRole, font_for
from dagdeck_desktop.theme.glyphs import StateGlyph
from dagdeck_desktop.theme.qt_palette import palette_of
from dagdeck_desktop.theme.states import GLYPHS, ICONS, StateTone, shown_state, state_label
from dagdeck_desktop.theme.stylesheet import stylesheet_of, write_images
from dagdeck_desktop.theme.tokens import DARK, LIGHT, Metrics, Tokens

AnyState = TaskInstanceState | DagRunState | str | None
_TINT_LIGHT = 0.14
_TINT_DARK = 0.24


class Theme(QObject):
    """Colours, fonts and states' looks of the appearance shown now. GUI thread only.

    `changed` is emitted after `tokens` has changed; whatever painted with them paints again.
    """

    changed = Signal()

    def __init__(
        self,
        appearance: Appearance = Appearance.SYSTEM,
        parent: QObject | None = None,
        system_scheme: Callable[[], Qt.ColorScheme] = lambda: QGuiApplication.styleHints().colorScheme(),
    ) -> None:
        super().__init__(parent)
        self._system_scheme = system_scheme
        self._appearance = appearance
        self._tell_system()
        self._tokens = self._wanted()
        self._fonts: dict[FontRole, QFont] = {}
        self._tones: dict[TaskInstanceState, StateTone] = {}
        self._application: QApplication | None = None
        self._folder = QTemporaryDir()
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)

    @property
    def tokens(self) -> Tokens:
        """The colours now."""
        return self._tokens

    @property
    def metrics(self) -> Metrics:
        """The sizes; the same in every appearance."""
        return self._tokens.metrics

    @property
    def is_dark(self) -> bool:
        """True while the dark tokens are shown."""
        return self._tokens.is_dark

    @property
    def appearance(self) -> Appearance:
        """What was chosen, not what is shown."""
        return self._appearance

    def set_appearance(self, appearance: Appearance) -> None:
        """Choose light, dark, or as the system has it."""
        self._appearance = appearance
        self._tell_system()
        self._update()

    def apply_to(self, application: QApplication) -> None:
        """Give an application our style, palette, stylesheet and font, now and after each change."""
        self._application = application
        style = QStyleFactory.create("Fusion")
        if style is not None:
            application.setStyle(style)
        application.setFont(self.font(FontRole.BODY))
        self._dress()

    def color(self, token: str) -> QColor:
        """A token by its name. Raises AttributeError for a name that does not exist."""
        color: QColor = getattr(self._tokens, token)
        return color

    def font(self, role: FontRole | str) -> QFont:
        """A copy of the role's font. Raises ValueError for a role that does not exist."""
        wanted = FontRole(role)
        if wanted not in self._fonts:
            self._fonts[wanted] = font_for(wanted)
        return QFont(self._fonts[wanted])

    def state_color(self, state: AnyState) -> QColor:
        """The colour of a state of a task or a run."""
        return self._tokens.states[shown_state(state)]

    def state_glyph(self, state: AnyState) -> StateGlyph:
        """What stands in a state's small cell."""
        return GLYPHS[shown_state(state)]

    def state_icon(self, state: AnyState) -> str:
        """The name of a state's icon."""
        return ICONS[shown_state(state)]

    def state_label(self, state: AnyState) -> str:
        """A state in words."""
        return state_label(state)

    def state_tone(self, state: AnyState) -> StateTone:
        """The colours of a state's pill; its text can be read on its ground."""
        shown = shown_state(state)
        if shown not in self._tones:
            self._tones[shown] = self._tone_of(self._tokens.states[shown])
        return self._tones[shown]

    def state_ink(self, state: AnyState) -> QColor:
        """The state's colour, moved as far as an icon or stripe needs to stand out from the surface."""
        tokens = self._tokens
        return readable(self.state_color(state), tokens.surface, tokens.text_1, GRAPHIC)

    def needs_border(self, state: AnyState) -> bool:
        """True when the state's colour alone is too close to the surface to be seen as a shape."""
        return contrast(self.state_color(state), self._tokens.surface) < GRAPHIC

    def _tone_of(self, color: QColor) -> StateTone:
        tokens = self._tokens
        ground = mix(color, tokens.surface, _TINT_DARK if tokens.is_dark else _TINT_LIGHT)
        text = readable(color, ground, tokens.text_1)
        return StateTone(ground=ground, text=text, border=mix(color, ground, 0.35))

    def _tell_system(self) -> None:
        """Let frames and native dialogs, which the system draws, follow the choice too."""
        hints = QGuiApplication.styleHints()
        if self._appearance is Appearance.SYSTEM:
            hints.unsetColorScheme()
        else:
            is_dark = self._appearance is Appearance.DARK
            hints.setColorScheme(Qt.ColorScheme.Dark if is_dark else Qt.ColorScheme.Light)

    def _wanted(self) -> Tokens:
        if self._appearance is Appearance.SYSTEM:
            is_dark = self._system_scheme() is Qt.ColorScheme.Dark
        else:
            is_dark = self._appearance is Appearance.DARK
        return DARK if is_dark else LIGHT

    def _system_changed(self) -> None:
        if self._appearance is Appearance.SYSTEM:
            self._update()

    def _update(self) -> None:
        wanted = self._wanted()
        if wanted is self._tokens:
            return
        self._tokens = wanted
        self._tones.clear()
        self._dress()
        self.changed.emit()

    def _dress(self) -> None:
        if self._application is None:
            return
        # Qt keeps what it has read from a file, so each appearance has a folder of its own.
        images = Path(self._folder.path()) / ("dark" if self.is_dark else "light")
        if self._folder.isValid() and not images.exists():
            images.mkdir()
            write_images(self._tokens, images)
        self._application.setPalette(palette_of(self._tokens))
        self._application.setStyleSheet(stylesheet_of(self._tokens, images.as_posix()))
