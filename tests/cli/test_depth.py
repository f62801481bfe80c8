"""A verb reaches the mathematics through few files, so that a reader finds the one from the other."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.cli import main as command_line
from headstart.study.resources import Resources

SOURCE = Path(headstart.__file__).parent
MOST = 3  # files of one folder
CHECKS = "study/planning/checks.py"  # tries the settings of a head on a few numbers: not the way
TRAINED = "{strategy: scratch, recipe: {epochs: 1, batch_size: 8}}"
# the command; the file of the mathematics and its function; how many files of which room are on the way
WAYS: dict[str, tuple[str, str, str, str, int]] = {
    "run, a head": ("run head.yaml -o new", "transfer/heads/fit.py", "fit_heads", "study", 3),
    "run, a training": ("run training.yaml -o new", "transfer/finetune/finetune.py", "finetune", "study", 4),
    "plan": ("plan head.yaml -o new", "transfer/heads/fit.py", "fit_heads", "study", 2),
    "audit": ("audit photos -o new", "audit/hashes.py", "", "audit", 3),
    "fewshot": (
        "fewshot photos --backbone lenet5 --weights none --ways 2 --shots 1 --queries 2 --episodes 20 -o new",
        "fewshot/classifiers/prototypes.py",
        "",
        "fewshot",
        2,
    ),
    "predict": ("predict model photo.png", "models/heads.py", "forward", "deploy", 1),
    "evaluate": ("evaluate model photos -o new", "evaluate/metrics/metrics.py", "evaluate", "study", 2),
    "explain": ("explain model photo.png --method grad_cam --out why.png", "explain/cam.py", "grad_cam", "explain", 2),
    "export": ("export model --to torch -o new", "deploy/export/program.py", "", "deploy", 2),
}  # a training passes two files of execution/ and two of its tuning/


class Reached(BaseException):
    """Ends the command where the mathematics begins."""


def way(command: list[str], mathematics: str, function: str) -> list[str]:
    """Return the files of headstart between a verb and the first call of a function, or into a file, in their order."""
    found: list[str] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.endswith(mathematics) or code.co_name == "<module>":
            return
        if function not in ("", code.co_name):
            return
        above: FrameType | None = frame
        while above is not None:
            path = Path(above.f_code.co_filename)
            if path.is_relative_to(SOURCE):
                found.append(path.relative_to(SOURCE).as_posix())
            above = above.f_back
        if CHECKS in found:
            found.clear()
            return
        sys.setprofile(None)
        raise Reached

    sys.setprofile(watch)
    try:
        with pytest.raises(Reached):
            command_line.main(command)
    finally:
        sys.setprofile(None)
    start = found.index("cli/command_line.py")  # what is outside of it is the same for every verb
    return [file for file in dict.fromkeys(reversed(found[:start])) if file != mathematics]


@pytest.mark.long
@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("verb", WAYS)
def test_a_verb_reaches_the_mathematics_through_three_files_of_a_room_at_most(
    verb: str, finished: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, mathematics, function, room, most = WAYS[verb]
    monkeypatch.chdir(tmp_path)
    if verb == "audit":  # whose network is of no interest here, and takes seconds
        monkeypatch.setattr(Resources, "features", lambda *given: np.zeros((20, 8), np.float32))
    (tmp_path / "photos").symlink_to(photos)
    (tmp_path / "model").symlink_to(finished)
    (tmp_path / "photo.png").symlink_to(next(photos.rglob("*.[jp][pn]g")))
    known = "name: small\ndata: photos\nseeds: 1\naudit: false\ndefaults: {backbone: lenet5, weights: none}\n"
    (tmp_path / "head.yaml").write_text(f"{known}runs: {{a: {{strategy: ridge, head: {{penalty: [2, 3]}}}}}}\n")
    (tmp_path / "training.yaml").write_text(f"{known}runs: {{a: {TRAINED}}}\n")
    files = way(command.split(), mathematics, function)
    rooms = Counter(str(PurePosixPath(file).parent) for file in files)
    assert {place: count for place, count in rooms.items() if count > MOST} == {}, files
    assert sum(file.split("/")[0] == room for file in files) <= most, files
    assert verb != "predict" or len(files) <= 4, files
