"""Signed bundles: keys and their files, whom a worker trusts, and what it refuses by name."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagdeck_core.errors import UserError
from dagdeck_core.ports import BundleFile, BundleSignature, KeySuccession
from dagdeck_io.bundles import signing
from dagdeck_io.bundles.manifest import make_manifest
from dagdeck_io.bundles.signing import SigningKey
from dagdeck_io.bundles.trust import TRUSTED_FILE, BundleRefused, BundleTrust
from dagdeck_io.db import migrations
from dagdeck_io.db.bundle_store import SqlBundleStore
from dagdeck_io.db.engine import open_database
from dagdeck_io.secrets import generate_key
from dagdeck_io.settings import load_settings
from dagdeckd.bundle_keys import NEXT_FILE, BundleKeys
from dagdeckd.cli import dagdeckd
from dagdeckd.given_settings import GivenSettings

BUNDLE = ("dags", "a" * 64)
MASTER, OTHER, THIRD = (SigningKey.make() for _ in range(3))


def check(
    trust: BundleTrust,
    *signers: SigningKey,
    successions: Sequence[KeySuccession] = (),
    bundle: tuple[str, str] = BUNDLE,
) -> None:
    trust.check(*bundle, [key.sign(*bundle) for key in signers], lambda: successions)


# ---------------------------------------------------------------- keys


def test_a_signature_holds_for_its_key_its_bundle_and_nothing_else() -> None:
    signature = MASTER.sign(*BUNDLE)
    assert signing.is_signed(*BUNDLE, signature)
    assert not signing.is_signed("dags", "b" * 64, signature)
    assert not signing.is_signed("other", "a" * 64, signature)
    assert not signing.is_signed(*BUNDLE, BundleSignature(public_key=OTHER.public_key, signature=signature.signature))
    announced = MASTER.announce(OTHER.public_key)
    assert signing.is_announced(announced)
    turned = KeySuccession(old_key=announced.old_key, new_key=THIRD.public_key, signature=announced.signature)
    assert not signing.is_announced(turned)
    for junk in ("", "é", "AAAA", "=" * 44, announced.signature):
        assert not signing.is_signed(*BUNDLE, BundleSignature(public_key=junk, signature=signature.signature))
        if junk != announced.signature:
            assert not signing.is_signed(*BUNDLE, BundleSignature(public_key=MASTER.public_key, signature=junk))


def test_the_key_is_made_once_kept_private_and_published_beside(tmp_path: Path) -> None:
    home = tmp_path / "home"
    key = signing.signing_key_of(home, "")
    assert stat.S_IMODE((home / signing.KEY_FILE).stat().st_mode) == 0o600
    assert signing.read_public_file(home / signing.PUBLIC_FILE) == (key.public_key,)
    assert signing.signing_key_of(home, "").public_key == key.public_key
    assert signing.signing_key_of(tmp_path / "elsewhere", key.as_text()).public_key == key.public_key
    assert not (tmp_path / "elsewhere").exists()
    signing.signing_key_of(home, OTHER.as_text())
    assert signing.read_public_file(home / signing.PUBLIC_FILE) == (OTHER.public_key,), "no worker trusts the old one"


def test_a_bad_key_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=signing.FIELD) as caught:
        signing.signing_key_of(tmp_path, "no-key-but-secret")
    assert "no-key-but-secret" not in str(caught.value)
    signing.signing_key_of(tmp_path, "")
    (tmp_path / signing.KEY_FILE).chmod(0o640)
    with pytest.raises(UserError, match="other users may read"):
        signing.signing_key_of(tmp_path, "")


# ---------------------------------------------------------------- trust


def test_pinned_keys_are_all_that_counts(tmp_path: Path) -> None:
    trust = BundleTrust(tmp_path, [MASTER.public_key])
    check(trust, MASTER)
    check(trust, OTHER, MASTER)
    with pytest.raises(BundleRefused, match=r"security\.bundle_keys") as caught:
        check(trust, OTHER, successions=[MASTER.announce(OTHER.public_key)])
    for each in (MASTER, OTHER):
        assert signing.fingerprint(each.public_key) in str(caught.value)
    assert not caught.value.transient
    assert list(tmp_path.iterdir()) == []


def test_a_master_of_the_same_state_folder_is_trusted_without_being_told(tmp_path: Path) -> None:
    key = signing.signing_key_of(tmp_path, "")
    check(BundleTrust(tmp_path), key)
    with pytest.raises(BundleRefused):
        check(BundleTrust(tmp_path), OTHER)
    assert not (tmp_path / TRUSTED_FILE).exists()


def test_the_first_key_is_trusted_and_remembered(tmp_path: Path) -> None:
    home = tmp_path / "home"
    check(BundleTrust(home), MASTER)
    check(BundleTrust(home), MASTER, bundle=("dags", "b" * 64))
    with pytest.raises(BundleRefused, match=TRUSTED_FILE):
        check(BundleTrust(home), OTHER)
    assert stat.S_IMODE((home / TRUSTED_FILE).stat().st_mode) == 0o600


def test_an_announced_key_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    trust = BundleTrust(tmp_path)
    check(trust, MASTER)
    chain = [MASTER.announce(OTHER.public_key), OTHER.announce(THIRD.public_key)]
    check(trust, THIRD, successions=chain)
    with pytest.raises(BundleRefused):
        check(trust, MASTER, successions=chain)
    evil = SigningKey.make()
    with pytest.raises(BundleRefused):
        check(trust, evil, successions=[MASTER.announce(evil.public_key), *chain])
    check(BundleTrust(tmp_path), THIRD)


def test_announcements_that_nobody_signed_or_that_go_in_circles_lead_nowhere(tmp_path: Path) -> None:
    trust = BundleTrust(tmp_path)
    check(trust, MASTER)
    forged = KeySuccession(
        old_key=MASTER.public_key,
        new_key=OTHER.public_key,
        signature=OTHER.announce(OTHER.public_key).signature,
    )
    circle = [MASTER.announce(THIRD.public_key), THIRD.announce(MASTER.public_key)]
    for announced in ([forged], circle):
        with pytest.raises(BundleRefused):
            check(trust, OTHER, successions=announced)


def test_unsigned_and_wrongly_signed_bundles_are_refused_by_name(tmp_path: Path) -> None:
    wrong = BundleSignature(public_key=MASTER.public_key, signature=MASTER.sign("dags", "b" * 64).signature)
    for trust in (BundleTrust(tmp_path), BundleTrust(tmp_path, [MASTER.public_key])):
        with pytest.raises(BundleRefused, match="dags aaaaaaaaaaaaaaaa is not signed"):
            check(trust)
        with pytest.raises(BundleRefused, match="dags aaaaaaaaaaaaaaaa has a wrong signature"):
            trust.check(*BUNDLE, [wrong], lambda: ())
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- the master's commands


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """The command line's options for a database of its own."""
    home = tmp_path / "master"
    home.mkdir(mode=0o700)
    migrations.upgrade(f"sqlite:///{home / 'dagdeck.db'}")
    return ["--set", f"paths.home={home}", "--set", f"security.secret_key={generate_key()}"]


def keys_of(given: list[str], store: SqlBundleStore) -> BundleKeys:
    return BundleKeys(settings=GivenSettings(None, tuple(given[1::2])).settings(), store=store)


def put(store: SqlBundleStore, text: bytes) -> str:
    from hashlib import sha256

    file = BundleFile(path="a.py", sha256=sha256(text).hexdigest(), size=len(text))
    manifest = make_manifest("dags", [file])
    store.put(manifest, lambda path: text)
    return manifest.version


def run(given: list[str], *arguments: str) -> str:
    done = CliRunner().invoke(dagdeckd, [*given, "bundle-keys", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_rotation_leaves_every_worker_able_to_run_what_was_signed(given: list[str], tmp_path: Path) -> None:
    settings = GivenSettings(None, tuple(given[1::2])).settings()
    database = open_database(settings.database.url, key=settings.security.secret_key)
    try:
        store = database.bundle_store()
        keys = keys_of(given, store)
        signed, planted = put(store, b"signed"), put(store, b"planted")
        old = keys.current()
        store.sign("dags", signed, old.sign("dags", signed))
        worker = BundleTrust(tmp_path / "worker")
        worker.check("dags", signed, store.signatures("dags", signed), store.successions)
        assert "not signed   1 of 2" in run(given, "show")
        # An attempt that was interrupted after its announcement goes on with the same key.
        signing.write_new(settings.paths.home / NEXT_FILE, THIRD.as_text())
        store.announce(old.announce(THIRD.public_key))
        assert THIRD.public_key in run(given, "rotate")
        assert keys.current().public_key == THIRD.public_key
        assert signing.read_public_file(settings.paths.home / signing.PUBLIC_FILE) == (THIRD.public_key,)
        assert not (settings.paths.home / NEXT_FILE).exists()
        fresh = BundleTrust(tmp_path / "fresh", [THIRD.public_key])
        for trust in (worker, fresh):
            trust.check("dags", signed, store.signatures("dags", signed), store.successions)
            with pytest.raises(BundleRefused, match="not signed"):
                trust.check("dags", planted, store.signatures("dags", planted), store.successions)
        assert "1 bundles" in run(given, "sign-stored", "--yes")
        fresh.check("dags", planted, store.signatures("dags", planted), store.successions)
    finally:
        database.close()


def test_a_key_of_the_settings_is_not_rotated_behind_their_back(given: list[str], tmp_path: Path) -> None:
    settings = load_settings(overrides={"paths.home": str(tmp_path), "security.bundle_signing_key": MASTER.as_text()})
    database = open_database(f"sqlite:///{tmp_path / 'master' / 'dagdeck.db'}", key=generate_key())
    try:
        with pytest.raises(UserError, match=signing.FIELD):
            BundleKeys(settings=settings, store=database.bundle_store()).rotate()
    finally:
        database.close()
