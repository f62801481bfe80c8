"""The decisions of a review: a CSV that studies take as `data.corrections`, rewritten as a whole at every change."""

from __future__ import annotations

from collections.abc import Mapping

from headstart.data.sources.corrections import Correction, read_corrections, text_of
from headstart.labelling.shared_table import SharedTable

Key = tuple[str, str, str]
"""Image, problem and first other image: what a row of the file is about."""


def key_of(row: Correction) -> Key:
    """Return what a row is about."""
    return row.path, row.problem, row.other


class CorrectionFile(SharedTable[Key, Correction]):
    """A CSV with one row per image and problem, in the order of the decisions' times.

    Args:
        path: of the CSV.
    """

    def read(self) -> dict[Key, Correction]:
        """Return the decisions; {} if there is no file yet.

        Raises:
            DataError: the file is another table.
        """
        return {key_of(row): row for row in read_corrections(self.path)} if self.path.exists() else {}

    def _text(self, found: Mapping[Key, Correction]) -> str:
        return text_of(list(found.values()))
