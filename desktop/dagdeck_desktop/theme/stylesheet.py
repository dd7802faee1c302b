"""The small stylesheet over Fusion and our palette.

Decides the look of standard controls. Widgets choose a variant by dynamic properties: `kind` on buttons ("primary",
"danger", "quiet", "rail"), `role` on frames ("card", "panel", "banner", "bar") and labels ("secondary", "tertiary",
"section", "title", "value", "danger"). Called by `theme`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from string import Template

from PySide6.QtGui import QColor

from dagdeck_desktop.theme.tokens import Tokens

_SHEET = Template(
    """
QToolTip { background: $surface; color: $text_1; border: 1px solid $border_strong; padding: 4px 8px; }

QFrame[role="card"] { background: $surface; border: 1px solid $border; border-radius: ${card_radius}px; }
QFrame[role="panel"] { background: $surface; border: 1px solid $border; border-radius: ${card_radius}px; }
QFrame[role="bar"] { background: $surface; border: none; border-top: 1px solid $border; }
QFrame[role="rail"] { background: $surface; border: none; border-right: 1px solid $border; }
QFrame[role="banner"] { background: $warning_ground; border: none; border-bottom: 1px solid $border; }
QFrame[role="banner"][tone="danger"] { background: $danger_ground; }
QFrame[role="note"] { background: $warning_ground; border: 1px solid $border; border-radius: ${control_radius}px; }
QFrame[role="note"][tone="danger"] { background: $danger_ground; }
QFrame[role="row"] { background: transparent; border: none; border-top: 1px solid $border; }
QFrame[role="line"] { background: $border; border: none; }

QLabel { background: transparent; }
QLabel[role="secondary"] { color: $text_2; font-size: 12px; }
QLabel[role="tertiary"] { color: $text_3; font-size: 12px; }
QLabel[role="section"] { color: $text_1; font-size: 14px; font-weight: 600; }
QLabel[role="title"] { color: $text_1; font-size: 18px; font-weight: 600; }
QLabel[role="value"] { color: $text_1; font-size: 22px; font-weight: 600; }
QLabel[role="danger"] { color: $danger; }
QLabel[role="warning"] { color: $warning; }

QPushButton {
    background: $surface; color: $text_1; border: 1px solid $border_strong; border-radius: ${control_radius}px;
    min-height: ${button_inner}px; padding: 0 12px; font-weight: 500;
}
QPushButton:hover { background: $hover; }
QPushButton:pressed { background: $pressed; }
QPushButton:focus { border: 1px solid $accent; }
QPushButton:disabled { color: $text_3; border-color: $border; background: $canvas; }
QPushButton[kind="primary"] { background: $accent; color: $on_accent; border: 1px solid $accent; }
QPushButton[kind="primary"]:hover, QPushButton[kind="primary"]:pressed { background: $accent_hover; }
QPushButton[kind="primary"]:focus { border: 1px solid $text_1; }
QPushButton[kind="primary"]:disabled { background: $border_strong; border-color: $border_strong; color: $surface; }
QPushButton[kind="danger"] { color: $danger; border: 1px solid $danger; }
QPushButton[kind="danger"]:hover { background: $danger_ground; }
QPushButton[kind="quiet"] { background: transparent; border: 1px solid transparent; color: $text_2; }
QPushButton[kind="quiet"]:hover { background: $hover; color: $text_1; }
QPushButton[kind="quiet"]:focus { border: 1px solid $accent; }
QPushButton[kind="choice"] { text-align: left; padding: 12px 16px; min-height: 44px; }
QPushButton[kind="choice"]:checked { border: 1px solid $accent; background: $accent_ground; }

QPushButton[kind="chip"] { background: transparent; border: 1px solid transparent; color: $text_2; padding: 0 10px;
    border-radius: ${control_radius}px; }
QPushButton[kind="chip"]:hover { background: $hover; color: $text_1; }
QPushButton[kind="chip"]:checked { background: $accent_ground; color: $accent; border: 1px solid $accent_ground; }
QPushButton[kind="chip"]:focus { border: 1px solid $accent; }
QPushButton[kind="row"] { background: transparent; border: none; border-top: 1px solid $border; border-radius: 0;
    min-height: 39px; padding: 0; }
QPushButton[kind="row"]:hover { background: $hover; }
QPushButton[kind="row"]:focus { background: $accent_ground; border-top: 1px solid $border; }
QPushButton[kind="link"] { background: transparent; border: none; color: $accent; text-align: left; padding: 2px 0;
    min-height: 20px; }
QPushButton[kind="link"]:hover, QPushButton[kind="link"]:focus { text-decoration: underline; }

QToolButton { background: transparent; border: 1px solid transparent; border-radius: ${control_radius}px;
    padding: 4px; color: $text_1; }
QToolButton:hover { background: $hover; }
QToolButton:pressed, QToolButton:checked { background: $pressed; }
QToolButton:focus { border: 1px solid $accent; }

QLineEdit, QComboBox, QSpinBox, QDoubleSpinBox, QDateTimeEdit {
    background: $surface; color: $text_1; border: 1px solid $border_strong; border-radius: ${control_radius}px;
    min-height: ${button_inner}px; padding: 0 8px; selection-background-color: $accent;
    selection-color: $on_accent;
}
QLineEdit:focus, QComboBox:focus, QSpinBox:focus, QDoubleSpinBox:focus, QDateTimeEdit:focus {
    border: 1px solid $accent;
}
QLineEdit:disabled, QComboBox:disabled { background: $canvas; color: $text_3; border-color: $border; }
QLineEdit[invalid="true"] { border: 1px solid $danger; }
QLineEdit[kind="flat"], QLineEdit[kind="flat"]:focus { background: transparent; border: none; padding: 0;
    margin-left: -2px; min-height: 18px; }
QComboBox::drop-down { border: none; width: 26px; }
QComboBox::down-arrow { image: url($images/chevron-down.svg); width: 14px; height: 14px; }
QComboBox QAbstractItemView { background: $surface; border: 1px solid $border_strong; outline: none; }

QCheckBox { spacing: 8px; }
QCheckBox::indicator { width: 16px; height: 16px; border: 1px solid $border_strong; border-radius: 4px;
    background: $surface; }
QCheckBox::indicator:hover, QCheckBox::indicator:focus { border-color: $accent; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url($images/check.svg); }
QCheckBox::indicator:disabled { background: $canvas; border-color: $border; }
QRadioButton { spacing: 8px; }
QRadioButton::indicator { width: 16px; height: 16px; border: 1px solid $border_strong; border-radius: 9px;
    background: $surface; }
QRadioButton::indicator:hover, QRadioButton::indicator:focus { border-color: $accent; }
QRadioButton::indicator:checked { background: $surface; border: 5px solid $accent; width: 8px; height: 8px; }
QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button, QDoubleSpinBox::down-button,
QDateTimeEdit::up-button, QDateTimeEdit::down-button { width: 20px; border: none; background: transparent; }
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow, QDateTimeEdit::up-arrow { image: url($images/chevron-up.svg);
    width: 12px; height: 12px; }
QSpinBox::down-arrow, QDoubleSpinBox::down-arrow, QDateTimeEdit::down-arrow, QDateTimeEdit::drop-down {
    image: url($images/chevron-down.svg); width: 12px; height: 12px; }

QTextEdit, QPlainTextEdit { background: $surface; color: $text_1; border: 1px solid $border;
    border-radius: ${control_radius}px; padding: 4px 6px; selection-background-color: $accent;
    selection-color: $on_accent; }

QTabBar { background: transparent; }
QTabBar::tab { background: transparent; color: $text_2; padding: 6px 2px; margin-right: 18px; border: none;
    border-bottom: 2px solid transparent; font-weight: 500; }
QTabBar::tab:hover { color: $text_1; }
QTabBar::tab:selected { color: $text_1; border-bottom: 2px solid $accent; }
QTabWidget::pane { border: none; border-top: 1px solid $border; top: -1px; }

QMenu { background: $surface; border: 1px solid $border_strong; padding: 4px; }
QMenu::item { padding: 6px 28px 6px 12px; border-radius: 4px; color: $text_1; }
QMenu::item:selected { background: $accent_ground; }
QMenu::item:disabled { color: $text_3; }
QMenu::separator { height: 1px; background: $border; margin: 4px 8px; }
QMenu::icon { padding-left: 8px; }

QHeaderView { background: transparent; border: none; }
QHeaderView::section { background: transparent; color: $text_2; border: none; border-bottom: 1px solid $border;
    padding: 6px 14px; font-size: 12px; font-weight: 500; }
QTableView, QListView, QTreeView { background: $surface; border: none; outline: none; gridline-color: $border;
    selection-background-color: $accent_ground; selection-color: $text_1; }
QTableView { background: transparent; }

QScrollBar:vertical { background: transparent; width: 12px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 12px; margin: 0; }
QScrollBar::handle { background: $border_strong; border-radius: 3px; border: none; }
QScrollBar::handle:vertical { min-height: 32px; margin: 2px 3px; }
QScrollBar::handle:horizontal { min-width: 32px; margin: 3px 2px; }
QScrollBar::handle:hover { background: $text_3; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QAbstractScrollArea::corner { background: transparent; border: none; }

QScrollArea[kind="plain"], QScrollArea[kind="plain"] > QWidget > QWidget[kind="plain"] { background: transparent; }
QSplitter::handle { background: transparent; }
QProgressBar { background: $border; border: none; border-radius: 3px; max-height: 6px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }
"""
)

_COLORS = (
    "bg",
    "surface",
    "canvas",
    "border",
    "border_strong",
    "text_1",
    "text_2",
    "text_3",
    "accent",
    "accent_hover",
    "accent_ground",
    "on_accent",
    "hover",
    "pressed",
    "danger",
    "danger_ground",
    "warning",
    "warning_ground",
)


def stylesheet_of(tokens: Tokens, images: str) -> str:
    """The stylesheet of one appearance; `images` is the folder with the drawings of this appearance."""
    sizes = tokens.metrics
    values = {name: _css(getattr(tokens, name)) for name in _COLORS}
    return _SHEET.substitute(
        values,
        images=images,
        card_radius=str(sizes.card_radius),
        control_radius=str(sizes.control_radius),
        # A control's height is outside its border, Qt's min-height inside.
        button_inner=str(sizes.control_height - 2),
    )


def write_images(tokens: Tokens, folder: Path) -> None:
    """Write the few drawings that the stylesheet names: Qt takes them from files only, in colours of their own."""
    for name, color in (("chevron-down", tokens.text_2), ("chevron-up", tokens.text_2), ("check", tokens.on_accent)):
        drawing = (resources.files("dagdeck_assets") / "icons" / f"{name}.svg").read_text(encoding="utf-8")
        (folder / f"{name}.svg").write_text(drawing.replace("currentColor", _css(color)), encoding="utf-8")


def _css(color: QColor) -> str:
    return color.name(QColor.NameFormat.HexRgb)
