from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adaspring.bundle import Bundle, Store, check_signature, load_bundle, make_keys, sign_bundle, version_name
from adaspring.errors import BundleCorruptError, BundleSignatureError, ConfigError, StoreError
from adaspring.space import SpaceSpec
from benchmarks.powercut import inconsistent_points

Make = Callable[[str], Path]


@pytest.fixture
def make(make_bundle: Callable[[SpaceSpec, Path], Bundle], small_spec: SpaceSpec, tmp_path: Path) -> Make:
    """Makes bundles of one model that differ in their version."""

    def made(version: str) -> Path:
        folder = tmp_path / f"bundle-{version}"
        make_bundle(small_spec, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"version": version}))
        return folder

    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "state" / "bundles" / "toy")


def install(store: Store, folder: Path, *, keep: int = 3) -> str:
    """Install without a signature."""
    return store.install(folder, keys=(), allow_unsigned=True, keep=keep)


def pointed(store: Store) -> tuple[str, str | None, bool]:
    """Current, previous, and whether on trial."""
    pointer = store.pointer()
    assert pointer is not None
    return pointer.current, pointer.previous, pointer.trial is not None


def test_installed_bundle_is_the_one_that_came(store: Store, make: Make) -> None:
    """What was installed is current and on trial, complete and unchanged."""
    folder = make("1.0")
    name = install(store, folder)
    assert (name, None, True) == pointed(store)
    assert load_bundle(folder).digest == store.verify(name, keys=(), allow_unsigned=True).digest
    assert version_name(load_bundle(folder)) == name


def test_commit_and_rollback(store: Store, make: Make) -> None:
    """A committed version is what a later rollback leads to; a version that failed its trial is not."""
    first = install(store, make("1"))
    store.commit()
    second = install(store, make("2"))
    assert (second, first, True) == pointed(store)
    third = install(store, make("3"))
    assert (third, first, True) == pointed(store)
    store.rollback()
    assert (first, None, False) == pointed(store)
    pointer = store.pointer()
    assert pointer is not None
    assert (third,) == pointer.failed


def test_rollback_of_the_first_leads_to_what_ships(store: Store, make: Make) -> None:
    """Without a version before, no pointer is left, and nothing more can be taken back."""
    install(store, make("1"))
    assert store.rollback() is None
    assert store.pointer() is None
    with pytest.raises(StoreError, match="shipped one is served"):
        store.rollback()


def test_nothing_is_done_to_another_version(store: Store, make: Make) -> None:
    """Who names a version that is not current any more changes nothing."""
    first = install(store, make("1"))
    second = install(store, make("2"))
    before = store.pointer()
    assert [before] * 3 == [store.rollback(first), store.commit(first), store.count(first, starts=1)]
    assert before == store.pointer()
    store.commit(second)
    assert (second, None, False) == pointed(store)


def test_changes_at_once_are_all_made(store: Store, make: Make) -> None:
    """Two who count, each with a store of their own as two processes have, lose none of what the other did."""
    name = install(store, make("1"))

    def count(_: int) -> None:
        Store(store.folder).count(starts=1)

    with ThreadPoolExecutor(2) as executor:
        list(executor.map(count, range(100)))
    pointer = store.pointer()
    assert pointer is not None
    assert pointer.trial is not None
    assert (name, 100) == (pointer.current, pointer.trial.starts)


def test_old_versions_leave(store: Store, make: Make) -> None:
    """Current and previous stay, and as many others as asked for."""
    names = []
    for version in "12345":
        names.append(install(store, make(version), keep=1))
        store.commit()
    assert sorted(names[2:]) == sorted(store.versions())


def test_power_may_fail_at_every_step(store: Store, make: Make, tmp_path: Path) -> None:
    """Whenever the power fails, the store holds the old state or the new one, and the attempt can be repeated."""
    install(store, make("1"), keep=0)
    store.commit()
    install(store, make("2"), keep=0)
    new = make("3")
    acts: dict[str, Callable[[Store], object]] = {
        "install": lambda cut: install(cut, new, keep=0),
        "rollback": lambda cut: cut.rollback() if len(cut.versions()) and pointed(cut)[1] else None,
        "commit": lambda cut: cut.commit(),
    }
    for name, act in acts.items():
        tested, wrong = inconsistent_points(store.folder, act, tmp_path / name)
        assert tested >= 6
        assert [] == wrong


def test_first_installation_may_be_cut_too(make: Make, tmp_path: Path) -> None:
    """Into an empty store: nothing is installed, or all of it."""
    folder = tmp_path / "empty" / "toy"
    folder.mkdir(parents=True)
    new = make("1")
    tested, wrong = inconsistent_points(folder, lambda cut: install(cut, new), tmp_path / "first")
    assert tested >= 20
    assert [] == wrong


def test_signature_decides(store: Store, make: Make, tmp_path: Path) -> None:
    """Signed by a trusted key it is installed; unsigned, by another key, or changed after signing it is not."""
    pytest.importorskip("cryptography", reason="signatures need the cryptography package")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for key in (ours, theirs):
        make_keys(key.with_suffix(".key"), key.with_suffix(".pub"))
    assert 0o600 == ours.with_suffix(".key").stat().st_mode & 0o777
    keys = [ours.with_suffix(".pub")]

    unsigned = make("1")
    with pytest.raises(BundleSignatureError, match="is not signed"):
        store.install(unsigned, keys=keys, allow_unsigned=False)
    sign_bundle(unsigned, theirs.with_suffix(".key"))
    for allow_unsigned in (False, True):
        with pytest.raises(BundleSignatureError, match="none of the 1 keys"):
            store.install(unsigned, keys=keys, allow_unsigned=allow_unsigned)
    sign_bundle(unsigned, ours.with_suffix(".key"))
    assert keys[0] == check_signature(unsigned, keys)
    name = store.install(unsigned, keys=keys, allow_unsigned=False)
    store.verify(name, keys=keys, allow_unsigned=False)
    manifest = unsigned / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(BundleSignatureError, match="it was changed"):
        check_signature(unsigned, keys)


def test_without_keys_nothing_is_signed(make: Make) -> None:
    """No key is trusted by default, and the message says what to configure."""
    with pytest.raises(BundleSignatureError, match=r"bundles\.keys"):
        check_signature(make("1"), [])


def test_bad_keys_are_named(make: Make, tmp_path: Path) -> None:
    """A key that is none, or of another kind, is told by its path; keys are never overwritten."""
    pytest.importorskip("cryptography", reason="signatures need the cryptography package")
    bad = tmp_path / "bad.pub"
    bad.write_text("no key")
    folder = make("1")
    (folder / "manifest.sig").write_bytes(bytes(64))
    with pytest.raises(ConfigError, match=r"bad\.pub"):
        check_signature(folder, [bad])
    with pytest.raises(ConfigError, match=r"bad\.pub"):
        sign_bundle(folder, bad)
    with pytest.raises(ConfigError, match="never overwritten"):
        make_keys(tmp_path / "new.key", bad)


def test_damage_behind_the_pointer_is_found(store: Store, make: Make) -> None:
    """A file that changed after the installation is named."""
    name = install(store, make("1"))
    file = store.path(name) / "card.md"
    file.write_bytes(b"other")
    with pytest.raises(BundleCorruptError, match=r"card\.md"):
        store.verify(name, keys=(), allow_unsigned=True)


def test_full_disk_is_told(make: Make, tmp_path: Path) -> None:
    """A store that cannot be written says so, and holds what it held."""
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "versions").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="cannot be written"):
        install(Store(folder), make("1"))


def test_unreadable_pointer_is_told(store: Store, make: Make) -> None:
    """The message says what brings the shipped bundle back."""
    install(store, make("1"))
    (store.folder / "pointer.json").write_text("{")
    with pytest.raises(StoreError, match="remove it to start with the shipped bundle"):
        store.pointer()


def test_files_belong_to_the_owner_of_the_state(store: Store, make: Make) -> None:
    """An operator who is root installs; the daemon, who is not, must be able to go on."""
    if os.geteuid() != 0:
        pytest.skip("only root can write for somebody else")
    state = store.folder.parent.parent
    state.mkdir()
    os.chown(state, 12345, 12345)
    made = Store(store.folder)
    name = install(made, make("1"))
    owners = {path.stat().st_uid for path in (made.folder, made.path(name), made.path(name) / "card.md")}
    assert {12345} == owners
