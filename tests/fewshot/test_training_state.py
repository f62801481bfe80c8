from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import StoreError
from headstart.fewshot.class_split import ClassSplit
from headstart.fewshot.training_state import FILE, TrainingIdentity, load_state, save_state
from headstart.storage.checksums import certify

JOB = TrainingIdentity({"lr": 0.1}, "conv4", np.array([0, 1, 2, 2]), ClassSplit((0,), (1,), (2,)))


def parts(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    module = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return module, optimizer


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    module, optimizer = parts(0)
    state = {"step": 8, "history": [{"loss": 0.5}], "best": {"weight": torch.arange(3.0)}}
    save_state(tmp_path, JOB, module, optimizer, state)
    other, other_optimizer = parts(1)
    found = load_state(tmp_path, JOB, other, other_optimizer)
    assert found is not None
    assert found["step"] == 8 and found["history"] == [{"loss": 0.5}]
    assert torch.equal(found["best"]["weight"], torch.arange(3.0))
    assert torch.equal(other.weight, module.weight)
    for one, two in zip(optimizer.state.values(), other_optimizer.state.values(), strict=True):
        assert torch.equal(one["exp_avg"], two["exp_avg"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, f"{FILE}.sha256"]


def test_nothing_saved_is_nothing_to_continue(tmp_path: Path) -> None:
    assert load_state(tmp_path, JOB, *parts(0)) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(JOB, options={"lr": 0.2}),
        replace(JOB, backbone="resnet12"),
        replace(JOB, labels=np.array([0, 1, 2, 1])),
        replace(JOB, labels=np.array([0, 1, 2, 2, 2])),
        replace(JOB, split=ClassSplit((0,), (2,), (1,))),
    ],
    ids=["options", "backbone", "labels", "number", "split"],
)
def test_the_state_of_another_job_is_refused(other: TrainingIdentity, tmp_path: Path) -> None:
    save_state(tmp_path, JOB, *parts(0), {})
    assert other.key != JOB.key
    with pytest.raises(StoreError, match="other options or data; choose another folder or delete it"):
        load_state(tmp_path, other, *parts(0))


def test_the_key_is_that_of_equal_jobs() -> None:
    assert JOB.key == replace(JOB, labels=JOB.labels.astype(np.int32)).key
    assert len(JOB.key) == 32


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_damaged_file_is_named_and_the_training_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    save_state(tmp_path, JOB, *parts(0), {})
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-100] + bytes(100) if content is None else content)
    assert load_state(tmp_path, JOB, *parts(0)) is None
    assert capsys.readouterr().err == f"{tmp_path / FILE}: damaged; training starts again from the beginning\n"
    save_state(tmp_path, JOB, *parts(0), {"step": 3})
    assert load_state(tmp_path, JOB, *parts(0)) == {"step": 3}


def test_no_code_is_run_from_a_file(tmp_path: Path) -> None:
    torch.save({"key": JOB.key, "state": Path("x")}, tmp_path / "part")
    certify(tmp_path / "part", tmp_path / FILE)
    with pytest.raises(StoreError, match=r"cannot be read .*delete it to train again"):
        load_state(tmp_path, JOB, *parts(0))
