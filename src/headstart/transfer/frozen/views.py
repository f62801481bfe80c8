"""Which pixels a network asks for."""

from __future__ import annotations

from headstart.data.decoding.decode import View
from headstart.models.preprocessing import Preprocessing


def view_of(preprocessing: Preprocessing, *, whole: bool = False) -> View:
    """Return the view of the images that a network's preprocessing asks for."""
    return View(
        preprocessing.resize, None if whole else preprocessing.size, preprocessing.interpolation, preprocessing.bands
    )
