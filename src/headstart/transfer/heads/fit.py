"""Many heads at once on one feature matrix: each job's configurations are tried, chosen among and refitted.

What jobs have in common (prepared rows, Gram matrices, decompositions) is computed once; jobs that ask
the same question are answered once. The numbers of a job do not depend on which other jobs ran with it.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.errors import DataError, SpecError, choose
from headstart.models.heads import LinearHead
from headstart.transfer.heads.catalogue import HALF, HEADS, complete
from headstart.transfer.heads.feature_rows import BLOCK, FloatArray, IntArray, Workspace, read
from headstart.transfer.heads.knn import fit_neighbours
from headstart.transfer.heads.logistic import fit_logistic
from headstart.transfer.heads.problem import Fitted, Labels, Problem
from headstart.transfer.heads.prototypes import fit_prototypes
from headstart.transfer.heads.ridge import fit_ridge
from headstart.transfer.heads.sgd import fit_sgd, fit_sgd_together

Solver = Callable[[Problem, Mapping[str, Any]], Fitted]
Question = tuple[Any, ...]
_accepted: set[Question] = set()  # what heads were found to take
_BLOCK = 4096  # rows judged at a time


@dataclass(frozen=True)
class HeadJob:
    """One head to fit.

    Args:
        kind: a name in HEADS.
        train: rows to learn from (a repeated row counts each time: bootstrap resamples).
        validation: rows to choose on; may be empty when there is nothing to choose.
        classes: C.
        options: the kind's options; a list where several values are to be tried.
        seed: of data order and first weights, where the kind has any.
        refit: fit the chosen configuration again on training and validation rows together.
        metric: what the validation rows choose by; a name in METRICS.
    """

    kind: str
    train: IntArray
    validation: IntArray
    classes: int
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    refit: bool = True
    metric: str = "accuracy"


@dataclass
class HeadFit:
    """What came out of a job.

    Args:
        head: features [n, d] -> logits [n, C]; on the CPU, in evaluation mode.
        chosen: the configuration that was best on the validation rows.
        tried: every configuration, with its validation accuracy and log loss, before any refit.
        notes: what a reader should know, such as fits that did not converge.
        seconds: spent on this job alone; what was shared counts for the job that came first.
        validation_probabilities: float32 [validation rows, C], by the head that had not seen those rows;
            None without validation rows.
        left_out: float32 [training rows, C], of each training row by the head fitted without it, in the order of
            `train`; from a ridge head with `leave_one_out`, else None.
    """

    head: nn.Module
    chosen: dict[str, Any]
    tried: list[dict[str, Any]]
    notes: list[str]
    seconds: float
    validation_probabilities: npt.NDArray[np.float32] | None = None
    left_out: npt.NDArray[np.float32] | None = None


def fit_majority(problem: Problem, options: Mapping[str, Any]) -> Fitted:
    """Fit the baseline: the same logits for every row, the logarithms of the class frequencies."""
    complete("majority", options)
    counts = problem.targets_of(problem.train).double().sum(0)
    share = (counts + 1) / (len(problem.train) + (2 if problem.multi_label else problem.classes))
    head = LinearHead(problem.workspace.features.shape[1], problem.classes, multi_label=problem.multi_label)
    with torch.no_grad():
        head.bias.copy_(torch.logit(share) if problem.multi_label else share.log())
    return Fitted(head.eval(), {}, [], [])


SOLVERS: dict[str, Solver] = {  # a solver for each of HEADS
    "logistic": fit_logistic,
    "ridge": fit_ridge,
    "prototypes": fit_prototypes,
    "knn": fit_neighbours,
    "sgd": fit_sgd,
    "majority": fit_majority,
}
TOGETHER: dict[str, Callable[[Sequence[Problem], Mapping[str, Any]], list[Fitted]]] = {"sgd": fit_sgd_together}


def check_head(
    kind: str, options: Mapping[str, Any], *, multi_label: bool, has_validation: bool, metric: str = "accuracy"
) -> None:
    """Fit a head on sixteen random rows, so that what it cannot do is refused before anything is computed.

    Args:
        kind, options: of the head.
        multi_label: the rows may have several classes.
        has_validation: there are validation rows to choose on.
        metric: what they choose by.

    Raises:
        SpecError: an invalid option, or several configurations without validation rows.
        DataError: a metric that is not defined for these labels.
    """
    question = (kind, _text(options), multi_label, has_validation, metric)
    if question in _accepted:  # by another run, or for an earlier plan: a fit takes tens of milliseconds
        return
    rows = np.arange(16)
    features = np.random.default_rng(0).standard_normal((16, 3), np.float32)
    labels: Labels = np.eye(2, dtype=bool)[rows % 2] if multi_label else rows % 2
    short = {**options, "epochs": 1} if _is_many(options.get("epochs")) else options
    part = rows[12:] if has_validation else rows[:0]
    fit_heads(features, labels, [HeadJob(kind, rows[:12], part, 2, short, 0, refit=False, metric=metric)])
    _accepted.add(question)


def _is_many(epochs: Any) -> bool:
    return isinstance(epochs, int) and epochs > 1


def fit_heads(
    features: FloatArray, labels: Labels, jobs: Sequence[HeadJob], device: str | torch.device = "cpu"
) -> list[HeadFit]:
    """Fit every job's head; the order of the results is that of the jobs.

    Args:
        features: [n, d], float32 or float16; may be a memory map.
        labels: int64 [n], or bool [n, C] where a row may have several classes.
        jobs: what to fit.
        device: where to compute; heads come back on the CPU.

    Raises:
        DataError: rows, labels and features do not belong together, or are not finite.
        SpecError: unknown kind or option, or several configurations without validation rows.
    """
    for job in jobs:
        _check(features, labels, job)
    workspace = Workspace(features, torch.device(device))
    answers: dict[Question, Fitted] = {}
    seconds = _fit_together(workspace, labels, jobs, answers)
    results: list[HeadFit | None] = [None] * len(jobs)
    for place in sorted(range(len(jobs)), key=lambda place: (jobs[place].train.tobytes(), place)):
        results[place] = _answer(workspace, labels, jobs[place], answers, seconds.get(place, 0.0))
    return [result for result in results if result is not None]


def bootstrap_rows(rows: IntArray, count: int, seed: int) -> list[IntArray]:
    """Return `count` resamples of the rows with replacement, each as long as they are."""
    draw = np.random.default_rng(seed)
    return [np.sort(draw.choice(rows, size=len(rows))) for _ in range(count)]


def _fit_together(
    workspace: Workspace, labels: Labels, jobs: Sequence[HeadJob], answers: dict[Question, Fitted]
) -> dict[int, float]:
    """Answer at once the questions that differ in rows and seed alone; return the seconds of each job."""
    groups: dict[Question, list[int]] = {}
    for place, job in enumerate(jobs):
        if job.kind in TOGETHER:
            alike = (job.kind, _text(job.options), job.classes, len(job.train), len(job.validation) > 0, job.metric)
            groups.setdefault(alike, []).append(place)
    seconds: dict[int, float] = {}
    for places in groups.values():
        began = time.perf_counter()
        asked = {}
        for place in places:
            job = jobs[place]
            question, problem, options = _ask(workspace, labels, job, job.train, job.validation, job.options)
            asked[question] = problem
        fits = TOGETHER[jobs[places[0]].kind](list(asked.values()), options)
        answers.update(zip(asked, fits, strict=True))
        each = (time.perf_counter() - began) / len(places)
        seconds.update(dict.fromkeys(places, each))
    return seconds


def _answer(
    workspace: Workspace, labels: Labels, job: HeadJob, answers: dict[Question, Fitted], spent: float
) -> HeadFit:
    """Return the fit of a job, from `answers` if the same question was asked before."""
    began = time.perf_counter()
    again = job.refit and len(job.validation) > 0
    fitted = _once(workspace, labels, job, job.train, job.validation, job.options, answers, final=not again)
    head, notes = (
        fitted.head,
        [*half_errors(workspace.features, job, fitted.head), *fitted.notes, *edge_notes(job, fitted.chosen)],
    )
    if len(fitted.tried) > 1 and not any(_scored(entry) for entry in fitted.tried):
        raise SpecError(_nothing_to_choose_on(job.kind, fitted))
    if again:
        both = np.sort(np.concatenate([job.train, job.validation]))  # in one order: seeds may share the refit
        kept = _once(workspace, labels, job, both, both[:0], {**job.options, **fitted.chosen}, answers)
        head, notes = kept.head, notes + [f"refit: {note}" for note in kept.notes]
    judged = probabilities(fitted.head, workspace.features, job.validation) if len(job.validation) else None
    seconds = time.perf_counter() - began + spent
    chosen, tried = dict(fitted.chosen), copy.deepcopy(fitted.tried)
    return HeadFit(copy.deepcopy(head), chosen, tried, notes, seconds, judged, fitted.left_out)


def _nothing_to_choose_on(kind: str, fitted: Fitted) -> str:
    names = [name for name in fitted.chosen if len({repr(entry.get(name)) for entry in fitted.tried}) > 1]
    return (
        f"{kind}: {len(fitted.tried)} configurations and no validation images to choose on; set some aside for"
        f" validation (a class needs two images or more), or name one value each: {', '.join(names)}"
    )


@torch.no_grad()
def probabilities(
    head: nn.Module, features: FloatArray, rows: IntArray, *, half: bool = False
) -> npt.NDArray[np.float32]:
    """Return a head's probabilities [len(rows), C] of some rows, their features rounded to half if asked."""
    found = []
    for start in range(0, len(rows), BLOCK):
        block = read(features, rows[start : start + BLOCK], torch.device("cpu"))
        found.append(head.probabilities(block.half().float() if half else block).numpy())  # type: ignore[operator]
    return np.concatenate(found)


def half_errors(features: FloatArray, job: HeadJob, head: nn.Module) -> list[str]:
    """Return a note on what half precision costs this job: nothing if it did not ask for it."""
    if not job.options.get(HALF):
        return []
    rows = job.validation if len(job.validation) else job.train
    largest = worst = 0.0
    for start in range(0, len(rows), BLOCK):
        block = read(features, rows[start : start + BLOCK], torch.device("cpu"))
        largest = max(largest, float(block.abs().max()))
        worst = max(worst, float((block - block.half().float()).abs().max()))
    moved = np.abs(probabilities(head, features, rows) - probabilities(head, features, rows, half=True)).max()
    return [
        f"features in half precision: largest error {worst:.1e} where the largest feature is {largest:.1e};"
        f" probabilities move by {moved:.1e} at most"
    ]


def edge_notes(job: HeadJob, chosen: Mapping[str, Any]) -> list[str]:
    """Return a note for each chosen number that is at an end of the (at least three) values asked for."""
    notes = []
    for name, value in job.options.items():
        if not isinstance(value, (list, tuple)) or len(value) < 3 or name not in chosen:
            continue
        if any(isinstance(each, (str, bool)) for each in value):
            continue
        for end, words in ((min(value), "smallest"), (max(value), "largest")):
            if chosen[name] == end:
                notes.append(f"{job.kind}: {name} = {end:g} is the {words} of those tried; a wider grid may do better")
    return notes


def _once(
    workspace: Workspace,
    labels: Labels,
    job: HeadJob,
    train: IntArray,
    validation: IntArray,
    options: Mapping[str, Any],
    answers: dict[Question, Fitted],
    *,
    final: bool = True,
) -> Fitted:
    question, problem, plain = _ask(workspace, labels, job, train, validation, options, final=final)
    if question not in answers:
        answers[question] = SOLVERS[job.kind](problem, plain)
    return answers[question]


def _ask(
    workspace: Workspace,
    labels: Labels,
    job: HeadJob,
    train: IntArray,
    validation: IntArray,
    options: Mapping[str, Any],
    *,
    final: bool = True,
) -> tuple[Question, Problem, dict[str, Any]]:
    """Return what tells this question from others, the problem, and the options without those for all kinds."""
    seed = job.seed if HEADS[job.kind].seeded else 0
    plain = dict(options)
    half = bool(plain.pop(HALF, False))
    final = final or not HEADS[job.kind].polished
    problem = Problem(workspace, labels, train, validation, job.classes, seed, half, final, job.metric)
    rows = (train.tobytes(), validation.tobytes())
    question = (job.kind, *rows, _text(plain), job.classes, seed, half, final, job.metric)
    return question, problem, plain


def _text(options: Mapping[str, Any]) -> str:
    return json.dumps(options, sort_keys=True, default=lambda value: np.asarray(value).tolist())


def _scored(entry: Mapping[str, Any]) -> bool:
    return entry["validation_accuracy"] is not None


def _check(features: FloatArray, labels: Labels, job: HeadJob) -> None:
    choose("head", job.kind, HEADS)
    if features.ndim != 2:
        raise DataError(f"features must be a matrix [n, d], not {features.ndim}-dimensional")
    n = len(features)
    if len(labels) != n:
        raise DataError(f"{len(labels)} labels for {n} rows of features; extract the features of this dataset again")
    if not len(job.train):
        raise DataError(f"{job.kind}: no training rows; the split has an empty training part")
    for part, rows in (("training", job.train), ("validation", job.validation)):
        if len(rows) and not (int(rows.min()) >= 0 and int(rows.max()) < n):
            raise DataError(f"{job.kind}: {part} rows reach {int(rows.max())}, but there are only {n} rows of features")
        if labels.ndim == 1 and len(rows) and not 0 <= int(labels[rows].max()) < job.classes:
            raise DataError(
                f"{job.kind}: a {part} label is {int(labels[rows].max())}, but there are {job.classes} classes"
            )
    if labels.ndim == 2 and labels.shape[1] != job.classes:
        raise DataError(f"{job.kind}: labels have {labels.shape[1]} columns for {job.classes} classes")
    if np.intersect1d(job.train, job.validation).size:
        raise DataError(f"{job.kind}: training and validation rows overlap, so validation scores would be biased")
