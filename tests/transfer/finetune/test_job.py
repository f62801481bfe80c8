"""Jobs: two jobs are the same exactly if everything that decides the result is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tuning_subject import Pictures, job, network

from headstart.models.heads import LinearHead
from headstart.transfer.finetune.job import check_job, identity
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Strategy


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": Recipe(lr=0.06)},
        {"strategy": Strategy("norm_only")},
        {"backbone": network(seed=1)},
        {"initial_head": LinearHead(16, 3)},
        {"images": Pictures(seed=1)},
        {"labels": np.roll(Pictures().labels, 1)},
        {"train": np.arange(23)},
        {"validation": np.arange(25, 33)},
        {"seed": 6},
        {"stop_after": 2},
        {"devices": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_changes_the_result_changes_the_identity(changes: dict[str, Any], tmp_path: Path) -> None:
    assert identity(job(tmp_path, **changes)) != identity(job(tmp_path))


@pytest.mark.parametrize("changes", [{"workers": 3}, {"checkpoint_every": 1.0}, {"loggers": ()}], ids=str)
def test_what_does_not_change_the_result_does_not_change_the_identity(changes: dict[str, Any], tmp_path: Path) -> None:
    assert identity(job(tmp_path, **changes)) == identity(job(tmp_path / "elsewhere"))


def test_a_good_job_passes(tmp_path: Path) -> None:
    check_job(job(tmp_path))
