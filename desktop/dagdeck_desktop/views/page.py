"""The frame of a page: its head with freshness, following its model only while it is shown, and telling failures.

Decides when a page is live and what its freshness says. Does not know any content. Base of the pages here.
"""

from __future__ import annotations

from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.live import LinkState
from dagdeck_desktop.shell.notices import Tone
from dagdeck_desktop.viewmodels import Phase, ViewModel
from dagdeck_desktop.widgets import ContentStack, EmptyState, FreshnessLabel, PageHeader


class Page(QWidget):
    """A page of the window over one or more view models; the first one's phase decides what is shown."""

    def __init__(self, context: DesktopContext, title: str, *models: ViewModel) -> None:
        super().__init__()
        self.context = context
        self.models = models
        self.header = PageHeader(context.theme, context.icons, title, self)
        self.header.search_wanted.connect(context.window.open_palette)
        self.freshness = FreshnessLabel(self)
        self.header.add_note(self.freshness)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(0)
        self.column.addWidget(self.header)
        self.stack: ContentStack | None = None
        for model in models:
            model.setParent(self)
            model.told.connect(lambda text: context.window.notify(text, Tone.DONE))
            model.failed.connect(context.window.notify_error)
            model.changed.connect(self._note_freshness)
        context.feed.link_state_changed.connect(self._link_changed)

    def set_content(self, content: QWidget, empty: EmptyState) -> ContentStack:
        """Put the page's content under its head, with what stands in for it."""
        self.stack = ContentStack(self.context.theme, self.context.icons, content, empty, self.refresh, self)
        self.column.addWidget(self.stack, 1)
        return self.stack

    def show_phase(self, *, is_empty: bool) -> bool:
        """Show what the first model's phase asks for; True while content can be filled in."""
        model, stack = self.models[0], self.stack
        assert stack is not None
        if model.phase is Phase.LOADING:
            stack.show_loading()
        elif model.phase is Phase.FAILED and model.error is not None:
            stack.show_error(model.error, model.WHAT)
        else:
            stack.show_content(is_empty=is_empty)
            return not is_empty
        return False

    def refresh(self) -> None:
        """Load everything anew (F5)."""
        for model in self.models:
            model.retry()

    def _note_freshness(self) -> None:
        if self.models[0].phase is Phase.READY:
            self.freshness.confirm(is_live=self.context.feed.state is LinkState.LIVE)

    def _link_changed(self, state: str, _age_seconds: float) -> None:
        if state != LinkState.LIVE:
            self.freshness.lose()
        elif self.models[0].phase is Phase.READY:
            self.freshness.confirm(is_live=True)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        # A window that comes back from the taskbar never stopped following.
        if not event.spontaneous():
            for model in self.models:
                model.activate()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if not event.spontaneous():
            for model in self.models:
                model.deactivate()
