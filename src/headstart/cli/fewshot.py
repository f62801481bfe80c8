"""What `fewshot` does and prints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.cli.command_line import typed_command
from headstart.cli.outputs import check_writable
from headstart.cli.overview import said_overview
from headstart.cli.tables import show_line, show_table
from headstart.disclosure import show
from headstart.errors import SpecError
from headstart.units import percent


def fewshot_and_show(
    data: str,
    backbone: str,
    weights: str,
    reading: Mapping[str, Any],
    *,
    ways: int,
    shots: str,
    queries: int,
    episodes: int | None,
    methods: Sequence[str],
    seed: int,
    device: str,
    out: Path,
    as_json: bool,
) -> None:
    """Evaluate episodic classifiers on the features of a frozen network, or tune it in each episode.

    The table is printed, and written as a page. `reading` says which label and which bands are read.

    Raises:
        SpecError: an invalid number or name, or `out` is a file or cannot be written.
        DataError: too few images for the episodes, or several labels an image; nothing has been computed yet.
    """
    from headstart.labelled_images import evaluate_fewshot
    from headstart.report.render.notebook.studies import fewshot_html
    from headstart.report.render.standalone import write_standalone
    from headstart.storage.names import folder_name

    if not as_json:
        check_writable(out)
    result = evaluate_fewshot(
        data,
        backbone=backbone,
        weights=weights,
        **reading,
        ways=ways,
        shots=_numbers(shots),
        queries=queries,
        episodes=episodes,
        methods=methods,
        seed=seed,
        device=device,
        listener=said_overview(),
    )
    table = result.to_dict()
    if as_json:
        show(json.dumps(table))
        return
    drawn = table["rows"][0]["episodes"] if table["rows"] else 0
    _show(table, f"{result.name}: {ways}-way, {queries} queries, {drawn:,} episodes, seed {seed}")
    page = out / f"fewshot-{folder_name(result.name)}.html"
    show(
        f"\npage: {write_standalone(page, f'Few-shot scores of {result.name}', fewshot_html(result), typed_command())}"
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SpecError(f"--shots {text!r}: write whole numbers separated by commas, such as 1,5") from None


def _show(table: dict[str, Any], title: str) -> None:
    columns = ("method", "shots", "accuracy", "95 % interval", "for new classes", "episodes/s")
    rows = []
    for row in table["rows"]:
        new = row.get("new_classes")
        cells = (
            row["method"] + (" (transductive)" if row["transductive"] else ""),
            str(row["shots"]),
            percent(row["accuracy"], 2),
            "" if row["low"] is None else f"{100 * row['low']:.2f}–{100 * row['high']:.2f} %",
            "" if not new else f"{100 * new['low']:.1f}–{100 * new['high']:.1f} %",
            f"{row['episodes_per_second']:,.0f}" if row.get("episodes_per_second") else "",
        )
        rows.append(cells)
    for k, pairs in table["comparisons"].items():
        for pair in pairs[:6]:
            show_line(f"{k} shot{'' if str(k) == '1' else 's'}: {pair['verdict']}")
    if len({row["method"] for row in table["rows"]}) == 1:
        show_line(_answer(table["rows"]))
    filled = [k for k in range(len(columns)) if any(row[k] for row in rows)]
    show_table([columns[k] for k in filled], [[row[k] for k in filled] for row in rows], title)


def _answer(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return in a sentence how accurate one method is, where there is no other to compare it with."""
    first, *others = (f"{percent(row['accuracy'])} with {row['shots']}" for row in rows)
    images = "image" if rows[0]["shots"] == 1 else "images"
    return f"{rows[0]['method']}: {', '.join([f'{first} {images} of each class', *others])}"
