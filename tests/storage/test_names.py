from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.storage.names import LONGEST, folder_name, readable

CLOSE = st.text(alphabet="aA -_./\\é\u0301·0f~", max_size=12)  # names that are easily taken for each other
ANY = st.text(max_size=300)


@pytest.mark.parametrize("name", ["a-b", "a--b", "caltech101", "lora_r8", "v1.5+x", "0", "a" * LONGEST])
def test_a_name_that_is_safe_is_the_folder(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("a b", "a-b"),
        ("A", "A"),
        ("resnet18 · ridge", "resnet18-ridge"),
        ("../../etc", "etc"),
        ("naïve", "na-ve"),
        ("con", "run-con"),
        ("nul.txt", "run-nul.txt"),
        ("", "run"),
        ("...", "run"),
        ("-x", "x"),
        ("x.", "x"),
        ("\ud800", "run"),
    ],
)
def test_any_other_name_is_readable_and_gets_digits_of_its_hash(name: str, begins: str) -> None:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    assert folder_name(name) == f"{begins}-{digest}"


@given(st.one_of(CLOSE, ANY), st.one_of(CLOSE, ANY))
def test_two_names_never_share_a_folder_on_a_disk_that_ignores_case(one: str, other: str) -> None:
    same = folder_name(one).casefold() == folder_name(other).casefold()
    assert same == (one == other)


@given(st.one_of(CLOSE, ANY))
def test_the_folder_of_one_name_is_not_the_folder_of_the_name_that_is_spelled_like_it(name: str) -> None:
    folder = folder_name(name)
    assert folder == name or folder_name(folder) != folder


@given(st.one_of(CLOSE, ANY, st.sampled_from(["con", "COM1", "lpt9.log", "aux."])))
def test_a_folder_name_is_valid_on_every_disk(name: str) -> None:
    folder = folder_name(name)
    assert 0 < len(folder.encode("ascii")) <= LONGEST
    assert set(folder) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")
    assert folder[0] not in ".-" and folder[-1] not in ".-"
    assert folder.split(".")[0].lower() not in {
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{p}{n}" for p in ("com", "lpt") for n in range(10)),
    }


def test_long_names_that_differ_at_their_end_differ(tmp_path: Path) -> None:
    one, other = ("é" * 400 + end for end in "xy")
    for name in (one, other):
        (tmp_path / folder_name(name)).mkdir()
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_only_readable_may_be_shared() -> None:
    assert readable("my study") == readable("my/study") == "my-study"
