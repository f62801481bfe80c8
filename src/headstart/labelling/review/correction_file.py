"""The decisions of a review: a CSV that studies take as `data.corrections`, rewritten as a whole at every change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headstart.data.sources.corrections import Correction, read_corrections, text_of
from headstart.storage.files import disk_errors, write_atomic
from headstart.storage.locks import locked

Key = tuple[str, str, str]
"""Image, problem and first other image: what a row of the file is about."""


def key_of(row: Correction) -> Key:
    """Return what a row is about."""
    return row.path, row.problem, row.other


class CorrectionFile:
    """A CSV with one row per image and problem, in the order of the decisions' times.

    Several programs may change the file: each change reads it again under a lock and replaces it in one rename.

    Args:
        path: of the CSV.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def read(self) -> dict[Key, Correction]:
        """Return the decisions; {} if there is no file yet.

        Raises:
            DataError: the file is another table.
        """
        return {key_of(row): row for row in read_corrections(self.path)} if self.path.exists() else {}

    def change(self, changes: Mapping[Key, Correction | None]) -> tuple[dict[Key, Correction], dict[Key, Correction]]:
        """Write decisions, or take them back (None); return all decisions before and after.

        The change is on the disk when this returns.

        Raises:
            StoreError: the file cannot be written.
            DataError: it is another table.
        """
        with locked(self.path.with_name(f".{self.path.name}.lock")), disk_errors(self.path):
            before = self.read()
            found = dict(before)
            for key, row in changes.items():
                found.pop(key, None)
                if row is not None:
                    found[key] = row
            write_atomic(self.path, text_of(list(found.values())))
        return before, found
