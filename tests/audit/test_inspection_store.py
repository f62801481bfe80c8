"""Inspections on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.audit.inspection_store import Facts, InspectionWriter, Seen, read_inspection


def seen(number: int) -> Seen:
    """Return what might be seen of an image; every third does not decode."""
    facts = Facts(40 + number, 30, "RGB", "JPEG", 1)
    if number % 3 == 2:
        return Seen(Facts(problem=f"is cut short ({number})"))
    rng = np.random.default_rng(number)
    return Seen(facts, rng.integers(0, 256, (32, 32), np.uint8), rng.integers(0, 256, (16, 16, 3), np.uint8))


def write(folder: Path, batches: list[range]) -> None:
    with InspectionWriter(folder) as writer:
        for batch in batches:
            writer.append([seen(number) for number in batch])
        writer.finish()


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write(tmp_path, [range(3), range(3, 5)])
    codes = np.array([4, 0, 2, 0])
    found = read_inspection(tmp_path, np.array([b"x"] * 4), codes)
    assert found.width.tolist() == [44, 40, 0, 40] and found.mode.tolist() == ["RGB", "RGB", "", "RGB"]
    assert found.problem.tolist() == ["", "", "is cut short (2)", ""] and not found.grey[2].any()
    for row, code in enumerate(codes):
        if code != 2:
            np.testing.assert_array_equal(found.grey[row], seen(code).grey)
            np.testing.assert_array_equal(found.colour[row], seen(code).colour)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["colour.u8", "facts.npz", "grey.u8", "texts.json"]


def test_distinct_images_in_order_stay_on_the_disk(tmp_path: Path) -> None:
    write(tmp_path, [range(5)])
    in_order = read_inspection(tmp_path, np.array([b"x"] * 5), np.arange(5))
    turned = read_inspection(tmp_path, np.array([b"x"] * 5), np.arange(5)[::-1])
    assert isinstance(in_order.grey, np.memmap) and isinstance(in_order.colour, np.memmap)
    np.testing.assert_array_equal(in_order.grey[::-1], turned.grey)


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        ("nothing", 4),
        ("the last line is half", 2),
        ("a copy of the second batch", 2),
        ("a copy of the first batch", 0),
        ("a digit of the second line", 2),
        ("grey.u8 is short", 2),
    ],
)
def test_after_an_interruption_the_whole_batches_are_kept(tmp_path: Path, damage: str, kept: int) -> None:
    with InspectionWriter(tmp_path) as writer:
        for batch in (range(2), range(2, 4)):
            writer.append([seen(number) for number in batch])
    journal, grey = tmp_path / "journal.jsonl", tmp_path / "grey.u8"
    text, pixels = journal.read_bytes(), bytearray(grey.read_bytes())
    if damage == "the last line is half":
        journal.write_bytes(text[:-5])
    elif damage == "a digit of the second line":
        journal.write_bytes(text.replace(b"[43,", b"[53,"))
    elif damage == "grey.u8 is short":
        grey.write_bytes(pixels[:-1])
    elif damage != "nothing":
        pixels[3 * 1024 if "second" in damage else 0] ^= 1
        grey.write_bytes(pixels)
    with InspectionWriter(tmp_path) as writer:
        assert writer.images == kept
        writer.append([seen(number) for number in range(kept, 5)])
        assert writer.images == 5
        writer.finish()
    found = read_inspection(tmp_path, np.array([b"x"] * 5), np.arange(5))
    assert found.width.tolist() == [40, 41, 0, 43, 44]
    np.testing.assert_array_equal(found.grey[3], seen(3).grey)
