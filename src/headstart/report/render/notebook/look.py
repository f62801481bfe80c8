"""How everything looks in a notebook: panels, tables, bars, intervals and small pictures as HTML without a script.

Text has the page's own colour, and the few colours of marks suit light and dark pages, so that no page needs to be
recognised. What is put in is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files as package_files

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image

from headstart.data.decoding.thumbnail import thumbnail
from headstart.report.numbers import prose

ACCENT, REST = "#17909c", "#8a949e"
NUMBER, LONG, TRACK = "hs-number", "hs-long", "hs-track"  # kinds of a table's columns; a phone shows no TRACK
_WIDTH, _HEIGHT, _EDGE = 220, 18, 6  # px, of an interval
_QUALITY = 80


def panel(*parts: Markup) -> Markup:
    """Return the parts below each other."""
    return Markup('<style>{}</style><div class="hs">{}</div>').format(_style(), joined(parts))


def joined(parts: Iterable[Markup]) -> Markup:
    """Return the parts one after another."""
    return Markup("").join(parts)


def title(text: str) -> Markup:
    """Return what an output is of."""
    return Markup('<p class="hs-title">{}</p>').format(prose(text))


def line(text: str | Markup, kind: str = "") -> Markup:
    """Return a paragraph.

    Args:
        text: it.
        kind: "", "muted", "answer", or the level of a finding.
    """
    return Markup('<p class="hs-{}">{}</p>').format(kind or "plain", prose(text))


def scale(ends: Sequence[str]) -> Markup:
    """Return the head of a column of `interval_bar`: where its scale begins and ends."""
    return Markup('<span class="hs-ends"><span>{}</span><span>{}</span></span>').format(*ends)


def table(heads: Sequence[str | Markup], rows: Iterable[Sequence[str | Markup]], kinds: Sequence[str] = ()) -> Markup:
    """Return a table.

    Args:
        heads: of the columns.
        rows: their cells.
        kinds: "", NUMBER, LONG or TRACK for each column.
    """
    wanted = [*kinds, *[""] * (len(heads) - len(kinds))]

    def cells(tag: str, row: Sequence[str | Markup]) -> Markup:
        filled = Markup('<{0} class="{1}">{2}</{0}>')
        return joined(filled.format(tag, kind, cell) for kind, cell in zip(wanted, row, strict=True))

    body = joined(Markup("<tr>{}</tr>").format(cells("td", row)) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(cells("th", heads), body)


def badge(text: str) -> Markup:
    """Return a word in a frame."""
    return Markup('<span class="hs-badge">{}</span>').format(text)


def bar(share: float, *, strong: bool = True, width: int = 120) -> Markup:
    """Return a bar that is filled to this share."""
    drawn = Markup(
        '<svg width="{0}" height="9"><rect width="{0}" height="9" rx="3" fill="{1}" fill-opacity=".22"/>'
        '<rect width="{2:.1f}" height="9" rx="3" fill="{3}"/></svg>'
    )
    return drawn.format(width, REST, width * min(1.0, max(0.0, share)), ACCENT if strong else REST)


def interval_bar(
    low: float | None, value: float, high: float | None, ends: tuple[float, float], *, strong: bool, hollow: bool
) -> Markup:
    """Return a dot on its interval, on a scale that all rows share.

    Args:
        low, high: the interval, or None.
        value: the dot.
        ends: of the scale.
        strong: it is among the best.
        hollow: it is not the best itself.
    """
    span = (ends[1] - ends[0]) or 1.0

    def at(place: float) -> float:
        return _EDGE + (min(max(place, ends[0]), ends[1]) - ends[0]) / span * (_WIDTH - 2 * _EDGE)

    colour, middle = ACCENT if strong else REST, _HEIGHT / 2
    rail = Markup('<line x1="0" x2="{0}" y1="{1}" y2="{1}" stroke="{2}" stroke-opacity=".3"/>')
    reach = Markup('<line x1="{:.1f}" x2="{:.1f}" y1="{y}" y2="{y}" stroke="{c}" stroke-width="3"/>')
    dot = Markup('<circle cx="{:.1f}" cy="{}" r="{}" fill="{}" stroke="{}" stroke-width="2"/>')
    whisker = Markup("") if low is None or high is None else reach.format(at(low), at(high), y=middle, c=colour)
    fill = "#fff" if hollow else colour
    return Markup('<svg width="{}" height="{}">{}{}{}</svg>').format(
        _WIDTH, _HEIGHT, rail.format(_WIDTH, middle, REST), whisker, dot.format(at(value), middle, 4.5, fill, colour)
    )


def picture(jpeg: bytes | str, alt: str, side: int | None = None) -> Markup:
    """Return a small picture.

    Args:
        jpeg: its bytes, or the same in base64.
        alt: what it shows.
        side: its height in px; None: its own.
    """
    data = jpeg if isinstance(jpeg, str) else base64.b64encode(jpeg).decode()
    size = Markup("") if side is None else Markup(' style="height: {}px"').format(side)
    return Markup('<img alt="{0}" title="{0}" src="data:image/jpeg;base64,{1}"{2}>').format(alt, data, size)


def drawn(pixels: npt.NDArray[np.uint8] | Image.Image, alt: str, side: int) -> Markup:
    """Return pixels uint8 [height, width, 3] as a small picture whose longer side is at most `side` px."""
    image = pixels.copy() if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return picture(thumbnail(image.convert("RGB"), side, _QUALITY), alt)


def path(name: str) -> Markup:
    """Return a file's name that is broken between folders."""
    return Markup('<span class="hs-muted">{}</span>').format(Markup("/<wbr>").join(name.split("/")))


def figure(shown: Markup, caption: str | Markup) -> Markup:
    """Return a picture, or several in a row, with words below."""
    return Markup('<figure><div class="hs-row">{}</div><figcaption>{}</figcaption></figure>').format(shown, caption)


def strip(figures: Iterable[Markup]) -> Markup:
    """Return figures beside each other, in as many lines as they need."""
    return Markup('<div class="hs-strip">{}</div>').format(joined(figures))


def beside(*parts: Markup) -> Markup:
    """Return parts beside each other."""
    divided = joined(Markup("<div>{}</div>").format(part) for part in parts)
    return Markup('<div class="hs-beside">{}</div>').format(divided)


@cache
def _style() -> Markup:
    static = package_files("headstart.report.render") / "static"
    return Markup((static / "notebook.css").read_text(encoding="utf-8"))
