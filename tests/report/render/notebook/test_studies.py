from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_study import RUNS, make_study
from sound_html import text_of

from headstart.api import Results
from headstart.fewshot.evaluation import FewShotSpec, LabelledFeatures, run_fewshot
from headstart.report import numbers
from headstart.report.read.conclusion import plain
from headstart.report.read.summary import load_summary
from headstart.report.render.notebook import studies as module
from headstart.report.render.notebook.studies import drift_html, evaluation_html, fewshot_html, plan_html, study_html
from headstart.study.planning.describe import PlanRows


def test_a_study_gives_its_answer_first_and_then_every_run_with_its_interval(study: Path) -> None:
    summary = load_summary(study)
    html = str(study_html(summary, str(study)))
    text = text_of(html)
    assert text.replace(" :", ":").startswith(" ".join(plain(summary.answer).split()))
    rows = [row for row in summary.ranking() if row["board"] == 0][: module.ROWS]
    places = [text.index(f"{row['rank']} {row['run']}") for row in rows]
    assert places == sorted(places)
    best = rows[0]
    shown = numbers.interval(best["low"], best["high"], best["metric"])
    assert f"{numbers.score(best['mean'], best['metric'])} {shown} best" in text
    assert text.endswith(f"Report: {study}/report.html")
    assert Results(study)._repr_html_() == html


def test_a_long_ranking_is_cut(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 2)
    summary = load_summary(study)
    count = len(summary.boards[0].runs)
    assert f"and {count - 2} more runs" in text_of(str(study_html(summary, "x")))


def test_hostile_names_are_text(tmp_path: Path) -> None:
    from dataclasses import replace

    runs = tuple(replace(run, name=f"<img src=x onerror=alert(1)> {run.name}") for run in RUNS[3:5])
    place = make_study(tmp_path, runs, classes=3, per_class=10, seeds=2, draws=10, baseline=None)
    assert "<img src=x onerror=alert(1)> ridge" in text_of(str(study_html(load_summary(place), "x")))


def test_a_plan_has_its_groups_the_total_and_what_is_unavailable() -> None:
    stage = {"kind": "features", "what": "resnet18", "done": False, "shared": False, "seconds": 62.5}
    group = {
        "kind": "heads", "backbone": "resnet18", "dataset": "photos", "images": 1200, "runs": ["knn", "ridge"],
        "tasks": 2, "done": 1, "configurations": 2, "seconds": 65.0, "disk_bytes": 5_000_000,
        "memory_bytes": 2_000_000_000, "stages": [stage, {**stage, "kind": "decode", "done": True}],
    }  # fmt: skip
    far = {"kind": "unavailable", "runs": ["<far>"], "why": "no weights"}
    text = text_of(str(plan_html(PlanRows([group, far]))))
    assert (
        "heads: resnet18 on photos (1,200 images) knn and ridge: 2 runs × seeds, 1 done"
        " pass resnet18 (1 min 2 s); decode resnet18 (cached) 1 min 5 s 5.0 MB 2.0 GB" in text
    )
    assert "total 1 min 5 s 5.0 MB 2.0 GB" in text and text.endswith("Unavailable: <far>: no weights")


def test_few_shot_scores_are_by_shots_with_what_they_tell() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20)
    features = (np.eye(6)[labels] + generator.normal(0, 0.6, (120, 6))).astype(np.float32)
    data = LabelledFeatures(labels, [f"c{k}" for k in range(6)], features, name="points")
    found = run_fewshot(data, FewShotSpec(3, (5, 1), 4, 200, ("prototypes", "ridge"), 1))
    text = text_of(str(fewshot_html(found)))
    assert text.startswith(
        "points: 3-way episodes from 6 classes, 4 queries of each With 1 image of each class, ridge is"
    )
    rows = {(row.method, row.shots): row for row in found.rows}
    assert text.index("prototypes 1 ") < text.index("prototypes 5 ")
    for row in rows.values():
        assert f"{row.method} {row.shots} {numbers.percent(row.accuracy)}" in text
    assert found.comparisons[5][0].verdict in text


def test_the_scale_of_few_shot_scores_ends_at_100_per_cent() -> None:
    labels = np.repeat(np.arange(4), 10)
    features = (4 * np.eye(4)[labels] + np.random.default_rng(0).normal(0, 1, (40, 4))).astype(np.float32)
    data = LabelledFeatures(labels, [f"c{k}" for k in range(4)], features, name="points")
    found = run_fewshot(data, FewShotSpec(4, (1, 5), 4, 200, ("prototypes",), 1))
    assert found.rows[1].accuracy > 0.999 and found.rows[0].accuracy < 0.96
    assert "<span>100.0 %</span></span></th>" in str(fewshot_html(found))


def test_few_shot_scores_keep_their_figures_on_a_phone_and_have_no_empty_column() -> None:
    labels = np.repeat(np.arange(4), 10)
    features = np.random.default_rng(0).normal(0, 1, (40, 4)).astype(np.float32)
    data = LabelledFeatures(labels, [f"c{k}" for k in range(4)], features, name="points")
    found = run_fewshot(data, FewShotSpec(4, (1,), 4, 50, ("prototypes",), 1))
    assert all(row.new_classes is None for row in found.rows)
    html = str(fewshot_html(found))
    heads = re.findall(r'<th class="([^"]*)">(.*?)</th>', html)
    low, high = re.findall("<span>(.*?)</span>", dict(heads)["hs-track"])  # where the scale begins and ends
    assert float(low[:-2]) < 100 * found.rows[0].accuracy < float(high[:-2])
    assert heads == [
        ("", "method"),
        ("hs-number", "shots"),
        ("hs-track", f'<span class="hs-ends"><span>{low}</span><span>{high}</span></span>'),
        ("hs-number", "accuracy"),
        ("hs-number", "95\N{NO-BREAK SPACE}% interval"),
    ]
    assert len(re.findall("<td", html)) == len(heads)
    assert re.search(r"max-width: 480px\) { .hs.hs .hs-track { display: none; }", html)


def test_an_evaluation_has_measures_notes_changes_and_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "measure_rows", lambda found: [("accuracy", "90.0 %", "80.0 %")])
    monkeypatch.setattr(module, "change_words", lambda each, metric: f"{each['model']} changed by {metric}")
    monkeypatch.setattr(module, "drift_lines", lambda each: ["It drifted."])
    monkeypatch.setattr(module, "compared_words", lambda found: ["a less b: 10 points"])

    class Images:
        name, classes = "season", ("x", "y")

        def __len__(self) -> int:
            return 12

        def counts(self) -> list[int]:
            return [12, 0]

    models = [SimpleNamespace(name=name, beside_own=lambda metric, name=name: {"model": name}) for name in "ab"]
    found: Any = SimpleNamespace(dataset=Images(), models=models, notes=["left <out>"], metric="f1", report="r.html")
    assert text_of(str(evaluation_html(found))) == (
        "season: 12 images, 1 of the model's 2 classes Left <out> measure a b accuracy 90.0 % 80.0 %"
        " a changed by f1 b changed by f1 a: It drifted. b: It drifted. a less b: 10 points Report: r.html"
    )


def test_drift_has_its_verdict_first_and_the_least_familiar_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "drift_sentences", lambda facts: ["These differ.", "Darker."])
    drift = SimpleNamespace(to_dict=dict)
    found: Any = SimpleNamespace(
        name="new", images=1, drift=drift, notes=(), least=(("<a>.jpg", 0.01),), report="r.html"
    )
    assert text_of(str(drift_html(found))) == (
        "new: 1 image without labels These differ. Darker. least familiar familiarity <a>.jpg 0.010 Report: r.html"
    )
