"""What is frozen stays frozen: evaluation mode, no gradients, and a fingerprint that proves it."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


def freeze(module: nn.Module) -> nn.Module:
    """Put `module` into evaluation mode and out of gradients, for good as long as nobody calls `train()`; return it."""
    module.eval()
    return module.requires_grad_(False)


def fingerprint(module: nn.Module) -> str:
    """Return a sha256 over the names, types, shapes and bits of all parameters and buffers."""
    digest = hashlib.sha256()
    tensors: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(bits_of(tensor).tobytes())
    return digest.hexdigest()


def bits_of(tensor: Tensor) -> npt.NDArray[np.uint8]:
    """Return the tensor's bits as bytes, in C order, whatever its type and memory format."""
    bits: npt.NDArray[np.uint8] = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()
    return bits
