"""timm's transformers that are no plain chain of blocks: rotary positions (Eva), reordered tokens (Hiera), NaFlex."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from headstart.models.architectures.generic import forward_pre_logits, stage_any, take_out
from headstart.models.architectures.parts import Apply, Reduce, Staged, blocks, part_of


class RotaryBlock(nn.Module):
    """A block of a transformer and the rotary embedding of the patches' positions, which every block applies anew.

    Args:
        block: called with tokens [n, tokens, c] and `rope`.
        rope: the embedding for images of the size that the network was built for; None: the block has none.
    """

    rope: Tensor | None

    def __init__(self, block: nn.Module, rope: Tensor | None) -> None:
        super().__init__()
        self.block = block
        self.register_buffer("rope", None if rope is None else rope.clone(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        outputs: Tensor = self.block(tokens, rope=self.rope)
        return outputs


def stage_eva(model: Any, size: int) -> Staged:
    """EVA-02, DINOv3, Perception Encoder: `embed, block1 …, norm`; pooled as the model does.

    Embeddings that are learned, or differ between blocks, stay inside a body.
    """
    if getattr(model, "rope_mixed", False) or (model.rope is not None and any(True for _ in model.rope.parameters())):
        return stage_any(model, size)
    rope = _rope_of(model, size)
    front = part_of(model, ("patch_embed", "pos_drop", "patch_drop", "norm_pre", "rope"), own=True)
    stages: OrderedDict[str, nn.Module] = OrderedDict(embed=Apply(front, _eva_embed))
    for i, block in enumerate(model.blocks, 1):
        stages[f"block{i}"] = RotaryBlock(block, rope)
    stages["norm"] = Apply(part_of(model, ("norm", "attn_pool", "fc_norm")), _eva_end)
    head = model.head if isinstance(model.head, nn.Linear) else None
    return Staged(stages, head, Reduce(prefix_tokens=model.num_prefix_tokens))


def _rope_of(model: Any, size: int) -> Tensor | None:
    """Return the rotary embedding of the patches of a square image."""
    training = model.training
    try:
        model.eval()  # some embeddings jitter their positions in training
        with torch.no_grad():
            _, rope = model._pos_embed(model.patch_embed(torch.zeros(1, 3, size, size)))
    finally:
        model.train(training)
    found: Tensor | None = rope
    return found


def _eva_embed(part: Any, images: Tensor) -> Tensor:
    tokens: Tensor = part.norm_pre(part._pos_embed(part.patch_embed(images))[0])
    return tokens


def _eva_end(part: Any, tokens: Tensor) -> Tensor:
    features: Tensor = part.fc_norm(part.pool(part.norm(tokens)))
    return features


def stage_hiera(model: Any, size: int) -> Staged:
    """Hiera: `embed, stage1 … stage4, pool`. Its tokens are reordered first; those of the last stage form the grid."""
    classifier = model.get_classifier()
    take_out(model, classifier)
    front = part_of(model, ("patch_embed", "unroll"), own=True)
    stages: OrderedDict[str, nn.Module] = OrderedDict(embed=Apply(front, _hiera_embed))
    ends = [0, *(end + 1 for end in model.stage_ends)]
    for i, (first, last) in enumerate(pairwise(ends), 1):
        stages[f"stage{i}"] = blocks(list(model.blocks)[first:last])
    stages["pool"] = Apply(part_of(model, ("head",)), forward_pre_logits)
    return Staged(stages, classifier if isinstance(classifier, nn.Linear) else None)


def _hiera_embed(part: Any, images: Tensor) -> Tensor:
    tokens: Tensor = part.unroll(part._pos_embed(part.patch_embed(images, mask=None)))
    return tokens


def stage_naflex(model: Any, size: int) -> Staged:
    """NaFlexViT without rotary positions (SigLIP 2): `embed, block1 …, norm`, for square images of one size."""
    if model.rope is not None:
        return stage_any(model, size)
    stages: OrderedDict[str, nn.Module] = OrderedDict(
        embed=Apply(part_of(model, ("embeds", "norm_pre"), own=True), _naflex_embed)
    )
    for i, block in enumerate(model.blocks, 1):
        stages[f"block{i}"] = block
    stages["norm"] = Apply(part_of(model, ("norm", "attn_pool", "fc_norm")), _naflex_end)
    head = model.head if isinstance(model.head, nn.Linear) else None
    return Staged(stages, head, Reduce(prefix_tokens=model.num_prefix_tokens))


def _naflex_embed(part: Any, images: Tensor) -> Tensor:
    tokens: Tensor = part._forward_embeds(images, None, None, None)["patches"]
    return tokens


def _naflex_end(part: Any, tokens: Tensor) -> Tensor:
    features: Tensor = part.fc_norm(part._pool(part.norm(tokens)))
    return features


SIZED: dict[str, Callable[[Any, int], Staged]] = {"Eva": stage_eva, "Hiera": stage_hiera, "NaFlexVit": stage_naflex}
