from __future__ import annotations

from dataclasses import replace

from exported_models import linear, three

from headstart.deploy.export.accuracy_lost import Lost
from headstart.deploy.export.card import card_text, checks_text, results_text
from headstart.deploy.export.checking import Check
from headstart.deploy.export.huggingface import card_data
from headstart.deploy.export.pictures import Material, noise
from headstart.deploy.export.target import Parts
from headstart.models.bundle import Ensemble, Origin
from headstart.models.refitted import REFITTED

RESULTS = {
    "n": 40,
    "accuracy": {"value": 0.9, "low": 0.77, "high": 0.96, "n": 40},
    "ece": {"value": None, "low": None, "high": None, "n": 0},
}
DATA = {
    "name": "meadow",
    "fingerprint": "abc",
    "licence": "CC BY 4.0",
    "counts": {"train": 1200, "validation": 20, "test": 40},
}
CHECK = Check(
    "model.onnx", "the 40 test images of meadow", 40, 1, 2.5e-7, 12_300_000, 3.0, 4.0, 0.875, 0.9, Lost(2.5, -2.6, 7.6)
)


def test_the_card_says_results_with_intervals_data_licence_and_limits() -> None:
    bundle = replace(linear(), origin=Origin("lenet5", weights="mine"))
    text = card_text(
        Parts(Ensemble((bundle,)), Material(noise(), results=RESULTS, data=DATA)), [CHECK], ["a note"], "USE IT"
    )
    for line in (
        "# insects: lenet5",
        "USE IT",
        "On 40 test images of meadow, which it had not learned from:",
        "| accuracy | 0.9000 | 0.7700 to 0.9600 |",
        "Dataset meadow: 1,200 training, 20 validation and 40 test images (fingerprint abc).",
        "Licence of the images: CC BY 4.0.",
        "The 40 test images of meadow were classified by the original and by each file, in separate processes:",
        "| model.onnx | 40 | 1 | 2.5e-07 | 3 ms | 12 MB |",
        "The original took 4 ms per picture. Times were measured on the machine that wrote the files",
        "model.onnx loses 2.50 points of accuracy there (95 % interval -2.60 to 7.60).",
        "a note",
        "Find out their licence before you distribute the model.",
        "Every picture gets one of these classes, even a picture that shows none of them.",
    ):
        assert line in text, line
    assert "calibration error" not in text


def test_results_of_the_original_are_not_called_those_of_eight_bits() -> None:
    parts = Parts(Ensemble((linear(),)), Material(noise(), results=RESULTS, data=DATA))
    parts.use(parts.float_graph)
    heading = results_text(parts).splitlines()[0]
    assert heading == "Of the original, in float, on 40 test images of meadow, which it had not learned from:"


def test_a_licence_that_restricts_is_named_with_what_to_do() -> None:
    bundle = replace(linear(), origin=Origin("convnextv2_nano", weights="imagenet", sha256="f" * 64))
    text = card_text(Parts(Ensemble((bundle,)), Material(noise())), [], [], "")
    assert "CC-BY-NC-4.0, which restricts their use. Read its terms before you use the model" in text


def test_what_is_not_known_is_said() -> None:
    text = card_text(Parts(three(), Material(noise())), [], [], "")
    assert "the mean of 3 networks' probabilities: lenet5 (head: linear), small_cnn (head: linear)" in text
    assert "No test results were available" in text and "Unknown: the study's folder was not available" in text
    assert "trained from random weights" in text and checks_text([], []) == "Not checked."


def test_a_model_that_was_refitted_on_all_images_is_not_called_tested() -> None:
    found = {"images": 1260, "run": "probe", "seed": 0, "metric": "accuracy", "value": 0.9, "low": 0.77, "high": 0.96}
    bundle = replace(linear(), provenance={"study": "insects", REFITTED: {**found, "n_test": 40}})
    parts = Parts(Ensemble((bundle,)), Material(noise(), results=RESULTS, data=DATA))
    text = card_text(parts, [CHECK], [], "USE IT")
    for line in (
        "This model is not tested. It was refitted on all 1,260 labelled images, test images included",
        "(probe, seed 0) has accuracy 0.9000 (95 % interval 0.7700 to 0.9600) on 40 test images. All measures of that",
        "This model has learned from all of them.",
        "The model has learned from the study's test images too.",
    ):
        assert line in text, line
    assert "which it had not learned from" not in text
    assert card_data(parts).eval_results is None
    alone = Parts(Ensemble((bundle,)), Material(noise()))
    assert results_text(alone).startswith("This model is not tested. It was refitted on all 1,260")
