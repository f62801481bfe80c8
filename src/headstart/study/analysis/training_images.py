"""Fits heads again on bootstrap samples of the training images, so that the report can count other ones too.

Refits with other seeds share their training images. A head on frozen features costs little to fit, so each is fitted
again, with the settings that validation chose, on samples drawn with replacement from the images that it learned from,
and scored on the same test images. All runs that learned from the same images learn from the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset
from headstart.evaluate.metrics.calibration import apply_temperature
from headstart.evaluate.metrics.contributions import contributions
from headstart.progress import progress
from headstart.storage.files import read_json, write_atomic
from headstart.study.analysis.finished import finished_key
from headstart.study.execution.head_runs import head_probabilities
from headstart.study.execution.session import Session
from headstart.study.results.facts import known_facts, write_facts
from headstart.study.results.folder import npz_bytes
from headstart.study.results.run_record import Probabilities
from headstart.study.spec.settings import head_options
from headstart.study.task import Task
from headstart.transfer.heads.fit import HeadJob, fit_heads

INDEX, ARRAYS = "training_images.json", "training_images.npz"
_SEED = 29  # of the samples
_OTHER_SEEDS = 10_000  # seeds of refits begin here: no study uses them


@dataclass
class Resampled:
    """What runs scored when they were trained on samples: the content of the two files.

    Args:
        scores: run → one number an image and sample, whose mean is the study's metric.
        rows: run → the test images.
        corrections: run → factor of the variance over samples.
        left_out: run → why it has none.
    """

    scores: dict[str, list[npt.NDArray[np.float32]]] = field(default_factory=dict)
    rows: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    corrections: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, run: str, scores: npt.NDArray[np.float64] | None) -> None:
        """Add the scores of one sample; None leaves the run out."""
        if scores is None:
            self.left_out[run] = "the metric is not defined for its test images"
        else:
            self.scores.setdefault(run, []).append(scores.astype(np.float32))


def resample_training_images(session: Session) -> None:
    """Write training_images.json and .npz if the study asks for them."""
    compare = session.plan.study.spec.compare
    if not compare.training_images:
        return
    key = finished_key(session, "training images", compare.training_images, compare.metric)
    path = session.folder.root / INDEX
    if known_facts(path, key) is not None:
        return
    found = _resampled(session, compare.training_images, compare.metric)
    runs = [run for run in found.scores if run not in found.left_out]
    arrays: dict[str, np.ndarray] = {}
    for place, run in enumerate(runs):
        table = np.stack(found.scores[run])
        arrays[f"scores{place}"] = table.astype(bool) if compare.metric == "accuracy" else table
        arrays[f"rows{place}"] = found.rows[run]
    write_atomic(session.folder.root / ARRAYS, npz_bytes(**arrays))
    facts = {"key": key, "samples": compare.training_images, "metric": compare.metric}
    corrections = [found.corrections[run] for run in runs]
    whole = {**facts, "runs": runs, "corrections": corrections, "left_out": found.left_out}
    write_facts(path, whole, [ARRAYS])


def _resampled(session: Session, samples: int, metric: str) -> Resampled:
    found, runs = Resampled(), _by_run(session)
    for run, tasks in runs.items():
        why = _obstacle(tasks, session)
        if why is not None:
            found.left_out[run] = why
    ensembles = _ensembles(session, found)
    fitted = {run: tasks for run, tasks in runs.items() if run not in found.left_out}
    sums: dict[tuple[str, int], Probabilities] = {}
    groups = _by_network(session, fitted)
    with progress("other training images", samples * len(groups), "samples × networks") as ticker:
        for group in groups:
            for run, tasks in group.items():
                found.rows[run] = _split(session, run, tasks[0].seed)["test"]
                dataset = session.resources.dataset(tasks[0].run.data)
                found.corrections[run] = correction_of(_learned(session, tasks[0]), dataset)
            for sample, judged in enumerate(_fits(session, group, samples)):
                for run, probabilities in judged.items():
                    labels = _labels(session, fitted[run][0], found.rows[run])
                    found.add(run, contributions(probabilities, labels, metric))
                    for name in [name for name, members in ensembles.items() if run in members]:
                        sums[(name, sample)] = sums.get((name, sample), 0) + probabilities
                ticker.advance()
    for (name, sample), total in sums.items():
        member = ensembles[name][0]
        task = fitted[member][sample % len(fitted[member])]
        mean = _calibrated(session, name, task.seed, total / np.float32(len(ensembles[name])), task)
        found.rows[name], found.corrections[name] = found.rows[member], found.corrections[member]
        found.add(name, contributions(mean, _labels(session, task, found.rows[name]), metric))
    return found


def _by_network(session: Session, fitted: Mapping[str, list[Task]]) -> list[dict[str, list[Task]]]:
    """Return the runs in groups that share one matrix of features."""
    groups: dict[str, dict[str, list[Task]]] = {}
    for run, tasks in fitted.items():
        key = session.resources.features_key(tasks[0].run.data, tasks[0].run.network, tasks[0].seed)
        groups.setdefault(key, {})[run] = tasks
    return list(groups.values())


def _fits(session: Session, group: Mapping[str, Sequence[Task]], samples: int) -> Iterator[dict[str, Probabilities]]:
    """Yield, for each sample, the calibrated probabilities of the test images by every run of one network."""
    first = next(iter(group.values()))[0]
    features = session.resources.features(first.run.data, first.run.network, first.seed)
    flat, dataset = features.reshape(len(features), -1), session.resources.dataset(first.run.data)
    for sample in range(samples):
        chosen = {run: tasks[sample % len(tasks)] for run, tasks in group.items()}
        jobs = [_job(session, task, dataset, sample) for task in chosen.values()]
        fits = fit_heads(flat, dataset.labels, jobs, session.resources.device)
        found = {}
        for (run, task), fit in zip(chosen.items(), fits, strict=True):
            rows = _split(session, run, task.seed)["test"]
            found[run] = _calibrated(session, run, task.seed, head_probabilities(fit.head, features, rows), task)
        yield found


def _job(session: Session, task: Task, dataset: Dataset, sample: int) -> HeadJob:
    """Return the fit of a run's chosen settings on one sample of the images that it learned from."""
    kind = task.run.spec.head_kind
    assert kind is not None
    rows = _learned(session, task)
    drawn = sampled_rows(rows, dataset, sample)
    options = {**head_options(task.run), **_result(session, task.run.name, task.seed)["chosen"]}
    seed = _OTHER_SEEDS + sample
    return HeadJob(kind, drawn, rows[:0], len(dataset.classes), options, seed, False, task.run.metric)


def _learned(session: Session, task: Task) -> npt.NDArray[np.int64]:
    """Return the rows that the head of a task learned from in the end."""
    split = _split(session, task.run.name, task.seed)
    if _result(session, task.run.name, task.seed)["refit"] == "train+validation":
        return np.sort(np.concatenate([split["train"], split["validation"]]))
    return split["train"]


def sampled_rows(rows: npt.NDArray[np.int64], dataset: Dataset, sample: int) -> npt.NDArray[np.int64]:
    """Return as many rows, drawn with replacement: within each class; or whole groups, where images have groups."""
    generator = np.random.default_rng([_SEED, sample])
    if dataset.groups is not None:
        _, place = np.unique(dataset.groups[rows], return_inverse=True)
        members = np.split(rows[np.argsort(place, kind="stable")], np.cumsum(np.bincount(place))[:-1])
        return np.sort(np.concatenate([members[k] for k in generator.integers(0, len(members), len(members))]))
    if dataset.multi_label:
        return np.sort(generator.choice(rows, len(rows)))
    parts = [rows[dataset.labels[rows] == label] for label in np.unique(dataset.labels[rows])]
    return np.sort(np.concatenate([generator.choice(part, len(part)) for part in parts]))


def correction_of(rows: npt.NDArray[np.int64], dataset: Dataset) -> float:
    """Return by how much the variance over such samples is too small, as a factor: n / (n - classes), at most 2."""
    units = len(rows) if dataset.groups is None else len(np.unique(dataset.groups[rows]))
    plain = dataset.groups is not None or dataset.multi_label
    strata = 1 if plain else len(np.unique(dataset.labels[rows]))
    return min(2.0, units / max(1, units - strata))


def _by_run(session: Session) -> dict[str, list[Task]]:
    """Return the finished tasks of each run, one seed after the other."""
    found: dict[str, list[Task]] = {}
    for task in session.plan.own_tasks:
        if session.finished(task):
            found.setdefault(task.run.name, []).append(task)
    return found


def _obstacle(tasks: Sequence[Task], session: Session) -> str | None:
    """Return why a run cannot be fitted on samples, or None."""
    run = tasks[0].run
    if not tasks[0].probe:
        return "its network is trained, not only a head on frozen features"
    if run.data.split.fold == "seed":
        return "cross-validation already varies the training images"
    if run.spec.weights.run is not None and _learned_here(run.spec.weights.run, tasks[0], session):
        return "its network is another run's, which learned from the same images"
    tests = [_split(session, run.name, task.seed)["test"] for task in tasks]
    if not all(np.array_equal(tests[0], rows) for rows in tests[1:]):
        return "each of its seeds has its own test images"
    return None


def _learned_here(name: str, task: Task, session: Session) -> bool:
    """Return whether another run of the study learned from the dataset of this task."""
    others = [other for other in session.plan.tasks if other.run.name == name]
    fingerprint = session.resources.dataset(task.run.data).fingerprint
    return any(session.resources.dataset(other.run.data).fingerprint == fingerprint for other in others)


def _ensembles(session: Session, found: Resampled) -> dict[str, list[str]]:
    """Return the finished ensembles whose members are all fitted on samples; note the others as left out."""
    kept: dict[str, list[str]] = {}
    for name, members in session.plan.study.spec.ensembles.items():
        if session.folder.run_folder(name, session.plan.study.spec.seed_list[0]).is_dir():
            gone = [member for member in members if member in found.left_out]
            if gone:
                found.left_out[name] = f"it averages {gone[0]}: {found.left_out[gone[0]]}"
            else:
                kept[name] = list(members)
    return kept


def _calibrated(session: Session, run: str, seed: int, probabilities: Probabilities, task: Task) -> Probabilities:
    if session.resources.dataset(task.run.data).multi_label:
        return probabilities
    temperature = float(_result(session, run, seed)["temperature"])
    return apply_temperature(probabilities, temperature).astype(np.float32)


def _labels(session: Session, task: Task, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    return session.resources.dataset(task.run.data).labels[rows]


def _split(session: Session, run: str, seed: int) -> dict[str, npt.NDArray[np.int64]]:
    with np.load(session.folder.run_folder(run, seed) / "split.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def _result(session: Session, run: str, seed: int) -> dict[str, Any]:
    value: dict[str, Any] = read_json(session.folder.run_folder(run, seed) / "result.json")
    return value
