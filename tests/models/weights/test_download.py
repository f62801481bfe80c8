"""Weights are fetched through the libraries' own caches, and what cannot be fetched is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from headstart.errors import WeightsAbsent, WeightsError
from headstart.models.create import create_backbone
from headstart.models.freeze import fingerprint
from headstart.models.weights import download as downloads
from headstart.models.weights.registry import torchvision_weights


def test_a_failed_download_says_which_file_to_fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(downloads.urllib.request, "urlopen", offline)
    with pytest.raises(WeightsError, match=r"fetch https://download\.pytorch\.org/models/alexnet-.*\.pth .*path"):
        create_backbone("alexnet", "imagenet")
    with pytest.raises(WeightsError, match=r"fetch https://huggingface\.co/timm/vit_tiny.*model\.safetensors") as found:
        create_backbone("vit_tiny", "imagenet")
    assert "\n" not in str(found.value)


def test_torchvisions_download_folder_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = torchvision_weights("shufflenet_v2_x0_5")["IMAGENET1K_V1"].url
    source, _ = create_backbone("torchvision/shufflenet_v2_x0_5", seed=9)
    keys = {ours: theirs for theirs, ours in source.original_keys.items()}
    path = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save({keys[key]: value for key, value in source.state_dict().items()}, path)
    backbone, weights = create_backbone("shufflenet_v2_x0_5", "imagenet")
    assert fingerprint(backbone) == fingerprint(source)
    assert weights.origin == "torchvision ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"
    assert (weights.preprocessing.size, weights.preprocessing.interpolation) == (224, "bilinear")


def test_a_file_in_the_download_folder_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: pytest.fail("it was fetched"))
    path = tmp_path / "hub" / "checkpoints" / "net-0123abcd.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert downloads.fetch_url("https://example.org/a/net-0123abcd.pth") == path


@pytest.mark.parametrize(("name", "prefix"), [("net-0123abcd.pth", "0123abcd"), ("net.pth", None)])
def test_the_hash_in_a_name_is_checked(
    name: str, prefix: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, str | None]] = []

    def fetch(url: str, path: str, hash_prefix: str | None, progress: bool) -> None:
        asked.append((path, hash_prefix))

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    path = downloads.fetch_url(f"https://example.org/{name}")
    assert asked == [(str(path), prefix)] and path.name == name


def test_a_configuration_without_a_source_is_refused() -> None:
    with pytest.raises(WeightsError, match="timm has no weights for net; give a local file"):
        downloads.fetch_timm({"architecture": "net"})


def test_a_configuration_with_a_url_is_fetched_by_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def altered(*_: object, **__: object) -> None:
        raise RuntimeError("invalid hash value")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", altered)
    with pytest.raises(WeightsAbsent, match=r"\(invalid hash value\); fetch https://example.org/net.pth on another"):
        downloads.fetch_timm({"architecture": "net", "url": "https://example.org/net.pth"})
