"""The scores of a candidate on validation, by the metric that the study names."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.evaluate.metrics.scoring import merit, score_of

_LEAST = 1e-7  # a probability of zero costs this much at most


def validation_scores(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[Any], metric: str
) -> dict[str, float]:
    """Return accuracy, log loss and merit: the larger the merit, the better by the metric.

    With several labels an image, accuracy and log loss are those of all (image, class) decisions.
    """
    if labels.ndim == 2:
        p = np.clip(probabilities.astype(np.float64), _LEAST, 1 - _LEAST)
        loss = float(-(np.log(p) * labels + np.log1p(-p) * ~labels).mean())
        accuracy = float(((p > 0.5) == labels).mean())
    else:
        own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
        accuracy = float((probabilities.argmax(1) == labels).mean())
        loss = float(-np.log(np.clip(own, _LEAST, None)).mean())
    by = accuracy if metric == "accuracy" else merit(score_of(probabilities, labels, metric), metric)
    return {"accuracy": accuracy, "log_loss": loss, "merit": by}
