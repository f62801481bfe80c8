from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from headstart.data.decoding import bounds
from headstart.data.decoding.bounds import MAX_MEMORY, MAX_PIXELS, ROOM, memory_is_short, memory_of, webp_size
from headstart.data.decoding.decode import UndecodableError, View, check, decode, open_image, quiet_pillow

LIMITED = """
import resource, sys
from headstart.data.decoding.decode import UndecodableError, View, decode
import numpy, PIL.Image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    said = decode(sys.stdin.buffer.read(), View(256, 224)).shape
except UndecodableError as error:
    said = str(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, said)
"""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, channels: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    lines = zlib.compressobj(9)
    packed = b"".join(lines.compress(bytes(1 + width * channels * depth // 8)) for _ in range(height)) + lines.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def save(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def grown_by(data: bytes) -> tuple[int, str]:
    """Return the MiB that decoding takes in a fresh process, and what it said."""
    done = subprocess.run([sys.executable, "-c", LIMITED], input=data, capture_output=True, check=True)
    grown, _, said = done.stdout.decode().strip().partition(" ")
    return int(grown), said


def test_a_strip_of_60000_pixels_takes_little_memory() -> None:
    data = png(60_000, 1, 8, 2, 3)
    assert len(data) < 300
    grown, said = grown_by(data)
    assert said == "(224, 224, 3)" and grown < 100


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "colour", "channels"), [(16, 0, 1), (8, 6, 4), (8, 4, 2)])
def test_a_picture_at_the_bound_takes_what_was_reckoned(depth: int, colour: int, channels: int) -> None:
    data = png(13_000, 13_000, depth, colour, channels)
    grown, said = grown_by(data)
    with quiet_pillow(), open_image(data) as image:
        reckoned = memory_of(image)
    assert said == "(224, 224, 3)" and grown < reckoned >> 20


def test_a_picture_of_deep_numbers_is_reckoned_with_its_copies() -> None:
    with open_image(save(Image.fromarray(np.zeros((10, 20), np.uint16)), "PNG")) as image:
        assert memory_of(image) == 200 * (2 + 1 + 4)
    with open_image(save(Image.new("RGB", (20, 10)), "JPEG", progressive=True)) as image:
        assert memory_of(image) == 200 * (4 + 4 + 6)


def test_a_picture_with_alpha_is_reckoned_with_a_band_that_is_laid_on_white() -> None:
    with open_image(save(Image.new("RGBA", (20, 10)), "PNG")) as image:
        assert memory_of(image) == 200 * (4 + 4 + 20)
    with open_image(save(Image.new("RGBA", (2900, 2900)), "PNG")) as image:
        assert memory_of(image) == 2900 * 2900 * (4 + 4) + (1 << 22) * 20
    with open_image(save(Image.new("L", (20, 10)), "PNG", transparency=7)) as image:
        assert memory_of(image) == 200 * (1 + 4 + 20)


def test_more_memory_than_the_bound_is_refused_by_the_header() -> None:
    side = int((MAX_MEMORY / 24) ** 0.5) + 100
    assert side * side < MAX_PIXELS
    canvas = bytes([0, 0, 0, 0]) + 2 * (side - 1).to_bytes(3, "little")
    data = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + canvas
    assert webp_size(data) == (side, side)
    assert "GB of memory to decode, more than 1.6 GB; make it smaller" in str(check(data))


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}])
def test_the_size_of_a_webp_is_in_its_header(options: dict[str, object]) -> None:
    assert webp_size(save(Image.new("RGB", (37, 91)), "WEBP", **options)) == (37, 91)
    assert webp_size(b"RIFF1234WEBPVP8 ") is None


def test_a_side_may_be_long_but_not_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(Image.new("L", (200, 1)), "PNG")
    assert check(data) is None
    monkeypatch.setattr(bounds, "MAX_SIDE", 199)
    assert check(data) == "is 200 × 1 pixels: a side is longer than 199"


def test_a_tiff_whose_tile_is_larger_than_its_picture_is_refused() -> None:
    numbers = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in numbers.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(numbers)) + entries + bytes(4)
    assert "GB of memory" in str(check(data))


def test_an_icon_which_pillow_decodes_as_it_opens_it_is_no_image() -> None:
    assert check(save(Image.new("RGB", (16, 16)), "ICO")) == "is not an image"


def test_images_that_would_exceed_the_bound_together_wait_for_each_other() -> None:
    held, order = threading.Event(), []

    def second() -> None:
        held.wait()
        with ROOM.of(MAX_MEMORY // 2):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with ROOM.of(MAX_MEMORY // 2 + 1):
        held.set()
        time.sleep(0.05)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    with ROOM.of(MAX_MEMORY + 1):  # alone, whatever it takes
        pass


def test_after_a_fork_no_memory_is_taken() -> None:
    with ROOM.of(MAX_MEMORY):
        ROOM.forget()
        with ROOM.of(MAX_MEMORY):
            pass
    ROOM.forget()


def test_memory_is_short_where_the_process_may_have_no_more() -> None:
    assert not memory_is_short(1 << 20)
    assert memory_is_short(1 << 60)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are enforced on Linux")
def test_a_lack_of_memory_is_not_a_fault_of_the_image() -> None:
    data = png(6_000, 6_000, 8, 2, 3)
    said = "from headstart.data.decoding.faults import LacksMemoryError\n" + LIMITED.replace(
        "UndecodableError as error", "LacksMemoryError as error"
    )
    held = "held = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
    limit = "resource.setrlimit(resource.RLIMIT_AS, (held + (60 << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))\n"
    code = said.replace("before =", held + limit + "before =")
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=data,
        capture_output=True,
        check=False,
    )
    assert b"too little memory is free" in done.stdout, done.stderr


def test_only_what_is_no_image_is_undecodable(monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(Image.new("RGB", (30, 30)), "PNG")

    def fails(*_: object) -> None:
        raise OSError("broken data stream")

    monkeypatch.setattr(Image.Image, "load", fails)
    with pytest.raises(UndecodableError, match="broken data stream"):
        decode(data, View(8, 8))
    monkeypatch.setattr("headstart.data.decoding.decode.memory_is_short", lambda _: True)
    with pytest.raises(UndecodableError, match="too little memory is free"):
        decode(data, View(8, 8))
