from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import platformdirs
import pytest
from filelock import FileLock

from headstart.errors import StoreError
from headstart.storage import checksums, locks
from headstart.storage import store as store_module
from headstart.storage.checksums import Depth, fault
from headstart.storage.files import disk_errors, write_atomic
from headstart.storage.locks import acquired, locked
from headstart.storage.store import Store, Verified, array_digest, cache_root, content_key, drop_file

A_MOMENT = 0.1  # seconds, after which the time of a file shows whether it changes again


def test_a_key_depends_on_every_value_and_not_on_the_order_of_keys() -> None:
    assert content_key({"a": 1, "b": [2.5, "x"]}) == content_key({"b": [2.5, "x"], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2}) != content_key({"a": "2"})


def test_an_entry_is_there_only_when_its_manifest_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.building("kind", "key") as entry:
        assert entry is not None
        (entry.path / "data").write_text("x")
        assert not store.has("kind", "key")
    assert store.has("kind", "key") and (store.path("kind", "key") / "data").read_text() == "x"
    with store.building("kind", "key") as entry:
        assert entry is None


def test_an_attempt_that_left_nothing_leaves_no_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="why"), store.building("kind", "key"):
        raise ValueError("why")
    assert list((tmp_path / "kind").iterdir()) == []


def test_what_an_interrupted_attempt_left_is_found_by_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.building("kind", "key") as entry:
        assert entry is not None
        (entry.path / "half").write_text("done so far")
        raise KeyboardInterrupt
    assert not store.has("kind", "key")
    with store.building("kind", "key") as entry:
        assert entry is not None and (entry.path / "half").read_text() == "done so far"


def test_a_second_builder_waits_and_then_finds_it_done(tmp_path: Path) -> None:
    store, order, begun = Store(tmp_path), [], threading.Event()

    def build(name: str, seconds: float) -> None:
        with store.building("kind", "key") as entry:
            order.append((name, entry is not None))
            begun.set()
            time.sleep(seconds)

    first = threading.Thread(target=build, args=("first", 0.2))
    first.start()
    assert begun.wait(60)
    build("second", 0)
    first.join()
    assert order == [("first", True), ("second", False)]


def test_pruning_deletes_what_was_used_longest_ago(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for age, key in enumerate(("old", "new")):
        with store.building("kind", key) as entry:
            assert entry is not None
            (entry.path / "data").write_bytes(b"x" * 1000)
        os.utime(store.path("kind", key) / "manifest.json", (1000 + age, 1000 + age))
    store.prune(1500)
    assert [row["key"] for row in store.entries()] == ["new"]


def test_a_full_disk_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the disk is full; free some space"), disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_atomic_write_leaves_no_part_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_atomic(path, "old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("headstart.storage.store.os.replace", fail)
    with pytest.raises(StoreError):
        write_atomic(path, json.dumps({"new": 1}))
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file.json"]


def fill(store: Store, kind: str, key: str, size: int = 0, used: float | None = None) -> Path:
    """Make an entry with one file of `size` bytes in a folder of its own."""
    with store.building(kind, key) as entry:
        assert entry is not None
        (entry.path / "deep").mkdir()
        (entry.path / "deep" / "data").write_bytes(b"x" * size)
    if used is not None:
        os.utime(store.path(kind, key) / "manifest.json", (used, used))
    return store.path(kind, key)


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", "~/mine")
    assert cache_root() == Path.home() / "mine"
    monkeypatch.delenv("HEADSTART_CACHE")
    assert cache_root() == platformdirs.user_cache_path("headstart", appauthor=False)


def test_keys_and_digests_never_change() -> None:
    """The figures are BLAKE2b of the bytes `{"a":1,"é":[2.5]}` and 01 02; another key would lose every cache."""
    assert content_key({"é": [2.5], "a": 1}) == "dbdca402c7086da9f39b27708c0e4061"
    assert array_digest(np.array([1, 2], dtype=np.uint8)) == "6e70bbd341ca5010128294a059c4f646"
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_key({"a": float("nan")})


def test_a_digest_follows_the_order_of_rows_and_not_of_memory() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert array_digest(np.asfortranarray(array)) == array_digest(array) == array_digest(array.ravel())
    assert array_digest(array.T) != array_digest(array)


def test_the_manifest_holds_the_facts_and_the_time_and_notes_each_use(tmp_path: Path) -> None:
    store, before = Store(tmp_path), time.time()
    with store.building("kind", "key") as entry:
        assert entry is not None and entry.path == tmp_path / "kind" / "key.partial"
        entry.manifest["rows"] = 3
    manifest = tmp_path / "kind" / "key" / "manifest.json"
    os.utime(manifest, (1000, 1000))
    found = store.manifest("kind", "key")
    assert found["rows"] == 3 and before <= found.pop("created") <= time.time() and set(found) == {"rows"}
    assert manifest.stat().st_mtime >= before - 1
    assert sorted(path.name for path in (tmp_path / "kind").iterdir()) == ["key"]  # neither lock nor partial folder


def test_a_store_that_cannot_note_a_use_still_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Store(tmp_path), "kind", "key")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    assert set(Store(tmp_path).manifest("kind", "key")) == {"created"}


def test_a_complete_entry_needs_no_lock_and_no_folder_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Store(tmp_path), "kind", "key")
    monkeypatch.setattr("headstart.storage.locks.FileLock", None)
    with Store(tmp_path).building("kind", "key") as entry:
        assert entry is None


def test_a_folder_without_its_manifest_is_built_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (fill(store, "kind", "key", 5) / "manifest.json").unlink()
    assert not store.has("kind", "key")
    assert (fill(store, "kind", "key", 7) / "deep" / "data").read_bytes() == b"x" * 7


def test_a_failed_build_frees_the_lock(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="key: the disk is full"), store.building("kind", "key"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not (tmp_path / "kind" / "key.lock").exists()
    with FileLock(str(tmp_path / "kind" / "key.lock"), timeout=0.5):
        pass


@pytest.mark.parametrize("message", ["waiting for another process", None])
def test_a_builder_that_waits_over_a_second_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, message: str | None
) -> None:
    (tmp_path / "kind").mkdir()
    held, impatient, patience = threading.Event(), threading.Event(), []

    def hold() -> None:
        with FileLock(str(tmp_path / "kind" / "key.lock")):
            held.set()
            impatient.wait(60)  # until the builder has waited in vain

    def noted(lock: FileLock, timeout: float) -> bool:
        patience.append(timeout)
        taken = acquired(lock, timeout)
        if not taken:
            impatient.set()
        return taken

    monkeypatch.setattr(locks, "acquired", noted)
    threading.Thread(target=hold).start()
    assert held.wait(60)
    with Store(tmp_path).building("kind", "key", wait_message=message) as entry:
        assert entry is not None
    assert patience == [1.0, -1]
    assert capsys.readouterr().err == (f"{message}\n" if message else "")


def test_entries_are_listed_with_all_their_bytes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    size = (fill(store, "b", "k2", 1000, used=50) / "manifest.json").stat().st_size
    (tmp_path / "a" / "k1.partial").mkdir(parents=True)
    os.utime(tmp_path / "a" / "k1.partial", (70, 70))
    (tmp_path / "file").touch()
    (tmp_path / "a" / "file").touch()
    assert store.entries() == [
        {"kind": "a", "key": "k1.partial", "bytes": 0, "used": 70, "complete": False},
        {"kind": "b", "key": "k2", "bytes": 1000 + size, "used": 50, "complete": True},
    ]


def test_removing_deletes_everything_and_twice_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    folder = fill(store, "kind", "key")
    with monkeypatch.context() as patch:
        patch.setattr("headstart.storage.files.shutil.rmtree", lambda *_, **__: None)
        store.remove("kind", "key")
        assert folder.is_dir() and not store.has("kind", "key")  # the manifest goes first
    for _ in range(2):
        store.remove("kind", "key")
        assert not folder.exists()


def test_pruning_begins_with_what_is_incomplete_and_stops_at_the_size(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for used, key in ((3.0, "new"), (2.0, "middle"), (1.0, "old")):
        fill(store, "kind", key, 1000, used)
    (tmp_path / "kind" / "half.partial").mkdir()
    (tmp_path / "kind" / "half.partial" / "data").write_bytes(b"x" * 500)
    sizes = {row["key"]: row["bytes"] for row in store.entries()}
    keep = sizes["new"] + sizes["middle"]
    assert store.prune(keep + sizes["old"]) == 500
    assert store.prune(keep) == sizes["old"]  # exactly as many bytes may remain
    assert sorted(row["key"] for row in store.entries()) == ["middle", "new"]
    assert store.prune(keep) == 0 and store.prune(keep - 1) == sizes["middle"]


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (
            lambda data, manifest: data.write_bytes(b"x" * 500 + bytes(500)),
            "deep/data has changed since it was written",
        ),
        (lambda data, manifest: data.write_bytes(b"x" * 999), "deep/data has 999 of 1,000 bytes"),
        (lambda data, manifest: data.write_bytes(b""), "deep/data has 0 of 1,000 bytes"),
        (lambda data, manifest: data.unlink(), "deep/data is missing"),
        (lambda data, manifest: manifest.write_text(manifest.read_text()[:-9]), "manifest.json is damaged"),
        (lambda data, manifest: manifest.write_text(""), "manifest.json is damaged"),
        (lambda data, manifest: manifest.write_bytes(bytes(100)), "manifest.json is damaged"),
        (
            lambda data, manifest: manifest.write_text(manifest.read_text().replace('"fact": 1', '"fact": 7')),
            "manifest.json is damaged",
        ),
        (lambda data, manifest: manifest.write_text('{"fact": 1, "created": 5}'), "or of an older version"),
    ],
)
def test_a_damaged_entry_is_built_again_with_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path, Path], None],
    why: str,
) -> None:
    store, folder = Store(tmp_path), tmp_path / "kind" / "key"
    for _ in range(2):  # the second time nothing is left to build
        with store.building("kind", "key") as entry:
            if entry is not None:
                (entry.path / "deep").mkdir()
                (entry.path / "deep" / "data").write_bytes(b"x" * 1000)
                entry.manifest["fact"] = 1
    assert entry is None and capsys.readouterr().err == ""
    harm(folder / "deep" / "data", folder / "manifest.json")
    monkeypatch.setattr("headstart.storage.store._checked", {})  # as in another process
    assert not store.has("kind", "key")
    said = capsys.readouterr().err
    assert said.startswith(f"{folder}: damaged (") and why in said and said.count("\n") == 1
    with pytest.raises(StoreError, match="was removed from the cache; run the command again"):
        store.manifest("kind", "key")
    fill(store, "kind", "key", 1000)
    assert store.has("kind", "key") and [path.name for path in (tmp_path / "kind").iterdir()] == ["key"]


def test_an_entry_in_the_place_of_another_is_not_taken_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    fill(store, "kind", "one", 5)
    fill(store, "kind", "two", 5).rename(tmp_path / "kind" / "three")
    assert not store.has("kind", "three") and "it is kind/two" in capsys.readouterr().err
    assert store.has("kind", "one")


def test_files_are_checked_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, looked = Store(tmp_path), []
    folder = fill(store, "kind", "key", 5)
    monkeypatch.setattr("headstart.storage.store._checked", {})  # as in another process
    time.sleep(A_MOMENT)
    check = fault
    monkeypatch.setattr(
        "headstart.storage.store.fault", lambda *given, **how: looked.append(given[0]) or check(*given, **how)
    )
    for _ in range(3):
        assert store.has("kind", "key") and store.manifest("kind", "key")
    assert looked == [folder]
    (folder / "deep" / "data").write_bytes(b"y" * 5)
    assert not store.has("kind", "key") and len(looked) == 3  # once more under the lock


def test_files_that_this_process_has_hashed_are_not_read_again_unless_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    with store.building("kind", "key") as entry:
        assert entry is not None
        (entry.path / "data").write_text("x")
        time.sleep(A_MOMENT)
    with monkeypatch.context() as patch:
        patch.setattr("headstart.storage.store.fault", lambda *given, **how: "it was read again")
        assert store.has("kind", "key")
    (store.path("kind", "key") / "data").write_text("y")
    assert not store.has("kind", "key")


@pytest.mark.parametrize(("before", "checked_again"), [(0.001, True), (1.001, False)])
def test_a_file_that_changed_a_moment_before_it_was_checked_is_checked_again(
    before: float, checked_again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    folder = fill(store, "kind", "key", 5)
    now = time.time()
    changed = int((now - before) * 1e9) | 1  # not a whole second, which a coarse clock gives
    monkeypatch.setattr("headstart.storage.settled.time", SimpleNamespace(time=lambda: now))
    monkeypatch.setattr("headstart.storage.store._checked", {})
    monkeypatch.setattr(
        "headstart.storage.store._stamps", lambda folder, names: [(1, 1), *((5, 1, changed, changed) for _ in names)]
    )  # as if the file changed twice in a tick of the clock
    assert store.has("kind", "key")
    (folder / "deep" / "data").write_bytes(b"y" * 5)
    assert store.has("kind", "key") is not checked_again


def test_facts_that_were_altered_just_now_are_not_given(tmp_path: Path) -> None:
    store = Store(tmp_path)
    manifest = fill(store, "kind", "key") / "manifest.json"
    time.sleep(A_MOMENT)
    assert store.has("kind", "key")
    manifest.write_text(manifest.read_text().replace('"created": 1', '"created": 2'))
    with pytest.raises(StoreError, match="has changed since it was written"):
        store.manifest("kind", "key")
    assert not store.has("kind", "key")


def test_facts_that_lost_their_seal_are_not_given(tmp_path: Path) -> None:
    store = Store(tmp_path)
    manifest = fill(store, "kind", "key") / "manifest.json"
    time.sleep(A_MOMENT)
    assert store.has("kind", "key")
    facts = {"entry": "kind/key", "files": json.loads(manifest.read_text())["files"]}
    manifest.write_text(json.dumps(facts).ljust(manifest.stat().st_size))  # as long, so its files count as checked
    with pytest.raises(StoreError, match="delete it to create it again"):
        store.manifest("kind", "key")


def test_an_entry_without_one_of_its_files_remains_complete(tmp_path: Path) -> None:
    folder = fill(Store(tmp_path), "kind", "key", 5)
    for _ in range(2):
        drop_file(folder, "deep/data")
        assert not (folder / "deep" / "data").exists() and Store(tmp_path).has("kind", "key")


@pytest.mark.parametrize("suffix", ["", ".partial"])
@pytest.mark.parametrize("leads_to", [None, "nowhere", "itself"])
def test_what_is_no_folder_does_not_block_an_entry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, leads_to: str | None
) -> None:
    store = Store(tmp_path)
    there = tmp_path / "kind" / f"key{suffix}"
    there.parent.mkdir()
    if leads_to is None:
        there.write_text("in the way")
    else:
        there.symlink_to(there.name if leads_to == "itself" else leads_to)
    with store.building("kind", "key") as entry:
        assert entry is not None
    assert store.has("kind", "key")
    assert capsys.readouterr().err == f"{there}: damaged (it is not a folder); it will be rebuilt\n"
    assert [path.name for path in there.parent.iterdir()] == ["key"]


def test_a_damaged_entry_that_is_a_link_is_replaced_and_what_it_leads_to_is_kept(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    (tmp_path / "kind").mkdir()
    (tmp_path / "kind" / "key").symlink_to(elsewhere)
    with Store(tmp_path).building("kind", "key") as entry:
        assert entry is not None
    assert Store(tmp_path).has("kind", "key") and not (tmp_path / "kind" / "key").is_symlink()
    assert [path.name for path in elsewhere.iterdir()] == ["mine"]


def test_what_an_attempt_that_died_had_half_written_is_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "kind" / "key.partial" / "deep").mkdir(parents=True)
    (tmp_path / "kind" / "key.partial" / "deep" / ".x.123-4.tmp").touch()
    with store.building("kind", "key") as entry:
        assert entry is not None and list((entry.path / "deep").iterdir()) == []
        (entry.path / ".y.123-4.tmp").touch()
    assert [path.name for path in (tmp_path / "kind" / "key").rglob("*")] == ["manifest.json", "deep"]


def test_the_files_are_on_the_disk_before_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    real, move = os.fsync, os.replace

    def name_of(descriptor: int) -> str:
        return Path(f"/proc/self/fd/{descriptor}").resolve().name

    monkeypatch.setattr(os, "fsync", lambda descriptor: (done.append(name_of(descriptor)), real(descriptor)))
    monkeypatch.setattr(os, "replace", lambda one, other: (done.append(f"-> {Path(other).name}"), move(one, other)))
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here")
    fill(Store(tmp_path), "kind", "key", 5)
    manifest = next(name for name in done if name.startswith(".manifest"))
    assert done == ["data", manifest, "-> manifest.json", "deep", "key.partial", "-> key", "kind"]


def test_pruning_leaves_what_is_being_built_and_what_is_in_use(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in ("used", "unused"):
        fill(store, "kind", key, 10, used=1000)
    with store.in_use(), store.building("kind", "half") as entry:
        assert entry is not None
        os.utime(entry.path, (1000, 1000))
        assert store.has("kind", "used")
        store.prune(0)
        assert sorted(row["key"] for row in store.entries()) == ["half.partial", "used"]
        (entry.path / "data").touch()
    store.prune(0)
    assert store.entries() == []


def test_an_entry_that_is_used_while_it_is_being_pruned_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    folder = fill(store, "kind", "key", 10, used=1000)
    move = os.replace

    def used_just_before(one: Path, other: Path) -> None:
        if one == folder / "manifest.json":
            assert store.has("kind", "key")
        move(one, other)

    monkeypatch.setattr(os, "replace", used_just_before)
    assert store.prune(0) == 0 and store.has("kind", "key")


def test_facts_that_prune_has_in_its_hands_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = fill(Store(tmp_path), "kind", "key") / "manifest.json"
    facts = Store(tmp_path).manifest("kind", "key")
    os.replace(manifest, manifest.with_suffix(".pruned"))

    @contextmanager
    def once_put_back(lock: Path) -> Iterator[None]:
        assert lock == tmp_path / "kind" / "key.lock"
        os.replace(manifest.with_suffix(".pruned"), manifest)
        yield

    monkeypatch.setattr(store_module, "locked", once_put_back)
    assert Store(tmp_path).manifest("kind", "key") == facts


def test_what_another_process_deletes_during_a_check_counts_as_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    fill(store, "kind", "key")

    def deleted_meanwhile(self: Store, kind: str, key: str, depth: Depth) -> str:
        store.remove(kind, key)
        return "a file is missing"

    monkeypatch.setattr(Store, "damage", deleted_meanwhile)
    assert list(store.verify()) == [Verified("kind", "key", "a file is missing", True)]
    assert capsys.readouterr().err == ""


def test_every_byte_is_checked_when_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    for key in ("good", "last", "bad"):
        fill(store, "kind", key, 10)
    (tmp_path / "kind" / "half.partial").mkdir()
    assert store.has("kind", "bad")
    state = (tmp_path / "kind" / "bad" / "deep" / "data").stat()
    (tmp_path / "kind" / "bad" / "deep" / "data").write_bytes(b"y" * 10)
    os.utime(tmp_path / "kind" / "bad" / "deep" / "data", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    why, sound = "deep/data has changed since it was written", [("kind", key, None, False) for key in ("good", "last")]
    with locked(tmp_path / "kind" / "bad.lock"):
        assert list(store.verify()) == [("kind", "bad", why, False), *sound]
    assert "not deleted" in capsys.readouterr().err and (tmp_path / "kind" / "bad").exists(), "a builder holds its lock"
    assert list(store.verify()) == [Verified("kind", "bad", why, True), *sound]
    assert capsys.readouterr().err == f"{tmp_path / 'kind' / 'bad'}: damaged ({why}); deleted\n"
    assert not (tmp_path / "kind" / "bad").exists()
    time.sleep(A_MOMENT)
    assert list(store.verify()) == sound and store.has("kind", "good")


def test_damage_that_cannot_be_deleted_does_not_end_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    for key in ("a", "b"):
        (fill(store, "kind", key) / "deep" / "data").write_bytes(b"y" * 10)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", refused)
    assert [(each.key, each.deleted) for each in store.verify()] == [("a", False), ("b", False)]


def test_what_dead_processes_left_is_cleared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, "kind", "key")
    (tmp_path / "kind" / "dead.lock").touch()
    (tmp_path / ".at-work").mkdir()
    (tmp_path / ".at-work" / "dead-1-1.lock").touch()
    (tmp_path / "kind" / ".key.dead-1.tmp").mkdir()
    (tmp_path / "kind" / "key" / ".manifest.json.dead-2.tmp").touch()
    with store.building("kind", "other"):
        store.clear()
        assert sorted(path.name for path in (tmp_path / "kind").iterdir()) == ["key", "other.lock", "other.partial"]
    assert [path.name for path in tmp_path.iterdir()] == ["kind"]
    assert sorted(path.name for path in (tmp_path / "kind" / "key").iterdir()) == ["deep", "manifest.json"]


def test_an_entry_that_is_read_as_a_whole_is_checked_in_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, size in (("BLOCK", 10), ("LARGE", 100), ("_SAMPLE", 2)):  # the first block and the last
        monkeypatch.setattr(checksums, name, size)
    store, depths = Store(tmp_path), []
    folder = fill(store, "kind", "key", 500)
    monkeypatch.setattr("headstart.storage.store._checked", {})  # as in another process
    time.sleep(A_MOMENT)
    monkeypatch.setattr(
        "headstart.storage.store.fault",
        lambda folder, files, depth: depths.append(depth) or fault(folder, files, depth),
    )
    assert store.here("kind", "key") and depths == [Depth.SAMPLE]
    for _ in range(2):
        store.check("kind", "key")
        assert store.here("kind", "key") and depths == [Depth.SAMPLE, Depth.BLOCKS]
    store.check("kind", "absent")
    (folder / "deep" / "data").write_bytes(b"x" * 250 + b"y" + b"x" * 249)
    assert store.here("kind", "key")  # the damage is in none of the blocks of the sample
    store.check("kind", "key")
    assert not folder.exists()
    assert (
        f"{folder}: damaged (deep/data has changed since it was written); it will be rebuilt" in capsys.readouterr().err
    )
