from __future__ import annotations

import json
from pathlib import Path

import pytest

from headstart.errors import WeightsError
from headstart.models.weights.shards import check_shard, digest_of_files, shards_of


def index(folder: Path, content: object) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_files_of_an_index_are_named_once_and_sorted(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).touch()
    found = shards_of(index(tmp_path, {"weight_map": {"x": "b", "y": "a", "z": "b"}}))
    assert list(found.items()) == [(tmp_path / "a", ("y",)), (tmp_path / "b", ("x", "z"))]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not an index of weights"),
        ({}, "is not an index of weights"),
        ({"weight_map": ["a"]}, "is not an index of weights"),
        ({"weight_map": {}}, "names no file of weights"),
        ('{"weight_map": {"x": "a", "x": "b"}}', "names 'x' twice"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "run 'git lfs pull'"),
        ("<html><body>404</body></html>", "is a web page, not a checkpoint"),
        ({"weight_map": {"x": "../a"}}, "which is not in its folder"),
        ({"weight_map": {"x": "..\\a"}}, "which is not in its folder"),
        ({"weight_map": {"x": "a"}}, "a is missing, 1 of 1 files"),
    ],
)
def test_an_index_that_cannot_be_followed_is_refused(tmp_path: Path, content: object, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        shards_of(index(tmp_path, content))


def test_the_digest_of_one_file_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # NIST's example
    assert digest_of_files([tmp_path / "a"]) == known
    assert digest_of_files([tmp_path / "a"] * 2) != known
    with pytest.raises(WeightsError, match="absent: cannot be read"):
        digest_of_files([tmp_path / "absent"])


def test_a_file_that_lacks_a_tensor_of_the_index_is_refused() -> None:
    file, index_file = Path("a.bin"), Path("model.index.json")
    check_shard(index_file, file, ["x"], {"x": 1, "more": 2})
    with pytest.raises(WeightsError, match=r"a\.bin: the tensor 'y' is missing, 2 of 3 that model\.index\.json places"):
        check_shard(index_file, file, ["x", "y", "z"], {"x": 1})
