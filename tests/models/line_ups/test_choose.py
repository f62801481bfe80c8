from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from headstart.errors import ModelError, SpecError
from headstart.models.create import create_backbone
from headstart.models.freeze import fingerprint
from headstart.models.line_ups import choose as module
from headstart.models.line_ups.choose import CPU_MACS, MOST, NamedNetwork, cheap, check_licence, choose_networks
from headstart.models.line_ups.table import BY_NAME, CANDIDATES, LineUpNetwork
from tests.support.weights_cache import described, empty_caches, put_marker, put_random

Patch = pytest.MonkeyPatch
LITES = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


@pytest.fixture
def cache(monkeypatch: Patch, tmp_path: Path) -> Path:
    return empty_caches(monkeypatch, tmp_path)


def names(asked: str | Sequence[str], **options: object) -> list[str]:
    return [each.name for each in choose_networks(asked, **options).networks]  # type: ignore[arg-type]


def online(monkeypatch: Patch) -> None:
    monkeypatch.setattr(module, "why_not_fetched", lambda: None)


@pytest.mark.parametrize("line_up", ["auto", "embedded", "fast", "strong"])
def test_offline_with_empty_caches_every_line_up_is_the_embedded_one(line_up: str, cache: Path) -> None:
    assert names(line_up) == LITES


def test_auto_takes_what_is_cached_best_first_and_keeps_the_embedded(cache: Path) -> None:
    for name in ("resnet50", "mobilenetv4_small", "dinov2_small", "dinov2_small_reg"):
        if name != "resnet50":
            put_marker(cache, name)
    found = choose_networks("auto")
    assert [each.name for each in found.networks] == ["dinov2_small", "mobilenetv4_small", *LITES]  # one of each source
    assert found.networks[0] == NamedNetwork("dinov2_small", "timm:lvd142m")
    assert found.networks[-1] == NamedNetwork("efficientnet_lite2", "imagenet")


def test_auto_says_in_one_line_what_it_took_and_what_it_would_take(cache: Path, monkeypatch: Patch) -> None:
    words = choose_networks("auto", fits=cheap("cpu")).words
    assert "\n" not in words and words.startswith(
        "networks: efficientnet_lite0, efficientnet_lite1, efficientnet_lite2"
    )
    assert "with internet also dinov2_small (downloads 87 MB, Apache-2.0), convnext_small" in words
    assert words.endswith("(now HF_HUB_OFFLINE is set)")
    online(monkeypatch)
    words = choose_networks("auto", fits=cheap("cpu")).words
    assert words.startswith("networks: dinov2_small (downloads 87 MB, Apache-2.0), ") and "with internet" not in words


def test_auto_fetches_open_weights_only_and_takes_restricted_ones_where_they_are(
    cache: Path, monkeypatch: Patch
) -> None:
    online(monkeypatch)
    assert names("auto")[:MOST] == ["dinov2_base", "pe_base", "siglip2_base"]
    assert names("auto", fetch=False) == LITES
    put_marker(cache, "dinov3_base")
    assert names("auto")[:MOST] == ["dinov3_base", "dinov2_base", "pe_base"]
    assert "dinov3_base" not in names("auto", licence="open")


def test_fast_and_strong_are_fixed(cache: Path, monkeypatch: Patch) -> None:
    online(monkeypatch)
    assert names("fast") == ["mobilenetv4_hybrid", "mobilenetv4_small", "resnet18", *LITES]
    assert names("strong") == ["dinov2_base", "dinov2_small", "pe_base", "siglip2_base", "convnext_small", *LITES]


def test_on_a_cpu_auto_takes_no_slow_network_and_a_limit_never_drops_the_embedded(
    cache: Path, monkeypatch: Patch
) -> None:
    online(monkeypatch)
    taken = names("auto", fits=cheap("cpu"))
    assert taken[0] == "dinov2_small" and all(BY_NAME[name].macs <= CPU_MACS for name in taken)
    assert cheap("cuda") is None
    assert names("auto", fits=lambda _: False) == LITES


def test_a_limit_counts_what_was_taken_before_and_the_embedded(cache: Path, monkeypatch: Patch) -> None:
    online(monkeypatch)
    asked: list[list[str]] = []

    def fits(taken: Sequence[LineUpNetwork]) -> bool:
        asked.append([each.name for each in taken])
        return sum(each.macs for each in taken) < 9e9

    assert names("auto", fits=fits)[:2] == ["dinov2_small", "mobilenetv4_small"]  # 9.2 G with the hybrid
    assert all(each[-3:] == LITES for each in asked)


def test_names_take_the_weights_of_the_table_and_others_imagenets(cache: Path) -> None:
    found = choose_networks("resnet50, resnet34 ,resnet50").networks
    assert found == (NamedNetwork("resnet50", "torchvision:IMAGENET1K_V2"), NamedNetwork("resnet34", "imagenet"))
    assert names(["dinov3_small"]) == ["dinov3_small"]  # asked for by name


def test_a_bad_name_is_answered_in_one_line_with_the_nearest(cache: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown backbone 'dinov2_smal'; did you mean dinov2_small") as caught:
        choose_networks("resnet18,dinov2_smal")
    assert "\n" not in str(caught.value)
    with pytest.raises(
        ModelError, match=r"unknown backbone 'quick' .*; the line-ups are auto, embedded, fast, strong$"
    ):
        choose_networks("quick")
    with pytest.raises(SpecError, match="'fast' is a line-up and cannot be mixed with names"):
        choose_networks("fast,resnet18")


def test_a_licence_leaves_out_what_is_not_open(cache: Path) -> None:
    assert names("convnextv2_nano,resnet18", licence="open") == ["resnet18"]
    with pytest.raises(SpecError, match="no network is left with an open licence of convnextv2_nano"):
        choose_networks("convnextv2_nano", licence="open")
    with pytest.raises(SpecError, match="unknown licence 'mit'"):
        check_licence("mit")
    check_licence(None)


def test_what_a_licence_leaves_out_is_said_with_its_own(cache: Path) -> None:
    licence = BY_NAME["convnextv2_nano"].licence.name
    found = choose_networks("convnextv2_nano,resnet18", licence="open")
    assert found.words == f"left out, since not under an open licence: convnextv2_nano ({licence})"
    assert choose_networks("resnet18", licence="open").words == ""


@pytest.mark.parametrize("asked", ["", " , ", [""]])
def test_no_name_is_not_a_line_up(asked: str | list[str], cache: Path) -> None:
    with pytest.raises(SpecError, match=r"networks: none is named; give names, or a line-up \(auto, embedded"):
        choose_networks(asked)


def test_without_any_network_the_message_says_why(cache: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(module, "place_of", lambda _: None)
    with pytest.raises(
        SpecError, match=r"no network of the line-up 'fast' is on this machine \(HF_HUB_OFFLINE is set\)"
    ):
        choose_networks("fast")


def test_weights_found_in_a_cache_are_those_that_are_loaded(cache: Path) -> None:
    place = put_random(cache, "mobilenetv4_small")
    assert "random weights" in described(place)["stand_in"]
    network = choose_networks("auto").networks[0]
    backbone, weights = create_backbone(network.name, network.weights, download=False)
    random, _ = create_backbone(network.name, seed=7)
    assert network.name == "mobilenetv4_small" and weights.origin == "timm mobilenetv4_conv_small.e2400_r224_in1k"
    assert fingerprint(backbone.stages) == fingerprint(random.stages)
    assert {each.name for each in CANDIDATES} >= {network.name}
