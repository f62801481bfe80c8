"""An evaluation in words: measures, the change from a model's own test images, drift, models compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headstart.evaluate.metrics.names import measure_name
from headstart.evaluate.metrics.scoring import METRICS
from headstart.report import numbers
from headstart.report.read.summary import load_summary
from headstart.report.render.drift_words import drift_sentences

if TYPE_CHECKING:  # they load PyTorch, and pages are made without it
    from headstart.study.evaluation import Evaluation
    from headstart.study.results.evaluated import Evaluated

SHOWN = ("accuracy", "top5_accuracy", "balanced_accuracy", "f1_macro", "mcc", "roc_auc", "log_loss", "brier", "ece")
SHOWN_MULTI_LABEL = ("subset_accuracy", "label_accuracy", "f1_micro", "f1_macro", "map", "log_loss")


def measure_rows(found: Evaluation) -> list[tuple[str, ...]]:
    """Return a row for each measure: its name, and the score and interval of each model."""
    rows = []
    for name in SHOWN_MULTI_LABEL if found.dataset.multi_label else SHOWN:
        cells = [model.metrics.get(name) for model in found.models]
        if any(cell is None for cell in cells):
            continue
        shown = [
            f"{numbers.score(cell['value'], name)}  ({numbers.interval(cell['low'], cell['high'], name)})"
            for cell in cells
            if cell is not None
        ]
        rows.append((measure_name(name), *shown))
    return rows


def change_words(beside: Mapping[str, Any], metric: str) -> str:
    """Return the score here, and how it differs from the model's own test score.

    Args:
        beside: as `Evaluated.beside_own` gives it.
        metric: that both are measured by.
    """
    here = f"{beside['model']}: {measure_name(metric)} {numbers.score(beside['value'], metric)}"
    own, change, shared = beside["own"], beside["change"], beside["shared"]
    if own is None:
        return (
            f"{here}; its own test score and the images that it has learned from are unknown, so that none of these are"
            " left out: give the folder of its finished study, or of its run"
        )
    score = numbers.score(own["value"], metric)
    if shared == beside["n"] == own["n"]:
        return (
            f"{here}; these are its own {own['n']:,} test images, of {own['dataset']}, on which its study gave {score}"
        )
    if shared:
        return (
            f"{here}, {score} on its own {own['n']:,} test images of {own['dataset']}; {shared:,} of these"
            f" {beside['n']:,} are among them, so the difference has no interval"
        )
    if change is None:
        return f"{here}, {score} on its own {own['n']:,} test images of {own['dataset']}"
    shown = numbers.difference(change[0], change[1], change[2], metric)
    if own["refitted"]:
        return (
            f"{here}, {shown} against {score} of the tested model that it was refitted"
            f" from, {own['run']}, on {own['n']:,} test images of {own['dataset']}; it has learned from these"
            " images itself, and has no test score of its own"
        )
    return f"{here}, {shown} against {score} on its own {own['n']:,} test images of {own['dataset']}"


def images_words(found: Evaluation) -> str:
    """Return what was scored: the images, and how many classes of the models they are of."""
    known, here = len(found.dataset.classes), sum(1 for count in found.dataset.counts() if count)
    classes = f"{known} classes" if here == known else f"{here} of the model's {known} classes"
    return f"{found.dataset.name}: {len(found.dataset):,} image{'s' * (len(found.dataset) != 1)}, {classes}"


def said_of(evaluation: Mapping[str, Any]) -> list[str]:
    """Return what the page says besides the measures: models beside their own scores, and what was left out.

    Args:
        evaluation: the file that `evaluate` keeps of it.
    """
    notes = [f"{note[:1].upper()}{note[1:]}." for note in evaluation["notes"]]
    return [f"{change_words(each, evaluation['metric'])}." for each in evaluation["models"]] + notes


def drift_lines(model: Evaluated) -> list[str]:
    """Return how the images differ from the model's own; their labels say how accurate it is."""
    if model.drift is None:
        return [f"Drift was not measured: {model.no_drift}."]
    return drift_sentences(model.drift.to_dict(), labelled=True)


def compared_words(found: Evaluation) -> list[str]:
    """Return how the first model compares with each other one, paired over the images."""
    return [
        f"{found.models[0].name} less {other}, on the same images: {numbers.difference(*figures, found.metric)}"
        for other, figures in _differences(found)
    ]


def updated_words(found: Evaluation) -> str:
    """Return the answer to whether an updated model, the first, is better than the previous one, the second."""
    ((_, (difference, low, high)),) = _differences(found)
    if low <= 0 <= high:
        verdict = "may be better or worse than the previous one"
    else:
        better = (difference > 0) == METRICS[found.metric].higher_is_better
        verdict = f"is {'better' if better else 'worse'} than the previous one"
    scores = " against ".join(numbers.score(_value(model, found.metric), found.metric) for model in found.models)
    images = numbers.counted(len(found.dataset), "test image")
    shown = numbers.difference(difference, low, high, found.metric)
    return f"The updated model {verdict}: {measure_name(found.metric)} {scores} on the same {images}, {shown}."


def _value(model: Evaluated, metric: str) -> float | None:
    cell = model.metrics.get(metric)
    return None if cell is None else cell["value"]


def _differences(found: Evaluation) -> list[tuple[str, tuple[float, float, float]]]:
    """Return each other model with the first model's score less its, and the interval of that."""
    if len(found.models) < 2:
        return []
    first, differences = found.models[0].name, []
    for pair in load_summary(found.folder.root).boards[0].pairwise:
        if first not in (pair["a"], pair["b"]):
            continue
        sign, other = (1, pair["b"]) if pair["a"] == first else (-1, pair["a"])
        low, high = sorted((sign * pair["low"], sign * pair["high"]))
        differences.append((other, (sign * pair["difference"], low, high)))
    return differences
