from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from headstart.errors import SpecError
from headstart.report.read.conclusion import plain
from headstart.report.read.summary import Summary, load_summary
from headstart.report.render import formats
from headstart.report.render.formats import write_report


def test_csv_has_one_row_a_run_in_order_of_rank(study: Path, tmp_path: Path) -> None:
    text = write_report(study, "csv", tmp_path / "r.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    summary = load_summary(study)
    assert [row["run"] for row in rows] == list(summary.boards[0].runs)
    assert float(rows[0]["mean"]) == pytest.approx(summary.ranking()[0]["mean"])


def test_json_holds_the_whole_summary(study: Path, tmp_path: Path) -> None:
    value = json.loads(write_report(study, "json", tmp_path / "r.json").read_text())
    assert value["answer"] == plain(load_summary(study).answer)
    assert len(value["boards"][0]["pairwise"]) == 14 * 13 / 2


def test_markdown_shows_every_run_and_how_to_reproduce(study: Path, tmp_path: Path) -> None:
    text = write_report(study, "md", tmp_path / "r.md").read_text()
    assert all(f"{run}" in text for run in load_summary(study).boards[0].runs)
    assert "headstart run studies/caltech-fake.yaml" in text


def test_names_are_neither_html_nor_tables_nor_formulas(study: Path, tmp_path: Path) -> None:
    name = "=<img src=x onerror=alert(1)>|[a](javascript:x)`\x1b[2J"
    text = json.dumps(name, ensure_ascii=True)[1:-1]
    place = tmp_path / "study"
    shutil.copytree(study, place)
    state = json.loads((place / "study.json").read_text())
    state |= {"question": name, "command": "a ``` b", "left_out": [{"run": name, "seed": 0, "why": name}]}
    (place / "study.json").write_text(json.dumps(state))
    found = write_report(place, "md", tmp_path / "r.md").read_text()
    assert "=&lt;img src=x onerror=alert(1)&gt;\\|\\[a\\](javascript:x)\\`\\x1b\\[2J" in found
    assert "<img" not in found and "\x1b" not in found and text not in found
    assert "````\na ``` b\n````" in found


def test_a_run_that_a_spreadsheet_would_compute_is_text(study: Path, tmp_path: Path) -> None:
    rows = [{**dict.fromkeys(formats.COLUMNS, 0), "run": "=1+1", "mean": -0.5}]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Summary, "ranking", lambda _: rows)
        text = write_report(study, "csv", tmp_path / "r.csv").read_text()
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["run"], row["mean"]) == ("'=1+1", "-0.5")


def test_an_unknown_format_is_refused_with_the_nearest(study: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'html'"):
        write_report(study, "htm")
