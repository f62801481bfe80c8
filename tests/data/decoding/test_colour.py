from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from headstart.data.decoding.decode import decode


def exchanged() -> bytes:
    """Return the profile of a screen whose red and blue are exchanged: that of sRGB with two tags swapped."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"____").replace(b"bXYZ", b"rXYZ").replace(b"____", b"bXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def saved(image: Image.Image, format: str, profile: bytes | None) -> bytes:
    file = io.BytesIO()
    image.save(file, format, icc_profile=profile)
    return file.getvalue()


COLOURS = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0], [10, 20, 200], [90, 90, 90]]], dtype=np.uint8))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_the_embedded_profile_is_applied(format: str) -> None:
    got = decode(saved(COLOURS, format, exchanged())).astype(int)
    np.testing.assert_allclose(got, np.asarray(COLOURS)[..., ::-1].astype(int), atol=1)


def test_the_profile_is_applied_beneath_an_alpha_channel() -> None:
    layer = COLOURS.convert("RGBA")
    layer.putpixel((0, 0), (255, 0, 0, 0))
    got = decode(saved(layer, "PNG", exchanged())).astype(int)
    np.testing.assert_allclose(got[0, 0], [255, 255, 255], atol=1)
    np.testing.assert_allclose(got[0, 2], [200, 20, 10], atol=1)


def test_the_profile_of_srgb_and_none_and_damaged_ones_change_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (None, srgb, lab, b"no profile at all"):
        np.testing.assert_array_equal(decode(saved(COLOURS, "PNG", profile)), np.asarray(COLOURS))
