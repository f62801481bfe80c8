"""The folders that are searched for a dataset by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data.sources.places import data_dir, find_local, places


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADSTART_DATA", "HEADSTART_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_downloads_go_to_the_cache_unless_a_folder_is_set(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_dir() == own_store / "datasets" and places() == [own_store / "datasets"]
    monkeypatch.setenv("HEADSTART_DATA_DIR", "~/pictures")
    assert data_dir() == Path.home() / "pictures"


def test_the_users_folder_is_searched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("HEADSTART_DATA_DIR", str(tmp_path / "downloads"))
    assert places() == [tmp_path / "own", tmp_path / "downloads"]
    assert find_local("flowers") is None
    (tmp_path / "downloads" / "flowers").mkdir(parents=True)
    assert find_local("flowers") == tmp_path / "downloads" / "flowers"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "flowers.zip").touch()
    assert find_local("flowers", "flowers.zip") == tmp_path / "own" / "flowers.zip"  # folder before name
    (tmp_path / "own" / "flowers").mkdir()
    assert find_local("flowers.zip", "flowers") == tmp_path / "own" / "flowers.zip"  # names in order
