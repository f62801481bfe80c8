"""Checks the place of an output before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from headstart.errors import SpecError


def check_folder(out: Path, option: str = "--out") -> None:
    """Refuse a folder to write into that is a file, or that is inside of one.

    Raises:
        SpecError: the file that is in the way.
    """
    for place in (out, *out.parents):
        if place.exists():
            if not place.is_dir():
                raise SpecError(f"{option} {out}: {place} is a file; choose a folder")
            return


def check_writable(out: Path, option: str = "--out") -> None:
    """Refuse a folder as `check_folder` does, and one in which nothing can be written.

    Raises:
        SpecError: the file that is in the way, or the folder that cannot be written.
    """
    check_folder(out, option)
    _check_access(out, f"{option} {out}")


def check_file(out: Path) -> None:
    """Refuse a file to write that is a folder, or whose folder is a file or cannot be written.

    Raises:
        SpecError: what is in the way.
    """
    if out.is_dir():
        raise SpecError(f"--out {out}: is a folder; choose a file name")
    check_folder(out.parent)
    _check_access(out.parent, f"--out {out}")


def _check_access(folder: Path, given: str) -> None:
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not os.access(there, os.W_OK):
        raise SpecError(f"{given}: {there} cannot be written; choose another folder")
