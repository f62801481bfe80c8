from __future__ import annotations

import urllib.error
from pathlib import Path

import pytest

from headstart.models.line_ups import at_hand
from headstart.models.line_ups.at_hand import disk_bytes, place_of, why_not_fetched
from headstart.models.line_ups.table import BY_NAME
from headstart.models.weights.registry import torchvision_weights
from tests.support.weights_cache import empty_caches, put_marker

Patch = pytest.MonkeyPatch


def test_embedded_weights_are_at_hand_and_others_are_not(monkeypatch: Patch, tmp_path: Path) -> None:
    empty_caches(monkeypatch, tmp_path)
    here = place_of(BY_NAME["efficientnet_lite0"])
    assert here is not None and disk_bytes(BY_NAME["efficientnet_lite0"]) == here.stat().st_size
    small = BY_NAME["dinov2_small"]
    assert place_of(small) is None and disk_bytes(small) == 4 * small.parameters


def test_both_caches_are_looked_into(monkeypatch: Patch, tmp_path: Path) -> None:
    cache = empty_caches(monkeypatch, tmp_path)
    assert place_of(BY_NAME["dinov2_small"]) is None
    place = put_marker(cache, "dinov2_small")
    assert place_of(BY_NAME["dinov2_small"]) == place
    url = torchvision_weights("resnet18")["IMAGENET1K_V1"].url
    file = tmp_path / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    assert place_of(BY_NAME["resnet18"]) is None  # empty
    file.write_bytes(b"x")
    assert place_of(BY_NAME["resnet18"]) == file


@pytest.mark.parametrize("kept", [0, 4, 20, -1])
def test_a_download_cut_short_is_not_at_hand(kept: int, monkeypatch: Patch, tmp_path: Path) -> None:
    place = put_marker(empty_caches(monkeypatch, tmp_path), "dinov2_small")
    assert place_of(BY_NAME["dinov2_small"]) == place
    place.write_bytes(place.read_bytes()[:kept])
    assert place_of(BY_NAME["dinov2_small"]) is None


def test_nothing_is_fetched_where_it_is_forbidden(monkeypatch: Patch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(at_hand, "_hub_answers", lambda: True)
    assert why_not_fetched() is None
    monkeypatch.setenv("CI", "true")
    assert why_not_fetched() == "CI is set"
    monkeypatch.setenv("HF_HUB_OFFLINE", "YES")
    assert why_not_fetched() == "HF_HUB_OFFLINE is set"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("CI", "")
    monkeypatch.setattr(at_hand, "_hub_answers", lambda: False)
    assert why_not_fetched() == "no internet"


@pytest.mark.parametrize(
    ("error", "answers"),
    [
        (urllib.error.URLError("no route"), False),
        (TimeoutError(), False),
        (urllib.error.HTTPError("https://hub", 405, "method not allowed", None, None), True),  # type: ignore[arg-type]
    ],
)
def test_a_hub_that_refuses_is_there_and_one_that_is_silent_is_not(
    error: Exception, answers: bool, monkeypatch: Patch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(at_hand.urllib.request, "urlopen", refuse)
    at_hand._hub_answers.cache_clear()
    assert at_hand._hub_answers() is answers
    at_hand._hub_answers.cache_clear()
