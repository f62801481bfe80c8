"""Walking a folder: every file, hidden ones and circles of links left out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headstart.data.sources.folders import folder_tree, walk
from headstart.errors import DataError

links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("b/c/z.png", "b/y.png", "x.png", ".hidden/w.png", "b/.DS_Store"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_bytes(name.encode())
    return tmp_path / "root"


def test_files_are_relative_to_the_root_and_hidden_ones_are_left_out(root: Path) -> None:
    assert sorted(walk(root)) == ["b/c/z.png", "b/y.png", "x.png"]


def test_a_tree_reads_its_files(root: Path) -> None:
    tree = folder_tree(root)
    assert tree.path == root and sorted(tree.files) == ["b/c/z.png", "b/y.png", "x.png"]
    assert tree.reader(["b/y.png"]).read(0) == b"b/y.png"


def test_folders_without_files_are_named(root: Path) -> None:
    for name in ("cat", "b/dog", "hidden/.cache"):
        (root / name).mkdir(parents=True)
    assert folder_tree(root).empty == ("b/dog", "cat", "hidden")
    assert folder_tree(root / "cat").empty == (), "the root is no class"


@links
def test_a_linked_folder_is_followed_once(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "v.png").touch()
    (root / "link1").symlink_to(outside)
    (root / "link2").symlink_to(outside)
    (root / "b" / "up").symlink_to(root)
    files = list(walk(root))
    assert sum(name.endswith("v.png") for name in files) == 1
    assert len(files) < 10  # the link to the root ends after one more round


@links
def test_a_linked_file_is_a_file(root: Path) -> None:
    (root / "b" / "again.png").symlink_to(root / "x.png")
    assert "b/again.png" in set(walk(root))


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: the folder cannot be read"):
        list(walk(tmp_path / "nowhere"))
