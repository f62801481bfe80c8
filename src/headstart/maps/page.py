"""A map as one HTML file that works offline, and the scripts that every page with a map holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files as package_files
from typing import Any

from jinja2 import Environment

from headstart.maps.script_json import script_json
from headstart.version import VERSION

SCRIPTS = ("points.js", "drawing.js", "colours.js", "chosen.js", "view.js")
STYLE = "map.css"


def static_text(name: str) -> str:
    """Return a file of the drawing."""
    return (package_files("headstart.maps") / "static" / name).read_text(encoding="utf-8")


def map_scripts() -> str:
    """Return the drawing as one script, which needs nothing else."""
    return "\n".join(static_text(name) for name in SCRIPTS)


def map_page(name: str, facts: str, words: Sequence[str], data: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        name: of the data.
        facts: a line about them.
        words: sentences below the map.
        data: what the drawing reads, and "table", the rows of the table in words.
    """
    template = Environment(autoescape=True, keep_trailing_newline=True).from_string(static_text("page.jinja"))
    return template.render(
        name=name,
        facts=facts,
        words=words,
        version=VERSION,
        style=static_text("page.css") + static_text(STYLE),
        scripts=map_scripts(),
        data=script_json(data),
    )
