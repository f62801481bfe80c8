from __future__ import annotations

import base64
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import photographs
import pytest
from PIL import Image

from headstart.audit.audit import Other, audit_dataset, near_copies, without_near_duplicates
from headstart.data.dataset import Dataset, Split
from headstart.data.readers import FileReader
from headstart.data.sources.load import load_dataset
from headstart.data.sources.without_labels import load_without_labels
from headstart.errors import DataError
from headstart.storage.store import Store
from headstart.study.resources import Resources
from headstart.study.spec.schema import DataSpec


def picture(seed: int) -> Image.Image:
    return Image.fromarray(photographs.picture(seed))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    for k in range(24):
        place = root / ("ant", "bee")[k % 2]
        place.mkdir(exist_ok=True)
        picture(k).save(place / f"{k:02}.png")
    return root


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "data"))


def rows(dataset: Dataset) -> dict[str, int]:
    return {dataset.reader.name(row): row for row in range(len(dataset))}


def texts(audit: dict[str, object], level: str) -> str:
    return "\n".join(f["text"] for f in audit["findings"] if f["level"] == level)  # type: ignore[attr-defined]


def test_a_clean_folder_has_no_problems(folder: Path) -> None:
    audit = audit_dataset(load_dataset(folder))
    assert audit["exact"] == audit["near"] == audit["unreadable"] == []
    assert audit["drop"] == {"unreadable": [], "exact": [], "near": [], "shared": []}
    assert texts(audit, "problem") == ""
    assert "no exact duplicates" in texts(audit, "good")
    assert audit["notes"] == ["without features, cut-outs and labels that look wrong were not searched for"]
    assert json.loads(json.dumps(audit, allow_nan=False)) == audit


def test_copies_across_the_split_are_leaks_and_the_test_image_stays(folder: Path) -> None:
    shutil.copy(folder / "ant/00.png", folder / "ant/copy.png")
    picture(2).save(folder / "ant/again.jpg", quality=50)
    dataset = load_dataset(folder)
    at = rows(dataset)
    test = np.sort([at["ant/copy.png"], at["ant/again.jpg"], at["bee/01.png"]])
    split = Split(np.setdiff1d(np.arange(len(dataset)), test), np.zeros(0, dtype=np.int64), test, "given", 0)
    audit = audit_dataset(dataset, split=split)
    assert audit["leaks"]["test"] == {"n": 3, "exact": 1, "near": 1}
    assert audit["drop"]["exact"] == [at["ant/00.png"]]
    assert audit["drop"]["near"] == [at["ant/02.png"]]
    assert audit["exact"][0]["parts"] == ["test", "train"]
    assert "2 of 3 test images (66.7 %) have a copy in the training or validation part: 1 exact, 1 near" in texts(
        audit, "problem"
    )
    decoded = Image.open(io.BytesIO(base64.b64decode(audit["thumbnails"][audit["near"][0]["a"]["thumbnail"]])))
    assert decoded.size == (96, 72)


def test_equal_files_with_different_labels_are_a_problem_and_all_are_dropped(folder: Path) -> None:
    shutil.copy(folder / "ant/00.png", folder / "bee/same.png")
    dataset = load_dataset(folder)
    audit = audit_dataset(dataset)
    assert audit["exact"][0]["conflict"]
    assert audit["drop"]["exact"] == sorted([rows(dataset)["ant/00.png"], rows(dataset)["bee/same.png"]])
    assert "1 image has copies with different labels: ant/00.png (ant) and bee/same.png (bee)" in texts(
        audit, "problem"
    )


def test_a_file_cut_short_is_named_with_its_reason(folder: Path) -> None:
    whole = folder / "ant/00.png"
    picture(50).save(folder / "bee/cut.jpg")
    data = (folder / "bee/cut.jpg").read_bytes()
    (folder / "bee/cut.jpg").write_bytes(data[: len(data) // 2])
    whole.write_bytes(whole.read_bytes()[:40])
    listed = audit_dataset(load_dataset(folder))  # loading leaves such files out already
    assert {row["name"] for row in listed["skipped"]} == {"ant/00.png", "bee/cut.jpg"}
    assert "2 items were skipped while loading" in texts(listed, "notice")
    names = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))
    labels = np.array([name.startswith("bee") for name in names], dtype=np.int64)
    audit = audit_dataset(Dataset("data", FileReader(folder, names), labels, ("ant", "bee")))
    assert [row["name"] for row in audit["unreadable"]][-1] == "bee/cut.jpg"
    assert "cut short" in audit["unreadable"][-1]["reason"]
    assert "2 files do not decode: ant/00.png" in texts(audit, "problem")
    assert audit["drop"]["unreadable"] == [row["row"] for row in audit["unreadable"]]


def test_odd_modes_and_sizes_are_listed(folder: Path) -> None:
    picture(60).convert("P").save(folder / "ant/palette.png")
    picture(61).resize((20, 20)).save(folder / "ant/tiny.png")
    picture(62).resize((200, 40)).save(folder / "ant/long.png")
    odd = audit_dataset(load_dataset(folder))["files"]["odd"]
    assert {kind: [row["name"] for row in odd[kind]["rows"]] for kind in odd} == {
        "modes": ["ant/palette.png"],
        "animated": [],
        "tiny": ["ant/tiny.png"],
        "elongated": ["ant/long.png"],
    }


def test_images_shared_with_another_dataset_are_found(folder: Path, tmp_path: Path) -> None:
    for k, label in ((0, "cat"), (100, "cat"), (101, "dog"), (3, "dog")):
        place = tmp_path / "source" / label
        place.mkdir(parents=True, exist_ok=True)
        picture(k).save(place / f"{k}.jpg", quality=80)
    shutil.copy(folder / "ant/04.png", tmp_path / "source/cat/same.png")
    picture(101).save(tmp_path / "source/dog/within.jpg", quality=60)  # a copy inside the source: of no interest
    dataset = load_dataset(folder)
    audit = audit_dataset(dataset, others=[Other(load_dataset(tmp_path / "source"))])
    assert audit["leaks"]["others"] == [{"dataset": "source", "exact": 1, "near": 2}]
    assert audit["drop"]["shared"] == sorted(rows(dataset)[n] for n in ("ant/00.png", "bee/03.png", "ant/04.png"))
    assert len(audit["near"]) == 2
    assert "3 images are also in source: 1 exact, 2 near" in texts(audit, "problem")


def test_near_duplicates_leave_the_training_part_when_a_study_asks_for_it(folder: Path, tmp_path: Path) -> None:
    picture(1).save(folder / "bee/again.jpg", quality=70)  # bee/01.png, saved again
    shutil.copy(folder / "ant/04.png", folder / "ant/same.png")
    store = Store(tmp_path / "store")
    spec = DataSpec(source=str(folder), drop_duplicates="near")
    before = load_dataset(folder)
    after = Resources(store).dataset(spec)
    names = [after.reader.name(row) for row in range(len(after))]
    assert len(after) == len(before) - 2
    assert ("bee/again.jpg" in names) + ("bee/01.png" in names) == 1
    assert "1 near duplicates dropped" in after.about.values()
    test = np.array(["test" if before.reader.name(r) == "bee/again.jpg" else "train" for r in range(len(before))])
    kept = without_near_duplicates(replace(before, given_split=test), store)
    assert "bee/again.jpg" in [kept.reader.name(row) for row in range(len(kept))]  # the test copy stays


def test_near_copies_among_other_images_are_found(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    picture(1).save(tmp_path / "more/b.jpg", quality=70)  # bee/01.png, saved again
    shutil.copy(folder / "ant/04.png", tmp_path / "more/d.png")
    for k, name in ((200, "a"), (201, "c")):
        picture(k).save(tmp_path / f"more/{name}.png")
    picture(200).save(tmp_path / "more/e.jpg", quality=70)  # a copy among these images only
    dataset, others = load_dataset(folder), load_without_labels(tmp_path / "more")
    assert [others.reader.name(row) for row in near_copies(dataset, others)] == ["b.jpg", "d.png"]
    for near, left in (("near", ["a.png", "c.png", "e.jpg"]), (True, ["a.png", "b.jpg", "c.png", "e.jpg"])):
        spec = DataSpec(source=str(folder), unlabelled=str(tmp_path / "more"), drop_duplicates=near)
        found = Resources(Store(tmp_path / "store")).unlabelled(spec)
        assert found is not None and [found.reader.name(row) for row in range(len(found))] == left


def test_labels_that_look_wrong_are_listed_with_names(folder: Path) -> None:
    dataset = load_dataset(folder)
    features = np.random.default_rng(0).normal(size=(len(dataset), 8)).astype(np.float32)
    features[:, 0] += 8 * dataset.labels
    labels = dataset.labels.copy()
    labels[5] = 1 - labels[5]
    audit = audit_dataset(replace(dataset, labels=labels), features=features)
    first = audit["label_errors"][0]
    assert (first["row"], first["label"], first["suggested"]) == (5, "bee", "ant")
    assert audit["label_check"]["accuracy"] > 0.9
    assert audit["counts"]["label_errors"] == len(audit["label_errors"])
    assert "first of all ant/10.png, labelled bee, looks like ant" in texts(audit, "notice")


def test_uneven_and_tiny_classes_are_reported(folder: Path) -> None:
    for k in range(2, 24, 2):
        (folder / f"ant/{k:02}.png").unlink()
    audit = audit_dataset(load_dataset(folder))
    assert audit["imbalance"]["ratio"] == 12
    assert "uneven" in texts(audit, "notice")
    assert "1 class has fewer than 5 images: ant" in texts(audit, "problem")


def test_features_of_another_dataset_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="7 features for 24 images"):
        audit_dataset(load_dataset(folder), features=np.zeros((7, 3), dtype=np.float32))


KINDS = ("exact", "saved again", "cut out", "mirrored")


def plant(originals: list[Path], folder: Path, generator: np.random.Generator) -> None:
    """Write a changed copy of each original beside it, the kinds in turn."""
    for k, origin in enumerate(originals):
        place = folder / origin.parent.name / f"{KINDS[k % 4]} {origin.stem}.jpg"
        image = Image.open(io.BytesIO(origin.read_bytes()))
        width, height = image.size
        share = generator.uniform(0.7, 0.92)
        left, top = (int(generator.uniform(0, side * (1 - share))) for side in (width, height))
        if k % 4 == 0:
            shutil.copy(origin, place)
        elif k % 4 == 1:
            shape = (int(width * generator.uniform(0.5, 1)), int(height * generator.uniform(0.5, 1)))
            image.resize((shape[0], shape[0] * height // width)).save(place, quality=int(generator.integers(30, 90)))
        elif k % 4 == 2:
            box = (left, top, left + int(width * share), top + int(height * share))
            image.crop(box).save(place, quality=90)
        else:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(place, quality=90)


def one_photograph(a: bytes, b: bytes) -> bool:
    """Say independently whether two images are the same picture, perhaps mirrored."""
    x, y = (np.asarray(Image.open(io.BytesIO(d)).convert("L").resize((128, 128)), dtype=np.float64) for d in (a, b))
    return bool(max(np.corrcoef(x.ravel(), z.ravel())[0, 1] for z in (y, y[:, ::-1])) > 0.97)


@pytest.mark.realdata
def test_planted_copies_among_real_photographs_are_found(real_images: Path, tmp_path: Path) -> None:
    from headstart.data.decoding.image_store import View, decode_images
    from headstart.models.create import create_backbone
    from headstart.transfer.frozen.features import extract, features_key

    generator = np.random.default_rng(0)
    files = sorted(p for p in (real_images / "caltech101").glob("*/*.jpg") if "BACKGROUND" not in p.parent.name)
    chosen = []
    for k in np.sort(generator.permutation(len(files))[:200]):
        place = tmp_path / "real" / files[k].parent.name / files[k].name
        place.parent.mkdir(parents=True, exist_ok=True)
        chosen.append(Path(shutil.copy(files[k], place)))
    plant([chosen[k] for k in generator.permutation(200)[:160]], tmp_path / "real", generator)
    dataset = load_dataset(tmp_path / "real")
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    wanted = backbone.preprocessing
    images = decode_images(dataset, View(wanted.resize, wanted.size, wanted.interpolation))
    features = extract(images, backbone.stages, wanted, key=features_key(images.key, backbone.stages, wanted, "cpu"))
    audit = audit_dataset(dataset, bad=images.bad, features=features)
    at = rows(dataset)
    planted: dict[str, set[frozenset[int]]] = {kind: set() for kind in KINDS}
    for name, row in at.items():
        for kind in KINDS:
            label, _, stem = name.partition("/")
            if stem.startswith(kind):
                planted[kind].add(frozenset((row, at[f"{label}/{stem.removeprefix(kind + ' ')}"])))
    exact = {frozenset(p["row"] for p in group["places"]) for group in audit["exact"]}
    near = [frozenset((pair["a"]["row"], pair["b"]["row"])) for pair in audit["near"]]
    share = {kind: len(planted[kind] & set(near)) / 40 for kind in KINDS[1:]}
    print(f"found: {share}; reported: {len(near)}")
    assert planted["exact"] == exact & planted["exact"]
    assert share["saved again"] >= 0.95
    assert share["mirrored"] >= 0.95
    assert share["cut out"] >= 0.9
    read = dataset.reader.read
    true = set().union(*planted.values())
    false = [p for p in near[:100] if p not in true and not one_photograph(*(bytes(read(row)) for row in p))]
    assert len(near) >= 100
    assert len(false) <= 1
