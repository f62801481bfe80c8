from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

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

pytestmark = pytest.mark.long


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
    monkeypatch.setattr(image_store, "decode", lambda *given, **how: decoded.append(1) or decode(*given, **how))
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
    assert update.notes[0] == "in the study already: 1 of these images"
    assert update.notes[1] == "new classes: violet; the previous model does not know them"
    assert update.notes[2] == "1 images have a different label than in the study; the new one is used"
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


def test_new_images_are_loaded_with_the_settings_of_the_study(more: Path, tmp_path: Path) -> None:
    runs = {"floor": {"backbone": "pixels", "strategy": "majority"}}
    data = {
        "source": str(draw(tmp_path / "pictures", 14)),
        "classes": ["red", "blue"],
        "drop_duplicates": "near",
        "limit": 14,
    }
    spec = {"name": "two", "data": data, "seeds": 1, "audit": False, "runs": runs}
    root = run_study(load_study(spec), tmp_path / "out", device="cpu").root
    with Image.open(tmp_path / "pictures" / "red" / "000.png") as picture:
        picture.save(more / "red" / "copy.jpg", quality=95)
    shutil.copy(more / "red" / "001.png", more / "red" / "copy.png")
    update = prepare_update(root, str(more), device="cpu")
    table = pq.read_table(update.study["data"]["source"])
    new = [Path(path).name for path in table["path"].to_pylist() if "/more/" in path]
    assert set(table["label"].to_pylist()) == {"red", "blue"} and sum(update.new.values()) == 16
    assert sorted(new) == sorted(2 * [f"{number:03d}.png" for number in range(8)])
    assert update.study["data"]["drop_duplicates"] == "near" and update.study["data"]["classes"] == ["blue", "red"]
    few = draw(tmp_path / "few", 20, seed=9)
    assert sum(prepare_update(root, str(few), device="cpu").new.values()) == 28  # at most 14 of each class
    shutil.rmtree(few / "red")
    shutil.move(few / "blue", few / "violet")
    with pytest.raises(DataError, match="has no image of the classes that the study is limited to"):
        prepare_update(root, str(few), device="cpu")


def test_the_label_is_that_of_the_study(tmp_path: Path) -> None:
    def table(name: str, per_class: int, seed: int) -> str:
        folder = draw(tmp_path / name, per_class, seed=seed)
        rows = [f"{path.relative_to(tmp_path)},{path.parent.name},x{row % 2}" for row, path in files(folder)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,label,kind", *rows]))
        return str(tmp_path / f"{name}.csv")

    def files(folder: Path) -> list[tuple[int, Path]]:
        return list(enumerate(sorted(folder.rglob("*.png"))))

    spec = {
        "name": "kinds",
        "data": {"source": table("pictures", 14, 0), "label": "kind"},
        "seeds": 1,
        "audit": False,
        "runs": {"floor": {"backbone": "pixels", "strategy": "majority"}},
    }
    root = run_study(load_study(spec), tmp_path / "out", device="cpu").root
    update = prepare_update(root, table("more", 8, 5), device="cpu")
    assert set(pq.read_table(update.study["data"]["source"])["label"].to_pylist()) == {"x0", "x1"}


def test_groups_reach_the_study(tmp_path: Path) -> None:
    def table(name: str, per_class: int, seed: int) -> str:
        paths = sorted(draw(tmp_path / name, per_class, seed=seed).rglob("*.png"))
        rows = [f"{path.relative_to(tmp_path)},{path.parent.name},g{path.stem}" for path in paths]
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,label,group", *rows]))
        return str(tmp_path / f"{name}.csv")

    runs = {"floor": {"backbone": "pixels", "strategy": "majority"}}
    spec = {"name": "grouped", "data": table("pictures", 14, 0), "seeds": 1, "audit": False, "runs": runs}
    root = run_study(load_study(spec), tmp_path / "out", device="cpu").root
    update = prepare_update(root, table("more", 20, 5), device="cpu")
    found = pq.read_table(update.study["data"]["source"])
    parts: dict[str, set[str]] = {}
    for group, part in zip(found["group"].to_pylist(), found["split"].to_pylist(), strict=True):
        parts.setdefault(group, set()).add(part)
    assert len(parts) == 20 and all(len(part) == 1 for part in parts.values())
    assert find_tested(run_study(load_study(update.study), tmp_path / "out", device="cpu").root) is not None


def test_names_stay_short_however_often_a_study_is_updated() -> None:
    digits = hashlib.sha256(b"").hexdigest()
    assert update_module._name("two words", digits) == "two-words-update-e3b0c4"
    assert update_module._name("two-words-update-0123ab", digits) == "two-words-update-e3b0c4"
    assert update_module._name("a-update-0123ab-update-0123ff update 012345", digits) == "a-update-e3b0c4"
    assert update_module._name("an-update-often", digits) == "an-update-often-update-e3b0c4"
    for longest in ("x" * 80, "x" * 65 + "-" * 15, "é" * 80):
        name = update_module._name(longest, digits)
        assert len(name) <= 80 and load_study({"name": name, "data": "groceries", "runs": {"p": RUN}}).spec.name == name


RUN = {"backbone": "pixels", "strategy": "majority"}


def test_corrections_of_the_old_images_do_not_concern_the_new_ones(more: Path, tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text("path,decision,after\nblue/013.png,exclude,\n")
    runs = {"floor": {"backbone": "pixels", "strategy": "majority"}}
    data = {"source": str(draw(tmp_path / "pictures", 14)), "corrections": str(file)}
    spec = {"name": "c", "data": data, "seeds": 1, "audit": False, "runs": runs}
    root = run_study(load_study(spec), tmp_path / "out", device="cpu").root
    update = prepare_update(root, str(more), device="cpu")
    names = pq.read_table(update.study["data"]["source"])["path"].to_pylist()
    assert not any(str(name).endswith("pictures/blue/013.png") for name in names)
    assert "corrections" not in update.study["data"] and sum(update.new.values()) > 0


def test_the_fold_that_the_kept_model_was_tested_on_stays_the_test_part(more: Path, tmp_path: Path) -> None:
    data = {"source": str(draw(tmp_path / "pictures", 14)), "split": {"folds": 3, "fold": "seed"}}
    runs = {"probe": {"backbone": "lenet5", "weights": "none", "strategy": "ridge"}}
    spec = {"name": "folds", "data": data, "seeds": 6, "audit": False, "runs": runs}
    root = run_study(load_study(spec), tmp_path / "out", device="cpu").root
    former = find_tested(root)
    assert former is not None and len(former.test) == 14 and not former.test & former.learned
    done = update_study(root, str(more), tmp_path / "out", device="cpu")
    tested = find_tested(done.results.folder)
    assert tested is not None and former.test < tested.test and not former.test & tested.learned
    assert len(tested.test) == 14 + done.new["test"] and len(tested.test | tested.learned) == 42 + 24
    assert len(list((done.results.folder / "runs" / "probe").glob("seed-*"))) == 2  # one for each repeat
    assert done.evaluation is not None
    assert [model.metrics["n"] for model in done.evaluation.models] == 2 * [len(tested.test)]
    assert done.notes[-1].startswith(
        "the seeds of the study were folds: the 14 images on which its kept model was tested"
    )
