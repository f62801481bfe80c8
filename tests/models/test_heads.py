from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import ModelError, SpecError
from headstart.models.heads import (
    LinearHead,
    NearestNeighbourHead,
    build_head,
    head_config,
    kept_numbers,
    select_classes,
    vote,
)


def features(n: int = 20, d: int = 6) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0)) + 1


def linear(**options: bool) -> LinearHead:
    head = LinearHead(6, 3, **options)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in head.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
    return head


def neighbours(**options: object) -> NearestNeighbourHead:
    head = NearestNeighbourHead(6, 3, 30, **options)  # type: ignore[arg-type]
    head.bank.copy_(features(30))
    if head.multi_label:
        head.bank_labels.copy_(torch.rand(30, 3, generator=torch.Generator().manual_seed(2)) > 0.5)
    else:
        head.bank_labels.copy_(torch.arange(30) % 3)
    return head


@pytest.mark.parametrize(
    "head",
    [
        linear(),
        linear(l2=True, centred=True, scaled=True),
        linear(multi_label=True),
        neighbours(),
        neighbours(k=7, metric="euclidean", weights="distance", centred=True, scaled=True),
        neighbours(multi_label=True),
    ],
    ids=["plain", "prepared", "several labels", "cosine", "euclidean", "several labels vote"],
)
def test_a_head_is_rebuilt_from_its_config_and_state(head: LinearHead | NearestNeighbourHead) -> None:
    config = json.loads(json.dumps(head_config(head)))
    again = build_head(config)
    again.load_state_dict(head.state_dict())
    assert torch.equal(again(features()), head(features()))
    assert torch.equal(again.probabilities(features()), head.probabilities(features()))
    assert head_config(again) == head_config(head)


def test_a_linear_head_centres_scales_and_divides_by_the_length() -> None:
    head, x = linear(l2=True, centred=True, scaled=True), features()
    assert head.centre is not None and head.scale is not None
    rows = (x - head.centre) / head.scale
    rows = rows / rows.norm(dim=1, keepdim=True)
    torch.testing.assert_close(head(x), rows @ head.weight.T + head.bias)


def test_a_row_of_zeros_gives_the_intercepts() -> None:
    head = linear(l2=True)
    assert torch.equal(head(torch.zeros(1, 6))[0], head.bias)


def test_probabilities_of_one_label_sum_to_one_and_of_several_do_not() -> None:
    torch.testing.assert_close(linear().probabilities(features()).sum(1), torch.ones(20))
    several = linear(multi_label=True).probabilities(features())
    torch.testing.assert_close(several, torch.sigmoid(linear()(features())))


def test_shares_of_votes_are_smoothed_by_one_vote() -> None:
    logits = vote(torch.ones(1, 3), torch.tensor([[0, 0, 2]]), classes=3, weights="uniform", temperature=1.0)
    expected = torch.tensor([[2 + 1 / 3, 1 / 3, 1 + 1 / 3]]) / 4
    torch.testing.assert_close(logits.softmax(1), expected)


def test_distance_weights_follow_the_similarity() -> None:
    similarity = torch.tensor([[0.9, 0.5]])
    logits = vote(similarity, torch.tensor([[1, 0]]), classes=2, weights="distance", temperature=0.2)
    share = np.exp(np.array([0.5, 0.9]) / 0.2)
    expected = (share / share.sum() + 0.25) / 1.5
    np.testing.assert_allclose(logits.softmax(1)[0].numpy(), expected, rtol=1e-6)


def test_many_queries_are_answered_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.models import heads

    head = neighbours(k=4)
    whole = head(features(50))
    monkeypatch.setattr(heads, "QUERIES", 7)
    torch.testing.assert_close(head(features(50)), whole)


def test_no_rows_give_no_logits() -> None:
    assert neighbours()(torch.empty(0, 6)).shape == (0, 3)
    assert linear()(torch.empty(0, 6)).shape == (0, 3)


def test_heads_that_cannot_be_are_refused() -> None:
    with pytest.raises(ModelError, match="k must be between 1 and 30"):
        neighbours(k=31)
    with pytest.raises(SpecError, match="did you mean 'cosine'"):
        neighbours(metric="cosin")
    with pytest.raises(SpecError, match="unknown head 'forest'"):
        build_head({"kind": "forest"})
    with pytest.raises(ModelError, match="cannot be built"):
        build_head({"kind": "linear", "dim": 3})
    with pytest.raises(ModelError, match="cannot be saved as a head"):
        head_config(nn.Linear(2, 2))


def test_a_head_of_neighbours_keeps_their_rows() -> None:
    assert kept_numbers(linear()) == 6 * 3 + 3
    assert kept_numbers(neighbours()) == kept_numbers(select_classes(neighbours(), [0, 2])) == 30 * 6
