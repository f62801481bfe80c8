from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from headstart.data.sources.load import load_dataset
from headstart.errors import DataError, MissingExtra


class Image:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel:
    def __init__(self, names: list[str]) -> None:
        self.names = names


class Value:
    pass


class Rows:
    """As much of a Hugging Face dataset as is used."""

    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Any]) -> None:
        self.rows, self.features = rows, features

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | str) -> Any:
        return [row[key] for row in self.rows] if isinstance(key, str) else self.rows[key]

    def cast_column(self, column: str, feature: Image) -> Rows:
        assert not feature.decode
        return Rows(self.rows, {**self.features, column: feature})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, encoded: Any, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "9.png").write_bytes(encoded(9))
    features = {"image": Image(), "fine": ClassLabel(["pear", "apple"]), "coarse": ClassLabel(["fruit", "all"])}

    def row(seed: int, fine: int) -> dict[str, Any]:
        return {"image": {"bytes": encoded(seed), "path": None}, "fine": fine, "coarse": seed % 2}

    in_file = {"image": {"bytes": None, "path": str(tmp_path / "9.png")}, "fine": 1, "coarse": 0}
    parts = {
        "train": Rows([row(0, 0), row(1, 1), in_file], features),
        "validation": Rows([row(2, 1)], features),
        "test": Rows([row(3, -1)], features),
        "extra": Rows([row(4, 1)], features),
    }
    asked: dict[str, Any] = {"parts": parts}

    def load(name: str, config: str | None = None, revision: str | None = None) -> Any:
        asked["call"] = (name, config, revision)
        if name == "no/such":
            raise FileNotFoundError("Dataset 'no/such' doesn't exist on the Hub\nsecond line")
        return asked["parts"]

    fake = types.ModuleType("datasets")
    fake.load_dataset, fake.Image = load, Image  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return asked


def test_parts_labels_and_bytes_of_a_hub_dataset(hub: dict[str, Any], encoded: Any) -> None:
    data = load_dataset("hf:someone/fruit:small@v2")
    assert hub["call"] == ("someone/fruit", "small", "v2")
    assert data.classes == ("apple", "pear") and data.labels.tolist() == [1, 0, 0, 0]
    assert data.given_split is not None
    assert data.given_split.tolist() == ["train", "train", "train", "validation"]
    assert [data.reader.read(row) for row in range(4)] == [encoded(seed) for seed in (0, 1, 9, 2)]


def test_another_class_column_can_be_named(hub: dict[str, Any]) -> None:
    assert load_dataset("hf:fruit", label="coarse").classes == ("all", "fruit")
    with pytest.raises(DataError, match="has no class column 'genus'; the columns are image, fine, coarse"):
        load_dataset("hf:fruit", label="genus")


def test_what_the_hub_says_is_passed_on_in_one_line(hub: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"hf:no/such cannot be loaded: Dataset 'no/such' doesn't exist on the Hub$"):
        load_dataset("hf:no/such")


def test_a_dataset_without_images_is_refused(hub: dict[str, Any]) -> None:
    hub["parts"] = {"train": Rows([], {"text": Value()})}
    with pytest.raises(DataError, match="has no image column; the columns are text"):
        load_dataset("hf:words")


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[huggingface\]'"):
        load_dataset("hf:food101")


def test_an_image_without_a_label_is_left_out_and_is_not_of_the_last_class(hub: dict[str, Any], encoded: Any) -> None:
    hub["parts"]["train"].rows[1]["fine"] = -1
    data = load_dataset("hf:fruit")
    assert data.classes == ("apple", "pear") and data.labels.tolist() == [1, 0, 0]
    assert [data.reader.read(row) for row in range(3)] == [encoded(0), encoded(9), encoded(2)]
    assert [(skip.name, skip.reason) for skip in data.skipped] == [("#1", "has no label")]


def test_a_part_without_labels_is_named(hub: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    load_dataset("hf:fruit")
    assert capsys.readouterr().err == "hf:fruit: test has no labels, and is left out\n"
    for part in hub["parts"].values():
        for row in part.rows:
            row["fine"] = -1
    with pytest.raises(DataError, match="hf:fruit: no image has a label in column 'fine'"):
        load_dataset("hf:fruit")


@pytest.mark.parametrize("label", [99, -2, "apple"])
def test_a_label_that_is_no_class_is_refused_by_row(hub: dict[str, Any], label: Any) -> None:
    hub["parts"]["train"].rows[1]["fine"] = label
    with pytest.raises(DataError, match=rf"hf:fruit, train, row 2: the label '{label}' is not the number of a class"):
        load_dataset("hf:fruit")
