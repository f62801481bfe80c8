"""A table that several programs change at once, rewritten as a whole: no change that was reported as done is lost."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

from headstart.data.image_files import file_state
from headstart.storage.files import disk_errors, sync, write_atomic
from headstart.storage.locks import locked

K = TypeVar("K")
V = TypeVar("V")
_NO_FILE = ""


class SharedTable(ABC, Generic[K, V]):
    """A file of rows by what they are about, in the order of their changes.

    Each change reads the file again under a lock and replaces it in one rename.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._swept = False
        self._seen: dict[K, V] = {}
        self._state = _NO_FILE  # of the file that `_seen` was read from

    @abstractmethod
    def read(self) -> dict[K, V]:
        """Return the rows; {} if there is no file yet.

        Raises:
            DataError: the file is another table.
        """

    @abstractmethod
    def _text(self, found: Mapping[K, V]) -> str:
        """Return the content of the file."""

    def rows(self) -> dict[K, V]:
        """Return the rows; those last seen here if the file was deleted since, so that the next change restores it.

        Raises:
            DataError: the file is another table.
        """
        state = self._file_state()
        if state != _NO_FILE:
            self._seen = self.read()
        self._state = state
        return dict(self._seen)

    def changed_elsewhere(self) -> bool:
        """Return whether another program has changed the file since its rows were last seen here."""
        return self._file_state() not in (self._state, _NO_FILE)

    def _file_state(self) -> str:
        try:
            return file_state(self.path)
        except FileNotFoundError:
            return _NO_FILE

    def change(
        self, changes: Mapping[K, V | None], expected: Mapping[K, V | None] | None = None
    ) -> tuple[dict[K, V], dict[K, V]]:
        """Write rows, or take them away (None); return all rows before and after.

        The change is on the disk when this returns.

        Args:
            changes: the rows by what they are about.
            expected: what each of them was so far, or None where there was none; one that is not so is left as it is.

        Raises:
            StoreError: the file cannot be written.
            DataError: it is another table.
        """
        with locked(self.path.with_name(f".{self.path.name}.lock")), disk_errors(self.path):
            self._sweep()
            before = self.rows()
            found = dict(before)
            for key, row in changes.items():
                if expected is not None and before.get(key) != expected.get(key):
                    continue
                found.pop(key, None)
                if row is not None:
                    found[key] = row
            write_atomic(self.path, self._text(found))
            sync(self.path.parent)
            self._seen, self._state = found, self._file_state()
        return before, dict(found)

    def _sweep(self) -> None:
        """Delete, once, what programs that were killed had half written: the caller holds the lock, so none writes."""
        if self._swept:
            return
        half = re.compile(rf"\.{re.escape(self.path.name[:80])}\.[0-9a-f]{{12}}-[0-9a-f]{{8}}\.tmp")
        for part in self.path.parent.iterdir():
            if half.fullmatch(part.name):
                part.unlink(missing_ok=True)
        self._swept = True
