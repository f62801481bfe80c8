from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from headstart.models.preprocessing import Preprocessing
from headstart.storage.checksums import sealed
from headstart.storage.files import write_json
from headstart.storage.store import Store
from headstart.transfer.frozen.engine import Engine
from headstart.transfer.frozen.features import extract, features_key, load_features

NEEDS = Preprocessing(8, 8, "bilinear", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ).eval()


class Pictures:
    def __init__(self, n: int) -> None:
        self.pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, rows: np.ndarray) -> np.ndarray:
        self.asked.extend(int(row) for row in rows)
        return self.pixels[rows]


def plainly(module: nn.Module, pixels: np.ndarray) -> np.ndarray:
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (NEEDS.mean, NEEDS.std))
    with torch.no_grad():
        return module((images - mean) / std).numpy()


def test_features_are_computed_once(tmp_path: Path) -> None:
    module, pictures, store = network(), Pictures(70), Store(tmp_path)
    key = features_key("these images", module, NEEDS, "cpu")
    first = extract(pictures, module, NEEDS, key=key, store=store)
    assert np.allclose(first, plainly(module, pictures.pixels), atol=1e-5)
    pictures.asked.clear()
    again = extract(pictures, module, NEEDS, key=key, store=store)
    assert pictures.asked == [] and np.array_equal(first, again)
    assert np.array_equal(load_features(key, store), first)


def test_an_interrupted_pass_goes_on_where_it_stopped(tmp_path: Path) -> None:
    module, pictures, store = network(), Pictures(96), Store(tmp_path)

    def breaking(at: int) -> Callable[[Any], None]:
        def hand_over(take: Any) -> None:
            for start in range(0, 96, 16):
                if start == at:
                    raise KeyboardInterrupt
                take(start, start + 16, pictures.batch(np.arange(start, start + 16)))

        return hand_over

    with pytest.raises(KeyboardInterrupt):
        extract(pictures, module, NEEDS, key="k", store=store, source=breaking(48))
    seen: list[int] = []

    class Watched(Engine):
        def __call__(self, pixels: np.ndarray) -> np.ndarray:
            seen.append(len(pixels))
            return super().__call__(pixels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headstart.transfer.frozen.features.Engine", Watched)
        matrix = extract(pictures, module, NEEDS, key="k", store=store, source=breaking(-1))
    assert sum(seen) == 48, "the first 48 rows are not computed again"
    assert np.array_equal(matrix, extract(pictures, module, NEEDS, key="other", store=store, source=breaking(-1)))


@pytest.mark.parametrize("change", ["images", "weights", "buffers", "normalisation"])
def test_the_key_changes_with_all_that_the_numbers_depend_on(change: str) -> None:
    module, needs, images = network(), NEEDS, "a"
    before = features_key(images, module, needs, "cpu")
    if change == "images":
        images = "b"
    elif change == "weights":
        module[0].weight.data[0, 0, 0, 0] += 1e-7
    elif change == "buffers":
        module[1].running_mean[0] += 1e-7
    else:
        needs = Preprocessing(8, 8, "bilinear", (0.4, 0.5, 0.6), (0.2, 0.3, 0.41))
    assert features_key(images, module, needs, "cpu") != before


@pytest.mark.parametrize("part", ["features.npy", "journal.json", "of another", "cut", "another"])
def test_rows_of_an_interrupted_pass_that_are_not_what_was_written_are_computed_again(
    tmp_path: Path, part: str
) -> None:
    module, pictures, store = network(), Pictures(96), Store(tmp_path)
    wanted = extract(pictures, module, NEEDS, key="other", store=store)

    def stopping(take: Any) -> None:
        take(0, 64, pictures.batch(np.arange(64)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(pictures, module, NEEDS, key="k", store=store, source=stopping)
    matrix, journal = (tmp_path / "features" / "k.partial" / name for name in ("features.npy", "journal.json"))
    if part == "features.npy":
        with matrix.open("r+b") as file:
            file.seek(500)
            file.write(bytes(64))
    elif part == "journal.json":
        journal.write_text(journal.read_text().replace("64", "96"))
    elif part == "of another":
        write_json(journal, sealed({"done": 64}))
    elif part == "cut":
        matrix.write_bytes(matrix.read_bytes()[:100])
    else:
        matrix.write_bytes(b"no array")
    pictures.asked.clear()
    assert np.array_equal(extract(pictures, module, NEEDS, key="k", store=store), wanted)
    assert len(pictures.asked) == 96


def test_stored_features_that_are_half_zero_are_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, pictures, store = network(), Pictures(70), Store(tmp_path)
    wanted = np.array(extract(pictures, module, NEEDS, key="k", store=store))
    path = tmp_path / "features" / "k" / "features.npy"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2] + bytes(size - size // 2))
    assert np.array_equal(extract(pictures, module, NEEDS, key="k", store=store), wanted)
    said = capsys.readouterr().err
    assert "features.npy has changed since it was written); it will be rebuilt" in said and said.count("\n") == 1


def test_every_block_of_large_features_is_checked_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("BLOCK", 16), ("LARGE", 64)):
        monkeypatch.setattr(f"headstart.storage.checksums.{name}", size)
    module, pictures, store = network(), Pictures(70), Store(tmp_path)
    wanted = np.array(extract(pictures, module, NEEDS, key="k", store=store))
    path = tmp_path / "features" / "k" / "features.npy"
    for place in range(200, 1400, 300):
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
        assert np.array_equal(extract(pictures, module, NEEDS, key="k", store=store), wanted)


@pytest.mark.parametrize("n", [40, 70, 96])
def test_a_beginning_that_is_too_long_is_ignored(n: int, tmp_path: Path) -> None:
    module, store, pictures = network(), Store(tmp_path), Pictures(n)
    extract(Pictures(70), module, NEEDS, key="a" * 64, store=store)
    found = extract(pictures, module, NEEDS, key="b" * 64, store=store, parts=["a" * 64])
    assert found.shape[0] == n and np.allclose(found, plainly(module, pictures.pixels), atol=1e-5)
