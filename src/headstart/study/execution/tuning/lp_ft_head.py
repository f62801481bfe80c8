"""The initial head of linear-probe-then-fine-tune: a logistic regression, fitted until it converges.

Kumar et al. 2022 (arXiv 2202.10054): a head that is far from its optimum distorts the features in the first steps
of fine-tuning. A few epochs of gradient steps do not reach the optimum; on cached features it takes seconds.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from headstart.data.dataset import Split
from headstart.models.bundle import HEAD, Bundle, bundle_bytes, read_head
from headstart.models.network import Network
from headstart.storage.files import write_atomic
from headstart.storage.store import content_key
from headstart.study.resources import Resources
from headstart.study.task import Task, origin_of, split_hash
from headstart.transfer.heads.fit import HeadJob, fit_heads

KIND = "logistic"


STARTS = "starting-heads"
_VERSION = 2  # raise it when the same features give another head


def fitted_head(task: Task, split: Split, resources: Resources, *, refit: bool) -> nn.Module:
    """Return the head, features -> logits, with the penalty that is best on the validation rows.

    Args:
        task: its network's features come from the cache, or are computed.
        split: rows to fit and to choose on.
        resources: gives features and labels.
        refit: fit the choice again on train and validation rows.
    """
    dataset = resources.dataset(task.run.data)
    asked = [
        resources.features_key(task.run.data, task.run.network, task.seed),
        split_hash(split),
        dataset.fingerprint,
        KIND,
        refit,
        task.run.metric,
        _VERSION,
    ]
    key = content_key(asked)
    with resources.store.building(STARTS, key) as entry:  # kept: a training that is taken up again needs the same bits
        if entry is not None:
            features = resources.features(task.run.data, task.run.network, task.seed)
            flat = np.reshape(features, (len(features), -1))
            rows, classes = (split.train, split.validation), len(dataset.classes)
            job = HeadJob(KIND, *rows, classes, {}, task.seed, refit, task.run.metric)
            head = fit_heads(flat, dataset.labels, [job], resources.device)[0].head
            write_atomic(entry.path / HEAD, bundle_bytes(_bundle(task, resources, head), whole=False))
    return read_head(resources.store.path(STARTS, key) / HEAD)


def _bundle(task: Task, resources: Resources, head: nn.Module) -> Bundle:
    dataset = resources.dataset(task.run.data)
    network = Network(resources.loaded(task.run.network, task.seed).backbone, head)
    origin = origin_of(task.run, task.seed, resources)
    return Bundle(network, origin, dataset.classes, dataset.multi_label, 1.0, {})
