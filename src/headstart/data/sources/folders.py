"""A folder of class folders, with or without train, validation and test above them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from headstart.data.readers import FileReader
from headstart.data.sources.layout import Tree
from headstart.errors import DataError


def folder_tree(root: Path) -> Tree:
    """Return the files under a folder.

    Raises:
        DataError: the folder is absent or unreadable.
    """
    empty: list[str] = []
    files = list(walk(root, empty=empty))
    return Tree(root, files, lambda paths: FileReader(root, paths), tuple(sorted(empty)))


def walk(root: Path, unread: list[DataError] | None = None, empty: list[str] | None = None) -> Iterator[str]:
    """Yield every file under a folder, as a path relative to it with '/' between the parts.

    Args:
        unread: takes the error of each folder that cannot be read, in place of raising it.
        empty: takes the relative path of each folder inside that has neither files nor folders.

    Raises:
        DataError: a folder cannot be read.
    """
    pending: list[tuple[str, str]] = [(str(root), "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        folder, prefix = pending.pop()
        alone = bool(prefix)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    alone = False
                    if not entry.is_dir():
                        yield prefix + entry.name
                    elif not entry.is_symlink() or _first_visit(entry, seen):
                        pending.append((entry.path, f"{prefix}{entry.name}/"))
        except OSError as error:
            fault = DataError(f"{folder}: the folder cannot be read ({error.strerror})")
            if unread is None:
                raise fault from error
            unread.append(fault)
            continue
        if alone and empty is not None:
            empty.append(prefix[:-1])


def _first_visit(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> bool:
    """Return whether a linked folder is met for the first time, so that circular links end."""
    state = entry.stat()
    new = (state.st_dev, state.st_ino) not in seen
    seen.add((state.st_dev, state.st_ino))
    return new
