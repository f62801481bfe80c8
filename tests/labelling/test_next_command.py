from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from headstart.bands import BandChoice
from headstart.labelling.next_command import next_command


@pytest.mark.parametrize("name", ["plain.csv", "Anna's labels (2).csv", "a;b$HOME.csv", "größe.csv"])
def test_whatever_the_names_are_the_shell_gives_them_back(name: str) -> None:
    command = next_command(f"/photos/{name}", None, corrections=Path(name), label=f"kind of {name}")
    words = ["headstart", "compare", f"/photos/{name}", "--corrections", name, "--label", f"kind of {name}"]
    assert shlex.split(command) == words


def test_the_same_bands_are_read() -> None:
    choice = BandChoice((3, 2), ("B04", "B03"), (0, 0, 1), of=13, dtype="uint16")
    assert next_command("s2", choice) == "headstart compare s2 --bands 3,2 --show 3,3,2"
