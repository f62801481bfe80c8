from __future__ import annotations

import numpy as np
import pytest
import torch
from exported_models import linear, pixels_for, three

from headstart.deploy.classifier import Classifier
from headstart.deploy.export.program import Deployed, inputs_of, program_of, tempered
from headstart.errors import ModelError
from headstart.evaluate.metrics.calibration import apply_temperature
from headstart.models.bundle import Bundle, Ensemble, Origin
from headstart.models.heads import LinearHead
from headstart.models.network import Network


def test_a_program_gives_the_classifiers_probabilities_for_any_number_of_images() -> None:
    ensemble = three()
    module = program_of(ensemble).module()
    classifier = Classifier(ensemble)
    for count in (1, 5):
        pixels = pixels_for(ensemble, count)
        given = {each.view: pixels[k] for k, each in zip((0,), inputs_of(ensemble), strict=True)}
        probabilities, labels = module(*(torch.from_numpy(each) for each in given.values()))
        expected = classifier.averaged(pixels)
        np.testing.assert_allclose(probabilities.detach().numpy(), expected, atol=1e-6)
        np.testing.assert_array_equal(labels, expected.argmax(1))
    assert np.ptp(expected, axis=0).max() > 0.01  # the pictures are not all the same to it


def test_networks_that_share_a_backbone_share_one_body() -> None:
    module = Deployed(three())
    assert sorted(module.bodies) == ["0", "1"] and module.body_of == [0, 1, 0]


def test_no_operation_of_a_body_is_in_place_and_the_network_is_as_it_was() -> None:
    bundle = linear("small_cnn", size=48)
    own = [module for module in bundle.network.modules() if isinstance(module, torch.nn.ReLU)]
    for module in own:
        module.inplace = True
    bodies = Deployed(Ensemble((bundle,))).bodies
    found = [module for module in bodies.modules() if isinstance(module, torch.nn.ReLU)]
    assert len(found) == len(own) > 0 and not any(module.inplace for module in found)
    assert all(module.inplace for module in own)


def test_networks_of_several_sizes_have_an_input_each() -> None:
    ensemble = Ensemble((linear(), linear("small_cnn", size=48), linear(seed=2)))
    assert [each.name for each in inputs_of(ensemble)] == ["pixels_32_of_32_bilinear", "pixels_48_of_48_bilinear"]
    assert Deployed(ensemble).input_of == [0, 1, 0]
    assert [each.name for each in inputs_of(three())] == ["pixels"]


def test_several_labels_are_those_above_the_threshold() -> None:
    pixels = pixels_for(Ensemble((linear(multi_label=True),)), 6)[0]
    middle = float(np.quantile(Classifier(linear(multi_label=True)).probabilities(pixels), 0.6))  # not near 0.5
    bundle = linear(multi_label=True, threshold=middle)
    probabilities, labels = Deployed(Ensemble((bundle,)))(torch.from_numpy(pixels))
    np.testing.assert_allclose(probabilities.detach(), Classifier(bundle).probabilities(pixels), atol=1e-6)
    assert labels.dtype == torch.bool and torch.equal(labels, probabilities > middle)
    assert 0 < int(labels.sum()) < labels.numel()


def test_tempering_is_that_of_the_calibration_even_where_a_probability_is_zero() -> None:
    given = np.array([[1.0, 0.0, 0.0], [0.5, 0.3, 0.2]], np.float32)
    for temperature in (0.5, 1.0, 3.0):
        found = tempered(torch.from_numpy(given), temperature).numpy()
        np.testing.assert_allclose(found, apply_temperature(given, temperature), atol=1e-7)


class Undecided(torch.nn.Module):
    """A backbone whose way depends on the values in the image, which no graph can hold."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return one of two things."""
        return images.mean((2, 3)) if float(images.sum()) > 0 else images.amax((2, 3))


def test_a_network_that_cannot_be_traced_is_named() -> None:
    bundle = linear()
    backbone = bundle.network.backbone
    backbone.stages = torch.nn.Sequential(Undecided())
    broken = Bundle(Network(backbone, LinearHead(3, 3)).eval(), Origin("lenet5"), bundle.classes)
    with pytest.raises(ModelError, match=r"^lenet5 cannot be exported: torch.export failed \("):
        program_of(Ensemble((broken,)))
