"""Which pixels a network asks for."""

from __future__ import annotations

from headstart.data.decoding.decode import View
from headstart.models.preprocessing import Preprocessing
from headstart.transfer.frozen.views import view_of


def test_a_network_asks_for_its_crop_or_for_whole_images_of_the_same_scale() -> None:
    needs = Preprocessing(224, 256, "bicubic")
    assert view_of(needs) == View(256, 224, "bicubic")
    assert view_of(needs, whole=True) == View(256, None, "bicubic")
