"""What is kept in files: profiles, settings; and that broken files never keep the window from opening."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import msgspec
import pytest
from pytestqt.qtbot import QtBot

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_desktop.profiles import ClusterKind, Profile, ProfileStore
from dagdeck_desktop.settings import SettingsStore, standard_places
from dagdeck_desktop.theme import Appearance


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist, in a folder that does not exist."""
    return tmp_path / "config" / "dagdeck" / "file.json"


def test_profiles_are_kept_in_order_and_private(qtbot: QtBot, path: Path) -> None:
    store = ProfileStore(path)
    first = Profile(name=" Production ", url="https://a", kind=ClusterKind.AIRFLOW, username="ada")
    second = Profile(name="Test", url="https://b")
    with qtbot.waitSignals([store.changed, store.changed]):
        store.save(first)
        store.save(second)
    again = ProfileStore(path)
    assert again.all() == (msgspec.structs.replace(first, name="Production"), second)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.save(msgspec.structs.replace(first, name="Prod"))
    store.delete(second.profile_id)
    store.delete("not there")
    assert [profile.name for profile in ProfileStore(path).all()] == ["Prod"]


def test_no_secret_is_written_with_a_profile(path: Path) -> None:
    assert not {"token", "password"} & {field.name for field in msgspec.structs.fields(Profile)}


def test_names_are_distinct(path: Path) -> None:
    store = ProfileStore(path)
    store.save(Profile(name="Production", url="https://a"))
    with pytest.raises(UserError, match="another cluster has this name"):
        store.save(Profile(name="production", url="https://b"))
    with pytest.raises(UserError, match="empty"):
        store.save(Profile(name="  ", url="https://b"))
    assert store.free_name("Production") == "Production 2"
    assert store.free_name("Other") == "Other"


@pytest.mark.parametrize("content", [b"{", b"null", b'[{"name": 3}]', b"\xff\xff"])
def test_broken_profiles_are_set_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    store = ProfileStore(path)
    assert store.all() == ()
    store.save(Profile(name="A", url="https://a"))
    assert path.with_suffix(".broken.json").read_bytes() == content


def test_a_folder_that_cannot_be_written_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    store = ProfileStore(blocked / "profiles.json")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        store.save(Profile(name="A", url="https://a"))
    assert store.all() == ()


def test_settings_are_written_after_a_moment_and_read_again(qtbot: QtBot, path: Path) -> None:
    store = SettingsStore(path)
    store.change(appearance=Appearance.DARK, window=b"\x00\xff")
    qtbot.waitUntil(path.exists, timeout=3_000)
    again = SettingsStore(path).now
    assert (again.appearance, again.window, again.connect_at_start) == (Appearance.DARK, b"\x00\xff", True)


def test_only_real_changes_are_told(qtbot: QtBot, path: Path) -> None:
    store = SettingsStore(path)
    with qtbot.assertNotEmitted(store.changed, wait=20):
        store.change(times_in_utc=False)
    with qtbot.waitSignal(store.changed):
        store.change(times_in_utc=True)
    with pytest.raises(TypeError):
        store.change(no_such_setting=1)


@pytest.mark.parametrize("content", ["{", '{"appearance": "sepia"}', "[]"])
def test_broken_settings_become_defaults(qtbot: QtBot, path: Path, content: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert SettingsStore(path).now.appearance is Appearance.SYSTEM


def test_settings_of_a_newer_desktop_are_passed_over(qtbot: QtBot, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"appearance": "light", "holograms": True}))
    assert SettingsStore(path).now.appearance is Appearance.LIGHT


def test_files_stand_where_the_system_wants_them(own_folders: Path) -> None:
    places = standard_places()
    assert own_folders in places.settings.parents
    assert own_folders in places.log.parents
    assert len({places.settings, places.profiles, places.pins, places.log, places.local_cluster_log}) == 5
