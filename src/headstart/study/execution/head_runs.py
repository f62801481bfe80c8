"""Heads on cached features: all tasks that share one feature matrix are fitted together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.data.dataset import Dataset, Split
from headstart.errors import DataError, HeadstartError, RunFailed
from headstart.models.bundle import HEAD, Bundle, read_head
from headstart.models.heads import kept_numbers
from headstart.models.network import Network
from headstart.study.execution.finite import check_features, check_probabilities
from headstart.study.resources import Resources
from headstart.study.results.run_record import KIND, Fit, Probabilities, load_fit, save_fit
from headstart.study.spec.settings import head_options
from headstart.study.task import Task, origin_of
from headstart.transfer.heads.fit import HeadFit, HeadJob, fit_heads

FAULTS = (DataError, RunFailed)  # that are of one run; others, such as a full disk, end the study
_BLOCK = 4096  # rows scored at a time


def fit_head_runs(
    tasks: Sequence[Task],
    splits: Sequence[Split],
    resources: Resources,
    provenance: dict[str, str],
    done: Callable[[Task, Fit, Probabilities], None],
    failed: Callable[[Task, HeadstartError], None],
) -> None:
    """Fit the heads of all tasks on the features they share; call `done` or `failed` with each when it has ended.

    Tasks of one kind of head are one batched computation. Cached fits are reused. Results do not depend
    on which tasks are fitted together.

    Args:
        tasks: all on the same features.
        splits: of each task.
        resources: gives features, labels and the store.
        provenance: facts for the bundle.
        done: receives task, fit and the probabilities of its test rows.
        failed: receives a task that could not be fitted, and why.
    """
    first = tasks[0]
    features = resources.features(first.run.data, first.run.network, first.seed)
    dataset = resources.dataset(first.run.data)
    try:
        check_features(features, first.run.spec.backbone)
    except RunFailed as error:
        for task in tasks:
            failed(task, error)
        return
    kinds = sorted({_kind(task) for task in tasks})
    for kind in kinds:
        group = [(task, split) for task, split in zip(tasks, splits, strict=True) if _kind(task) == kind]
        missing = [(task, split) for task, split in group if not resources.store.has(KIND, task.key)]
        faults = _fit_apart(missing, features, dataset, resources, provenance) if missing else {}
        for task, split in group:
            try:
                if task.key in faults:
                    raise faults[task.key]
                fit = load_fit(resources.store, task.key)
                check_probabilities(fit.validation)  # a head of NaN could not even be read
                test = head_probabilities(_stored_head(task, resources), features, split.test)
                check_probabilities(test)
            except FAULTS as error:
                failed(task, error)
                continue
            done(task, fit, test)


def _fit_apart(
    missing: Sequence[tuple[Task, Split]],
    features: npt.NDArray[np.float32],
    dataset: Dataset,
    resources: Resources,
    provenance: dict[str, str],
) -> dict[str, HeadstartError]:
    """Fit all together; where that fails, each alone. Return why, by key, of those that cannot be fitted."""
    try:
        _fit_missing(missing, features, dataset, resources, provenance)
        return {}
    except FAULTS as error:
        if len(missing) == 1:
            return {missing[0][0].key: error}
    found: dict[str, HeadstartError] = {}
    for each in missing:
        found |= _fit_apart([each], features, dataset, resources, provenance)
    return found


def head_probabilities(
    head: nn.Module, features: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
) -> Probabilities:
    """Return the head's probabilities of some rows, float32 [len(rows), C]."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BLOCK):
            block = torch.from_numpy(np.ascontiguousarray(features[rows[start : start + _BLOCK]]))
            parts.append(head.probabilities(block.flatten(1)).float().numpy())  # type: ignore[operator]
    return np.concatenate(parts)


def _kind(task: Task) -> str:
    kind = task.run.spec.head_kind
    assert kind is not None
    return kind


def _fit_missing(
    missing: Sequence[tuple[Task, Split]],
    features: npt.NDArray[np.float32],
    dataset: Dataset,
    resources: Resources,
    provenance: dict[str, str],
) -> None:
    jobs = [_job(task, split, dataset) for task, split in missing]
    flat = features.reshape(len(features), -1)
    for (task, split), fitted in zip(missing, fit_heads(flat, dataset.labels, jobs, resources.device), strict=True):
        fit = _record(task, split, fitted, features, resources)
        loaded = resources.loaded(task.run.network, task.seed)
        bundle = Bundle(
            Network(loaded.backbone, fitted.head),
            origin_of(task.run, task.seed, resources),
            dataset.classes,
            dataset.multi_label,
            1.0,
            {**provenance, **task.provenance(dataset)},
        )
        with resources.store.building(KIND, task.key) as entry:
            if entry is not None:
                save_fit(entry.path, fit, bundle)


def _job(task: Task, split: Split, dataset: Dataset) -> HeadJob:
    options = head_options(task.run)
    refit = task.run.refits and len(split.validation) > 0
    rows = (split.train, split.validation)
    return HeadJob(_kind(task), *rows, len(dataset.classes), options, task.seed, refit, task.run.metric)


def _record(task: Task, split: Split, fitted: HeadFit, features: npt.NDArray[np.float32], resources: Resources) -> Fit:
    backbone = resources.loaded(task.run.network, task.seed).backbone
    learned = kept_numbers(fitted.head)
    frozen = sum(p.numel() for p in backbone.stages.parameters())
    refit = "train+validation" if task.run.refits and len(split.validation) else "none"
    judged = fitted.validation_probabilities
    return Fit(
        fitted.chosen,
        fitted.tried,
        fitted.notes,
        [],
        judged,
        learned,
        learned + frozen,
        fitted.seconds,
        refit,
    )


def _stored_head(task: Task, resources: Resources) -> nn.Module:
    return read_head(resources.store.path(KIND, task.key) / HEAD)
