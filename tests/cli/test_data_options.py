from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call


@pytest.mark.usefixtures("shared_cache")
def test_fewshot_does_what_its_options_ask_for(call: Call, photos: Path, manifest: Path) -> None:
    def scores(data: Path, *more: object) -> dict[tuple[str, int], float]:
        code, out, said = call(
            "fewshot", data, "--backbone", "lenet5", "--weights", "none", "--ways", 2, "--shots", "1,3",
            "--queries", 4, "--episodes", 200, "--method", "prototypes", "--method", "ridge", "--device", "cpu",
            "--json", *more,
        )  # fmt: skip
        assert code == 0, said
        return {(row["method"], row["shots"]): row["accuracy"] for row in json.loads(out)["rows"]}

    found = scores(photos)
    assert set(found) == {(method, shots) for method in ("prototypes", "ridge") for shots in (1, 3)}
    assert min(found.values()) > 0.8
    chance = [scores(manifest, "--label", "half", *seed) for seed in ((), ("--seed", 0), ("--seed", 1))]
    assert max(chance[0].values()) < 0.7
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
