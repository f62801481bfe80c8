from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_study import study_of, write_run_folder

from headstart.report.read.summary import load_summary
from headstart.report.render import html
from headstart.report.render.formats import write_report
from headstart.report.render.html import page_data, render, sections, tiles, use_it, weights_used, write_html
from headstart.report.render.words import by_word
from headstart.storage.presence import at_work
from headstart.study.results.facts import write_facts
from headstart.units import duration


def test_the_page_is_under_ten_megabytes_and_asks_for_nothing(large_study: Path, tmp_path: Path) -> None:
    page = write_report(large_study, "html", tmp_path / "r.html")
    text = page.read_text()
    assert page.stat().st_size < 10_000_000
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#|")([^"'$]+)""", text)
    assert outside == []
    assert not re.search(r"@import|url\((?!#)(?!['\"]?data:)", text.split("</style>")[0])
    assert "default-src 'none'" in text


def test_the_page_keeps_pictures_within_their_budget(large_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.report.render.html.BUDGET", 20_000)
    images = next(iter(page_data(load_summary(large_study))["datasets"].values()))["images"]
    assert images
    assert sum(len(image["src"]) * 3 / 4 for image in images.values()) <= 20_000 + 3 * len(images)


def test_names_are_escaped_in_the_page(tiny: Path) -> None:
    facts = json.loads((tiny / "study.json").read_text())
    (tiny / "study.json").write_text(json.dumps(facts | {"question": "<img src=x onerror=alert(1)>"}))
    text = write_report(tiny, "html").read_text()
    assert "<img src=x" not in text
    assert (tiny / "report.html").is_file()


def test_the_page_of_a_running_study_says_so_and_one_of_a_study_that_died_that_it_was_interrupted(tiny: Path) -> None:
    facts = json.loads((tiny / "study.json").read_text())
    (tiny / "study.json").write_text(json.dumps(facts | {"status": "running"}))
    with at_work(tiny):
        assert "<b>Still running.</b>" in write_report(tiny, "html").read_text()
    assert "<b>Interrupted.</b>" in write_report(tiny, "html").read_text()


def test_letters_are_explained_where_one_of_several_leaderboards_has_them(tmp_path: Path) -> None:
    study = study_of(
        tmp_path, {name: np.arange(100)[None] < right for name, right in (("a", 90), ("b", 50), ("c", 70))}
    )
    assert "Runs that share a letter under" in render(load_summary(study))
    for run in ("c", "b"):  # first a and b are compared, and c alone; then each alone
        folder = study / "runs" / run / "seed-0"
        content = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
        spec = json.loads(content["spec.json"]) | {"data": {"name": run, "fingerprint": run}}
        write_run_folder(folder, content | {"spec.json": json.dumps(spec).encode()})
        summary = load_summary(study)
        assert [board.lettered for board in summary.boards] == ([True, False] if run == "c" else [False] * 3)
        assert ("Runs that share a letter under" in render(summary)) is (run == "c")


def payload(**more: Any) -> dict[str, Any]:
    nothing = {"axes": {}, "history": {}, "per_class": [], "mistakes": [], "reliability": [], "total_seconds": None}
    known = {"boards": [], "explained": [], "datasets": {}, "transferability": None, "similarity": None, "failed": []}
    known |= {"uncertainty": None, "drift": False, "map": None}
    return {**known, "runs": [{**nothing, **more}]}


@pytest.mark.parametrize(
    ("more", "added"),
    [
        ({}, []),
        ({"total_seconds": 3.0}, []),
        ({"axes": {"fraction": 0.1}}, ["learning"]),
        ({"axes": {"backbone": "resnet18"}}, []),
        ({"history": {0: [{"epoch": 0}]}}, ["training"]),
        ({"per_class": [[0]], "mistakes": [[1]], "reliability": [{}]}, ["classes", "mistakes", "calibration"]),
    ],
)
def test_a_section_is_shown_where_it_has_content(more: dict[str, Any], added: list[str]) -> None:
    assert [key for key, _ in sections(payload(**more))] == ["ranking", *added, "runs", "reproduce"]


def test_sections_of_the_study_as_a_whole_are_shown_where_they_have_content() -> None:
    runs = payload(total_seconds=3.0)["runs"]
    whole = payload() | {
        "runs": 2 * runs,
        "boards": [{"ranking": [1, 2]}],
        "explained": [{}],
        "datasets": {"f": {}},
        "transferability": {"rows": []},
        "similarity": {"frechet": [1], "stages": []},
        "uncertainty": {"answers": []},
        "drift": True,
    }
    shown = [key for key, _ in sections(whole)]
    assert shown == [
        "ranking",
        "pairs",
        "cost",
        "explained",
        "uncertainty",
        "drift",
        "data",
        "transfer",
        "similarity",
        "runs",
        "reproduce",
    ]
    empty = {"similarity": {"frechet": [], "stages": []}, "boards": [{"ranking": [1]}]}
    assert not {"similarity", "pairs"} & {key for key, _ in sections(whole | empty)}
    assert "runs" not in dict(sections(whole | {"runs": []}))


def test_shared_work_is_counted_once_in_the_computing_time(tmp_path: Path) -> None:
    both = {name: np.ones((2, 10), dtype=bool) for name in ("a", "b")}
    summary = load_summary(study_of(tmp_path, both, seconds={"a": 10.0, "b": 20.0}))
    spent = sum(run.cost["seconds"] * 2 for run in summary.runs)  # two seeds each
    assert spent == pytest.approx(2 * (10 + 20) * 1.025)  # the fake study adds 5 % to its second seed
    assert {what: value for value, what in tiles(summary)}["computing time"] == duration(spent + 95.0)
    assert ("4", "runs × seeds finished") in tiles(summary) and ("10", "test images") in tiles(summary)
    (facts,) = summary.datasets.values()
    known = len(facts["classes"])
    assert {value for value, what in tiles(summary) if what.startswith("classes in ")} == {f"{known}"}
    first = [1] + (known - 1) * [0]
    parts = {"train": first, "validation": known * [0], "test": first}
    some = replace(summary, datasets={"key": {**facts, "counts": parts}})
    assert {value for value, what in tiles(some) if what.startswith("classes in ")} == {f"1 of {known}"}


def test_one_run_is_a_score_and_no_leaderboard_and_asks_how_good_it_is(tmp_path: Path) -> None:
    alone = load_summary(study_of(tmp_path / "one", {"a": np.ones((2, 10), dtype=bool)}))
    two = load_summary(study_of(tmp_path / "two", {name: np.ones((2, 10), dtype=bool) for name in ("a", "b")}))
    assert dict(sections(page_data(alone)))["ranking"] == "Score"
    assert dict(sections(page_data(two)))["ranking"] == "Leaderboard"
    untitled = [_without_question(each.files.root) for each in (alone, two)]
    assert untitled == ["How good is a?", "Which run is best, and is it really better?"]


def _without_question(study: Path) -> str:
    facts = json.loads((study / "study.json").read_text())
    (study / "study.json").write_text(json.dumps({**facts, "question": ""}))
    return load_summary(study).question


def test_an_evaluation_counts_models_and_no_seeds(tmp_path: Path) -> None:
    summary = load_summary(study_of(tmp_path, {name: np.ones((1, 10), dtype=bool) for name in ("a", "b")}))
    boards = tuple(replace(board, evaluated=True) for board in summary.boards)
    assert tiles(replace(summary, boards=boards))[0] == ("2", "models")
    assert tiles(replace(summary, boards=boards, runs=summary.runs[:1]))[0] == ("1", "model")


def test_missing_and_failed_runs_are_part_of_the_expected_number(tiny: Path) -> None:
    shutil.rmtree(tiny / "runs" / "ridge" / "seed-1")
    assert ("3 of 4", "runs × seeds finished") in tiles(load_summary(tiny))


def test_weights_are_listed_once_with_their_origin(study: Path) -> None:
    found = weights_used(load_summary(study))
    assert len(found) == len(set(found)) and ("timm:efficientnet_lite0", "ab" * 32, "licence Apache-2.0") in found
    assert all(licence == "" for _, digest, licence in found if not digest)


def test_the_cells_of_a_page_are_limited_and_correct_answers_stay(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "CELLS", 14 * 12)  # fourteen runs: twelve cells each
    runs = page_data(load_summary(study))["runs"]
    for run in runs:
        right = [cell for cell in run["cells"] if cell[0] == cell[1]]
        assert len(run["cells"]) == max(12, len(right)) and run["cells_left_out"] > 0
    whole = next(r for r in runs if r["run"] == "ridge")["cells"]
    wrong = [cell[2] for cell in whole if cell[0] != cell[1]]
    assert wrong == sorted(wrong, reverse=True)


def test_the_page_goes_to_the_study_folder_or_where_it_is_told(tiny: Path, tmp_path: Path) -> None:
    assert write_html(tiny) == tiny / "report.html"
    assert write_html(tiny, tmp_path / "other.html").read_text() == (tiny / "report.html").read_text()


def test_a_page_has_the_audit_pictures_and_order_of_each_dataset(large_study: Path) -> None:
    found = page_data(load_summary(large_study))
    (data,) = found["datasets"].values()
    assert data["audit"]["label_errors"] and data["images"] and sorted(data["order"]) == list(range(101))
    best = next(run for run in found["runs"] if run["run"] == found["ranking"][0]["run"])
    assert best["metrics"]["accuracy"]["mean"] == pytest.approx(found["ranking"][0]["mean"], rel=1e-4)
    assert {int(row) for run in found["runs"] for row, *_ in run["mistakes"]} & {int(row) for row in data["images"]}


def test_what_answers_are_worth_is_on_the_page_with_the_pictures_that_were_rejected(tiny: Path) -> None:
    data = load_summary(tiny).files.records[0].data
    rows = [int(row) for row in load_summary(tiny).files.records[0].outcome.rows[:2]]  # type: ignore[union-attr]
    facts = {"data": data, "run": "r", "familiarity": {"least": [[row, 0.01] for row in rows]}}
    write_facts(tiny / "uncertainty.json", facts)
    summary = load_summary(tiny)
    payload = page_data(summary)
    assert payload["uncertainty"] == summary.to_dict()["uncertainty"] == facts
    assert "uncertainty" in dict(sections(payload)) and "drawUncertainty" in write_report(tiny, "html").read_text()
    assert {str(row) for row in rows} <= payload["datasets"][data]["images"].keys()


def test_the_page_says_how_the_model_is_used(study: Path) -> None:
    assert use_it(load_summary(study)) == ""
    (study / "model.safetensors").touch()
    summary = load_summary(study)
    assert use_it(summary).startswith("headstart predict ") and use_it(summary).endswith(" YOUR-PHOTO.jpg")
    assert f"<code>{by_word(use_it(summary))}</code>" in render(summary)


def test_the_figures_know_where_each_measure_begins_and_ends(tiny: Path) -> None:
    measures = page_data(load_summary(tiny))["measures"]
    bounds = {key: measures[key][2] for key in ("mcc", "brier", "log_loss", "accuracy", "top5_accuracy")}
    assert bounds == {
        "mcc": [-1, 1],
        "brier": [0, 2],
        "log_loss": [0, None],
        "accuracy": [0, 1],
        "top5_accuracy": [0, 1],
    }
