from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.addresses import as_given, is_address, is_local, needs_path
from headstart.data.decoding.decode import decode_file
from headstart.data.sources.load import load_dataset
from headstart.deploy.export.pictures import folder_of
from headstart.errors import HeadstartError
from headstart.models.bundle import read_bundle
from headstart.models.create import create_backbone
from headstart.models.weights.checkpoint import read_checkpoint
from headstart.study.spec.load import load_study


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.org/b.jpg", True),
        (" HTTP://a.org", True),
        ("s3://bucket/key", True),
        (str(Path("https://a.org/b.jpg")), True),
        ("C:/Users/a.jpg", False),
        ("C:\\\\Users\\\\a.jpg", False),
        ("a/b.jpg", False),
        ("hf:name/of", False),
        ("", False),
    ],
)
def test_what_is_an_address(text: str, expected: bool) -> None:
    assert is_address(text) is expected


def test_an_address_is_refused_as_such_by_every_way_in(tmp_path: Path) -> None:
    calls: tuple[Callable[[Any], object], ...] = (
        load_dataset,
        decode_file,
        folder_of,
        read_checkpoint,
        read_bundle,
        lambda place: create_backbone("resnet18", place),
        lambda place: create_backbone("resnet18", {"path": place}),
    )
    for call in calls:
        with pytest.raises(HeadstartError, match=r"https://a\.org/b\.zip: is an address; download the \w+ and give"):
            call("https://a.org/b.zip")
        with pytest.raises(
            HeadstartError, match=r"file:///a/b c: is an address of this computer; give the path, without"
        ):
            call("file:///a/b c")
    with pytest.raises(HeadstartError, match="https://a"):
        create_backbone("resnet18", Path("https://a.org/b.pt"))
    study = tmp_path / "study.yaml"
    study.write_text("name: a\ndata: https://a.org/b\nruns: {a: {weights: {path: 'https://a.org/c.pt'}}}\n")
    loaded = load_study(study)
    assert loaded.spec.data.source == "https://a.org/b" and loaded.runs[0].spec.weights.path == "https://a.org/c.pt"


def test_a_path_is_no_address() -> None:
    assert is_address("s3://bucket/x") and is_address("memory://x")
    assert not is_address("C://x") and not is_address("a/b://c") and not is_address("hf:mnist")


def test_an_address_of_this_computer_is_known() -> None:
    for place in ("file:///a/b%20c.jpg", "FILE://localhost/a", Path("file:///a/b"), "file:///C:/a.jpg"):
        assert is_local(place)
    for place in ("https://a.org", "/a", "file", "hf:file"):
        assert not is_local(place)


def test_an_address_is_shown_as_it_was_given() -> None:
    for text in ("https://a.org/b.jpg", "s3://bucket/key", "file:///a/b", "C:/a.jpg", "a/b"):
        assert as_given(text) == text and as_given(Path(text)) == text
    assert needs_path("https://a.org") == "is an address; download the image and give the file's path"
