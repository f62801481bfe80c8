"""On real photographs: explanations beat a random map, and follow what was learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.decoding.decode import View, decode_file
from headstart.explain.explainers import explain
from headstart.explain.faithfulness import faithfulness
from headstart.explain.sanity import randomisation_check
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.models.preprocessing import as_tensor, normalise

pytestmark = [pytest.mark.realdata, pytest.mark.slow]
CLASSES = ("accordion", "airplanes", "dollar_bill", "leopards", "panda", "pizza")
TRAIN, SHOWN = 6, 2


@pytest.fixture(scope="module")
def subject(real_images: Path) -> tuple[Network, torch.Tensor, torch.Tensor]:
    """Prototypes on ResNet-18 features of a few photographs, and unseen ones that they classify correctly."""
    backbone, _ = create_backbone("resnet18", real_images / "weights" / "resnet18-imagenet1k.safetensors")
    preprocessing = backbone.preprocessing
    view = View(preprocessing.resize, preprocessing.size, preprocessing.interpolation)
    folders = {path.name.lower(): path for path in (real_images / "caltech101").iterdir()}
    files = [sorted(folders[name].iterdir())[: TRAIN + SHOWN] for name in CLASSES]
    images = normalise(as_tensor(np.stack([decode_file(f, view) for group in files for f in group])), preprocessing)
    with torch.no_grad():
        features = torch.cat([backbone.eval()(part) for part in torch.split(images, 16)])
    features = torch.nn.functional.normalize(features).view(len(CLASSES), TRAIN + SHOWN, -1)
    head = LinearHead(features.shape[2], len(CLASSES), l2=True)
    with torch.no_grad():
        head.weight.copy_(20 * features[:, :TRAIN].mean(1))
        right = head(features[:, TRAIN:].flatten(0, 1)).argmax(1) == torch.arange(len(CLASSES)).repeat_interleave(SHOWN)
    unseen = images.view(len(CLASSES), TRAIN + SHOWN, *images.shape[1:])[:, TRAIN:].flatten(0, 1)
    targets = torch.arange(len(CLASSES)).repeat_interleave(SHOWN)
    return Network(backbone, head), unseen[right], targets[right]


@pytest.mark.parametrize("method", ["grad_cam", "occlusion"])
def test_maps_beat_random_ones_and_change_with_the_weights(
    subject: tuple[Network, torch.Tensor, torch.Tensor], method: str
) -> None:
    network, images, targets = subject
    assert len(images) >= 9
    options = {"stride": 0.16} if method == "occlusion" else {}
    maps = explain(network, images, targets, method, **options)
    assert faithfulness(network, images, maps, targets, steps=10, random_maps=2)["better_insertion"] >= 0.8
    # removing tiles all over the image does more harm than removing as many in one place: for deletion, maps are moved
    found = faithfulness(network, images, maps, targets, steps=10, random_maps=2, control="moved")
    assert found["better_insertion"] >= 0.8 and found["better_deletion"] >= 0.6
    assert found["mean"]["deletion"] < found["mean"]["random_deletion"] - 0.05
    check = randomisation_check(network, images[:3], targets[:3], method, maps=maps[:3], **options)
    assert check["changed"]
