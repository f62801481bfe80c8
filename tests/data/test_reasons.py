from __future__ import annotations

from headstart.data.reasons import counted_reasons, reason_counts


def test_reasons_are_counted_by_kind_without_their_details() -> None:
    heic = "is HEIC: pip install 'headstart[heic]'"
    reasons = [*["is cut short (3 bytes)", "is cut short (4 bytes)"], *[heic] * 12, "has zero bytes", "does not exist"]
    assert reason_counts(reasons) == [
        ("HEIC: pip install 'headstart[heic]'", 12),
        ("cut short", 2),
        ("that do not exist", 1),
        ("with zero bytes", 1),
    ]
    said = "12 HEIC: pip install 'headstart[heic]', 2 cut short, 1 that do not exist, 1 with zero bytes"
    assert counted_reasons(reasons) == said


def test_rare_kinds_are_counted_together() -> None:
    reasons = [f"kind {letter}" for letter in "aabbccddeefghh"]
    assert counted_reasons(reasons) == "2 kind a, 2 kind b, 2 kind c, 2 kind d, 2 kind e, 4 for other reasons"
    assert counted_reasons([]) == ""


def test_what_is_no_file_is_counted_in_words_of_one_and_of_several() -> None:
    address = "is an address; download the image and give the file's path"
    said = "2 given as an address; download the image and give the file's path, 1 that are a folder, not an image"
    assert counted_reasons([address, address, "is a folder, not an image"]) == said
