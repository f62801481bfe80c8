from __future__ import annotations

import os
from pathlib import Path

import pytest

from headstart.cli import main as cli
from headstart.cli.outputs import check_file, check_folder, check_writable
from headstart.errors import SpecError


def test_folders_that_exist_or_can_be_made_pass(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "deeper")
    check_file(tmp_path / "new" / "file.png")
    (tmp_path / "old.png").touch()
    check_file(tmp_path / "old.png")


@pytest.mark.parametrize("below", [".", "deeper", "deeper/still"])
def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SpecError, match=f"{file} is a file; choose a folder"):
        check_folder(file / below)


def test_a_folder_in_the_way_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is a folder; choose a file name"):
        check_file(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="file is a file; choose a folder"):
        check_file(tmp_path / "file" / "x.png")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda place, mode: (place, mode) != (tmp_path, os.W_OK))
    says = f"{tmp_path} cannot be written; choose another folder"
    with pytest.raises(SpecError, match=f"--out {tmp_path / 'new' / 'x.csv'}: {says}"):
        check_file(tmp_path / "new" / "x.csv")
    for place in (tmp_path, tmp_path / "new"):
        with pytest.raises(SpecError, match=f"--sort-into {place}: {says}"):
            check_writable(place, "--sort-into")
    (tmp_path / "new").mkdir()
    check_file(tmp_path / "new" / "x.csv")
    check_writable(tmp_path / "new")


@pytest.mark.parametrize(
    "command", ["audit none", "fewshot none", "export none", "evaluate none none", "update none none"]
)
def test_a_command_that_computes_first_refuses_a_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    real = os.access
    monkeypatch.setattr("os.access", lambda place, mode: place != tmp_path and real(place, mode))
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), "--out", str(tmp_path / "new")])
    assert ended.value.code == 2 and f"{tmp_path} cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo", "-o", "FILE"], "is a file; choose a folder"),
        (["run", "none.yaml", "-o", "FILE"], "is a file; choose a folder"),
        (["plan", "none.yaml", "-o", "FILE"], "is a file; choose a folder"),
        (["audit", "none", "-o", "FILE"], "is a file; choose a folder"),
        (["report", "none", "-o", "FOLDER"], "is a folder; choose a file name"),
        (["explain", "none", "x.jpg", "-o", "FOLDER"], "is a folder; choose a file name"),
        (
            ["predict", "none", "x.jpg", "--device", "gpu"],
            "unknown; use auto, cpu, cuda, cuda:1 or mps",
        ),
        (["fewshot", "none", "--device", "gpu"], "device 'gpu' is unknown"),
        (["audit", "none", "--device", "gpu"], "device 'gpu' is unknown"),
    ],
)
def test_every_command_checks_its_place_and_device_before_anything_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    places = {"FILE": tmp_path / "file", "FOLDER": tmp_path}
    places["FILE"].touch()
    with pytest.raises(SystemExit) as ended:
        cli.main([str(places.get(each, each)) for each in arguments])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.count("\n") == 1 and says in err
