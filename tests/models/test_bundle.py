"""A bundle holds all that decides which probabilities and labels an image gets, and says so when it cannot."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from headstart.errors import MissingExtra, ModelError, WeightsError
from headstart.models import bundle as bundle_module
from headstart.models.bundle import (
    HEAD,
    MEMBERS,
    MODEL,
    TRUST,
    Bundle,
    Ensemble,
    Origin,
    bundle_bytes,
    ensemble_bytes,
    find_bundle,
    model_bytes,
    model_files,
    read_bundle,
    read_ensemble,
    read_head,
    shared_backbones,
)
from headstart.models.bundle_file import ENTRY, FORMAT, copy_with_temperature, file_content
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead, select_classes
from headstart.models.network import Network
from headstart.models.pixels import pixels_backbone

NEEDS = {"size": 32, "resize": 36, "interpolation": "bilinear", "mean": [0.1] * 3, "std": [0.2] * 3}
CLASSES = ("cat", "dog", "ünïcode")


def bundle(seed: int = 0, head: int = 0, origin: Origin | None = None, **changes: Any) -> Bundle:
    """Return a small network: its backbone is drawn from `seed`, its head from `head`."""
    backbone, _ = create_backbone("lenet5", None, seed=seed)
    linear = LinearHead(84, 3, multi_label=bool(changes.get("multi_label")))
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(head))
    given: dict[str, Any] = {"temperature": 1.5, "provenance": {"run": "r"}, "tta": "flip", **changes}
    return Bundle(Network(backbone, linear).eval(), origin or Origin("lenet5", seed=seed), CLASSES, **given)


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def described(path: Path) -> dict[str, Any]:
    with safe_open(str(path), framework="pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()[ENTRY])
        return found


def rewritten(path: Path, change: Any) -> Path:
    """Write a bundle's file again, its description changed in place by `change`."""
    with safe_open(str(path), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        found = json.loads(file.metadata()[ENTRY])
    change(found)
    path.write_bytes(file_content(tensors, found))
    return path


def logits(one: Bundle) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = one.network(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    return found


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_written_is_read_again(whole: bool, tmp_path: Path) -> None:
    one = bundle(seed=3)
    again = read_bundle(written(tmp_path / "m", bundle_bytes(one, whole=whole)))
    assert torch.equal(logits(again), logits(one)) and not again.network.training
    for name in ("origin", "classes", "multi_label", "temperature", "provenance", "tta", "threshold", "preprocessing"):
        assert getattr(again, name) == getattr(one, name), name


def test_several_labels_and_their_threshold_are_read_again(tmp_path: Path) -> None:
    one = bundle(multi_label=True, temperature=1.0, threshold=0.3)
    again = read_bundle(written(tmp_path / "m", bundle_bytes(one, whole=True)))
    assert again.multi_label and again.threshold == 0.3 and again.network.head.multi_label


def test_a_whole_bundle_holds_its_backbone_and_a_head_alone_does_not(tmp_path: Path) -> None:
    whole, head = (written(tmp_path / str(w), bundle_bytes(bundle(), whole=w)) for w in (True, False))
    with safe_open(str(whole), framework="pt") as file:
        assert {key.split(".")[0] for key in file.keys()} == {"backbone", "head"}  # noqa: SIM118
    with safe_open(str(head), framework="pt") as file:
        assert sorted(file.keys()) == ["head.bias", "head.weight"]
    assert torch.equal(read_head(head).weight, bundle().network.head.weight)


def test_a_changed_preprocessing_is_read_again(tmp_path: Path) -> None:
    one = bundle()
    one.network.backbone.preprocessing = replace(one.preprocessing, resize=40, mean=(0.1, 0.2, 0.3))
    again = read_bundle(written(tmp_path / "m", bundle_bytes(one, whole=True)))
    assert again.preprocessing == one.preprocessing


def test_a_truncated_network_at_another_size_is_built_again(tmp_path: Path) -> None:
    backbone, _ = create_backbone("lenet5", None, seed=1, input_size=40)
    short = backbone.truncate("conv2").eval()
    origin = Origin("lenet5", "conv2", 40, seed=1)
    one = Bundle(Network(short, LinearHead(16, 3)).eval(), origin, CLASSES)
    for whole in (True, False):
        again = read_bundle(written(tmp_path / f"m{whole}", bundle_bytes(one, whole=whole)))
        assert again.preprocessing.size == 40
        images = torch.rand(1, 3, 40, 40)
        with torch.no_grad():
            assert torch.equal(again.network.backbone(images), short(images))


def test_raw_pixels_have_no_weights_to_hold(tmp_path: Path) -> None:
    one = Bundle(Network(pixels_backbone(8), LinearHead(192, 3)).eval(), Origin("pixels", input_size=8), CLASSES)
    again = read_bundle(written(tmp_path / "m", model_bytes(Ensemble((one,)))))
    assert again.network.backbone.feature_dim == 192
    default = replace(one, network=Network(pixels_backbone(), LinearHead(3072, 3)), origin=Origin("pixels"))
    assert read_bundle(written(tmp_path / "d", bundle_bytes(default, whole=True))).network.backbone.feature_dim == 3072


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "has format 2; this headstart reads format 3: update headstart, or save the model again"),
        ({"preprocessing": {**NEEDS, "size": 2}}, "cannot be used .*size"),
        ({"tta": "rotate"}, "cannot be used .*'rotate'"),
        ({"temperature": 0.0}, "cannot be used .*temperature = 0.0 must be a finite number above 0"),
        ({"classes": ["a", "b"]}, "cannot be used .*2 classes has a head of 3 outputs"),
    ],
)
def test_a_description_that_cannot_be_is_refused_with_the_file(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    path = rewritten(written(tmp_path / "m", bundle_bytes(bundle(), whole=True)), lambda found: found.update(change))
    with pytest.raises(WeightsError, match=says) as told:
        read_bundle(path)
    assert str(told.value).startswith(str(path))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"temperature": 0.0}, "temperature = 0.0 must be a finite number above 0"),
        ({"temperature": -1.0}, "finite number above 0"),
        ({"temperature": float("inf")}, "finite number above 0"),
        ({"temperature": float("nan")}, "finite number above 0"),
        ({"multi_label": True}, "temperature = 1.5 would change the labels of a multi-label model; it must be 1"),
        ({"threshold": 0.0}, "threshold = 0.0 must be between 0 and 1"),
        ({"threshold": 1.0}, "threshold = 1.0 must be between 0 and 1"),
        ({"tta": "flp"}, "unknown test-time augmentation 'flp'.*did you mean 'flip'"),
        ({"classes": ("a", "b")}, "a model of 2 classes has a head of 3 outputs"),
    ],
)
def test_values_that_contradict_each_other_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        replace(bundle(), **changes)


@pytest.mark.parametrize("temperature", [0.25, 1.5, 123.456789012345])
def test_another_temperature_changes_nothing_else(temperature: float, tmp_path: Path) -> None:
    source = written(tmp_path / "source", bundle_bytes(bundle(), whole=True))
    target = tmp_path / "target"
    copy_with_temperature(source, target, temperature)
    before, after = described(source), described(target)
    assert (after.pop("seal") != before.pop("seal")) == (temperature != 1.5)
    assert after == {**before, "temperature": temperature}
    one, other = read_bundle(source), read_bundle(target)
    assert other.temperature == temperature and torch.equal(logits(one), logits(other))
    length = int.from_bytes(target.read_bytes()[:8], "little")
    assert length % 8 == 0  # tensors are aligned, as in every file that safetensors writes
    data = source.read_bytes()
    assert target.read_bytes()[8 + length :] == data[8 + int.from_bytes(data[:8], "little") :]


@pytest.mark.parametrize("place", ["file", MODEL, HEAD])
def test_a_file_a_run_folder_and_a_study_folder_are_found(place: str, tmp_path: Path) -> None:
    path = written(tmp_path / "folder" / place, b"x")
    assert find_bundle(path) == path
    if place != "file":
        assert find_bundle(tmp_path / "folder") == path


def test_a_whole_model_is_preferred_to_a_head(tmp_path: Path) -> None:
    whole = written(tmp_path / MODEL, b"x")
    written(tmp_path / HEAD, b"x")
    assert find_bundle(tmp_path) == whole


def test_an_absent_model_is_said_to_be_absent(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no model.safetensors or head.safetensors; give a model file"):
        find_bundle(tmp_path)
    with pytest.raises(WeightsError, match="no such file or folder"):
        find_bundle(tmp_path / "gone")
    (tmp_path / "seed-0").mkdir()  # of a run with several seeds the folder of one is meant
    with pytest.raises(WeightsError) as refused:
        find_bundle(tmp_path)
    assert f"give a model file, a run folder, such as {tmp_path / 'seed-0'}, or a" in str(refused.value)


def test_a_file_that_is_no_bundle_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read as a model"):
        read_bundle(written(tmp_path / "noise", b"not tensors"))
    whole = bundle_bytes(bundle(), whole=True)
    with pytest.raises(WeightsError, match="cannot be read as a model"):
        read_bundle(written(tmp_path / "short", whole[: len(whole) // 2]))
    save_file({"w": torch.zeros(1)}, tmp_path / "plain")
    with pytest.raises(WeightsError, match="was not saved by headstart"):
        read_bundle(tmp_path / "plain")
    save_file({"w": torch.zeros(1)}, tmp_path / "other", {"format": "pt"})
    with pytest.raises(WeightsError, match="was not saved by headstart"):
        read_bundle(tmp_path / "other")


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("conv1.conv.bias", "m: lacks 1 tensors of lenet5, such as stages.conv1.conv.bias"),
        ("fc6", "m: lacks tensors of lenet5: stages.fc6.fc.weight, stages.fc6.fc.bias"),
    ],
)
def test_a_whole_bundle_without_some_of_its_tensors_is_refused(gone: str, says: str, tmp_path: Path) -> None:
    path = written(tmp_path / "m", bundle_bytes(bundle(), whole=True))
    with safe_open(str(path), framework="pt") as file:
        found = json.loads(file.metadata()[ENTRY])
        tensors = {key: file.get_tensor(key) for key in file.keys() if gone not in key}  # noqa: SIM118
    path.write_bytes(file_content(tensors, found))
    with pytest.raises(WeightsError, match=re.escape(says)):
        read_bundle(path)


def test_a_head_on_weights_that_have_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = written(tmp_path / "below.safetensors", bundle_bytes(bundle(seed=5), whole=True))
    origin = replace(bundle().origin, weights=str(below))
    for sha256, fits in ((None, True), ("0" * 64, False)):
        one = replace(bundle(), origin=replace(origin, sha256=sha256))
        path = written(tmp_path / "head", bundle_bytes(one, whole=False))
        if fits:
            expected = bundle(seed=5).network.backbone.state_dict()
            found = read_bundle(path, agreed=True).network.backbone.state_dict()
            assert all(torch.equal(found[key], value) for key, value in expected.items())
        else:
            with pytest.raises(WeightsError, match=f"fitted on weights with sha256 {sha256}"):
                read_bundle(path, agreed=True)


def test_a_file_is_not_opened_because_a_bundle_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = written(tmp_path / "below.safetensors", bundle_bytes(bundle(seed=5), whole=True))
    one = replace(bundle(), origin=replace(bundle().origin, weights=str(below)))
    path = written(tmp_path / "head", bundle_bytes(one, whole=False))
    with pytest.raises(WeightsError, match=r"a model may name any file, so this one is not opened.*TRUST_MODELS=1"):
        read_bundle(path)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))  # headstart wrote what is in there
    assert read_bundle(path).origin.weights == str(below)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(TRUST, "1")
    assert read_bundle(path).origin.weights == str(below)


def test_weights_are_not_downloaded_because_a_bundle_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("downloaded"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("downloaded"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, weights in (("torchvision/alexnet", "torchvision:IMAGENET1K_V1"), ("resnet18", "timm:a1_in1k")):
        one = bundle(origin=Origin(name, weights=weights))
        with pytest.raises(WeightsError, match="a model file alone is no reason to download them"):
            read_bundle(written(tmp_path / "head", bundle_bytes(one, whole=False)))


def test_a_head_that_headstart_does_not_know_cannot_be_saved() -> None:
    one = replace(bundle(), network=Network(bundle().network.backbone, torch.nn.Linear(84, 3)))
    with pytest.raises(ModelError, match="a Linear cannot be saved as a head"):
        bundle_bytes(one, whole=True)


def test_selected_classes_are_read_again(tmp_path: Path) -> None:
    one = bundle()
    picked = Network(one.network.backbone, select_classes(one.network.head, [2, 0])).eval()
    again = read_bundle(
        written(tmp_path / "m", bundle_bytes(replace(one, network=picked, classes=CLASSES[:2]), whole=True))
    )
    assert torch.equal(logits(again), logits(one)[:, [2, 0]])


def ensemble(**changes: Any) -> Ensemble:
    return Ensemble((bundle(0, 0), bundle(0, 1, **changes), bundle(1, 2)), 0.7)


def test_networks_that_differ_by_their_head_share_a_backbone() -> None:
    assert shared_backbones(ensemble().members) == [0, 0, 2]
    members = (bundle(0, 0), bundle(1, 1), bundle(0, 2), bundle(1, 3))
    assert shared_backbones(members) == [0, 1, 0, 1]


@pytest.mark.parametrize("difference", ["weights", "preprocessing", "origin"])
def test_backbones_that_differ_are_not_shared(difference: str) -> None:
    one, other = bundle(), bundle()
    if difference == "weights":
        with torch.no_grad():
            other.network.backbone.get_parameter("stages.conv1.conv.bias")[0] += 1
    elif difference == "preprocessing":
        other.network.backbone.preprocessing = replace(other.preprocessing, resize=40)
    else:
        other = replace(other, origin=replace(other.origin, input_size=40))
    assert shared_backbones((one, other)) == [0, 1]


def test_an_ensemble_is_one_file_that_holds_a_shared_backbone_once(tmp_path: Path) -> None:
    path = written(tmp_path / "m", model_bytes(ensemble(tta="none")))
    with safe_open(str(path), framework="pt") as file:
        starts = {".".join(key.split(".")[:2]) for key in file.keys()}  # noqa: SIM118
    assert starts == {"0.head", "0.backbone", "1.head", "2.head", "2.backbone"}
    again = read_ensemble(path)
    assert again.temperature == 0.7 and [each.tta for each in again.members] == ["flip", "none", "flip"]
    for one, other in zip(ensemble().members, again.members, strict=True):
        assert torch.equal(logits(one), logits(other)) and other.provenance == one.provenance
    with pytest.raises(ModelError, match=r"averages 3 networks, and only one can be inspected"):
        read_bundle(path)


def test_a_run_folder_names_the_folders_of_its_members(tmp_path: Path) -> None:
    for number in (0, 1):
        written(tmp_path / str(number) / MODEL, bundle_bytes(bundle(number), whole=True))
    facts = {"members": ["../0", "../1"], "temperature": 2.0}
    written(tmp_path / "both" / MEMBERS, json.dumps(facts).encode())
    found = read_ensemble(tmp_path / "both")
    assert found.temperature == 2.0 and [each.origin.seed for each in found.members] == [0, 1]
    listed, *files = model_files(tmp_path / "both")
    assert listed == tmp_path / "both" / MEMBERS and files == [tmp_path / "0" / MODEL, tmp_path / "1" / MODEL]
    assert model_files(tmp_path / "0") == (tmp_path / "0" / MODEL,)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"members": ["../../../x"], "temperature": 1.0}, "outside of the study's folder"),
        ({"members": ["/etc"], "temperature": 1.0}, "outside of the study's folder"),
        ({"members": ["."], "temperature": 1.0}, "holds no model.safetensors"),
        ({"members": 3, "temperature": 1.0}, "is damaged"),
        ({"members": [], "temperature": 1.0}, "cannot be used .*at least one network"),
        ({"members": ["../0"], "temperature": "hot"}, "is damaged"),
        ([], "is damaged"),
    ],
)
def test_members_that_cannot_be_are_refused(facts: Any, says: str, tmp_path: Path) -> None:
    written(tmp_path / "s" / "0" / MODEL, bundle_bytes(bundle(), whole=True))
    written(tmp_path / "s" / "both" / MEMBERS, json.dumps(facts).encode())
    with pytest.raises(WeightsError, match=says):
        read_ensemble(tmp_path / "s" / "both")


def test_one_network_is_written_as_a_plain_bundle() -> None:
    assert model_bytes(Ensemble((bundle(),))) == bundle_bytes(bundle(), whole=True)
    assert model_bytes(ensemble()) == ensemble_bytes(ensemble())
    assert Ensemble((bundle(),)).single().classes == CLASSES


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"classes": ("cat", "ünïcode", "dog")}, "must have the same classes in the same order"),
        ({"multi_label": True, "temperature": 1.0}, "must agree on how many labels"),
        ({"threshold": 0.4}, "must agree on how many labels"),
    ],
)
def test_networks_that_do_not_belong_together_are_refused(other: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        Ensemble((bundle(), bundle(), replace(bundle(), **other)))


def test_an_ensemble_of_none_or_without_a_scale_is_refused() -> None:
    with pytest.raises(ModelError, match="at least one network"):
        Ensemble(())
    for temperature in (0.0, float("inf"), float("nan")):
        with pytest.raises(ModelError, match="finite number above 0"):
            Ensemble((bundle(),), temperature)


def test_the_names_of_files_and_the_defaults_are_promises() -> None:
    names = ("headstart", "model.safetensors", "head.safetensors", "members.json")
    assert names == (ENTRY, MODEL, HEAD, MEMBERS)
    plain = Bundle(bundle().network, bundle().origin, CLASSES)
    assert (plain.temperature, plain.tta, plain.threshold, plain.multi_label) == (1.0, "none", 0.5, False)
    assert Ensemble((plain,)).temperature == 1.0
    with pytest.raises(ModelError, match=r"^this model averages 2 networks"):
        Ensemble((plain, plain)).single()


def test_a_network_whose_features_grow_with_the_image_is_built_for_its_size(tmp_path: Path) -> None:
    backbone, _ = create_backbone("conv4", None, seed=1, input_size=48)
    one = Bundle(Network(backbone, LinearHead(576, 3)).eval(), Origin("conv4", input_size=48, seed=1), CLASSES)
    assert read_bundle(written(tmp_path / "m", bundle_bytes(one, whole=True))).network.backbone.feature_dim == 576


def test_a_network_whose_features_do_not_grow_may_see_larger_images_than_it_was_built_for(tmp_path: Path) -> None:
    backbone, _ = create_backbone("small_cnn", None, seed=1)
    features = backbone.feature_dim
    backbone.preprocessing = replace(backbone.preprocessing, size=48, resize=48)
    one = Bundle(Network(backbone, LinearHead(features, 3)).eval(), Origin("small_cnn", seed=1), CLASSES)
    again = read_bundle(written(tmp_path / "m", bundle_bytes(one, whole=True)))
    assert again.preprocessing.size == 48 and torch.equal(logits(again), logits(one))


def test_a_file_that_is_given_away_holds_no_password(tmp_path: Path) -> None:
    told = {"dataset": "https://me:secret@example.org/photos.zip", "classes": 3}
    content = bundle_bytes(bundle(provenance=told, origin=Origin("lenet5", weights=told["dataset"])), whole=True)
    assert b"secret" not in content and b"example.org/photos.zip" in content
    assert read_bundle(written(tmp_path / "m", content)).provenance["classes"] == 3


def test_tensors_of_any_memory_format_are_written(tmp_path: Path) -> None:
    one = bundle()
    one.network.to(memory_format=torch.channels_last)
    again = read_bundle(written(tmp_path / "m", bundle_bytes(one, whole=True)))
    assert torch.equal(logits(again), logits(bundle()))


def test_the_format_is_written(tmp_path: Path) -> None:
    assert described(written(tmp_path / "m", bundle_bytes(bundle(), whole=False)))["format"] == FORMAT
    assert described(written(tmp_path / "e", ensemble_bytes(ensemble())))["format"] == FORMAT


def test_a_shared_backbone_is_read_for_each_of_its_networks(tmp_path: Path) -> None:
    members = (bundle(1, 2), bundle(0, 0), bundle(0, 1))
    for each in members[1:]:  # trained: not what its seed gives
        with torch.no_grad():
            each.network.backbone.get_parameter("stages.conv1.conv.bias")[:] = torch.arange(6.0)
    path = written(tmp_path / "m", ensemble_bytes(Ensemble(members)))
    assert [each["body"] for each in described(path)["members"]] == [0, 1, 1]
    for one, other in zip(members, read_ensemble(path).members, strict=True):
        assert torch.equal(logits(one), logits(other))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"classes": ("cat", "ünïcode", "dog")},
            "the networks of an ensemble must have the same classes in the same order, not"
            " cat, dog, ünïcode … and cat, ünïcode, dog …",
        ),
        ({"threshold": 0.4}, "the networks of an ensemble must agree on how many labels an image has, and when"),
    ],
)
def test_the_second_network_must_belong_to_the_first(other: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        Ensemble((bundle(), replace(bundle(), **other)))
    assert str(caught.value) == message


def test_names_of_classes_are_readable_in_the_file(tmp_path: Path) -> None:
    source = written(tmp_path / "source", bundle_bytes(bundle(), whole=True))
    copy_with_temperature(source, tmp_path / "target", 2.0)
    for path in (source, tmp_path / "target"):
        with safe_open(str(path), framework="pt") as file:
            assert '"ünïcode"' in file.metadata()[ENTRY]
        assert "ünïcode".encode() in path.read_bytes()


def test_a_head_whose_network_comes_with_a_missing_extra_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingExtra("a network with weights of a package", "lite")

    path = tmp_path / "head.safetensors"
    path.write_bytes(bundle_bytes(bundle(), whole=False))
    monkeypatch.setattr(bundle_module, "create_backbone", missing)
    with pytest.raises(MissingExtra, match=r"^a network with weights of a package needs .*headstart\[lite\]"):
        read_bundle(path, agreed=True)
