"""Folders that must remain where they are while a process writes in them: one that was moved is not made again.

A folder is known by its inode, or by a file that only this process has put into it: some disks give a folder another
inode in the course of time, and on some another process may take that file for one of a process that died.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import StoreError


@dataclass(frozen=True)
class _Pin:
    """What a folder was when it was pinned: its device and inode, and the file of this process in it, if any."""

    state: tuple[int, int]
    mark: Path | None

    def holds(self, folder: Path) -> bool:
        """Return whether this is still the folder; also where its disk does not answer at the moment."""
        try:
            found = folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return (found.st_dev, found.st_ino) == self.state or (self.mark is not None and self.mark.exists())


_pins: dict[Path, _Pin] = {}


@contextlib.contextmanager
def pinned(folder: Path, mark: Path | None = None) -> Iterator[None]:
    """Write below `folder` in the block only as long as it is there.

    Args:
        folder: exists.
        mark: a file in it that no other process makes.

    Raises:
        StoreError: it was moved, renamed or deleted meanwhile; this takes the place of any error that follows from it.
    """
    found = folder.stat()
    before, pin = _pins.get(folder), _Pin((found.st_dev, found.st_ino), mark)
    _pins[folder] = pin
    try:
        yield
    except Exception as error:
        if pin.holds(folder):
            raise
        raise moved(folder) from error
    else:
        if not pin.holds(folder):
            raise moved(folder)
    finally:
        if before is None:
            _pins.pop(folder, None)
        else:
            _pins[folder] = before


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing; but a pinned one is never made again.

    Raises:
        StoreError: it is below a pinned folder that no longer exists.
    """
    above = next((place for place in (folder, *folder.parents) if place in _pins), None)
    if above is None:
        folder.mkdir(parents=True, exist_ok=True)
        return
    if not _pins[above].holds(above):
        raise moved(above)
    place = above
    for name in folder.relative_to(above).parts:  # not with its parents: `above` may be moved right now
        place = place / name
        place.mkdir(exist_ok=True)


def moved(folder: Path) -> StoreError:
    """Return the error that says that a folder is not where it was."""
    return StoreError(
        f"{folder}: was moved, renamed or deleted while it was written to; nothing has been written here since."
        " Finished work is kept: move the folder back, or give its new place (--out) or new name (name:), and run the"
        " command again"
    )
