from __future__ import annotations

import re

import pytest
import torch
from exported_models import linear, neighbours, three

from headstart.deploy.export.timm_model import folded, model_args, refusal_of, timm_model
from headstart.errors import ModelError
from headstart.models.bundle import Bundle, Ensemble, Origin
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead, SelectedClasses
from headstart.models.network import Network

SMALL = "timm/test_efficientnet"


def test_timm_computes_the_calibrated_logits_of_a_standardised_head() -> None:
    bundle = linear(SMALL, standardised=True, temperature=0.6)
    model = timm_model(bundle)
    images = torch.randn(3, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(model(images), bundle.network(images) / 0.6, atol=1e-4, rtol=1e-4)
        assert float(model(images).std()) > 0.01


def test_folding_by_hand() -> None:
    head = LinearHead(2, 2, centred=True, scaled=True)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[2.0, 4.0], [6.0, 8.0]]))
        head.bias.copy_(torch.tensor([1.0, 2.0]))
        head.centre.copy_(torch.tensor([1.0, 3.0]))  # type: ignore[union-attr]
        head.scale.copy_(torch.tensor([2.0, 4.0]))  # type: ignore[union-attr]
    bundle = linear()
    whole = Bundle(Network(bundle.network.backbone, head), Origin("lenet5"), ("a", "b"), temperature=0.5)
    weight, bias = folded(whole)
    assert weight.tolist() == [[2.0, 2.0], [6.0, 4.0]]  # (w / scale) / 0.5
    assert bias.tolist() == [-6.0, -14.0]  # (b - (w / scale) · centre) / 0.5
    turned = Bundle(
        Network(bundle.network.backbone, SelectedClasses(head, [1, 0])), Origin("lenet5"), ("b", "a"), temperature=0.5
    )
    assert folded(turned)[1].tolist() == [-14.0, -6.0]


def test_a_network_of_fixed_size_is_built_for_the_size_of_the_model() -> None:
    assert model_args(linear("timm/test_vit", size=128)) == {"img_size": 128}
    assert model_args(linear("timm/test_vit")) == {} == model_args(linear(SMALL, size=96))


def test_what_is_no_single_network_of_timm_is_refused_with_the_remedy() -> None:
    backbone, _ = create_backbone(SMALL, None)
    short = backbone.truncate("stage2")
    cut = Bundle(
        Network(short, LinearHead(short.feature_dim, 3)).eval(),
        Origin(SMALL, truncate_at="stage2"),
        ("a", "b", "c"),
    )
    for model, words in (
        (three(), "an ensemble of 3 networks is not a single network of timm; export the run folder of one of them"),
        (Ensemble((linear(),)), "lenet5 is not an architecture of timm; export to onnx, server, page or torch instead"),
        (Ensemble((linear("alexnet"),)), "alexnet is not an architecture of timm"),
        (Ensemble((linear(SMALL, tta="flip"),)), r"test-time augmentation \(flip\) has no place in a timm model"),
        (Ensemble((neighbours(SMALL),)), r"its head \(k nearest neighbours\) is not a linear layer"),
        (Ensemble((linear(SMALL, l2=True),)), "its head divides features by their length"),
        (Ensemble((cut,)), "was cut short at stage2, and timm has only whole networks"),
    ):
        reason = refusal_of(model)
        assert reason is not None and re.search(words, reason), reason
    assert refusal_of(Ensemble((linear(SMALL),))) is None


def test_other_weights_than_timms_network_takes_are_refused() -> None:
    bundle = linear(SMALL)
    bundle.network.backbone.original_keys.pop("conv_stem.weight")
    with pytest.raises(ModelError, match="test_efficientnet does not fit timm's network; export to onnx"):
        timm_model(bundle)
