from __future__ import annotations

import errno
import json
import threading
import time
from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.storage.files import disk_errors, write_atomic
from headstart.storage.store import Store, content_key


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
    store, order = Store(tmp_path), []

    def build(name: str, seconds: float) -> None:
        with store.building("kind", "key") as entry:
            order.append((name, entry is not None))
            time.sleep(seconds)

    first = threading.Thread(target=build, args=("first", 0.5))
    first.start()
    time.sleep(0.1)
    build("second", 0)
    first.join()
    assert order == [("first", True), ("second", False)]


def test_pruning_deletes_what_was_used_longest_ago(tmp_path: Path) -> None:
    import os

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
