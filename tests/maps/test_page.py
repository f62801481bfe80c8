from __future__ import annotations

import itertools
import re

import numpy as np

from headstart.maps.page import map_page, map_scripts, static_text

# Simulation of sight without one kind of cone (Machado, Oliveira & Fernandes 2009, severity 1), on linear RGB.
SIGHTS = (
    np.eye(3),
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
)


def linear(colours: np.ndarray) -> np.ndarray:
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    axes = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.cbrt(np.clip(rgb @ cones.T, 0, None)) @ axes.T


def palette() -> np.ndarray:
    (line,) = re.findall(r"const MAP_PALETTE = \[(.*?)\]", static_text("colours.js"))
    return np.array([[int(hex_[k : k + 2], 16) / 255 for k in (0, 2, 4)] for hex_ in re.findall(r"#(\w{6})", line)])


def test_twelve_colours_differ_for_every_kind_of_sight_on_light_and_on_dark() -> None:
    (lighter,) = map(float, re.findall(r"MAP_LIGHTER = ([\d.]+)", static_text("colours.js")))
    for colours, least in ((palette(), 0.11), (palette() + (1 - palette()) * lighter, 0.075)):
        assert len(colours) == 12
        for sight in SIGHTS:
            seen = oklab(np.clip(linear(colours) @ sight.T, 0, 1))
            assert min(np.linalg.norm(one - two) for one, two in itertools.combinations(seen, 2)) > least


def test_names_are_escaped_everywhere() -> None:
    bad = "</script><img src=x onerror=alert(1)>"
    text = map_page(bad, bad, [bad], {"names": [bad], "table": []})
    assert "<img src=x" not in text and text.count("</script>") == 2


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = map_page("n", "f", ["w"], {"table": []})
    assert "default-src 'none'" in text
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"'$]+)""", text) == []
    assert "innerHTML" not in map_scripts() and "insertAdjacentHTML" not in map_scripts()
