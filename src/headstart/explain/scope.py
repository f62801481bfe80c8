"""Shared by all explainers: checks of the input, and a context that restores the network afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from headstart.errors import DataError, ModelError, first_line, lacks_memory
from headstart.models.backbone import Backbone
from headstart.models.heads import NearestNeighbourHead
from headstart.models.network import Network
from headstart.models.preprocessing import Preprocessing, as_tensor, normalise, pixels_of

_ENGINE_FROM = 2000  # images, from which on exporting the network pays off

Predict = Callable[[np.ndarray], np.ndarray]  # images [b, h, w, 3] to probabilities [b, classes]


@contextlib.contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode without gradients for its parameters; restore its state afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        network.eval()
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires in wanted:
            parameter.requires_grad_(requires)


def device_of(network: nn.Module) -> torch.device:
    """Return a network's device (the CPU, if it has no parameters)."""
    first = next(network.parameters(), None)
    return first.device if first is not None else torch.device("cpu")


def backbone_of(network: nn.Module, explainer: str) -> Backbone:
    """Return a network's backbone, whose stages an explainer reads.

    Raises:
        ModelError: it has none.
    """
    backbone = getattr(network, "backbone", None)
    if not isinstance(backbone, Backbone):
        raise ModelError(
            f"{explainer} reads the stages of a headstart Network; a {type(network).__name__} has none."
            " Use lime, occlusion or integrated_gradients"
        )
    return backbone


def check_gradients(network: nn.Module, explainer: str) -> None:
    """Refuse a network whose answer has no gradients.

    Raises:
        ModelError: its head is that of nearest neighbours.
    """
    if isinstance(getattr(network, "head", None), NearestNeighbourHead):
        raise ModelError(
            f"{explainer} needs gradients, and a head of nearest neighbours (knn) has none; use lime or occlusion"
        )


def probabilities_of(network: nn.Module, logits: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Return a probability per class: sigmoids where the head is multi-label, a softmax elsewhere."""
    if getattr(getattr(network, "head", None), "multi_label", False):
        return logits.sigmoid()
    return logits.softmax(1)


def log_odds(network: nn.Module, logits: Float[Tensor, "n c"], targets: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return each target's log odds against all other classes (the logit itself where the head is multi-label).

    What Grad-CAM, integrated gradients and occlusion explain: the bare logit rises with what all classes
    share, and the probability of a confident prediction hardly moves.
    """
    own = logits.gather(1, targets[:, None])[:, 0]
    if logits.shape[1] == 1 or getattr(getattr(network, "head", None), "multi_label", False):
        return own
    others = logits.scatter(1, targets[:, None], -torch.inf)
    return own - others.logsumexp(1)


def check(network: nn.Module, images: Float[Tensor, "n _ _ _"], targets: Int[Tensor, " m"]) -> None:
    """Refuse images that do not fit the network and targets that are not among its classes.

    Raises:
        DataError: no images, numbers that differ, values that are not finite, classes out of range.
        ModelError: the network cannot take images of this size.
    """
    if len(images) != len(targets):
        raise DataError(f"{len(images)} images and {len(targets)} target classes: each image needs one")
    if not len(images):
        raise DataError("there are no images to explain")
    if not bool(torch.isfinite(images).all()):
        raise DataError("an image to explain has values that are not finite")
    try:
        with torch.no_grad():
            classes = network(images[:1].to(device_of(network))).shape[1]
    except (RuntimeError, AssertionError, ValueError) as error:
        if lacks_memory(error):  # which says nothing about the network
            raise
        size = " × ".join(str(side) for side in images.shape[2:])
        raise ModelError(f"the network cannot take images of {size} px ({first_line(error)})") from error
    wrong = [int(t) for t in targets if not 0 <= int(t) < classes]
    if wrong:
        raise DataError(f"target class {wrong[0]} does not exist: the network has classes 0 … {classes - 1}")


def as_pixels(
    network: nn.Module, images: Float[Tensor, "n c h w"], work: int, engine: bool | None
) -> tuple[Shaped[np.ndarray, "n h w c"], Predict]:
    """Return the images as arrays that can be edited, and a function from such arrays to probabilities.

    Args:
        network: in evaluation mode. Of a Network the arrays are uint8 pixels; of another module floats.
        work: how many images will be run.
        engine: through ONNX Runtime on the CPU (equal within 1e-3); None: where there is enough work.
    """
    if not isinstance(network, Network):
        return images.detach().cpu().float().permute(0, 2, 3, 1).contiguous().numpy(), _eager(network, None)
    preprocessing = network.backbone.preprocessing
    square = images.shape[2] == images.shape[3] == preprocessing.size
    fast = square and (work >= _ENGINE_FROM if engine is None else engine)
    predict = engine_predict(network) if fast else _eager(network, preprocessing)
    return pixels_of(images, preprocessing), predict


def engine_predict(network: Network) -> Predict:
    """Return a function from uint8 pixels to probabilities that uses the fastest engine of this machine.

    Creating it takes seconds (a graph is exported); it pays off from about two thousand images.
    """
    from headstart.transfer.frozen.engine import Engine

    engine = Engine(network, network.backbone.preprocessing, str(device_of(network)))

    def predict(batch: np.ndarray) -> np.ndarray:
        return probabilities_of(network, torch.from_numpy(engine(batch))).numpy()

    return predict


def _eager(network: nn.Module, preprocessing: Preprocessing | None) -> Predict:
    device = device_of(network)

    def predict(batch: np.ndarray) -> np.ndarray:
        if preprocessing is None:
            images = torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2)
        else:
            images = normalise(as_tensor(batch), preprocessing)
        with torch.inference_mode():
            probabilities = probabilities_of(network, network(images.to(device)))
        return probabilities.float().cpu().numpy()

    return predict
