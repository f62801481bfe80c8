from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported_models import calibrated
from PIL import Image

from headstart.data.sources.unlabelled import Unlabelled
from headstart.deploy import classifier as module
from headstart.deploy.classifier import BATCH, Classifier
from headstart.errors import ImageTypeError, ModelError, SpecError
from headstart.evaluate.uncertainty.answers import AnswerOptions, Judge
from headstart.evaluate.uncertainty.costs import ASK, costs_of
from headstart.evaluate.uncertainty.stored import from_part, to_part
from headstart.models.bundle import Bundle, Ensemble, Origin
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.models.preprocessing import normalise
from headstart.models.refitted import REFITTED
from tests.deploy.serve.conftest import untrained
from tests.models.test_refitted import FOUND

PIXELS = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
RED = np.full((40, 30, 3), [200, 10, 10], dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Return an untrained network whose probabilities depend on where in the image something is."""
    return untrained()


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """Return a photograph that a phone stored lying."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif.tobytes())
    return tmp_path / "turned.png"


def test_the_same_picture_has_the_same_probabilities_through_every_way_in(classifier: Classifier, turned: Path) -> None:
    upright = np.ascontiguousarray(np.rot90(PIXELS, -1))
    tensor = torch.from_numpy(upright).permute(2, 0, 1)
    expected = classifier.predict(turned)[0].probabilities
    with Image.open(turned) as opened, turned.open("rb") as file:
        ways: dict[str, Any] = {
            "text": str(turned),
            "PIL": opened,
            "file": file,
            "bytes": turned.read_bytes(),
            "in memory": io.BytesIO(turned.read_bytes()),
            "array": upright,
            "floats": upright.astype(np.float32) / 255,
            "tensor": tensor,
            "float tensor": tensor / 255,
        }
        for way, picture in ways.items():
            (alone,) = classifier.predict(picture)
            first, again = classifier.predict([picture, picture])
            for found in (alone, first, again):
                assert found.error is None
                np.testing.assert_allclose(found.probabilities, expected, atol=1e-6, err_msg=way)
    assert abs(classifier.predict(PIXELS)[0].probabilities - expected).max() > 0.01


def test_batches_have_a_prediction_for_each_image(classifier: Classifier) -> None:
    stack = np.stack([PIXELS, RED])
    expected = np.stack([p.probabilities for p in classifier.predict([PIXELS, RED])])
    tensor = torch.from_numpy(stack).permute(0, 3, 1, 2)
    for batch in (stack, tensor, tensor / 255, (PIXELS, RED), iter([PIXELS, RED])):
        found = np.stack([p.probabilities for p in classifier.predict(batch)])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_image_that_cannot_be_read_does_not_cost_the_others(classifier: Classifier, turned: Path) -> None:
    found = classifier.predict([b"text", turned, turned.read_bytes()[:100], np.zeros((0, 3, 3), np.uint8)])
    assert [p.error is None for p in found] == [False, True, False, False]
    assert found[0].error == "is not an image" and np.isnan(found[0].probability)
    assert [p.name for p in found] == ["0", str(turned), "2", "3"]


def test_what_is_no_image_is_one_type_error(classifier: Classifier) -> None:
    for wrong in (7, {"a": PIXELS}, [PIXELS, None], np.zeros((2, 2, 2, 2, 3))):
        with pytest.raises(ImageTypeError, match="an image is a path, encoded bytes, a file opened in binary mode"):
            classifier.predict(wrong)


def test_a_path_that_is_no_image_is_a_prediction_with_its_error(
    classifier: Classifier, turned: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    places = ["https://example.org/a.jpg", str(tmp_path / "absent"), tmp_path / "empty", turned]
    found = classifier.predict(places)
    assert [p.error for p in found] == [
        "is an address; download the image and give the file's path",
        "no such file or folder",
        "no image in it",
        None,
    ]
    assert [p.name for p in found] == list(map(str, places))


def test_a_path_may_stand_for_many_images(classifier: Classifier, turned: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    shutil.copy(turned, tmp_path / "more" / "one.png")
    (tmp_path / "list.csv").write_text("path\nmore/one.png\nturned.png\n")
    one, other = str(tmp_path / "more" / "one.png"), str(turned)
    for place, names in (
        (tmp_path, [one, other]),
        (str(tmp_path / "*.png"), [other]),
        (tmp_path / "list.csv", [one, other]),
        ([tmp_path / "more", turned, PIXELS], [one, other, "2"]),
    ):
        assert [p.name for p in classifier.predict(place)] == names


def test_predictions_come_one_batch_at_a_time(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    batch = classifier._batch

    def noted(inputs: Any) -> Any:
        decoded.append(len(inputs))
        return batch(inputs)

    monkeypatch.setattr(classifier, "_batch", noted)
    predictions = classifier.stream([RED] * (BATCH + 1))
    assert next(predictions).error is None and decoded == [BATCH]
    assert len(list(predictions)) == BATCH and decoded == [BATCH, 1]


def network(seed: int, head: int = 0, size: int | None = None, **more: Any) -> Bundle:
    backbone, _ = create_backbone("lenet5", None, seed=seed, input_size=size)
    linear = LinearHead(backbone.feature_dim, 3, multi_label=more.get("multi_label", False))
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(head))
    origin = Origin("lenet5", input_size=size, seed=seed)
    return Bundle(Network(backbone, linear).eval(), origin, ("ant", "bee", "cat"), **more)


BATCHED = np.random.default_rng(2).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def expected(bundle: Bundle, pixels: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
    """Return the mean probabilities of the views, by the definition and without calibration."""
    settings = bundle.preprocessing
    images = (torch.from_numpy(pixels).float() / 255 - torch.tensor(settings.mean)) / torch.tensor(settings.std)
    views = [images.permute(0, 3, 1, 2)]
    views += [views[0].flip(-1)] if mirrored else []
    with torch.no_grad():
        found = torch.stack([bundle.network(view).softmax(1) for view in views]).mean(0)
    return found.numpy()


def test_probabilities_are_calibrated_by_the_temperature() -> None:
    bundle = network(3)
    plain = expected(bundle, BATCHED)
    np.testing.assert_allclose(Classifier(bundle).probabilities(BATCHED), plain, atol=1e-6)
    hot = Classifier(replace(bundle, temperature=2.0)).probabilities(BATCHED)
    np.testing.assert_allclose(hot, np.sqrt(plain) / np.sqrt(plain).sum(1, keepdims=True), atol=1e-6)
    assert hot.dtype == np.float32


def test_views_of_test_time_augmentation_are_averaged() -> None:
    bundle = network(3, tta="flip")
    found = Classifier(bundle).probabilities(BATCHED)
    np.testing.assert_allclose(found, expected(bundle, BATCHED, mirrored=True), atol=1e-6)


def test_networks_are_averaged_and_those_that_share_a_backbone_share_its_pass() -> None:
    members = (network(3, 0), network(3, 1), network(4, 2, temperature=2.0), network(3, 3, tta="flip"))
    passes: list[int] = []
    for number, each in enumerate(members):
        each.network.backbone.register_forward_hook(lambda *_, n=number: passes.append(n))
    classifier = Classifier(Ensemble(members))
    found = classifier.averaged([BATCHED] * 4)
    assert passes == [0, 2, 3, 3]  # the second needs none; the last needs two views
    third = np.sqrt(expected(members[2], BATCHED))
    each = [
        expected(members[0], BATCHED),
        expected(members[1], BATCHED),
        third / third.sum(1, keepdims=True),
        expected(members[3], BATCHED, mirrored=True),
    ]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    calibrated = Classifier(Ensemble(members, 0.5)).averaged([BATCHED] * 4)
    squared = np.mean(each, axis=0) ** 2
    np.testing.assert_allclose(calibrated, squared / squared.sum(1, keepdims=True), atol=1e-6)
    with pytest.raises(ModelError, match="averages 4 networks"):
        classifier.probabilities(BATCHED)
    with pytest.raises(ValueError, match="zip"):
        classifier.averaged([BATCHED])


def test_each_network_sees_the_image_at_its_size() -> None:
    small, large = network(3), network(4, size=48)
    (said,) = Classifier(Ensemble((small, large))).predict(PIXELS)
    alone = [Classifier(each).predict(PIXELS)[0].probabilities for each in (small, large)]
    np.testing.assert_allclose(said.probabilities, np.mean(alone, axis=0), atol=1e-6)


def test_of_several_labels_those_above_the_threshold_are_said() -> None:
    classifier = Classifier(network(3, multi_label=True, threshold=0.25))
    (said,) = classifier.predict(PIXELS)
    above = [name for name, score in zip(classifier.classes, said.probabilities, strict=True) if score > 0.25]
    assert said.label == "|".join(above) and said.labels == tuple(above)
    assert said.probability == pytest.approx(said.probabilities.max())
    level = replace(classifier.bundle, threshold=float(said.probabilities.max()))
    assert Classifier(level).predict(PIXELS)[0].label == ""  # none is above its own value
    lower = replace(classifier.bundle, threshold=1e-9)
    assert Classifier(lower).predict(PIXELS)[0].label == "ant|bee|cat"


def test_an_opened_image_has_the_name_of_its_file(classifier: Classifier, turned: Path) -> None:
    with Image.open(turned) as opened:
        assert [said.name for said in classifier.predict([opened, PIXELS])] == [str(turned), "1"]


def test_the_most_probable_class_is_said(classifier: Classifier) -> None:
    (said,) = classifier.predict([PIXELS])
    assert (said.name, said.error) == ("0", None)
    assert said.label == classifier.classes[int(said.probabilities.argmax())]
    assert said.probability == pytest.approx(said.probabilities.max())
    assert said.probabilities.sum() == pytest.approx(1) and said.probabilities.dtype == np.float32


def test_more_images_than_a_batch_keep_their_order(classifier: Classifier) -> None:
    images: list[Any] = [np.roll(PIXELS, k, axis=0) for k in range(70)]
    images[31], images[32], images[69] = b"first", b"second", b"third"
    found = classifier.predict(images)
    assert [said.name for said in found] == [str(k) for k in range(70)]
    assert [k for k, said in enumerate(found) if said.error is not None] == [31, 32, 69]
    for k in (0, 30, 33, 64, 68):
        alone = classifier.predict([images[k]])[0].probabilities
        np.testing.assert_allclose(found[k].probabilities, alone, atol=1e-6)
    assert classifier.predict([]) == []


def test_an_image_that_cannot_be_read_has_no_label(classifier: Classifier) -> None:
    (said,) = classifier.predict([b"text"])
    assert (said.name, said.label, said.error) == ("0", "", "is not an image")
    assert np.isnan(said.probability) and np.isnan(said.probabilities).all()
    assert said.probabilities.shape == (3,) and said.probabilities.dtype == np.float32


def test_images_that_were_found_before_keep_their_names(classifier: Classifier, turned: Path) -> None:
    found = [Unlabelled("one", PIXELS), Unlabelled("two", turned)]
    said = list(classifier.stream(found))
    assert [(each.name, each.image) for each in said] == [("one", found[0]), ("two", found[1])]
    alone = classifier.predict([PIXELS, turned])
    np.testing.assert_array_equal([each.probabilities for each in said], [each.probabilities for each in alone])


def test_images_of_a_folder_come_in_order_and_other_files_are_passed_over(
    classifier: Classifier, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/1.png", "c.PNG", "a.png"):
        Image.fromarray(PIXELS).save(tmp_path / name, format="png")
    (tmp_path / "notes.txt").write_text("no image")
    names = [said.name for said in classifier.predict(tmp_path)]
    assert names == [str(tmp_path / name) for name in ("a.png", "b/1.png", "c.PNG")]
    mixed = classifier.predict([PIXELS, tmp_path / "b", str(tmp_path / "a.png")])
    assert [said.name for said in mixed] == ["0", str(tmp_path / "b" / "1.png"), str(tmp_path / "a.png")]


def test_a_classifier_is_saved_and_read_again(tmp_path: Path) -> None:
    one = Classifier(network(3, temperature=2.0))
    path = one.save(str(tmp_path / "model.safetensors"))
    assert path == tmp_path / "model.safetensors"
    again = Classifier.load(path)
    assert again.classes == one.classes == ("ant", "bee", "cat") and again.device == torch.device("cpu")
    np.testing.assert_array_equal(again.probabilities(BATCHED), one.probabilities(BATCHED))
    assert again.bundle.temperature == 2.0
    with pytest.raises(SpecError, match="this model has no prediction sets"):
        Classifier.load(path, asked=AnswerOptions(level=0.8))


def test_networks_are_put_into_evaluation_mode() -> None:
    bundle = network(3)
    bundle.network.train()
    assert not Classifier(bundle).bundle.network.training


class FakeEngine:
    """Runs the network itself, and remembers what it was made for."""

    def __init__(self, backbone: Any, preprocessing: Any, device: str, *, threads: int | None = None) -> None:
        self.backbone, self.preprocessing, self.device, self.calls = backbone, preprocessing, device, 0
        self.threads = threads
        made.append(self)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.dtype == np.uint8
        self.calls += 1
        images = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), self.preprocessing)
        with torch.no_grad():
            features: np.ndarray = self.backbone(images).numpy()
        return features


made: list[FakeEngine] = []


def test_an_engine_is_made_for_each_backbone_and_computes_its_features(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "Engine", FakeEngine)
    made.clear()
    members = (network(3, 0), network(4, 1, tta="flip"), network(3, 2))
    plain, fast = Classifier(Ensemble(members)), Classifier(Ensemble(members), engine=True)
    assert [each.backbone for each in made] == [members[0].network.backbone, members[1].network.backbone]
    assert [each.preprocessing for each in made] == [members[0].preprocessing, members[1].preprocessing]
    assert {each.device for each in made} == {"cpu"}
    np.testing.assert_allclose(fast.averaged([BATCHED] * 3), plain.averaged([BATCHED] * 3), atol=1e-6)
    assert [each.calls for each in made] == [1, 2]
    path = plain.save(tmp_path / "m")
    assert len(made) == 2
    Classifier.load(path)
    assert len(made) == 2
    Classifier.load(path, engine=True, threads=2)
    assert [each.threads for each in made] == [None, None, 2, 2]


def test_a_calibrated_model_says_in_names_what_its_judge_says_of_the_first_networks_features() -> None:
    first, second = network(3, head=1), network(4, head=2)
    part = calibrated(Ensemble((first, second)), "energy").uncertainty
    assert part is not None
    known = replace(from_part(part, 3, 84), costs=costs_of(first.classes, {"ant": {"bee": 7}}, ask=0.5))
    asked = AnswerOptions(level=0.6, at_least=0.4)
    generator = np.random.default_rng(6)
    pixels = generator.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    pixels[20:] = generator.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)  # unfamiliar
    classifier = Classifier(Ensemble((first, second), uncertainty=to_part(known)), asked=asked)
    said = classifier.answered([f"image {k}" for k in range(40)], [pixels] * 2)
    mean = (expected(first, pixels) + expected(second, pixels)) / 2
    with torch.no_grad():
        features = first.network.backbone(normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), first.preprocessing))
        logits = first.network.head(features)
    answers = Judge(known, asked).answers(mean, features.numpy(), logits.numpy())
    assert [each.name for each in said] == [f"image {k}" for k in range(40)]
    assert [(each.answer, each.withheld) for each in said] == [(answer.kind, answer.withheld) for answer in answers]
    assert [each.set for each in said] == [tuple(first.classes[k] for k in answer.inside) for answer in answers]
    decisions = ["ask" if answer.decision == ASK else first.classes[answer.decision or 0] for answer in answers]
    assert [each.decision for each in said] == decisions and len(set(decisions)) > 2
    assert [each.familiarity for each in said] == pytest.approx([answer.familiarity for answer in answers])
    np.testing.assert_allclose([each.probabilities for each in said], mean, atol=1e-6)
    assert len({each.answer for each in said}) > 1 and {each.withheld for each in said} == {True, False}
    alone = Classifier(Ensemble((first,), uncertainty=to_part(known)), asked=asked).answered(["image 0"], [pixels[:1]])
    (answer,) = Judge(known, asked).answers(expected(first, pixels[:1]), features[:1].numpy(), logits[:1].numpy())
    assert (alone[0].answer, alone[0].set) == (answer.kind, tuple(first.classes[k] for k in answer.inside))


def test_a_model_without_calibration_guarantees_nothing_and_says_why() -> None:
    plain = network(0)
    with pytest.raises(SpecError, match="this model guarantees no accuracy: its file holds no calibration"):
        Classifier(plain, asked=AnswerOptions(at_least=0.9))
    with pytest.raises(SpecError, match="this model has no prediction sets: its file holds no calibration"):
        Classifier(plain, asked=AnswerOptions(level=0.8))
    assert Classifier(plain, asked=AnswerOptions()).predict(PIXELS)[0].answer == ""
    again = replace(plain, provenance={REFITTED: FOUND})
    with pytest.raises(SpecError, match="it was refitted on every labelled image"):
        Classifier(again, asked=AnswerOptions(at_least=0.9))
