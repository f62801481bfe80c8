"""A whole network: a backbone with a head."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from headstart.models.backbone import Backbone


class Network(nn.Module):
    """Images to logits; the backbone's own classifier, if any, is left behind.

    Args:
        backbone: images [n, 3, h, w] -> features [n, d].
        head: features [n, d] -> logits [n, classes].
    """

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone.bare()
        self.head = head

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Return logits."""
        logits: Tensor = self.head(self.backbone(images))
        return logits
