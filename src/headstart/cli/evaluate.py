"""What `evaluate` does and prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cli.command_line import typed_command
from headstart.cli.outputs import check_writable
from headstart.cli.tables import show_line, show_table
from headstart.disclosure import show
from headstart.errors import HeadstartError, NoLabels, SpecError, choose

if TYPE_CHECKING:
    from headstart.study.evaluation import Evaluation
    from headstart.study.unlabelled import DriftReport

PARTS = {name: name for name in ("all", "train", "validation", "test")}
SHOWN_LEAST = 8  # least familiar images


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
    check_writable(out)
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
    """Return whether a source has labels; errors of another kind are left to who reads it."""
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
        show_line(f"note: {note}")
    for sentence in drift_sentences(found.drift.to_dict()):
        show_line(sentence)
    rows = [(name.replace("\n", "\\n"), f"{share:.3f}") for name, share in found.least[:SHOWN_LEAST]]
    show_table(("least familiar", "familiarity"), rows)
    show(f"report:  {found.report}")


def show_evaluation(found: Evaluation, *, updated: bool = False) -> None:
    """Print how good each model is and how they compare, every measure, drift, and the report's place.

    Args:
        found: the evaluation.
        updated: of an updated model and the previous one, on test images of the study: how they compare was said, and
            whether the images are like the models' own is no question.
    """
    from headstart.report.render.evaluation_words import (
        change_words,
        compared_words,
        drift_lines,
        images_words,
        measure_rows,
    )

    if not updated:
        show(images_words(found))
    for note in found.notes:
        show_line(f"note: {note}")
    for each in found.models:
        show_line(change_words(each.beside_own(found.metric), found.metric))
    for sentence in () if updated else compared_words(found):
        show_line(sentence)
    show_table(("measure", *(model.name for model in found.models)), measure_rows(found))
    for each in () if updated else found.models:
        for sentence in drift_lines(each):
            show_line(sentence if len(found.models) == 1 else f"{each.name}: {sentence}")
    show(f"report:  {found.report}")


def plain(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON holds it."""
    models = [
        {
            "model": each.name,
            "metrics": {key: value for key, value in each.metrics.items() if key not in ("confusion", "reliability")},
            "own": None if each.own is None else each.own.metrics.get(found.metric),
            "change": each.change,
            "shared": each.shared,
            "refitted": each.own is not None and each.own.refitted,
            "drift": None if each.drift is None else each.drift.to_dict(),
            "no_drift": each.no_drift or None,
        }
        for each in found.models
    ]
    facts = {"data": found.dataset.name, "n": len(found.dataset), "metric": found.metric, "notes": list(found.notes)}
    return {**facts, "models": models, "folder": str(found.folder.root), "report": str(found.report)}
