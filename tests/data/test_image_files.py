from __future__ import annotations

import os
from pathlib import Path

import pytest

from headstart.data import image_files
from headstart.data.decoding.decode import UndecodableError, decode
from headstart.data.image_files import file_identity, file_state, read_file, too_many


def test_a_file_is_read_and_known_by_path_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345")
    assert read_file(path) == b"12345"
    assert file_identity(path) == f"{path}|{file_state(path)}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_and_a_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            read_file(path)
        with pytest.raises(OSError, match="not a regular file"):
            file_identity(path)
    with pytest.raises(UndecodableError, match="not a regular file"):
        decode(pipe)


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(bytes(11))
    monkeypatch.setattr(image_files, "MAX_BYTES", 11)
    assert len(read_file(path)) == 11
    monkeypatch.setattr(image_files, "MAX_BYTES", 10)
    with pytest.raises(OSError, match="11 bytes are too many for an image, more than 10"):
        read_file(path)
    assert too_many(11) == "11 bytes are too many for an image, more than 10"


def test_a_name_with_a_zero_byte_is_absent() -> None:
    for use in (read_file, file_identity):
        with pytest.raises(FileNotFoundError, match="zero byte"):
            use(Path("a\0b.jpg"))
