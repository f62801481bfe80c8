"""The leaderboard as a PNG, drawn without a browser."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from headstart.evaluate.metrics.names import measure_name
from headstart.report import numbers
from headstart.report.read.leaderboard import Board
from headstart.report.read.summary import Summary, load_summary
from headstart.storage.files import write_atomic

SCALE = 2  # pixels for each unit below
OVERSAMPLE = 2  # drawn this much larger, then made smaller: smooth lines
WIDTH, ROW, TOP, BOTTOM, EDGE = 920, 34, 92, 60, 28
DRAWABLE = str.maketrans(
    {"–": "-", "−": "-", "…": "...", "→": ">", "×": "x", "·": "/", "τ": "tau"}
)  # the font's limits
INK, MUTED, LINE, PAPER, ACCENT, REST = "#16191d", "#59636e", "#dfe3e7", "#ffffff", "#0b6e78", "#8a949e"


def write_png(study: str | Path, out: str | Path) -> Path:
    """Write the ranking with its intervals as a picture; return where.

    Raises:
        StoreError: a run folder has files missing or altered, or the picture cannot be written.
    """
    buffer = io.BytesIO()
    draw_ranking(load_summary(study)).save(buffer, "PNG", optimize=True)
    path = Path(out)
    write_atomic(path, buffer.getvalue())
    return path


def draw_ranking(summary: Summary) -> Image.Image:
    """Return the picture: one part for each board, one row a run, best on top."""
    parts = [_Part(board, summary.question if number == 0 else "") for number, board in enumerate(summary.boards)]
    height = sum(part.height for part in parts) or TOP + BOTTOM
    zoom = SCALE * OVERSAMPLE
    image = Image.new("RGB", (WIDTH * zoom, height * zoom), PAPER)
    pen = _Pen(ImageDraw.Draw(image), zoom)
    if not parts:
        pen.text(EDGE, 40, "No run has finished yet.", MUTED, 15)
    top = 0
    for part in parts:
        part.draw(pen, top)
        top += part.height
    return image.resize((WIDTH * SCALE, height * SCALE), Image.Resampling.LANCZOS)


class _Pen:
    """Draws in units of the page, whatever the number of pixels."""

    def __init__(self, draw: ImageDraw.ImageDraw, zoom: int) -> None:
        self.draw, self.zoom = draw, zoom

    def text(
        self, x: float, y: float, text: str, colour: str, size: float, *, anchor: str = "lm", bold: bool = False
    ) -> None:
        self.draw.text(
            (x * self.zoom, y * self.zoom),
            text.translate(DRAWABLE),
            fill=colour,
            font=_font(round(size * self.zoom)),
            anchor=anchor,
            stroke_width=round(0.3 * self.zoom) if bold else 0,
            stroke_fill=colour,
        )

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: str, width: float = 1) -> None:
        points = [value * self.zoom for value in (x0, y0, x1, y1)]
        self.draw.line(points, fill=colour, width=max(1, round(width * self.zoom)))

    def dot(self, x: float, y: float, radius: float, fill: str, outline: str) -> None:
        box = [(x - radius) * self.zoom, (y - radius) * self.zoom, (x + radius) * self.zoom, (y + radius) * self.zoom]
        self.draw.ellipse(box, fill=fill, outline=outline, width=round(2 * self.zoom))

    def wide(self, text: str, size: float) -> float:
        return float(_font(round(size * self.zoom)).getlength(text.translate(DRAWABLE))) / self.zoom

    def fit(self, text: str, size: float, room: float) -> str:
        """Shorten a text until it fits."""
        if self.wide(text, size) <= room:
            return text
        while text and self.wide(f"{text}…", size) > room:
            text = text[:-1]
        return f"{text}…"


class _Part:
    """One board's ranking: its place and its drawing."""

    def __init__(self, board: Board, title: str) -> None:
        self.board, self.title = board, title
        self.height = TOP + ROW * len(board.ranking) + BOTTOM

    def draw(self, pen: _Pen, top: float) -> None:
        rows = self.board.ranking
        names = min(330.0, max(pen.wide(str(row["run"]), 14) for row in rows) + 24)
        left, right = EDGE + names, WIDTH - EDGE - 170
        low, high = self._domain(rows)

        def at(value: float) -> float:
            return left + (value - low) / (high - low) * (right - left)

        bottom = top + TOP + ROW * len(rows)
        pen.text(EDGE, top + 28, pen.fit(self.title or self.board.title, 18, WIDTH - 2 * EDGE), INK, 18, bold=True)
        pen.text(EDGE, top + 54, self._what(), MUTED, 13)
        for tick in _ticks(low, high):
            pen.line(at(tick), top + TOP - 12, at(tick), bottom, LINE)
            pen.text(at(tick), bottom + 14, numbers.score(tick, self.board.metric), MUTED, 12, anchor="mm")
        for number, row in enumerate(rows):
            self._row(pen, row, top + TOP + ROW * (number + 0.5), at, (left, right), names)
        pen.text(EDGE, bottom + 42, self._key(), MUTED, 12)

    def _row(self, pen: _Pen, row: Any, y: float, at: Any, edges: tuple[float, float], names: float) -> None:
        best = row["state"] == "best"
        colour = ACCENT if row["state"] in ("best", "tied") else REST
        hollow = row["state"] in ("tied", "cannot tell")
        name = pen.fit(f"{row['run']}{' *' if row['chosen'] else ''}", 14, names - 12)
        pen.text(EDGE, y, name, MUTED if row["state"] == "behind" else INK, 14, bold=bool(row["chosen"]))
        pen.line(max(edges[0], at(row["low"])), y, min(edges[1], at(row["high"])), y, colour, 3)
        pen.dot(at(row["mean"]), y, 5.5, PAPER if hollow else colour, colour)
        score = numbers.score(row["mean"], self.board.metric)
        pen.text(WIDTH - EDGE - 108, y, score, INK, 14, anchor="rm", bold=best)
        reach = numbers.interval(row["low"], row["high"], self.board.metric)
        pen.text(WIDTH - EDGE, y, reach, MUTED, 12, anchor="rm")

    def _key(self) -> str:
        """Describe what the marks that occur mean."""
        there = {row["state"] for row in self.board.ranking}
        marks = {"tied": "green hollow: tied with the best", "cannot tell": "grey hollow: cannot tell yet"}
        marks["behind"] = "grey: worse than the best"
        shown = ["* chosen on validation"] if self.board.chosen else []
        return ";  ".join([*shown, *(words for state, words in marks.items() if state in there)])

    def _what(self) -> str:
        things = "episodes" if self.board.kind == "episodes" else "test images"
        metric = measure_name(self.board.metric)
        return f"{self.board.title}: {metric}, {self.board.n:,} {things}, {self.board.tested}, 95 % intervals"

    def _domain(self, rows: Sequence[Any]) -> tuple[float, float]:
        low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
        room = max(high - low, 1e-3) * 0.04
        if numbers.is_share(self.board.metric):
            return max(0.0, low - room), min(1.0, high + room)
        return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    steps = [m * 10.0**power for power in range(-4, 4) for m in (1, 2, 5)]
    step = next(size for size in steps if (high - low) / size <= 6)
    first = int(-(-low // step))
    return [number * step for number in range(first, int(high // step) + 1)]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
