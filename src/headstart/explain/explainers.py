"""The explainers by name, and the one call that runs any of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn

from headstart.errors import SpecError, choose, require, unknown_name
from headstart.explain.cam import grad_cam, why_no_grad_cam
from headstart.explain.gradients import integrated_gradients
from headstart.explain.lime import lime
from headstart.explain.occlusion import occlusion
from headstart.explain.rollout import attention_rollout
from headstart.explain.scope import check, undisturbed
from headstart.models.network import Network

# (network, normalised images [n, 3, h, w], targets int64 [n], *, seed, its own options) to maps [n, h, w]
Method = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Explainer:
    """A way to explain a prediction.

    Args:
        title: its display name.
        method: computes the maps.
        signed: positive parts support the target, negative ones oppose it.
        outlined: maps consist of pieces; their borders are drawn.
        package: the optional package that computes the maps, of the extra `explain`.
    """

    title: str
    method: Method
    signed: bool
    outlined: bool = False
    package: str | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options that the method takes."""
        known = inspect.signature(self.method).parameters.values()
        return tuple(p.name for p in known if p.kind is p.KEYWORD_ONLY and p.name != "seed")


EXPLAINERS: dict[str, Explainer] = {
    "lime": Explainer("LIME", lime, signed=True, outlined=True),
    "grad_cam": Explainer("Grad-CAM", grad_cam, signed=False),
    "integrated_gradients": Explainer("Integrated gradients", integrated_gradients, signed=True, package="captum"),
    "occlusion": Explainer("Occlusion", occlusion, signed=True, package="captum"),
    "attention_rollout": Explainer("Attention rollout", attention_rollout, signed=False),
}


def find_explainer(method: str) -> Explainer:
    """Return an explainer that can run here.

    Raises:
        SpecError: no explainer of that name.
        MissingExtra: its package is not installed.
    """
    explainer = choose("explainer", method, EXPLAINERS)
    if explainer.package is not None:
        require(explainer.package, f"the explainer {method}", "explain")
    return explainer


def default_explainers(networks: Sequence[Network]) -> tuple[list[str], str | None]:
    """Return the explainers to use where none is named, and why Grad-CAM is not among them, if it is not.

    They need no extra. Where one is enough it is the last: Grad-CAM, or LIME for networks that Grad-CAM cannot explain.
    """
    why = next((reason for network in networks if (reason := why_no_grad_cam(network)) is not None), None)
    return (["lime", "grad_cam"], None) if why is None else (["lime"], why)


def explain(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    targets: Int[Tensor, " m"],
    method: str,
    *,
    seed: int = 0,
    **options: Any,
) -> Float[np.ndarray, "n h w"]:
    """Return, for each image, how much each pixel supports the target class.

    The network is left as it was, even after an error: its mode, its gradients, its hooks.

    Args:
        network: a headstart Network; lime, occlusion and integrated_gradients take any module to logits.
        images: normalised as the network takes them.
        targets: the class to explain, for each image.
        method: a name in EXPLAINERS.
        options: of the method, see EXPLAINERS[method].options.

    Raises:
        SpecError: unknown method or option.
        MissingExtra: the method's package is not installed.
        DataError: invalid images or targets.
        ModelError: the network cannot take these images, or the method does not work for it.
    """
    explainer = find_explainer(method)
    for name in options:
        if name not in explainer.options:
            raise SpecError(unknown_name(f"option of {method}", name, explainer.options))
    with undisturbed(network):
        check(network, images, targets)
        maps: np.ndarray = explainer.method(network, images, targets, seed=seed, **options)
    return maps
