"""Labels: SIGKILL while people label; every label that was confirmed is in the file, which reads as it did before."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
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
            LabelFile(place / "labels.csv").change({})
            if left := [path.name for path in place.iterdir() if path.name != "labels.csv"]:
                raise Broken(f"left {left}")
            return "every confirmed label is there"
        finally:
            shutil.rmtree(place)

    return attack


def _label_and_kill(file: Path, first: int, draw: random.Random, confirmed: dict[str, int]) -> None:
    """Let two processes label; kill both some time after the first label is confirmed; add what they confirmed."""
    command = [sys.executable, "-c", _WRITER, str(file)]
    writers = {
        who: subprocess.Popen([*command, who, str(first)], stdout=subprocess.PIPE, text=True) for who in ("ann", "bob")
    }
    said: dict[str, list[str]] = {who: [] for who in writers}
    readers = [
        threading.Thread(target=lambda lines, who: said[who].extend(lines), args=(process.stdout, who))
        for who, process in writers.items()
    ]
    for reader in readers:
        reader.start()
    while not any(said.values()) and all(process.poll() is None for process in writers.values()):
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 0.5))
    for process in writers.values():
        process.kill()
        time.sleep(draw.uniform(0, 0.05))
    for reader, process in zip(readers, writers.values(), strict=True):
        reader.join()
        if process.wait() != -9:
            raise Broken(f"a program that labels ended with {process.returncode} before it was killed")
    for who, lines in said.items():
        for line in lines:
            if line.endswith("\n"):  # the last one may be cut
                confirmed[f"{who}-{line.strip()}.png"] = int(line) % 7
