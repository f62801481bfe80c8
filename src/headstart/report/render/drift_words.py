"""Drift in sentences, from the facts that an evaluation keeps of it; the terminal and the page say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report import numbers

MOST_NAMED = 5  # classes in a sentence
RARER = 0.5  # of its share, below which a class is much rarer
_WORDS = {  # an appearance that fell, and one that rose
    "brightness": ("darker", "brighter"),
    "contrast": ("less contrast", "more contrast"),
    "saturation": ("less saturated", "more saturated"),
    "warmth": ("bluer", "redder"),
    "tint": ("more magenta", "greener"),
    "sharpness": ("less sharp", "sharper"),
}


def drift_sentences(drift: Mapping[str, Any], *, labelled: bool = False) -> list[str]:
    """Return what was found: whether the images differ, in what, which classes, how many are unfamiliar, the accuracy.

    Args:
        drift: as `Drift.to_dict` gives it.
        labelled: the accuracy is measured, so that nothing is said about estimating it.
    """
    return [
        _verdict(drift),
        *_what_changed(drift["changes"]),
        *_classes(drift["classes"]),
        _unfamiliar(drift["unfamiliar"]),
        *([] if labelled else [accuracy_sentence(drift["accuracy"])]),
    ]


def accuracy_sentence(accuracy: Mapping[str, Any]) -> str:
    """Return what the accuracy may be, or why it is not knowable."""
    between = f"between {numbers.percent(accuracy['low'], 0)} and {numbers.percent(accuracy['high'], 0)}"
    before = f"{numbers.percent(accuracy['before'])} on the held-out images"
    if accuracy["not_knowable"] is None:
        return (
            f"Estimated accuracy without labels: {numbers.percent(accuracy['value'])} ({between}), against {before}. It"
            " assumes that the images still show what the classes mean; only labels can confirm it."
        )
    bounds = f" The estimates are {between}; {before}." if accuracy["estimates"] else ""
    return f"The accuracy is not knowable without labels: {accuracy['not_knowable']}.{bounds}"


def _verdict(drift: Mapping[str, Any]) -> str:
    compared = f"{drift['compared']:,} of them against {drift['held_out']:,} held-out images"
    p = f"p = {drift['p']:.3f}" if drift["p"] > 0.001 else "p ≤ 0.001"
    if drift["found"]:
        return f"These images differ from those that the model was checked on ({p}; {compared})."
    return f"No difference from the images that the model was checked on was found ({p}; {compared})."


def _what_changed(changes: Sequence[Mapping[str, Any]]) -> list[str]:
    words = []
    for each in changes:
        if not each["found"]:
            continue
        if each["what"] in _WORDS:
            fell, rose = _WORDS[each["what"]]
            words.append(rose if each["now"] > each["before"] else fell)
        elif each["what"] == "embeddings":
            words.append("the network sees them differently")
        else:
            words.append("the classes that it predicts are distributed differently")
    return [f"What changed: {', '.join(words)}."] if words else []


def _classes(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    rarer = [row for row in classes if row["now"] < RARER * row["before"]]
    missing = [row for row in rarer if row["now"] == 0]
    kinds = {
        "Never predicted, so perhaps missing": missing,
        "Predicted much more rarely": [row for row in rarer if row["now"] > 0],
        "Predicted more often": [row for row in classes if row["now"] > row["before"]],
    }
    found = []
    for what, rows in kinds.items():
        if rows:
            shares = [(row["class"], *map(numbers.percent, (row["before"], row["now"]))) for row in rows[:MOST_NAMED]]
            shown = [f"{name} ({before} of held-out images, {now} here)" for name, before, now in shares]
            more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
            found.append(f"{what}: {', '.join(shown)}{more}.")
    return found


def _unfamiliar(share: Mapping[str, Any]) -> str:
    between = numbers.interval(share["low"], share["high"], "accuracy")
    return f"Unfamiliar: {numbers.percent(share['value'])} ({between}); among images of the same kind, 5 % or fewer."
