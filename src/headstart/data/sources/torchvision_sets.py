"""Every image-classification dataset of torchvision, by name; torchvision downloads it and checks its checksum."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from headstart.data.dataset import Dataset, Reader
from headstart.data.readers import FileReader
from headstart.data.sources.in_memory import ItemReader, PictureReader
from headstart.data.sources.places import data_dir
from headstart.errors import DataAbsent, DataError, choose, first_line
from headstart.storage.files import disk_errors


@dataclass(frozen=True)
class Part:
    """What one part of a torchvision dataset holds: files or pixels, labels as numbers, class names."""

    labels: Sequence[int] | npt.NDArray[np.int64] | npt.NDArray[np.bool_]
    classes: Sequence[str]
    files: Sequence[str | Path] | None = None
    pixels: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class TorchvisionSet:
    """How one torchvision dataset is requested and what is read from it.

    Args:
        title: the class in torchvision.datasets.
        parts: our part of the split -> the keyword arguments that ask for it.
        read: gives the content of the object that torchvision builds.
        labels: other labels by name -> keyword arguments that ask for them.
        readings: other labels by name -> how they are read, where that is not `read`.
        downloads: torchvision can download it.
    """

    title: str
    parts: dict[str, dict[str, Any]]
    read: Callable[[Any], Part]
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    readings: dict[str, Callable[[Any], Part]] = field(default_factory=dict)
    downloads: bool = True


def torchvision_set(key: str, label: str | None = None, name: str | None = None) -> Dataset:
    """Return a dataset of torchvision, downloaded to `data_dir()/torchvision` unless it is there.

    Raises:
        DataAbsent: it cannot be downloaded; the message says why and where it was searched for.
        SpecError: no such label.
    """
    recipe = TORCHVISION[key]
    extra = choose(f"label of {key}", label, recipe.labels) if label else {}
    built = _build(key, recipe, extra)
    read = recipe.readings.get(label or "", recipe.read)
    parts = [read(each) for each in built]
    splits = [np.full(len(part.labels), split, dtype="U10") for split, part in zip(recipe.parts, parts, strict=True)]
    classes, numbers = _sorted_by_name(parts)
    return Dataset(
        name=name or key,
        reader=_reader(parts, built, key),
        labels=numbers,
        classes=classes,
        given_split=np.concatenate(splits) if any(recipe.parts) else None,
        about={"source": f"torchvision.datasets.{recipe.title}"},
    )


def _build(key: str, recipe: TorchvisionSet, extra: dict[str, Any]) -> list[Any]:
    """Return torchvision's objects, one for each part, after a download if there has been none."""
    import torchvision.datasets

    make = getattr(torchvision.datasets, recipe.title)
    root = data_dir() / "torchvision" / key
    calls = [{**kwargs, **extra} for kwargs in recipe.parts.values()]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            if not root.is_dir():
                _download(make, recipe, calls, root)
            return [make(str(root), **call) for call in calls]
    except (RuntimeError, OSError, ImportError, EOFError, ValueError) as error:
        where = f"torchvision's own layout is expected in {root}"
        page = f"https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.{recipe.title}.html"
        kind = DataError if root.is_dir() else DataAbsent  # a local copy that cannot be read is to be repaired
        raise kind(f"{key} is unavailable from torchvision: {first_line(error)} ({where}; see {page})") from error


def _download(make: Callable[..., Any], recipe: TorchvisionSet, calls: list[dict[str, Any]], root: Path) -> None:
    """Download beside the final place and move it there whole, so that a part is never taken for the whole."""
    if not recipe.downloads:
        raise DataAbsent(f"torchvision cannot download {recipe.title}; put its files into {root}")
    with disk_errors(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(root) + ".lock"):
            if root.is_dir():
                return
            partial = root.with_name(root.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for call in calls:
                make(str(partial), **call, download=True)
            os.replace(partial, root)


def _reader(parts: list[Part], built: list[Any], key: str) -> Reader:
    if all(part.files is not None for part in parts):
        files = [os.path.abspath(file) for part in parts for file in part.files or ()]  # noqa: PTH100
        root = Path(os.path.commonpath([os.path.dirname(file) for file in files]))  # noqa: PTH120
        return FileReader(root, [os.path.relpath(file, root) for file in files])
    if all(part.pixels is not None for part in parts):
        return PictureReader(np.concatenate([part.pixels for part in parts if part.pixels is not None]))
    return ItemReader([(each, len(part.labels)) for each, part in zip(built, parts, strict=True)], key)


def _sorted_by_name(
    parts: list[Part],
) -> tuple[tuple[str, ...], npt.NDArray[np.int64] | npt.NDArray[np.bool_]]:
    """Return all parts' labels as numbers into the sorted names; each part counts by its own names."""
    labels = [np.asarray(part.labels) for part in parts]
    if labels[0].ndim == 2:
        names = [str(name) for name in parts[0].classes]
        order = sorted(range(len(names)), key=names.__getitem__)
        return tuple(names[index] for index in order), np.concatenate(labels)[:, order].astype(bool)
    texts = [np.array(_unlike(part.classes), dtype=np.str_)[each] for part, each in zip(parts, labels, strict=True)]
    classes, numbers = np.unique(np.concatenate(texts), return_inverse=True)
    return tuple(str(name) for name in classes), numbers.astype(np.int64)


def _unlike(names: Sequence[str]) -> list[str]:
    """Return the names, those that occur twice with their number: ImageNet has two cranes."""
    texts = [str(name) for name in names]
    return [f"{name} ({index})" if texts.count(name) > 1 else name for index, name in enumerate(texts)]


def _files(each: Any) -> Part:
    return Part(each._labels, each.classes, files=each._image_files)


def _textures(each: Any) -> Part:
    """Read all textures of each image of DTD, from the list `PATH TEXTURE TEXTURE …` in its download."""
    path = Path(each._meta_folder) / "labels_joint_anno.txt"
    if not path.is_file():
        raise DataError(f"{path} is missing; it comes with the download of DTD")
    words = {(row := line.split())[0]: row[1:] for line in path.read_text().splitlines() if line.strip()}
    labels = np.zeros((len(each._image_files), len(each.classes)), dtype=bool)
    for number, file in enumerate(each._image_files):
        name = Path(file).relative_to(each._images_folder).as_posix()
        if not set(words.get(name, [""])) <= set(each.classes):
            given = " ".join(words.get(name, [])) or "(none)"
            raise DataError(f"{path}: gives {name} the textures {given}; those of DTD are needed")
        labels[number, [each.class_to_idx[word] for word in words[name]]] = True
    return Part(labels, each.classes, files=each._image_files)


def _samples(each: Any) -> Part:
    samples = each._samples if hasattr(each, "_samples") else each.samples
    classes = [name if isinstance(name, str) else name[0] for name in each.classes]
    return Part([label for _, label in samples], classes, files=[path for path, _ in samples])


def _imagenet(each: Any) -> Part:
    names = [f"{wnid} {words[0]}" for wnid, words in zip(each.wnids, each.classes, strict=True)]
    return Part([label for _, label in each.samples], names, files=[path for path, _ in each.samples])


def _gtsrb(each: Any) -> Part:
    labels = [label for _, label in each._samples]
    return Part(labels, [f"{sign:02d}" for sign in range(43)], files=[path for path, _ in each._samples])


def _pets(each: Any) -> Part:
    binary = "binary-category" in each._target_types
    labels, classes = (each._bin_labels, each.bin_classes) if binary else (each._labels, each.classes)
    return Part(labels, classes, files=each._images)


def _caltech101(each: Any) -> Part:
    top = Path(each.root) / "101_ObjectCategories"
    rows = zip(each.y, each.index, strict=True)
    return Part(each.y, each.categories, files=[top / each.categories[y] / f"image_{i:04d}.jpg" for y, i in rows])


def _caltech256(each: Any) -> Part:
    top = Path(each.root) / "256_ObjectCategories"
    rows = zip(each.y, each.index, strict=True)
    files = [top / each.categories[y] / f"{y + 1:03d}_{i:04d}.jpg" for y, i in rows]
    return Part(each.y, each.categories, files=files)


def _omniglot(each: Any) -> Part:
    flat = each._flat_character_images
    files = [Path(each.target_folder) / each._characters[label] / image for image, label in flat]
    return Part([label for _, label in flat], each._characters, files=files)


def _inaturalist(each: Any) -> Part:
    files = [Path(each.root) / each.all_categories[label] / file for label, file in each.index]
    return Part([label for label, _ in each.index], each.all_categories, files=files)


def _places(each: Any) -> Part:
    return Part(each.targets, each.classes, files=[path for path, _ in each.imgs])


def _people(each: Any) -> Part:
    names = sorted(each.class_to_idx, key=each.class_to_idx.__getitem__)
    return Part(each.targets, names, files=each.data)


def _celeba(each: Any) -> Part:
    folder = Path(each.root) / each.base_folder / "img_align_celeba"
    names = [name for name in each.attr_names if name]
    return Part(each.attr.numpy().astype(bool), names, files=[folder / file for file in each.filename])


def _clevr(each: Any) -> Part:
    return Part(each._labels, [f"{count:02d} objects" for count in range(11)], files=each._image_files)


def _array(each: Any) -> Part:
    """Read datasets that keep `data` (channels last, or none) and `targets` or `labels`."""
    labels = np.asarray(each.targets if hasattr(each, "targets") else each.labels)
    pixels = np.asarray(each.data)
    if pixels.ndim == 4 and pixels.shape[1] == 3 and pixels.shape[3] != 3:
        pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    classes = getattr(each, "classes", None) or [str(digit) for digit in range(10)]
    return Part(labels if labels.ndim == 1 else labels[:, 0], classes, pixels=pixels.astype(np.uint8, copy=False))


def _emnist(each: Any) -> Part:
    part = _array(each)
    assert part.pixels is not None
    return Part(part.labels, part.classes, pixels=np.ascontiguousarray(part.pixels.transpose(0, 2, 1)))


def _fer(each: Any) -> Part:
    names = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    pixels = np.stack([pixels.numpy() for pixels, _ in each._samples])
    return Part([label for _, label in each._samples], names, pixels=pixels)


def _pcam(each: Any) -> Part:
    targets = each._FILES[each._split]["targets"][0]
    with each.h5py.File(each._base_folder / targets) as file:
        labels = file["y"][:, 0, 0, 0].astype(np.int64)
    return Part(labels, ("normal", "tumour"))


_TRAIN_TEST: dict[str, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
_SPLIT2: dict[str, dict[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}
_SPLIT3: dict[str, dict[str, Any]] = {**_SPLIT2, "validation": {"split": "val"}}
_TRAIN_VAL: dict[str, dict[str, Any]] = {"train": {"split": "train"}, "validation": {"split": "val"}}
_TRAINVAL: dict[str, dict[str, Any]] = {"train": {"split": "trainval"}, "test": {"split": "test"}}
_COUNTRY: dict[str, dict[str, Any]] = {**_SPLIT2, "validation": {"split": "valid"}}
_WHOLE: dict[str, dict[str, Any]] = {"": {}}
_BALANCED: dict[str, dict[str, Any]] = {part: {"split": "balanced", **call} for part, call in _TRAIN_TEST.items()}

TORCHVISION: dict[str, TorchvisionSet] = {
    "caltech101": TorchvisionSet("Caltech101", _WHOLE, _caltech101),
    "caltech256": TorchvisionSet("Caltech256", _WHOLE, _caltech256),
    "celeba": TorchvisionSet("CelebA", _COUNTRY, _celeba),
    "cifar10": TorchvisionSet("CIFAR10", _TRAIN_TEST, _array),
    "cifar100": TorchvisionSet("CIFAR100", _TRAIN_TEST, _array),
    "clevr": TorchvisionSet("CLEVRClassification", _TRAIN_VAL, _clevr),
    "country211": TorchvisionSet("Country211", _COUNTRY, _samples),
    "dtd": TorchvisionSet("DTD", _SPLIT3, _files, labels={"key": {}, "joint": {}}, readings={"joint": _textures}),
    "emnist": TorchvisionSet(
        "EMNIST",
        _BALANCED,
        _emnist,
        labels={each: {"split": each} for each in ("balanced", "byclass", "bymerge", "letters", "digits", "mnist")},
    ),
    "eurosat": TorchvisionSet("EuroSAT", _WHOLE, _samples),
    "fashion_mnist": TorchvisionSet("FashionMNIST", _TRAIN_TEST, _array),
    "fer2013": TorchvisionSet("FER2013", _SPLIT2, _fer, downloads=False),
    "fgvc_aircraft": TorchvisionSet(
        "FGVCAircraft",
        _SPLIT3,
        _files,
        labels={each: {"annotation_level": each} for each in ("variant", "family", "manufacturer")},
    ),
    "flowers102": TorchvisionSet("Flowers102", _SPLIT3, _files),
    "food101": TorchvisionSet("Food101", _SPLIT2, _files),
    "gtsrb": TorchvisionSet("GTSRB", _SPLIT2, _gtsrb),
    "imagenet": TorchvisionSet("ImageNet", _TRAIN_VAL, _imagenet, downloads=False),
    "imagenette": TorchvisionSet("Imagenette", _TRAIN_VAL, _samples),
    "inaturalist": TorchvisionSet(
        "INaturalist", {"train": {"version": "2021_train_mini"}, "validation": {"version": "2021_valid"}}, _inaturalist
    ),
    "kmnist": TorchvisionSet("KMNIST", _TRAIN_TEST, _array),
    "lfw_people": TorchvisionSet("LFWPeople", _WHOLE, _people),
    "mnist": TorchvisionSet("MNIST", _TRAIN_TEST, _array),
    "omniglot": TorchvisionSet("Omniglot", {"train": {"background": True}, "test": {"background": False}}, _omniglot),
    "oxford_iiit_pet": TorchvisionSet(
        "OxfordIIITPet",
        _TRAINVAL,
        _pets,
        labels={"breed": {"target_types": "category"}, "species": {"target_types": "binary-category"}},
    ),
    "pcam": TorchvisionSet("PCAM", _SPLIT3, _pcam),
    "places365": TorchvisionSet(
        "Places365",
        {"train": {"split": "train-standard", "small": True}, "validation": {"split": "val", "small": True}},
        _places,
    ),
    "qmnist": TorchvisionSet("QMNIST", _TRAIN_TEST, _array),
    "rendered_sst2": TorchvisionSet("RenderedSST2", _SPLIT3, _samples),
    "semeion": TorchvisionSet("SEMEION", _WHOLE, _array),
    "stanford_cars": TorchvisionSet("StanfordCars", _SPLIT2, _samples, downloads=False),
    "stl10": TorchvisionSet("STL10", _SPLIT2, _array),
    "sun397": TorchvisionSet("SUN397", _WHOLE, _files),
    "svhn": TorchvisionSet("SVHN", _SPLIT2, _array),
    "usps": TorchvisionSet("USPS", _TRAIN_TEST, _array),
}
