from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from headstart.report.read.summary import load_summary
from headstart.report.render.formats import write_report
from headstart.report.render.png import ACCENT, BOTTOM, EDGE, REST, ROW, SCALE, TOP, WIDTH, draw_ranking, write_png


def test_png_has_ink_where_the_intervals_are(study: Path, tmp_path: Path) -> None:
    with Image.open(write_report(study, "png", tmp_path / "r.png")) as image:
        assert image.width == 1840
        assert (11, 110, 120) in {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}


def ranked(run: str, mean: float, state: str, *, low: float, high: float, chosen: bool = False) -> dict[str, Any]:
    return {"run": run, "mean": mean, "low": low, "high": high, "state": state, "chosen": chosen}


def summary(*boards: Any) -> Any:
    return SimpleNamespace(question="Which is best?", boards=boards)


def board(*rows: dict[str, Any], metric: str = "accuracy", chosen: str | None = None) -> Any:
    known = {"title": "photos", "kind": "images", "n": 100, "tested": "2 seeds"}
    return SimpleNamespace(ranking=rows, metric=metric, chosen=chosen, **known)


ROWS = (
    ranked("net", 0.9, "best", low=0.8, high=1.0),
    ranked("other", 0.88, "tied", low=0.8, high=0.96),
    ranked("base", 0.4, "behind", low=0.2, high=0.6),
)


def columns_of(picture: Image.Image, row: int, colour: str) -> np.ndarray:
    """Return the columns in which the middle of a row, between its name and its figures, has a colour."""
    y = round(SCALE * (TOP + ROW * (row + 0.5)))
    pixels = np.asarray(picture, dtype=int)[y - 1 : y + 1, : SCALE * (WIDTH - EDGE - 170)]
    near = (np.abs(pixels - np.array(ImageColor.getrgb(colour))) <= 8).all(axis=(0, 2))
    return np.flatnonzero(near)


def test_the_best_and_the_tied_runs_are_accented_and_the_others_grey() -> None:
    picture = draw_ranking(summary(board(*ROWS)))
    assert picture.size == (SCALE * WIDTH, SCALE * (TOP + 3 * ROW + BOTTOM))
    for row, (colour, other) in enumerate([(ACCENT, REST), (ACCENT, REST), (REST, ACCENT)]):
        assert len(columns_of(picture, row, colour)) > 20 and len(columns_of(picture, row, other)) == 0


def test_intervals_are_drawn_to_one_scale() -> None:
    picture = draw_ranking(summary(board(*ROWS)))
    spans = [columns_of(picture, row, colour) for row, colour in ((0, ACCENT), (2, REST))]
    widths = [int(np.ptp(span)) for span in spans]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.02)  # 0.2 to 0.6 is twice 0.8 to 1.0
    assert spans[1].max() < spans[0].min()  # 0.6 is left of 0.8


def test_every_board_has_its_part_and_no_result_is_said() -> None:
    one, two = board(*ROWS), board(ROWS[0], metric="log_loss")
    assert draw_ranking(summary(one, two)).height == SCALE * (2 * (TOP + BOTTOM) + 4 * ROW)
    empty = np.asarray(draw_ranking(summary()))
    assert empty.shape[0] == SCALE * (TOP + BOTTOM) and (empty < 128).any()


def test_scores_that_are_equal_can_be_drawn(tmp_path: Path, tiny: Path) -> None:
    assert draw_ranking(summary(board(ranked("a", 1.0, "best", low=1.0, high=1.0)))).height > 0
    place = write_png(tiny, tmp_path / "r.png")
    with Image.open(place) as image:
        assert image.height == SCALE * (TOP + len(load_summary(tiny).ranking()) * ROW + BOTTOM)
