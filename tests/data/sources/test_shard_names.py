"""Which files a pattern, a folder or an address stands for, and which part of a split each is."""

from __future__ import annotations

import pytest

from headstart.data.sources.load import title_of
from headstart.data.sources.shard_names import expanded, is_pattern, parts_of, shards_among
from headstart.errors import DataError


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("d-{08..11}.tar", ["d-08.tar", "d-09.tar", "d-10.tar", "d-11.tar"]),
        ("d-{8..11}.tar", ["d-8.tar", "d-9.tar", "d-10.tar", "d-11.tar"]),
        ("{a,b}/{2..1}.tar", ["a/2.tar", "a/1.tar", "b/2.tar", "b/1.tar"]),
        ("{x}/{0..0}.tar", ["{x}/0.tar"]),
    ],
)
def test_braces_stand_for_what_a_shell_makes_of_them(pattern: str, names: list[str]) -> None:
    assert is_pattern(pattern) and expanded(pattern) == names


def test_a_folder_may_have_braces_in_its_name() -> None:
    assert not is_pattern("{x}/flowers") and not is_pattern("flowers/")


@pytest.mark.parametrize("pattern", ["{0..9999999}.tar", "{0..999}{0..999}.tar"])
def test_a_pattern_of_too_many_files_is_refused(pattern: str) -> None:
    with pytest.raises(DataError, match="more than 100,000 files"):
        expanded(pattern)


def test_tars_go_before_parquet_files() -> None:
    assert shards_among(["b.tar", "a.parquet", "a.tar.gz", "x.txt"]) == ["a.tar.gz", "b.tar"]
    assert shards_among(["b.pq", "a.parquet", "x.txt"]) == ["a.parquet", "b.pq"]


@pytest.mark.parametrize(
    ("places", "parts"),
    [
        (["p/train-0.tar", "p/val-0.tar"], ["train", "validation"]),
        (["p/train/0.tar", "p/test/0.tar", "p/more/0.tar"], ["train", "test", ""]),
        (["p/imagenet_train_0000-of-0001.tar", "p/imagenet_test_0000.tar"], ["train", "test"]),
        (["train/0.tar", "train/1.tar"], ["", ""]),  # all in one folder: its name divides nothing
        (["p/test-0.tar", "p/val-0.tar"], ["", ""]),
        (["x-0.tar"], [""]),
    ],
)
def test_the_part_of_a_split_is_in_the_name(places: list[str], parts: list[str]) -> None:
    assert parts_of(places) == parts


@pytest.mark.parametrize(
    ("source", "title"),
    [("a/train-{000..123}.tar", "train"), ("pets/{0..9}.tar", "pets"), ("s3://b/pets/", "pets"), ("s3://b/x.tar", "x")],
)
def test_a_title_has_no_braces(source: str, title: str) -> None:
    assert title_of(source) == title
