from __future__ import annotations

from typing import Any

import pytest

from headstart.evaluate.uncertainty.appearance import APPEARANCE
from headstart.report.render.drift_words import accuracy_sentence, drift_sentences

ACCURACY: dict[str, Any] = {
    "value": 0.72,
    "low": 0.611,
    "high": 0.8,
    "before": 0.91,
    "estimates": {"confidence": 0.7, "neighbours": 0.74},
    "not_knowable": None,
}


def drift_of(
    found: dict[str, tuple[float, float]], classes: tuple[tuple[str, float, float], ...] = ()
) -> dict[str, Any]:
    """Return facts in which these things changed."""
    names = ("embeddings", "predicted classes", *APPEARANCE)
    changes = [
        {
            "what": name,
            "p": 0.01,
            "found": name in found,
            "before": found.get(name, (0, 0))[0],
            "now": found.get(name, (0, 0))[1],
        }
        for name in names
    ]
    return {
        "p": 0.002 if found else 0.4,
        "found": bool(found),
        "held_out": 1000,
        "compared": 150,
        "changes": changes,
        "classes": [{"class": name, "before": before, "now": now, "p": 0.01} for name, before, now in classes],
        "accuracy": ACCURACY,
        "unfamiliar": {"value": 0.2, "low": 0.13, "high": 0.27, "n": 150},
    }


def test_no_difference_is_no_claim_that_there_is_none() -> None:
    said = drift_sentences(drift_of({}))
    assert said[0] == (
        "No difference from the images that the model was checked on was found (p = 0.400; 150 of them against 1,000"
        " held-out images)."
    )
    assert said[1] == "Unfamiliar: 20.0 % (13.0–27.0 %); among images of the same kind, 5 % or fewer."
    assert len(said) == 3
    assert drift_sentences(drift_of({}), labelled=True) == said[:2]  # the accuracy is measured, not estimated


def test_what_changed_is_said_in_the_direction_of_the_change() -> None:
    found = {"embeddings": (0, 0), "predicted classes": (0, 0), "brightness": (0.5, 0.4), "warmth": (0.0, 0.1)}
    said = drift_sentences(drift_of(found))
    assert said[0].startswith("These images differ from those that the model was checked on (p = 0.002;")
    assert said[1] == (
        "What changed: the network sees them differently, the classes that it predicts are distributed differently,"
        " darker, redder."
    )


def test_classes_are_missing_rarer_or_more_frequent() -> None:
    classes = (("ant", 0.1, 0.0), ("bee", 0.2, 0.05), ("cat", 0.2, 0.12), *((f"x{k}", 0.1, 0.2) for k in range(6)))
    said = drift_sentences(drift_of({"predicted classes": (0, 0)}, classes))
    assert said[2] == "Never predicted, so perhaps missing: ant (10.0 % of held-out images, 0.0 % here)."
    assert said[3] == "Predicted much more rarely: bee (20.0 % of held-out images, 5.0 % here)."
    assert said[4].startswith("Predicted more often: x0 (10.0 %") and said[4].endswith("20.0 % here) and 1 more.")
    assert not any("cat" in each for each in said)  # rarer, but not much


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {},
            "Estimated accuracy without labels: 72.0 % (between 61 % and 80 %), against 91.0 % on the held-out images.",
        ),
        (
            {"value": None, "not_knowable": "two ways differ"},
            "The accuracy is not knowable without labels: two ways differ. The estimates are between 61 % and 80 %;",
        ),
        (
            {"value": None, "not_knowable": "12 images are too few", "estimates": {}},
            "The accuracy is not knowable without labels: 12 images are too few.",
        ),
    ],
)
def test_an_accuracy_comes_with_what_it_leaves_open(changed: dict[str, Any], said: str) -> None:
    assert accuracy_sentence({**ACCURACY, **changed}).startswith(said)
