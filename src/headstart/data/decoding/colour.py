"""Colours in the profile that a camera or a program embedded, as sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

from PIL import Image, ImageCms

_MODES = {"RGB ": "RGB", "CMYK": "CMYK", "GRAY": "L"}  # colour spaces of profiles, and Pillow's modes


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image of mode RGB, CMYK or L with this profile in RGB and sRGB; as it is where nothing is to be done.

    A profile that is damaged or belongs to another mode is ignored, as browsers do.
    """
    transform = _transform(profile, image.mode) if profile and image.mode in _MODES.values() else None
    converted: Image.Image = image if transform is None else transform.apply(image)
    return converted


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> Any:
    """Return what turns this mode in this profile into RGB in sRGB; None where there is nothing to turn."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _MODES.get(source.profile.xcolor_space) != mode:
            return None
        if "srgb" in (source.profile.profile_description or "").lower():
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
