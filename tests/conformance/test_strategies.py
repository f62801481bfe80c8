"""What every strategy must do: keep what is frozen, learn the rest, tell its history, survive a kill.

In every run each strategy learns by one of the recipes, in turn; by all of them where the tests marked slow run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import tuning_subject as subject

from headstart.transfer.finetune.finetune import finetune
from headstart.transfer.finetune.recipe import Recipe

pytestmark = pytest.mark.long

SUPPORT = Path(__file__).parents[1] / "support"
# which stages' own values may differ afterwards; LoRA's additions are merged into the weights at the end
LEARNED = {
    "linear_probe": set(),
    "fine_tune, frozen prefix": {"stage2", "stage3"},
    "fine_tune, frozen inside a stage": {"stage1", "stage2", "stage3"},
    "fine_tune, train_only": {"stem", "stage2"},
    "fine_tune, truncated": {"stage1", "stage2"},
    "gradual": {"stage2", "stage3"},  # three epochs: head, then two stages
    "gradual, slow": {"stage3"},
    "norm_only": {"stage1", "stage2", "stage3"},
}
ALL = {"stem", "stage1", "stage2", "stage3"}


def stage_of(name: str) -> str:
    return name.split(".")[0]


PAIRS = [
    pytest.param(name, recipe, marks=[] if (row + column) % len(subject.RECIPES) == 0 else pytest.mark.slow)
    for row, name in enumerate(subject.STRATEGIES)
    for column, recipe in enumerate(subject.RECIPES)
]


@pytest.mark.parametrize(("name", "recipe"), PAIRS)
def test_exactly_what_is_to_be_learned_changes(name: str, recipe: str, tmp_path: Path) -> None:
    before = subject.network().stages.state_dict()
    values = {"epochs": 3, "batch_size": 8, "lr": 0.05, **subject.RECIPES[recipe]}
    nothing = np.zeros(0, np.int64)  # without validation the last epoch is kept
    job = subject.job(tmp_path, subject.STRATEGIES[name], Recipe(**values), validation=nothing)
    result = finetune(job)
    after = result.network.backbone.stages.state_dict()
    changed = {stage_of(key) for key in after if not torch.equal(before[key], after[key])}
    assert changed == LEARNED.get(name, ALL)
    assert result.network.head.weight.abs().sum() > 0
    if name == "fine_tune, frozen inside a stage":
        assert not any(key.startswith("stage1.block1") and not torch.equal(before[key], after[key]) for key in after)
    if name == "norm_only":
        assert all(torch.equal(before[key], after[key]) for key in after if after[key].dim() > 1)
    if name == "lora":
        assert all(torch.equal(before[key], after[key]) for key in after if after[key].dim() < 2)
    untouched = job.backbone.stages.state_dict()
    assert all(torch.equal(before[key], untouched[key]) for key in before)


@pytest.mark.parametrize("name", subject.STRATEGIES)
def test_the_history_is_complete(name: str, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = []
    result = finetune(subject.job(tmp_path, subject.STRATEGIES[name], on_epoch=rows.append))
    assert rows == result.history
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(row) == {
            "epoch",
            "train_loss",
            "train_accuracy",
            "validation_loss",
            "validation_accuracy",
            "lr",
            "seconds",
        }
        assert all(value is not None for value in row.values())
    assert result.start is not None  # epoch 0, before the first step
    order = [(row["validation_accuracy"], -float(str(row["validation_loss"]))) for row in (result.start, *rows)]
    assert result.best_epoch == order.index(max(order))


SCRIPT = """
import json, os, signal, sys, pathlib, faulthandler
sys.path.insert(0, sys.argv[1])
import tuning_subject as subject
from headstart.transfer.finetune.finetune import finetune
from headstart.transfer.finetune.recipe import Recipe
import headstart.transfer.finetune.loader as loader

root, kills = pathlib.Path(sys.argv[2]), json.loads(sys.argv[3])

def train(place, name, recipe, kill_after):
    values = {"epochs": 3, "batch_size": 8, "lr": 0.05, **subject.RECIPES[recipe]}
    made = [0]
    make = loader.Batches._make
    def counted(self, step, rows, epoch):
        if self.order.seed is not None:
            if made[0] == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            made[0] += 1
        return make(self, step, rows, epoch)
    loader.Batches._make = counted
    place.mkdir(parents=True, exist_ok=True)
    result = finetune(subject.job(place, subject.STRATEGIES[name], Recipe(**values), checkpoint_every=0.0))
    from headstart.models.freeze import fingerprint
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in result.history]
    out = {"history": history, "network": fingerprint(result.network), "best": result.best_epoch, "made": made[0]}
    (place / "out.json").write_text(json.dumps(out))

def child(*arguments):  # this process has run no tensor operation, so it can fork
    pid = os.fork()
    if pid == 0:
        faulthandler.enable()
        train(*arguments)
        os._exit(0)
    return os.WEXITSTATUS(s) if os.WIFEXITED(s := os.waitpid(pid, 0)[1]) else -os.WTERMSIG(s)

report = {}
for name in subject.STRATEGIES:
    for recipe in subject.RECIPES:
        place = root / f"{name} {recipe}".replace(" ", "_")
        codes = [child(place / "whole", name, recipe, -1)]
        codes += [child(place / "killed", name, recipe, kill) for kill in [*kills, -1]]
        outs = [json.loads((place / kind / "out.json").read_text()) for kind in ("whole", "killed")]
        report[f"{name}|{recipe}"] = [codes, *outs]
(root / "report.json").write_text(json.dumps(report))
"""


def killed_and_whole(tmp_path: Path, kills: list[int]) -> dict[str, list[object]]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(SUPPORT), str(tmp_path), json.dumps(kills)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HEADSTART_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, list[object]] = json.loads((tmp_path / "report.json").read_text())
    return report


# three batches an epoch: killed before the second batch of epoch 2, then on the last batch that is left of it
@pytest.mark.slow
@pytest.mark.parametrize("kills", [[4], [1, 1], [3, 2, 2]], ids=str)
def test_killed_and_run_again_gives_the_same_bits(kills: list[int], tmp_path: Path) -> None:
    for name, (codes, whole, killed) in killed_and_whole(tmp_path, kills).items():
        assert codes == [0, *[-9] * len(kills), 0], name
        assert whole["made"] == 9 and killed["made"] < 9, name  # type: ignore[index]
        for key in ("history", "network", "best"):
            assert whole[key] == killed[key], f"{name}: {key}"  # type: ignore[index]
