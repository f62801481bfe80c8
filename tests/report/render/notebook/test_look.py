from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image
from sound_html import text_of

from headstart.report.render.notebook import look


def test_what_is_put_in_is_escaped_everywhere() -> None:
    evil = "<script>alert('x')</script>\"&"
    whole = look.panel(
        look.title(evil),
        look.line(evil, "muted"),
        look.table((evil,), [(evil,), (look.badge(evil),)], (look.LONG,)),
        look.strip([look.figure(look.picture(b"jpeg", evil, 20), evil)]),
        look.beside(look.line(evil)),
    )
    assert text_of(whole).count("<script>alert('x')</script>\"&") == 7
    assert "alert" not in re.sub(r"&lt;.*?&amp;", "", whole)


def test_a_number_keeps_its_per_cent_sign() -> None:
    shown = look.title("60 % of 9") + look.line("94.3 %).") + look.line(Markup("<b>5 %</b> & 7 %"))
    assert shown.count("\N{NO-BREAK SPACE}%") == 4 and " %" not in shown and "<b>5" in shown


def test_an_interval_is_drawn_where_its_ends_are() -> None:
    drawn = look.interval_bar(0.2, 0.5, 0.8, (0.0, 1.0), strong=True, hollow=False)
    assert 'x1="47.6" x2="172.4"' in drawn and 'cx="110.0"' in drawn  # 6 px at each end of 220
    assert drawn.count(look.ACCENT) == 3
    hollow = look.interval_bar(None, 2.0, None, (0.0, 1.0), strong=False, hollow=True)
    assert 'x1="47.6"' not in hollow and 'cx="214.0"' in hollow and 'fill="#fff"' in hollow
    assert look.ACCENT not in hollow
    look.interval_bar(1.0, 1.0, 1.0, (1.0, 1.0), strong=True, hollow=False)  # a scale without length


@pytest.mark.parametrize(("share", "width"), [(0.25, "30.0"), (-1, "0.0"), (7, "120.0")])
def test_a_bar_is_filled_to_its_share(share: float, width: str) -> None:
    assert f'<rect width="{width}"' in look.bar(share)


def test_a_table_has_a_kind_for_every_column() -> None:
    shown = look.table(("a", "b"), [("1", Markup("<b>2</b>"))], (look.NUMBER,))
    assert '<td class="hs-number">1</td><td class=""><b>2</b></td>' in shown
    with pytest.raises(ValueError, match=r"shorter|longer"):
        look.table(("a", "b"), [("1",)])


def test_pixels_become_a_small_picture_and_stay_as_they_were() -> None:
    pixels = np.full((80, 160, 3), 200, np.uint8)
    image = Image.fromarray(pixels)
    for given in (pixels, image):
        data = re.search(r"base64,([^\"]+)", look.drawn(given, "grey", 40))
        assert data is not None
        with Image.open(io.BytesIO(base64.b64decode(data[1]))) as small:
            assert small.size == (40, 20) and abs(np.asarray(small).astype(int) - 200).max() <= 2
    assert image.size == (160, 80)
