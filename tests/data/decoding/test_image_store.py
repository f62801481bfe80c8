from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart.data.decoding.image_store as images_module
from headstart.data.decoding.decode import View, decode_file
from headstart.data.decoding.image_store import CHUNK, ImageArray, decode_images, images_key, stored_key
from headstart.data.sources.load import load_dataset
from headstart.errors import DataError, StoreError
from headstart.storage.opening import default_store
from headstart.storage.store import Store
from tests.data.conftest import pixels

VIEW = View(10, 8)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 2 classes with 150 images each, of several sizes; rows 0 and 1 are equal images."""
    root = tmp_path_factory.mktemp("many")
    for name in ("c0", "c1"):
        (root / name).mkdir()
    for number in range(300):
        seed = 0 if number == 1 else number
        picture = Image.fromarray(pixels(seed, (10 + seed % 7, 12 + seed % 5)))
        picture.save(root / f"c{number % 2}" / f"{number:03d}.png")
    return root


@pytest.fixture
def altered(many: Path, tmp_path: Path) -> Path:
    """Return a copy of these images for a test that changes some."""
    return Path(shutil.copytree(many, tmp_path / "many"))


@cache
def decoded_alone(path: Path, view: View) -> np.ndarray:
    """Return an image that no test changes, without the store."""
    return decode_file(path, view)


def expected(root: Path, dataset: Any, view: View) -> list[np.ndarray]:
    return [decoded_alone(root / dataset.reader.name(row), view) for row in range(len(dataset))]


def test_every_row_is_the_decoded_image(many: Path) -> None:
    dataset = load_dataset(many)
    array = decode_images(dataset, VIEW)
    wanted = np.stack(expected(many, dataset, VIEW))
    assert len(array) == 300 and array.bad == {}
    np.testing.assert_array_equal(array.batch(range(300)), wanted)
    np.testing.assert_array_equal(array[17], wanted[17])
    assert array.shape(3) == (8, 8)


def test_whole_images_keep_their_sizes(many: Path) -> None:
    dataset = load_dataset(many)
    view = View(10, None)
    array = decode_images(dataset, view)
    for row, wanted in enumerate(expected(many, dataset, view)):
        np.testing.assert_array_equal(array[row], wanted)
        assert array.shape(row) == wanted.shape[:2]
    with pytest.raises(DataError, match="no batch"):
        array.batch([0])


def test_chunks_come_in_order_and_cover_every_row_both_fresh_and_from_the_cache(many: Path) -> None:
    dataset = load_dataset(many)
    wanted = np.stack(expected(many, dataset, VIEW))
    for _ in range(2):
        rows: list[tuple[int, int]] = []

        def take(start: int, stop: int, pixels: np.ndarray, rows: list[tuple[int, int]] = rows) -> None:
            rows.append((start, stop))
            np.testing.assert_array_equal(pixels, wanted[start:stop])

        decode_images(dataset, VIEW, on_chunk=take)
        assert rows[0][0] == 0 and rows[-1][1] == 300
        assert all(before[1] == after[0] for before, after in itertools.pairwise(rows))
        assert all(stop - start <= CHUNK for start, stop in rows)


def test_equal_images_are_stored_once(many: Path) -> None:
    dataset = load_dataset(many)
    array = decode_images(dataset, VIEW)
    distinct = len(np.unique(dataset.digests))
    assert distinct == 299
    assert (array.folder / "pixels.u8").stat().st_size == distinct * 8 * 8 * 3


def test_the_second_call_decodes_nothing(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(many)
    first = decode_images(dataset, VIEW)
    monkeypatch.setattr(images_module, "decode", lambda *_, **__: pytest.fail("decoded again"))
    again = decode_images(load_dataset(many), VIEW)
    assert again.key == first.key
    np.testing.assert_array_equal(again.batch([5]), first.batch([5]))


def test_the_keys_are_known_before_anything_is_decoded(many: Path) -> None:
    dataset = load_dataset(many)
    rows, stored = images_key(dataset, VIEW), stored_key(dataset, VIEW)
    assert not default_store().has("images", stored)
    images = decode_images(dataset, VIEW)
    assert isinstance(images, ImageArray) and images.key == rows and default_store().has("images", stored)


def test_the_key_depends_on_content_order_and_view(many: Path) -> None:
    dataset = load_dataset(many)
    keys = {
        decode_images(dataset, VIEW).key,
        decode_images(dataset, View(11, 8)).key,
        decode_images(dataset, View(10, 8, "bilinear")).key,
        decode_images(dataset.select(range(299)), VIEW).key,
        decode_images(dataset.select(range(299, -1, -1)), VIEW).key,
    }
    assert len(keys) == 5


def test_a_damaged_image_is_bad_and_black_and_the_others_are_whole(altered: Path) -> None:
    victim = altered / "c1" / "151.png"
    with Image.open(victim) as image:
        image.convert("RGB").save(victim, "JPEG")
    data = bytearray(victim.read_bytes())
    data[-80:-40] = bytes(40)  # its end is whole, so that only decoding shows it
    victim.write_bytes(data)
    dataset = load_dataset(altered)
    array = decode_images(dataset, VIEW)
    (row,) = array.bad
    assert dataset.reader.name(row) == "c1/151.png"
    assert "is damaged" in array.bad[row]
    assert not array[row].any() and array[row - 1].any()
    assert decode_images(dataset, View(10, None)).bad.keys() == {row}
    with pytest.raises(DataError, match=r"many: c1/151.png is damaged.* drop strict to leave it out"):
        decode_images(dataset, VIEW, strict=True)


def test_an_image_that_changed_after_loading_is_refused(altered: Path, draw: Any) -> None:
    dataset = load_dataset(altered)
    draw(altered / "c0" / "100.png", 999)
    with pytest.raises(DataError, match=r"c0/100.png has changed since it was loaded"):
        decode_images(dataset, VIEW)
    (altered / "c0" / "100.png").unlink()
    with pytest.raises(DataError, match="can no longer be read"):
        decode_images(dataset, VIEW)


def test_work_goes_on_after_an_interruption_where_it_stopped(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(many)

    def stop(start: int, stop: int, pixels: np.ndarray) -> None:
        if start >= 128:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_images(dataset, VIEW, on_chunk=stop)
    decoded = []
    real = images_module.decode
    monkeypatch.setattr(images_module, "decode", lambda *given, **how: decoded.append(1) or real(*given, **how))
    seen: list[int] = []
    array = decode_images(dataset, VIEW, on_chunk=lambda start, stop, _: seen.extend(range(start, stop)))
    assert seen == list(range(300))
    assert len(decoded) < 299 - 128 + 1
    np.testing.assert_array_equal(array.batch(range(300)), np.stack(expected(many, dataset, VIEW)))


def test_pixels_that_a_crash_left_wrong_are_decoded_again(many: Path) -> None:
    dataset = load_dataset(many)

    def stop(start: int, *_: Any) -> None:
        if start >= 192:
            raise KeyboardInterrupt

    for view in (VIEW, View(10, 8, "bilinear")):
        with pytest.raises(KeyboardInterrupt):
            decode_images(dataset, view, on_chunk=stop)
    flat, torn = sorted(default_store().root.glob("images/*.partial"))
    with (flat / "pixels.u8").open("r+b") as file:  # a block that never reached the disk
        file.seek(70 * 8 * 8 * 3)
        file.write(bytes(500))
    journal = torn / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])  # a line cut in the middle
    for view in (VIEW, View(10, 8, "bilinear")):
        wanted = np.stack(expected(many, dataset, view))
        np.testing.assert_array_equal(decode_images(dataset, view).batch(range(300)), wanted)


SCRIPT = """
import sys, time
from headstart.data.decoding import image_store as images
from headstart.data.decoding.decode import View
from headstart.data.sources.load import load_dataset
real = images.decode
def slow(*args, **how):
    time.sleep(0.02)
    return real(*args, **how)
images.decode = slow
images.decode_images(load_dataset(sys.argv[1]), View(10, 8), workers=2)
"""


@pytest.mark.long
def test_sigkill_at_any_moment_leaves_nothing_that_is_taken_for_whole(many: Path) -> None:
    dataset = load_dataset(many)
    wanted = np.stack(expected(many, dataset, VIEW))
    lines = 0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(many)])
        limit = time.monotonic() + 120
        journal = None
        while time.monotonic() < limit and process.poll() is None:
            journal = next(default_store().root.glob("images/*.partial/journal.jsonl"), None)
            if journal is not None and journal.read_bytes().count(b"\n") > lines:
                break
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if journal is not None and journal.exists():
            lines = journal.read_bytes().count(b"\n")
    assert lines >= 1
    assert not list(default_store().root.glob("images/*/manifest.json"))
    np.testing.assert_array_equal(decode_images(dataset, VIEW).batch(range(300)), wanted)


def _decode_in_process(root: str, queue: Any) -> None:
    array = decode_images(load_dataset(root), VIEW)
    queue.put(int(array.batch(range(300)).astype(np.int64).sum()))


def test_two_processes_decode_the_same_images_once_and_agree(many: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_decode_in_process, args=(str(many), queue)) for _ in range(2)]
    for process in processes:
        process.start()
    sums = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    wanted = np.stack(expected(many, load_dataset(many), VIEW))
    assert sums == {int(wanted.astype(np.int64).sum())}
    assert len(list(default_store().root.glob("images/*/manifest.json"))) == 1


def test_a_full_disk_is_one_clear_error_and_keeps_what_was_done(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(many)
    real, calls = images_module.Journal.append, []

    def full(self: Any, *args: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(self, *args)

    monkeypatch.setattr(images_module.Journal, "append", full)
    with pytest.raises(StoreError, match="disk is full"):
        decode_images(dataset, VIEW)
    array = decode_images(dataset, VIEW)
    np.testing.assert_array_equal(array.batch(range(300)), np.stack(expected(many, dataset, VIEW)))


def test_a_store_entry_that_was_cut_is_made_again(many: Path) -> None:
    dataset = load_dataset(many)
    whole = decode_images(dataset, VIEW)
    wanted = whole.batch(range(300))
    os.truncate(whole.folder / "pixels.u8", 100)
    np.testing.assert_array_equal(decode_images(dataset, VIEW).batch(range(300)), wanted)


def test_no_thread_is_left_after_an_error(many: Path) -> None:
    import threading

    dataset = load_dataset(many)
    with pytest.raises(ZeroDivisionError):
        decode_images(dataset, VIEW, on_chunk=lambda *_: 1 // 0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("decode", "look"))]


def test_an_image_array_travels_to_another_process_without_its_pixels(many: Path) -> None:
    array = decode_images(load_dataset(many), VIEW)
    array.batch([0])
    data = pickle.dumps(array)
    assert len(data) < 10_000
    np.testing.assert_array_equal(pickle.loads(data)[9], array[9])


def test_chunks_of_whole_images_are_refused(many: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only with a crop"):
        decode_images(load_dataset(many), View(10, None), on_chunk=lambda *_: None)


def test_a_store_of_ones_own_is_used(many: Path, tmp_path: Path) -> None:
    decode_images(load_dataset(many), VIEW, store=Store(tmp_path / "own"))
    assert list((tmp_path / "own").glob("images/*/pixels.u8"))
    assert not list(default_store().root.glob("images/*"))


def test_only_images_that_another_process_may_have_written_are_compared(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    place = "headstart.data.decoding.image_store.PixelChecks"
    monkeypatch.setattr(place, lambda _, *, compared: told.append(compared))
    for _ in range(2):
        decode_images(load_dataset(many), VIEW)
    assert told == [True, False]


@pytest.mark.parametrize("view", [VIEW, View(10, None, "bilinear")])
@pytest.mark.parametrize("how", ["read", "handed over"])
def test_one_altered_bit_of_a_stored_image_is_found_when_that_is_read(
    many: Path, view: View, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(many)
    images = decode_images(dataset, view)
    wanted = [np.array(images[row]) for row in (0, 299)]
    monkeypatch.setattr("headstart.storage.store.fault", lambda *_, **__: None)  # as if that part was not sampled
    with (images.folder / "pixels.u8").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 4]))
    again = decode_images(dataset, view)
    np.testing.assert_array_equal(again[0], wanted[0])
    with pytest.raises(StoreError, match=r"image 29[89] has changed since it was written"):
        if how == "read" or view.crop is None:
            again[299] if view.crop is None else again.batch([0, 299])
        else:
            decode_images(dataset, view, on_chunk=lambda *_: None)
    np.testing.assert_array_equal(decode_images(dataset, view)[299], wanted[1])


@pytest.mark.parametrize("view", [VIEW, View(10, None)])
@pytest.mark.parametrize("rows", ["a row less", "another order", "fewer rows", "more rows"])
def test_only_the_same_first_images_are_copied(
    rows: str, view: View, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_dataset(many)
    old = whole.select(range(150))
    new = {
        "a row less": [*range(5), *range(6, 200)],
        "another order": [*range(149, -1, -1), *range(150, 200)],
        "fewer rows": range(140),
        "more rows": range(200),
    }[rows]
    store, decoded, decode = Store(tmp_path / "store"), [], images_module.decode
    decode_images(old, view, store=store)
    monkeypatch.setattr(images_module, "decode", lambda *given, **how: decoded.append(1) or decode(*given, **how))
    dataset = whole.select(new)
    found = decode_images(dataset, view, store=store, parts=[old])
    wanted = 49 if rows == "more rows" else len(np.unique(dataset.digests))  # row 150 equals row 0
    assert len(decoded) == wanted
    for row in range(len(dataset)):
        np.testing.assert_array_equal(found[row], decoded_alone(many / dataset.reader.name(row), view))
