"""How a picture is brought to size, as torchvision resizes and crops; and which bands of it are taken."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from headstart.bands import Bands
from headstart.errors import DataError, choose

STRIP = 16  # times as long as wide
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class View:
    """How an image is brought to size.

    Args:
        resize: length of the shorter side, in pixels, the aspect ratio kept.
        crop: side of the square cut from the centre (padded with black where the image is smaller);
            None keeps the whole image.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos", antialiased.
        bands: which bands of the file, and their ranges; None: red, green and blue.
    """

    resize: int
    crop: int | None
    interpolation: str = "bicubic"
    bands: Bands | None = None

    @property
    def channels(self) -> int:
        """The number of channels of its pixels."""
        return 3 if self.bands is None else self.bands.count

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, which say nothing of bands where it is an ordinary picture."""
        found = asdict(self)
        return found if self.bands is not None else {key: each for key, each in found.items() if key != "bands"}

    def __post_init__(self) -> None:
        if self.resize < 1 or (self.crop is not None and self.crop < 1):
            raise DataError(f"a view needs at least 1 pixel, not resize {self.resize}, crop {self.crop}")
        choose("interpolation", self.interpolation, INTERPOLATIONS)


def bring_to_size(image: Image.Image, view: View) -> Image.Image:
    """Resize the shorter side to `view.resize`, then cut the centre square, as torchvision does.

    Of an image over 16 times as long as wide only the middle is resized, so that a strip of one line of pixels
    does not take gigabytes.
    """
    image = _middle_of_strip(image, max(STRIP, 2 * ((view.crop or 0) // view.resize + 1)))
    width, height = image.size
    short, long = sorted((width, height))
    if short != view.resize:
        other = int(view.resize * long / short)
        size = (view.resize, other) if width <= height else (other, view.resize)
        image = image.resize(size, INTERPOLATIONS[view.interpolation])
    return image if view.crop is None else _centre(image, view.crop)


def _middle_of_strip(image: Image.Image, ratio: int) -> Image.Image:
    width, height = image.size
    longest = ratio * min(width, height)
    if max(width, height) <= longest:
        return image
    across, down = min(width, longest), min(height, longest)
    left, top = (width - across) // 2, (height - down) // 2
    return image.crop((left, top, left + across, top + down))


def _centre(image: Image.Image, crop: int) -> Image.Image:
    width, height = image.size
    if width < crop or height < crop:
        left, top = max(0, (crop - width) // 2), max(0, (crop - height) // 2)
        padded = Image.new(image.mode, (max(width, crop), max(height, crop)))
        padded.paste(image, (left, top))
        image = padded
        width, height = image.size
    left, top = round((width - crop) / 2.0), round((height - crop) / 2.0)
    return image.crop((left, top, left + crop, top + crop))
