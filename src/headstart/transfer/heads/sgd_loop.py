"""Many linear heads by stochastic gradients as one computation: [streams, features + 1, configurations · classes].

A stream is a set of rows with its own data order (a seed, a fraction of the labels, a bootstrap
resample); its configurations (learning rate, weight decay) share each mini-batch, so that forward and
backward are two large products of matrices. The last row of the weights is the intercept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from headstart.errors import choose
from headstart.transfer.heads.feature_rows import BLOCK, Rows
from headstart.transfer.heads.problem import logits_of
from headstart.transfer.heads.selection import ACCURACY, MEASURED, Score, score
from headstart.transfer.schedules import Course, factor

SMALL = 1e-3  # the least scale of a column before it is put into the weights
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam (Kingma and Ba 2015)


@dataclass(frozen=True)
class Stream:
    """Rows to learn from in an order of their own, and rows to watch.

    Args:
        rows: n training rows, prepared.
        labels: int64 [n] or bool [n, C].
        held: validation rows, or None.
        held_labels: their labels, or None.
        seed: of the order of rows in each epoch.
    """

    rows: Rows
    labels: Tensor
    held: Rows | None
    held_labels: Tensor | None
    seed: int


@dataclass(frozen=True)
class TrainingPlan:
    """What all configurations of one computation have in common.

    Args:
        rule: a name in RULES.
        rates, decays: [K], learning rate and weight decay of each configuration.
        classes: C.
        stop_at: how many epochs are run.
        batch_size: rows a step; the last batch of an epoch may be smaller.
        schedule: a name in headstart.transfer.schedules, but plateau.
        course: what the schedule depends on.
        momentum: of the rules that have it.
        label_smoothing: as in Szegedy et al. 2016; of targets with one label a row.
        patience: epochs without a lower validation log loss after which a configuration stops, its best
            epoch's weights kept; None runs them all to the end.
        metric: what the held rows choose by.
    """

    rule: str
    rates: tuple[float, ...]
    decays: tuple[float, ...]
    classes: int
    course: Course
    stop_at: int
    batch_size: int = 256
    schedule: str = "cosine"
    momentum: float = 0.9
    label_smoothing: float = 0.0
    patience: int | None = None
    metric: str = ACCURACY


@dataclass
class Trained:
    """Heads that came out of one computation.

    Args:
        weights: [S, K, d + 1, C].
        scores: of each stream and configuration on the held rows; None without held rows.
        epochs: [S, K], the epochs whose weights these are.
    """

    weights: Tensor
    scores: list[list[Score | None]]
    epochs: Int[Tensor, "s k"]


@dataclass
class TrainingState:
    """What the steps of one computation work on, every tensor [S, d + 1, K · C] but those of columns, [K · C].

    Args:
        weights: the heads, each column divided by its scale.
        scale: of each column. Plain SGD decays the scale in place of the column, which spares a pass over all weights
            (Bottou 2012, Stochastic gradient descent tricks, section 5.1).
        rates, decays: of each column.
        first, second: moments of the gradient, where the optimiser keeps them.
        gradient: room for one, where the optimiser needs it.
        steps: steps taken.
    """

    weights: Tensor
    scale: Tensor
    rates: Tensor
    decays: Tensor
    first: Tensor
    second: Tensor
    gradient: Tensor
    steps: int = 0
    inputs: Tensor = field(default_factory=lambda: torch.empty(0))
    errors: Tensor = field(default_factory=lambda: torch.empty(0))

    def accumulate(self, into: Tensor, beta: float) -> None:
        """Make `into` beta · into + inputsᵀ errors, stream by stream on a CPU so that company changes no bit."""
        if into.device.type == "cpu":
            for stream in range(len(into)):
                into[stream].addmm_(self.inputs[stream].T, self.errors[stream], beta=beta)
        else:
            into.baddbmm_(self.inputs.transpose(1, 2), self.errors, beta=beta)

    def decay(self, rate: float) -> None:
        """Shrink all weights but the intercepts by their weight decay, in the scale where that is safe."""
        shrink = 1 - rate * self.rates * self.decays
        low = torch.minimum(shrink, self.scale * shrink) < SMALL
        if bool(low.any()):  # column by column, so that company changes no bit
            self.weights.mul_(torch.where(low, self.scale, 1.0))
            self.weights[:, :-1].mul_(torch.where(low, shrink, 1.0))
            self.scale = torch.where(low, 1.0, self.scale)
            shrink = torch.where(low, 1.0, shrink)
        self.scale = self.scale * shrink
        self.weights[:, -1].div_(shrink)

    def settle(self) -> None:
        """Put the scale into the weights, so that these are the heads."""
        if bool((self.scale != 1).any()):
            self.weights.mul_(self.scale)
            self.scale = torch.ones_like(self.scale)


def momentum_step(state: TrainingState, plan: TrainingPlan, rate: float) -> None:
    """Take a step of SGD with momentum; `first` holds the velocity times the learning rate."""
    state.errors.mul_(state.rates)
    state.accumulate(state.first, plan.momentum)
    state.first[:, :-1].addcmul_(state.weights[:, :-1], state.rates * state.decays)
    state.weights.sub_(state.first, alpha=rate)


def sgd_step(state: TrainingState, plan: TrainingPlan, rate: float) -> None:
    """Take a step of plain SGD."""
    state.decay(rate)
    state.errors.mul_(state.rates * -rate / state.scale)
    state.accumulate(state.weights, 1.0)


def nesterov_step(state: TrainingState, plan: TrainingPlan, rate: float) -> None:
    """Take a step of SGD with Nesterov's momentum, in the form of Sutskever et al. (2013) that PyTorch has."""
    state.errors.mul_(state.rates)
    state.accumulate(state.gradient, 0.0)
    state.gradient[:, :-1].addcmul_(state.weights[:, :-1], state.rates * state.decays)
    state.first.mul_(plan.momentum).add_(state.gradient)
    state.weights.sub_(state.gradient, alpha=rate).sub_(state.first, alpha=rate * plan.momentum)


def adam_step(state: TrainingState, plan: TrainingPlan, rate: float) -> None:
    """Take a step of Adam, the weight decay added to the gradient."""
    state.accumulate(state.gradient, 0.0)
    state.gradient[:, :-1].addcmul_(state.weights[:, :-1], state.decays)
    _adam_update(state, rate)


def adamw_step(state: TrainingState, plan: TrainingPlan, rate: float) -> None:
    """Take a step of AdamW, the weight decay apart from the gradient (Loshchilov and Hutter 2019)."""
    state.accumulate(state.gradient, 0.0)
    state.weights[:, :-1].mul_(1 - rate * state.rates * state.decays)
    _adam_update(state, rate)


def _adam_update(state: TrainingState, rate: float) -> None:
    one, two = (1 - beta ** (state.steps + 1) for beta in BETAS)
    state.first.lerp_(state.gradient, 1 - BETAS[0])
    state.second.mul_(BETAS[1]).addcmul_(state.gradient, state.gradient, value=1 - BETAS[1])
    torch.sqrt(state.second, out=state.gradient).mul_(1 / math.sqrt(two)).add_(EPSILON)
    torch.div(state.first, state.gradient, out=state.gradient).mul_(state.rates * (rate / one))
    state.weights.sub_(state.gradient)


@dataclass(frozen=True)
class UpdateRule:
    """A rule for a step, and the tensors it keeps besides the weights."""

    step: Callable[[TrainingState, TrainingPlan, float], None]
    keeps: tuple[str, ...] = ()


RULES: dict[str, UpdateRule] = {
    "sgd": UpdateRule(sgd_step),
    "momentum": UpdateRule(momentum_step, ("first",)),
    "nesterov": UpdateRule(nesterov_step, ("first", "gradient")),
    "adam": UpdateRule(adam_step, ("first", "second", "gradient")),
    "adamw": UpdateRule(adamw_step, ("first", "second", "gradient")),
}


def train_together(streams: Sequence[Stream], plan: TrainingPlan) -> Trained:
    """Train every configuration of the plan on every stream; all streams must have equally many rows.

    Each result equals that of the same configuration and stream trained alone, but for rounding.
    """
    rule = choose("rule", plan.rule, RULES)
    state, n = set_up(streams, plan, rule), len(streams[0].rows)
    count = math.ceil(n / plan.batch_size)
    stopping = EarlyStopping(streams, plan, state.weights)
    for epoch in range(plan.stop_at):
        orders = [order(n, stream.seed, epoch) for stream in streams]
        for batch in range(count):
            index = [each[batch * plan.batch_size : (batch + 1) * plan.batch_size] for each in orders]
            fill_errors(state, streams, index, plan)
            rule.step(state, plan, factor(plan.schedule, state.steps / count, plan.course, count))
            state.steps += 1
        if plan.patience is not None:
            state.settle()
            if stopping.all_stopped(state, epoch + 1):
                break
    state.settle()
    return stopping.finish(state)


def set_up(streams: Sequence[Stream], plan: TrainingPlan, rule: UpdateRule) -> TrainingState:
    """Return heads of zeros and the room that the optimiser needs."""
    device = streams[0].rows.device
    shape = (len(streams), streams[0].rows.dim + 1, len(plan.rates) * plan.classes)
    rates, decays = (
        torch.tensor(values, device=device).repeat_interleave(plan.classes) for values in (plan.rates, plan.decays)
    )
    first, second, gradient = (
        torch.zeros(shape if name in rule.keeps else (0,), device=device) for name in ("first", "second", "gradient")
    )
    return TrainingState(
        torch.zeros(shape, device=device), torch.ones_like(rates), rates, decays, first, second, gradient
    )


def order(n: int, seed: int, epoch: int) -> Int[Tensor, " n"]:
    """Return the order of rows in an epoch, the same whoever else is trained."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(n, generator=generator)


def fill_errors(state: TrainingState, streams: Sequence[Stream], index: Sequence[Tensor], plan: TrainingPlan) -> None:
    """Put the batch into `inputs` [S, b, d + 1], the gradient of its mean loss by the logits into `errors`."""
    size = len(index[0])
    inputs = [
        functional.pad(each.rows.take(where), (0, 1), value=1.0) for each, where in zip(streams, index, strict=True)
    ]
    state.inputs = torch.stack(inputs) if len(inputs) > 1 else inputs[0][None]
    logits = products(state.inputs, state.weights)
    if plan.rule == "sgd":
        logits.mul_(state.scale)
    logits = logits.view(len(streams), size, -1, plan.classes)
    labels = [each.labels[where.to(each.labels.device)] for each, where in zip(streams, index, strict=True)]
    target = torch.stack(labels)
    if target.dim() == 3:
        errors = logits.sigmoid_().sub_(target.float()[:, :, None, :])
    else:
        errors = torch.softmax(logits, 3)
        place = target[:, :, None, None].expand(-1, -1, logits.shape[2], 1)
        errors.scatter_add_(3, place, torch.full_like(errors[..., :1], plan.label_smoothing - 1.0))
        if plan.label_smoothing:
            errors.sub_(plan.label_smoothing / plan.classes)
    state.errors = errors.div_(size).view(len(streams), size, -1)


def products(inputs: Float[Tensor, "s b d"], weights: Float[Tensor, "s d kc"]) -> Float[Tensor, "s b kc"]:
    """Return inputs · weights, stream by stream on a CPU so that company changes no bit."""
    if inputs.device.type != "cpu":
        return torch.bmm(inputs, weights)
    out = torch.empty(*inputs.shape[:2], weights.shape[2])
    for stream in range(len(inputs)):
        torch.mm(inputs[stream], weights[stream], out=out[stream])
    return out


class EarlyStopping:
    """Watches the validation rows and keeps, of each configuration, the weights that count.

    Args:
        streams: the streams.
        plan: the plan.
        weights: [S, d + 1, K · C], for their shape and device.
    """

    def __init__(self, streams: Sequence[Stream], plan: TrainingPlan, weights: Tensor) -> None:
        self.streams, self.plan = streams, plan
        shape = (len(streams), len(plan.rates))
        self.best = torch.full(shape, math.inf, dtype=torch.float64)
        self.at = torch.full(shape, plan.stop_at)
        self.stopped = torch.zeros(shape, dtype=torch.bool)
        self.kept = torch.zeros_like(weights) if plan.patience is not None else None
        self.active = list(range(len(plan.rates)))

    def all_stopped(self, state: TrainingState, epoch: int) -> bool:
        """Note the epoch, stop what no longer improves, drop it from the state; say whether none is left."""
        assert self.plan.patience is not None and self.kept is not None, "nothing is watched without patience"
        classes = self.plan.classes
        loss = torch.full_like(self.best, math.inf)
        for place, stream in enumerate(self.streams):
            loss[place, self.active] = evaluate(stream, state.weights[place], classes)[1]
        better = (loss < self.best) & ~self.stopped
        self.best, self.at = torch.where(better, loss, self.best), torch.where(better, epoch, self.at)
        kept = self.kept.view(*self.kept.shape[:2], -1, classes)
        now = state.weights.view(*state.weights.shape[:2], -1, classes)
        for place, which in better.nonzero().tolist():
            kept[place, :, which] = now[place, :, self.active.index(which)]
        self.stopped |= (epoch - torch.where(self.best.isinf(), 0, self.at)) >= self.plan.patience
        going = [which for which in self.active if not bool(self.stopped[:, which].all())]
        if going and len(going) <= 0.75 * len(self.active):
            self._drop(state, [self.active.index(which) for which in going])
            self.active = going
        return not going

    def _drop(self, state: TrainingState, places: list[int]) -> None:
        classes = self.plan.classes
        columns = torch.cat([torch.arange(place * classes, (place + 1) * classes) for place in places])
        columns = columns.to(state.weights.device)
        for name in ("weights", "scale", "rates", "decays", "first", "second", "gradient"):
            value = getattr(state, name)
            if value.numel():
                setattr(state, name, value.index_select(-1, columns))

    def finish(self, state: TrainingState) -> Trained:
        """Return the kept weights, or the last ones, with their scores."""
        weights = state.weights if self.kept is None else self.kept
        scores: list[list[Score | None]] = []
        for place, stream in enumerate(self.streams):
            if stream.held is None:
                scores.append([None] * len(self.plan.rates))
                continue
            scores.append(judge(stream, weights[place], self.plan))
        streams, dim, _ = weights.shape
        split = weights.view(streams, dim, len(self.plan.rates), self.plan.classes).transpose(1, 2)
        return Trained(split, scores, self.at)


def judge(stream: Stream, weights: Float[Tensor, "d kc"], plan: TrainingPlan) -> list[Score | None]:
    """Return the score of each configuration on the held rows."""
    right, loss = evaluate(stream, weights, plan.classes)
    found: list[Score | None] = [Score(*pair) for pair in zip(right.tolist(), loss.tolist(), strict=True)]
    if plan.metric in MEASURED:
        return found
    assert stream.held is not None and stream.held_labels is not None, "no rows to judge on"
    for place in range(len(found)):
        own = weights[:, place * plan.classes : (place + 1) * plan.classes]
        logits = logits_of(stream.held, own[:-1].contiguous(), own[-1])
        found[place] = score(logits, stream.held_labels, plan.metric)
    return found


def evaluate(
    stream: Stream, weights: Float[Tensor, "d kc"], classes: int
) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
    """Return accuracy and mean log loss of each configuration on the held rows, float64 on the CPU."""
    assert stream.held is not None and stream.held_labels is not None, "no rows to watch"
    count = weights.shape[1] // classes
    right, loss = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    for place, block in stream.held.blocks(min(BLOCK, 1024)):
        logits = torch.addmm(weights[-1], block, weights[:-1]).view(len(block), count, classes)
        labels = stream.held_labels[place]
        if labels.dim() == 2:
            target = labels[:, None, :].expand_as(logits)
            right += ((logits > 0) == target).sum((0, 2)).cpu().double() / classes
            each = functional.binary_cross_entropy_with_logits(logits, target.float(), reduction="none").mean(2)
        else:
            right += (logits.argmax(2) == labels[:, None]).sum(0).cpu().double()
            taken = logits.gather(2, labels[:, None, None].expand(-1, count, 1))[..., 0]
            each = logits.logsumexp(2) - taken
        loss += each.sum(0).cpu().double()
    return right / len(stream.held), loss / len(stream.held)
