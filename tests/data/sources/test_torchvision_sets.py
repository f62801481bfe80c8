"""Small data in torchvision's own layouts: what torchvision reads is what headstart serves."""

from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image
from scipy.io import savemat

from headstart.data.dataset import Dataset
from headstart.data.decoding.decode import decode
from headstart.data.sources import torchvision_sets
from headstart.data.sources.load import load_dataset
from headstart.data.sources.torchvision_sets import TORCHVISION
from headstart.errors import DataError, SpecError


def files(root: Path, names: list[str]) -> None:
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, "PNG" if path.suffix == ".png" else None)


def lines(path: Path, *text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(text) + "\n")


def dtd(root: Path) -> None:
    names = [f"{label}/{label}_{number}.jpg" for label in ("zigzagged", "banded") for number in range(3)]
    files(root / "dtd" / "dtd" / "images", names)
    for number, part in enumerate(("train", "val", "test")):
        lines(root / "dtd" / "dtd" / "labels" / f"{part}1.txt", names[number], names[3 + number])


def eurosat(root: Path) -> None:
    files(root / "eurosat" / "2750", [f"{label}/{n}.jpg" for label in ("River", "Forest") for n in range(2)])


def food101(root: Path) -> None:
    files(root / "food-101" / "images", [f"{label}/{n}.jpg" for label in ("pizza", "cake") for n in range(2)])
    for part, number in (("train", 0), ("test", 1)):
        table = {label: [f"{label}/{number}"] for label in ("pizza", "cake")}
        lines(root / "food-101" / "meta" / f"{part}.json", json.dumps(table))


def pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    files(base / "images", ["Bengal_1.jpg", "pug_1.jpg", "Bengal_2.jpg", "pug_2.jpg"])
    lines(base / "annotations" / "trainval.txt", "Bengal_1 1 1 1", "pug_1 2 2 1")
    lines(base / "annotations" / "test.txt", "Bengal_2 1 1 1", "pug_2 2 2 1")


def caltech101(root: Path) -> None:
    base = root / "caltech101"
    names = [f"{label}/image_000{n}.jpg" for label in ("bass", "ant", "BACKGROUND_Google") for n in (1, 2)]
    files(base / "101_ObjectCategories", names)
    (base / "Annotations").mkdir()


def caltech256(root: Path) -> None:
    base = root / "caltech256" / "256_ObjectCategories"
    files(base, ["001.ak47/001_0001.jpg", "002.flag/002_0001.jpg", "002.flag/002_0002.jpg"])


def aircraft(root: Path) -> None:
    data = root / "fgvc-aircraft-2013b" / "data"
    files(data / "images", [f"{number}.jpg" for number in range(6)])
    for level, names in (("variant", ("707-320", "A330")), ("family", ("707", "A3xx")), ("manufacturer", ("B", "A"))):
        plural = {"variant": "variants", "family": "families", "manufacturer": "manufacturers"}[level]
        lines(data / f"{plural}.txt", *names)
        for number, part in enumerate(("train", "val", "test")):
            rows = (f"{2 * number} {names[0]}", f"{2 * number + 1} {names[1]}")
            lines(data / f"images_{level}_{part}.txt", *rows)


def gtsrb(root: Path) -> None:
    files(root / "gtsrb" / "GTSRB" / "Training", ["00000/a.ppm", "00001/b.ppm"])
    files(root / "gtsrb" / "GTSRB" / "Final_Test" / "Images", ["x.ppm", "y.ppm"])
    with (root / "gtsrb" / "GT-final_test.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerows([["Filename", "ClassId"], ["x.ppm", "1"], ["y.ppm", "0"]])


def sst2(root: Path) -> None:
    for part in ("train", "valid", "test"):
        files(root / "rendered-sst2" / part, ["negative/1.png", "positive/1.png"])


def country(root: Path) -> None:
    for part in ("train", "valid", "test"):
        files(root / "country211" / part, ["AD/1.jpg", "ZW/1.jpg"])


def sun397(root: Path) -> None:
    files(root / "SUN397", ["a/abbey/sun_a.jpg", "b/bar/inside/sun_b.jpg"])
    lines(root / "SUN397" / "ClassName.txt", "/a/abbey", "/b/bar/inside")


def imagenette(root: Path) -> None:
    for part in ("train", "val"):
        for label in ("n01440764", "n03888257"):
            path = root / "imagenette2" / part / label / "1.JPEG"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (5, 5)).save(path, "JPEG")


def omniglot(root: Path) -> None:
    base = root / "omniglot-py"
    for part, alphabet in (("images_background", "Greek"), ("images_evaluation", "Tibetan")):
        for number in (1, 2):
            path = base / part / alphabet / f"character0{number}" / "1.png"
            path.parent.mkdir(parents=True)
            Image.new("L", (5, 5), 50 * number).save(path)


def cars(root: Path) -> None:
    base = root / "stanford_cars"
    files(base, ["cars_train/1.jpg", "cars_train/2.jpg", "cars_test/1.jpg", "cars_test/2.jpg"])
    (base / "devkit").mkdir()
    kind = np.dtype([("fname", object), ("class", object)])
    rows = np.array([("1.jpg", 1), ("2.jpg", 2)], dtype=kind)
    savemat(base / "devkit" / "cars_train_annos.mat", {"annotations": rows})
    savemat(base / "cars_test_annos_withlabels.mat", {"annotations": rows})
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": np.array(["Volvo", "Audi"], dtype=object)})


def clevr(root: Path) -> None:
    base = root / "clevr" / "CLEVR_v1.0"
    for part in ("train", "val", "test"):
        files(base / "images" / part, [f"CLEVR_{part}_0.png", f"CLEVR_{part}_1.png"])
        scenes = [{"image_filename": f"CLEVR_{part}_{n}.png", "objects": [0] * (3 + n)} for n in range(2)]
        lines(base / "scenes" / f"CLEVR_{part}_scenes.json", json.dumps({"scenes": scenes}))


def inaturalist(root: Path) -> None:
    for version in ("2021_train_mini", "2021_valid"):
        names = ("00000_Animalia_A_b_c_d_E_f/1.jpg", "00001_Plantae_A_b_c_d_E_g/1.jpg")
        files(root / version, list(names))


def checksum_free(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).exists())


def cifar(root: Path, name: str, key: str) -> None:
    base = root / name
    base.mkdir(parents=True)
    parts = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"] if key == "labels" else ["train", "test"]
    rng = np.random.default_rng(0)
    for part in parts:
        data = rng.integers(0, 256, (10, 3072), dtype=np.uint8)
        content = {"data": data, key: rng.integers(0, 3, 10).tolist()}
        (base / part).write_bytes(pickle.dumps(content))
    meta, word = ("batches.meta", "label_names") if key == "labels" else ("meta", "fine_label_names")
    (base / meta).write_bytes(pickle.dumps({word: ["frog", "cat", "dog"]}))


def check_against_torchvision(key: str, root: Path, data: Dataset) -> None:
    recipe = TORCHVISION[key]
    row = 0
    for part, call in recipe.parts.items():
        built = getattr(torchvision.datasets, recipe.title)(str(root), **call)
        named = recipe.read(built)
        for index in range(len(built)):
            image, target = built[index]
            np.testing.assert_array_equal(decode(data.reader.read(row)), np.asarray(image.convert("RGB")))
            assert data.classes[int(data.labels[row])] == str(named.classes[int(target)])
            assert data.given_split is None or data.given_split[row] == part
            row += 1
    assert row == len(data)
    assert data.classes == tuple(sorted(data.classes))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "caltech101": caltech101,
    "caltech256": caltech256,
    "clevr": clevr,
    "country211": country,
    "dtd": dtd,
    "eurosat": eurosat,
    "fgvc_aircraft": aircraft,
    "food101": food101,
    "gtsrb": gtsrb,
    "imagenette": imagenette,
    "inaturalist": inaturalist,
    "omniglot": omniglot,
    "oxford_iiit_pet": pets,
    "rendered_sst2": sst2,
    "stanford_cars": cars,
    "sun397": sun397,
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.setenv("HEADSTART_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    return lambda key: tmp_path / "torchvision" / key


@pytest.mark.parametrize("key", LAYOUTS)
def test_files_labels_and_parts_are_those_of_torchvision(
    key: str, root: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if key == "omniglot":
        monkeypatch.setattr(torchvision.datasets.Omniglot, "_check_integrity", lambda _: True)
    LAYOUTS[key](root(key))
    check_against_torchvision(key, root(key), load_dataset(key))


@pytest.mark.parametrize(
    ("key", "folder", "word"),
    [("cifar10", "cifar-10-batches-py", "labels"), ("cifar100", "cifar-100-python", "fine_labels")],
)
def test_cifar_pixels_and_labels_are_those_of_torchvision(
    key: str, folder: str, word: str, root: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    checksum_free(monkeypatch, torchvision.datasets.cifar)
    cifar(root(key), folder, word)
    check_against_torchvision(key, root(key), load_dataset(key))


class FakeArrays:
    """As torchvision keeps them: data and targets or labels."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def test_channels_first_become_last_and_missing_class_names_are_digits() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    part = torchvision_sets._array(FakeArrays(data=pixels, labels=np.array([0, 9, 1, 2])))
    assert part.pixels is not None
    np.testing.assert_array_equal(part.pixels[1], pixels[1].transpose(1, 2, 0))
    assert part.classes[9] == "9"


def test_of_qmnist_the_first_number_is_the_label() -> None:
    pixels = np.zeros((2, 28, 28), dtype=np.uint8)
    part = torchvision_sets._array(FakeArrays(data=pixels, targets=np.array([[7, 1], [2, 3]])))
    assert np.asarray(part.labels).tolist() == [7, 2]


def test_emnist_letters_are_turned_upright() -> None:
    pixels = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    part = torchvision_sets._emnist(FakeArrays(data=pixels, targets=np.array([0, 1]), classes=["0", "a"]))
    assert part.pixels is not None
    np.testing.assert_array_equal(part.pixels[0], pixels[0].T)


def test_two_classes_of_one_name_stay_two() -> None:
    part = torchvision_sets.Part([0, 1, 2], ["crane", "ant", "crane"])
    classes, labels = torchvision_sets._sorted_by_name([part])
    assert classes == ("ant", "crane (0)", "crane (2)") and labels.tolist() == [1, 0, 2]


def test_parts_with_classes_of_their_own_share_none() -> None:
    parts = [torchvision_sets.Part([0, 1], ["Greek/1", "Greek/2"]), torchvision_sets.Part([0], ["Tibetan/1"])]
    classes, labels = torchvision_sets._sorted_by_name(parts)
    assert classes == ("Greek/1", "Greek/2", "Tibetan/1") and labels.tolist() == [0, 1, 2]


def test_of_celeba_every_attribute_is_a_label() -> None:
    attributes = np.array([[True, False], [True, True]])
    part = torchvision_sets.Part(attributes, ["Smiling", "Bald"])
    classes, labels = torchvision_sets._sorted_by_name([part])
    assert classes == ("Bald", "Smiling") and labels.tolist() == [[False, True], [True, True]]


def test_other_labels_can_be_chosen_by_name(root: Callable[[str], Path]) -> None:
    pets(root("oxford_iiit_pet"))
    assert load_dataset("oxford_iiit_pet", label="species").classes == ("Cat", "Dog")
    aircraft(root("fgvc_aircraft"))
    assert load_dataset("fgvc_aircraft", label="manufacturer").classes == ("A", "B")
    with pytest.raises(SpecError, match="did you mean 'family'"):
        load_dataset("fgvc_aircraft", label="famly")


def test_of_dtd_all_textures_of_an_image_can_be_asked_for(root: Callable[[str], Path]) -> None:
    dtd(root("dtd"))
    joint = root("dtd") / "dtd" / "dtd" / "labels" / "labels_joint_anno.txt"
    with pytest.raises(DataError, match=r"labels_joint_anno\.txt is missing"):
        load_dataset("dtd", label="joint")
    names = [f"{label}/{label}_{number}.jpg" for label in ("banded", "zigzagged") for number in range(3)]
    more = {"banded/banded_1.jpg": "banded zigzagged"}
    lines(joint, *(f"{name} {more.get(name, name.split('/')[0])} " for name in names))
    found = load_dataset("dtd", label="joint")
    assert found.multi_label and found.classes == ("banded", "zigzagged")
    said = {found.reader.name(row): found.labels[row].tolist() for row in range(len(found))}
    assert said["banded/banded_1.jpg"] == [True, True] and said["zigzagged/zigzagged_1.jpg"] == [False, True]
    assert load_dataset("dtd", label="key").labels.tolist() == load_dataset("dtd").labels.tolist()
    lines(joint, *(f"{name} banded" for name in names[1:]))
    with pytest.raises(DataError, match=r"gives banded/banded_0\.jpg the textures \(none\); those of DTD are needed"):
        load_dataset("dtd", label="joint")


def test_every_entry_names_a_class_of_torchvision() -> None:
    for recipe in TORCHVISION.values():
        assert hasattr(torchvision.datasets, recipe.title)


def test_a_download_lands_whole_or_not_at_all(root: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Fake(torchvision.datasets.EuroSAT):
        def download(self) -> None:
            calls.append(self.root)
            eurosat(Path(self.root))
            if len(calls) == 1:
                raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets, "EuroSAT", Fake)
    with pytest.raises(DataError, match="eurosat is unavailable from torchvision: File not found or corrupted"):
        load_dataset("eurosat")
    assert not root("eurosat").exists()
    assert len(load_dataset("eurosat")) == 4
    assert len(load_dataset("eurosat")) == 4
    assert len(calls) == 2


def test_what_torchvision_cannot_download_says_where_to_put_it(root: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match=r"cannot download StanfordCars; put its files into .*stanford_cars"):
        load_dataset("stanford_cars")
