"""The first layer of a network for pictures of other bands than red, green and blue."""

from __future__ import annotations

import torch
from torch import nn

from headstart.bands import Bands
from headstart.errors import ModelError
from headstart.models.backbone import Backbone, output_shape
from headstart.models.pixels import NAME as PIXELS

_RGB = 3


def with_bands(backbone: Backbone, bands: Bands | None) -> Backbone:
    """Return the backbone for pictures of these bands: its first convolution widened, its preprocessing theirs.

    Weights are spread as timm spreads them (`timm.models.adapt_input_conv`): repeated over the bands and scaled by
    3 / bands, so that equal bands give what equal channels gave; of one band they are summed. Works for every network
    that begins with convolutions of three channels, which all of ours, torchvision's and nearly all of timm's do.

    Args:
        backbone: changed in place, and returned; one that takes these bands already keeps its weights.
        bands: None: the backbone is returned as it is.

    Raises:
        ModelError: it does not begin with a convolution of three channels.
    """
    if bands is None:
        return backbone
    if backbone.name == PIXELS:
        backbone.feature_dim = bands.count * backbone.preprocessing.size**2
    elif bands.count != backbone.preprocessing.channels:
        _widen(backbone, bands.count)
    backbone.preprocessing = backbone.preprocessing.of_bands(bands)
    return backbone


def _widen(backbone: Backbone, count: int) -> None:
    first = _image_convolutions(backbone)
    if not first or backbone.preprocessing.channels != _RGB:
        raise ModelError(
            f"{backbone.name} cannot take {count} bands: it does not begin with a convolution of three channels;"
            " choose another backbone"
        )
    for layer in first:
        layer.weight = nn.Parameter(_spread(layer.weight.detach(), count), layer.weight.requires_grad)
        layer.in_channels = count
    for module in backbone.stages[0].modules():  # timm's patch embeddings note the number, and check it
        if getattr(module, "in_chans", None) == _RGB:
            module.in_chans = count  # type: ignore[assignment]
    output_shape(backbone, backbone.preprocessing.size, backbone.name, count)


def _image_convolutions(backbone: Backbone) -> list[nn.Conv2d]:
    """Return the convolutions that see the image: one, or several side by side."""
    return [
        layer
        for layer in backbone.stages[0].modules()
        if isinstance(layer, nn.Conv2d) and layer.in_channels == _RGB and layer.groups == 1
    ]


def _spread(weight: torch.Tensor, count: int) -> torch.Tensor:
    from timm.models import adapt_input_conv

    found: torch.Tensor = adapt_input_conv(count, weight)
    return found.contiguous()
