from __future__ import annotations

import pytest

from headstart.errors import SpecError
from headstart.fewshot.score_scale import scale_of


@pytest.mark.parametrize(
    ("metric", "score", "share"),
    [("accuracy", 0.7, 0.7), ("mcc", -0.5, 0.25), ("brier", 0.5, 0.75), ("log_loss", 0.6, 1 - 0.6 / 3.0)],
)
def test_a_score_becomes_a_share_of_which_more_is_better_and_comes_back(
    metric: str, score: float, share: float
) -> None:
    scale = scale_of(metric, [0.6, 2.0])
    assert scale.share(score) == pytest.approx(share)
    assert scale.score(share) == pytest.approx(score)
    assert scale.percent == (metric == "accuracy")
    low, high = scale.interval(0.2, 0.6)
    assert low < high
    assert {round(scale.share(low), 9), round(scale.share(high), 9)} == {0.2, 0.6}
    assert scale.gain(0.1) == pytest.approx(abs(scale.score(0.6) - scale.score(0.5)))


def test_an_unknown_metric_is_named_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean 'brier'"):
        scale_of("briar", [0.5])
