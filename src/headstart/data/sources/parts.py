"""Names of the parts of a split, as people write them: train, training_set, valid, eval, holdout, Test, …"""

from __future__ import annotations

import re

_PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "validation": "validation",
    "dev": "validation",
    "devel": "validation",
    "development": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
    "heldout": "test",
}
USUAL = ("train", "training", "validation", "valid", "test", "testing")
_FILLERS = {"set", "data", "dataset", "split", "part", "images", "image", "imgs", "img", "folder", "dir"}


def part_of(name: str) -> str | None:
    """Return "train", "validation" or "test" if a folder's, file's or cell's name means one of them, else None.

    Case, separators and words such as "set" or "images" do not matter: `training_set`, `Test`, `hold-out`, `valset`.
    """
    words = re.findall(r"[a-z]+", name.lower())
    joined = "".join(words)
    if len(words) == 2 and joined in _PARTS:  # hold_out
        return _PARTS[joined]
    left = [word for word in words if word not in _FILLERS]
    if len(left) != 1 or re.search(r"\d", name):
        return None
    word = left[0]
    return _PARTS.get(word) or next(
        (_PARTS.get(word.removesuffix(end)) for end in _FILLERS if word.endswith(end)), None
    )
