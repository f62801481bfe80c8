"""The conformance table has a row for each network, says where a check does not apply, and shows what fails."""

from __future__ import annotations

import pytest

from headstart.models.backbone import Backbone
from tests.conformance import table
from tests.conformance.test_backbone_families import FAST, Member

LENET = next(member for member in FAST if member.name == "lenet5")


def test_a_row_has_the_numbers_of_cut_points_and_says_where_a_check_does_not_apply() -> None:
    checks = {name: table.CHECKS[name] for name in ("forward", "cuts", "truncated", "groups", "LoRA", "rollout")}
    assert table.line(LENET, checks) == ["`lenet5`", "–", "4", "4", "yes", "yes", "refused"]


def test_a_fault_of_a_network_is_a_cell_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(member: Member) -> str:
        raise ValueError("\nthe first line | of two\nthe second")

    monkeypatch.setattr(table, "CHECKS", {"groups": table.groups, "wrong": wrong})
    groups = Backbone.parameter_groups
    assert table.main(["--only", "lenet5"]) == 1
    assert "| `lenet5` | yes | **fails**: the first line \\| of two |" in capsys.readouterr().out
    monkeypatch.setattr(Backbone, "parameter_groups", lambda self: list(groups(self))[:-1])
    monkeypatch.setattr(table, "CHECKS", {"groups": table.groups})
    assert table.main(["--only", "lenet5"]) == 1
    assert "1 networks, 1 of 1 cells failed" in capsys.readouterr().out


def test_a_network_is_asked_for_by_the_name_that_the_table_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table, "CHECKS", {"library": lambda member: member.library})
    assert table.main(["--all", "--only", "torchvision/vgg11_bn"]) == 0
    assert "| `torchvision/vgg11_bn` | torchvision |\n\n1 networks" in capsys.readouterr().out
