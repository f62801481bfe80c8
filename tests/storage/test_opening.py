"""Stores by their addresses, and files of entries whose store has moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.storage.opening import default_store, default_store_in_use, found_again, open_store
from headstart.storage.presence import since
from headstart.storage.remote import RemoteStore
from headstart.storage.store import Store

KEY = "0123456789abcdef" * 2


def test_a_path_is_a_folder_and_an_address_is_shared(own_store: Path, tmp_path: Path) -> None:
    assert open_store(tmp_path) == Store(tmp_path)
    assert open_store("~/cache") == Store(Path.home() / "cache")
    shared = open_store("memory://bucket/prefix")
    assert isinstance(shared, RemoteStore) and shared.root == own_store


def test_the_default_is_the_cache_or_the_remote_in_front_of_it(
    own_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HEADSTART_REMOTE", raising=False)
    assert default_store() == Store(own_store)
    monkeypatch.setenv("HEADSTART_REMOTE", str(tmp_path / "shared"))
    assert default_store() == Store(tmp_path / "shared")


def test_the_default_store_is_in_use_while_the_block_or_the_decorated_function_runs(own_store: Path) -> None:
    with default_store_in_use() as store:
        assert store == default_store() and since(own_store) is not None
    assert since(own_store) is None

    @default_store_in_use()
    def began() -> float | None:
        return since(own_store)

    assert began() is not None and began() is not None  # each time anew
    assert since(own_store) is None


def test_a_file_is_found_in_the_default_store_by_its_last_three_parts(own_store: Path, tmp_path: Path) -> None:
    old = tmp_path / "gone" / "features" / KEY / "x.npy"
    assert found_again(old) == old  # no such entry here either
    with default_store().building("features", KEY) as entry:
        assert entry is not None
        (entry.path / "x.npy").write_bytes(b"new")
    assert found_again(old) == own_store / "features" / KEY / "x.npy"
    assert found_again(Path("features") / KEY / "x.npy") == Path("features") / KEY / "x.npy"  # under four parts


def test_a_file_that_is_still_there_is_not_searched_for(own_store: Path, tmp_path: Path) -> None:
    with default_store().building("features", KEY) as entry:
        assert entry is not None
    old = tmp_path / "features" / KEY / "x.npy"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    assert found_again(old) == old


def test_a_folder_that_is_not_a_key_is_not_searched_for(own_store: Path) -> None:
    with default_store().building("runs", "mine") as entry:
        assert entry is not None
    path = Path("/gone/runs/mine/x.npy")
    assert found_again(path) == path


def test_a_cache_that_is_a_file_is_refused_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="file: the cache is a file; set HEADSTART_CACHE to a folder"):
        default_store()


def test_a_place_that_cannot_be_a_folder_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file: this store is a file; give a folder"):
        open_store(tmp_path / "file")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        StoreError, match=r"cannot create the cache there \(Not a directory\); set HEADSTART_CACHE to a folder"
    ):
        default_store()
