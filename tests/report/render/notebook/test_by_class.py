from __future__ import annotations

from pathlib import Path

from sound_html import text_of

import headstart
from headstart.notebook import Shown
from headstart.report.render.notebook.by_class import RENDERERS, html_of
from tests.docs.readers_files import draw


def test_every_class_that_is_shown_has_its_renderer() -> None:
    ours = {each for each in Shown.__subclasses__() if each.__module__.startswith("headstart.")}
    assert ours == set(RENDERERS)


def test_the_package_lets_objects_show_themselves(tmp_path: Path) -> None:
    dataset = headstart.load_dataset(draw(tmp_path / "flowers", classes=2, per_class=2))
    assert dataset._repr_html_() == html_of(dataset)
    assert text_of(html_of(dataset)).startswith("flowers: 4 images")
