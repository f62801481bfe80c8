from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from multispectral import scene, write_folder, write_tiff
from PIL import Image

import headstart
from headstart.data.decoding.decode import seen_by_people
from headstart.errors import DataError, SpecError
from headstart.fewshot.evaluation import FewShotSpec, LabelledFeatures, run_fewshot
from headstart.labelled_images import audit_images, evaluate_fewshot
from headstart.storage.opening import default_store
from headstart.study.resources import Resources
from headstart.study.spec.network import NetworkSpec
from headstart.study.spec.schema import DataSpec, WeightsSpec
from tests.docs.readers_files import draw


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("photos") / "flowers", classes=2, per_class=10, size=40)


def test_an_audit_finds_a_planted_copy_and_what_another_dataset_shares(photos: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(photos, tmp_path / "own"))
    shutil.copy(own / "daisy" / "00.jpg", own / "lily" / "copy.jpg")
    audit = audit_images(own, [photos], backbone="pixels", device="cpu")
    assert (audit["n"], audit["others"], audit["counts"]["exact"]) == (21, ["flowers"], 20)
    (conflict,) = [group for group in audit["exact"] if group["conflict"]]
    assert {place["label"] for place in conflict["places"][:3]} == {"daisy", "lily"}
    assert audit["leaks"]["others"][0]["exact"] == 21
    assert headstart.audit_images is audit_images


def test_episodes_score_as_on_the_features_themselves(photos: Path) -> None:
    asked = FewShotSpec(2, (1, 3), 4, 50, ("prototypes", "ridge"), 7)
    found = evaluate_fewshot(
        photos, backbone="lenet5", weights="none", ways=2, shots=[1, 3], queries=4, episodes=50,
        methods=["prototypes", "ridge"], seed=7, device="cpu",
    )  # fmt: skip
    resources, spec = Resources(default_store(), "cpu"), DataSpec(source=str(photos))
    features = resources.features(spec, NetworkSpec("lenet5", WeightsSpec(name="none")), 7)
    dataset = resources.dataset(spec)
    flat = np.asarray(features).reshape(len(dataset), -1)
    own = run_fewshot(LabelledFeatures(dataset.labels, dataset.classes, flat), asked)
    assert [(row.method, row.shots, row.accuracy) for row in found.rows] == [
        (row.method, row.shots, row.accuracy) for row in own.rows
    ]
    assert found.name == "flowers" and headstart.evaluate_fewshot is evaluate_fewshot


def test_a_loaded_dataset_keeps_its_name(photos: Path) -> None:
    data = headstart.load_dataset(photos)
    found = evaluate_fewshot(
        data, backbone="lenet5", weights="none", ways=2, shots=[1], queries=2, episodes=5, device="cpu"
    )
    audit = audit_images(data, [data], backbone="pixels", device="cpu")
    assert (found.name, audit["name"], audit["others"]) == ("flowers", "flowers", ["flowers"])


def test_an_unknown_method_is_refused_before_any_work(photos: Path, own_store: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'ridge'"):
        evaluate_fewshot(photos, methods=["ridg"])
    assert not any(own_store.rglob("*.npy"))


def test_an_audit_of_bands_takes_the_features_of_a_study_and_reads_the_others_in_the_same_bands(
    own_store: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tifffile")
    folder = write_folder(tmp_path / "s2", 6)
    shutil.copy(folder / "crop" / "crop000.tif", folder / "crop" / "copy.tif")
    other = write_folder(tmp_path / "other", 2)
    found = audit_images(folder, [other], backbone="pixels", bands=["B04", 2, "B02"], show=[3, 2, 1], device="cpu")
    assert found["files"]["modes"] == {"13 bands": 19} and found["counts"]["exact"] == 6  # in both, one of them twice
    (jpeg, *_) = found["thumbnails"].values()
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(jpeg))).convert("RGB"))
    dataset = headstart.load_dataset(folder, bands="all", show=[3, 2, 1])
    (own,) = (row for row in range(19) if dataset.reader.name(row) == "crop/copy.tif")
    assert np.abs(seen.astype(int) - seen_by_people(dataset.reader.read(own), dataset.bands)).mean() < 25
    data = DataSpec(source=str(folder), bands=[3, 2, 1], show=[3, 2, 1])
    again = Resources(default_store(), "cpu")
    key = again.features_key(data, NetworkSpec("pixels", data=DataSpec(source=str(folder), bands=["B04", 2, "B02"])), 0)
    assert key in {entry.name for entry in (own_store / "features").iterdir()}
    loaded = headstart.load_dataset(folder, bands=["B04"])
    assert audit_images(loaded, backbone="pixels", device="cpu")["files"]["modes"] == {"13 bands": 19}


def test_episodes_of_bands_see_what_only_those_bands_show(own_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    folder = write_folder(tmp_path / "s2", 12)

    def accuracy(data: Path | headstart.Dataset, bands: list[int | str] | None) -> float:
        asked = {"ways": 3, "shots": [3], "queries": 5, "episodes": 40, "device": "cpu"}
        found = evaluate_fewshot(data, backbone="lenet5", weights="none", bands=bands, **asked)
        return float(found.to_dict()["rows"][0]["accuracy"])

    near_infrared = accuracy(folder, ["B08", 11])
    assert near_infrared > 0.95
    assert accuracy(headstart.load_dataset(folder, bands=[7, 11]), None) == near_infrared
    assert accuracy(folder, [0, 1]) < 0.6  # classes look alike there: a third by chance
    with pytest.raises(DataError, match="s2: bands: unknown band 'B99'"):
        accuracy(folder, ["B99"])


def test_an_audit_refuses_bands_that_no_picture_has(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    folder, four = write_folder(tmp_path / "s2", 2), tmp_path / "four"
    for label in range(2):
        (four / str(label)).mkdir(parents=True)
        write_tiff(four / str(label) / "a.tif", scene(label, 0)[:, :, :4])
    with pytest.raises(DataError, match="s2: bands: unknown band 'B99'"):
        audit_images(folder, backbone="pixels", bands=["B99"])
    with pytest.raises(DataError, match="four: bands: there is no band 12: the pictures have 4"):
        audit_images(folder, [four], backbone="pixels", bands=[12])
    with pytest.raises(SpecError, match=r"^audit: .*give data\.bands, too"):
        audit_images(folder, backbone="pixels", show=[1])
