"""The head from which linear-probe-then-fine-tune starts: a logistic regression, fitted until it converges.

Kumar et al. 2022 (arXiv 2202.10054): a head that is far from its optimum distorts the features in the first steps
of fine-tuning. Some epochs of gradient steps leave it far; on stored features the optimum itself costs seconds.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from headstart.data.dataset import Split
from headstart.study.task import Task
from headstart.study.workshop import Workshop
from headstart.transfer.probe import HeadJob, fit_heads

KIND = "logistic"


def starts_fitted(task: Task, split: Split) -> bool:
    """Say whether the head is fitted first: strategy lp_ft, unless `probe_epochs` asks for epochs of gradient steps.

    Without validation rows there is nothing to choose the penalty on, and the head learns by epochs.
    """
    spec = task.run.spec
    return spec.strategy == "lp_ft" and not spec.probe_epochs and len(split.validation) > 0


def fitted_head(task: Task, split: Split, workshop: Workshop, *, refit: bool) -> nn.Module:
    """Return the head, features -> logits, with the penalty that is best on the validation rows.

    Args:
        task: its network's features are taken from the store, or computed.
        split: rows to fit and to choose on.
        workshop: gives features and labels.
        refit: fit the choice again on train and validation rows.
    """
    features = workshop.features(task.run, task.seed)
    dataset = workshop.dataset(task.run.data)
    job = HeadJob(KIND, split.train, split.validation, len(dataset.classes), {}, task.seed, refit)
    flat = np.reshape(features, (len(features), -1))
    return fit_heads(flat, dataset.labels, [job], workshop.device)[0].head
