"""Labels: SIGKILL while people label; every label that was confirmed is in the file, which reads as it did before."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from headstart.labelling.label_file import LabelFile
from tests.siege.siege import Attack, Broken

_WRITER = """
import sys
from pathlib import Path
from headstart.labelling.label_file import Given, LabelFile

file, who, first = LabelFile(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for number in range(first, first + 100_000):
    file.change({Path(sys.argv[1]).parent / f"{who}-{number}.png": Given(f"class {number % 7}", who, "now", "chosen")})
    print(number, flush=True)  # confirmed
"""


def prepare(scratch: Path) -> Attack:
    """Return an attack: two writers on one file, killed at random moments, three times one after the other."""

    def attack(seed: int) -> str:
        draw, place = random.Random(seed), scratch / f"labels-{seed}"
        place.mkdir()
        confirmed: dict[str, int] = {}
        try:
            for round_ in range(3):
                _label_and_kill(place / "labels.csv", round_ * 100_000, draw, confirmed)
                found = {path.name: given.label for path, given in LabelFile(place / "labels.csv").read().items()}
                lost = [name for name, code in confirmed.items() if found.get(name) != f"class {code}"]
                if lost:
                    raise Broken(f"{len(lost)} of {len(confirmed)} confirmed labels are lost, such as {lost[0]}")
            return "every confirmed label is there"
        finally:
            shutil.rmtree(place)

    return attack


def _label_and_kill(file: Path, first: int, draw: random.Random, confirmed: dict[str, int]) -> None:
    """Let two processes label until both are killed; add what they confirmed."""
    command = [sys.executable, "-c", _WRITER, str(file)]
    writers = {
        who: subprocess.Popen([*command, who, str(first)], stdout=subprocess.PIPE, text=True) for who in ("ann", "bob")
    }
    time.sleep(draw.uniform(0.1, 1.0))
    for process in writers.values():
        process.kill()
        time.sleep(draw.uniform(0, 0.05))
    for who, process in writers.items():
        said, _ = process.communicate()
        for line in said.split("\n")[:-1]:  # the last line may be cut
            confirmed[f"{who}-{line}.png"] = int(line) % 7
