from __future__ import annotations

import pytest
import torchvision

from headstart.models.describe import describe
from headstart.models.line_ups.choose import NamedNetwork, choose_networks
from headstart.models.line_ups.table import (
    BY_NAME,
    CANDIDATES,
    EMBEDDED,
    FAST,
    SPECIAL,
    STRONG,
    SUPERVISED,
    LineUpNetwork,
)
from headstart.models.weights.registry import EMBEDDED as FILES
from headstart.models.weights.registry import timm_weights

SMALL = ("aerial_resnet18", "efficientnet_lite0", "mobilenetv4_small", "resnet18")


def test_every_weight_that_the_table_names_is_published() -> None:
    for each in CANDIDATES:
        library, _, tag = each.weights.partition(":")
        if library == "timm":
            cfg = timm_weights(each.architecture.name)[tag]
            assert cfg["hf_hub_id"], each.name
        elif library == "torchvision":
            assert tag in torchvision.models.get_model_weights(each.architecture.name).__members__
        else:
            assert each.architecture.name in FILES and EMBEDDED in each.line_ups


def test_no_two_rows_have_one_name() -> None:
    assert len(BY_NAME) == len(CANDIDATES) + len(SPECIAL)


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(each, marks=() if each.name in SMALL else pytest.mark.slow, id=each.name)
        for each in (*CANDIDATES, *SPECIAL)
    ],
)
def test_sizes_are_those_that_headstart_counts(each: LineUpNetwork) -> None:
    found = describe(each.name, each.size)
    assert (each.parameters, each.macs, each.size) == (found["parameters"], found["macs"], found["input_size"])


def test_figures_of_torchvisions_weights_are_those_of_its_metadata() -> None:
    for name in ("resnet18", "resnet50"):
        known = BY_NAME[name]
        weights = torchvision.models.get_model_weights(name)[known.weights.partition(":")[2]]
        assert known.figures[0].value == round(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"], 1)


def test_the_order_follows_figures_of_one_kind_within_one_kind_of_source() -> None:
    groups: dict[tuple[str, str, bool], list[float]] = {}
    for each in CANDIDATES:
        figure = each.figures[0]
        more = "," in each.source_data  # more than ImageNet-1k, as "ImageNet-21k, ImageNet-1k"
        groups.setdefault((figure.how, figure.data, more), []).append(figure.value)
    assert all(values == sorted(values, reverse=True) for values in groups.values()), groups
    plain = [each.figures[0].how == SUPERVISED for each in CANDIDATES]
    assert plain == sorted(plain)  # frozen features first


def test_every_figure_has_a_source_and_every_network_a_licence() -> None:
    for each in CANDIDATES:
        assert each.licence.status in ("open", "restricted") and each.licence.source, each.name
        assert each.figures and all(figure.source and 0 < figure.value < 100 for figure in each.figures), each.name


def test_fixed_line_ups_are_short_and_keep_the_embedded_networks() -> None:
    members = {name: [each.name for each in CANDIDATES if name in each.line_ups] for name in (EMBEDDED, FAST, STRONG)}
    assert members[EMBEDDED] == ["efficientnet_lite2", "efficientnet_lite1", "efficientnet_lite0"]
    assert set(members[EMBEDDED]) < set(members[FAST]) and set(members[EMBEDDED]) < set(members[STRONG])
    assert max(BY_NAME[name].macs for name in members[FAST]) < 2e9 and len(members[STRONG]) <= 10


def test_dinov2_has_its_published_linear_probes() -> None:
    figures = {figure.data: figure.value for figure in BY_NAME["dinov2_small"].figures}
    assert figures == {"ImageNet-1k": 81.1, "Caltech-101": 97.0, "CIFAR-100": 87.5}
    assert BY_NAME["dinov2_small"].licence.name == "Apache-2.0"


def test_networks_for_pictures_of_one_kind_are_in_no_line_up_and_are_taken_by_name() -> None:
    assert all(not each.line_ups and each.licence.status == "unknown" for each in SPECIAL)
    assert choose_networks("aerial_resnet18").networks == (NamedNetwork("aerial_resnet18", "aerial"),)
    assert "aerial_resnet18" not in {each.name for each in choose_networks("auto", fetch=False).networks}
