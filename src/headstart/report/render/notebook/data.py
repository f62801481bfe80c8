"""Images in a notebook: a dataset as thumbnails with counts by class, and the findings of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from headstart.audit.audit import Audit
from headstart.data.dataset import Dataset
from headstart.data.decoding.decode import UndecodableError, decode, quiet_pillow
from headstart.data.decoding.thumbnail import thumbnail
from headstart.data.overview import given_by, overview
from headstart.report.render.notebook import look

CLASSES, EXAMPLES = 12, 5
SIDE, SHARP = 56, 84  # px on the page, and of the picture
PAIRS = 6  # near duplicates, and labels that look wrong
_QUALITY = 75


def dataset_html(dataset: Dataset) -> Markup:
    """Return a dataset: what was found, and examples of its largest classes with their counts."""
    lines = overview(dataset, given_by(dataset))
    parts = [look.title(lines[0]), *(look.line(text, "muted") for text in lines[1:])]
    if not dataset.classes:
        return look.panel(*parts, look.strip(_examples(dataset, np.arange(len(dataset)))))
    counts = dataset.counts()
    largest = np.argsort(-counts, kind="stable")[:CLASSES]
    rows = [
        (
            dataset.classes[code],
            f"{counts[code]:,}",
            look.bar(counts[code] / max(1, counts.max()), width=70),
            Markup('<div class="hs-row">{}</div>').format(look.joined(_examples(dataset, _rows_of(dataset, code)))),
        )
        for code in largest.tolist()
    ]
    parts.append(look.table(("class", "images", "", "examples"), rows, ("", look.NUMBER)))
    if len(dataset.classes) > CLASSES:
        fewest = int(counts.min())
        parts.append(
            look.line(f"and {len(dataset.classes) - CLASSES:,} more classes, the smallest with {fewest:,}", "muted")
        )
    return look.panel(*parts)


def audit_html(audit: Audit) -> Markup:
    """Return an audit: its findings, the worst first, then the first near duplicates and suspicious labels."""
    parts = [look.title(f"Audit of {audit['name']}: {audit['n']:,} images")]
    parts += [look.line(found["text"], found["level"]) for found in audit["findings"]]
    parts += [look.line(f"Note: {note}", "muted") for note in audit["notes"]]
    pictures = audit["thumbnails"]
    exact = [(group["places"][0], group["places"][1]) for group in audit["exact"] if len(group["places"]) > 1]
    near = [(pair["a"], pair["b"]) for pair in audit["near"]]
    for what, pairs in (("Exact copies", exact), ("Near duplicates", near)):
        shown = [_pair(a, b, pictures) for a, b in pairs[:PAIRS] if a["thumbnail"] in pictures]
        if shown:
            parts += [look.line(_first(what, len(shown), len(pairs))), look.strip(shown)]
    suspects = [row for row in audit["label_errors"][:PAIRS] if row["thumbnail"] in pictures]
    if suspects:
        shown = [
            look.figure(
                look.picture(pictures[row["thumbnail"]], row["name"], 96),
                Markup("labelled <b>{}</b><br>looks like <b>{}</b><br>{}").format(
                    row["label"], row["suggested"], look.path(row["name"])
                ),
            )
            for row in suspects
        ]
        many = audit["counts"]["label_errors"]
        parts += [look.line(_first("Labels that look wrong", len(shown), many)), look.strip(shown)]
    return look.panel(*parts)


def _first(what: str, shown: int, total: int) -> str:
    return f"{what}:" if shown == total else f"{what}, the first {shown} of {total:,}:"


def _pair(a: Mapping[str, Any], b: Mapping[str, Any], pictures: Mapping[str, str]) -> Markup:
    both = look.joined(
        look.picture(pictures[each["thumbnail"]], each["name"], 84) for each in (a, b) if each["thumbnail"] in pictures
    )
    labels = f"labelled {a['label']} and {b['label']}" if a["label"] != b["label"] else str(a["label"])
    return look.figure(both, Markup("{}<br>{}<br>{}").format(labels, look.path(a["name"]), look.path(b["name"])))


def _rows_of(dataset: Dataset, code: int) -> np.ndarray:
    inside = dataset.labels[:, code] if dataset.multi_label else dataset.labels == code
    return np.flatnonzero(inside)


def _examples(dataset: Dataset, rows: np.ndarray) -> list[Markup]:
    """Return a few of these images, evenly spread; what can no longer be read is left out."""
    chosen = rows[np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).round().astype(np.int64)]
    found = []
    for row in chosen.tolist():
        try:
            with quiet_pillow():
                small = thumbnail(Image.fromarray(decode(dataset.reader.read(row))), SHARP, _QUALITY)
        except (OSError, UndecodableError):
            continue
        found.append(look.picture(small, dataset.reader.name(row), SIDE))
    return found
