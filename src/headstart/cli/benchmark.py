"""What `benchmark` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cli.tables import show_line, show_table
from headstart.disclosure import show
from headstart.units import duration, percent, size

if TYPE_CHECKING:
    from headstart.deploy.export.benchmark import Benchmark, Speed


def benchmark_and_show(model: Path, *, int8: bool, images: Path | None, count: int, as_json: bool) -> None:
    """Measure a model in all forms and print a table.

    Raises:
        HeadstartError: there is no model, or no picture.
    """
    from headstart.saved_models import benchmark

    found = benchmark(model, int8=int8, images=images, count=count)
    if as_json:
        facts = {"pictures": found.pictures, "n": found.n, "notes": list(found.notes)}
        show(json.dumps({**facts, "forms": [row.to_dict() for row in found.rows]}, ensure_ascii=False))
        return
    show_line(_answer(found))
    show_table(("form", "size", "start", "median", "p95", "images/s"), [_cells(row) for row in found.rows])
    show("")
    show_table(
        ("form", "labels that differ", "accuracy", "points of accuracy lost"), [_kept(row) for row in found.rows]
    )
    show_line(f"On {found.pictures}; latency of one picture, throughput in batches of 16, decoding not counted.")
    for note in found.notes:
        show_line(f"note: {note}")


def _answer(found: Benchmark) -> str:
    """Return in a sentence which form is the fastest and which the smallest, and whether all give the same labels."""
    fastest = max(found.rows, key=lambda row: row.images_per_second)
    smallest = min(found.rows, key=lambda row: row.bytes)
    speed = f"{fastest.images_per_second:,.0f} images/s"
    if fastest is smallest:
        best = f"The fastest form here and the smallest is {fastest.form}: {speed}, {size(fastest.bytes)}"
    else:
        best = (
            f"The fastest form here is {fastest.form}: {speed}; the smallest is {smallest.form}: {size(smallest.bytes)}"
        )
    most = max(row.labels_differ for row in found.rows)
    labels = f"at most {most:,} of {found.n:,} labels differ" if most else "no label differs"
    return f"{best}. From the original's, {labels}."


def _cells(row: Speed) -> tuple[str, ...]:
    return (
        row.form,
        size(row.bytes),
        duration(row.start_seconds),
        f"{row.median_ms:.1f} ms",
        f"{row.p95_ms:.1f} ms",
        f"{row.images_per_second:,.0f}",
    )


def _kept(row: Speed) -> tuple[str, ...]:
    return (
        row.form,
        str(row.labels_differ),
        "" if row.accuracy is None else percent(row.accuracy),
        "" if row.lost is None else f"{row.lost.points:+.1f} ({row.lost.low:+.1f} to {row.lost.high:+.1f})",
    )
