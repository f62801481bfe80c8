"""The learning-rate range test: what a curve suggests, that it is the same every time, and that the rate is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tuning_subject import STRATEGIES
from tuning_subject import job as make_job

from headstart.transfer.finetune.lr_range_test import STEPS, range_test, suggested


def test_the_rate_is_where_the_loss_falls_most_steeply_or_a_tenth_of_the_lowest() -> None:
    rates = [10.0**power for power in np.arange(-6, 1, 0.25)]
    late = [2 - 1.5 / (1 + np.exp(-4 * (np.log10(rate) + 2.5))) for rate in rates]  # steepest at 10^-2.5
    late = [loss if rate < 0.2 else loss + 5 * rate for rate, loss in zip(rates, late, strict=True)]
    lr, rule = suggested(rates, late)
    assert rule == "steepest descent" and 1e-3 < lr < 1e-2
    early = [2 - rate / 1e-3 if rate <= 1e-3 else 1 + rate for rate in rates]  # falls until 10^-3, and then rises
    lr, rule = suggested(rates, early)
    assert rule == "a tenth of the lowest loss's" and lr == pytest.approx(1e-4, rel=0.05)


def test_the_same_job_gives_the_same_curve(tmp_path: Path) -> None:
    job = make_job(tmp_path / "a")
    one, two = range_test(job), range_test(make_job(tmp_path / "b"))
    assert one == two and len(one.rates) <= STEPS
    assert one.rates == sorted(one.rates) and one.rates[0] / 10 <= one.lr <= one.rates[-1]
    assert not job.folder.exists()


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_can_be_swept(tmp_path: Path, name: str) -> None:
    assert range_test(make_job(tmp_path, STRATEGIES[name]), steps=8).lr > 0


def test_the_sweep_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    job = make_job(tmp_path / "a")
    before = {key: value.clone() for key, value in job.backbone.state_dict().items()}
    range_test(job, steps=8)
    assert all((value == before[key]).all() for key, value in job.backbone.state_dict().items())


def test_a_study_trains_at_the_rate_that_was_found(tmp_path: Path) -> None:
    from headstart.study.run import run_study
    from headstart.study.spec.load import load_study

    draw = np.random.default_rng(0)
    from PIL import Image

    for name, colour in (("a", 60), ("b", 180)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(14):
            pixels = np.clip(colour + draw.normal(0, 40, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    spec: dict[str, Any] = {
        "name": "auto",
        "data": str(tmp_path / "pictures"),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {"tuned": {"strategy": "scratch", "recipe": {"epochs": 2, "batch_size": 8, "lr": "auto"}}},
    }
    root = run_study(load_study(spec), tmp_path / "out", device="cpu").root
    folder = root / "runs" / "tuned" / "seed-0"
    result = json.loads((folder / "result.json").read_text())
    history = json.loads((folder / "history.json").read_text())
    curve = history[0]["lr_range"]
    assert result["chosen"]["recipe.lr"] == curve["lr"] == result["tried"][0]["recipe.lr"]
    assert len(curve["rates"]) == len(curve["losses"]) and max(row["lr"] for row in history) <= curve["lr"] * 1.01
    assert json.loads((folder / "spec.json").read_text())["recipe"]["lr"] == "auto"
