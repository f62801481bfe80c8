from __future__ import annotations

from typing import Any

import pytest

from headstart.audit.findings import findings, problems


def place(name: str, label: str = "ant") -> dict[str, Any]:
    return {"name": name, "label": label}


def audit(**changes: Any) -> dict[str, Any]:
    """Return the audit of a clean dataset of 200 images, changed."""
    none = {"exact": 0, "near": 0}
    clean = {
        "n": 200,
        "unreadable": [],
        "skipped": [],
        "files": {"odd": {kind: {"n": 0, "rows": []} for kind in ("modes", "animated", "tiny", "elongated")}},
        "exact": [],
        "near": [],
        "leaks": {"test": {"n": 50, **none}, "validation": {"n": 30, **none}, "others": []},
        "label_errors": [],
        "label_check": {"accuracy": 0.9},
        "imbalance": {"ratio": 1.0, "most": 100, "largest": "ant", "fewest": 100, "smallest": "bee"},
        "classes": [{"class": "ant", "n": 100}, {"class": "bee", "n": 100}],
        "counts": {"exact": 0, "copies": 0, "near": 0, "label_errors": 0},
    }
    return clean | changes


def texts(level: str, **changes: Any) -> list[str]:
    return [each["text"] for each in findings(audit(**changes)) if each["level"] == level]


def test_of_a_clean_dataset_all_is_good() -> None:
    assert findings(audit()) == [
        {"level": "good", "kind": "unreadable", "text": "every image decodes completely"},
        {"level": "good", "kind": "copies", "text": "no exact duplicates"},
        {"level": "good", "kind": "copies", "text": "no near duplicates"},
        {"level": "good", "kind": "leaks", "text": "no test image has a copy in the training or validation part"},
        {"level": "good", "kind": "leaks", "text": "no validation image has a copy in the training part"},
    ]
    assert problems({"findings": findings(audit())}) == []


def test_files_that_do_not_decode_are_named_at_most_three() -> None:
    bad = [{"name": f"{k}.jpg", "reason": "is cut short"} for k in range(5)]
    assert texts("problem", unreadable=bad[:1]) == ["1 file does not decode: 0.jpg (is cut short)"]
    three = "0.jpg (is cut short), 1.jpg (is cut short), 2.jpg (is cut short)"
    assert texts("problem", unreadable=bad[:3]) == [f"3 files do not decode: {three}"]
    assert texts("problem", unreadable=bad) == [f"5 files do not decode: {three}, and 2 more"]
    assert texts("notice", skipped=bad[:1]) == ["1 item was skipped while loading: 0.jpg (is cut short)"]
    assert "every image decodes completely" not in texts("good", unreadable=bad)


def test_a_skipped_file_is_no_image_that_decodes_and_its_reason_has_no_brackets_within_brackets() -> None:
    skipped = [{"name": "a.jpg", "reason": "is cut short (it has no end)"}]
    assert texts("notice", skipped=skipped) == ["1 item was skipped while loading: a.jpg (is cut short: it has no end)"]
    assert "every other image decodes completely" in texts("good", skipped=skipped)


def test_unusual_files_are_counted_with_an_example() -> None:
    odd = audit()["files"]["odd"] | {
        "modes": {"n": 1200, "rows": [place("a.png")]},
        "tiny": {"n": 1, "rows": [place("b.png")]},
    }
    assert texts("notice", files={"odd": odd}) == [
        "1,200 images are neither RGB nor grey, such as a.png",
        "1 image is smaller than 32 pixels, such as b.png",
    ]


def test_exact_copies_are_counted_and_contradicting_labels_are_a_problem() -> None:
    fine = {"n": 3, "conflict": False, "places": [place("a"), place("b"), place("c")]}
    torn = {"n": 2, "conflict": True, "places": [place("d", "ant"), place("e", "bee")]}
    counts = {"exact": 2, "copies": 3, "near": 0, "label_errors": 0}
    assert texts("notice", exact=[torn, fine], counts=counts) == ["3 exact copies of 2 images"]
    assert texts("problem", exact=[torn, fine], counts=counts) == [
        "1 image has copies with different labels: d (ant) and e (bee)"
    ]
    counts = {"exact": 1, "copies": 1}
    assert texts("notice", exact=[fine], counts=counts) == ["1 exact copy of 1 image"]
    assert texts("problem", exact=[fine], counts=counts) == []


def test_near_duplicates_are_counted_by_kind_and_contradicting_labels_are_a_problem() -> None:
    pairs = [
        {"a": place("a"), "b": place("b", "bee"), "kind": "copy", "conflict": True},
        {"a": place("c"), "b": place("d"), "kind": "mirror image", "conflict": False},
        {"a": place("e"), "b": place("f"), "kind": "copy", "conflict": False},
    ]
    assert texts("notice", near=pairs) == ["3 pairs of near duplicates (2 copy, 1 mirror image)"]
    assert texts("problem", near=pairs) == ["1 pair of near duplicates with different labels: a (ant) and b (bee)"]
    assert texts("problem", near=pairs[1:]) == []


def leaking(
    test: tuple[int, int], validation: tuple[int, int] = (0, 0), others: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    rows = {"test": (50, *test), "validation": (30, *validation)}
    parts = {part: {"n": n, "exact": exact, "near": near} for part, (n, exact, near) in rows.items()}
    return {**parts, "others": others or []}


def test_leaks_are_problems_with_the_setting_that_removes_them() -> None:
    assert texts("problem", leaks=leaking((2, 3), (1, 0))) == [
        "5 of 50 test images (10.0 %) have a copy in the training or validation part: 2 exact, 3 near;"
        " to leave the copies out: headstart compare --drop-duplicates near, or drop_duplicates: near in a study file",
        "1 of 30 validation images (3.3 %) has a copy in the training part: 1 exact, 0 near;"
        " to leave the copies out: headstart compare --drop-duplicates exact, or drop_duplicates: true in a study file",
    ]


def test_a_part_without_images_is_not_mentioned() -> None:
    none = {"n": 0, "exact": 0, "near": 0}
    good = texts("good", leaks={"test": none, "validation": none, "others": []})
    assert not [text for text in good if "part" in text]


def test_images_shared_with_another_dataset_are_a_problem() -> None:
    shared = [{"dataset": "one", "exact": 1, "near": 0}, {"dataset": "two", "exact": 0, "near": 0}]
    shared.append({"dataset": "three", "exact": 1500, "near": 2})
    assert texts("problem", leaks=leaking((0, 0), (0, 0), shared)) == [
        "1 image is also in one: 1 exact, 0 near",
        "1,502 images are also in three: 1,500 exact, 2 near",
    ]
    assert "no image is also in two" in texts("good", leaks=leaking((0, 0), (0, 0), shared))


@pytest.mark.parametrize(("accuracy", "weak"), [(0.4999, True), (0.5, False)])
def test_a_weak_classifier_is_no_judge_of_labels(accuracy: float, weak: bool) -> None:
    row = {**place("a.jpg"), "suggested": "bee"}
    changes = {"label_errors": [row], "label_check": {"accuracy": accuracy}, "counts": {"label_errors": 3}}
    (text,) = texts("notice", **changes)
    if weak:
        expected = "but the classifier that judges them is only 50.0 % accurate: do not rely on it"
    else:
        expected = (
            "first of all a.jpg, labelled ant, looks like bee (the classifier that judges them is 50.0 % accurate)"
        )
    assert text == f"3 labels look wrong (1.5 %), {expected}"


def test_uneven_and_small_classes_are_reported_at_their_bounds() -> None:
    def spread(ratio: float) -> dict[str, Any]:
        return {"ratio": ratio, "most": 1000, "largest": "ant", "fewest": 100, "smallest": "bee"}

    assert texts("notice", imbalance=spread(9.9)) == []
    assert texts("notice", imbalance=spread(10.0)) == [
        "class sizes are uneven: 1,000 images of ant, 100 of bee; also look at balanced accuracy"
    ]
    assert texts("problem", classes=[{"class": "ant", "n": 5}]) == []
    few = [{"class": name, "n": 4} for name in "abcd"]
    assert texts("problem", classes=few[:1]) == ["1 class has fewer than 5 images: a"]
    assert texts("problem", classes=few) == ["4 classes have fewer than 5 images: a, b, c, and 1 more"]


def test_classes_without_training_or_test_images_are_problems() -> None:
    rows = [
        {"class": "ant", "n": 90, "train": 60, "test": 30},
        {"class": "bee", "n": 60, "train": 60, "test": 0},
        {"class": "cat", "n": 30, "train": 0, "test": 30},
        {"class": "dog", "n": 30, "train": 0, "test": 30},
    ]
    assert texts("problem", classes=rows) == [
        "2 classes have no training images: cat, dog",
        "1 class has no test images: bee",
    ]
    assert texts("problem", classes=[{"class": "ant", "n": 90, "train": 60, "validation": 0}]) == []
    assert texts("problem", classes=[{"class": "ant", "n": 90}]) == []


def test_problems_are_what_a_person_must_know_a_line_each_the_worst_first() -> None:
    bad = [{"name": "x.jpg", "reason": "is cut short"}]
    pair = {"a": place("a"), "b": place("b", "bee"), "kind": "copy", "conflict": True}
    odd = audit()["files"]["odd"] | {"tiny": {"n": 1, "rows": [place("b.png")]}}
    found = audit(
        unreadable=bad,
        files={"odd": odd},
        near=[pair],
        leaks=leaking((0, 1)),
        classes=[{"class": "ant", "n": 90, "train": 60, "test": 0}],
        label_errors=[{**place("a.jpg"), "suggested": "bee"}],
        counts={"label_errors": 1},
        imbalance={"ratio": 20.0, "most": 100, "largest": "ant", "fewest": 5, "smallest": "bee"},
    )
    assert problems({"findings": findings(found)}) == [
        "1 file does not decode: x.jpg (is cut short)",
        "1 pair of near duplicates with different labels: a (ant) and b (bee)",
        "1 of 50 test images (2.0 %) has a copy in the training or validation part: 0 exact, 1 near;"
        " to leave the copies out: headstart compare --drop-duplicates near, or drop_duplicates: near in a study file",
        "1 class has no test images: ant",
        "1 pair of near duplicates (1 copy)",
    ]
