"""Many heads at once against PyTorch's own optimisers, one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, log_loss
from torch.nn import functional

from headstart.transfer.heads.feature_rows import Rows, fit_transform
from headstart.transfer.heads.sgd_loop import Stream, TrainingPlan, evaluate, judge, order, train_together
from headstart.transfer.schedules import Course

CPU = torch.device("cpu")
N, HELD, DIM, CLASSES, EPOCHS = 48, 20, 5, 3, 3


def stream(seed: int = 0, several: bool = False) -> Stream:
    draw = np.random.default_rng(1)
    labels = draw.integers(CLASSES, size=N + HELD)
    features = (draw.normal(size=(CLASSES, DIM))[labels] + draw.normal(size=(N + HELD, DIM))).astype(np.float32)
    transform = fit_transform(features, np.arange(N), "none", CPU)
    rows, held = (Rows(features, part, transform, CPU) for part in (np.arange(N), np.arange(N, N + HELD)))
    target = torch.from_numpy(np.eye(CLASSES, dtype=bool)[labels]) if several else torch.from_numpy(labels)
    return Stream(rows, target[:N], held, target[N:], seed)


def plan(rule: str, **changes: object) -> TrainingPlan:
    settings = {"schedule": "none", "batch_size": 16, "label_smoothing": 0.0, "momentum": 0.9, **changes}
    rates, decays = (0.05, 0.01), (0.1, 0.0)
    return TrainingPlan(rule, rates, decays, CLASSES, Course(EPOCHS), EPOCHS, **settings)  # type: ignore[arg-type]


OPTIMIZERS = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, nesterov=True),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several"])
@pytest.mark.parametrize("rule", sorted(OPTIMIZERS))
def test_each_configuration_learns_what_pytorchs_optimiser_learns(rule: str, several: bool) -> None:
    one = stream(several=several)
    found = train_together([one], plan(rule)).weights[0]
    features, labels = one.rows.take(torch.arange(N)), one.labels
    for place, (rate, decay) in enumerate(zip((0.05, 0.01), (0.1, 0.0), strict=True)):
        weight, bias = torch.zeros(DIM, CLASSES, requires_grad=True), torch.zeros(CLASSES, requires_grad=True)
        groups = [{"params": [weight], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}]
        optimizer = OPTIMIZERS[rule](groups, rate)  # type: ignore[operator]
        for epoch in range(EPOCHS):
            for batch in order(N, 0, epoch).split(16):
                logits = features[batch] @ weight + bias
                if several:
                    loss = functional.binary_cross_entropy_with_logits(logits, labels[batch].float(), reduction="sum")
                    loss = loss / len(batch)
                else:
                    loss = functional.cross_entropy(logits, labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        torch.testing.assert_close(found[place, :-1], weight.detach(), atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(found[place, -1], bias.detach(), atol=2e-5, rtol=1e-4)


def test_scores_on_held_rows_agree_with_scikit_learn() -> None:
    one = stream()
    weights = torch.randn(DIM + 1, 2 * CLASSES, generator=torch.Generator().manual_seed(0))
    right, loss = evaluate(one, weights, CLASSES)
    scores = judge(one, weights, plan("sgd", metric="f1_macro"))
    assert one.held is not None and one.held_labels is not None
    rows, labels = one.held.take(torch.arange(HELD)), one.held_labels.numpy()
    for place, found in enumerate(scores):
        own = weights[:, place * CLASSES : (place + 1) * CLASSES]
        p = torch.softmax((rows @ own[:-1] + own[-1]).double(), 1).numpy()
        assert found is not None and found.accuracy == pytest.approx((p.argmax(1) == labels).mean())
        assert found.log_loss == pytest.approx(log_loss(labels, p), abs=1e-5)
        assert found.value == pytest.approx(f1_score(labels, p.argmax(1), average="macro"))
        assert (float(right[place]), float(loss[place])) == pytest.approx((found.accuracy, found.log_loss), abs=1e-6)
    assert all(found is not None and found.value is None for found in judge(one, weights, plan("sgd")))


def test_with_patience_the_epoch_of_the_lowest_held_loss_is_kept() -> None:
    one = stream()
    losses = []
    for epochs in range(1, 7):
        alone = plan("momentum", momentum=0.9)
        weights = train_together([one], TrainingPlan(**{**vars(alone), "stop_at": epochs})).weights
        losses.append(evaluate(one, weights[0].transpose(0, 1).reshape(DIM + 1, -1), CLASSES)[1])
    watched = train_together([one], TrainingPlan(**{**vars(plan("momentum")), "stop_at": 6, "patience": 6}))
    best = torch.stack(losses).argmin(0) + 1
    assert watched.epochs[0].tolist() == best.tolist()


def test_the_order_of_rows_depends_on_seed_and_epoch_alone() -> None:
    assert torch.equal(order(10, 3, 1), order(10, 3, 1)) and sorted(order(10, 3, 1).tolist()) == list(range(10))
    assert not torch.equal(order(10, 3, 1), order(10, 3, 2)) and not torch.equal(order(10, 3, 1), order(10, 4, 1))


def test_streams_that_are_trained_together_do_not_change_each_other() -> None:
    together = train_together([stream(0), stream(5)], plan("nesterov"))
    for place, seed in enumerate((0, 5)):
        assert torch.equal(together.weights[place], train_together([stream(seed)], plan("nesterov")).weights[0])
