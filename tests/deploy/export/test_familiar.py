from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.deploy.export.familiar import Familiar
from headstart.evaluate.uncertainty.answers import Uncertainty, held_out_of
from headstart.evaluate.uncertainty.familiarity import NEEDS, SCORES, SourceHead, familiarity, fit_reference
from headstart.evaluate.uncertainty.stored import rounded
from tests.evaluate.uncertainty.test_conformal import honest

D, CLASSES = 24, 5
SOURCE = SourceHead(np.random.default_rng(8).normal(0, 0.3, (30, D)), np.random.default_rng(9).normal(0, 1, 30))


def seen(count: int, seed: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return embeddings around one centre a class, their labels, and logits."""
    centres = np.random.default_rng(99).normal(0, 2, (CLASSES, D))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    embeddings = (centres[labels] + generator.normal(0, spread, (count, D))).astype(np.float32)
    return embeddings, labels, (embeddings @ centres.T / 4).astype(np.float32)


@pytest.mark.parametrize("score", SCORES)
def test_the_shares_are_those_of_the_classifier(score: str) -> None:
    train, labels, logits = seen(120, 0)
    reference = rounded(fit_reference(train, labels, logits, score=score, source=SOURCE), score)
    held, _, held_logits = seen(100, 1)
    probabilities, right = honest(100, CLASSES, 0)
    known = Uncertainty(
        CLASSES,
        held_out_of(probabilities.astype(np.float32), right),
        score,
        reference,
        familiarity(score, reference, held, held_logits),
    )
    new, _, new_logits = (np.concatenate(each) for each in zip(seen(60, 2), seen(60, 3, spread=3.0), strict=True))
    expected = known.shares(new, new_logits)
    with torch.no_grad():
        found = Familiar(known)(torch.from_numpy(new), torch.from_numpy(new_logits)).numpy()
    assert found.dtype == np.float32 and found.shape == (120,)
    off_by = 0.03 if "bank" in NEEDS[score] else 1e-6  # eight bits: three of a hundred change places
    assert np.abs(found - expected).max() <= off_by
    assert len(np.unique(expected)) > 20
