"""The conformance table: what holds for each family of backbones, checked now by the assertions of the suite.

    python -m tests.conformance.table               a network of each family
    python -m tests.conformance.table --all         more networks of some families
    python -m tests.conformance.table --only convnext

Weights are random, images small. "yes" is a check that passed, "–" one that does not apply, "refused" an explanation
that is not possible, which is said in one line, "PyTorch" a network that cannot be exported to ONNX; a failure shows
its first line.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import torch

from headstart.errors import ModelError
from headstart.explain.explainers import explain
from headstart.models.backbone import Backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.transfer.frozen.engine import Engine
from tests.conformance import test_backbone_families as families
from tests.conformance.test_backbone_families import FAST, SLOW, Member, backbone_of
from tests.conformance.test_current_families import check_engine, check_lora, shaken

YES, NONE, REFUSED, EAGER = "yes", "–", "refused", "PyTorch"
_CLASSES = 5
_IMAGENET_SIZE = 224
_NOT_EXPORTED = (  # three resize their positions with antialiasing; the graph of one holds the number of images
    "hiera_small_abswin_256",
    "naflexvit_base_patch16_siglip",
    "naflexvit_base_patch16_par_gap",
    "vit_small_patch16_rope_mixed_224",
)
Check = Callable[[Member], str]


def forward(member: Member) -> str:
    """Compare the features with those of the library's own network."""
    families.test_the_stages_compute_what_the_library_computes(member)
    return YES


def cuts(member: Member) -> str:
    """Compare prefix and tail with the whole at every cut point."""
    points = backbone_of(member).cut_points
    families.test_prefix_then_tail_equals_the_whole_and_leaves_the_stored_activations_as_they_are(member, points)
    return f"{len(points)}"


def truncated(member: Member) -> str:
    """Run the network that ends at each cut point."""
    points = backbone_of(member).cut_points
    families.test_truncation_gives_a_working_network(member, points)
    return f"{len(points)}"


def groups(member: Member) -> str:
    """Look for each parameter in exactly one group."""
    families.test_parameter_groups_cover_every_parameter_exactly_once(member)
    return YES


def lora(member: Member) -> str:
    """Add low-rank updates to the whole network, change them and merge them."""
    check_lora(_moved(member), member.size)
    return YES


def grad_cam(member: Member) -> str:
    """Explain each class on two images by Grad-CAM, which needs a stage with several positions."""
    return _explained(member, "grad_cam", "Grad-CAM needs a stage with several positions")


def rollout(member: Member) -> str:
    """Explain each class on two images by attention rollout, which needs attention over all patches."""
    return _explained(member, "attention_rollout", "attention rollout cannot explain")


def engine(member: Member) -> str:
    """Compare ONNX Runtime with PyTorch, whole and cut in the middle.

    AlexNet and VGG average their last map to the grid of their linear layers. The exporter refuses to stretch a smaller
    map to it, and PyTorch then computes the features; so they are compared on images of their own size.
    """
    backbone, size = _moved(member), member.size
    if member.name in _NOT_EXPORTED:
        assert Engine(backbone.stages, backbone.preprocessing).name == "pytorch"
        return EAGER
    if "fc6" in backbone.stage_names:
        size = _IMAGENET_SIZE
        backbone.preprocessing = backbone.preprocessing.at(size)
    middle = backbone.stage_names[len(backbone.stage_names) // 2 - 1]
    check_engine(backbone.stages, backbone, size)
    check_engine(backbone.cut(middle)[0], backbone, size)
    return YES


CHECKS: dict[str, Check] = {
    "forward": forward,
    "cuts": cuts,
    "truncated": truncated,
    "groups": groups,
    "LoRA": lora,
    "Grad-CAM": grad_cam,
    "rollout": rollout,
    "ONNX": engine,
}


def cell(check: Check, member: Member) -> str:
    """Return what a check found, or the first line of why it failed."""
    try:
        with torch.inference_mode(check in (forward, cuts, truncated)):
            return check(member)
    except pytest.skip.Exception:
        return NONE
    except Exception as error:  # whatever is wrong is what the table is for
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return f"**fails**: {said[:100]}".replace("|", "\\|")


def shown(member: Member) -> str:
    """Return a network's name as a study writes it."""
    return member.name if member.library == "headstart" else f"{member.library}/{member.name}"


def line(member: Member, checks: Mapping[str, Check]) -> list[str]:
    """Return the cells of one network."""
    return [f"`{shown(member)}`", *(cell(check, member) for check in checks.values())]


def main(words: Sequence[str] | None = None) -> int:
    """Print the table as Markdown; return 1 if a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="also further networks of some families")
    parser.add_argument("--only", default="", help="networks whose names contain this")
    asked = parser.parse_args(words)
    members = [each for each in (*FAST, *(SLOW if asked.all else ())) if asked.only in shown(each)]
    print(f"| network | {' | '.join(CHECKS)} |\n|{'---|' * (len(CHECKS) + 1)}", flush=True)
    failed = 0
    for member in members:
        found = line(member, CHECKS)
        failed += sum(each.startswith("**fails**") for each in found)
        print(f"| {' | '.join(found)} |", flush=True)
    print(f"\n{len(members)} networks, {failed} of {len(members) * len(CHECKS)} cells failed", flush=True)
    return int(failed > 0)


def _moved(member: Member) -> Backbone:
    with torch.inference_mode(False):
        return shaken(copy.deepcopy(backbone_of(member)))


def _explained(member: Member, method: str, refusal: str) -> str:
    backbone = _moved(member)
    head = LinearHead(backbone.feature_dim, _CLASSES)
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    images = torch.randn(2, 3, member.size, member.size, generator=torch.Generator().manual_seed(1))
    every = images.repeat_interleave(_CLASSES, dim=0)  # of some classes nothing is seen, and their map is zero
    try:
        maps = explain(Network(backbone, head).eval(), every, torch.arange(_CLASSES).repeat(2), method)
    except ModelError as error:
        if refusal not in str(error):
            raise
        return REFUSED
    assert maps.shape == (2 * _CLASSES, member.size, member.size), f"the maps have the shape {maps.shape}"
    assert np.isfinite(maps).all(), "a map is not finite"
    assert (np.ptp(maps, axis=(1, 2)) > 0).any(), "the maps of all classes are constant"
    return YES


if __name__ == "__main__":
    sys.exit(main())
