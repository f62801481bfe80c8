from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from headstart.deploy.classifier import Prediction
from headstart.deploy.prediction_rows import FORMATS, best_classes, certainty, write_rows

CLASSES = ("ant", 'b,"e"', "cät")
NAMES = ["a.jpg", 'odd,"name"\n.jpg', "b.jpg", "\udcff.jpg"]


def predictions() -> Iterator[Prediction]:
    """Yield three predictions and, as the third, an image that was not read."""
    for name, values in zip(NAMES, ([0.1, 0.2, 0.7], [0.5, 0.25, 0.25], None, [0.0, 0.9, 0.1]), strict=True):
        if values is None:
            yield Prediction(name, "", float("nan"), np.full(3, np.nan, np.float32), "is not an image")
        else:
            label = CLASSES[int(np.argmax(values))]
            yield Prediction(name, label, max(values), np.array(values, np.float32), labels=(label,))


def written(format: str, top: int | None = None, least_sure_first: bool = False) -> str:
    pieces: list[bytes] = []
    write_rows(predictions(), FORMATS[format](CLASSES, top), pieces.append, least_sure_first=least_sure_first)
    return b"".join(pieces).decode()


def test_a_csv_has_a_row_for_each_image_and_a_column_for_each_class() -> None:
    rows = list(csv.reader(io.StringIO(written("csv"))))
    assert rows == [
        ["image", "class", "probability", "error", *CLASSES],
        ["a.jpg", "cät", "0.700000", "", "0.100000", "0.200000", "0.700000"],
        [NAMES[1], "ant", "0.500000", "", "0.500000", "0.250000", "0.250000"],
        ["b.jpg", "", "", "is not an image", "", "", ""],
        ["\\udcff.jpg", 'b,"e"', "0.900000", "", "0.000000", "0.900000", "0.100000"],
    ]


@pytest.mark.parametrize("top", [1, 2, 3, 9])
def test_a_csv_of_the_top_classes_has_them_in_order(top: int) -> None:
    rows = list(csv.DictReader(io.StringIO(written("csv", top))))
    shown = min(top, 3)
    assert list(rows[0])[4:] == [f"{what}_{k}" for k in range(1, shown + 1) for what in ("class", "probability")]
    order: list[Any] = ["cät", "0.700000", 'b,"e"', "0.200000", "ant", "0.100000"]
    assert list(rows[0].values())[4:] == order[: 2 * shown]
    assert set(list(rows[2].values())[4:]) == {""}


@pytest.mark.parametrize("top", [None, 2])
def test_json_has_an_object_for_each_image(top: int | None) -> None:
    rows = json.loads(written("json", top))
    assert [row["image"] for row in rows] == NAMES
    assert rows[2] == {"image": "b.jpg", "error": "is not an image"}
    named = dict(zip(CLASSES, (0.1, 0.2, 0.7), strict=True))
    if top == 2:
        named = {"cät": 0.7, 'b,"e"': 0.2}
    assert rows[0]["class"] == "cät" and rows[0]["probability"] == 0.7
    assert list(rows[0]["probabilities"]) == list(named)
    assert rows[0]["probabilities"] == pytest.approx(named)


@pytest.mark.parametrize("format", ["csv", "json"])
def test_the_least_sure_come_first_and_the_unread_last(format: str) -> None:
    text = written(format, least_sure_first=True)
    rows = json.loads(text) if format == "json" else list(csv.DictReader(io.StringIO(text)))
    expected = [NAMES[1], "a.jpg", NAMES[3] if format == "json" else "\\udcff.jpg", "b.jpg"]
    assert [row["image"] for row in rows] == expected


def test_rows_are_written_while_images_are_still_being_read() -> None:
    pieces: list[bytes] = []
    seen: list[int] = []

    def watched() -> Iterator[Prediction]:
        for prediction in predictions():
            seen.append(len(pieces))
            yield prediction

    write_rows(watched(), FORMATS["json"](CLASSES), pieces.append)
    assert seen == [1, 2, 3, 4]


def test_equal_probabilities_keep_the_order_of_the_classes() -> None:
    equal = Prediction("a", "ant", 0.4, np.array([0.4, 0.2, 0.4], np.float32))
    assert [name for name, _ in best_classes(equal, CLASSES, 2)] == ["ant", "cät"]
    assert certainty(equal) == 0.4


def test_probabilities_keep_the_digits_that_are_asked_for() -> None:
    found = Prediction("a", "ant", 0.6, np.array([0.6000004, 0.3, 0.0999996], np.float32))
    assert best_classes(found, CLASSES, 3, digits=6) == [("ant", 0.6), (CLASSES[1], 0.3), (CLASSES[2], 0.1)]
    assert best_classes(found, CLASSES, 1) == [("ant", float(np.float32(0.6000004)))]


def test_a_spreadsheet_computes_no_name() -> None:
    pieces: list[bytes] = []
    names = ("=1+1.jpg", "-", "+x.jpg")
    made = [Prediction(name, "@a", 1.0, np.ones(1, np.float32), labels=("@a",)) for name in names]
    write_rows(made, FORMATS["csv"](["@a"]), pieces.append)
    rows = list(csv.reader(io.StringIO(b"".join(pieces).decode())))
    assert [row[0] for row in rows] == ["image", "'=1+1.jpg", "-", "'+x.jpg"]
    assert rows[0][4] == rows[1][1] == "'@a"
