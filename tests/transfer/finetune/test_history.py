"""Which epoch counts as the best, when training stops, and that a restored history continues the same way."""

from __future__ import annotations

import pytest

from headstart.transfer.finetune.history import History, Row, Tally


def row(epoch: int, accuracy: float | None, loss: float | None) -> Row:
    return {"epoch": epoch, "validation_accuracy": accuracy, "validation_loss": loss}


def test_a_tally_weighs_batches_by_their_size() -> None:
    tally = Tally()
    assert tally.means() == (None, None)
    tally.add(loss=8.0, correct=3.0, count=4)
    tally.add(loss=1.0, correct=0.0, count=2)
    assert tally.means() == (pytest.approx(1.5), pytest.approx(0.5))


def test_the_start_is_epoch_zero_and_only_a_better_epoch_replaces_it() -> None:
    history = History("validation_accuracy", None)
    history.begin(0.7, 0.8)
    assert history.improved and history.best is not None and history.best[1] == 0
    history.add(row(1, 0.8, 0.7))
    assert not history.improved and history.best[1] == 0
    history.add(row(2, 0.8, 0.6))  # a tie is decided by the loss
    assert history.improved and history.best[1] == 2
    history.add(row(3, 0.79, 0.1))
    assert not history.improved and history.best[1] == 2
    assert history.measures_of(0) == (0.8, 0.7) and history.measures_of(3) == (0.79, 0.1)


def test_monitoring_the_loss_prefers_the_lower_loss() -> None:
    history = History("validation_loss", None)
    history.begin(0.7, 0.8)
    history.add(row(1, 0.5, 0.6))
    history.add(row(2, 0.9, 0.65))
    assert history.best is not None and history.best[1] == 1


def test_the_score_that_is_monitored_is_the_merit_and_without_one_the_accuracy() -> None:
    history = History("validation_score", None)
    history.begin(0.7, 0.9, merit=0.1)
    history.add(row(1, 0.5, 0.6), merit=0.3)
    assert history.best == ((0.3, -0.6), 1)
    history.add(row(2, 0.8, 0.5), merit=0.2)
    assert history.best[1] == 1
    for monitor in ("validation_score", "validation_accuracy"):
        plain = History(monitor, None)
        plain.begin(0.7, 0.9, merit=None if monitor == "validation_score" else 0.1)
        plain.add(row(1, 0.5, 0.6), merit=None if monitor == "validation_score" else 0.3)
        assert plain.best is not None and plain.best[1] == 0


def test_a_loss_that_is_not_finite_or_missing_is_no_candidate() -> None:
    history = History("validation_accuracy", None)
    history.begin(float("nan"), 0.9)
    assert history.best is None
    history.add(row(1, None, None))
    assert history.best is None and not history.improved
    history.add(row(2, 0.1, 5.0))
    assert history.best is not None and history.best[1] == 2


def test_patience_counts_from_the_best_epoch_the_start_included() -> None:
    history = History("validation_accuracy", 2)
    history.begin(0.5, 0.9)
    history.add(row(1, 0.8, 0.5))
    assert not history.stopped
    history.add(row(2, 0.8, 0.5))
    assert history.stopped


def test_a_restored_history_judges_like_the_original() -> None:
    history = History("validation_accuracy", 2)
    history.begin(0.5, 0.2)
    history.add(row(1, 0.8, 0.5))
    other = History("validation_accuracy", 2)
    other.restore(history.state())
    for each in (history, other):
        each.add(row(2, 0.7, 0.4))
        each.add(row(3, 0.7, 0.4))
    assert other.state() == history.state() and other.stopped and other.best == ((0.8, -0.5), 1)
