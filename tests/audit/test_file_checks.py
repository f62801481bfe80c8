from __future__ import annotations

from dataclasses import replace

import numpy as np
from photographs import dataset_of

from headstart.audit.file_checks import describe_files, unreadable_rows
from headstart.audit.inspection_store import Inspection
from headstart.bands import BandChoice


def inspection(rows: list[tuple[int, int, str, str, int, str]]) -> Inspection:
    """Return facts of (width, height, mode, format, frames, problem)."""
    n = len(rows)
    width, height, mode, kind, frames, problem = (np.array(column) for column in zip(*rows, strict=True))
    none = np.zeros(n, dtype="S32"), np.zeros((n, 32, 32), np.uint8), np.zeros((n, 16, 16, 3), np.uint8)
    return Inspection(none[0], width, height, mode, kind, frames, problem, none[1], none[2])


def described(rows: list[tuple[int, int, str, str, int, str]]) -> dict:
    return describe_files(inspection(rows), dataset_of([b""] * len(rows)))


def test_reasons_of_decoding_add_to_those_of_the_inspection() -> None:
    seen = inspection([(9, 9, "L", "PNG", 1, ""), (0, 0, "", "", 1, "is cut short"), (9, 9, "L", "PNG", 1, "")])
    assert unreadable_rows(seen, {2: "no pixels"}) == {1: "is cut short", 2: "no pixels"}
    assert unreadable_rows(seen, {}) == {1: "is cut short"}


def test_modes_formats_and_sizes_are_counted_among_images_that_decode() -> None:
    found = described(
        [
            (100, 50, "RGB", "JPEG", 1, ""),
            (100, 50, "RGB", "PNG", 1, ""),
            (200, 90, "L", "JPEG", 1, ""),
            (5, 5, "CMYK", "TIFF", 1, "is cut short"),
        ]
    )
    assert found["modes"] == {"RGB": 2, "L": 1}
    assert found["formats"] == {"JPEG": 2, "PNG": 1}
    assert found["width"] == {"least": 100, "median": 100, "most": 200}
    assert found["height"] == {"least": 50, "median": 50, "most": 90}
    assert found["sizes"] == 2
    assert all(odd["n"] == 0 for odd in found["odd"].values())


def test_many_bands_are_not_unusual_where_they_were_asked_for() -> None:
    rows = [(90, 90, "13 bands", "TIFF", 1, "")]
    choice = BandChoice(tuple(range(13)), tuple(map(str, range(13))), (0, 1, 2), 13, "uint16")
    found = describe_files(inspection(rows), replace(dataset_of([b""]), bands=choice))
    assert found["modes"] == {"13 bands": 1} and found["odd"]["modes"]["n"] == 0
    assert described(rows)["odd"]["modes"]["n"] == 1


def test_unusual_images_are_named_at_the_bounds() -> None:
    found = described(
        [
            (32, 40, "L", "PNG", 1, ""),  # 32 pixels are not tiny
            (31, 40, "RGB", "PNG", 1, ""),
            (400, 100, "RGB", "PNG", 1, ""),  # four times as long as wide is not elongated
            (100, 401, "RGB", "PNG", 1, ""),
            (90, 90, "RGBA", "PNG", 1, ""),
            (90, 90, "RGB", "GIF", 2, ""),
            (8, 90, "P", "GIF", 3, "is cut short"),
        ]
    )["odd"]
    assert {kind: [row["row"] for row in odd["rows"]] for kind, odd in found.items()} == {
        "modes": [4],
        "animated": [5],
        "tiny": [1],
        "elongated": [3],
    }
    assert found["animated"]["rows"][0] == {
        "row": 5,
        "name": "file 5",
        "mode": "RGB",
        "width": 90,
        "height": 90,
        "frames": 2,
    }


def test_of_many_unusual_images_50_are_named_and_all_counted() -> None:
    odd = described([(10, 10, "RGB", "PNG", 1, "")] * 60)["odd"]["tiny"]
    assert (odd["n"], len(odd["rows"])) == (60, 50)


def test_nothing_that_decodes_has_no_sizes() -> None:
    assert described([(0, 0, "", "", 1, "is no image")])["width"] == {"least": 0, "median": 0, "most": 0}
