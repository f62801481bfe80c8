"""An evaluation in words: measures, the change from a model's own test images, drift, models compared."""

from __future__ import annotations

from headstart.evaluate.metrics.names import measure_name
from headstart.report import numbers
from headstart.report.read.summary import load_summary
from headstart.report.render.drift_words import drift_sentences
from headstart.study.evaluation import Evaluated, Evaluation

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


def change_words(model: Evaluated, metric: str) -> str:
    """Return the score here, and how it differs from the model's own test score."""
    here = f"{model.name}: {measure_name(metric)} {numbers.score(model.metrics[metric]['value'], metric)}"
    if model.own is None or model.change is None:
        return f"{here}; its own test score is unknown: give the study's or the run's folder to compare with it"
    own, change = model.own.metrics[metric], model.change
    shown = numbers.difference(*change, metric)
    score = numbers.score(own["value"], metric)
    if model.own.refitted:
        return (
            f"{here}, {shown} against {score} of the tested model that it was refitted"
            f" from, {model.own.run}, on {own['n']:,} test images of {model.own.dataset}; it has learned from these"
            " images itself, and has no test score of its own"
        )
    return f"{here}, {shown} against {score} on its own {own['n']:,} test images of {model.own.dataset}"


def drift_lines(model: Evaluated) -> list[str]:
    """Return how the images differ from the model's own; their labels say how accurate it is."""
    if model.drift is None:
        return [f"Drift was not measured: {model.no_drift}."]
    return drift_sentences(model.drift.to_dict(), labelled=True)


def compared_words(found: Evaluation) -> list[str]:
    """Return how the first model compares with each other one, paired over the images."""
    if len(found.models) < 2:
        return []
    first, said = found.models[0].name, []
    for pair in load_summary(found.folder.root).boards[0].pairwise:
        if first not in (pair["a"], pair["b"]):
            continue
        sign, other = (1, pair["b"]) if pair["a"] == first else (-1, pair["a"])
        low, high = sorted((sign * pair["low"], sign * pair["high"]))
        shown = numbers.difference(sign * pair["difference"], low, high, found.metric)
        said.append(f"{first} less {other}, on the same images: {shown}")
    return said
