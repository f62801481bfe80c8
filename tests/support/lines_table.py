"""The simplest table that several programs change at once."""

from __future__ import annotations

from collections.abc import Mapping

from headstart.labelling.shared_table import SharedTable


class Lines(SharedTable[str, str]):
    """A line per row."""

    def read(self) -> dict[str, str]:
        rows = self.path.read_text().splitlines() if self.path.exists() else []
        return dict(row.split("=") for row in rows)

    def _text(self, found: Mapping[str, str]) -> str:
        return "".join(f"{key}={row}\n" for key, row in found.items())
