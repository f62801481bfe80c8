"""The page export: one HTML file with the model and its runtime inside, which works from the disk without a network."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Sequence
from pathlib import Path

from headstart.deploy.export.card import checks_text, results_text, title_of, write_card
from headstart.deploy.export.checking import Check, Form
from headstart.deploy.export.half_weights import with_half_weights
from headstart.deploy.export.page_runtime import runtime_of
from headstart.deploy.export.target import FLOAT, Parts, Target, rgb_only
from headstart.deploy.page_template import IN_BROWSER, page_text
from headstart.errors import ModelError
from headstart.models.refitted import refitted_of
from headstart.storage.files import write_atomic
from headstart.units import size

PAGE = "classifier.html"
LARGEST = 200e6  # bytes: browsers on phones give up on more
CARD = "<!-- card -->"


def build(parts: Parts, folder: Path) -> list[Form]:
    """Write the page.

    Raises:
        ModelError: it would be too large for a browser.
    """
    runtime = runtime_of(parts.page_runtime)
    facts = json.dumps({name: parts.facts[name] for name in ("classes", "label_rule", "answers")}, ensure_ascii=False)
    graph = parts.any_size_graph()
    if parts.precision == FLOAT:
        graph = with_half_weights(graph)
    data = {
        "facts": ("application/json", facts.replace("<", "\\u003c")),
        "runtime": ("text/plain", packed(runtime.script)),
        "wasm": ("text/plain", packed(runtime.wasm)),
        "graph": ("text/plain", packed(graph.SerializeToString())),
    }
    text = page_text(
        IN_BROWSER,
        title=html.escape(title_of(parts)),
        about=html.escape(f"Classifies pictures into {len(parts.ensemble.members[0].classes)} classes."),
        card=CARD,
        data="\n".join(f'<script type="{kind}" id="{name}">{value}</script>' for name, (kind, value) in data.items()),
    )
    if len(text) > LARGEST:
        smaller = "" if parts.precision != FLOAT else "; --int8 makes it about half as large"
        raise ModelError(
            f"cannot export to page: it would have {size(len(text))}, more than a browser loads ({size(LARGEST)})"
            f"{smaller}, or choose a smaller network"
        )
    (folder / PAGE).write_text(text, encoding="utf-8")
    return [Form(PAGE, "page", folder / PAGE, "picture", exact=False, faithful=parts.precision == FLOAT)]


def packed(content: bytes) -> str:
    """Return bytes compressed and in base64, as the page unpacks them; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def finish(parts: Parts, folder: Path, checks: Sequence[Check], notes: Sequence[str], usage: str) -> None:
    """Write the figures into the page, and README.md beside it."""
    path = folder / PAGE
    learned = refitted_of(parts.ensemble.members[0].provenance) is not None
    lines = [
        results_text(parts),
        checks_text(checks, notes, learned=learned),
        f"Licence of the weights: {parts.facts['licence']} ({parts.facts['licence_status']}).",
    ]
    shown = "".join(f"<pre style='white-space: pre-wrap'>{html.escape(line)}</pre>" for line in lines)
    write_atomic(path, path.read_text(encoding="utf-8").replace(CARD, shown))
    write_card(parts, folder, checks, notes, usage)


def usage(parts: Parts) -> str:
    """Return how the page is used."""
    halved = " Its weights are stored in half precision." if parts.precision == FLOAT else ""
    return f"""\
Open `{PAGE}` in a browser (Chrome 80, Firefox 113, Safari 16.4 or newer), from the disk or from any web server; it
works offline. Drop pictures or folders on it, paste a picture or use the camera. "Least sure first" sorts the
pictures by their probability, so that doubtful ones can be looked at; "Download CSV" saves all probabilities.

The pictures are not sent anywhere: the page's security policy blocks every request. The browser decodes them, and its
JPEG decoder may round a pixel differently from Pillow's.{halved} The check below ran the graph
inside the page on pixels that Pillow decoded."""


TARGET = Target(build=build, usage=usage, refusal=rgb_only, quantised=True, finish=finish)
