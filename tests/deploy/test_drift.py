from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from headstart.data.dataset import Dataset
from headstart.data.decoding.image_store import ImageArray
from headstart.deploy.classifier import Classifier
from headstart.deploy.drift import MOST_SHOWN, TOGETHER, Drift, Observed, drift_facts, drift_of, why_not
from headstart.errors import DataError, ModelError
from headstart.evaluate.uncertainty.answers import AnswerOptions, Judge, Uncertainty, held_out_of
from headstart.evaluate.uncertainty.appearance import appearance
from headstart.evaluate.uncertainty.drift import compare, sketch_of
from headstart.evaluate.uncertainty.familiarity import familiarity, fit_reference
from headstart.models.refitted import REFITTED
from tests.evaluate.uncertainty.test_conformal import honest
from tests.evaluate.uncertainty.test_familiarity import CLASSES, clouds, logits_of

NAMES = tuple("abcdefgh")
REFIT = {"images": 9, "run": "r", "seed": 0, "metric": "m", "value": 1.0, "low": 1.0, "high": 1.0, "n_test": 1}


def pixels_of(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 12, 12, 3), np.uint8)


def classifier(*, sketched: bool = True, judged: bool = True, **first: Any) -> Classifier:
    """Return what drift needs of a classifier."""
    train, labels = clouds(300, 0)
    held, right = clouds(120, 1)
    logits = logits_of(held)
    probabilities, _ = honest(120, CLASSES, 2)
    reference = fit_reference(train, labels, logits_of(train), score="neighbour")
    own = Uncertainty(
        CLASSES,
        held_out_of(probabilities.astype(np.float32), right),
        "neighbour",
        reference,
        familiarity("neighbour", reference, held, logits),
        sketch=sketch_of(train, labels, held, appearance(pixels_of(120, 1)), right) if sketched else None,
    )
    preprocessing = SimpleNamespace(bands=None)
    bundle = SimpleNamespace(**{"multi_label": False, "provenance": {}, "preprocessing": preprocessing, **first})
    ensemble = SimpleNamespace(members=(bundle,))
    judge = Judge(own, AnswerOptions()) if judged else None
    return cast(Classifier, SimpleNamespace(ensemble=ensemble, judge=judge, classes=NAMES))


def observed(model: Classifier, n: int, seed: int = 5, light: float = 1.0) -> Observed:
    """Return what a model sees of images of the same kind, perhaps darker, in batches."""
    found = Observed(model)
    embeddings, labels = clouds(n, seed)
    probabilities = np.eye(CLASSES, dtype=np.float32)[labels] * 0.7 + 0.3 / CLASSES
    pixels = (pixels_of(n, seed) * light).astype(np.uint8)
    for start in range(0, n, 50):
        part = slice(start, start + 50)
        found.add(pixels[part], probabilities[part], embeddings[part].astype(np.float32), logits_of(embeddings[part]))
    return found


@pytest.fixture(scope="module")
def model() -> Classifier:
    return classifier()


def test_images_of_the_same_kind_have_not_drifted(model: Classifier) -> None:
    found = drift_of(observed(model, 130))
    assert not found.compared.found and found.compared.new == 130 and found.unfamiliar["n"] == 130
    shares = [share for _, share in found.least]
    assert len(found.least) == MOST_SHOWN and shares == sorted(shares)


def test_familiarity_of_many_batches_is_computed_at_once_and_is_that_of_each(
    model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.judge is not None
    own, sizes, plain = model.judge.uncertainty, list[int](), Uncertainty.shares

    def counted(self: Uncertainty, embeddings: np.ndarray, logits: np.ndarray) -> np.ndarray:
        sizes.append(len(embeddings))
        return plain(self, embeddings, logits)

    monkeypatch.setattr(Uncertainty, "shares", counted)
    found = observed(model, 230)
    assert sizes == [150] and TOGETHER <= 150 and len(found.predicted) == 230
    shares = found.all_shares()
    assert sizes == [150, 80] and not found.waiting
    embeddings = clouds(230, 5)[0]
    each = [plain(own, part.astype(np.float32), logits_of(part)) for part in np.split(embeddings, 23)]
    assert shares == pytest.approx(np.concatenate(each), abs=1 / 121 + 1e-9)
    assert found.all_shares().tolist() == shares.tolist() and len(sizes) == 2


def test_numpy_has_one_thread_while_images_are_looked_at(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = dict[str, set[int]]()

    def noted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **options: Any) -> Any:
            seen[name] = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
            return work(*given, **options)

        return counted

    for name, work in {"deploy.drift.appearance": appearance, "deploy.drift.compare": compare}.items():
        monkeypatch.setattr(f"headstart.{name}", noted(name, work))
    monkeypatch.setattr("headstart.evaluate.uncertainty.answers.familiarity", noted("familiarity", familiarity))
    with threadpool_limits(2, user_api="blas"):
        drift_of(observed(model, 50))
    assert {name: list(counts) for name, counts in seen.items()} == {name: [1] for name in seen} and len(seen) == 3


def test_darker_images_have_and_the_dictionary_says_in_what(model: Classifier) -> None:
    found = drift_of(observed(model, 130, light=0.5)).to_dict()
    assert found["found"] and found["p"] <= 0.05
    changes = {each["what"]: each for each in found["changes"]}
    assert changes["brightness"]["found"] and changes["brightness"]["now"] < changes["brightness"]["before"]
    assert changes["embeddings"]["before"] is None and not changes["embeddings"]["found"]
    assert found["accuracy"].keys() == {"value", "low", "high", "before", "estimates", "not_knowable"}
    assert found["unfamiliar"]["n"] == 130 and found["classes"] == []


def test_the_least_familiar_are_pictured_under_their_names(model: Classifier) -> None:
    drift = drift_of(observed(model, 40))
    rows, pixels = np.arange(40) + 3, pixels_of(43, 5)
    named = cast(Dataset, SimpleNamespace(reader=SimpleNamespace(name=lambda row: f"{row}.png")))
    facts = drift_facts("m", drift, "", cast(ImageArray, pixels), rows, named)
    assert [each["name"] for each in facts["least"]] == [f"{place + 3}.png" for place, _ in drift.least]
    assert all(each["src"].startswith("/9j/") for each in facts["least"])  # JPEG
    none = drift_facts("m", None, "a reason", cast(ImageArray, pixels), rows, named)
    assert none == {"model": "m", "why_not": "a reason", "drift": None, "least": []}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"sketched": False}, "an older headstart wrote it"),
        ({"judged": False}, "holds no images to compare new ones with"),
        ({"judged": False, "multi_label": True}, "this one gives several"),
        ({"judged": False, "provenance": {REFITTED: REFIT}}, "refitted on all images, and none is left"),
    ],
)
def test_a_model_that_cannot_tell_says_why(made: dict[str, Any], why: str) -> None:
    other = classifier(**made)
    assert why in str(why_not(other))
    with pytest.raises(ModelError, match=why):
        drift_of(Observed(other))


def test_too_few_images_are_one_line(model: Classifier) -> None:
    with pytest.raises(DataError, match="9 new images are too few"):
        drift_of(observed(model, 9))
    assert why_not(model) is None and isinstance(drift_of(observed(model, 12)), Drift)
