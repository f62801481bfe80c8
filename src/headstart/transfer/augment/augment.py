"""Augmentation of uint8 batches; what a sample undergoes depends on (seed, epoch, row) alone.

Each augmentation is a function of (pixels uint8 [b, h, w, 3], Draws, options) -> pixels. Resizing and
the operations of RandAugment and TrivialAugment are torchvision's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headstart.errors import SpecError, unknown_name
from headstart.transfer.augment.counter_rng import Draws
from headstart.transfer.augment.framing import enlarged, framed, functional, resized
from headstart.transfer.augment.policies import apply_operation, rand_augment, trivial_augment

Pixels = npt.NDArray[np.uint8]
Options = Mapping[str, float]
Augmentation = Callable[[Pixels, Draws, Options], Pixels]


def horizontal_flip(pixels: Pixels, draws: Draws, options: Options) -> Pixels:
    """Mirror left and right with probability `p`."""
    chosen = draws.uniform("horizontal_flip", 1)[:, 0] < options["p"]
    out = pixels.copy()
    out[chosen] = pixels[chosen, :, ::-1]
    return out


def vertical_flip(pixels: Pixels, draws: Draws, options: Options) -> Pixels:
    """Mirror up and down with probability `p`."""
    chosen = draws.uniform("vertical_flip", 1)[:, 0] < options["p"]
    out = pixels.copy()
    out[chosen] = pixels[chosen, ::-1]
    return out


def random_crop(pixels: Pixels, draws: Draws, options: Options) -> Pixels:
    """Shift by up to `padding` (a fraction of the side) in each direction; the border is reflected.

    Images that are larger than the network's are not padded: a window is cut out of them (`random_window`).
    """
    n, height, width, _ = pixels.shape
    pad = max(1, round(options["padding"] * height)), max(1, round(options["padding"] * width))
    padded = np.pad(pixels, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1]), (0, 0)), mode="reflect")
    where = draws.uniform("random_crop", 2)
    tops = (where[:, 0] * (2 * pad[0] + 1)).astype(int)
    lefts = (where[:, 1] * (2 * pad[1] + 1)).astype(int)
    out = np.empty_like(pixels)
    for i in range(n):
        out[i] = padded[i, tops[i] : tops[i] + height, lefts[i] : lefts[i] + width]
    return out


def random_resized_crop(pixels: Pixels, draws: Draws, options: Options) -> Pixels:
    """Cut out a random part (`scale_min`..`scale_max` of the area) and resize it to the batch's size."""
    return crop_resized(list(pixels), draws, options, pixels.shape[1])


def rotation(pixels: Pixels, draws: Draws, options: Options) -> Pixels:
    """Turn by up to `degrees` either way, bilinear; the corners show the image's mean colour."""
    angles = (2 * draws.uniform("rotation", 1)[:, 0] - 1) * options["degrees"]
    bilinear = functional().InterpolationMode.BILINEAR

    def turn(image: Tensor, i: int) -> Tensor:
        fill = image.float().mean(dim=(1, 2)).round().tolist()
        turned: Tensor = functional().rotate(image, float(angles[i]), interpolation=bilinear, fill=fill)
        return turned

    return _each(pixels, turn)


def colour(pixels: Pixels, draws: Draws, options: Options) -> Pixels:
    """Change brightness, contrast, saturation and hue by up to the amounts of these names."""
    shifts = 2 * draws.uniform("colour", 4) - 1

    def jitter(image: Tensor, i: int) -> Tensor:
        for column, name in enumerate(("brightness", "contrast", "saturation")):
            if options[name] > 0:
                change = _ADJUST[name]
                image = change(image, max(0.0, 1 + float(shifts[i, column]) * options[name]))
        if options["hue"] > 0:
            image = functional().adjust_hue(image, float(shifts[i, 3]) * options["hue"])
        return image

    return _each(pixels, jitter)


def randaugment(pixels: Pixels, draws: Draws, options: Options) -> Pixels:
    """Apply `operations` random changes of strength `magnitude` (0..30; Cubuk et al. 2020)."""
    plans = rand_augment(draws, int(options["operations"]), int(options["magnitude"]), pixels.shape[1])
    return _each(pixels, lambda image, i: apply_operation(image, plans[i]))


def trivialaugment(pixels: Pixels, draws: Draws, options: Options) -> Pixels:
    """Apply one random change of random strength (TrivialAugmentWide; Müller and Hutter 2021)."""
    plans = trivial_augment(draws)
    return _each(pixels, lambda image, i: apply_operation(image, plans[i]))


def random_erasing(pixels: Pixels, draws: Draws, options: Options) -> Pixels:
    """Paint a rectangle (2 % to a third of the area) in the mean colour, with probability `p` (Zhong et al. 2020)."""
    _, height, width, _ = pixels.shape
    u = draws.uniform("random_erasing", 5)
    out = pixels.copy()
    for i in np.flatnonzero(u[:, 0] < options["p"]):
        area = height * width * (0.02 + u[i, 1] * (1 / 3 - 0.02))
        ratio = math.exp((2 * u[i, 2] - 1) * math.log(10 / 3))
        h, w = min(height, round(math.sqrt(area * ratio))), min(width, round(math.sqrt(area / ratio)))
        top, left = int(u[i, 3] * (height - h + 1)), int(u[i, 4] * (width - w + 1))
        out[i, top : top + h, left : left + w] = pixels[i].mean(axis=(0, 1)).round()
    return out


AUGMENTATIONS: dict[str, Augmentation] = {
    "random_crop": random_crop,
    "random_resized_crop": random_resized_crop,
    "horizontal_flip": horizontal_flip,
    "vertical_flip": vertical_flip,
    "rotation": rotation,
    "colour": colour,
    "randaugment": randaugment,
    "trivialaugment": trivialaugment,
    "random_erasing": random_erasing,
}
RGB_ONLY = ("colour", "randaugment", "trivialaugment")  # they change colours, and need red, green and blue
DEFAULTS: dict[str, dict[str, float]] = {
    "random_crop": {"padding": 0.125},
    "random_resized_crop": {"scale_min": 0.35, "scale_max": 1.0, "ratio": 4 / 3},
    "horizontal_flip": {"p": 0.5},
    "vertical_flip": {"p": 0.5},
    "rotation": {"degrees": 15.0},
    "colour": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "randaugment": {"operations": 2.0, "magnitude": 9.0},
    "trivialaugment": {},
    "random_erasing": {"p": 0.25},
    "mixup": {"alpha": 0.2},
    "cutmix": {"alpha": 1.0},
}
_ADJUST: dict[str, Callable[[Tensor, float], Tensor]] = {
    "brightness": lambda image, factor: functional().adjust_brightness(image, factor),
    "contrast": lambda image, factor: functional().adjust_contrast(image, factor),
    "saturation": lambda image, factor: functional().adjust_saturation(image, factor),
}


@dataclass(frozen=True)
class Augmenter:
    """A list of augmentations under a seed.

    Args:
        names: applied in this order.
        options: changes of the defaults, by name.
        seed: the run's seed.
        size: side of the images that come out.
    """

    names: tuple[str, ...]
    options: Mapping[str, Mapping[str, float]]
    seed: int
    size: int

    def __call__(self, images: Sequence[Pixels] | Pixels, rows: npt.NDArray[np.int64], epoch: int) -> Pixels:
        """Return uint8 [b, size, size, 3] for images of any sizes, or for a batch of one size."""
        draws = Draws(self.seed, epoch, rows)
        names = list(self.names)
        if "random_resized_crop" in names:  # the crop frames the image: first, on all the pixels there are
            names.remove("random_resized_crop")
            pixels = crop_resized(images, draws, self._options("random_resized_crop"), self.size)
        elif "random_crop" in names and any(image.shape[:2] != (self.size, self.size) for image in images):
            names.remove("random_crop")
            pixels = random_window(images, draws, self.size)
        else:
            pixels = framed(images, self.size)
        for name in names:
            pixels = AUGMENTATIONS[name](pixels, draws, self._options(name))
        return pixels

    def _options(self, name: str) -> dict[str, float]:
        return {**DEFAULTS[name], **self.options.get(name, {})}


def crop_resized(images: Sequence[Pixels] | Pixels, draws: Draws, options: Options, size: int) -> Pixels:
    """Cut a random part out of each image and resize it (Szegedy et al. 2015), bilinear with antialias."""
    u = draws.uniform("random_resized_crop", 4)
    out = np.empty((len(images), size, size, images[0].shape[2]), np.uint8)
    for i, image in enumerate(images):
        height, width = image.shape[:2]
        area = height * width * (options["scale_min"] + u[i, 0] * (options["scale_max"] - options["scale_min"]))
        ratio = math.exp((2 * u[i, 1] - 1) * math.log(options["ratio"]))
        h = max(1, min(height, round(math.sqrt(area / ratio))))
        w = max(1, min(width, round(math.sqrt(area * ratio))))
        top, left = int(u[i, 2] * (height - h + 1)), int(u[i, 3] * (width - w + 1))
        out[i] = resized(image[top : top + h, left : left + w], size, size)
    return out


def random_window(images: Sequence[Pixels] | Pixels, draws: Draws, size: int) -> Pixels:
    """Cut a window of `size` out of each image, at a random place; smaller images are enlarged first."""
    where = draws.uniform("random_crop", 2)
    out = np.empty((len(images), size, size, images[0].shape[2]), np.uint8)
    for i, image in enumerate(images):
        image = enlarged(image, size)
        top = int(where[i, 0] * (image.shape[0] - size + 1))
        left = int(where[i, 1] * (image.shape[1] - size + 1))
        out[i] = image[top : top + size, left : left + size]
    return out


def check_options(names: Sequence[str], options: Mapping[str, Mapping[str, float]]) -> None:
    """Refuse options of augmentations that are not in `names`, and options that they do not have.

    Raises:
        SpecError: the option, with the nearest that is known.
    """
    for name, values in options.items():
        if name not in DEFAULTS:
            raise SpecError(f"augment_options: {unknown_name('augmentation', name, DEFAULTS)}")
        if name not in names:
            raise SpecError(f"augment_options for {name!r}, which is not in augment {list(names)}")
        for key in values:
            if key not in DEFAULTS[name]:
                raise SpecError(f"augment_options: {unknown_name(f'option of {name}', key, DEFAULTS[name])}")


def _each(pixels: Pixels, change: Callable[[Tensor, int], Tensor]) -> Pixels:
    out = np.empty_like(pixels)
    for i in range(len(pixels)):
        image = torch.from_numpy(np.ascontiguousarray(pixels[i])).permute(2, 0, 1)
        out[i] = change(image, i).permute(1, 2, 0).numpy()
    return out
