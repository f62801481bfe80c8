"""In a notebook: objects that show themselves as HTML, and whether code runs in one."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

Renderer = Callable[[Any], str]
_renderer: Renderer | None = None


def show_with(renderer: Renderer | None) -> None:
    """Let everything that is `Shown` be drawn by this function."""
    global _renderer
    _renderer = renderer


class Shown:
    """Shows itself in a notebook; elsewhere it is what it is.

    What it looks like is decided far above, in the report: the package gives `show_with` the function that draws.
    """

    def _repr_html_(self) -> str | None:
        return None if _renderer is None else _renderer(self)


def in_notebook() -> bool:
    """Return whether this code runs in the kernel of a notebook, whose outputs can be drawn anew."""
    ipython = sys.modules.get("IPython")  # there before this code, or this is no notebook
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def import_bars_quietly() -> None:
    """Import tqdm's bars in a kernel before timm does: without ipywidgets that warns, and headstart draws its own."""
    if in_notebook():
        with warnings.catch_warnings(), contextlib.suppress(ImportError):
            warnings.simplefilter("ignore")
            import_module("tqdm.auto")


class Output:
    """One output of a cell, drawn anew in its place as often as it changes."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, text: str, html: str) -> None:
        """Show this instead of what was shown before.

        Args:
            text: for what cannot draw HTML.
            html: the same.
        """
        content = {"text/plain": text, "text/html": html}
        if self._handle is None:
            display = import_module("IPython.display").display
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def clear(self) -> None:
        """Leave nothing of it on the page."""
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)
            self._handle = None
