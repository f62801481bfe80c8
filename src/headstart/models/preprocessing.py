"""What a network expects of its input, and the one place where pixels become that input and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from headstart.bands import Bands, bands_from


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input.

    Args:
        size: side of the square crop, in pixels.
        resize: length of the shorter side before the centre crop, in pixels.
        interpolation: "bicubic" or "bilinear".
        mean, std: per channel, red, green and blue or each band, for pixels scaled to 0..1.
        bands: which bands of a file it takes, and their ranges; None: red, green and blue.
    """

    size: int = 224
    resize: int = 256
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    bands: Bands | None = None

    @property
    def channels(self) -> int:
        """The number of channels of its images."""
        return len(self.mean)

    def of_bands(self, bands: Bands) -> Preprocessing:
        """Return the same for images of these bands, normalised by what was measured of each.

        Numbers that are normalised by what their weights were trained with, not by what was measured, still are.
        """
        old = self.bands
        if old is None or (self.mean, self.std) == (old.mean, old.std) or old.count != bands.count:
            return replace(self, mean=bands.mean, std=bands.std, bands=bands)
        spreads = [high - low for low, high in zip(old.low, old.high, strict=True)]
        mean = [low + spread * value for low, spread, value in zip(old.low, spreads, self.mean, strict=True)]
        std = [spread * value for spread, value in zip(spreads, self.std, strict=True)]
        return self.of_numbers(mean, std, bands)

    def of_numbers(self, mean: Sequence[float], std: Sequence[float], bands: Bands) -> Preprocessing:
        """Return the same for images of these bands, normalised by statistics of the numbers in their files."""
        spreads = [high - low for low, high in zip(bands.low, bands.high, strict=True)]
        means = tuple((m - low) / spread for m, low, spread in zip(mean, bands.low, spreads, strict=True))
        return replace(
            self, mean=means, std=tuple(s / spread for s, spread in zip(std, spreads, strict=True)), bands=bands
        )

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, which say nothing of bands where it takes ordinary pictures."""
        found = asdict(self)
        return found if self.bands is not None else {key: each for key, each in found.items() if key != "bands"}

    def at(self, size: int) -> Preprocessing:
        """Return the same for images of another size, the margin around the crop in proportion."""
        return replace(self, size=size, resize=round(size * self.resize / self.size))


def preprocessing_from(facts: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that `Preprocessing.facts` described."""
    bands = facts.get("bands")
    return Preprocessing(
        **{
            **facts,
            "mean": tuple(facts["mean"]),
            "std": tuple(facts["std"]),
            "bands": None if bands is None else bands_from(bands),
        }
    )


def scale_and_shift(
    preprocessing: Preprocessing, device: torch.device | str = "cpu"
) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
    """Return what turns pixels 0 … 255 into the network's input: pixels · scale + shift."""
    mean = torch.tensor(preprocessing.mean, device=device)
    std = torch.tensor(preprocessing.std, device=device)
    return (1 / (255 * std)).view(1, -1, 1, 1), (-mean / std).view(1, -1, 1, 1)


def as_tensor(pixels: UInt8[np.ndarray, "n h w c"]) -> UInt8[Tensor, "n c h w"]:
    """Return pixels as a tensor without copying them: its memory is channels last."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)


def normalise(pixels: Tensor, preprocessing: Preprocessing) -> Float[Tensor, "n c h w"]:
    """Return pixels 0 … 255 [n, c, h, w], of any type, as the network's input; their memory format is kept."""
    scale, shift = scale_and_shift(preprocessing, pixels.device)
    return pixels.to(torch.float32, copy=True).mul_(scale).add_(shift)


def pixels_of(images: Float[Tensor, "n c h w"], preprocessing: Preprocessing) -> UInt8[np.ndarray, "n h w c"]:
    """Return the uint8 pixels that `normalise` made these images of."""
    mean = torch.tensor(preprocessing.mean).view(1, -1, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, -1, 1, 1)
    pixels = (images.detach().cpu().float() * std + mean) * 255
    return np.ascontiguousarray(pixels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
