from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
from photographs import dataset_of, picture, shrunk
from PIL import Image

from headstart.audit.duplicates import equal_files
from headstart.audit.label_errors import LabelErrors
from headstart.audit.near_duplicates import NearPair
from headstart.audit.pool import make_pool
from headstart.audit.tables import exact_rows, label_rows, near_rows, thumbnails

P = [shrunk(picture(k), 40) for k in range(4)]


def test_groups_of_equal_files_are_listed_with_places_and_parts() -> None:
    main = dataset_of([P[0], P[1], P[0]], [0, 0, 1], parts=["train", "train", "test"])
    pool = make_pool(main, [dataset_of([P[1], P[1]], name="other")], None, None)
    rows = exact_rows(pool, equal_files(pool))
    assert [(row["n"], row["conflict"], row["parts"]) for row in rows] == [
        (2, True, ["test", "train"]),
        (3, False, ["other", "train"]),
    ]
    assert [place["label"] for place in rows[0]["places"]] == ["ant", "bee"]
    assert [(place["dataset"], place["row"]) for place in rows[1]["places"]] == [
        ("files", 1),
        ("other", 0),
        ("other", 1),
    ]


def test_of_a_large_group_the_first_20_places_are_listed() -> None:
    pool = make_pool(dataset_of([P[0]] * 25), [], None, None)
    row = exact_rows(pool, equal_files(pool))[0]
    assert (row["n"], len(row["places"]), row["parts"]) == (25, 20, ["unassigned"])


def test_near_duplicates_conflict_only_within_the_audited_dataset() -> None:
    main = dataset_of([P[0], P[1], P[2]], [0, 1, 0])
    pool = make_pool(main, [dataset_of([P[3]], [1], name="other")], None, None)
    pairs = [NearPair(0, 1, 0.98765, "copy"), NearPair(0, 2, 0.95, "cut-out"), NearPair(2, 3, 0.9, "mirror image")]
    rows = near_rows(pool, pairs)
    assert [(r["conflict"], r["similarity"], r["kind"]) for r in rows] == [
        (True, 0.9877, "copy"),
        (False, 0.95, "cut-out"),
        (False, 0.9, "mirror image"),
    ]
    assert (rows[2]["a"]["name"], rows[2]["b"]["dataset"], rows[2]["parts"]) == (
        "file 2",
        "other",
        ["other", "unassigned"],
    )


def test_labels_are_listed_with_both_probabilities_at_most_200() -> None:
    pool = make_pool(dataset_of([P[0], P[1]] * 150, [0, 1] * 150), [], None, None)
    probabilities = np.tile([[0.12345, 0.87655], [0.7, 0.3]], (150, 1))
    found = LabelErrors(np.arange(300)[::-1], np.tile([0, 1], 150), probabilities, 0.5)
    rows = label_rows(pool, found)
    assert len(rows) == 200
    assert {key: rows[0][key] for key in ("row", "label", "suggested", "p_label", "p_suggested")} == {
        "row": 299,
        "label": "bee",
        "suggested": "ant",
        "p_label": 0.3,
        "p_suggested": 0.7,
    }
    assert rows[1]["p_label"] == 0.1235 or rows[1]["p_label"] == 0.1234


def test_thumbnails_are_made_of_what_the_first_rows_show() -> None:
    pool = make_pool(dataset_of([picture(0, (200, 300)), P[1], P[2], b"broken"]), [dataset_of([P[3]])], None, None)
    place = pool.place
    audit = {
        "exact": [{"places": [place(0, 1), place(0, 3), place(0, 2)]}],
        "near": [{"a": place(0, 0), "b": place(1, 0)}],
        "label_errors": [place(0, 0)],
    }
    found = thumbnails(pool, audit)
    assert set(found) == {"0:0", "0:1", "1:0"}  # the third place is not shown, the second does not decode
    image = Image.open(io.BytesIO(base64.b64decode(found["0:0"])))
    assert (image.format, image.size) == ("JPEG", (96, 64))
    many = {**audit, "near": [], "exact": [], "label_errors": [replace_row(place(0, 1), k) for k in range(61)]}
    assert "0:2" not in thumbnails(replace(pool), many)


def replace_row(place: dict[str, object], number: int) -> dict[str, object]:
    """Return the same place, and another one at number 60."""
    return {**place, "thumbnail": "0:2"} if number == 60 else place
