"""The operations of RandAugment and TrivialAugmentWide, with torchvision's ranges and functions."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from headstart.transfer.augment.counter_rng import Draws
from headstart.transfer.augment.framing import functional

Plan = list[tuple[str, float]]  # operations with their signed magnitudes
_BINS = 31


def _affine(image: Tensor, *, shear: list[float] | None = None, translate: list[int] | None = None) -> Tensor:
    moved: Tensor = functional().affine(
        image,
        angle=0.0,
        translate=translate or [0, 0],
        scale=1.0,
        shear=shear or [0.0, 0.0],
        interpolation=functional().InterpolationMode.NEAREST,
        center=[0, 0] if shear else None,
    )
    return moved


def _degrees(slope: float) -> float:
    return math.degrees(math.atan(slope))


_OPERATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda image, m: image,
    "shear_x": lambda image, m: _affine(image, shear=[_degrees(m), 0.0]),
    "shear_y": lambda image, m: _affine(image, shear=[0.0, _degrees(m)]),
    "translate_x": lambda image, m: _affine(image, translate=[int(m), 0]),
    "translate_y": lambda image, m: _affine(image, translate=[0, int(m)]),
    "rotate": lambda image, m: functional().rotate(
        image, angle=m, interpolation=functional().InterpolationMode.NEAREST
    ),
    "brightness": lambda image, m: functional().adjust_brightness(image, 1 + m),
    "colour": lambda image, m: functional().adjust_saturation(image, 1 + m),
    "contrast": lambda image, m: functional().adjust_contrast(image, 1 + m),
    "sharpness": lambda image, m: functional().adjust_sharpness(image, 1 + m),
    "posterize": lambda image, m: functional().posterize(image, bits=int(m)),
    "solarize": lambda image, m: functional().solarize(image, threshold=m * 255),
    "autocontrast": lambda image, m: functional().autocontrast(image),
    "equalize": lambda image, m: functional().equalize(image),
}
_SIGNED = (
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "colour",
    "contrast",
    "sharpness",
)
# name -> (largest magnitude of RandAugment, of TrivialAugmentWide); translations: fraction of the side, pixels
_LARGEST: dict[str, tuple[float, float]] = {
    "shear_x": (0.3, 0.99),
    "shear_y": (0.3, 0.99),
    "translate_x": (150 / 331, 32.0),
    "translate_y": (150 / 331, 32.0),
    "rotate": (30.0, 135.0),
    "brightness": (0.9, 0.99),
    "colour": (0.9, 0.99),
    "contrast": (0.9, 0.99),
    "sharpness": (0.9, 0.99),
}


def rand_augment(draws: Draws, operations: int, magnitude: int, size: int) -> list[Plan]:
    """Return for each row `operations` random changes at one strength, 0..30, for images of `size` px."""
    u = draws.uniform("randaugment", 2 * operations)
    share = min(max(magnitude, 0), _BINS - 1) / (_BINS - 1)
    names = list(_OPERATIONS)
    plans = []
    for row in u:
        plan: Plan = []
        for k in range(operations):
            name = names[int(row[2 * k] * len(names))]
            scale = size if name.startswith("translate") else 1
            plan.append((name, _magnitude(name, share, row[2 * k + 1], 0, scale)))
        plans.append(plan)
    return plans


def trivial_augment(draws: Draws) -> list[Plan]:
    """Return for each row one random change of random strength."""
    names = list(_OPERATIONS)
    plans: list[Plan] = []
    for row in draws.uniform("trivialaugment", 3):
        name = names[int(row[0] * len(names))]
        share = int(row[1] * _BINS) / (_BINS - 1)
        plans.append([(name, _magnitude(name, share, row[2], 1, 1))])
    return plans


def apply_operation(image: Tensor, plan: Plan) -> Tensor:
    """Apply the operations in order to one image uint8 [3, h, w]."""
    for name, magnitude in plan:
        image = _OPERATIONS[name](image, magnitude)
    return image


def _magnitude(name: str, share: float, coin: float, policy: int, scale: int) -> float:
    if name == "posterize":  # bits kept: 8 down to 4 (RandAugment) or 2 (TrivialAugmentWide)
        return float(8 - round(share * (6 if policy else 4)))
    if name == "solarize":
        return 1.0 - share
    if name not in _SIGNED:
        return 0.0
    value = _LARGEST[name][policy] * scale * share
    return -value if coin < 0.5 else value
