from __future__ import annotations

from pathlib import Path

import pytest

from headstart.models.weights.licences import (
    OPEN,
    RESTRICTED,
    UNKNOWN,
    in_words,
    of_card,
    of_published,
    of_text,
    status_of,
)


@pytest.mark.parametrize(
    ("architecture", "tag", "name", "status"),
    [
        ("vit_small_patch14_dinov2", "lvd142m", "Apache-2.0", OPEN),
        ("vit_base_patch16_dinov3", "lvd1689m", "DINOv3-License", RESTRICTED),
        ("convnext_tiny", "dinov3_lvd1689m", "DINOv3-License", RESTRICTED),
        ("convnextv2_nano", "fcmae_ft_in22k_in1k", "CC-BY-NC-4.0", RESTRICTED),
        ("hiera_tiny_224", "mae_in1k_ft_in1k", "CC-BY-NC-4.0", RESTRICTED),
        ("hiera_small_abswin_256", "sbb2_e200_in12k_ft_in1k", "Apache-2.0", OPEN),
        ("fastvit_mci0", "apple_mclip2_dfndr2b", "Apple-AMLR", RESTRICTED),
        ("eva02_small_patch14_336", "mim_in22k_ft_in1k", "MIT", OPEN),
        ("swin_tiny_patch4_window7_224", "ms_in1k", "MIT", OPEN),
    ],
)
def test_cards_say_the_licence(architecture: str, tag: str, name: str, status: str) -> None:
    for stated in ("apache-2.0", "cc-by-nc-4.0", None):  # whatever timm says
        found = of_published(architecture, tag, stated)
        assert (found.name, found.status) == (name, status) and found.source


@pytest.mark.parametrize(
    ("stated", "name", "status"),
    [
        ("apache-2.0", "unknown", UNKNOWN),  # it may be timm's default
        ("mit", "unknown", UNKNOWN),
        (None, "unknown", UNKNOWN),
        ("other", "unknown", UNKNOWN),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0", RESTRICTED),
        ("nsclv1", "nsclv1", RESTRICTED),
    ],
)
def test_what_timm_says_counts_where_it_restricts(stated: str | None, name: str, status: str) -> None:
    found = of_published("tnt_s_patch16_224", "in1k", stated)
    assert (found.name, found.status) == (name, status)


def test_the_words_for_people_name_restrictions() -> None:
    assert [in_words(name) for name in ("apache-2.0", "CC-BY-NC-4.0", None, "none")] == [
        "Apache-2.0",
        "CC-BY-NC-4.0 (restricted)",
        "unknown",
        "none (random weights)",
    ]


@pytest.mark.parametrize(
    ("names", "status"),
    [
        ("Apache-2.0", OPEN),
        ("none", OPEN),
        ("none and MIT", OPEN),
        ("Apache-2.0 and DINOv3-License", RESTRICTED),
        ("DINOv3-License and unknown", UNKNOWN),
    ],
)
def test_several_licences_are_as_open_as_the_least_open(names: str, status: str) -> None:
    assert status_of(names) == status


def test_a_text_is_a_licence_where_it_names_one() -> None:
    assert (of_text("apache-2.0", "x").name, of_text("Apache-2.0", "x").status) == ("Apache-2.0", OPEN)
    assert of_text("gemma", "x").status == RESTRICTED
    assert (of_text(None, "file").name, of_text("", "file").status) == ("unknown", UNKNOWN)


CARD = "---\ntags: [timm]\n{}\n---\n# Model card\n"


@pytest.mark.parametrize(
    ("lines", "name", "status"),
    [
        ("license: mit", "MIT", OPEN),
        ("license: cc-by-nc-4.0", "cc-by-nc-4.0", RESTRICTED),
        ("license: other\nlicense_name: dinov3-license", "dinov3-license", RESTRICTED),
        ("license: other", "unknown", UNKNOWN),
    ],
)
def test_a_card_beside_the_weights_names_the_licence(lines: str, name: str, status: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD.format(lines))
    found = of_card(tmp_path)
    assert found is not None and (found.name, found.status) == (name, status)
    assert found.source.endswith("README.md")


@pytest.mark.parametrize(
    "text", ["", "# no metadata", "---\nlicense: mit", CARD.format("license: [mit]"), CARD.format("license: {"), None]
)
def test_without_metadata_a_card_says_nothing(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "README.md").write_text(text)
    assert of_card(tmp_path) is None
