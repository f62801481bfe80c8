"""Predictions as the rows of a CSV or JSON file, written one by one: every image has a row, an unread one its error."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from headstart.data.sources.unlabelled import STANDARD_INPUT
from headstart.deploy.classifier import Prediction
from headstart.disclosure import spreadsheet_text
from headstart.evaluate.uncertainty.answers import Judge


class Rows(Protocol):
    """A format: what is before, between and after the rows, and a row."""

    before: str
    between: str
    after: str

    def row(self, prediction: Prediction) -> str:
        """Return the row of one image."""
        ...


class CsvRows:
    """Rows of a CSV file: image, class, probability, error, then every class, or class_1, probability_1, class_2 ….

    Args:
        classes: the class names.
        top: how many classes have a column; None: all, each under its name.
        judged: how the answers are judged, or None; there are columns for answer, set and familiarity after the error,
            and for the decision where there are costs.
    """

    between = "\n"

    def __init__(self, classes: Sequence[str], top: int | None = None, judged: Judge | None = None) -> None:
        self.classes, self.top = classes, top
        self._judged = () if judged is None else ("answer", "set", "familiarity", *_decision(judged))
        ranks = range(1, min(top or 0, len(classes)) + 1)
        ranked = [name for rank in ranks for name in (f"class_{rank}", f"probability_{rank}")]
        self._columns = ranked if top else list(classes)
        self.before = f"{_line(['image', 'class', 'probability', 'error', *self._judged, *self._columns])}\n"
        self.after = "\n"

    def row(self, prediction: Prediction) -> str:
        """Return one line, without its end."""
        if prediction.error is not None:
            return _line([prediction.name, "", "", prediction.error, *[""] * (len(self._judged) + len(self._columns))])
        cells = [f"{value:.6f}" for value in prediction.probabilities] if self.top is None else []
        for name, value in best_classes(prediction, self.classes, self.top or 0):
            cells += [name, f"{value:.6f}"]
        share = "" if prediction.familiarity is None else f"{prediction.familiarity:.4f}"
        judged = [prediction.answer, "|".join(prediction.set), share, prediction.decision][: len(self._judged)]
        return _line([prediction.name, prediction.label, f"{prediction.probability:.6f}", "", *judged, *cells])


class JsonRows:
    """Rows of a JSON array: image, class, probability, probabilities by class, or image and error.

    Args:
        classes: the class names.
        top: how many of the most probable classes are in `probabilities`; None: all.
        judged: how the answers are judged, or None; as of `CsvRows`.
    """

    before, between, after = "[", ",\n ", "]\n"

    def __init__(self, classes: Sequence[str], top: int | None = None, judged: Judge | None = None) -> None:
        self.classes, self.top, self._judged = classes, top, judged

    def row(self, prediction: Prediction) -> str:
        """Return one object."""
        if prediction.error is not None:
            return _text({"image": prediction.name, "error": prediction.error})
        pairs = zip(self.classes, map(float, prediction.probabilities), strict=True)
        named = dict(pairs if self.top is None else best_classes(prediction, self.classes, self.top))
        found: dict[str, Any] = {
            "image": prediction.name,
            "class": prediction.label,
            "probability": prediction.probability,
        }
        if self._judged is not None:
            found |= judgement(prediction)
        return _text({**found, "probabilities": named})


def judgement(prediction: Prediction) -> dict[str, Any]:
    """Return answer, set and familiarity of a prediction that is judged, and its decision where there are costs."""
    share = prediction.familiarity
    found = {"answer": prediction.answer, "set": list(prediction.set), "familiarity": share}
    return found | ({"decision": prediction.decision} if prediction.decision else {})


def _decision(judged: Judge) -> tuple[str, ...]:
    return () if judged.uncertainty.costs is None else ("decision",)


FORMATS: dict[str, type[CsvRows] | type[JsonRows]] = {"csv": CsvRows, "json": JsonRows}


def best_classes(
    prediction: Prediction, classes: Sequence[str], top: int, *, digits: int | None = None
) -> list[tuple[str, float]]:
    """Return the `top` most probable classes with their probabilities, the most probable first.

    Args:
        prediction: of one image.
        classes: the class names.
        top: how many.
        digits: that the probabilities keep after the decimal point; None: all.
    """
    order = np.argsort(-prediction.probabilities, kind="stable")[:top]
    values = prediction.probabilities[order].astype(np.float64)
    shares = values if digits is None else values.round(digits)
    return list(zip(map(classes.__getitem__, order.tolist()), shares.tolist(), strict=True))


class RowWriter:
    """Writes rows one by one as they come.

    Args:
        rows: the format.
        write: takes the bytes, piece by piece.
    """

    def __init__(self, rows: Rows, write: Callable[[bytes], object]) -> None:
        self._rows, self._write, self.count = rows, write, 0
        write(_bytes(rows.before))

    def add(self, prediction: Prediction) -> None:
        """Write one row."""
        self._write((_bytes(self._rows.between) if self.count else b"") + _row(self._rows, prediction))
        self.count += 1

    def end(self) -> None:
        """Write what is after the rows."""
        self._write(_bytes(self._rows.after))


def write_rows(
    predictions: Iterable[Prediction], rows: Rows, write: Callable[[bytes], object], *, least_sure_first: bool = False
) -> None:
    """Write a row of each prediction in UTF-8; no more than one batch of them is in memory.

    Args:
        write: takes the bytes, piece by piece.
        least_sure_first: by rising probability, those without one last; the rows wait in a temporary file.
    """
    write(_bytes(rows.before))
    between = b""
    for line in _least_sure_first(predictions, rows) if least_sure_first else (_row(rows, p) for p in predictions):
        write(between + line)
        between = _bytes(rows.between)
    write(_bytes(rows.after))


def certainty(prediction: Prediction) -> float:
    """Return the probability of the class; infinity of an image that was not read, so that it comes last."""
    return float("inf") if prediction.error is not None else prediction.probability


def _least_sure_first(predictions: Iterable[Prediction], rows: Rows) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as waiting:
        places: list[tuple[float, int, int]] = []
        for prediction in predictions:
            line = _row(rows, prediction)
            places.append((certainty(prediction), waiting.tell(), len(line)))
            waiting.write(line)
        for _, start, length in sorted(places):
            waiting.seek(start)
            yield waiting.read(length)


def _row(rows: Rows, prediction: Prediction) -> bytes:
    return _bytes(rows.row(prediction))


def _bytes(text: str) -> bytes:
    """Return UTF-8; bytes of a file name that are not UTF-8 are written as JSON and Python escape them."""
    return text.encode("utf-8", "backslashreplace")


def _line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(
        [cell if cell == STANDARD_INPUT else spreadsheet_text(cell) for cell in cells]
    )
    return buffer.getvalue()


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
