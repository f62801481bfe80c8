"""Which of the networks of a training is returned, also after a training that diverged."""

from __future__ import annotations

import math

import numpy as np

from headstart.errors import RunFailed
from headstart.transfer.finetune.checkpoint import final_state, load_best, load_epoch, put_state
from headstart.transfer.finetune.job import Labels, TuneJob
from headstart.transfer.finetune.learner import Diverged, Learner

_ABSURD = 10.0  # times the loss of equal probabilities


def restore_chosen(job: TuneJob, learner: Learner, failure: Diverged | None) -> tuple[int, list[str]]:
    """Load the network that is returned into the learner; return its epoch (0 is the start) and notes on it.

    With validation images it is the best epoch, else the last one whose weights were finite.

    Args:
        job: what was trained.
        learner: at the end of the training.
        failure: how the training ended, if it diverged.

    Raises:
        RunFailed: it diverged, and nothing before is better than guessing.
    """
    best = learner.history.best
    rows = learner.history.rows
    epoch = best[1] if best is not None else int(rows[-1]["epoch"] or 0) if rows else 0
    notes = []
    if failure is not None:
        if not _knows_something(job, learner, epoch):
            raise RunFailed(f"{failure} ({_remedy(job)}); no epoch before it was better than guessing") from failure
        kept = f"epoch {epoch}" if epoch else "the network it started from"
        notes.append(f"{failure}; training ended there and {kept} is used ({_remedy(job)})")
    if best is not None:
        load_best(job.folder, learner)
        if epoch == 0 and failure is None:
            notes.append("no epoch was better on validation than the network training started from, which is used")
    elif failure is not None:
        (load_epoch if epoch else load_best)(job.folder, learner)
    if best is None and learner.average is not None:
        put_state(learner, final_state(learner))
    return epoch, notes


def _knows_something(job: TuneJob, learner: Learner, epoch: int) -> bool:
    """Return whether an epoch is better than guessing.

    It is if its loss is lower than that of equal probabilities, or if it is more accurate than the best constant answer
    while its loss is not absurd: weights that are about to overflow can be right by chance. So can a new head before
    its first step, if it is judged on a handful of images: it knows nothing. A head that was fitted before is trusted.
    """
    if epoch == 0 and job.initial_head is None:
        return False
    several = job.labels.ndim == 2
    guessing = math.log(2) if several else math.log(job.classes)
    rows = job.validation if len(job.validation) else job.train
    share = _constant_accuracy(job.labels[rows], several)
    if learner.history.best is not None:
        accuracy, loss = learner.history.measures_of(epoch)
    elif epoch:
        row = learner.history.rows[epoch - 1]
        accuracy, loss = float(row["train_accuracy"] or 0.0), float(row["train_loss"] or 0.0)
    else:  # nothing was measured
        return True
    return loss < guessing * (1 - 1e-6) or (accuracy > share + 1e-9 and loss < _ABSURD * guessing)


def _constant_accuracy(labels: Labels, several: bool) -> float:
    """Return the accuracy of the best answer that is the same for every image."""
    if several:
        positive = labels.mean(axis=0)
        return float(np.maximum(positive, 1 - positive).mean())
    known = labels[labels >= 0].astype(np.int64)
    return float(np.bincount(known).max() / len(known))


def _remedy(job: TuneJob) -> str:
    clip = "" if job.recipe.clip is not None else ", set clip: 1"
    return f"lr {job.recipe.lr:g}: lower it{clip} or add warmup_epochs"
