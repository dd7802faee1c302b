"""A packaged program hands other programs the environment that it was started in."""

from __future__ import annotations

import pytest

from dagdeck_core.bundled import original_environment

BUNDLE = "/opt/dagdeck/_internal"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"LD_LIBRARY_PATH": BUNDLE}, {}),
        ({"LD_LIBRARY_PATH": BUNDLE, "LD_LIBRARY_PATH_ORIG": "/lib/mine"}, {"LD_LIBRARY_PATH": "/lib/mine"}),
        ({"LD_LIBRARY_PATH": f"{BUNDLE}:/lib/mine", "LD_LIBRARY_PATH_ORIG": ""}, {}),
        ({"LD_LIBRARY_PATH": "/lib/mine"}, {"LD_LIBRARY_PATH": "/lib/mine"}),
        ({"_PYI_ARCHIVE_FILE": "x", "_MEIPASS2": "y", "HOME": "/root"}, {"HOME": "/root"}),
    ],
)
def test_the_bundles_traces_are_removed(given: dict[str, str], wanted: dict[str, str]) -> None:
    once = original_environment(given, BUNDLE)
    assert once == wanted
    assert original_environment(once, BUNDLE) == wanted


def test_without_a_bundle_nothing_is_touched() -> None:
    given = {"LD_LIBRARY_PATH": "/a", "LD_LIBRARY_PATH_ORIG": "/b", "_PYI_X": "1"}
    assert original_environment(given, None) == given
