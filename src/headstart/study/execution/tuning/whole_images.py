"""Whole images for random crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.data.decoding.image_store import ImageArray


@dataclass(frozen=True)
class WholeImages:
    """Whole images, which differ in size and are therefore read one by one, never as a batch; each is a copy."""

    images: ImageArray

    @property
    def key(self) -> str:
        """The images' content key."""
        return self.images.key

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8]:
        return np.array(self.images[row])
