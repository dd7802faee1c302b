"""The vault and its key file."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.secrets import Vault, generate_key, load_or_make_key_file


@pytest.mark.parametrize("text", ["", "secret", "ü🎉\0", "\udce9"])
def test_text_comes_back_and_is_not_readable(text: str) -> None:
    vault = Vault(generate_key())
    stored = vault.encrypt(text)
    assert vault.decrypt(stored) == text
    assert stored.isascii()
    assert not text or text not in stored
    assert vault.encrypt(text) != stored


def test_keys_are_rotated() -> None:
    old, new = generate_key(), generate_key()
    stored = Vault(old).encrypt("x")
    both = Vault(f"{new}, {old}")
    assert both.decrypt(stored) == "x"
    rotated = both.rotate(stored)
    assert rotated is not None
    assert Vault(new).decrypt(rotated) == "x"
    assert both.rotate(rotated) is None
    for call in (lambda: Vault(new).decrypt(stored), lambda: Vault(new).rotate(stored)):
        with pytest.raises(EnvironmentFault, match="does not have"):
            call()


@pytest.mark.parametrize("damaged", ["", "plain text", "ü"])
def test_damaged_text_is_told(damaged: str) -> None:
    with pytest.raises(EnvironmentFault):
        Vault(generate_key()).decrypt(damaged)


@pytest.mark.parametrize("keys", ["", " , ", "short", "ü" * 44])
def test_malformed_keys_are_told_without_showing_them(keys: str) -> None:
    with pytest.raises(UserError) as error:
        Vault(keys)
    assert error.value.field == "security.secret_key"
    assert "short" not in str(error.value)


def test_second_key_may_be_the_malformed_one() -> None:
    with pytest.raises(UserError, match="key number 2"):
        Vault(f"{generate_key()},x")


def test_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "home" / "secret.key"
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(load_or_make_key_file(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secret.key"]
    assert Vault(found[0]).decrypt(Vault(load_or_make_key_file(path)).encrypt("x")) == "x"


def test_open_key_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    load_or_make_key_file(path)
    path.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        load_or_make_key_file(path)


def test_unusable_key_files_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    with pytest.raises(EnvironmentFault, match="cannot be used"):
        load_or_make_key_file(folder)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    with pytest.raises(UserError, match="no key file"):
        load_or_make_key_file(binary)
