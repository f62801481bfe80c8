from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.errors import SpecError
from headstart.transfer.heads.fit import HeadFit, HeadJob, bootstrap_rows, fit_heads
from headstart.transfer.heads.sgd_loop import order
from headstart.transfer.schedules import Course, factor

N, D, CLASSES = 130, 9, 4


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(CLASSES, size=N)
    features = draw.normal(size=(CLASSES, D))[labels] + 1.5 * draw.normal(size=(N, D))
    return features.astype(np.float32), labels.astype(np.int64)


TRAIN, VALIDATION = np.arange(0, 100), np.arange(100, N)


def job(train: np.ndarray = TRAIN, validation: np.ndarray = VALIDATION, seed: int = 0, **options: object) -> HeadJob:
    settings = {"epochs": 6, "batch_size": 32, "normalise": "standardise", **options}
    return HeadJob("sgd", train, validation, CLASSES, settings, seed, False)


def by_hand(optimiser: str, lr: float, decay: float, schedule: str, seed: int = 0) -> np.ndarray:
    """The same head, by a plain loop over torch.optim."""
    features, labels = data()
    x = torch.from_numpy((features - features[TRAIN].mean(0)) / features[TRAIN].std(0))
    y = torch.from_numpy(labels)
    weight, bias = torch.zeros(CLASSES, D, requires_grad=True), torch.zeros(CLASSES, requires_grad=True)
    groups = [{"params": [weight], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}]
    rules = {
        "sgd": lambda: torch.optim.SGD(groups, lr),
        "momentum": lambda: torch.optim.SGD(groups, lr, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True),
        "adam": lambda: torch.optim.Adam(groups, lr),
        "adamw": lambda: torch.optim.AdamW(groups, lr),
    }
    rule, step = rules[optimiser](), 0
    for epoch in range(6):
        for batch in torch.from_numpy(TRAIN)[order(len(TRAIN), seed, epoch)].split(32):
            for group in rule.param_groups:
                group["lr"] = lr * factor(schedule, step / 4, Course(6, step_size=2), 4)
            rule.zero_grad()
            torch.nn.functional.cross_entropy(x[batch] @ weight.T + bias, y[batch]).backward()
            rule.step()
            step += 1
    with torch.no_grad():
        return (x @ weight.T + bias).numpy()


@torch.no_grad()
def logits(fit: HeadFit) -> np.ndarray:
    return fit.head(torch.from_numpy(data()[0])).numpy()


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["cosine", "none", "step"])
def test_each_optimiser_does_what_torch_does(optimiser: str, schedule: str) -> None:
    options = {"sgd": {"momentum": 0.0}, "momentum": {"nesterov": False}, "nesterov": {}}.get(
        optimiser, {"optimizer": optimiser}
    )
    grid = job(lr=0.05, weight_decay=0.02, schedule=schedule, step_size=2, **options)
    found = fit_heads(*data(), [grid])[0]
    np.testing.assert_allclose(logits(found), by_hand(optimiser, 0.05, 0.02, schedule), atol=2e-5)


@pytest.mark.parametrize(("rate", "decay"), [(0.5, 1.5), (0.5, 2.0), (0.5, 3.0), (0.02, 40.0)])
@pytest.mark.parametrize("patience", [None, 6])
def test_a_decay_that_shrinks_the_weights_to_nothing_or_past_it_is_still_exact(
    rate: float, decay: float, patience: int | None
) -> None:
    grid = job(lr=[0.01, rate], weight_decay=[0.0, decay], momentum=0.0, schedule="none", early_stopping=patience)
    found = fit_heads(*data(), [grid])[0]
    one = fit_heads(*data(), [job(lr=rate, weight_decay=decay, momentum=0.0, schedule="none")])[0]
    np.testing.assert_allclose(logits(one), by_hand("sgd", rate, decay, "none"), atol=2e-5)
    entry = next(each for each in found.tried if each["lr"] == rate and each["weight_decay"] == decay)
    if patience is None:
        assert entry["validation_log_loss"] == pytest.approx(one.tried[0]["validation_log_loss"], abs=1e-4)


def test_a_head_of_a_grid_equals_the_same_head_trained_alone() -> None:
    rates, decays = [0.003, 0.01, 0.1], [0.0, 0.01, 0.1]
    together = fit_heads(*data(), [job(lr=rates, weight_decay=decays, nesterov=[True, False])])[0]
    assert len(together.tried) == 18
    for entry in together.tried:
        setting = {name: entry[name] for name in ("nesterov", "lr", "weight_decay")}
        alone = fit_heads(*data(), [job(**setting)])[0]
        assert alone.tried[0]["validation_log_loss"] == pytest.approx(entry["validation_log_loss"], abs=1e-4)
        if setting.items() <= together.chosen.items():
            np.testing.assert_allclose(logits(together), logits(alone), atol=1e-4)


def test_seeds_fractions_and_resamples_trained_together_equal_each_alone() -> None:
    jobs = [job(seed=seed, lr=[0.01, 0.1], weight_decay=0.01) for seed in range(3)]
    jobs += [job(train=TRAIN[:40], lr=[0.01, 0.1], weight_decay=0.01)]
    jobs += [job(train=rows, lr=[0.01, 0.1], weight_decay=0.01) for rows in bootstrap_rows(TRAIN, 3, seed=5)]
    together = fit_heads(*data(), jobs)
    for one, fit in zip(jobs, together, strict=True):
        alone = fit_heads(*data(), [one])[0]
        assert alone.chosen == fit.chosen
        np.testing.assert_allclose(logits(alone), logits(fit), atol=1e-4)
    assert np.abs(logits(together[0]) - logits(together[1])).max() > 1e-3  # another order is another head


def test_small_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.transfer.heads import sgd as sgd_heads

    grid = job(lr=[0.003, 0.01, 0.1], weight_decay=[0.0, 0.1])
    whole = fit_heads(*data(), [grid])[0]
    monkeypatch.setattr(sgd_heads, "CACHED_BYTES", 1)
    pieces = fit_heads(*data(), [grid])[0]
    assert whole.chosen == pieces.chosen
    np.testing.assert_allclose(logits(whole), logits(pieces), atol=1e-4)


def test_patience_keeps_the_best_epoch_of_each_configuration() -> None:
    # a rate so high that the head gets worse after a while, and one so low that it improves to the end
    found = fit_heads(*data(), [job(lr=[2.0, 1e-3], weight_decay=0.0, epochs=20, schedule="none", early_stopping=2)])[0]
    fast, slow = found.tried
    assert fast["stop_at"] < 20 and slow["stop_at"] == 20
    for entry in found.tried:
        again = fit_heads(
            *data(), [job(lr=entry["lr"], weight_decay=0.0, epochs=20, schedule="none", stop_at=entry["stop_at"])]
        )[0]
        assert again.tried[0]["validation_log_loss"] == pytest.approx(entry["validation_log_loss"], abs=1e-4)


def test_a_refit_runs_as_many_epochs_as_patience_found_best() -> None:
    settings = {"lr": 2.0, "weight_decay": 0.0, "epochs": 20, "schedule": "none", "batch_size": 32}
    both = np.concatenate([TRAIN, VALIDATION])
    found = fit_heads(
        *data(), [HeadJob("sgd", TRAIN, VALIDATION, CLASSES, {**settings, "early_stopping": 2}, 0, True)]
    )[0]
    fixed = {**settings, "stop_at": found.chosen["stop_at"]}
    again = fit_heads(*data(), [HeadJob("sgd", both, both[:0], CLASSES, fixed, 0, False)])[0]
    np.testing.assert_allclose(logits(found), logits(again), atol=1e-5)


def test_rates_that_diverge_are_reported_and_not_chosen() -> None:
    found = fit_heads(*data(), [job(lr=[0.05, 1e30], weight_decay=0.1, momentum=0.0)])[0]
    assert found.chosen["lr"] == 0.05
    assert found.notes == ["sgd: 1 of 2 configurations diverged (learning rates from 1e+30)"]


def test_several_labels_a_row_follow_the_binary_cross_entropy() -> None:
    features, labels = data()
    several = np.stack([labels == k for k in range(CLASSES)], axis=1)
    found = fit_heads(features, several, [job(lr=0.1, weight_decay=0.05, epochs=200, batch_size=100)])[0]
    exact = HeadJob("logistic", TRAIN, VALIDATION, CLASSES, {"penalty": 0.05}, 0, False)
    near = fit_heads(features, several, [exact])[0]
    with torch.no_grad():
        gap = found.head.probabilities(torch.from_numpy(features)) - near.head.probabilities(torch.from_numpy(features))
    assert gap.abs().max() < 2e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": []}, "lr is an empty list"),
        ({"lr": -1}, "lr = -1 must be a finite number above 0"),
        ({"optimizer": "adamm"}, "did you mean 'adam"),
        ({"schedule": "plateau"}, "use cosine, step or none"),
        ({"epochs": 2.5}, "epochs = 2.5 must be a whole number"),
        ({"momentum": 1.0}, "momentum = 1 must be below 1"),
        ({"schedul": "cosine"}, "did you mean 'schedule'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        fit_heads(*data(), [job(**options)])


def test_several_configurations_without_validation_rows_are_refused() -> None:
    with pytest.raises(SpecError, match=r"2 configurations and no validation images to choose on.*: lr"):
        fit_heads(*data(), [job(validation=VALIDATION[:0], lr=[0.1, 0.2], weight_decay=0.0)])
