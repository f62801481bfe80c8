"""The report as one HTML file that works offline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from headstart import units
from headstart.disclosure import disclosable, typed
from headstart.evaluate.metrics.names import MEASURES
from headstart.evaluate.metrics.scoring import METRICS
from headstart.maps.page import STYLE, map_scripts, static_text
from headstart.maps.script_json import script_json
from headstart.models.weights.licences import in_words
from headstart.report import numbers
from headstart.report.read.errors import Details, details_of
from headstart.report.read.summary import RunFacts, Summary, load_summary, total_seconds
from headstart.report.render.class_order import together
from headstart.report.render.drift_page import template_environment
from headstart.report.render.evaluation_words import said_of
from headstart.report.render.halving_text import halving_lines, proxy_lines
from headstart.report.render.map_section import map_data
from headstart.report.render.thumbnails import (
    BUDGET,
    base64_pictures,
    explanation_pictures,
    paired_pictures,
    rows_wanted,
    short_audit,
)
from headstart.report.render.words import STATES, interval_words, state_meaning, state_words, times_head, with_code
from headstart.storage.files import write_atomic

SCRIPTS = (
    "dom.js",
    "chart.js",
    "table.js",
    "ranking.js",
    "figures.js",
    "training.js",
    "classes.js",
    "matrix.js",
    "gallery.js",
    "counts.js",
    "evidence.js",
    "uncertainty.js",
    "audit.js",
    "likeness.js",
    "map_section.js",
    "runs.js",
    "main.js",
)

SHORT = {"uncertainty": "How sure", "transfer": "Transfer"}  # titles in the bar at the top, where there is little room

CELLS = 60_000  # cells of all confusion matrices that a page holds; the fullest come first

LEADS = {
    "pairs": "Each table answers its own question, and in each at most about one study in twenty claims a difference"
    " that is not there. Every pair is the largest question, so it is the strictest. A cell there is the score of its"
    " row minus the score of its column. Intervals are those of each pair alone; the verdict also allows for the"
    " number of comparisons, so that an interval without zero may still come with 'cannot tell yet'.",
    "cost": "The cost of using each model, and the time that it took to train. No run beats those on the dashed line in"
    " both score and cost. The time for an image is that of the pass in this study; an ensemble takes that of all its"
    " networks. Sizes are those of 32-bit floats.",
    "learning": "Score against the number of labelled images: each point is a run over its seeds with its 95 %"
    " interval.",
    "training": "Loss and score on training and validation images, epoch by epoch.",
    "mistakes": "Images that a run classifies wrongly, in most of its seeds or repeats where it has several; those with"
    " the lowest probability for the true class come first.",
    "map": "Test images that the network sees as similar are close together.",
    "calibration": "On the diagonal, predictions made with 80 % confidence are right in 8 of 10 cases. Probabilities"
    " are shown after temperature scaling on validation.",
    "uncertainty": "The answers of the saved model for images without labels. It was calibrated on validation"
    " images; every figure below was measured on test images.",
    "drift": "Whether these images are like those that a model was checked on, judged without their labels.",
    "transfer": "The order of the networks predicted from the embeddings before training, and the order measured"
    " afterwards.",
    "explained": "The same test images, explained for two networks. They are drawn with a fixed seed, in turn from each"
    " class. Below each map is the class that it explains: the one that this network predicts, with its probability.",
    "similarity": "The Fréchet distance compares Gaussians fitted to the embeddings of equally many images of source"
    " and target; the distance within the target shows how far apart two samples of the same images are. CKA is 1"
    " where two stages represent the images in the same way up to rotation and scale, and about 0 where they have"
    " nothing in common.",
    "runs": "Everything that a run's result depends on.",
}

HINTS = {  # what only a screen can do
    "cost": "Drag to zoom, double-click to reset.",
    "mistakes": "Point at an image for the name of its file, click to enlarge it.",
}


def write_html(study: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a study folder as one self-contained page; return where.

    Args:
        study: the study's folder, finished or not.
        out: the file; by default report.html in the study's folder.

    Raises:
        StoreError: a run folder has files missing or altered, or the page cannot be written.
    """
    summary = load_summary(study)
    path = Path(out) if out is not None else Path(study) / "report.html"
    write_atomic(path, render(summary))
    return path


def render(summary: Summary) -> str:
    """Return the page."""
    static = package_files("headstart.report.render") / "static"

    def text(name: str) -> str:
        return (static / name).read_text(encoding="utf-8")

    environment = template_environment()
    environment.filters |= {"score": numbers.score, "seconds": units.duration}
    template = environment.get_template("page")
    payload = page_data(summary)
    return template.render(
        summary=summary,
        rows=summary.ranking(),
        use_it=use_it(summary),
        tiles=tiles(summary),
        sections=sections(payload),
        interval=numbers.interval,
        halving_lines=halving_lines(summary.halving) if summary.halving else [],
        proxy_lines=proxy_lines(summary.proxy, summary.left_out) if summary.proxy else [],
        leads=LEADS,
        hints=HINTS,
        short=SHORT,
        intervals=with_code(interval_words(summary.boards)),
        states=state_words(summary.boards),
        weights=weights_used(summary),
        style=text("report.css") + static_text(STYLE),
        scripts="\n".join([map_scripts(), *(text(name) for name in SCRIPTS)]),
        data=script_json(payload),
        drift=summary.files.drift,
        evaluation_said=said_of(summary.files.evaluation) if summary.files.evaluation else [],
    )


def page_data(summary: Summary) -> dict[str, Any]:
    """Return everything the figures show, as plain JSON values."""
    details = details_of(summary.files)
    plain = summary.to_dict()
    datasets = {key: _dataset(summary, key, details) for key in summary.datasets}
    share = CELLS // max(1, len(summary.runs))
    return {
        **{key: plain[key] for key in ("name", "question", "answer", "ranking", "boards", "failed", "missing")},
        "measures": _measures(),
        "partial": summary.partial,
        "meanings": {state: state_meaning(state, board) for board in summary.boards[:1] for state in STATES},
        "learning": (summary.files.learning or {}).get("curves", []),
        "runs": [_run(run, details.get(run.run), datasets, share) for run in summary.runs],
        "datasets": datasets,
        "transferability": summary.transferability,
        "similarity": summary.files.similarity,
        "uncertainty": summary.files.uncertainty,
        "map": map_data(summary.files),
        "drift": summary.files.drift is not None,
        "explained": paired_pictures(summary.files.root, (summary.files.explained or {}).get("pairs", [])),
        "spec": summary.spec,
        "environment": summary.environment,
    }


def use_it(summary: Summary) -> str:
    """Return the command that uses the model, or "" where the study has none."""
    root = summary.files.root
    return (
        f"headstart predict {disclosable(typed([str(root)]))} YOUR-PHOTO.jpg"
        if (root / "model.safetensors").is_file()
        else ""
    )


def _measures() -> dict[str, list[Any]]:
    """Return of each measure its name, what it means, and its bounds; None where it has none."""
    found: dict[str, list[Any]] = {key: [name, None, [0.0, 1.0]] for key, name in MEASURES.items()}
    for key, metric in METRICS.items():
        found[key][1:] = [metric.meaning, [bound if math.isfinite(bound) else None for bound in metric.bounds]]
    return found


def tiles(summary: Summary) -> list[tuple[str, str]]:
    """Return the figures below the answer: value and what it is."""
    spent = sum((run.cost.get("seconds") or 0.0) * len(run.seeds) for run in summary.runs)
    shared: dict[tuple[Any, ...], float] = {}
    for run in summary.runs:  # what runs share is paid once
        key = tuple(str(run.spec.get(name)) for name in ("backbone", "weights", "truncate_at", "freeze_until", "data"))
        shared[key] = max(shared.get(key, 0.0), run.cost.get("shared_seconds") or 0.0)
    finished = sum(len(run.seeds) for run in summary.runs)
    expected = finished + len(summary.missing) + len(summary.failed)
    if summary.boards and all(board.evaluated for board in summary.boards):
        what = "model" if len(summary.runs) == 1 else "models"
    else:
        what = f"runs × {times_head(summary.boards)} finished"
    found = [(f"{finished}" if finished == expected else f"{finished} of {expected}", what)]
    if summary.boards:
        board = summary.boards[0]
        found.append((f"{board.n:,}", "episodes" if board.kind == "episodes" else "test images"))
    if summary.datasets:
        facts = next(iter(summary.datasets.values()))
        known = len(facts.get("classes", []))
        here = sum(map(any, zip(*(facts.get("counts") or {}).values(), strict=True))) or known
        shown = f"{known}" if here == known else f"{here} of {known}"
        found.append((shown, f"classes in {facts.get('name', 'the data')}"))
    found.append((units.duration(spent + sum(shared.values())), "computing time"))
    return found


def sections(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the sections that have something to show: id and title."""
    runs = payload["runs"]
    shown = {
        "ranking": True,
        "pairs": any(len(board["ranking"]) > 1 for board in payload["boards"]),
        "cost": sum(bool(run["total_seconds"]) for run in runs) > 1,  # what one run cost is among the runs
        "learning": any(axis in run["axes"] for run in runs for axis in ("shots", "fraction")),
        "training": any(run["history"] for run in runs),
        "classes": any(run["per_class"] for run in runs),
        "mistakes": any(run["mistakes"] for run in runs),
        "map": bool(payload["map"]),
        "explained": bool(payload["explained"]),
        "calibration": any(run["reliability"] for run in runs),
        "uncertainty": bool(payload["uncertainty"]),
        "drift": bool(payload["drift"]),
        "data": bool(payload["datasets"]),
        "transfer": bool(payload["transferability"]),
        "similarity": any((payload["similarity"] or {}).get(key) for key in ("frechet", "stages")),
        "runs": bool(runs) or bool(payload["failed"]),
        "reproduce": True,
    }
    compared = sum(len(board["ranking"]) for board in payload["boards"]) > 1 or not payload["boards"]
    titles = {
        "ranking": "Leaderboard" if compared else "Score",
        "pairs": "Comparisons",
        "cost": "Cost",
        "learning": "Learning curves",
        "training": "Training",
        "classes": "Classes",
        "mistakes": "Mistakes",
        "map": "Map",
        "explained": "Side by side",
        "calibration": "Calibration",
        "uncertainty": "How sure an answer is",
        "drift": "Drift",
        "data": "Data",
        "transfer": "Transferability",
        "similarity": "Similarity",
        "runs": "Runs",
        "reproduce": "Reproduce",
    }
    return [(key, titles[key]) for key, there in shown.items() if there]


def weights_used(summary: Summary) -> list[tuple[str, str, str]]:
    """Return origin, sha256 and licence of all weights that runs started from, each once."""
    found = [tuple(run.weights.get(key) for key in ("origin", "sha256", "licence")) for run in summary.runs]
    return [
        (str(origin), str(digest or ""), f"licence {in_words(licence)}" if digest else "")
        for origin, digest, licence in dict.fromkeys(found)
        if origin
    ]


def _run(run: RunFacts, details: Details | None, datasets: Mapping[str, Any], share: int) -> dict[str, Any]:
    data = str((run.spec.get("data") or {}).get("fingerprint", ""))
    pictured = {int(row) for row in datasets.get(data, {}).get("images", ())}
    return {
        "run": run.run,
        "number": run.number,
        "board": run.board,
        "data": data,
        "seeds": run.seeds,
        "spec": run.spec,
        "axes": run.axes,
        "metrics": {name: _rounded(value) for name, value in run.metrics.items()},
        "cost": run.cost,
        "use": run.use,
        "total_seconds": total_seconds(run.cost),
        "parameters": run.parameters,
        "weights": run.weights,
        "images": run.images,
        "chosen": run.chosen,
        "tried": run.tried,
        "temperature": run.temperature,
        "history": {seed: [_rounded(row) for row in rows] for seed, rows in run.history.items()},
        "notes": run.notes,
        **_details(details, pictured, share),
    }


def _details(details: Details | None, pictured: set[int], share: int) -> dict[str, Any]:
    """Return the lists that the class, mistake and calibration figures read, as short as they go.

    Args:
        details: of the run, or None.
        pictured: rows whose pictures the page holds; no others are named.
        share: how many cells of its confusion matrix the run may take.
    """
    if details is None:
        return {key: [] for key in ("cells", "per_class", "mistakes", "reliability", "explanations")}
    right = [cell for cell in details.cells if cell.truth == cell.guess]
    wrong = [cell for cell in details.cells if cell.truth != cell.guess]
    cells = [*wrong[: max(0, share - len(right))], *right]
    columns = ("class", "n", "recall", "precision", "f1")
    return {
        "cells": [[c.truth, c.guess, _count(c.count), *(row for row in c.images if row in pictured)] for c in cells],
        "cells_left_out": len(details.cells) - len(cells),
        "per_class": [[row.get(column) for column in columns] for row in details.per_class],
        "mistakes": [
            [m.row, m.truth, m.guess, round(m.confidence, 4), round(m.own, 5), m.seeds] for m in details.mistakes
        ],
        "reliability": details.reliability,
        "explanations": explanation_pictures(details.explanations),
    }


def _count(count: float) -> float:
    """Return a number of images with two digits after the point, or none where it is whole."""
    return int(count) if count == int(count) else round(count, 2)


def _dataset(summary: Summary, key: str, details: Mapping[str, Details]) -> dict[str, Any]:
    folder = summary.files.datasets[key]
    ranked = [run for board in summary.boards if board.data == key for run in board.runs if run in details]
    labels = {
        int(row): int(label)
        for record in summary.files.records
        if record.data == key and record.outcome is not None
        for row, label in zip(record.outcome.rows, record.outcome.labels, strict=True)
    }
    share = BUDGET // max(1, len(summary.datasets))
    explained = [int(item["row"]) for run in ranked for item in details[run].explanations]
    found = summary.files.uncertainty or {}
    if found.get("data") == key:
        explained = [*(int(row) for row, _ in (found.get("familiarity") or {}).get("least", [])), *explained]
    images = base64_pictures(folder, rows_wanted([details[run] for run in ranked], explained), labels, share)
    good = ranked[: max(1, len(ranked) // 2)]  # what a poor run confuses is chance
    cells = [cell for run in good for cell in details[run].cells]
    order = together(cells, len(folder.classes)) if cells else None
    return {**folder.facts, "audit": short_audit(folder.audit), "images": images, "order": order}


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in row.items()}
