"""A classifier as one `torch.export` program: uint8 pixels in; calibrated probabilities, labels and familiarity out."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import jaxtyping
import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from headstart.data.decoding.decode import View
from headstart.deploy.export.familiar import FAMILIARITY, Familiar
from headstart.errors import ModelError, first_line
from headstart.evaluate.uncertainty.answers import Uncertainty
from headstart.evaluate.uncertainty.stored import from_part
from headstart.models.bundle import Bundle, Ensemble, shared_backbones
from headstart.models.heads import Head, NearestNeighbourHead, SelectedClasses, class_probabilities
from headstart.models.label_rule import labels_of
from headstart.models.preprocessing import normalise
from headstart.models.test_time_augmentation import TTA
from headstart.transfer.frozen.padding import with_fixed_padding
from headstart.transfer.frozen.views import view_of
from headstart.transfer.loggers import logged_from

PIXELS = "pixels"
OUTPUTS = ("probabilities", "labels")
LOGGERS = ("torch.export", "torch.onnx", "torch._dynamo", "onnxscript")  # of the exporters
EXAMPLES = 2  # images in the example: torch.export takes 0 and 1 for constants


@dataclass(frozen=True)
class Input:
    """One input of an exported model.

    Args:
        name: of the input.
        view: how a picture becomes its pixels, uint8 [n, view.crop, view.crop, 3].
    """

    name: str
    view: View


def inputs_of(ensemble: Ensemble) -> tuple[Input, ...]:
    """Return the inputs of an exported model: one for each view that its networks ask for."""
    views = list(dict.fromkeys(view_of(bundle.preprocessing) for bundle in ensemble.members))
    if len(views) == 1:
        return (Input(PIXELS, views[0]),)
    return tuple(Input(f"{PIXELS}_{view.crop}_of_{view.resize}_{view.interpolation}", view) for view in views)


def uncertainty_of(ensemble: Ensemble) -> Uncertainty | None:
    """Return how sure a model is, or None where it was not calibrated."""
    if ensemble.uncertainty is None:
        return None
    first = ensemble.members[0]
    return from_part(ensemble.uncertainty, len(first.classes), first.network.backbone.feature_dim)


def outputs_of(ensemble: Ensemble) -> tuple[str, ...]:
    """Return the names of the outputs of an exported model."""
    known = uncertainty_of(ensemble)
    return OUTPUTS if known is None or not known.score else (*OUTPUTS, FAMILIARITY)


class Deployed(nn.Module):
    """All that turns pixels into calibrated probabilities and labels, as the classifier computes them.

    Networks with the same backbone, view and test-time augmentation share its pass.

    Args:
        ensemble: one network or several.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.inputs = inputs_of(ensemble)
        self.members, self.temperature = ensemble.members, ensemble.temperature
        views = [each.view for each in self.inputs]
        self.input_of = [views.index(view_of(bundle.preprocessing)) for bundle in self.members]
        self.body_of = shared_backbones(self.members)
        self.bodies = nn.ModuleDict({str(k): _body(self.members[k]) for k in dict.fromkeys(self.body_of)})
        self.heads = nn.ModuleList(bundle.network.head for bundle in self.members)
        known = uncertainty_of(ensemble)
        self.familiar = Familiar(known) if known is not None and known.score else None

    def forward(self, *pixels: UInt8[Tensor, "n h w c"]) -> tuple[Tensor, ...]:
        """Return probabilities float32 [n, C], labels (int64 [n], of multi-label models bool [n, C]) and, of models
        that can tell, how familiar the images are, float32 [n].
        """
        passes: dict[tuple[int, str], list[Tensor]] = {}
        scores = []
        for bundle, body, source, head in zip(self.members, self.body_of, self.input_of, self.heads, strict=True):
            if (body, bundle.tta) not in passes:
                passes[body, bundle.tta] = self._features(bundle, str(body), pixels[source])
            scores.append(_scores(bundle, head, passes[body, bundle.tta]))
        mean = scores[0] if len(scores) == 1 else torch.stack(scores).mean(0)
        probabilities = tempered(mean, self.temperature)
        first = self.members[0]
        labels = labels_of(probabilities, multi_label=first.multi_label, threshold=first.threshold)
        if self.familiar is None:
            return probabilities, labels
        features = passes[self.body_of[0], first.tta][0].float()  # of the images as they are
        return probabilities, labels, self.familiar(features, _logits(self.heads[0], features).float())

    def _features(self, bundle: Bundle, body: str, pixels: Tensor) -> list[Tensor]:
        images = normalise(pixels.permute(0, 3, 1, 2), bundle.preprocessing)
        views = list(TTA[bundle.tta](images))
        if len(views) == 1:
            return [self.bodies[body](views[0])]
        return list(self.bodies[body](torch.cat(views)).unflatten(0, (len(views), -1)).unbind())


def _body(bundle: Bundle) -> nn.Module:
    size = bundle.preprocessing.size
    body = with_fixed_padding(bundle.network.backbone, torch.zeros(1, bundle.preprocessing.channels, size, size))
    for module in body.modules():  # the same functions, which the exporter need not take apart first: a third less time
        if isinstance(getattr(module, "inplace", None), bool):
            module.inplace = False  # type: ignore[assignment]
    return body.eval()


def _scores(bundle: Bundle, head: nn.Module, features: list[Tensor]) -> Tensor:
    found = [class_probabilities(_logits(head, each).float(), multi_label=bundle.multi_label) for each in features]
    return tempered(found[0] if len(found) == 1 else torch.stack(found).mean(0), bundle.temperature)


def _logits(head: Head | nn.Module, features: Tensor) -> Tensor:
    """Return a head's logits; nearest neighbours are searched for all rows at once, for a graph has no loop."""
    if isinstance(head, SelectedClasses):
        return _logits(head.head, features)[:, head.columns]
    logits: Tensor = head.block(features) if isinstance(head, NearestNeighbourHead) else head(features)
    return logits


def tempered(probabilities: Tensor, temperature: float) -> Tensor:
    """Return softmax(log p / temperature), as `evaluate.metrics.calibration.apply_temperature` does on arrays."""
    if temperature == 1.0:
        return probabilities
    return (probabilities.clamp(min=torch.finfo(torch.float32).tiny).log() / temperature).softmax(1)


def program_of(ensemble: Ensemble) -> ExportedProgram:
    """Return the model as a `torch.export` program with any number of images.

    Raises:
        ModelError: the network cannot be traced; the message says at what.
    """
    module = Deployed(ensemble).eval()
    examples = tuple(
        torch.zeros(EXAMPLES, each.view.crop or 1, each.view.crop or 1, each.view.channels, dtype=torch.uint8)
        for each in module.inputs
    )
    dynamic = (tuple({0: Dim("n", min=1)} for _ in examples),)  # one entry for *pixels
    try:
        with quiet_exporter(), _shapes_unchecked(), torch.no_grad():
            return torch.export.export(module, examples, dynamic_shapes=dynamic)
    except Exception as error:  # torch.export raises many kinds; the reason is passed on
        names = " + ".join(dict.fromkeys(bundle.origin.name for bundle in ensemble.members))
        raise ModelError(f"{names} cannot be exported: torch.export failed ({first_line(error)})") from error


@contextlib.contextmanager
def _shapes_unchecked() -> Iterator[None]:
    """Leave shapes alone while sizes are symbols: where jaxtyping checks them, it would make them numbers."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep the exporters' remarks off the screen."""
    with warnings.catch_warnings(), logged_from(logging.ERROR, *LOGGERS):
        warnings.simplefilter("ignore")
        yield
