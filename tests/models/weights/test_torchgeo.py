"""Weights for bands: what torchgeo's table says, what its transforms do, and the numbers that its own networks give."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.transforms import v2

from headstart.bands import BandChoice, Bands
from headstart.errors import MissingExtra, WeightsAbsent, WeightsError
from headstart.models.architectures.catalogue import Architecture, find_architecture
from headstart.models.create import check_at_hand, create_backbone, find_weights
from headstart.models.first_layer import with_bands
from headstart.models.preprocessing import normalise
from headstart.models.weights import torchgeo
from headstart.models.weights.licences import UNKNOWN
from headstart.models.weights.registry import licence_of, weights_of
from headstart.models.weights.torchgeo import Listed, is_known, named_weights, torchgeo_weights

SENTINEL = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8a", "B9", "B10", "B11", "B12")
RESNET18 = Architecture("timm", "resnet18")
MEAN, STD = [1600.0, 1400.0, 20.0, 2000.0], [800.0, 900.0, 50.0, 1300.0]
FOUR = ("B2", "B3", "B10", "B8a")


def entry(name: str, url: str, bands: tuple[str, ...] | None, transforms: nn.Module, **meta: Any) -> SimpleNamespace:
    """Return an entry as torchgeo's table has them."""
    channels = {"in_chans": 3 if bands is None else len(bands), **({} if bands is None else {"bands": list(bands)})}
    return SimpleNamespace(name=name, url=url, transforms=transforms, meta={**channels, **meta})


@pytest.fixture
def random_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of random numbers for four bands in torch's folder, listed as `FOUR`; nothing can be downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: pytest.fail("it was fetched"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(5)
    state = timm.create_model("resnet18", in_chans=4, num_classes=0).state_dict()
    torch.save(state, folder / "random.pth")
    digest = hashlib.sha256((folder / "random.pth").read_bytes()).hexdigest()
    path = (folder / "random.pth").rename(folder / f"random-{digest[:8]}.pth")
    transforms = nn.Sequential(v2.Resize((256, 256)), v2.CenterCrop(224), v2.Normalize(MEAN, STD))
    listed = [entry("FOUR", f"https://example.org/{path.name}", FOUR, transforms)]
    monkeypatch.setattr(torchgeo, "_is_installed", lambda: True)
    monkeypatch.setattr(torchgeo, "table", lambda name: listed if name == "resnet18" else [])
    return path


def bands(names: tuple[str, ...], low: float = 0.0, high: float = 25500.0) -> Bands:
    count = len(names)
    choice = BandChoice(tuple(range(count)), names, (0, 0, 0), count, "uint16")
    zeros = (0.0,) * count
    return Bands(choice, (low,) * count, (high,) * count, (0.4,) * count, (0.2,) * count, zeros, (255.0,) * count)


def transformed(listed: Listed) -> tuple[float, float, int, int, str]:
    needs = listed.preprocessing
    return needs.mean[0] * 255, needs.std[0] * 255, needs.size, needs.resize, needs.interpolation


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (nn.Sequential(v2.Resize((256, 256)), v2.CenterCrop(224), v2.Normalize([0], [10000])), (0, 10000, 224, 256)),
        (nn.Sequential(v2.Normalize([0], [10000]), v2.Resize((224, 224))), (0, 10000, 224, 224)),
        (nn.Sequential(v2.CenterCrop(256), v2.Normalize([4000], [16320])), (4000, 16320, 256, 256)),
        (nn.Identity(), (0, 1, 224, 224)),
        (v2.Normalize([0.5], [0.25]), (0.5, 0.25, 224, 224)),
        # ((x - 10) / 5 - 2) / 4 = (x - 20) / 20
        (nn.Sequential(v2.Normalize([10], [5]), nn.Sequential(v2.Normalize([2], [4]))), (20, 20, 224, 224)),
    ],
)
def test_statistics_and_sizes_are_those_of_the_transform(transform: nn.Module, expected: tuple[float, ...]) -> None:
    found = transformed(Listed("torchgeo X", "https://example.org/x.pth", ("B1", "B2"), None, transform))
    np.testing.assert_allclose(found[:4], expected, rtol=1e-12)
    assert found[4] == "bilinear"


def test_another_step_in_a_transform_is_refused() -> None:
    listed = Listed("torchgeo X.Y", "", ("B1",), None, nn.Sequential(v2.RandomInvert()))
    with pytest.raises(WeightsError, match=r"torchgeo X\.Y cannot be used: its transform has a RandomInvert"):
        _ = listed.preprocessing


def test_features_are_those_of_the_library_on_the_numbers_in_the_files(random_file: Path) -> None:
    backbone, weights = create_backbone("resnet18", "torchgeo:FOUR")
    assert backbone.input_bands == FOUR and weights.licence == UNKNOWN and not weights.report.missing
    numbers = torch.randint(0, 256, (2, 4, 224, 224), generator=torch.Generator().manual_seed(0)) * 100
    network = timm.create_model("resnet18", in_chans=4, num_classes=0)
    network.load_state_dict(torch.load(random_file, weights_only=True))
    with torch.inference_mode():
        theirs = network.eval()(v2.Normalize(MEAN, STD)(numbers.float()))
        ours = backbone.eval()(normalise(numbers, weights.preprocessing))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_bands_in_another_order_and_scaled_by_their_ranges_give_the_same(random_file: Path) -> None:
    numbers = torch.randint(0, 256, (2, 4, 224, 224), generator=torch.Generator().manual_seed(0)) * 100 + 300
    native, weights = create_backbone("resnet18", "torchgeo:FOUR")
    order = [2, 0, 3, 1]
    read = bands(("b10", "B02", "B8A", "B03"), 300.0, 25800.0)
    found = with_bands(create_backbone("resnet18", "torchgeo:FOUR")[0], read)
    with torch.inference_mode():
        expected = native.eval()(normalise(numbers, weights.preprocessing))
        pixels = (numbers[:, order] - 300) / 100  # as the bands' range makes them
        seen = found.eval()(normalise(pixels, found.preprocessing))
        short = with_bands(create_backbone("resnet18", "torchgeo:FOUR")[0].truncate("stage2"), read).eval()
        cut = short(normalise(pixels, short.preprocessing))
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(cut, native.truncate("stage2").eval()(normalise(numbers, weights.preprocessing)))
    assert with_bands(found, read) is found and found.preprocessing.bands == read
    torch.testing.assert_close(found(normalise(pixels, found.preprocessing)), seen)


def test_a_file_under_its_published_name_is_known_by_it(random_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / random_file.name
    copy.write_bytes(random_file.read_bytes())
    backbone, weights = create_backbone("resnet18", copy)
    assert backbone.input_bands == FOUR and weights.preprocessing.std[0] * 255 == pytest.approx(800)
    other = tmp_path / "random-00000000.pth"
    other.write_bytes(random_file.read_bytes())
    with pytest.raises(WeightsError, match="belongs to another architecture"):
        create_backbone("resnet18", other)


def test_a_file_that_its_name_does_not_fit_is_refused(random_file: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 4, 7, 7)}, random_file)
    with pytest.raises(WeightsError, match=rf"{random_file.name}: its sha256 is .*: delete it"):
        create_backbone("resnet18", "torchgeo:FOUR")


def test_a_model_file_alone_is_no_reason_to_download(random_file: Path) -> None:
    check_at_hand(Path("model"), "torchgeo:FOUR")  # a published name may be opened from the cache
    random_file.unlink()
    with pytest.raises(WeightsAbsent, match=r"random-.*\.pth are not here"):
        find_weights(RESNET18, "torchgeo:FOUR", download=False)


def test_the_table_says_bands_and_licence(random_file: Path) -> None:
    row = weights_of(RESNET18)[-1]
    assert row["weights"] == "torchgeo:FOUR" and row["bands"] == "B2, B3, B10, B8a" and row["licence"] == UNKNOWN
    assert licence_of(RESNET18, "torchgeo:FOUR").status == UNKNOWN
    with pytest.raises(WeightsError, match=r"torchgeo has no weights 'FIVE' for resnet18 \(known: FOUR\)"):
        named_weights(RESNET18, "FIVE")
    with pytest.raises(WeightsError, match=r"torchgeo has no weights of resnet34"):
        named_weights(find_architecture("resnet34"), "FOUR")


def test_three_channels_without_names_are_red_green_and_blue(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [entry("RGB", "https://example.org/a.pth", None, nn.Identity(), license="CC-BY-NC-4.0")]
    monkeypatch.setattr(torchgeo, "_is_installed", lambda: True)
    monkeypatch.setattr(torchgeo, "table", lambda name: listed)
    assert torchgeo_weights(RESNET18)["RGB"].bands == ("R", "G", "B")
    assert licence_of(RESNET18, "torchgeo:RGB").status == "restricted"


def test_without_torchgeo_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchgeo, "_is_installed", lambda: False)
    assert torchgeo_weights(RESNET18) == {}
    with pytest.raises(MissingExtra, match=r"torchgeo:X needs .*pip install 'headstart\[torchgeo\]'"):
        create_backbone("resnet18", "torchgeo:X")


def test_swin_is_torchvisions_and_resnet_is_timms() -> None:
    assert is_known(find_architecture("swin_v2_t")) and is_known(find_architecture("resnet18"))
    assert not is_known(find_architecture("torchvision/resnet18")) and not is_known(find_architecture("swin_tiny"))


@pytest.mark.skipif(find_spec("torchgeo") is None, reason="needs the extra torchgeo")
@pytest.mark.parametrize(
    ("name", "tag"),
    [("resnet50", "SENTINEL2_ALL_SOFTCON"), ("vit_small_patch16_224", "SENTINEL2_ALL_MAE"), ("swin_v2_t", "RANDOM")],
)
def test_features_are_those_of_torchgeos_own_network_and_transform(
    name: str, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are random numbers under the names of published ones, read by torchgeo and by headstart."""
    import torchgeo.models as library

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = library.get_model_weights(name)
    weights = next((each for each in published if each.name == tag), None) or next(iter(published))
    torch.manual_seed(1)
    options = {"in_chans": weights.meta["in_chans"]} if name != "swin_v2_t" else {}
    network = library.get_model(name, **options)
    if name == "swin_v2_t":
        network.features[0][0] = nn.Conv2d(weights.meta["in_chans"], 96, 4, 4)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path = folder / weights.url.rpartition("/")[2]
    torch.save(network.state_dict(), path)
    monkeypatch.setattr("headstart.models.create.hash_in", lambda name: None)  # of random numbers it cannot be right
    theirs = library.get_model(name, weights=weights).eval()
    backbone, ours = create_backbone(name, f"torchgeo:{weights.name}")
    assert ours.report.missing == () and backbone.input_bands == tuple(weights.meta["bands"])
    size = ours.preprocessing.size
    numbers = torch.randint(0, 4000, (2, weights.meta["in_chans"], size, size)).float()
    normalised = next(step for step in weights.transforms if type(step).__name__ == "Normalize")(numbers.clone())
    if hasattr(theirs, "head_drop") or hasattr(theirs, "fc"):
        theirs.reset_classifier(0)
    else:
        theirs.head = nn.Identity()
    with torch.inference_mode():
        expected = theirs(normalised)
        found = backbone.eval()(normalise(numbers, ours.preprocessing))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(find_spec("torchgeo") is None, reason="needs the extra torchgeo")
def test_every_entry_of_torchgeos_table_is_read() -> None:
    known = [Architecture(library, name) for library, names in torchgeo.NETWORKS.items() for name in names]
    listed = [each for architecture in known for each in torchgeo_weights(architecture).values()]
    assert len(listed) >= 100
    for each in listed:
        needs = each.preprocessing
        assert len(needs.mean) == len(needs.std) == len(each.bands) and min(needs.std) > 0
        probe = torch.full((1, len(each.bands), 512, 512), 3000.0)
        out = each.transform(probe.clone())
        torch.testing.assert_close(
            normalise(probe[..., :1, :1], needs), out[..., :1, :1].float(), rtol=1e-4, atol=1e-4, msg=each.origin
        )
        assert len(set(each.bands)) == len(each.bands)
