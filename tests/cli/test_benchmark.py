from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exported_models import linear
from PIL import Image

from headstart.cli.benchmark import _answer, benchmark_and_show
from headstart.deploy.classifier import Classifier
from headstart.deploy.export.accuracy_lost import Lost
from headstart.deploy.export.benchmark import Benchmark, Speed
from headstart.units import size
from tests.cli.conftest import Call

ROWS = (
    Speed("headstart", 2_000_000, 3.2, 10.04, 12.5, 150.4, 0, 0.95, None),
    Speed("onnx int8", 500_000, 0.4, 4.0, 5.0, 320.0, 3, 0.94, Lost(1.0, -0.5, 2.5)),
)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Answer every benchmark with the same rows, and keep what was asked."""
    asked: list[Any] = []

    def benchmark(model: Path, **options: Any) -> Benchmark:
        asked.append((model, options))
        return Benchmark("200 of the test images", 200, ROWS, ("int8 keeps 2 of 10 layers in float",))

    monkeypatch.setattr("headstart.saved_models.benchmark", benchmark)
    return asked


def test_a_form_a_line_then_what_was_measured(measured: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    benchmark_and_show(Path("m"), int8=True, images=None, count=200, as_json=False)
    out = capsys.readouterr().out
    for text in (
        "p95",
        "points of accuracy lost",
        size(2_000_000),
        "10.0 ms",
        "12.5 ms",
        "150",
        "95.0 %",
        "onnx int8",
        size(500_000),
        "+1.0 (-0.5 to +2.5)",
    ):
        assert text in out
    assert "On 200 of the test images" in out and "note: int8 keeps 2 of 10" in out
    assert measured == [(Path("m"), {"int8": True, "images": None, "count": 200})]


def test_no_figure_is_broken_at_80_columns(
    measured: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    benchmark_and_show(Path("m"), int8=True, images=None, count=200, as_json=False)
    first, *rest = capsys.readouterr().out.splitlines()
    best = f"The fastest form here and the smallest is onnx int8: 320 images/s, {size(500_000)}."
    assert first == f"{best} From the original's, at most 3 of 200 labels differ."
    for row in ROWS:
        lines = [line for line in rest if line.startswith(f" {row.form}  ")]
        assert len(lines) == 2 and f"{row.median_ms:.1f} ms" in lines[0] and f"{row.labels_differ} " in lines[1]
    assert any(line.rstrip().endswith("+1.0 (-0.5 to +2.5)") for line in rest)


def test_the_fastest_form_and_the_smallest_may_be_two() -> None:
    first, second = replace(ROWS[0], images_per_second=2000.0), replace(ROWS[1], labels_differ=0)
    assert _answer(Benchmark("200 of the test images", 200, (first, second), ())) == (
        f"The fastest form here is headstart: 2,000 images/s; the smallest is onnx int8: {size(500_000)}."
        " From the original's, no label differs."
    )


def test_json_has_every_figure(measured: list[Any], call: Call, tmp_path: Path) -> None:
    code, out, _ = call("benchmark", tmp_path, "--no-int8", "--images", tmp_path, "--count", 9, "--json")
    found = json.loads(out)
    assert code == 0 and found["forms"] == [row.to_dict() for row in ROWS] and found["n"] == 200
    assert measured == [(tmp_path, {"int8": False, "images": tmp_path, "count": 9})]


def test_a_model_that_is_not_there_is_one_line(call: Call, tmp_path: Path) -> None:
    code, out, err = call("benchmark", tmp_path / "nothing", "--int8")
    assert code == 2 and out == "" and "no such file or folder" in err and err.count("\n") == 1


@pytest.mark.slow
def test_a_model_file_is_measured_on_pictures_of_a_folder(call: Call, tmp_path: Path) -> None:
    model = Classifier(linear()).save(tmp_path / "model.safetensors")
    for number in range(6):
        (tmp_path / "some").mkdir(exist_ok=True)
        Image.new("RGB", (40, 40), (40 * number, 90, 200)).save(tmp_path / "some" / f"{number}.png")
    found = json.loads(call("benchmark", model, "--images", tmp_path / "some", "--json")[1])
    assert [row["labels_differ"] for row in found["forms"]] == [0, 0, 0, 0] and found["n"] == 6
