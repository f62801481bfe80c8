"""Few-shot scores in words: the best method for each number of labelled images, and what it is better than."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.report import numbers

if TYPE_CHECKING:  # they load PyTorch, and pages are made without it
    from headstart.fewshot.comparisons import PairOfMethods
    from headstart.fewshot.evaluation import FewShotResult, FewShotRow

AS_GOOD = ("tied", "cannot tell")
ALONE = "Transductive methods see all queries of an episode together; the others judge each image by itself."


def answer_words(result: FewShotResult) -> list[str]:
    """Return a sentence for each number of labelled images: the most accurate method, and the best one of its kind.

    Of transductive methods and those that judge each image by itself, the best is named of both; methods that may be as
    good as the most accurate one are named with it.
    """
    shots = sorted({row.shots for row in result.rows})
    return [_answer(_of(result, each), _as_good(result, each)) for each in shots]


def telling_pairs(result: FewShotResult, shots: int, limit: int) -> tuple[list[PairOfMethods], int]:
    """Return the most accurate method beside the next ones, at most `limit`, and how many pairs are left out."""
    pairs = result.comparisons.get(shots, [])
    order = {row.method: place for place, row in enumerate(_of(result, shots))}
    first = [pair for pair in pairs if 0 in (order[pair.first], order[pair.second])]
    first.sort(key=lambda pair: order[pair.first] + order[pair.second])
    return first[:limit], len(pairs) - len(first[:limit])


def _of(result: FewShotResult, shots: int) -> list[FewShotRow]:
    """Return the rows of a number of shots, the most accurate method first."""
    return sorted((row for row in result.rows if row.shots == shots), key=lambda row: -row.accuracy)


def _as_good(result: FewShotResult, shots: int) -> list[str]:
    """Return the methods that are tied with the most accurate one, or may be as good."""
    best = _of(result, shots)[0].method
    pairs = telling_pairs(result, shots, len(result.rows))[0]
    return [pair.second if pair.first == best else pair.first for pair in pairs if pair.category in AS_GOOD]


def _answer(rows: list[FewShotRow], as_good: list[str]) -> str:
    best = rows[0]
    images = f"With {numbers.counted(best.shots, 'image')} of each class,"
    if len(rows) == 1:
        return f"{images} {best.method} is right in {numbers.percent(best.accuracy)} of the cases."
    said = f"{images} {_named(best)} is the most accurate: {numbers.percent(best.accuracy)}"
    if as_good:
        said += f" ({' and '.join(as_good)} may be as good)"
    other = next((row for row in rows if row.transductive != best.transductive), None)
    if other is None:
        return f"{said}."
    kind = "transductive methods" if other.transductive else "those that judge each image by itself"
    return f"{said}; of {kind}, {other.method}: {numbers.percent(other.accuracy)}."


def _named(row: FewShotRow) -> str:
    return f"{row.method} (transductive)" if row.transductive else row.method
