from __future__ import annotations

import hashlib
import os
import time
import zlib
from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.storage import checksums
from headstart.storage.checksums import (
    Depth,
    certify,
    described,
    fault,
    forget,
    is_intact,
    opened,
    sealed,
    sha256_of,
    unsealed,
)
from headstart.storage.files import write_json


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 10)
    monkeypatch.setattr(checksums, "LARGE", 1000)


def test_a_file_is_described_by_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(b"abc")
    (tmp_path / "manifest.json").touch()
    assert described(tmp_path) == {"deep/a": {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}}


def test_a_large_file_has_a_checksum_of_each_block_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 10)
    monkeypatch.setattr(checksums, "LARGE", 20)
    content = bytes(range(25))
    (tmp_path / "a").write_bytes(content)
    blocks = "".join(f"{zlib.crc32(content[low:high]):08x}" for low, high in ((0, 10), (10, 20), (20, 25)))
    sha256 = hashlib.sha256(content).hexdigest()
    assert described(tmp_path) == {"a": {"bytes": 25, "sha256": sha256, "blocks": blocks}}


def test_a_file_without_sha256_of_a_former_version_is_checked_block_by_block(
    tmp_path: Path, small_blocks: None
) -> None:
    content = os.urandom(500)
    (tmp_path / "a").write_bytes(content)
    crcs = (zlib.crc32(content[place : place + 10]) for place in range(0, 500, 10))
    files = {"a": {"bytes": 500, "blocks": "".join(f"{crc:08x}" for crc in crcs)}}
    assert all(fault(tmp_path, files, depth) is None for depth in Depth)
    (tmp_path / "a").write_bytes(content[:255] + bytes([content[255] ^ 1]) + content[256:])
    assert all(fault(tmp_path, files, depth) == "a has changed since it was written" for depth in Depth)


@pytest.mark.parametrize("size", [3, 1000])
def test_every_byte_of_a_file_that_is_not_sampled_counts(tmp_path: Path, small_blocks: None, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    files = described(tmp_path)
    assert fault(tmp_path, files) is None and fault(tmp_path, files, Depth.WHOLE) is None
    for place in {0, 1, size // 2, size - 1}:
        (tmp_path / "a").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert fault(tmp_path, files) == "a has changed since it was written"
    (tmp_path / "a").write_bytes(content[:-1])
    assert fault(tmp_path, files) == f"a has {size - 1:,} of {size:,} bytes"
    (tmp_path / "a").unlink()
    assert fault(tmp_path, files) == "a is missing"
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    assert fault(tmp_path, files) == "a is missing", "a link may lead anywhere"


def test_of_a_very_large_file_the_ends_and_a_few_blocks_are_checked(tmp_path: Path, small_blocks: None) -> None:
    content = bytearray(os.urandom(2000))  # 200 blocks, of which 16 are checked
    (tmp_path / "a").write_bytes(content)
    files = described(tmp_path)

    def found(place: int, seed: int) -> bool:
        (tmp_path / "a").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        return fault(tmp_path, files, seed=seed) is not None

    assert all(found(place, seed) for place in (0, 9, 1990, 1999) for seed in range(5))
    caught = sum(found(1005, seed) for seed in range(400))
    assert caught == pytest.approx(400 * 14 / 198, abs=20), "each other block is as likely"  # 28; sd 5.1
    for depth in (Depth.BLOCKS, Depth.WHOLE):
        assert fault(tmp_path, files, depth) == "a has changed since it was written"
    (tmp_path / "a").write_bytes(content[:1000] + bytes(1000))
    assert fault(tmp_path, files, seed=0) is not None
    (tmp_path / "a").write_bytes(content)
    files["a"]["sha256"] = "0" * 64
    assert fault(tmp_path, files, Depth.BLOCKS) is None and fault(tmp_path, files, Depth.WHOLE) is not None


def test_a_file_is_hashed_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        os.utime(path, ns=(0, int.from_bytes(content)))
        assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_sealed_facts_are_read_as_they_were(tmp_path: Path) -> None:
    facts = {"bad": {2: "x", 10: "é"}, "rate": 0.1 + 0.2, "none": None, "list": (1, 2)}
    write_json(tmp_path / "m", sealed(facts))
    assert unsealed(tmp_path / "m", strict=True) == {**facts, "bad": {"2": "x", "10": "é"}, "list": [1, 2]}


def test_facts_that_were_altered_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write_json(path, sealed({"lr": 0.01}))
    path.write_text(path.read_text().replace("0.01", "0.11"))
    with pytest.raises(StoreError, match="m: has changed since it was written"):
        unsealed(path)
    write_json(path, {"lr": 0.01})
    assert unsealed(path) == {"lr": 0.01}, "facts of an older version have no seal"
    with pytest.raises(StoreError, match="has changed since it was written"):
        unsealed(path, strict=True)
    path.write_text("[1]")
    with pytest.raises(StoreError, match="holds no facts"):
        unsealed(path)


def put(path: Path, content: bytes) -> None:
    part = path.with_name("part")
    part.write_bytes(content)
    certify(part, path)


def test_a_certified_file_is_intact_until_it_is_altered(tmp_path: Path) -> None:
    path = tmp_path / "epoch.ckpt"
    assert not is_intact(path)
    put(path, b"one")
    assert is_intact(path) and path.read_bytes() == b"one"
    path.write_bytes(b"two")
    assert not is_intact(path)
    put(path, b"three")
    assert is_intact(path)
    forget(path)
    assert list(tmp_path.iterdir()) == [] and not is_intact(path)
    forget(path)
    path.write_bytes(b"of an older version")
    assert not is_intact(path)


def test_a_crash_between_the_checksum_and_the_file_leaves_the_old_file_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "epoch.ckpt"
    put(path, b"one")
    move = os.replace

    def die(one: Path, other: Path) -> None:
        if other == path:
            raise KeyboardInterrupt
        move(one, other)

    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "replace", die)
            put(path, b"two")
        assert path.read_bytes() == b"one" and is_intact(path)


def test_what_was_never_sealed_is_not_opened() -> None:
    assert opened(sealed({"a": 1})) == {"a": 1}
    for facts in ({"a": 1}, {**sealed({"a": 1}), "a": 2}, [], "x", None):
        with pytest.raises(ValueError):
            opened(facts)


def test_a_seal_whose_name_is_damaged_is_a_seal_and_facts_of_an_older_version_have_none(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    write_json(path, sealed({"n": 3, "file": "0" * 64}))
    assert unsealed(path) == {"n": 3, "file": "0" * 64}
    path.write_text(path.read_text().replace('"sha256"', '"sha250"'))
    with pytest.raises(StoreError, match=r"facts\.json: has changed since it was written; delete it"):
        unsealed(path)
    write_json(path, {"n": 3, "file": "0" * 64})
    assert unsealed(path) == {"n": 3, "file": "0" * 64}


def test_a_file_that_changes_again_within_a_tick_of_the_clock_is_hashed_again(tmp_path: Path) -> None:
    path, now = tmp_path / "a.bin", time.time_ns()
    found = []
    for content in (b"a", b"b"):
        path.write_bytes(content)
        os.utime(path, ns=(now, now))
        found.append(sha256_of(path))
    assert found == [hashlib.sha256(content).hexdigest() for content in (b"a", b"b")]
