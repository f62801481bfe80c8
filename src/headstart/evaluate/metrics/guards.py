"""What must not be scored: a thing against itself, or a model on classes that it does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from headstart.errors import DataError

_SHOWN = 5  # names given in a message


def check_classes(model_classes: Sequence[str], dataset_classes: Sequence[str]) -> np.ndarray:
    """Return, for each class of the dataset, the model's column of the same name: int64 [dataset classes].

    A model may know more classes than the dataset has; the reverse cannot be scored.

    Raises:
        DataError: classes of the dataset that the model does not know, by name, with what to do instead.
    """
    column = {name: place for place, name in enumerate(model_classes)}
    unknown = [name for name in dataset_classes if name not in column]
    if not unknown:
        return np.array([column[name] for name in dataset_classes], dtype=np.int64)
    shared = len(dataset_classes) - len(unknown)
    raise DataError(
        f"the model cannot be scored here: {len(unknown)} of the dataset's {len(dataset_classes)} classes are"
        f" unknown to it ({listed_names(unknown)}); it knows {len(model_classes)}"
        f" ({listed_names(list(model_classes))}), {shared} of them shared. Train a new head on this dataset"
        " (strategy: linear_probe, or prototypes when there are few labels), or leave those classes out"
    )


def check_not_itself(a: object, b: object, what: str = "predictions") -> None:
    """Refuse to compare a thing with itself.

    Raises:
        DataError: `a` and `b` are the same object, or arrays on the same memory.
    """
    if a is b or (isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and _one_memory(a, b)):
        raise DataError(f"both sides are the same {what}; pass the other side's own values")


def check_runs_differ(correct: Mapping[str, np.ndarray]) -> None:
    """Refuse a comparison that contains one run twice.

    Args:
        correct: run → its outcomes, of any shape.

    Raises:
        DataError: two names hold the same array.
    """
    names = sorted(correct)
    for place, a in enumerate(names):
        for b in names[place + 1 :]:
            if correct[a] is correct[b] or _one_memory(correct[a], correct[b]):
                raise DataError(f"{a!r} and {b!r} are the same run; give two different runs")


def _one_memory(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.shares_memory(a, b)


def listed_names(names: Sequence[str]) -> str:
    """Return the first names in quotes, and how many more there are."""
    more = f", … {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
