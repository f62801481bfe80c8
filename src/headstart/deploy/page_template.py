"""The page that people drop pictures on: one page, whose pictures are classified in the browser or by a server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class PageEngine:
    """What classifies the pictures of a page.

    Args:
        script: the file that loads and runs it; it defines `engine` for the page's own script.
        scripts: sources of scripts that it needs besides the page's own, as a content security policy names them.
        connects: what the page may send requests to, as a content security policy names it.
        privacy: where the pictures go, for people.
    """

    script: str
    scripts: str
    connects: str
    privacy: str


IN_BROWSER = PageEngine(
    "page_in_browser.js",
    " 'wasm-unsafe-eval' blob:",
    "'none'",
    "The pictures stay on this device: this page sends nothing anywhere and works without a network.",
)
BY_SERVER = PageEngine(
    "page_by_server.js", "", "'self'", "The pictures are sent to this server, which answers and does not store them."
)


def page_text(engine: PageEngine, *, title: str, about: str, card: str = "", data: str = "") -> str:
    """Return the page as HTML.

    Args:
        engine: what classifies the pictures.
        title: as HTML.
        about: one sentence on the model, as HTML.
        card: more about it, as HTML.
        data: what the engine finds in the page, as HTML.
    """
    values = {
        "title": title,
        "about": about,
        "card": card,
        "data": data,
        "privacy": engine.privacy,
        "scripts": engine.scripts,
        "connects": engine.connects,
        "engine": _text(engine.script),
    }
    return filled(_text("page.html"), values)


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return the template with each `{{ name }}` replaced."""
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: values[found[1]], template)


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
