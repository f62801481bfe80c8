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
    return Tree(root, list(walk(root)), lambda paths: FileReader(root, paths))


def walk(root: Path, unread: list[DataError] | None = None) -> Iterator[str]:
    """Yield every file under a folder, as a path relative to it with '/' between the parts.

    Args:
        unread: takes the error of each folder that cannot be read, in place of raising it.

    Raises:
        DataError: a folder cannot be read.
    """
    pending: list[tuple[str, str]] = [(str(root), "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        folder, prefix = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if not entry.is_dir():
                        yield prefix + entry.name
                    elif not entry.is_symlink() or _first_visit(entry, seen):
                        pending.append((entry.path, f"{prefix}{entry.name}/"))
        except OSError as error:
            fault = DataError(f"{folder}: the folder cannot be read ({error.strerror})")
            if unread is None:
                raise fault from error
            unread.append(fault)


def _first_visit(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> bool:
    """Say whether a linked folder is met for the first time, so that circular links end."""
    state = entry.stat()
    new = (state.st_dev, state.st_ino) not in seen
    seen.add((state.st_dev, state.st_ino))
    return new
