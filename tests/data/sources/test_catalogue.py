"""The datasets that are known by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data.sources.catalogue import DATASETS


def test_every_entry_is_complete() -> None:
    for key, info in DATASETS.items():
        assert key == key.lower() and info.images > info.classes > 1, key
        assert info.homepage.startswith(("http://", "https://")) and info.licence and info.size, key
        assert info.origin in ("package", "torchvision", "download", "local"), key


@pytest.mark.parametrize(
    ("key", "images", "classes"),
    [("cifar10", 60000, 10), ("groceries", 1393, 14), ("dtd", 5640, 47), ("svhn", 99289, 10), ("usps", 9298, 10)],
)
def test_the_sizes_are_those_that_the_makers_publish(key: str, images: int, classes: int) -> None:
    assert (DATASETS[key].images, DATASETS[key].classes) == (images, classes)


def test_a_dataset_is_here_as_a_folder_or_from_torchvision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_DATA_DIR", str(tmp_path / "downloads"))
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "data"))
    info = DATASETS["dtd"]
    assert not info.is_here("dtd")
    (tmp_path / "downloads" / "torchvision" / "dtd").mkdir(parents=True)
    assert info.is_here("dtd") and not info.is_here("usps")
    (tmp_path / "data" / "usps").mkdir(parents=True)
    assert info.is_here("usps")


def test_a_dataset_in_a_package_is_here_if_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DATASETS["groceries"].is_here("groceries")
    monkeypatch.setattr("headstart.data.sources.groceries.PACKAGE", "no-such-package")
    assert not DATASETS["groceries"].is_here("groceries")
