from __future__ import annotations

import contextlib
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from headstart.data.decoding.decode import View, content_of, decode
from headstart.data.decoding.pictures import batch_of, pictures_of
from headstart.errors import DataError, ImageTypeError

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
WAYS: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "path": Path,
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "open file": lambda path: path.open("rb"),
    "file that was read": lambda path: _read_once(path),
    "in memory": lambda path: io.BytesIO(path.read_bytes()),
    "PIL": Image.open,
    "PIL in memory": lambda path: Image.open(io.BytesIO(path.read_bytes())),
}
FILES = ("upright.png", "turned.jpg", "turned.png", "alpha.png", "palette.png", "cmyk.tif", "deep.png", "float.tif")


def _read_once(path: Path) -> Any:
    file = io.BytesIO(path.read_bytes())
    file.read()
    return file


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one file of each kind that programs get wrong."""
    root = tmp_path_factory.mktemp("files")
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(root / "upright.png")
    image.save(root / "turned.jpg", exif=exif, quality=95)
    image.save(root / "turned.png", exif=exif.tobytes())
    layer = image.convert("RGBA")
    layer.putalpha(Image.fromarray(PIXELS[..., 0]))
    layer.save(root / "alpha.png")
    image.quantize(16).save(root / "palette.png", transparency=3)
    image.convert("CMYK").save(root / "cmyk.tif")
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) << 4).save(root / "deep.png")
    Image.fromarray(PIXELS[..., 0].astype(np.float32) / 255).save(root / "float.tif")
    return root


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FILES)
def test_every_way_in_gives_the_same_pixels(files: Path, name: str, way: str) -> None:
    view, picture = View(8, 8), WAYS[way](files / name)
    with picture if hasattr(picture, "close") else contextlib.nullcontext():
        np.testing.assert_array_equal(decode(picture, view), decode((files / name).read_bytes(), view))
        np.testing.assert_array_equal(decode(content_of(picture), view), decode((files / name).read_bytes(), view))


def test_a_turned_photograph_is_upright_and_the_users_own_image_is_left_as_it_was(files: Path) -> None:
    with Image.open(files / "turned.png") as opened:
        np.testing.assert_array_equal(decode(opened), np.rot90(PIXELS, -1))
        assert opened.size == (9, 12) and opened.getexif()[0x0112] == 6


@pytest.mark.parametrize(
    "array",
    [
        PIXELS,
        PIXELS.astype(np.float32) / 255,
        PIXELS.astype(np.float64),
        PIXELS.astype(np.int64),
        PIXELS.astype(np.uint16) << 8,
        np.moveaxis(PIXELS, -1, 0),
        torch.from_numpy(PIXELS),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
        (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).requires_grad_(),
        np.dstack([PIXELS, np.full((12, 9), 255, np.uint8)]),
    ],
)
def test_arrays_and_tensors_of_any_type_and_order_of_channels(array: Any) -> None:
    np.testing.assert_array_equal(decode(array), PIXELS)


def test_a_tensor_whose_first_and_last_dimension_may_be_channels_has_them_first() -> None:
    tensor = torch.arange(18, dtype=torch.uint8).reshape(3, 2, 3)
    np.testing.assert_array_equal(decode(tensor), tensor.numpy().transpose(1, 2, 0))
    np.testing.assert_array_equal(decode(tensor.numpy()), tensor.numpy())


@pytest.mark.parametrize(
    ("batch", "count"),
    [
        (PIXELS[None].repeat(5, 0), 5),
        (PIXELS[None, ..., 0].repeat(5, 0), 5),
        (torch.zeros(5, 3, 4, 4), 5),
        (torch.zeros(5, 4, 7), 5),
        ([PIXELS, PIXELS[:4], "a.png", Path("b.png"), b"x"], 5),
        ((PIXELS, PIXELS), 2),
        (iter([PIXELS]), 1),
        (np.array(["a.png", "b.png"]), 2),
        (np.array([["a.png"], ["b.png"]], dtype=object), 2),
        (pandas.Series(["a.png", "b.png"], index=[7, 3]), 2),
        (pandas.DataFrame({"path": ["a.png", "b.png"]}), 2),
        (PIXELS, 1),
        (PIXELS[..., 0], 1),
        (torch.zeros(3, 4, 7), 1),
        ("a.png", 1),
    ],
)
def test_one_image_and_batches_are_told_apart(batch: Any, count: int) -> None:
    assert len(pictures_of(batch)) == count


def test_rows_of_a_batch_are_the_images() -> None:
    stack = np.stack([PIXELS, 255 - PIXELS])
    for batch in (stack, list(stack), torch.from_numpy(stack).permute(0, 3, 1, 2)):
        for row, picture in enumerate(batch_of(batch)):
            np.testing.assert_array_equal(decode(picture), stack[row])


def test_an_array_of_grey_images_as_narrow_as_channels_is_a_batch_where_their_number_is_known() -> None:
    assert len(batch_of(np.zeros((6, 5, 4), np.uint8), count=6)) == 6
    with pytest.raises(ImageTypeError, match="is one image where a batch is needed"):
        batch_of(np.zeros((6, 5, 4), np.uint8))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (7, r"int 7 is not an image|not a batch"),
        (None, "not a batch of images"),
        ({"a": 1}, "not a batch of images"),
        ([PIXELS, 3.5], "image 1: float 3.5 is not an image; an image is a path, encoded bytes"),
        ([np.zeros((6, 7, 5))], r"image 0: an array of float64 \[6, 7, 5\] has neither 1, 3 nor 4 channels"),
        ([np.zeros(4)], r"float64 \[4\] is not an image"),
        (np.zeros((4, 4, 4), complex), "complex128"),
        (np.zeros((2, 3, 4, 4, 3)), "not a batch of images"),
        (np.zeros((3, 40, 50)), "may be one image with its channels first or 3 grey images"),
        (pandas.DataFrame({"path": ["a"], "label": ["b"]}), "a table of 2 columns is not a batch"),
        (io.StringIO("text"), "opened as text"),
    ],
)
def test_what_is_no_image_is_one_type_error_that_says_what_is_taken(images: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words) as caught:
        pictures_of(images)
    assert isinstance(caught.value, DataError) and "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def signed_tiff(values: np.ndarray) -> bytes:
    """Return a TIFF of int16, which Pillow reads but does not write."""
    (height, width), data = values.shape, values.astype("<i2").tobytes()
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data), 339: 2}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + directory + bytes(4)


DEEP = np.random.default_rng(1).integers(0, 4096, (12, 9)).astype(np.uint16)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("PNG", DEEP),  # twelve bits in sixteen
        ("TIFF", DEEP),
        ("TIFF", DEEP << 4),
        ("int16", DEEP.astype(np.int16) - 2000),
        ("TIFF", DEEP.astype(np.int32) - 2000),
        ("TIFF", DEEP.astype(np.float32) / 4095),
        ("TIFF", DEEP.astype(np.float32)),
    ],
)
def test_deep_numbers_give_the_same_pixels_from_a_file_and_from_memory(kind: str, values: np.ndarray) -> None:
    buffer = io.BytesIO()
    if kind == "int16":
        buffer.write(signed_tiff(values))
    else:
        Image.fromarray(values).save(buffer, kind)
    expected = decode(buffer.getvalue())
    assert len(np.unique(expected)) > 50
    for picture in (values, torch.from_numpy(values.copy()), Image.open(buffer)):
        np.testing.assert_array_equal(decode(picture), expected)


@pytest.mark.parametrize("shape", [(30, 20, 2), (30, 20, 5), (30, 28, 7)])
def test_an_image_of_other_channels_is_no_batch_of_narrow_grey_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageTypeError, match=r"has neither 1, 3 nor 4 channels; choose three of them"):
        pictures_of(np.zeros(shape, np.uint8))
    assert len(pictures_of(np.zeros((30, 5, 5), np.uint8))) == len(pictures_of(np.zeros((30, 20, 8), np.uint8))) == 30
    assert len(batch_of(np.zeros((30, 20, 2), np.uint8), 30)) == 30


def test_a_closed_file_is_refused_as_such(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    with (tmp_path / "a").open("rb") as file:
        pass
    with pytest.raises(ImageTypeError, match="the file is closed; give it while it is open, or give its path"):
        pictures_of(file)
