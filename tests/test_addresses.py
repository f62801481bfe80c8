from __future__ import annotations

from pathlib import Path

import pytest

from headstart.addresses import is_address
from headstart.data.decoding.decode import decode_file
from headstart.data.sources.load import load_dataset
from headstart.deploy.export.pictures import folder_of
from headstart.errors import HeadstartError
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
    for call in (load_dataset, decode_file, folder_of, read_checkpoint):
        with pytest.raises(HeadstartError, match=r"https:/.*is an address; download"):
            call("https://a.org/b.zip")
    study = tmp_path / "study.yaml"
    study.write_text("name: a\ndata: https://a.org/b\nruns: {a: {weights: {path: 'https://a.org/c.pt'}}}\n")
    loaded = load_study(study)
    assert loaded.spec.data.source == "https://a.org/b" and loaded.runs[0].spec.weights.path == "https://a.org/c.pt"


def test_a_path_is_no_address() -> None:
    assert is_address("s3://bucket/x") and is_address("memory://x")
    assert not is_address("C://x") and not is_address("a/b://c") and not is_address("hf:mnist")
