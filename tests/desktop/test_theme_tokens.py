"""Text can be read and states can be told apart, in both appearances, in colour, in grey, and without red or green."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontInfo, QGuiApplication, QImage, QPainter

from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Appearance, FontRole, Theme, draw_state_cell
from dagdeck_desktop.theme.contrast import GRAPHIC, TEXT, contrast, readable
from dagdeck_desktop.theme.glyphs import StateGlyph
from dagdeck_desktop.theme.states import DARK_STATES, GLYPHS, ICONS, LABELS, LIGHT_STATES
from dagdeck_desktop.theme.tokens import DARK, LIGHT, Tokens

ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
# How an eye without the long or the middle cones sees linear red, green and blue (Viénot, Brettel and Mollon 1999).
SIGHTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "colour": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "grey": ((0.2126, 0.7152, 0.0722),) * 3,
    "protan": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    "deutan": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
}


def seen(color: QColor, sight: str) -> tuple[float, float, float]:
    """A colour as CIE L*a*b*, as an eye of this kind sees it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (color.redF(), color.greenF(), color.blueF())
    ]
    r, g, b = (sum(w * part for w, part in zip(row, linear, strict=True)) for row in SIGHTS[sight])
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089
    fx, fy, fz = (max(0.0, part) ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def difference(one: QColor, other: QColor, sight: str) -> float:
    """How far apart two colours are for an eye (Delta E 76; about 2 can just be seen)."""
    return sum((a - b) ** 2 for a, b in zip(seen(one, sight), seen(other, sight), strict=True)) ** 0.5


@BOTH
@pytest.mark.parametrize("ground", ["bg", "surface", "canvas", "hover", "accent_ground"])
@pytest.mark.parametrize(("text", "least"), [("text_1", 7.0), ("text_2", TEXT), ("text_3", 3.0)])
def test_text_can_be_read_on_every_ground(tokens: Tokens, ground: str, text: str, least: float) -> None:
    assert contrast(getattr(tokens, text), getattr(tokens, ground)) >= least


@BOTH
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("on_accent", "accent"),
        ("on_accent", "accent_hover"),
        ("accent", "surface"),
        ("accent", "accent_ground"),
        ("danger", "surface"),
        ("danger", "danger_ground"),
        ("warning", "surface"),
        ("warning", "warning_ground"),
        ("positive", "positive_ground"),
        ("info", "surface"),
        ("text_1", "search_hit"),
        ("text_1", "pressed"),
    ],
)
def test_coloured_text_can_be_read(tokens: Tokens, text: str, ground: str) -> None:
    assert contrast(getattr(tokens, text), getattr(tokens, ground)) >= TEXT


def test_every_state_has_a_look_of_its_own() -> None:
    for table in (LIGHT_STATES, DARK_STATES, GLYPHS, ICONS, LABELS):
        assert set(table) == set(TaskInstanceState)
    assert len(set(GLYPHS.values())) == len(TaskInstanceState)
    assert len(set(ICONS.values())) == len(TaskInstanceState)


@BOTH
def test_states_differ_in_colour(tokens: Tokens) -> None:
    too_close = [
        (one.value, other.value)
        for one, other in itertools.combinations(TaskInstanceState, 2)
        if difference(tokens.states[one], tokens.states[other], "colour") < 12
    ]
    assert too_close == []


def cell(theme: Theme, state: TaskInstanceState, side: int = 16) -> QImage:
    """A state's small cell as it is painted."""
    image = QImage(side, side, QImage.Format.Format_RGB32)
    image.fill(theme.tokens.surface)
    painter = QPainter(image)
    draw_state_cell(
        painter, QRectF(0, 0, side, side), theme.state_color(state), theme.state_glyph(state), theme.tokens.surface
    )
    painter.end()
    return image


@pytest.mark.parametrize("appearance", [Appearance.LIGHT, Appearance.DARK])
@pytest.mark.parametrize("sight", list(SIGHTS))
def test_cells_are_told_apart_by_every_eye(theme: Theme, appearance: Appearance, sight: str) -> None:
    theme.set_appearance(appearance)
    cells = {state: cell(theme, state) for state in TaskInstanceState}
    lab = {
        state: [seen(QColor(image.pixel(x, y)), sight) for y in range(16) for x in range(16)]
        for state, image in cells.items()
    }
    too_close = []
    for one, other in itertools.combinations(TaskInstanceState, 2):
        apart = sum(
            sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) ** 0.5 > 10
            for p, q in zip(lab[one], lab[other], strict=True)
        )
        # At least a glyph's worth of pixels must differ clearly.
        if apart < 10:
            too_close.append((one.value, other.value, apart))
    assert too_close == []


@pytest.mark.parametrize("appearance", [Appearance.LIGHT, Appearance.DARK])
@pytest.mark.parametrize("state", list(TaskInstanceState))
def test_pills_and_icons_can_be_read(theme: Theme, appearance: Appearance, state: TaskInstanceState) -> None:
    theme.set_appearance(appearance)
    tone = theme.state_tone(state)
    assert contrast(tone.text, tone.ground) >= TEXT
    assert contrast(theme.state_ink(state), theme.tokens.surface) >= GRAPHIC


def test_unknown_states_are_shown_as_the_server_spells_them(theme: Theme) -> None:
    assert theme.state_label("paused_by_quota") == "Paused by quota"
    assert theme.state_color("paused_by_quota") == theme.state_color(None)
    assert theme.state_label(None) == "No status"
    assert theme.state_color(DagRunState.FAILED) == theme.state_color(TaskInstanceState.FAILED)


def test_a_change_of_appearance_is_told_once(theme: Theme) -> None:
    told: list[bool] = []
    theme.changed.connect(lambda: told.append(theme.is_dark))
    theme.set_appearance(Appearance.DARK)
    theme.set_appearance(Appearance.DARK)
    theme.set_appearance(Appearance.LIGHT)
    assert told == [True, False]


def test_it_follows_the_system_until_a_person_chooses(dressed: Theme) -> None:
    system = [Qt.ColorScheme.Dark]
    theme = Theme(system_scheme=lambda: system[0])
    assert theme.is_dark
    told: list[bool] = []
    theme.changed.connect(lambda: told.append(theme.is_dark))
    change = QGuiApplication.styleHints().colorSchemeChanged
    for scheme in (Qt.ColorScheme.Light, Qt.ColorScheme.Unknown, Qt.ColorScheme.Dark):
        system[0] = scheme
        change.emit(scheme)
    assert told == [False, True]
    theme.set_appearance(Appearance.LIGHT)
    change.emit(Qt.ColorScheme.Dark)
    assert told == [False, True, False]


def test_readable_moves_a_colour_only_as_far_as_needed() -> None:
    white, black = QColor("#FFFFFF"), QColor("#000000")
    assert readable(black, white, black) == black
    moved = readable(QColor("#EFB008"), white, black)
    assert TEXT <= contrast(moved, white) < TEXT + 1.5
    assert moved.hsvHue() == pytest.approx(QColor("#EFB008").hsvHue(), abs=3)


@pytest.mark.parametrize("role", list(FontRole))
def test_the_bundled_fonts_are_used(theme: Theme, role: FontRole) -> None:
    font = theme.font(role)
    assert QFontInfo(font).family() == font.family()
    assert QFontInfo(font).pixelSize() == font.pixelSize()


def test_an_unknown_font_role_is_refused(theme: Theme) -> None:
    with pytest.raises(ValueError, match="headline"):
        theme.font("headline")


@pytest.mark.parametrize("dpr", [1.0, 1.25, 1.5, 2.0])
def test_icons_have_the_size_of_the_display(icons: Icons, theme: Theme, dpr: float) -> None:
    pixmap = icons.pixmap("play", 16, theme.tokens.text_1, dpr)
    assert pixmap.width() == round(16 * dpr)
    assert pixmap.devicePixelRatio() == dpr
    assert pixmap.toImage().pixelColor(pixmap.width() // 2, 1).alpha() == 0


def test_every_bundled_icon_is_used() -> None:
    """What nobody shows is not shipped."""
    source = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "desktop").rglob("*.py")))
    names = sorted(path.stem for path in (ROOT / "assets" / "dagdeck_assets" / "icons").glob("*.svg"))
    assert names
    assert [name for name in names if f'"{name}"' not in source] == []


def test_every_icon_is_drawn(icons: Icons, theme: Theme) -> None:
    for name in ICONS.values():
        image = icons.pixmap(name, 18, theme.tokens.text_1, 1.0).toImage()
        assert any(image.pixelColor(x, y).alpha() > 128 for x in range(18) for y in range(18)), name


def test_glyphs_without_drawing_leave_the_cell_plain(theme: Theme) -> None:
    image = cell(theme, TaskInstanceState.SUCCESS)
    assert theme.state_glyph(TaskInstanceState.SUCCESS) is StateGlyph.PLAIN
    assert image.pixelColor(8, 8) == theme.state_color(TaskInstanceState.SUCCESS)
