"""Mutated zip and tar archives of class folders."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

from headstart.data.sources.load import load_dataset
from tests.siege.damaged_files import attack_on_files
from tests.siege.images import picture
from tests.siege.siege import Attack

SUFFIXES = ("zip", "tar", "tar.gz", "tar.xz", "tar.bz2")


def packed(suffix: str) -> bytes:
    """Return an archive of six small pictures in two classes."""
    file, members = io.BytesIO(), []
    for number in range(6):
        image = io.BytesIO()
        picture(number, 12, 10).save(image, "PNG")
        members.append((f"{'ab'[number % 2]}/{number}.png", image.getvalue()))
    if suffix == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode=f"w:{suffix.removeprefix('tar').removeprefix('.')}") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def prepare(scratch: Path) -> Attack:
    """Return the attack on the readers of archives."""
    os.environ["HEADSTART_CACHE"] = str(scratch / "cache")
    sound = {suffix: packed(suffix) for suffix in SUFFIXES}

    def work(path: Path) -> str:
        dataset = load_dataset(path)
        return "left out some" if dataset.skipped else "read"

    return attack_on_files(scratch, sound, work)
