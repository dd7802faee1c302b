"""The window: pages and their history, the rail, the palette, the action registry, banner and notices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QGuiApplication, QImage
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QLabel, QLineEdit, QListView, QWidget
from pytestqt.qtbot import QtBot

from dagdeck_client.errors import NotFound, Unreachable
from dagdeck_core.errors import Bug
from dagdeck_desktop.actions import ActionRegistry, ActionScope, ActionSpec
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.live import LinkState
from dagdeck_desktop.shell import MainWindow, PaletteItem
from dagdeck_desktop.shell.notices import MOST, Tone
from dagdeck_desktop.shell.palette import HitModel
from dagdeck_desktop.shell.shortcuts import ShortcutsDialog
from dagdeck_desktop.theme import Appearance, Theme
from dagdeck_desktop.widgets import ContentStack, EmptyState, FreshnessLabel, PageHeader, StatePill
from dagdeck_desktop.widgets.freshness import age_text
from dagdeck_desktop.widgets.placeholders import details_of, sentence_of


class Page(QWidget):
    """A page that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.routes: list[Mapping[str, str]] = []
        self.refreshed = 0

    def open_route(self, params: Mapping[str, str]) -> None:
        """Remember it."""
        self.routes.append(dict(params))

    def refresh(self) -> None:
        """Count it."""
        self.refreshed += 1


@pytest.fixture
def actions(icons: Icons) -> ActionRegistry:
    """An empty registry."""
    return ActionRegistry(icons, icons)


@pytest.fixture
def window(qtbot: QtBot, theme: Theme, icons: Icons, actions: ActionRegistry) -> Iterator[MainWindow]:
    """A window with three pages, of which one is not in the rail."""
    made = MainWindow(theme, icons, actions)
    qtbot.addWidget(made)
    made.add_page("home", "Home", "layout-dashboard", Page)
    made.add_page("dags", "DAGs", "workflow", Page)
    made.add_page("dag", "DAG", "workflow", Page, in_rail=False, rail_key="dags")
    made.show()
    yield made
    made.palette_dialog.close_again()


def test_pages_are_built_when_first_opened_and_told_what_to_show(window: MainWindow) -> None:
    assert window.pages.count() == 0
    page = window.open_page("dag", dag_id="churn")
    assert isinstance(page, Page)
    assert window.open_page("dag", dag_id="sales") is page
    assert page.routes == [{"dag_id": "churn"}, {"dag_id": "sales"}]
    assert window.rail.button("dags").isChecked()


def test_back_and_forward(window: MainWindow) -> None:
    window.open_page("home")
    page = window.open_page("dag", dag_id="churn")
    window.open_page("dag", dag_id="sales")
    window.open_page("dag", dag_id="sales")
    window.pages.go(-1)
    assert isinstance(page, Page)
    assert page.routes[-1] == {"dag_id": "churn"}
    window.pages.go(-1)
    assert window.rail.button("home").isChecked()
    window.pages.go(-1)
    assert not window.pages.can_go_back
    window.pages.go(1)
    window.open_page("dags")
    assert not window.pages.can_go_forward


def test_keys_lead_to_pages_and_refresh(window: MainWindow, qtbot: QtBot) -> None:
    window.activateWindow()
    qtbot.keyClick(window, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    route = window.pages.route
    assert route is not None
    assert route.key == "dags"
    qtbot.keyClick(window, Qt.Key.Key_F5)
    page = window.pages.currentWidget()
    assert isinstance(page, Page)
    assert page.refreshed == 1


def test_the_rail_is_clicked_and_walked_by_keyboard(window: MainWindow, qtbot: QtBot) -> None:
    qtbot.mouseClick(window.rail.button("dags"), Qt.MouseButton.LeftButton)
    assert window.pages.route is not None
    assert window.pages.route.key == "dags"
    window.rail.button("dags").setFocus()
    qtbot.keyClick(window.rail.button("dags"), Qt.Key.Key_Up)
    assert window.rail.button("home").hasFocus()


def test_what_is_registered_twice_or_not_at_all_is_a_bug(window: MainWindow) -> None:
    with pytest.raises(Bug, match="home"):
        window.add_page("home", "Home", "layout-dashboard", Page)
    with pytest.raises(Bug, match="nowhere"):
        window.open_page("nowhere")


def test_leaving_a_cluster_throws_its_pages_away(window: MainWindow) -> None:
    page = window.open_page("home")
    window.pages.reset()
    assert window.pages.route is None
    assert window.open_page("home") is not page


# ---------------------------------------------------------------- palette and actions


def test_the_palette_finds_and_runs(window: MainWindow, actions: ActionRegistry, qtbot: QtBot) -> None:
    ran: list[str] = []
    actions.add(
        ActionSpec(
            key="dag.pause",
            title="Pause this DAG",
            run=lambda: ran.append("pause"),
            scope=ActionScope.DAG,
            keywords=("stop",),
            cli=lambda: ["dags", "pause", "my dag"],
        )
    )
    palette = window.palette_dialog
    window.open_palette()
    field = palette.findChild(QLineEdit)
    assert field is not None
    field.setText("stop")
    palette.search()
    assert [item.title for item in palette.items] == ["Pause this DAG"]
    qtbot.keyClick(field, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "dagdeck dags pause 'my dag'"
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: ran == ["pause"])
    assert not palette.isVisible()


def test_answers_that_come_late_are_dropped(window: MainWindow) -> None:
    later = []
    window.palette_dialog.add_source(lambda text, deliver: later.append((text, deliver)))
    field = window.palette_dialog.findChild(QLineEdit)
    assert field is not None
    window.open_palette()
    field.setText("zzz")
    window.palette_dialog.search()
    (_first, old), (_second, new) = later
    old([PaletteItem(title="old", run=lambda: None)])
    assert window.palette_dialog.items == []
    new([PaletteItem(title="new", run=lambda: None)])
    assert [item.title for item in window.palette_dialog.items] == ["new"]


def test_the_palette_goes_away_and_gives_the_focus_back(window: MainWindow, qtbot: QtBot) -> None:
    window.open_page("home")
    window.activateWindow()
    window.rail.button("dags").setFocus()
    field = window.palette_dialog.findChild(QLineEdit)
    assert field is not None
    qtbot.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert window.palette_dialog.isVisible()
    assert field.hasFocus()
    window.resize(1000, 600)
    assert window.palette_dialog.size() == window.size()
    qtbot.keyClick(field, Qt.Key.Key_Escape)
    assert not window.palette_dialog.isVisible()
    assert window.rail.button("dags").hasFocus()
    window.open_palette()
    qtbot.mouseClick(window.palette_dialog, Qt.MouseButton.LeftButton, pos=QPoint(5, 300))
    assert not window.palette_dialog.isVisible()


def test_only_a_mouse_that_moves_chooses(window: MainWindow, qtbot: QtBot) -> None:
    window.open_palette()
    hits = window.palette_dialog.findChild(QListView)
    assert hits is not None
    third = hits.visualRect(hits.model().index(2, 0)).center()
    qtbot.mouseMove(hits.viewport(), third)
    qtbot.waitUntil(lambda: hits.currentIndex().row() == 2)
    window.palette_dialog.close_again()
    window.open_palette()
    qtbot.wait(50)
    assert hits.currentIndex().row() == 0


def test_arrows_go_round(window: MainWindow, qtbot: QtBot) -> None:
    window.open_palette()
    field = window.palette_dialog.findChild(QLineEdit)
    hits = window.palette_dialog.findChild(QListView)
    assert field is not None
    assert hits is not None
    qtbot.keyClick(field, Qt.Key.Key_Up)
    assert hits.currentIndex().row() == len(window.palette_dialog.items) - 1
    qtbot.keyClick(field, Qt.Key.Key_Down)
    assert hits.currentIndex().row() == 0


def test_the_hit_model_keeps_its_promises(qtbot: QtBot) -> None:
    model = HitModel()
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Warning)
    items = [PaletteItem(title=str(number), run=lambda: None) for number in range(6)]
    for shown in (items, items[:3], [items[0], items[5]], [], items[2:]):
        model.replace(shown)
        assert [model.item(row) for row in range(model.rowCount())] == shown
    assert tester.model() is model


def test_actions_that_cannot_be_done_are_not_done(actions: ActionRegistry) -> None:
    ran: list[str] = []
    is_possible = [False]
    spec = ActionSpec(key="a", title="Clear", run=lambda: ran.append("a"), is_enabled=lambda: is_possible[0])
    action = actions.add(spec)
    assert not action.isEnabled()
    assert not actions.trigger("a")
    assert actions.search("clear") == []
    is_possible[0] = True
    actions.refresh()
    assert action.isEnabled()
    action.trigger()
    assert ran == ["a"]
    assert actions.cli_text("a") is None
    assert not actions.copy_as_cli("a")


def test_actions_are_found_best_first(actions: ActionRegistry) -> None:
    for key, title in (("1", "Unpause"), ("2", "Show pauses"), ("3", "Pause"), ("4", "Other")):
        actions.add(ActionSpec(key=key, title=title, run=lambda: None))
    assert [spec.title for spec in actions.search("paus")] == ["Pause", "Show pauses", "Unpause"]
    assert [spec.title for spec in actions.search("")] == ["Unpause", "Show pauses", "Pause", "Other"]


def test_menus_offer_the_command(actions: ActionRegistry, window: MainWindow) -> None:
    for key in ("clear", "mark"):
        actions.add(ActionSpec(key=key, title=key, run=lambda: None, cli=lambda key=key: ["tasks", key]))  # type: ignore[misc]
    menu = actions.menu(["clear", None, "mark"], window)
    assert [action.text() for action in menu.actions()] == ["clear", "", "mark", "", "Copy as command"]
    actions.copy_as_cli("mark")
    assert QGuiApplication.clipboard().text() == "dagdeck tasks mark"
    assert window.notices.texts == ["Copied: dagdeck tasks mark"]


def test_all_keys_are_listed(window: MainWindow, qtbot: QtBot) -> None:
    window.actions_registry.trigger("window.keys")
    dialog = window.findChild(ShortcutsDialog)
    assert dialog is not None
    texts = {label.text() for label in dialog.findChildren(QLabel)}
    assert {"Refresh", "F5, Ctrl+R", "Go to Home", "Ctrl+1", "Window"} <= texts
    dialog.accept()


def test_keys_are_registered_once(actions: ActionRegistry) -> None:
    actions.add(ActionSpec(key="a", title="A", run=lambda: None))
    with pytest.raises(Bug, match="registered already"):
        actions.add(ActionSpec(key="a", title="A", run=lambda: None))
    actions.remove("a")
    actions.remove("a")
    with pytest.raises(Bug, match="no action"):
        actions.trigger("a")


# ---------------------------------------------------------------- link, notices, placeholders


def test_a_lost_link_is_said_with_the_age_of_the_data(window: MainWindow) -> None:
    window.set_cluster("Production", "https://host", QColor("#C0392B"))
    window.set_link(LinkState.LIVE, 0.0)
    assert not window.banner.isVisible()
    window.set_link(LinkState.LOST, 75.4)
    assert window.banner.isVisible()
    assert window.banner.text == "The link to Production is lost. What you see is 1 m 15 s old."
    assert window.status.freshness.text() == "Updated 1 m 15 s ago"
    window.set_link(LinkState.STALLED, 1.0)
    assert "database" in window.banner.text
    window.set_link(LinkState.LIVE, 0.0)
    assert not window.banner.isVisible()
    assert window.windowTitle() == "Production – DagDeck"


def test_freshness_counts_and_warns(qtbot: QtBot, theme: Theme) -> None:
    now = [100.0]
    label = FreshnessLabel(clock=lambda: now[0])
    qtbot.addWidget(label)
    assert label.text() == "No data yet"
    label.confirm(is_live=True)
    now[0] += 100
    label.refresh()
    assert label.text() == "Live"
    label.lose()
    assert (label.text(), label.property("role")) == ("Updated 1 m 40 s ago", "warning")
    label.confirm(is_live=False)
    assert (label.text(), label.property("role")) == ("Updated 0 s ago", "tertiary")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 m 00 s"), (3_600, "1 h 00 m"), (90_000, "1 d 1 h")],
)
def test_ages_in_words(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_notices_are_bounded_and_errors_stay(window: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagdeck_desktop.shell.notices.SHOWN_SECONDS", 0.05)
    window.notify_error(NotFound("there is no run x", status=404, remedy="Refresh the list"), "Clearing failed")
    window.notify("done", Tone.DONE)
    qtbot.waitUntil(lambda: "done" not in window.notices.texts)
    assert window.notices.texts == ["Clearing failed: There is no run x. Refresh the list."]
    for number in range(MOST + 3):
        window.notify(str(number), Tone.ERROR)
    assert window.notices.texts == [str(number) for number in range(3, MOST + 3)]


def test_errors_become_sentences_with_details() -> None:
    error = Unreachable("nothing listens at http://h (connection refused)", remedy="Is it running")
    assert sentence_of(error) == ("Nothing listens at http://h (connection refused)", "Is it running.")
    assert sentence_of(ValueError("odd")) == ("ValueError: odd.", "")
    details = details_of(NotFound("no such dag", status=404, detail={"dag_id": "x"}), "DAG could not be loaded")
    assert "status: 404" in details
    assert "NotFound" in details
    assert "dag_id" in details


def is_shown(stack: ContentStack, widget: QWidget) -> bool:
    """Whether a layer of a view is in front."""
    return stack.shown is widget


def test_old_data_stays_when_a_reload_fails(qtbot: QtBot, theme: Theme, icons: Icons) -> None:
    retried: list[bool] = []
    content = QLabel("rows")
    stack = ContentStack(
        theme, icons, content, EmptyState(theme, icons, "inbox", "No DAGs"), lambda: retried.append(True)
    )
    qtbot.addWidget(stack)
    stack.show_loading()
    assert is_shown(stack, stack.loading)
    assert stack.show_error(Unreachable("gone"), "DAGs could not be loaded")
    assert is_shown(stack, stack.error)
    assert "gone" in stack.error.details
    stack.show_content()
    assert not stack.show_error(Unreachable("gone"), "DAGs could not be loaded")
    assert is_shown(stack, content)
    stack.show_content(is_empty=True)
    assert is_shown(stack, stack.empty)


def test_headers_take_long_and_emoji_names(qtbot: QtBot, theme: Theme, icons: Icons) -> None:
    header = PageHeader(theme, icons, "🚀" * 200)
    qtbot.addWidget(header)
    went: list[str] = []
    header.set_crumbs([("DAGs", lambda: went.append("dags"))])
    header.set_crumbs([("Runs", lambda: went.append("runs"))])
    header.set_state("failed")
    header.resize(700, 60)
    header.show()
    assert header.width() == 700
    pill = header.findChild(StatePill)
    assert pill is not None
    assert pill.accessibleName() == "State: Failed"


def test_texts_of_servers_are_never_markup(qtbot: QtBot, window: MainWindow) -> None:
    window.notify("<b>bold</b><img src=x>")
    label = next(each for each in window.notices.findChildren(QLabel) if "bold" in each.text())
    assert label.textFormat() is Qt.TextFormat.PlainText


@pytest.mark.parametrize("appearance", [Appearance.LIGHT, Appearance.DARK])
def test_the_window_is_painted_in_its_tokens(window: MainWindow, theme: Theme, appearance: Appearance) -> None:
    window.choose_appearance(appearance)
    window.open_page("home")
    image: QImage = window.grab().toImage()
    assert image.pixelColor(window.width() - 40, window.height() // 2) == theme.tokens.bg
    assert image.pixelColor(4, window.height() // 2) == theme.tokens.surface


def test_icons_of_buttons_follow_the_theme(window: MainWindow, theme: Theme) -> None:
    def colors() -> set[str]:
        image = window.actions_registry.action("window.refresh").icon().pixmap(16, 16).toImage()
        found = (image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height()))
        return {color.name() for color in found if color.alpha() == 255}

    theme.set_appearance(Appearance.LIGHT)
    light = colors()
    theme.set_appearance(Appearance.DARK)
    assert light
    assert light != colors()
