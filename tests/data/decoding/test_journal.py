"""What a journal takes for whole after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.data.decoding.journal import Journal, faults_in

IMAGES = [np.full((2, 3, 3), value, dtype=np.uint8) for value in (10, 20, 30, 40)]


def write(folder: Path) -> None:
    with Journal(folder, 4) as journal:
        journal.append(IMAGES[:2], {1: "breaks off"})
        journal.append(IMAGES[2:], {})


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    write(tmp_path)
    with Journal(tmp_path, 4) as journal:
        assert (journal.images, journal.bytes) == (4, 4 * 18)
        assert journal.shapes == [(2, 3)] * 4 and len(journal.sums) == 4
        np.testing.assert_array_equal(journal.mapped().reshape(4, 2, 3, 3), np.stack(IMAGES))
    assert faults_in(tmp_path) == {"1": "breaks off"}


@pytest.mark.parametrize(("file", "lost"), [("journal.jsonl", 1), ("pixels.u8", 1)])
def test_a_chunk_that_is_not_whole_is_cut_off(file: str, lost: int, tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-lost])
    with Journal(tmp_path, 4) as journal:
        assert (journal.images, journal.bytes) == (2, 36)
        assert (tmp_path / "pixels.u8").stat().st_size == 36
        journal.append(IMAGES[2:], {2: "is cut off"})
    assert faults_in(tmp_path) == {"1": "breaks off", "2": "is cut off"}


def test_nothing_after_a_changed_chunk_is_taken(tmp_path: Path) -> None:
    write(tmp_path)
    content = bytearray((tmp_path / "pixels.u8").read_bytes())
    content[0] ^= 1
    (tmp_path / "pixels.u8").write_bytes(content)
    with Journal(tmp_path, 4) as journal:
        assert (journal.images, journal.bytes) == (0, 0)
