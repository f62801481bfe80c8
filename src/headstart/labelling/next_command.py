"""The command that a user runs after labelling or reviewing: the terminal and the page show the same."""

from __future__ import annotations

from pathlib import Path

from headstart.bands import BandChoice, options_of
from headstart.disclosure import typed


def next_command(
    source: str, bands: BandChoice | None, *, corrections: Path | None = None, label: str | None = None
) -> str:
    """Return `headstart compare` with all that reads the same images and labels, quoted.

    Args:
        source: the labelled images, as the user named them, or a table of labels.
        bands: that are read of each image.
        corrections: the file of decisions.
        label: which of several labels.
    """
    corrected = [] if corrections is None else ["--corrections", str(corrections)]
    labelled = ["--label", label] if label else []
    return typed(["headstart", "compare", source, *corrected, *labelled, *options_of(bands)])
