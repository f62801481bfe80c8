from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import SpecError
from headstart.models.line_ups.choose import NamedNetwork
from headstart.models.line_ups.table import BY_NAME, LineUpNetwork
from headstart.study.planning import networks as module
from headstart.study.planning.networks import SHARE, networks_for, seconds_per_image, within
from tests.support.weights_cache import empty_caches, put_marker

Patch = pytest.MonkeyPatch
LITES = [NamedNetwork(f"efficientnet_lite{i}", "imagenet") for i in range(3)]


@pytest.fixture(autouse=True)
def cache(monkeypatch: Patch, tmp_path: Path) -> Path:
    monkeypatch.setattr(module, "default_device", lambda: "cpu")
    return empty_caches(monkeypatch, tmp_path)


def test_by_default_a_comparison_takes_what_is_here_and_says_nothing(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert networks_for(100, None, None) == LITES
    put_marker(cache, "dinov2_small")
    assert networks_for(100, None, None) == [NamedNetwork("dinov2_small", "timm:lvd142m"), *LITES]
    assert capsys.readouterr().err == ""
    networks_for(100, None, "auto")
    said = capsys.readouterr().err
    assert said.startswith("networks: dinov2_small, efficientnet_lite0")
    networks_for(100, None, ["auto"])
    assert capsys.readouterr().err == said


def test_backbones_have_imagenet_weights_and_exclude_networks() -> None:
    assert networks_for(100, ["resnet50", "lenet5"], None) == [
        NamedNetwork("resnet50", "imagenet"),
        NamedNetwork("lenet5", "imagenet"),
    ]
    with pytest.raises(SpecError, match="networks or backbones, not both"):
        networks_for(100, ["resnet50"], "auto")


def test_a_licence_filters_backbones_too() -> None:
    assert networks_for(100, ["convnextv2_nano", "resnet50"], None, licence="open") == [
        NamedNetwork("resnet50", "imagenet")
    ]
    with pytest.raises(SpecError, match="no network is left with an open licence"):
        networks_for(100, ["convnextv2_nano"], None, licence="open")
    with pytest.raises(SpecError, match="unknown licence"):
        networks_for(100, ["resnet50"], None, licence="gpl")


def test_without_installed_weights_the_baselines_are_compared_alone(monkeypatch: Patch) -> None:
    monkeypatch.setattr("headstart.models.line_ups.choose.place_of", lambda _: None)
    assert networks_for(100, None, None) == []
    with pytest.raises(SpecError, match="no network of the line-up"):
        networks_for(100, None, "auto")


def test_a_budget_decides_by_the_speed_measured_here(cache: Path, monkeypatch: Patch) -> None:
    speed = {"dinov2_small": 0.5, "efficientnet_lite0": 0.05, "efficientnet_lite1": 0.1, "efficientnet_lite2": 0.15}
    monkeypatch.setattr(module, "seconds_per_image", lambda each: speed[each.name])
    put_marker(cache, "dinov2_small")
    needed = 100 * sum(speed.values()) / SHARE  # 160 s
    assert networks_for(100, None, "auto", budget=f"{1.001 * needed}s")[0].name == "dinov2_small"
    assert networks_for(100, None, "auto", budget=f"{0.999 * needed}s") == LITES


def test_a_network_far_over_the_budget_is_not_even_measured(monkeypatch: Patch) -> None:
    asked: list[str] = []

    def measured(each: LineUpNetwork) -> float:
        asked.append(each.name)
        return 0.01

    monkeypatch.setattr(module, "seconds_per_image", measured)
    assert not within(1000, 20.0)([BY_NAME["dinov2_base"]])
    assert asked == ["efficientnet_lite0"]
    assert within(1000, 1e6, measure=False)([BY_NAME["dinov2_base"]])
    assert asked == ["efficientnet_lite0"] * 2


@pytest.mark.long
def test_the_speed_is_measured_once(monkeypatch: Patch) -> None:
    small = BY_NAME["mobilenetv4_small"]
    first = seconds_per_image(small)
    assert 0 < first < 60 and seconds_per_image(small) == first
