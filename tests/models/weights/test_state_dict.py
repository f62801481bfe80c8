from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.architectures import build as building
from headstart.models.architectures.catalogue import Architecture
from headstart.models.backbone import Backbone
from headstart.models.create import create_backbone
from headstart.models.freeze import fingerprint
from headstart.models.weights.state_dict import load_state

RESNET18 = Architecture("timm", "resnet18")


def published(name: str, seed: int = 1, **options: object) -> dict[str, Tensor]:
    """Return the state dict of timm's own network."""
    return dict(made(name, seed, **options))


@lru_cache(maxsize=4)
def made(name: str, seed: int, **options: object) -> dict[str, Tensor]:
    """Make each network once: its random weights are what takes the time. No test alters them."""
    torch.manual_seed(seed)
    state: dict[str, Tensor] = timm.create_model(name, **options).state_dict()
    return state


def build(architecture: Architecture, seed: int = 0, **options: int) -> Backbone:
    """Return the network that headstart builds, of which each is built once: a copy, to be filled."""
    return deepcopy(built(architecture, seed, **options))


@lru_cache(maxsize=8)
def built(architecture: Architecture, seed: int, **options: int) -> Backbone:
    return building.build(architecture, seed, **options)


def logits(backbone: Backbone, size: int = 64) -> Tensor:
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    assert backbone.classifier is not None
    with torch.inference_mode():
        found: Tensor = backbone.eval().classifier(backbone(images))  # type: ignore[misc]
    return found


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.model.", "_orig_mod.", "encoder."])
def test_prefixes_of_wrappers_are_stripped(prefix: str) -> None:
    state = published("resnet18")
    backbone = build(RESNET18)
    report = load_state(backbone, {prefix + key: value for key, value in state.items()})
    assert len(report.matched) == len(state) and not report.missing
    assert torch.equal(backbone.state_dict()["stages.stage1.block1.conv1.weight"], state["layer1.0.conv1.weight"])


def test_our_own_keys_load_too() -> None:
    source, target = build(RESNET18, seed=1), build(RESNET18, seed=2)
    load_state(target, source.state_dict())
    assert fingerprint(source) == fingerprint(target)


def test_a_network_whose_library_calls_its_stages_as_we_do_takes_either_names() -> None:
    target, again = (build(Architecture("timm", "convnext_atto"), seed=seed) for seed in (1, 2))
    state = published("convnext_atto", seed=3)
    assert any(key.startswith("stages.") for key in state)
    assert load_state(target, state).missing == ()
    assert torch.equal(target.state_dict()["stages.stem.0.weight"], state["stem.0.weight"])
    assert load_state(again, target.state_dict()).missing == () and fingerprint(again) == fingerprint(target)


def test_another_head_is_dropped_and_reported() -> None:
    backbone = build(RESNET18)
    report = load_state(backbone, published("resnet18", num_classes=10))
    assert backbone.classifier is None
    assert set(report.unexpected) == {"classifier.weight", "classifier.bias"}
    assert not report.missing and len(report.matched) == 120
    assert str(report) == "120 tensors matched, 2 not used (classifier.weight, classifier.bias)"


def test_a_checkpoint_with_foreign_names_is_matched_by_order_and_shape() -> None:
    torch.manual_seed(1)
    original = torchvision.models.mobilenet_v2(weights=None).eval()
    backbone = build(Architecture("timm", "mobilenetv2_100"))
    report = load_state(backbone, original.state_dict())
    assert not report.missing and not report.unexpected
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(logits(backbone), original(images), rtol=0, atol=1e-5)


def test_old_checkpoints_without_batch_counters_load() -> None:
    state = {k: v for k, v in published("resnet18").items() if not k.endswith("num_batches_tracked")}
    report = load_state(build(RESNET18), state)
    assert not report.missing and len(report.matched) == 102


def test_half_precision_is_widened() -> None:
    backbone = build(RESNET18)
    load_state(backbone, {key: value.half() for key, value in published("resnet18").items() if value.ndim})
    assert {value.dtype for key, value in backbone.state_dict().items() if "weight" in key} == {torch.float32}


@pytest.mark.parametrize("other", ["resnet34", "resnet50", "resnet26", "vit_tiny_patch16_224", "tf_efficientnet_lite0"])
def test_weights_of_another_architecture_are_refused_and_nothing_is_changed(other: str) -> None:
    backbone = build(RESNET18)
    before = fingerprint(backbone)
    with pytest.raises(WeightsError, match="belongs to another architecture") as caught:
        load_state(backbone, published(other), "other.pt")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("other.pt: ")
    assert fingerprint(backbone) == before


def test_a_deeper_network_refuses_the_weights_of_a_shallower_one() -> None:
    with pytest.raises(WeightsError, match="lacks 80 tensors of resnet34"):
        load_state(build(Architecture("timm", "resnet34")), published("resnet18"))


def test_a_state_dict_that_lost_a_layer_is_refused() -> None:
    state = published("resnet18")
    del state["layer3.1.conv2.weight"]
    with pytest.raises(WeightsError, match=r"lacks 1 tensors .* incomplete"):
        load_state(build(RESNET18), state)


def test_a_network_that_ends_early_fills_the_stages_it_has() -> None:
    state = {key: value for key, value in published("resnet18").items() if not key.startswith(("layer4", "fc"))}
    backbone = build(RESNET18)
    report = load_state(backbone, state)
    assert {key.split(".")[1] for key in report.missing} == {"stage4"}
    assert backbone.classifier is None


def test_a_short_network_takes_its_part_of_the_whole_ones_weights() -> None:
    state = published("resnet18")
    short = build(RESNET18).truncate("stage2.block1")
    report = load_state(short, state)
    assert not report.missing
    assert all(key.startswith(("layer2.1", "layer3", "layer4", "fc")) for key in report.unexpected)
    load_state(short, build(RESNET18, seed=1).state_dict())


def test_positional_embeddings_are_resized_to_another_image_size() -> None:
    state = published("vit_tiny_patch16_224")
    backbone = build(Architecture("timm", "vit_tiny_patch16_224"), input_size=64)
    report = load_state(backbone, state)
    assert report.resized == ("stages.embed.part.pos_embed",)
    torch.manual_seed(1)
    expected = timm.create_model("vit_tiny_patch16_224", img_size=64)
    key = "stages.embed.part.pos_embed"
    from timm.models.vision_transformer import checkpoint_filter_fn

    filtered = checkpoint_filter_fn(state, expected)
    torch.testing.assert_close(backbone.state_dict()[key], filtered["pos_embed"])


def test_position_biases_of_swin_are_resized_to_another_window() -> None:
    state = published("swin_tiny_patch4_window7_224")
    backbone = build(Architecture("timm", "swin_tiny_patch4_window7_224"), input_size=64)
    report = load_state(backbone, state)
    assert report.resized and all(key.endswith("relative_position_bias_table") for key in report.resized)
    assert not report.missing


def test_a_resized_position_bias_keeps_its_centre_and_its_symmetry() -> None:
    state = published("swin_tiny_patch4_window7_224")
    offsets = torch.arange(-6.0, 7.0)
    theirs = "layers.2.blocks.0.attn.relative_position_bias_table"
    state[theirs] = (offsets[:, None] + 100 * offsets).reshape(-1, 1).repeat(1, state[theirs].shape[1])
    backbone = build(Architecture("timm", "swin_tiny_patch4_window7_224"), input_size=64)
    load_state(backbone, state)
    table = backbone.state_dict()[backbone.original_keys[theirs]][:, 0]
    assert len(table) == 49  # a window of 4 × 4: offsets -3 … 3 in both directions
    assert table[24] == pytest.approx(0, abs=1e-3)
    torch.testing.assert_close(table, -table.flip(0), rtol=0, atol=1e-3)
    assert bool((table.reshape(7, 7).diff(dim=1) > 0).all())


def test_dinov2_published_with_its_mask_token_loads() -> None:
    state = published("vit_small_patch14_dinov2", img_size=56)
    backbone = build(Architecture("timm", "vit_small_patch14_dinov2"), input_size=28)
    report = load_state(backbone, {**state, "mask_token": torch.zeros(1, 384)})
    assert report.unexpected == ("mask_token",) and len(report.resized) == 1


def test_a_checkpoint_of_a_wrapped_torchvision_network_loads_from_disk(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = torchvision.models.shufflenet_v2_x0_5(weights=None)
    torch.save({"state_dict": nn.DataParallel(model).state_dict(), "epoch": 7}, tmp_path / "mine.pth")
    backbone, weights = create_backbone("shufflenet_v2_x0_5", tmp_path / "mine.pth")
    assert weights.origin.endswith("mine.pth") and weights.licence is None
    assert backbone.source_classes == () and backbone.classifier is not None


def filled(state: dict[str, Tensor]) -> Backbone:
    backbone = build(RESNET18)
    load_state(backbone, state)
    return backbone


def is_body_of(backbone: Backbone, state: dict[str, Tensor]) -> bool:
    """Say whether every tensor of the network but its classifier's is in the backbone, and nothing else."""
    own = backbone.state_dict()
    names = {ours: theirs for theirs, ours in backbone.original_keys.items()}
    body = [key for key in own if not key.startswith("classifier.")]
    return len(body) == 120 and all(torch.equal(own[key], state[names[key]]) for key in body)


@pytest.mark.parametrize("slow", ["encoder_k.", "momentum_encoder."])
@pytest.mark.parametrize("slow_first", [False, True])
def test_moco_gives_the_network_itself_and_not_its_slow_average(slow: str, slow_first: bool) -> None:
    network, average = published("resnet18", num_classes=128), published("resnet18", seed=2, num_classes=128)
    query = "encoder_q." if slow == "encoder_k." else "base_encoder."
    parts = [{f"module.{query}{key}": value for key, value in network.items()}]
    parts.append({f"module.{slow}{key}": value for key, value in average.items()})
    parts = parts[::-1] if slow_first else parts
    backbone = filled({**parts[0], **parts[1], "module.queue": torch.zeros(128, 8)})
    assert is_body_of(backbone, network) and backbone.classifier is None


def test_a_projection_of_several_layers_is_another_head() -> None:
    network = published("resnet18")
    mlp = {"fc.0.weight": torch.zeros(512, 512), "fc.2.weight": torch.zeros(128, 512), "fc.2.bias": torch.zeros(128)}
    body = {key: value for key, value in network.items() if not key.startswith("fc.")}
    state = {f"module.encoder_q.{key}": value for key, value in {**body, **mlp}.items()}
    backbone = build(RESNET18)
    report = load_state(backbone, state)
    assert is_body_of(backbone, network) and set(report.unexpected) == set(mlp)


@pytest.mark.parametrize("name", ["model.", "net.feature_extractor.", "_orig_mod.module.my_network."])
def test_a_lightning_module_may_call_its_network_anything(name: str) -> None:
    network = published("resnet18", num_classes=4)
    others = {"criterion.weight": torch.ones(4), "projection.0.weight": torch.ones(4, 4), "accuracy.n": torch.ones(1)}
    backbone = filled({**others, **{f"{name}{key}": value for key, value in network.items()}})
    assert is_body_of(backbone, network)


def test_a_block_is_not_taken_for_a_network() -> None:
    block = {key: value for key, value in published("resnet18").items() if key.startswith("layer1.0.")}
    with pytest.raises(WeightsError, match=r"belongs to another architecture|lacks"):
        load_state(build(RESNET18), {f"model.{key.removeprefix('layer1.0.')}": v for key, v in block.items()})


@pytest.mark.parametrize("counters", [True, False])
def test_a_network_of_fastai_is_matched_by_the_order_of_its_body(counters: bool) -> None:
    torch.manual_seed(1)
    network = torchvision.models.resnet18(weights=None)
    body = nn.Sequential(*list(network.children())[:-2])
    head = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1024), nn.Linear(1024, 512), nn.BatchNorm1d(512))
    state = nn.Sequential(body, head).state_dict()
    if not counters:
        state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    backbone = build(RESNET18)
    report = load_state(backbone, state)
    assert is_body_of(backbone, {**network.state_dict()}) and not [k for k in report.missing if "stages" in k]
