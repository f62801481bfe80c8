"""The first layer of a network for pictures of other bands than red, green and blue."""

from __future__ import annotations

import torch
from torch import nn

from headstart.bands import TOP, Bands
from headstart.errors import ModelError
from headstart.models.backbone import Backbone, output_shape
from headstart.models.pixels import NAME as PIXELS
from headstart.models.trained_bands import are_unnamed, check_colours, check_numbers, places
from headstart.progress import say

_RGB = 3


def with_bands(backbone: Backbone, bands: Bands | None) -> Backbone:
    """Return the backbone for pictures of these bands: its first convolution widened, its preprocessing theirs.

    Weights are spread as timm spreads them (`timm.models.adapt_input_conv`): repeated over the bands and scaled by
    3 / bands, so that equal bands give what equal channels gave; of one band they are summed. Works for every network
    that begins with convolutions of three channels, which all of ours, torchvision's and nearly all of timm's do.

    Weights that were trained on bands (`input_bands`) keep their numbers, put in the order of the pictures' bands, and
    the normalisation that they were trained with.

    Args:
        backbone: changed in place, and returned; one that takes these bands already keeps its weights.
        bands: None: the backbone is returned as it is.

    Raises:
        ModelError: it does not begin with a convolution of three channels, or was trained on other bands.
    """
    if backbone.input_bands:
        return _as_trained(backbone, bands)
    if bands is None or backbone.preprocessing.bands == bands:
        return backbone
    if backbone.name == PIXELS:
        backbone.feature_dim = bands.count * backbone.preprocessing.size**2
    elif bands.count != backbone.preprocessing.channels:
        widen(backbone, bands.count)
    backbone.preprocessing = backbone.preprocessing.of_bands(bands)
    return backbone


def _as_trained(backbone: Backbone, bands: Bands | None) -> Backbone:
    """Return a backbone whose weights were trained on bands for pictures that must have the same ones."""
    name, trained, needs = backbone.name, backbone.input_bands, backbone.preprocessing
    if bands is None:
        check_colours(trained, name)
    else:
        order = places(trained, bands.choice, name)
        if are_unnamed(bands.choice):
            say(f"the bands {', '.join(bands.choice.names)} have no names and are taken as {', '.join(trained)}")
        mean, std = ([each[place] * TOP for place in order] for each in (needs.mean, needs.std))
        needs = needs.of_numbers(mean, std, bands)
        for layer in _image_convolutions(backbone):
            layer.weight = nn.Parameter(layer.weight.detach()[:, order].contiguous(), layer.weight.requires_grad)
    check_numbers(needs, name)
    backbone.preprocessing, backbone.input_bands = needs, ()
    return backbone


def widen(backbone: Backbone, count: int) -> None:
    """Spread the first convolution of a backbone over `count` channels, as `with_bands` does; in place.

    Raises:
        ModelError: it does not begin with a convolution of three channels.
    """
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
        if isinstance(layer, nn.Conv2d) and layer.in_channels == backbone.preprocessing.channels and layer.groups == 1
    ]


def _spread(weight: torch.Tensor, count: int) -> torch.Tensor:
    from timm.models import adapt_input_conv

    found: torch.Tensor = adapt_input_conv(count, weight)
    return found.contiguous()
