"""Linear heads trained by stochastic gradients, every learning rate, weight decay and optimiser at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from headstart.errors import SpecError, choose, unknown_name
from headstart.models.heads import LinearHead
from headstart.progress import Ticker, progress
from headstart.transfer.heads.catalogue import complete
from headstart.transfer.heads.feature_rows import Transform
from headstart.transfer.heads.problem import Fitted, Problem, listed, numbers
from headstart.transfer.heads.selection import Selection
from headstart.transfer.heads.sgd_loop import RULES, Stream, TrainingPlan, train_together
from headstart.transfer.schedules import SCHEDULES, Course

FAMILIES = ("sgd", "adam", "adamw")
CACHED_BYTES = 16 << 20  # weights and moments that are trained at a time on a CPU: what its cache holds
DEVICE_BYTES = 8 << 30  # … and on an accelerator
SMALL_COLUMNS = 512  # streams narrower than this are trained together on a CPU, to save on small steps

Grid = list[tuple[float, float]]
RULE_OPTIONS = ("optimizer", "momentum", "nesterov")


class OptimizerSettings(NamedTuple):
    """What asks for a rule among RULES: the options, and its name."""

    optimizer: str
    momentum: float
    nesterov: bool
    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """The options as they are noted with each configuration."""
        if self.optimizer != "sgd":
            return {"optimizer": self.optimizer}
        return {"optimizer": "sgd", "momentum": self.momentum, "nesterov": self.nesterov}


def fit_sgd(problem: Problem, options: Mapping[str, Any]) -> Fitted:
    """Fit one problem's heads by stochastic gradients; see `fit_sgd_together`."""
    return fit_sgd_together([problem], options)[0]


def fit_sgd_together(problems: Sequence[Problem], options: Mapping[str, Any]) -> list[Fitted]:
    """Fit heads by stochastic gradients to several problems (seeds, fractions, resamples) with the same grid.

    The mean loss of a mini-batch is minimised from weights of zero; weight decay spares the intercepts.
    The configuration is chosen on each problem's validation rows.

    Options, in the words of a recipe: `lr`, `weight_decay`, `optimizer` ("sgd", "adam", "adamw"), `momentum`,
    `nesterov` (of sgd), `normalise` (all lists), `epochs`, `batch_size`, `schedule` with `step_size`, `gamma`,
    `milestones` and `warmup_epochs`, `label_smoothing`, `early_stopping` (epochs without a lower validation
    log loss before a configuration stops; None: never), `stop_at` (run only so many of the epochs; found by
    early stopping, used by a refit).

    Raises:
        SpecError: an option that does not exist or cannot be.
    """
    options = complete("sgd", options)
    grid = list(itertools.product(_rates(options, "lr"), _rates(options, "weight_decay", equal=True)))
    rules = [_rule(*each) for each in itertools.product(*(listed(options[name]) for name in RULE_OPTIONS))]
    kinds = list(itertools.product(listed(options["normalise"]), dict.fromkeys(rules)))
    watched = options["early_stopping"] is not None and all(len(problem.validation) for problem in problems)
    selections: list[Selection[LinearHead]] = [Selection(problem.multi_label, problem.metric) for problem in problems]
    with progress("heads by gradient steps", len(kinds) * len(grid) * len(problems), "heads") as ticker:
        for normalise, rule in kinds:
            plan = replace(_plan(options, rule, problems[0].classes, watched), metric=problems[0].metric)
            for group in _trained_together(problems, len(grid) * problems[0].classes):
                _train_group(group, selections, plan, {**rule.settings, "normalise": normalise}, grid, ticker)
    return [
        Fitted(selection.value, selection.chosen, selection.tried, _warnings(selection.tried))
        for selection in selections
    ]


def _train_group(
    group: Sequence[tuple[int, Problem]],
    selections: list[Selection[LinearHead]],
    plan: TrainingPlan,
    common: Mapping[str, Any],
    grid: Grid,
    ticker: Ticker,
) -> None:
    transforms = [problem.transform(common["normalise"], centred=True) for _, problem in group]
    streams = [_stream(problem, transform) for (_, problem), transform in zip(group, transforms, strict=True)]
    for part in _parts(plan, grid, streams):
        trained = train_together(streams, part)
        for place, (number, problem) in enumerate(group):
            for which, (rate, decay) in enumerate(zip(part.rates, part.decays, strict=True)):
                selections[number].offer(
                    {"lr": rate, "weight_decay": decay, **common},
                    trained.scores[place][which],
                    partial(_head, transforms[place], trained.weights[place, which], problem.multi_label),
                    simplicity=(decay, -rate),
                    keep={"stop_at": int(trained.epochs[place, which])},
                )
        ticker.advance(len(part.rates) * len(group))


def _stream(problem: Problem, transform: Transform) -> Stream:
    held = problem.validation_rows(transform)
    return Stream(
        problem.train_rows(transform),
        problem.labels_of(problem.train),
        held,
        None if held is None else problem.labels_of(problem.validation),
        problem.seed,
    )


def _rule(optimizer: Any, momentum: Any, nesterov: Any) -> OptimizerSettings:
    if optimizer not in FAMILIES:
        raise SpecError(unknown_name("optimizer of sgd heads", optimizer, FAMILIES))
    if optimizer != "sgd":
        return OptimizerSettings(optimizer, 0.0, False, optimizer)
    value = numbers("sgd", "momentum", momentum, equal=True)[0]
    if value >= 1:
        raise SpecError(f"sgd: momentum = {value:g} must be below 1")
    if not isinstance(nesterov, bool):
        raise SpecError(f"sgd: nesterov = {nesterov!r} must be true or false")
    if not value:
        return OptimizerSettings("sgd", 0.0, False, "sgd")
    return OptimizerSettings("sgd", value, nesterov, "nesterov" if nesterov else "momentum")


def _plan(options: Mapping[str, Any], rule: OptimizerSettings, classes: int, watched: bool) -> TrainingPlan:
    schedule = options["schedule"]
    choose("schedule", schedule, SCHEDULES)
    if schedule == "plateau":
        raise SpecError(
            "sgd: schedule 'plateau' is not supported when heads are trained together; use cosine, step or none"
        )
    epochs = _whole(options, "epochs")
    smoothing = numbers("sgd", "label_smoothing", options["label_smoothing"], equal=True)[0]
    if smoothing >= 1:
        raise SpecError(f"sgd: label_smoothing = {smoothing:g} must be below 1")
    course = Course(
        epochs,
        numbers("sgd", "warmup_epochs", options["warmup_epochs"], equal=True)[0],
        _whole(options, "step_size"),
        numbers("sgd", "gamma", options["gamma"], equal=True)[0],
        tuple(int(value) for value in listed(options["milestones"])),
    )
    return TrainingPlan(
        rule.name,
        (),
        (),
        classes,
        course,
        epochs if options["stop_at"] is None else min(epochs, _whole(options, "stop_at")),
        _whole(options, "batch_size"),
        schedule,
        rule.momentum,
        smoothing,
        _whole(options, "early_stopping") if watched else None,
    )


def _trained_together(problems: Sequence[Problem], width: int) -> Iterator[list[tuple[int, Problem]]]:
    """Yield problems (with their number) that are trained as one computation: equally many rows, and room."""
    order = sorted(range(len(problems)), key=lambda place: (len(problems[place].train), place))
    for _, same in itertools.groupby(order, key=lambda place: len(problems[place].train)):
        places = list(same)
        first = problems[places[0]]
        size = 4 * 4 * (first.workspace.features.shape[1] + 1) * width  # weights, moments, gradient
        if first.device.type == "cpu":
            limit = max(1, SMALL_COLUMNS // width)
        else:
            prepared = 4 * first.workspace.features.shape[1] * (len(first.train) + len(first.validation))
            limit = max(1, DEVICE_BYTES // (size + prepared))
        for start in range(0, len(places), limit):
            yield [(place, problems[place]) for place in places[start : start + limit]]


def _parts(plan: TrainingPlan, grid: Grid, streams: Sequence[Stream]) -> Iterator[TrainingPlan]:
    """Yield the plan with as many configurations at a time as the device's fast memory holds."""
    tensors = 1 + len(RULES[plan.rule].keeps)
    each = 4 * tensors * (streams[0].rows.dim + 1) * plan.classes * len(streams)
    room = CACHED_BYTES if streams[0].rows.device.type == "cpu" else DEVICE_BYTES
    parts = -(-len(grid) * each // room)
    size = -(-len(grid) // max(1, min(parts, len(grid))))
    for start in range(0, len(grid), size):
        rates, decays = zip(*grid[start : start + size], strict=True)
        yield replace(plan, rates=rates, decays=decays)


def _rates(options: Mapping[str, Any], name: str, equal: bool = False) -> list[float]:
    return numbers("sgd", name, options[name], equal=equal)


def _whole(options: Mapping[str, Any], name: str) -> int:
    value = numbers("sgd", name, options[name], above=1.0, equal=True)[0]
    if value != int(value):
        raise SpecError(f"sgd: {name} = {value:g} must be a whole number")
    return int(value)


def _head(transform: Transform, weights: Tensor, multi_label: bool) -> LinearHead:
    return transform.linear_head(weights[:-1].T.clone(), weights[-1].clone(), multi_label=multi_label)


def _warnings(tried: list[dict[str, Any]]) -> list[str]:
    lost = [entry for entry in tried if not _finite(entry["validation_log_loss"])]
    if not lost:
        return []
    least = min(entry["lr"] for entry in lost)
    return [f"sgd: {len(lost)} of {len(tried)} configurations diverged (learning rates from {least:g})"]


def _finite(loss: float | None) -> bool:
    return loss is None or bool(torch.isfinite(torch.tensor(loss)))
