from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from headstart.errors import SpecError
from headstart.report.read.conclusion import plain
from headstart.report.read.summary import load_summary
from headstart.report.render.formats import write_report
from headstart.report.render.html import page_data, script_json
from headstart.report.render.terminal import ranking_table


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


def test_png_has_ink_where_the_intervals_are(study: Path, tmp_path: Path) -> None:
    with Image.open(write_report(study, "png", tmp_path / "r.png")) as image:
        assert image.width == 1840
        assert (11, 110, 120) in {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}


def test_an_unknown_format_is_refused_with_the_nearest(study: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'html'"):
        write_report(study, "htm")


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


def test_data_cannot_close_the_script_it_stands_in() -> None:
    text = script_json({"class": "</script><b>", "score": float("nan")})
    assert "<" not in text
    assert json.loads(text) == {"class": "</script><b>", "score": None}


def test_names_are_escaped_in_the_page(tiny: Path) -> None:
    facts = json.loads((tiny / "study.json").read_text())
    (tiny / "study.json").write_text(json.dumps(facts | {"question": "<img src=x onerror=alert(1)>"}))
    text = write_report(tiny, "html").read_text()
    assert "<img src=x" not in text
    assert (tiny / "report.html").is_file()


def test_the_page_of_a_running_study_says_so(tiny: Path) -> None:
    facts = json.loads((tiny / "study.json").read_text())
    (tiny / "study.json").write_text(json.dumps(facts | {"status": "running"}))
    assert "Still running" in write_report(tiny, "html").read_text()


def test_the_terminal_shows_the_ranking(study: Path) -> None:
    summary = load_summary(study)
    console = Console(width=140, file=io.StringIO())
    with console.capture() as capture:
        console.print(ranking_table(summary))
    shown = capture.get()
    assert all(run in shown for run in summary.boards[0].runs)
    assert f"{100 * summary.ranking()[0]['mean']:.1f} %" in shown
