from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from headstart.data.dataset import Dataset
from headstart.data.decoding import image_store
from headstart.errors import DataError
from headstart.saved_models import update_study
from headstart.study import update as update_module
from headstart.study.results.tested import find_tested
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.study.update import prepare_update
from headstart.transfer.frozen.engine import Engine
from tests.study.conftest import draw


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return the folder of a study on 42 pictures."""
    spec: dict[str, Any] = {
        "name": "colours",
        "data": str(draw(tmp_path / "pictures", 14)),
        "seeds": 1,
        "audit": False,
        "runs": {
            "probe": {"backbone": "lenet5", "weights": "none", "strategy": "ridge"},
            "floor": {"backbone": "pixels", "strategy": "majority"},
        },
    }
    return run_study(load_study(spec), tmp_path / "out", device="cpu").root


@pytest.fixture
def more(tmp_path: Path) -> Path:
    return draw(tmp_path / "more", 8, seed=5)


def parts_of(manifest: str) -> dict[str, str]:
    table = pq.read_table(manifest)
    return dict(zip(table["path"].to_pylist(), table["split"].to_pylist(), strict=True))


def test_old_images_keep_their_part_and_new_ones_get_theirs_by_content(study: Path, more: Path, tmp_path: Path) -> None:
    former = find_tested(study)
    assert former is not None
    update = prepare_update(study, str(more), device="cpu")
    parts = parts_of(update.study["data"]["source"])
    old = {path: part for path, part in parts.items() if "/pictures/" in path}
    assert len(old) == 42 and sum(part == "test" for part in old.values()) == len(former.test)
    new = {path: part for path, part in parts.items() if "/more/" in path}
    assert dict(update.new) == {part: sum(p == part for p in new.values()) for part in ("train", "test")}
    shutil.copytree(more / "red", tmp_path / "few" / "red")
    shutil.copytree(more / "blue", tmp_path / "few" / "blue")
    few = parts_of(prepare_update(study, str(tmp_path / "few"), device="cpu").study["data"]["source"])
    for path, part in few.items():
        if "/few/" in path:  # the same images get the same parts, whatever comes with them
            assert new[path.replace("/few/", "/more/")] == part


def test_only_new_images_are_decoded_and_pass_the_network(
    study: Path, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    passed: list[int] = []
    decode, run = image_store.decode, Engine.__call__
    monkeypatch.setattr(image_store, "decode", lambda *given: decoded.append(1) or decode(*given))
    monkeypatch.setattr(Engine, "__call__", lambda self, pixels: passed.append(len(pixels)) or run(self, pixels))
    prepare_update(study, str(more), device="cpu")
    assert len(decoded) == 24 and sum(passed) == 24


def test_the_update_equals_the_study_of_all_images(study: Path, more: Path, tmp_path: Path) -> None:
    done = update_study(study, str(more), tmp_path / "out", device="cpu")
    update = prepare_update(study, str(more), device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path / "another"))
        fresh = run_study(load_study(update.study), tmp_path / "fresh", device="cpu")
    files = ["runs/probe/seed-0/predictions.npz"]
    for name in files:
        mine, its = np.load(done.results.folder / name), np.load(fresh.root / name)
        assert np.array_equal(mine["test_rows"], its["test_rows"])
        assert np.allclose(mine["test_probabilities"], its["test_probabilities"], atol=1e-5)
    assert done.evaluation is not None
    new, old = done.evaluation.models
    assert new.metrics["n"] == old.metrics["n"] == len(np.load(done.results.folder / files[0])["test_rows"])
    assert new.metrics["accuracy"]["value"] == np.mean(mine["test_probabilities"].argmax(1) == mine["test_labels"])
    assert (study / "model.safetensors").is_file() and done.results.folder != study


def test_a_changed_label_and_a_new_class_are_told(study: Path, more: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "pictures" / "red" / "000.png", more / "blue" / "moved.png")
    shutil.copy(more / "blue" / "moved.png", tmp_path / "pictures" / "red" / "000.png")
    shutil.copytree(more / "green", more / "violet")
    shutil.rmtree(more / "green")
    update = prepare_update(study, str(more), device="cpu")
    assert update.notes[0] == "new classes: violet; the former model does not know them"
    assert update.notes[1] == "1 images have another label now than in the study; the new one is used"
    done = update_study(study, str(more), tmp_path / "out", device="cpu")
    assert done.evaluation is None and "violet" in done.results.classifier().classes


def test_what_cannot_be_updated_is_refused(study: Path, more: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no image that the study does not know"):
        prepare_update(study, str(tmp_path / "pictures"), device="cpu")
    for path in (tmp_path / "pictures" / "red").iterdir():
        path.write_bytes((more / "red" / "000.png").read_bytes())
    with pytest.raises(DataError, match=r"\d+ of the \d+ images that the model was tested on are gone or changed"):
        prepare_update(study, str(more), device="cpu")


def test_what_the_cache_gets_is_of_the_images_that_it_is_named_by(
    study: Path, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The joined images that are loaded again are fewer: one more file is gone, so that the first rows are others."""
    written = update_module.written

    def dropping(dataset: Dataset) -> Path:
        return written(dataset.without([3]))

    monkeypatch.setattr(update_module, "written", dropping)
    update = prepare_update(study, str(more), device="cpu")
    mine = run_study(load_study(update.study), tmp_path / "mine", device="cpu").root
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "another"))
    fresh = run_study(load_study(update.study), tmp_path / "fresh", device="cpu").root
    one, other = (np.load(root / "runs/probe/seed-0/predictions.npz") for root in (mine, fresh))
    assert np.allclose(one["test_probabilities"], other["test_probabilities"], atol=1e-5)
