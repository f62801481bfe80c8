"""WebDataset shards: what is in them, which label an image has, and what is left out and said."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import fsspec
import numpy as np
import pytest

from headstart.data.dataset import Skip
from headstart.data.decoding.image_store import View, decode_images
from headstart.data.sources import shard_index as indexing
from headstart.data.sources.load import load_dataset
from headstart.data.sources.webdataset import is_webdataset
from headstart.errors import DataError

Encoded = Callable[[int], bytes]
Members = Sequence[tuple[str, bytes]]


def packed(members: Members) -> bytes:
    """Return a tar with these members, in their order."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def shards(tmp_path: Path, encoded: Encoded) -> Path:
    """Return a folder of three shards with four images each, of the classes 0 and 1 in turn."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(3):
        members = []
        for number in range(4):
            members += [(f"{number:04d}.png", encoded(4 * shard + number)), (f"{number:04d}.cls", b"%d" % (number % 2))]
        (folder / f"data-{shard:03d}.tar").write_bytes(packed(members))
    return folder


def test_a_folder_of_shards_a_pattern_and_a_folder_of_images_are_the_same(
    shards: Path, tmp_path: Path, encoded: Encoded
) -> None:
    for row in range(12):
        (tmp_path / "plain" / str(row % 2)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / str(row % 2) / f"{row:02d}.png").write_bytes(encoded(row))
    plain = load_dataset(tmp_path / "plain")
    for source in (shards, f"{shards}/data-{{000..002}}.tar"):
        data = load_dataset(source)
        assert data.classes == ("0", "1") and data.labels.tolist() == [0, 1, 0, 1] * 3 and data.skipped == ()
        assert data.reader.name(5) == "data-001.tar!0001.png"
        assert data.about["labels"] == ".cls beside each image" and data.about["shards"] == "3"
        assert data.digests is not None and plain.digests is not None
        assert sorted(data.digests.tolist()) == sorted(plain.digests.tolist())
        pictures = decode_images(data, View(8, 8)).batch(range(12))
        order = [*range(0, 12, 2), *range(1, 12, 2)]
        np.testing.assert_array_equal(pictures[order], decode_images(plain, View(8, 8)).batch(range(12)))


def test_one_shard_is_recognised_and_class_folders_in_a_tar_are_not_shards(
    shards: Path, tmp_path: Path, encoded: Encoded
) -> None:
    assert load_dataset(shards / "data-001.tar").labels.tolist() == [0, 1, 0, 1]
    folders = [(f"{name}/{row}.png", encoded(row)) for row, name in enumerate(["rose", "tulip"])]
    (tmp_path / "folders.tar").write_bytes(packed([*folders, ("rose/0.txt", b"a note"), ("rose/0.json", b"{}")]))
    assert not is_webdataset(tmp_path / "folders.tar")
    assert load_dataset(tmp_path / "folders.tar").classes == ("rose", "tulip")


def test_a_compressed_shard_is_decompressed_once(shards: Path) -> None:
    with tarfile.open(shards / "data-000.tar") as plain, tarfile.open(shards / "data-000.tar.gz", "w:gz") as target:
        for info in plain:
            target.addfile(info, plain.extractfile(info))
    (shards / "data-000.tar").unlink()
    data = load_dataset(shards)
    assert len(data) == 12 and data.reader.name(0) == "data-000.tar.gz!0000.png"


@pytest.mark.parametrize(
    ("members", "label", "classes", "labels"),
    [
        ({"cls": b"7", "txt": b"seven", "json": b'{"label": "x"}'}, None, ("7", "8"), [0, 1]),
        ({"cls": b"7", "txt": b"seven"}, "txt", ("eight", "seven"), [1, 0]),
        ({"json": b'{"label": "seven"}'}, None, ("eight", "seven"), [1, 0]),
        ({"json": b'{"label": "seven", "kind": "odd"}'}, "kind", ("even", "odd"), [1, 0]),
        ({"json": b'["seven", "odd"]'}, None, ("eight", "even", "odd", "seven"), [[0, 0, 1, 1], [1, 1, 0, 0]]),
        ({"cls": b"7"}, "folder", ("f7", "f8"), [0, 1]),
        ({}, None, ("f7", "f8"), [0, 1]),
    ],
)
def test_where_a_label_is_from(
    tmp_path: Path,
    encoded: Encoded,
    members: Mapping[str, bytes],
    label: str | None,
    classes: tuple[str, ...],
    labels: list[int],
) -> None:
    (tmp_path / "s").mkdir()
    other = {b"7": b"8", b"seven": b"eight", b"odd": b"even"}
    for shard in (0, 1):
        contents = dict(members)
        if shard:
            for old, new in other.items():
                contents = {kind: text.replace(old, new) for kind, text in contents.items()}
        rest = [(f"f{7 + shard}/a.{kind}", text) for kind, text in contents.items()]
        (tmp_path / "s" / f"{shard}.tar").write_bytes(packed([(f"f{7 + shard}/a.png", encoded(shard)), *rest]))
    data = load_dataset(tmp_path / "s", label=label)
    assert data.classes == classes and data.labels.astype(int).tolist() == labels


def test_class_names_beside_the_shards_name_the_numbers(shards: Path) -> None:
    (shards / "classnames.txt").write_text("cat\nant\n")
    data = load_dataset(shards)
    assert data.classes == ("ant", "cat") and data.labels.tolist() == [1, 0] * 6
    (shards / "classnames.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"\.cls, row 2: the label '1' is not the number of a class; there are 1"):
        load_dataset(shards)


def test_the_names_of_shards_give_the_split(shards: Path) -> None:
    (shards / "data-000.tar").rename(shards / "pets-train-000.tar")
    (shards / "data-001.tar").rename(shards / "pets-train-001.tar")
    (shards / "val").mkdir()
    (shards / "data-002.tar").rename(shards / "val" / "000.tar")
    data = load_dataset(shards)
    assert data.given_split is not None
    assert data.given_split.tolist() == ["train"] * 8 + ["validation"] * 4


def test_what_cannot_be_used_is_left_out_and_said(tmp_path: Path, encoded: Encoded) -> None:
    members = [
        *[("a.png", encoded(0)), ("a.cls", b"0"), ("a.npy", b"besides"), ("._a.png", b"debris")],
        *[("b.png", encoded(1)), ("b.cls", b"1"), ("b.left.png", encoded(2))],
        ("c.png", encoded(3)),
        ("d.cls", b"1"),
        ("e.mp4", b"film"),
        *[("a.png", encoded(4)), ("a.cls", b"1")],
        *[("f.png", encoded(5)), ("f.cls", b"\xff\xfe")],
        *[("g.png", encoded(6)), ("g.cls", b"1" * 70_000)],
        *[("h.png", b"no image"), ("h.cls", b"1")],
        ("README", b"hello"),
    ]
    (tmp_path / "s.tar").write_bytes(packed(members))
    data = load_dataset(tmp_path / "s.tar")
    assert data.labels.tolist() == [0, 1]
    found = {skip.name.partition("!")[2]: skip.reason for skip in data.skipped}
    assert found.pop("h.png").startswith("is not an image")
    assert found == {
        "b.left.png": "is a second image of its key; the first is used",
        "c.png": "has no label",
        "d.cls": "is a label without an image",
        "e.mp4": "does not have the name of an image",
        "a.png": "has the key of an earlier image in the shard",
        "f.cls": "is not text in UTF-8",
        "f.png": "has no label",
        "g.cls": "has 70,000 bytes, too many for a label",
        "g.png": "has no label",
        "README": "does not have the name of an image",
    }
    with pytest.raises(DataError, match="remove it, or drop strict"):
        load_dataset(tmp_path / "s.tar", strict=True)


@pytest.mark.parametrize(
    ("left", "kept", "reason"),
    [
        (4 * 1024 + 600, 2, "is cut short (0002.png is not complete)"),  # in the third image
        (6 * 1024, 3, "is cut short (it has no end mark)"),
        (6 * 1024 + 100, 3, "is cut short (it has no end mark)"),  # in a header
    ],
)
def test_of_a_truncated_shard_the_whole_images_are_kept(shards: Path, left: int, kept: int, reason: str) -> None:
    whole = (shards / "data-001.tar").read_bytes()
    assert len(whole) == 10240 and whole[1024:1028] == b"0000"  # 1,024 bytes a member
    (shards / "data-001.tar").write_bytes(whole[:left])
    data = load_dataset(shards)
    assert len(data) == 8 + kept
    assert data.skipped == (Skip(f"data-001.tar!after {kept} images", reason),)


def test_a_file_that_is_no_tar_and_a_shard_that_is_not_there_are_named(shards: Path) -> None:
    with pytest.raises(DataError, match=r"no such file: .*data-003\.tar"):
        load_dataset(f"{shards}/data-{{001..003}}.tar")
    for shard in shards.iterdir():
        shard.write_bytes(b"x" * 5000)
    with pytest.raises(DataError, match=r"no image was found in 3 shards \(data-000.tar!after 0 images is damaged"):
        load_dataset(shards)


def test_captions_are_no_classes(tmp_path: Path, encoded: Encoded) -> None:
    members = [
        (f"{row}.{kind}", content)
        for row in range(60)
        for kind, content in (("png", encoded(row)), ("txt", f"a photo of {row}".encode()))
    ]
    (tmp_path / "s.tar").write_bytes(packed(members))
    with pytest.raises(DataError, match=r"60 images have 60 different texts: \.txt holds captions"):
        load_dataset(tmp_path / "s.tar")


def test_images_without_any_label_are_refused(tmp_path: Path, encoded: Encoded) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "0.tar").write_bytes(packed([("0.png", encoded(0))]))
    with pytest.raises(DataError, match="the images have no labels"):
        load_dataset(tmp_path / "s")
    with pytest.raises(DataError, match="lists of images cannot divide shards"):
        load_dataset(f"{tmp_path}/s/{{0..0}}.tar", lists=["train.txt"])


def test_an_index_is_read_once(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_dataset(shards)
    monkeypatch.setattr(indexing, "_read", lambda *_: pytest.fail("was read again"))
    assert load_dataset(shards).fingerprint == first.fingerprint


def test_shards_at_an_address_are_those_on_disk(shards: Path) -> None:
    memory = fsspec.filesystem("memory")
    for shard in sorted(shards.iterdir()):
        memory.pipe(f"/bucket/{shard.name}", shard.read_bytes())
    plain = load_dataset(shards)
    for source in ("memory://bucket/data-{000..002}.tar", "memory://bucket/", shards.as_uri()):
        data = load_dataset(source)
        assert data.fingerprint == plain.fingerprint
        assert pickle.loads(pickle.dumps(data.reader)).read(7) == plain.reader.read(7)
    with pytest.raises(DataError, match=r"no such file: memory://bucket/data-003\.tar"):
        load_dataset("memory://bucket/data-{002..003}.tar")
    with pytest.raises(DataError, match="is an address; download the dataset"):
        load_dataset("memory://elsewhere/")
    with pytest.raises(DataError, match="cannot be read in place"):
        load_dataset("memory://bucket/data-000.tar.gz")


def test_labels_at_an_address_are_named_too(shards: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/named/train/0.tar", (shards / "data-000.tar").read_bytes())
    memory.pipe("/named/test/0.tar", (shards / "data-001.tar").read_bytes())
    memory.pipe("/named/classnames.txt", json.dumps("ant").encode() + b"\nbee\n")
    data = load_dataset("memory://named")
    assert data.classes == ('"ant"', "bee") and data.given_split is not None
    assert data.given_split.tolist() == ["test"] * 4 + ["train"] * 4
    assert data.reader.name(0) == "test/0.tar!0000.png"
