from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.api import Results, compare_spec, source_of
from headstart.errors import SpecError, StoreError
from headstart.storage.names import folder_name


def colours(count: int = 10) -> tuple[np.ndarray, list[str]]:
    draw = np.random.default_rng(0)
    kinds = {"blue": (40, 60, 200), "red": (210, 50, 40)}
    images = [np.clip(c + draw.normal(0, 20, (24, 24, 3)), 0, 255) for _ in range(count) for c in kinds.values()]
    return np.stack(images).astype(np.uint8), list(kinds) * count


def test_compare_takes_images_from_python(tmp_path: Path) -> None:
    images, labels = colours()
    data = {"images": list(images), "labels": labels}
    results = headstart.compare(data, tmp_path, backbones=["efficientnet_lite0"], heads=["ridge"], seeds=1, name="x y")
    assert (
        isinstance(results, Results)
        and results.folder == tmp_path / folder_name("x y")
        and results.report.is_file()
        and results.model.is_file()
    )
    assert {row["run"] for row in results.ranking()} == {"majority class", "raw pixels", "efficientnet_lite0 ridge"}
    assert [p.label for p in results.classifier().predict(images[:2])] == ["blue", "red"]
    assert results.kept.split(", chosen by ")[0] in ("raw pixels", "efficientnet_lite0 ridge")


def test_two_sets_of_images_are_two_studies() -> None:
    images, labels = colours(3)
    one = compare_spec(headstart.load_dataset({"images": images, "labels": labels}), backbones=["lenet5"])
    other = compare_spec({"images": 255 - images, "labels": labels}, backbones=["lenet5"])
    assert one["name"] != other["name"] and one["name"].startswith("compare-images-")
    assert one == compare_spec({"images": list(images), "labels": labels}, backbones=["lenet5"])


def test_a_study_from_a_mapping_takes_images_from_python(tmp_path: Path) -> None:
    images, labels = colours(5)
    runs = {"pixels": {"backbone": "pixels", "strategy": "ridge"}}
    held = {"images": images, "labels": labels}
    for data in (held, headstart.load_dataset(held), {"source": held}, Path(source_of(held))):
        study = headstart.Study({"name": "small", "data": data, "seeds": 1, "runs": runs})
        assert study.plan(tmp_path)[0]["images"] == 10


def test_what_holds_no_images_is_named() -> None:
    with pytest.raises(SpecError, match=r"data is a path, the name of a dataset, .* not list"):
        headstart.compare([1, 2])  # type: ignore[arg-type]


def test_results_without_a_model_say_so(tmp_path: Path) -> None:
    images, labels = colours(5)
    study = headstart.Study(
        {
            "name": "small",
            "data": {"source": {"images": images, "labels": labels}, "split": {"validation": 0}},
            "seeds": 1,
            "audit": False,
            "runs": {"pixels": {"backbone": "pixels", "strategy": "ridge", "head": {"penalty": 1.0}}},
        }
    )
    results = study.run(tmp_path, report=False)
    assert results.kept == "none" and not results.report.exists() and results.failed() == []
    with pytest.raises(StoreError, match="has no best model"):
        results.classifier()
