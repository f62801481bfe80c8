from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.spec.load import load_study
from headstart.study.spec.networks import proxy_images, with_weights
from tests.support.weights_cache import empty_caches, put_marker

LITES = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return empty_caches(monkeypatch, tmp_path)


def study(**settings: Any) -> dict[str, Any]:
    runs = {"floor": {"backbone": "pixels", "strategy": "logistic"}, "probe": {"strategy": "ridge"}}
    return {"name": "s", "data": "photos", "runs": runs, **settings}


def test_every_run_without_a_backbone_is_made_for_each_network(cache: Path) -> None:
    put_marker(cache, "dinov2_small")
    found = load_study(study(networks="auto"))
    chosen = ["dinov2_small", *LITES]
    assert [run.name for run in found.runs] == ["floor", *(f"probe · {name}" for name in chosen)]
    assert [run.spec.backbone for run in found.runs] == ["pixels", *chosen]
    assert [run.spec.weights.name for run in found.runs] == ["imagenet", "timm:lvd142m", *["imagenet"] * 3]
    assert found.runs[1].axes == {"backbone": "dinov2_small"}


def test_auto_takes_large_networks_that_are_at_hand_only_where_there_is_a_gpu(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dinov2_base", "dinov2_small"):  # of 23 and of 6 billion multiply-adds
        put_marker(cache, name)
    for device, best in (("cpu", "dinov2_small"), ("cuda", "dinov2_base")):  # of one kind the best only
        monkeypatch.setattr("headstart.study.spec.networks.default_device", lambda device=device: device)
        found = [run.spec.backbone for run in load_study(study(networks="auto")).runs]
        assert found == ["pixels", best, *LITES]


def test_a_line_up_in_a_list_is_the_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    plain, listed = load_study(study(networks="auto")), load_study(study(networks=["auto"]))
    assert [run.name for run in listed.runs] == [run.name for run in plain.runs]
    one, other = capsys.readouterr().err.splitlines()
    assert one == other and one.startswith("networks: ")


def test_networks_multiply_with_each_and_leave_weights_that_a_run_says() -> None:
    runs = {
        "random": {"weights": "none", "strategy": "ridge"},
        "scratch": {"strategy": "scratch"},
        "heads": {"strategy": {"each": ["ridge", "knn"]}},
        "carried": {"weights": {"run": "scratch · resnet18"}, "backbone": "resnet18"},
        "from a file": {"weights": {"path": "w.safetensors"}},
    }
    found = {run.name: run.spec for run in load_study(study(networks=["resnet18"], runs=runs)).runs}
    assert list(found) == [
        "random · resnet18",
        "scratch · resnet18",
        "heads · ridge · resnet18",
        "heads · knn · resnet18",
        "from a file",
        "carried",
    ]
    assert found["random · resnet18"].weights.name == found["scratch · resnet18"].weights.name == "none"
    assert found["heads · knn · resnet18"].weights.name == "torchvision:IMAGENET1K_V1"


def test_it_is_said_in_one_line_what_was_taken(capsys: pytest.CaptureFixture[str]) -> None:
    load_study(study(networks="embedded"))
    assert capsys.readouterr().err.strip() == f"networks: {', '.join(LITES)}"


def test_a_bad_name_has_the_line_and_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("name: s\ndata: photos\nnetworks: dinov2_smal\nruns: {probe: {strategy: ridge}}\n")
    with pytest.raises(SpecError, match=r"s\.yaml, line 3: networks: unknown backbone 'dinov2_smal'; did you mean"):
        load_study(file)


def test_a_licence_filters_and_contradictions_are_refused() -> None:
    found = load_study(study(networks=["convnextv2_nano", "resnet18"], licence="open"))
    assert [run.spec.backbone for run in found.runs] == ["pixels", "resnet18"]
    with pytest.raises(SpecError, match=r"networks and defaults\.backbone exclude each other"):
        load_study(study(networks="auto", defaults={"backbone": "resnet18"}))
    with pytest.raises(SpecError, match="give networks, too"):
        load_study(study(licence="open"))


def test_weights_are_those_of_the_line_up() -> None:
    networks = {"dinov2_small": "timm:lvd142m"}
    assert with_weights({"backbone": "dinov2_small"}, networks)["weights"] == "timm:lvd142m"
    assert "weights" not in with_weights({"backbone": "resnet18"}, networks)
    assert with_weights({"backbone": "dinov2_small", "weights": "none"}, networks)["weights"] == "none"


def test_strong_has_a_proxy_pass_by_default_if_there_is_a_budget(capsys: pytest.CaptureFixture[str]) -> None:
    def images(**settings: Any) -> int | None:
        return proxy_images(load_study(study(**settings)).spec)

    assert images(networks="strong", budget="1h") == images(networks=["strong"], budget="1h") == 400
    assert images(networks="strong", budget="1h", proxy=50) == images(networks="fast", budget="1h", proxy=50) == 50
    assert images(networks="fast", budget="1h") is None and images(networks=LITES, budget="1h") is None
    assert images(networks="strong", halving={"eta": 3}) is None  # which decides what is run in full
    assert "without a budget" not in capsys.readouterr().err
    assert images(networks="strong") is None
    networks, line = capsys.readouterr().err.strip().splitlines()
    assert networks.startswith("networks: ") and line == (
        "without a budget, each of these networks is run on all images; with one, such as --budget 1h, those that 400"
        " training images show as the most promising go first"
    )
