"""What `evaluate` does and prints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cli.command_line import typed_command
from headstart.cli.outputs import check_folder
from headstart.cli.tables import show_table
from headstart.disclosure import show
from headstart.errors import HeadstartError, NoLabels, SpecError, choose

if TYPE_CHECKING:
    from headstart.study.evaluation import Evaluated, Evaluation
    from headstart.study.unlabelled import DriftReport

PARTS = {name: name for name in ("all", "train", "validation", "test")}
SHOWN = ("accuracy", "top5_accuracy", "balanced_accuracy", "f1_macro", "mcc", "roc_auc", "log_loss", "brier", "ece")
SHOWN_LEAST = 8  # least familiar images
SHOWN_MULTI_LABEL = ("subset_accuracy", "hamming_accuracy", "f1_micro", "f1_macro", "map", "log_loss")


def evaluate_and_show(
    model: Path,
    data: str,
    against: Sequence[Path],
    *,
    label: str | None,
    corrections: Path | None = None,
    part: str,
    metric: str | None,
    device: str,
    out: Path,
    no_labels: bool,
    as_json: bool,
) -> None:
    """Evaluate saved models on images; print the measures, drift, what was left out and the report's place.

    Without labels there is only drift.

    Raises:
        SpecError: an option is unknown or impossible.
        DataError, WeightsError, ModelError: as `headstart.evaluate_models` raises them.
    """
    from headstart.saved_models import evaluate_models, measure_drift

    choose("part", part, PARTS)
    check_folder(out)
    if no_labels or not _has_labels(data, label):
        _check_without_labels(against, label, part, metric)
        drifted = measure_drift(model, data, out, device=device, command=typed_command())
        if as_json:
            print(json.dumps(drifted.to_dict(), ensure_ascii=False))
        else:
            show_drift(drifted)
        return
    found = evaluate_models(
        [model, *against],
        data,
        out,
        label=label,
        corrections=corrections,
        part=part,
        metric=metric,
        device=device,
        command=typed_command(),
    )
    if as_json:
        print(json.dumps(plain(found), ensure_ascii=False))
    else:
        show_evaluation(found)


def _has_labels(data: str, label: str | None) -> bool:
    """Say whether a source has labels; errors of another kind are left to who reads it."""
    from headstart.data.sources.load import list_dataset

    try:
        list_dataset(data, label=label)
    except NoLabels:
        return False
    except HeadstartError:
        return True
    return True


def _check_without_labels(against: Sequence[Path], label: str | None, part: str, metric: str | None) -> None:
    asked = {
        "--against": bool(against),
        "--label": label is not None,
        "--part": part != "all",
        "--metric": metric is not None,
    }
    if refused := [option for option, there in asked.items() if there]:
        raise SpecError(f"{', '.join(refused)}: needs labels, and these images have none; leave it out")


def show_drift(found: DriftReport) -> None:
    """Print how images without labels differ, the least familiar ones, and the report's place."""
    from headstart.report.render.drift_words import drift_sentences

    plural = "s" if found.images != 1 else ""
    show(f"{found.name}: {found.images:,} image{plural} without labels")
    for note in found.notes:
        show(f"note: {note}")
    for sentence in drift_sentences(found.drift.to_dict()):
        show(sentence)
    rows = [(name.replace("\n", "\\n"), f"{share:.3f}") for name, share in found.least[:SHOWN_LEAST]]
    show_table(("least familiar", "familiarity"), rows)
    show(f"report:  {found.report}")


def show_evaluation(found: Evaluation) -> None:
    """Print the measures of each model, what was left out, how the models compare, and the report's place."""
    from headstart.report.read.summary import load_summary

    plural = "s" if len(found.dataset) != 1 else ""
    show(f"{found.dataset.name}: {len(found.dataset):,} image{plural}, {len(found.dataset.classes)} classes")
    for note in found.notes:
        show(f"note: {note}")
    show_table(("measure", *(model.name for model in found.models)), _rows(found))
    for each in found.models:
        show(_change(each, found.metric))
    for each in found.models:
        for sentence in _drift(each):
            show(sentence if len(found.models) == 1 else f"{each.name}: {sentence}")
    if len(found.models) > 1:
        _compared(load_summary(found.folder.root).boards[0].pairwise, found)
    show(f"report:  {found.report}")


def _rows(found: Evaluation) -> list[tuple[str, ...]]:
    from headstart.report import numbers

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
        rows.append((name.replace("_", " "), *shown))
    return rows


def _change(model: Evaluated, metric: str) -> str:
    """Say how the score here differs from the model's own test score."""
    from headstart.report import numbers

    if model.own is None or model.change is None:
        return f"{model.name}: own test score unknown; give the study's or the run's folder to compare with it"
    own, change = model.own.metrics[metric], model.change
    shown = numbers.difference(*change, metric)
    score = numbers.score(own["value"], metric)
    if model.own.refitted:
        return (
            f"{model.name}: {metric.replace('_', ' ')} {shown} against {score} of the tested model that it was refitted"
            f" from, {model.own.run}, on {own['n']:,} test images of {model.own.dataset}; it has learned from these"
            " images itself, and has no test score of its own"
        )
    return (
        f"{model.name}: {metric.replace('_', ' ')} {shown} against {score} on its own"
        f" {own['n']:,} test images of {model.own.dataset}"
    )


def _drift(model: Evaluated) -> list[str]:
    """Say how the images differ from the model's own, judged without their labels."""
    from headstart.report.render.drift_words import drift_sentences

    if model.drift is None:
        return [f"Drift was not measured: {model.no_drift}."]
    return drift_sentences(model.drift.to_dict())


def _compared(pairs: Sequence[Mapping[str, Any]], found: Evaluation) -> None:
    """Say how the first model compares with each other one, paired over the images."""
    from headstart.report import numbers

    first = found.models[0].name
    for pair in pairs:
        if first not in (pair["a"], pair["b"]):
            continue
        sign, other = (1, pair["b"]) if pair["a"] == first else (-1, pair["a"])
        low, high = sorted((sign * pair["low"], sign * pair["high"]))
        shown = numbers.difference(sign * pair["difference"], low, high, found.metric)
        show(f"{first} less {other}, on the same images: {shown}")


def plain(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON holds it."""
    models = [
        {
            "model": each.name,
            "metrics": {key: value for key, value in each.metrics.items() if key not in ("confusion", "reliability")},
            "own": None if each.own is None else each.own.metrics.get(found.metric),
            "change": each.change,
            "refitted": each.own is not None and each.own.refitted,
            "drift": None if each.drift is None else each.drift.to_dict(),
            "no_drift": each.no_drift or None,
        }
        for each in found.models
    ]
    facts = {"data": found.dataset.name, "n": len(found.dataset), "metric": found.metric, "notes": list(found.notes)}
    return {**facts, "models": models, "folder": str(found.folder.root), "report": str(found.report)}
