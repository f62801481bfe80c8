"""The score of an epoch on validation by the metric that the study names."""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.evaluate.metrics.scoring import merit, score_of


class ValidationScore:
    """Collects the outputs of an epoch, for metrics that sums over batches cannot give.

    Args:
        metric: a name in METRICS; accuracy is counted anyway, so that nothing is collected for it.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self._outputs: list[tuple[Tensor, Tensor]] = []

    @property
    def counts(self) -> bool:
        """Return whether there is anything to collect."""
        return self.metric != "accuracy"

    def restart(self) -> None:
        """Forget what was collected."""
        self._outputs = []

    def add(self, logits: list[Tensor], labels: Tensor) -> None:
        """Add the outputs of a batch, in pieces, with its labels."""
        if self.counts:
            self._outputs.append((torch.cat(logits).cpu(), labels.cpu()))

    def value(self) -> float | None:
        """Return the score of what was collected; None if that is nothing."""
        if not self._outputs:
            return None
        logits, labels = (torch.cat([pair[side] for pair in self._outputs]) for side in (0, 1))
        several = labels.dim() == 2
        probabilities = torch.sigmoid(logits) if several else torch.softmax(logits, dim=1)
        if not bool(torch.isfinite(probabilities).all()):
            return None
        return score_of(probabilities.numpy(), (labels.bool() if several else labels.long()).numpy(), self.metric)

    def merit(self) -> float | None:
        """Return a number that is larger the better the score is; None if there is none."""
        score = self.value()
        return None if score is None else merit(score, self.metric)
