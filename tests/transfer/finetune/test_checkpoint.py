"""Checkpoints: whose folder it is, what is resumed, and that the best weights come back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tuning_subject import job

from headstart.storage.checksums import certify
from headstart.transfer.finetune.assembly import make_learner
from headstart.transfer.finetune.checkpoint import (
    BEST,
    EPOCH,
    JOB,
    MID,
    claim_folder,
    final_state,
    load_best,
    save_best,
)
from headstart.transfer.finetune.finetune import finetune
from headstart.transfer.finetune.recipe import Recipe


def put(path: Path, content: bytes = b"") -> Path:
    part = path.with_name("part")
    part.write_bytes(content)
    certify(part, path)
    return path


def test_a_folder_is_resumed_by_the_same_job_only_from_inside_the_epoch_first(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert claim_folder(folder, {"key": "a"}) is None and (folder / JOB).exists()
    assert claim_folder(folder, {"key": "a"}) is None  # nothing to resume yet
    put(folder / BEST)
    epoch = put(folder / EPOCH)
    assert claim_folder(folder, {"key": "a"}) == epoch
    middle = put(folder / MID)
    assert claim_folder(folder, {"key": "a"}) == middle
    (folder / "notes.txt").touch()
    assert claim_folder(folder, {"key": "b"}) is None
    assert {path.name for path in folder.iterdir()} == {JOB, "notes.txt"}


@pytest.mark.parametrize(
    ("damaged", "resumed"), [(MID, EPOCH), (EPOCH, MID), (BEST, None), (JOB, None), ("old", None), ("none", MID)]
)
def test_a_damaged_checkpoint_is_not_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damaged: str, resumed: str | None
) -> None:
    claim_folder(tmp_path, {"key": "a"})
    for name in (MID, EPOCH, BEST):
        put(tmp_path / name, name.encode())
    if damaged == "old":  # of a version that wrote no checksums
        for note in tmp_path.glob("*.sha256"):
            note.unlink()
    elif damaged != "none":
        (tmp_path / damaged).write_bytes(bytes((tmp_path / damaged).stat().st_size))
    found = claim_folder(tmp_path, {"key": "a"})
    assert found == (None if resumed is None else tmp_path / resumed)
    said = capsys.readouterr().err
    assert said.count("damaged; training resumes from another checkpoint, or starts again") == {
        "old": 3,
        "none": 0,
        JOB: 0,
    }.get(damaged, 1)
    assert claim_folder(tmp_path, {"key": "a"}) == found and capsys.readouterr().err == "", "said once"


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_the_best_weights_come_back_bit_by_bit(ema: float, tmp_path: Path) -> None:
    learner, _ = make_learner(job(tmp_path, recipe=Recipe(ema=ema, batch_size=8)), "cpu")
    if learner.average is not None:
        for value in learner.average.average.values():
            value.add_(1.0)
    before = final_state(learner)
    save_best(tmp_path, learner)
    with torch.no_grad():
        for parameter in learner.network.parameters():
            parameter.add_(3.0)
    load_best(tmp_path, learner)
    after = learner.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [BEST] and not list(tmp_path.glob(".*.tmp"))


def test_a_checkpoint_inside_an_epoch_is_gone_after_its_end(tmp_path: Path) -> None:
    finetune(job(tmp_path, recipe=Recipe(epochs=1, batch_size=8), checkpoint_every=0.0))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {EPOCH, BEST, JOB} <= names and MID not in names
