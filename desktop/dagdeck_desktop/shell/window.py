"""The main window: rail, pages, palette, status bar, banner and notices put together.

Decides navigation, the window's own actions, and where it opens. Does not know any page's content or how to connect.
Made by `app`; pages are registered by `add_page`.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QByteArray, Qt, Signal
from PySide6.QtGui import QCloseEvent, QColor, QGuiApplication, QMouseEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QVBoxLayout, QWidget

from dagdeck_desktop.actions import ActionRegistry, ActionScope, ActionSpec
from dagdeck_desktop.actions.registry import match_score
from dagdeck_desktop.icons import Icons, application_icon
from dagdeck_desktop.live.link import LinkState
from dagdeck_desktop.shell.notices import NoticeArea, Tone
from dagdeck_desktop.shell.pages import PageSpec, PageStack, RefreshablePage, Route
from dagdeck_desktop.shell.palette import CommandPalette, Deliver, PaletteItem
from dagdeck_desktop.shell.rail import Rail
from dagdeck_desktop.shell.shortcuts import ShortcutsDialog
from dagdeck_desktop.shell.status_bar import LinkBanner, StatusBar
from dagdeck_desktop.theme import Appearance, Theme
from dagdeck_desktop.widgets.placeholders import details_of, sentence_of

_APPEARANCES: dict[Appearance, tuple[str, str]] = {
    Appearance.SYSTEM: ("Follow the system", "monitor"),
    Appearance.LIGHT: ("Light", "sun"),
    Appearance.DARK: ("Dark", "moon"),
}


class MainWindow(QMainWindow):
    """The window. `closing` comes before it is gone, `retry_chosen` from the banner."""

    closing = Signal()
    retry_chosen = Signal()
    appearance_chosen = Signal(object)
    connect_chosen = Signal()
    settings_chosen = Signal()

    def __init__(self, theme: Theme, icons: Icons, actions: ActionRegistry) -> None:
        super().__init__()
        self.theme = theme
        self.icons = icons
        self.actions_registry = actions
        self._cluster_name = ""
        self.setWindowTitle("DagDeck")
        self.setWindowIcon(application_icon())
        self.setMinimumSize(880, 560)
        self.resize(1440, 900)
        self.pages = PageStack(self)
        self.rail = Rail(theme, icons, self)
        self.banner = LinkBanner(theme, icons, self)
        self.status = StatusBar(theme, self)
        self._lay_out()
        self.notices = NoticeArea(theme, icons, self)
        self.palette_dialog = CommandPalette(theme, icons, self)
        self.palette_dialog.add_source(self._find_pages)
        self.palette_dialog.add_source(self._find_actions)
        self._wire()
        self._add_actions()
        self.pages.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.pages.setFocus()

    def _lay_out(self) -> None:
        right = QVBoxLayout()
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(0)
        for widget in (self.banner, self.pages, self.status):
            right.addWidget(widget, 1 if widget is self.pages else 0)
        center = QWidget(self)
        row = QHBoxLayout(center)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.rail)
        row.addLayout(right, 1)
        self.setCentralWidget(center)
        self.rail.add_command("theme", "Theme", "moon")
        self.rail.add_command("settings", "Settings", "settings")
        self.rail.add_command("connect", "Connect", "plug", is_page=True)
        self._show_theme()

    def _wire(self) -> None:
        self.rail.chosen.connect(self._rail_chosen)
        self.pages.opened.connect(self._opened)
        self.banner.retry_chosen.connect(self.retry_chosen)
        self.theme.changed.connect(self._show_theme)
        self.actions_registry.copied.connect(lambda text: self.notify(f"Copied: {text}"))

    def _add_actions(self) -> None:
        def add(key: str, title: str, run: Callable[[], None], icon: str, *shortcuts: str, words: str = "") -> None:
            spec = ActionSpec(
                key=key, title=title, run=run, icon=icon, shortcuts=shortcuts, keywords=tuple(words.split())
            )
            self.actions_registry.add(spec, self)

        add("window.search", "Search and commands", self.open_palette, "search", "Ctrl+K", "Ctrl+P")
        add("window.refresh", "Refresh", self.refresh, "refresh-cw", "F5", "Ctrl+R", words="reload update")
        add("window.back", "Back", lambda: self.pages.go(-1), "arrow-left", "Alt+Left")
        add("window.forward", "Forward", lambda: self.pages.go(1), "arrow-right", "Alt+Right")
        add("window.theme", "Switch between light and dark", self.switch_theme, "moon", "Ctrl+Shift+L")
        for appearance, (words, icon) in _APPEARANCES.items():
            add(
                f"window.appearance.{appearance.value}",
                f"Appearance: {words}",
                lambda appearance=appearance: self.choose_appearance(appearance),  # type: ignore[misc]
                icon,
                words="theme colour",
            )
        add("window.connect", "Connect to a cluster", self.connect_chosen.emit, "plug", "Ctrl+Shift+O", words="profile")
        add("window.settings", "Settings", self.settings_chosen.emit, "settings", "Ctrl+,", words="preferences")
        add("window.keys", "Keys", self.show_keys, "keyboard", "F1", words="shortcuts help")
        add("window.full_screen", "Full screen", self.toggle_full_screen, "maximize", "F11")
        add("window.quit", "Quit", self.close_window, "power", "Ctrl+Q", words="exit close")

    # ------------------------------------------------------------ pages

    def add_page(
        self,
        key: str,
        title: str,
        icon_name: str,
        widget_factory: Callable[[], QWidget],
        *,
        in_rail: bool = True,
        rail_key: str = "",
    ) -> None:
        """Register a page; it is built when it is first opened.

        A page without an entry of its own names in `rail_key` the page whose entry is marked meanwhile. A page that
        has `open_route(params)` is told what to show, one that has `refresh()` reloads on F5. Raises Bug for a key
        that is taken.
        """
        self.pages.add(
            PageSpec(
                key=key,
                title=title,
                icon_name=icon_name,
                widget_factory=widget_factory,
                in_rail=in_rail,
                rail_key=rail_key or key,
            )
        )
        if not in_rail:
            return
        entry = self.rail.add_page(key, title, icon_name)
        number = sum(spec.in_rail for spec in self.pages.specs)
        if number <= 9:
            spec = ActionSpec(
                key=f"page.{key}",
                title=f"Go to {title}",
                run=lambda: self._open_from_palette(key),
                scope=ActionScope.WINDOW,
                icon=icon_name,
                shortcuts=(f"Ctrl+{number}",),
                is_enabled=entry.isEnabled,
            )
            self.actions_registry.add(spec, self)
            entry.setToolTip(f"{title} (Ctrl+{number})")

    def open_page(self, key: str, **params: str) -> QWidget:
        """Bring a page to the front: `open_page("dag", dag_id="churn")`. Raises Bug for a key that does not exist."""
        return self.pages.open(Route(key=key, params=params))

    def refresh(self) -> None:
        """Let the page in front load its data anew."""
        page = self.pages.currentWidget()
        if isinstance(page, RefreshablePage):
            page.refresh()

    # ------------------------------------------------------------ cluster and link

    def set_cluster(self, name: str, where: str, color: QColor | None) -> None:
        """Say in title and status bar which cluster this window shows."""
        self._cluster_name = name
        self.setWindowTitle(f"{name} – DagDeck" if name else "DagDeck")
        self.status.set_cluster(name, where, color)
        self.rail.set_pages_enabled(bool(name))
        self.actions_registry.refresh()

    def set_link(self, state: LinkState, age_seconds: float) -> None:
        """Show the link's state; while it is lost, a banner says how old the data is."""
        self.status.set_link(state, age_seconds)
        if state is LinkState.LOST:
            self.banner.show_lost(self._cluster_name or "the cluster", age_seconds)
        elif state is LinkState.STALLED:
            self.banner.show_stalled(self._cluster_name or "The cluster")
        else:
            self.banner.hide()

    def ask_sign_in(self) -> None:
        """Say that the sign-in has expired."""
        self.banner.show_sign_in(self._cluster_name or "the cluster")

    # ------------------------------------------------------------ notices

    def notify(self, text: str, tone: Tone = Tone.INFO, details: str = "") -> None:
        """Show a short notice."""
        self.notices.add(text, tone, details)

    def notify_error(self, error: Exception, what: str) -> None:
        """Show why something failed, with details to copy."""
        message, remedy = sentence_of(error)
        text = f"{what}: {message} {remedy}".strip()
        self.notices.add(text, Tone.ERROR, details_of(error, what))

    # ------------------------------------------------------------ appearance

    def choose_appearance(self, appearance: Appearance) -> None:
        """Show and keep an appearance."""
        self.theme.set_appearance(appearance)
        self._show_theme()
        self.appearance_chosen.emit(appearance)

    def switch_theme(self) -> None:
        """Light becomes dark, and dark light."""
        self.choose_appearance(Appearance.LIGHT if self.theme.is_dark else Appearance.DARK)

    def open_palette(self) -> None:
        """Open the command palette."""
        self.actions_registry.refresh()
        self.palette_dialog.open_centered()

    def show_keys(self) -> None:
        """List all keys."""
        ShortcutsDialog(self.theme, self.icons, self.actions_registry, self).open()

    def toggle_full_screen(self) -> None:
        """Fill the screen, or stop doing so."""
        self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen)

    def close_window(self) -> None:
        """Close it; daemons go on."""
        self.close()

    def restore_place(self, geometry: bytes) -> None:
        """Open where it was closed, unless that display is gone."""
        if not geometry or not self.restoreGeometry(QByteArray(geometry)):
            screen = QGuiApplication.primaryScreen()
            if screen is not None:
                room = screen.availableGeometry()
                self.resize(min(1440, room.width() - 40), min(900, room.height() - 60))
                self.move(room.center() - self.rect().center())

    def place(self) -> bytes:
        """Where it is, for `restore_place`."""
        return bytes(self.saveGeometry().data())

    # ------------------------------------------------------------ inside

    def _rail_chosen(self, key: str) -> None:
        if key == "theme":
            self.switch_theme()
        elif key == "settings":
            self.settings_chosen.emit()
        elif key == "connect":
            self.connect_chosen.emit()
        else:
            self.open_page(key)

    def _opened(self, route: Route) -> None:
        self.rail.mark(self.pages.spec(route.key).rail_key)
        self.actions_registry.refresh()

    def _show_theme(self) -> None:
        # It shows what a click leads to.
        self.rail.button("theme").set_look("Theme", "sun" if self.theme.is_dark else "moon")

    def _find_pages(self, text: str, deliver: Deliver) -> None:
        words = text.casefold().split()
        hits = [
            PaletteItem(
                title=spec.title,
                icon_name=spec.icon_name,
                hint="Page",
                run=lambda key=spec.key: self._open_from_palette(key),  # type: ignore[misc]
            )
            for spec in self.pages.specs
            if spec.in_rail and self.rail.button(spec.key).isEnabled() and match_score(words, spec.title) is not None
        ]
        deliver(hits)

    def _open_from_palette(self, key: str) -> None:
        self.open_page(key)

    def _find_actions(self, text: str, deliver: Deliver) -> None:
        found = [spec for spec in self.actions_registry.search(text) if not spec.key.startswith("page.")]
        deliver([self._hit_of(spec) for spec in found if spec.key != "window.search"])

    def _hit_of(self, spec: ActionSpec) -> PaletteItem:
        return PaletteItem(
            title=spec.title,
            icon_name=spec.icon or "chevron-right",
            subtitle=spec.scope.value if spec.scope is not ActionScope.WINDOW else "",
            hint=spec.shortcuts[0] if spec.shortcuts else "",
            run=lambda: self._trigger(spec.key),
            command=self.actions_registry.cli_text(spec.key) or "",
        )

    def _trigger(self, key: str) -> None:
        self.actions_registry.trigger(key)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        steps = {Qt.MouseButton.BackButton: -1, Qt.MouseButton.ForwardButton: 1}.get(event.button())
        if steps is not None:
            self.pages.go(steps)
        super().mousePressEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.closing.emit()
        super().closeEvent(event)
