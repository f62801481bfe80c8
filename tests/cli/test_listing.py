from __future__ import annotations

import json

import pytest

from headstart.cli.listing import show_backbones, show_datasets
from headstart.data.sources.catalogue import DATASETS
from headstart.errors import ModelError, SpecError
from headstart.models.create import ALIASES, create_backbone
from headstart.models.describe import list_backbones

Capture = pytest.CaptureFixture[str]


def test_every_known_dataset_has_a_row(capsys: Capture) -> None:
    show_datasets(None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "images", "classes", "size", "licence"]
    assert [line.split()[0] for line in lines[1 : len(DATASETS) + 1]] == sorted(DATASETS)
    row = next(line for line in lines if line.startswith(" cifar10 ")).split()
    assert row[1:3] == ["60,000", "10"] and lines[-1].startswith("details: headstart datasets NAME")


def test_one_dataset_is_shown_in_detail_and_an_unknown_one_refused(capsys: Capture) -> None:
    show_datasets("cifar10", as_json=True)
    assert list(json.loads(capsys.readouterr().out)) == ["cifar10"]
    show_datasets("cifar10", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "cifar10"] and ["classes", "10"] in [line.split() for line in lines]
    with pytest.raises(SpecError, match="unknown dataset 'cifar1000'; did you mean"):
        show_datasets("cifar1000", as_json=False)


def test_every_short_name_is_listed_with_its_architecture(capsys: Capture) -> None:
    show_backbones(None, as_json=False)
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()[1 : len(ALIASES) + 1]]
    assert rows == [[alias, target] for alias, target in sorted(ALIASES.items())]
    assert f"{len(list_backbones())} in all (--json lists them)" in out
    show_backbones(None, as_json=True)
    assert json.loads(capsys.readouterr().out) == list_backbones()


def test_the_stages_of_a_backbone_add_up(capsys: Capture) -> None:
    show_backbones("lenet5", as_json=False)
    out = capsys.readouterr().out
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
