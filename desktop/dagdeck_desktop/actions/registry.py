"""Holds the actions that are possible now, as Qt actions with shortcuts and icons.

Decides how actions are found by words, put into menus and copied as a command line. Does not know what they do.
Filled by the shell and by views; asked by menus and the command palette.
"""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from dagdeck_core.errors import Bug
from dagdeck_desktop.actions.spec import ActionScope, ActionSpec, command_line
from dagdeck_desktop.icons import Icons


class ActionRegistry(QObject):
    """All actions by key. GUI thread only. `changed` follows each addition and removal; `copied` a copied command."""

    changed = Signal()
    copied = Signal(str)

    def __init__(self, icons: Icons, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._icons = icons
        self._specs: dict[str, ActionSpec] = {}
        self._actions: dict[str, QAction] = {}

    def add(self, spec: ActionSpec, shortcut_home: QWidget | None = None) -> QAction:
        """Register an action and return its Qt action. Its shortcuts work within `shortcut_home` and below.

        Raises Bug when the key is taken.
        """
        if spec.key in self._specs:
            raise Bug(f"the action {spec.key} is registered already")
        action = QAction(spec.title, shortcut_home or self)
        action.setObjectName(spec.key)
        if spec.icon:
            self._icons.bind(action, spec.icon, token="danger" if spec.is_destructive else "text_2")
        action.setShortcuts([QKeySequence(text) for text in spec.shortcuts])
        action.triggered.connect(lambda: self.trigger(spec.key))
        if shortcut_home is not None:
            shortcut_home.addAction(action)
        self._specs[spec.key] = spec
        self._actions[spec.key] = action
        self._refresh_one(spec.key)
        self.changed.emit()
        return action

    def remove(self, key: str) -> None:
        """Forget an action; a key that is not there is no error."""
        action = self._actions.pop(key, None)
        self._specs.pop(key, None)
        if action is not None:
            action.deleteLater()
            self.changed.emit()

    def spec(self, key: str) -> ActionSpec:
        """An action's description. Raises Bug for a key that does not exist."""
        try:
            return self._specs[key]
        except KeyError:
            raise Bug(f"there is no action {key}") from None

    def action(self, key: str) -> QAction:
        """An action for menus, buttons and tool bars. Raises Bug for a key that does not exist."""
        self.spec(key)
        return self._actions[key]

    def all(self) -> tuple[ActionSpec, ...]:
        """Every action, in the order of registration."""
        return tuple(self._specs.values())

    def trigger(self, key: str) -> bool:
        """Do it, if it can be done now; False when it cannot."""
        spec = self.spec(key)
        if not is_enabled(spec):
            return False
        spec.run()
        return True

    def refresh(self) -> None:
        """Ask every action anew whether it can be done; call it after the selection has changed."""
        for key in self._specs:
            self._refresh_one(key)

    def search(self, text: str, limit: int = 20) -> list[ActionSpec]:
        """Actions that can be done now and match all words of `text`, the best first."""
        words = text.casefold().split()
        scored = [
            (score, position, spec)
            for position, spec in enumerate(self._specs.values())
            if is_enabled(spec) and (score := match_score(words, spec.title, spec.keywords)) is not None
        ]
        return [spec for _score, _position, spec in sorted(scored, key=lambda each: each[:2])][:limit]

    def menu(self, keys: Iterable[str | None], parent: QWidget) -> QMenu:
        """A menu of actions, None being a line between groups, with "Copy as command" for those that have one."""
        self.refresh()
        menu = QMenu(parent)
        with_commands = []
        for key in keys:
            if key is None:
                menu.addSeparator()
                continue
            menu.addAction(self.action(key))
            if self.cli_text(key) is not None:
                with_commands.append(key)
        if with_commands:
            menu.addSeparator()
            self._add_copies(menu, with_commands)
        return menu

    def cli_text(self, key: str) -> str | None:
        """The command line that does the same; None where there is none."""
        spec = self.spec(key)
        arguments = spec.cli() if spec.cli is not None else None
        return command_line(arguments) if arguments else None

    def copy_as_cli(self, key: str) -> bool:
        """Put the command line on the clipboard; False where there is none."""
        text = self.cli_text(key)
        if text is None:
            return False
        QGuiApplication.clipboard().setText(text)
        self.copied.emit(text)
        return True

    def by_scope(self) -> dict[ActionScope, list[ActionSpec]]:
        """All actions, grouped."""
        groups: dict[ActionScope, list[ActionSpec]] = {}
        for spec in self._specs.values():
            groups.setdefault(spec.scope, []).append(spec)
        return groups

    def _add_copies(self, menu: QMenu, keys: list[str]) -> None:
        target = menu if len(keys) == 1 else menu.addMenu(self._icons.icon("terminal"), "Copy as command")
        for key in keys:
            title = "Copy as command" if len(keys) == 1 else self.spec(key).title
            entry = target.addAction(self._icons.icon("terminal"), title)
            entry.triggered.connect(lambda _checked=False, key=key: self.copy_as_cli(key))

    def _refresh_one(self, key: str) -> None:
        self._actions[key].setEnabled(is_enabled(self._specs[key]))


def is_enabled(spec: ActionSpec) -> bool:
    """True when the action can be done now."""
    return spec.is_enabled is None or spec.is_enabled()


def match_score(words: list[str], title: str, keywords: Iterable[str] = ()) -> int | None:
    """How badly `title` matches (0 is best); None when a word of the search is nowhere in it."""
    folded = title.casefold()
    extra = " ".join(keywords).casefold()
    score = 0
    for word in words:
        at = folded.find(word)
        if at < 0 and word not in extra:
            return None
        # The beginning of the title, then the beginning of a word, then anywhere, then only a keyword.
        score += 3 if at < 0 else 0 if at == 0 else 1 if not folded[at - 1].isalnum() else 2
    return score
