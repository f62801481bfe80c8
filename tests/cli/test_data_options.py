from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Call

SEEDS = ((), ("--seed", 0), ("--seed", 1))


@pytest.fixture
def manifest(photos: Path, tmp_path: Path) -> Path:
    """Return a manifest whose column `half` divides the images otherwise than by class."""
    rows = [
        f"{path},{path.parent.name},{'ab'[number % 2]}" for number, path in enumerate(sorted(photos.rglob("*.jpg")))
    ]
    (tmp_path / "list.csv").write_text("path,label,half\n" + "\n".join(rows) + "\n")
    return tmp_path / "list.csv"


def rows_of(call: Call, verb: str, data: Path, *more: object) -> Any:
    code, out, said = call(
        verb, data, "--backbone", "lenet5", "--weights", "none", "--ways", 2, "--shots", "1,3", "--queries", 4,
        "--episodes", 200, "--method", "prototypes", "--method", "ridge", "--device", "cpu", "--json", *more,
    )  # fmt: skip
    assert code == 0, said
    return json.loads(out)["rows"]


@pytest.mark.usefixtures("shared_cache")
def test_fewshot_does_what_its_options_ask_for(call: Call, photos: Path, manifest: Path) -> None:
    rows = rows_of(call, "fewshot", photos)
    assert {(row["method"], row["shots"]) for row in rows} == {
        (method, shots) for method in ("prototypes", "ridge") for shots in (1, 3)
    }
    assert min(row["accuracy"] for row in rows) > 0.8
    chance = [
        [row["accuracy"] for row in rows_of(call, "fewshot", manifest, "--label", "half", *seed)] for seed in SEEDS
    ]
    assert max(chance[0]) < 0.7
    assert chance[0] == chance[1] != chance[2]


def test_fewshot_with_too_few_classes_is_refused_before_any_work(call: Call, photos: Path) -> None:
    code, _, said = call("fewshot", photos, "--ways", 3, "--backbone", "lenet5", "--weights", "none")
    assert code == 2 and "2" in said and "3" in said


@pytest.mark.usefixtures("shared_cache")
def test_audit_does_what_its_options_ask_for(call: Call, manifest: Path, photos: Path, tmp_path: Path) -> None:
    options = ("--backbone", "efficientnet_lite0", "--device", "cpu", "--out", tmp_path / "out")
    code, out, said = call("audit", manifest, photos, "--label", "half", *options, "--json")
    assert code == 0, said
    found = json.loads(out)
    (written,) = (tmp_path / "out").glob("audit-*.json")
    assert json.loads(written.read_text())["findings"] == found["findings"]
    assert any("20" in finding["text"] for finding in found["findings"])  # each image is in the other set too
