from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.storage.files import write_atomic
from headstart.storage.locks import locked
from headstart.storage.pinned import make_folder, pinned
from headstart.storage.presence import at_work


def _lock(path: Path) -> None:
    with locked(path):
        pass


def _replaced(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()


WRITES: dict[str, Callable[[Path], object]] = {
    "a folder": make_folder,
    "a file": lambda path: write_atomic(path / "a.json", "{}"),
    "a lock": _lock,
}
MOVES: dict[str, Callable[[Path], object]] = {
    "renamed": lambda folder: folder.rename(folder.with_name("elsewhere")),
    "its parent renamed": lambda folder: folder.parent.rename(folder.parent.with_name("elsewhere")),
    "deleted with its parent": lambda folder: shutil.rmtree(folder.parent),
    "another one in its place": _replaced,
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("move", MOVES)
def test_a_pinned_folder_that_was_moved_is_not_made_again(tmp_path: Path, move: str, write: str) -> None:
    folder = tmp_path / "out" / "study"
    folder.mkdir(parents=True)
    with pytest.raises(StoreError, match="out/study: was moved, renamed or deleted"), pinned(folder):
        WRITES[write](folder / "runs" / "a")
        MOVES[move](folder)
        with pytest.raises(StoreError, match="was moved"):
            WRITES[write](folder / "runs" / "b")
    assert not folder.exists() or not any(folder.iterdir())
    WRITES[write](folder / "runs" / "b")  # what follows the block is free to make it


def test_whatever_follows_from_a_move_is_told_as_the_move_and_nothing_else_is(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    with pytest.raises(FileNotFoundError), pinned(folder):
        (folder / "absent").read_text()
    with pytest.raises(StoreError, match="was moved"), pinned(folder):
        (folder / "present").touch()
        folder.rename(tmp_path / "elsewhere")
        (folder / "present").read_text()
    (tmp_path / "elsewhere").rename(folder)
    with pytest.raises(StoreError, match="was moved"), pinned(folder):
        folder.rename(tmp_path / "elsewhere")  # and nothing fails


def test_a_folder_is_the_same_by_its_inode_or_by_the_file_of_this_process(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    with at_work(folder, pin=True):
        for lock in (folder / ".at-work").iterdir():
            lock.unlink()  # as where two processes can hold the same lock
        make_folder(folder / "a")
    with at_work(folder, pin=True):
        shutil.copytree(folder, tmp_path / "copy")  # as where the disk gives it another inode
        shutil.rmtree(folder)
        (tmp_path / "copy").rename(folder)
        make_folder(folder / "b")


def test_a_process_that_works_in_a_moved_folder_leaves_nothing_in_the_old_place(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "study"
    with pytest.raises(StoreError, match="was moved"), at_work(folder, pin=True):
        (tmp_path / "out").rename(tmp_path / "elsewhere")
        with at_work(folder):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere"]
