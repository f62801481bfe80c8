from __future__ import annotations

import io
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import headstart
from headstart import estimator
from headstart.deploy.export.facts import licence_of
from headstart.errors import HeadstartError
from headstart.models.create import create_backbone
from headstart.storage.opening import default_store
from headstart.transfer.frozen import feature_index

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 70), "red": (210, 50, 40)}
PER_CLASS = 8
NETWORK = {"backbone": "efficientnet_lite0", "input_size": 32, "strategy": "ridge"}
Batch = Callable[[list[Path], list[int]], Any]


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 [24, 36, 32, 3] of noisy colours, and the names of the colours."""
    generator = np.random.default_rng(0)
    images, labels = [], []
    for _ in range(PER_CLASS):
        for name, colour in COLOURS.items():
            noise = generator.normal(0, 15, (36, 32, 3))
            images.append(np.clip(np.array(colour) * generator.uniform(0.8, 1.0) + noise, 0, 255).astype(np.uint8))
            labels.append(name)
    return np.stack(images), np.array(labels)


IMAGES, LABELS = drawn()


@pytest.fixture(scope="module")
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture(autouse=True)
def shared_store(one_cache: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests of this file share what the network made of the images."""
    monkeypatch.setenv("HEADSTART_CACHE", str(one_cache))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(root / f"{number:02d}.png")
    return sorted(root.iterdir())


BATCHES: dict[str, Batch] = {
    "text": lambda paths, rows: [str(paths[row]) for row in rows],
    "paths": lambda paths, rows: [paths[row] for row in rows],
    "column": lambda paths, rows: pandas.Series([str(paths[row]) for row in rows], index=np.arange(len(rows)) + 50),
    "text array": lambda paths, rows: np.array([str(paths[row]) for row in rows]),
    "bytes": lambda paths, rows: [paths[row].read_bytes() for row in rows],
    "open files": lambda paths, rows: [io.BytesIO(paths[row].read_bytes()) for row in rows],
    "PIL": lambda paths, rows: [Image.open(io.BytesIO(paths[row].read_bytes())) for row in rows],
    "array": lambda paths, rows: IMAGES[rows],
    "floats": lambda paths, rows: IMAGES[rows].astype(np.float32) / 255,
    "list of arrays": lambda paths, rows: list(IMAGES[rows]),
    "tensor": lambda paths, rows: torch.from_numpy(IMAGES[rows]).permute(0, 3, 1, 2),
}


@parametrize_with_checks([headstart.ImageClassifier(backbone="pixels", input_size=8)], xfail_strict=True)
def test_scikit_learns_own_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "rows of .* are not square images")
        check(estimator)


@pytest.fixture(scope="module")
def expected(paths: list[Path], one_cache: Path) -> Any:
    """Return the probabilities of a classifier fitted on paths, for the last six images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(one_cache))
        model = headstart.ImageClassifier(**NETWORK).fit(paths[:18], LABELS[:18])
        return model.predict_proba(paths[18:])


@pytest.mark.parametrize("kind", BATCHES)
def test_it_fits_and_predicts_on_every_kind_of_batch(kind: str, paths: list[Path], expected: np.ndarray) -> None:
    batch = BATCHES[kind]
    train, test = list(range(18)), list(range(18, 24))
    model = headstart.ImageClassifier(**NETWORK).fit(batch(paths, train), LABELS[:18])
    np.testing.assert_allclose(model.predict_proba(batch(paths, test)), expected, atol=1e-5)
    assert model.predict(batch(paths, test)).tolist() == LABELS[18:].tolist()
    assert model.score(batch(paths, test), LABELS[18:]) == 1.0


def test_images_of_several_sizes_and_grey_ones() -> None:
    generator = np.random.default_rng(1)
    dark = [generator.integers(0, 60, (20 + row, 30), dtype=np.uint8) for row in range(6)]
    light = [generator.integers(180, 255, (30, 20 + row, 1), dtype=np.uint8) for row in range(6)]
    model = headstart.ImageClassifier(backbone="pixels", input_size=8).fit(dark + light, [0] * 6 + [1] * 6)
    assert model.predict([dark[0], light[0], np.full((9, 9), 250, np.uint8)]).tolist() == [0, 1, 1]
    stack = np.concatenate([np.full((6, 8, 8), 20, np.uint8), np.full((6, 8, 8), 220, np.uint8)])
    assert clone(model).fit(stack, [0] * 6 + [1] * 6).score(stack, [0] * 6 + [1] * 6) == 1.0


@pytest.mark.long
@pytest.mark.parametrize("kind", ["paths", "array", "list of arrays", "PIL"])
def test_it_cross_validates_and_grid_searches(kind: str, paths: list[Path]) -> None:
    images = BATCHES[kind](paths, list(range(24)))
    model = headstart.ImageClassifier(**NETWORK)
    assert cross_val_score(model, images, LABELS, cv=3).tolist() == [1.0] * 3
    grid = {"strategy": ["ridge", "logistic"], "penalty": [1e-2, 1.0]}
    search = GridSearchCV(model, grid, cv=2).fit(images, LABELS)
    assert len(search.cv_results_["params"]) == 4 and search.best_score_ == 1.0
    assert search.predict(images).tolist() == LABELS.tolist()
    assert search.best_estimator_.chosen_["penalty"] == search.best_params_["penalty"]


def test_the_network_runs_once_per_image_in_cross_validation(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    seen = []
    plain = feature_index.extract
    monkeypatch.setattr(
        feature_index, "extract", lambda images, *rest, **how: seen.append(len(images)) or plain(images, *rest, **how)
    )
    model = headstart.ImageClassifier(backbone="lenet5", weights="none", strategy="ridge")
    cross_val_score(model, paths, LABELS, cv=4)
    GridSearchCV(model, {"penalty": [0.1, 1.0]}, cv=3).fit(paths, LABELS)
    assert sum(seen) == 24


def test_weights_that_were_replaced_are_loaded_again_also_if_the_file_has_the_same_time(tmp_path: Path) -> None:
    path, found = tmp_path / "weights.safetensors", []
    for seed in (0, 1):
        backbone, _ = create_backbone("lenet5", "none", seed=seed)
        save_file(backbone.state_dict(), path)
        os.utime(path, ns=(10**18 + 1, 10**18 + 1))
        _, loaded, _ = headstart.ImageClassifier(backbone="lenet5", weights=str(path))._backbone()
        found.append((backbone.state_dict(), loaded.state_dict()))
    for own, loaded in found:
        assert all(torch.equal(own[name], loaded[name]) for name in own)


def test_the_classifier_names_the_licence_of_the_weights(tmp_path: Path) -> None:
    backbone, _ = create_backbone("lenet5", "none", seed=0)
    for metadata, licence in (({"license": "cc-by-nc-4.0"}, "cc-by-nc-4.0"), (None, "unknown")):
        save_file(backbone.state_dict(), tmp_path / "weights.safetensors", metadata=metadata)
        model = headstart.ImageClassifier(backbone="lenet5", weights=str(tmp_path / "weights.safetensors"))
        assert licence_of(model.fit(IMAGES, LABELS).to_classifier().ensemble) == licence


def test_pruning_the_cache_meanwhile_leaves_what_a_fit_has_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    real, left = estimator.fit_heads, []

    def pruned(*given: Any, **how: Any) -> Any:
        default_store().prune(0)
        left.extend(row["kind"] for row in default_store().entries())
        return real(*given, **how)

    monkeypatch.setattr(estimator, "fit_heads", pruned)
    headstart.ImageClassifier(backbone="lenet5", weights="none", strategy="ridge").fit(IMAGES, LABELS)
    assert left
    default_store().prune(0)
    assert default_store().entries() == []  # nobody is at work any more


@pytest.mark.long
def test_a_study_with_the_same_images_and_seed_has_the_same_probabilities(paths: list[Path], tmp_path: Path) -> None:
    parts = ["train"] * 18 + ["test"] * 6
    rows = "".join(f"{path},{label},{part}\n" for path, label, part in zip(paths, LABELS, parts, strict=True))
    (tmp_path / "list.csv").write_text("path,label,split\n" + rows)
    heads = ["logistic", "ridge", "prototypes", "knn", "sgd"]
    study = headstart.Study(
        {
            "name": "same",
            "data": str(tmp_path / "list.csv"),
            "seeds": [3],
            "audit": False,
            "defaults": {"backbone": "efficientnet_lite0", "input_size": 32},
            "runs": {head: {"strategy": head} for head in heads},
        }
    )
    folder = study.run(tmp_path / "out", report=False).folder
    for head in heads:
        model = headstart.ImageClassifier(**{**NETWORK, "strategy": head}, random_state=3).fit(paths[:18], LABELS[:18])
        with np.load(folder / "runs" / head / "seed-3" / "predictions.npz") as arrays:
            wanted = arrays["test_probabilities"]
        np.testing.assert_allclose(model.predict_proba(paths[18:]), wanted, atol=2e-4, err_msg=head)


def test_a_fitted_classifier_clones_pickles_and_becomes_one_that_is_served(paths: list[Path], tmp_path: Path) -> None:
    model = headstart.ImageClassifier(**NETWORK).fit(IMAGES[:18], LABELS[:18])
    expected = model.predict_proba(IMAGES[18:])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(IMAGES[18:]), expected)
    assert clone(model).get_params() == model.get_params() and not hasattr(clone(model), "classes_")
    features = model.backbone_(torch.zeros(1, 3, 32, 32))
    assert model.head_(features.flatten(1)).shape == (1, 3)
    saved = model.to_classifier().save(tmp_path / "model.safetensors")
    served = headstart.Classifier.load(saved)
    assert served.classes == ("blue", "green", "red")
    found = served.predict(paths[18:])
    np.testing.assert_allclose(np.stack([p.probabilities for p in found]), expected, atol=1e-4)


def test_labels_may_be_numbers_or_text_in_any_order() -> None:
    numbers = {"blue": 10, "green": 9, "red": -1}
    order = np.random.default_rng(2).permutation(24)
    codes = np.array([numbers[name] for name in LABELS])
    model = headstart.ImageClassifier(**NETWORK).fit(IMAGES[order], codes[order])
    assert model.classes_.tolist() == [-1, 9, 10] and model.classes_.dtype.kind == "i"
    assert model.predict(IMAGES).tolist() == codes.tolist()
    shuffled = model.predict_proba(IMAGES[order])
    np.testing.assert_allclose(shuffled, model.predict_proba(IMAGES)[order], atol=1e-6)
    np.testing.assert_allclose(shuffled.sum(1), 1, atol=1e-5)


def test_what_is_chosen_is_chosen_on_the_validation_part() -> None:
    model = headstart.ImageClassifier(backbone="pixels", input_size=8, strategy="knn", options={"k": [1, 5]})
    model.fit(IMAGES, LABELS)
    assert model.chosen_["k"] in (1, 5) and {entry["k"] for entry in model.tried_} == {1, 5}
    plain = headstart.ImageClassifier(backbone="pixels", input_size=8, strategy="ridge", penalty=1.0, validation=0)
    assert plain.fit(IMAGES, LABELS).temperature_ == 1.0
    many = clone(plain).set_params(penalty=[0.1, 1.0], strategy="logistic")
    with pytest.raises(HeadstartError, match="2 configurations and no validation images"):
        many.fit(IMAGES, LABELS)


def test_flattened_images_are_images() -> None:
    rows = IMAGES.reshape(24, -1)
    model = headstart.ImageClassifier(backbone="pixels", input_size=8, strategy="ridge", image_shape=(36, 32, 3))
    assert model.fit(rows, LABELS).n_features_in_ == 36 * 32 * 3
    span = model.flattening_.ends
    assert span == (0.0, 255.0)
    np.testing.assert_allclose(
        model.predict_proba(rows), clone(model).fit(IMAGES, LABELS).predict_proba(IMAGES), atol=1e-6
    )
    with pytest.raises(ValueError, match=r"image_shape \(5, 5\) has 25 numbers, but a row has 3456"):
        clone(model).set_params(image_shape=(5, 5)).fit(rows, LABELS)
    with pytest.warns(UserWarning, match="padded to 59 × 59: set image_shape"):
        clone(model).set_params(image_shape=None).fit(rows, LABELS)


def test_rows_become_images_in_a_pipeline() -> None:
    to_images = FunctionTransformer(lambda rows: rows.reshape(-1, 36, 32, 3))
    model = make_pipeline(to_images, headstart.ImageClassifier(backbone="pixels", input_size=8))
    assert cross_val_score(model, IMAGES.reshape(24, -1), LABELS, cv=2).mean() == 1.0


def test_random_states_are_scikit_learns() -> None:
    model = headstart.ImageClassifier(backbone="pixels", input_size=8, strategy="sgd", options={"epochs": 2})
    first = clone(model).set_params(random_state=np.random.RandomState(4)).fit(IMAGES, LABELS)
    again = clone(model).set_params(random_state=np.random.RandomState(4)).fit(IMAGES, LABELS)
    np.testing.assert_array_equal(first.predict_proba(IMAGES), again.predict_proba(IMAGES))
    clone(model).set_params(random_state=None).fit(IMAGES, LABELS)


@pytest.mark.parametrize(
    ("settings", "images", "labels", "kind", "words"),
    [
        ({}, IMAGES, LABELS[:5], ValueError, "inconsistent numbers of samples"),
        ({}, IMAGES, np.zeros(24), ValueError, "all labels are of one class"),
        ({}, IMAGES, [None, *LABELS[1:]], ValueError, "label 0 is missing"),
        ({}, IMAGES, np.linspace(0, 1, 24), ValueError, "Unknown label type"),
        ({}, IMAGES, None, ValueError, "requires y to be passed"),
        ({}, [7, *IMAGES[1:]], LABELS, TypeError, "image 0: int 7 is not an image"),
        ({}, [*IMAGES[1:], 7], LABELS, TypeError, "image 23: int 7 is not an image; an image is a path"),
        ({}, [*IMAGES[1:], b"text"], LABELS, HeadstartError, "image #23: is not an image"),
        ({}, [*IMAGES[1:], "absent.png"], LABELS, HeadstartError, "image absent.png: does not exist"),
        ({}, [], [], ValueError, "there are no images"),
        ({"strategy": "ridg"}, IMAGES, LABELS, HeadstartError, "did you mean 'ridge'"),
        ({"strategy": "knn", "penalty": 1.0}, IMAGES, LABELS, HeadstartError, "unknown option of a knn head 'penalty'"),
        ({"backbone": "resnet1"}, IMAGES, LABELS, HeadstartError, "resnet1"),
        ({"validation": 1.5}, IMAGES, LABELS, HeadstartError, "validation share"),
    ],
)
def test_errors_are_one_line(settings: Any, images: Any, labels: Any, kind: type[Exception], words: str) -> None:
    model = headstart.ImageClassifier(**{"backbone": "pixels", "input_size": 8, **settings})
    with pytest.raises(kind, match=words) as caught:
        model.fit(images, labels)
    assert isinstance(caught.value, ValueError) or "\n" not in str(caught.value)


def test_before_fit_and_with_another_kind_of_input_it_says_so() -> None:
    model = headstart.ImageClassifier(backbone="pixels", input_size=8)
    for ask in (model.predict, model.predict_proba):
        with pytest.raises(NotFittedError):
            ask(IMAGES)
    with pytest.raises(NotFittedError):
        model.to_classifier()
    model.fit(IMAGES, LABELS)
    with pytest.raises(TypeError, match="is one image where a batch is needed"):
        model.predict(IMAGES[0])
    with pytest.raises(ValueError, match="fitted on images, not on a table"):
        model.predict(np.zeros((36, 32)))
