"""Draws maps: one over its image, or several side by side with titles."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from headstart.errors import DataError

_HEAT = ("000004", "1b0c41", "4a0c6b", "781c6d", "a52c60", "cf4446", "ed6925", "fb9b06", "f7d13d", "fcffa4")
_SIGNED = ("08306b", "1a63b5", "3f93dd", "8fbfe8", "c8c8c8", "f6bb7f", "ef8a2f", "d4570a", "7f2704")
_CEILING = 99.0  # percentile of a map that has the strongest colour: a few extreme pixels do not dim the rest
_INK, _FAINT, _PAPER = (28, 30, 33), (104, 110, 118), (255, 255, 255)
_GAP, _MARGIN = 8, 14


@dataclass(frozen=True)
class Column:
    """One column of a gallery.

    Args:
        title: the text above it; "\\n" starts a second line.
        images: uint8 [h, w, 3] each.
        maps: float [h, w] each, or None for the images as they are.
        signed: below zero speaks against the class.
        notes: a line under each cell, or ().
        outlined: draw the borders between pieces of one value, as of superpixels.
    """

    title: str
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    maps: Sequence[Float[np.ndarray, "_ _"]] | None = None
    signed: bool = False
    notes: Sequence[str] = ()
    outlined: bool = False


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    heat: Float[np.ndarray, "_ _"],
    *,
    signed: bool | None = None,
    outlined: bool = False,
) -> Image.Image:
    """Return the image, greyed, with the map's colours where it is strong.

    Args:
        heat: the map; its 99th percentile has the strongest colour.
        signed: orange supports the class and blue opposes it; otherwise only values above zero are shown, from
            violet to yellow. Default: whether the map has values below zero.
        outlined: draw the borders between pieces of one value, as of superpixels.
    """
    if heat.shape != image.shape[:2]:
        raise DataError(f"a map {heat.shape} does not belong to an image {image.shape[:2]}")
    both = bool((heat < 0).any()) if signed is None else signed
    strength = _strength(heat, both)
    grey = image @ np.array([0.299, 0.587, 0.114])
    base = 0.25 * image + 0.75 * (0.82 * grey[..., None] + 30)
    colour = _colours(strength / 2 + 0.5, _SIGNED) if both else _colours(strength, _HEAT)
    cover = (np.abs(strength) ** 0.7 * 0.78)[..., None]
    blended = base * (1 - cover) + colour * cover
    if outlined:
        blended[_edges(heat)] = 0.72 * blended[_edges(heat)] + 0.28 * 255
    return Image.fromarray(blended.round().clip(0, 255).astype(np.uint8))


def gallery(columns: Sequence[Column], *, captions: Sequence[str] = (), tile: int = 224) -> bytes:
    """Return a PNG of columns side by side, a row for each image, with titles, captions and a key of colours.

    Args:
        columns: each with as many images.
        captions: a line under each row's first cell.
        tile: side of a cell in pixels.

    Raises:
        DataError: nothing to show, or columns of different lengths.
    """
    rows = {len(column.images) for column in columns}
    if len(rows) != 1 or rows == {0}:
        raise DataError(f"a gallery needs columns with as many images each, at least one; they have {sorted(rows)}")
    large, small = ImageFont.load_default(16), ImageFont.load_default(13)
    lines = max(column.title.count("\n") + 1 for column in columns)
    top = _MARGIN + 20 * lines + 6
    line = 20 if captions or any(column.notes for column in columns) else 0
    step = tile + line + _GAP
    key = 44 if any(column.maps is not None for column in columns) else 0
    width = 2 * _MARGIN + len(columns) * (tile + _GAP) - _GAP
    page = Image.new("RGB", (width, top + rows.pop() * step + key + _MARGIN - _GAP), _PAPER)
    pen = ImageDraw.Draw(page)
    for c, column in enumerate(columns):
        left = _MARGIN + c * (tile + _GAP)
        for i, text in enumerate(column.title.split("\n")):
            pen.text(
                (left, _MARGIN + 20 * i),
                _fit(text, large if i == 0 else small, tile),
                fill=_INK if i == 0 else _FAINT,
                font=large if i == 0 else small,
            )
        for row in range(len(column.images)):
            page.paste(_cell(column, row, tile), (left, top + row * step))
            note = captions[row] if c == 0 and row < len(captions) else _note(column, row)
            pen.text((left, top + row * step + tile + 3), _fit(note, small, tile), fill=_FAINT, font=small)
    if key:
        _draw_key(page, pen, small, columns)
    stream = io.BytesIO()
    page.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _cell(column: Column, row: int, tile: int) -> Image.Image:
    image = column.images[row]
    picture = Image.fromarray(image)
    if column.maps is not None:
        picture = overlay(image, np.asarray(column.maps[row]), signed=column.signed, outlined=column.outlined)
    scale = tile / max(picture.size)
    picture = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
        Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC,
    )
    cell = Image.new("RGB", (tile, tile), _PAPER)
    cell.paste(picture, ((tile - picture.width) // 2, (tile - picture.height) // 2))
    return cell


def _note(column: Column, row: int) -> str:
    return column.notes[row] if row < len(column.notes) else ""


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return the text, truncated to `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _draw_key(
    page: Image.Image,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    columns: Sequence[Column],
) -> None:
    left, top = _MARGIN, page.height - _MARGIN - 26
    kinds = {column.signed for column in columns if column.maps is not None}
    for signed in sorted(kinds):
        anchors, ends = (_SIGNED, ("against the class", "for it")) if signed else (_HEAT, ("irrelevant", "relevant"))
        bar = _colours(np.linspace(0, 1, 140)[None].repeat(10, axis=0), anchors)
        words = [round(font.getlength(text)) for text in ends]
        pen.text((left, top + 4), ends[0], fill=_FAINT, font=font)
        page.paste(Image.fromarray(bar.round().astype(np.uint8)), (left + words[0] + 8, top + 8))
        pen.text((left + words[0] + 156, top + 4), ends[1], fill=_FAINT, font=font)
        left += words[0] + 156 + words[1] + 36


def _strength(heat: np.ndarray, signed: bool) -> Float[np.ndarray, "h w"]:
    """Return the map scaled to -1 … 1, or to 0 … 1."""
    finite = np.nan_to_num(heat.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    shown = finite if signed else np.maximum(finite, 0.0)
    top = float(np.percentile(np.abs(shown), _CEILING)) or float(np.abs(shown).max())
    return np.clip(shown / top, -1.0, 1.0) if top > 0 else np.zeros_like(shown)


def _colours(values: Float[np.ndarray, "*s"], anchors: Sequence[str]) -> Float[np.ndarray, "*s 3"]:
    """Return colours 0 … 255 for values 0 … 1, evenly spaced anchors interpolated."""
    points = np.array([[int(a[i : i + 2], 16) for i in (0, 2, 4)] for a in anchors], dtype=np.float64)
    place = np.linspace(0, 1, len(points))
    return np.stack([np.interp(values, place, points[:, c]) for c in range(3)], axis=-1)


def _edges(heat: np.ndarray) -> np.ndarray:
    edges = np.zeros(heat.shape, dtype=bool)
    edges[:, 1:] |= heat[:, 1:] != heat[:, :-1]
    edges[1:] |= heat[1:] != heat[:-1]
    return edges
