"""The heads that can be fitted to stored features: their names, options and traits. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headstart.errors import SpecError, choose, unknown_name


@dataclass(frozen=True)
class HeadKind:
    """A kind of head.

    Args:
        meaning: one line.
        options: every option with its default; a tuple is a grid from which validation rows choose.
        seeded: the result depends on the seed.
        polished: configurations are compared when they are solved roughly; the chosen one is then solved in full,
            unless it is fitted again anyway.
        baseline: it does not look at the image; a classifier must beat it.
        multi_label: an image may have several labels.
        order: with a budget, heads of one network are fitted in this order: the most accuracy for their time first.
    """

    meaning: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = False
    polished: bool = False
    baseline: bool = False
    multi_label: bool = True
    order: int = 99


HEADS: dict[str, HeadKind] = {
    "logistic": HeadKind(
        "logistic regression with an L2 penalty, solved until it has converged",
        {
            "penalty": (1.0, 0.316228, 0.1, 0.0316228, 0.01, 0.00316228, 0.001),
            "normalise": "standardise",
            "tolerance": 2e-4,
            "max_iterations": 300,
        },
        polished=True,
        order=3,
    ),
    "ridge": HeadKind(
        "ridge regression to one-hot targets",
        {
            "penalty": (
                1e-07,
                3.162277660168379e-07,
                1e-06,
                3.162277660168379e-06,
                9.999999999999999e-06,
                3.1622776601683795e-05,
                0.0001,
                0.00031622776601683794,
                0.001,
                0.0031622776601683794,
                0.01,
                0.03162277660168379,
                0.1,
                0.31622776601683794,
                1.0,
            ),
            "normalise": "l2-centre",
            "leave_one_out": False,
            "temperature": None,
        },
        order=2,
    ),
    "prototypes": HeadKind(
        "the nearest class mean",
        {
            "metric": ("euclidean", "cosine"),
            "normalise": ("l2", "centre-l2", "standardise"),
            "temperature": None,
        },
        multi_label=False,
        order=1,
    ),
    "knn": HeadKind(
        "a vote of the k nearest training images",
        {
            "k": (1, 3, 5, 10, 20, 50),
            "metric": ("cosine", "euclidean"),
            "weights": ("uniform", "distance"),
            "normalise": "none",
            "temperature": 0.07,
        },
        order=4,
    ),
    "sgd": HeadKind(
        "a linear layer trained by stochastic gradients",
        {
            "lr": (0.003, 0.01, 0.03, 0.1),
            "weight_decay": (1e-4, 1e-3, 1e-2),
            "optimizer": "sgd",
            "momentum": 0.9,
            "nesterov": True,
            "epochs": 30,
            "stop_at": None,
            "batch_size": 256,
            "schedule": "cosine",
            "step_size": 10,
            "gamma": 0.1,
            "milestones": (),
            "warmup_epochs": 0.0,
            "label_smoothing": 0.0,
            "early_stopping": None,
            "normalise": "standardise",
        },
        seeded=True,
        order=5,
    ),
    "majority": HeadKind("the class frequencies, whatever the image", baseline=True, order=0),
}
HALF = "half"  # an option of every kind: hold the features in half precision


def complete(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` over the kind's defaults.

    Raises:
        SpecError: unknown kind, or an option that it does not have, with the nearest known one.
    """
    known = choose("head", kind, HEADS).options
    for name in options:
        if name not in known:
            raise SpecError(unknown_name(f"option of a {kind} head", name, known))
    return {**known, **options}


def check_options(kind: str, options: Mapping[str, Any]) -> None:
    """Refuse options that a kind of head does not have, before anything is computed.

    Raises:
        SpecError: unknown kind or option, with the nearest known one.
    """
    complete(kind, {name: value for name, value in options.items() if name != HALF})
