"""Checkpoints read from disk without executing anything in them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from headstart.addresses import as_given, is_address, needs_path
from headstart.errors import WeightsError
from headstart.models.contents import beginning_of, is_safetensors, is_torch_file, other_content
from headstart.models.weights.huggingface_folder import FILES
from headstart.models.weights.inert import Shell, first_name, load_inert, tensors_of
from headstart.models.weights.shards import ENDING, check_shard, digest_of_files, shards_of
from headstart.progress import say

_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict")  # where timm and torchvision keep the mean of the weights
_NESTS = (*_AVERAGED, "state_dict", "model_state_dict", "model", "net", "network", "backbone", "encoder", "teacher")
_DEEPEST = 8  # containers around a state dict
_PICKLE, _MAGIC = b"\x80", b"l\xfc\x9cF\xf9 j\xa8P\x19"  # of any pickle; of torch.save before PyTorch 1.6
_CUT_SHORT = "is cut short or not a checkpoint"  # torch's and safetensors' own words are long, or advise to run it


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file by name, its sha256 and the metadata of a safetensors file.

    `part` is the name in the file under which an average of the weights was found, which is preferred, or "".
    """

    path: Path
    state: dict[str, Tensor]
    sha256: str
    metadata: dict[str, str]
    part: str = ""


def read_checkpoint(place: str | Path, sha256: str | None = None) -> Checkpoint:
    """Read a safetensors file, a file of `torch.save`, or the model of a folder.

    What a file is, its content says and not its name. Nothing in it is executed: see `inert`.

    Args:
        place: the file, or a folder that holds `model.safetensors` or `pytorch_model.bin`, or their parts and index.
        sha256: what the file must hash to.

    Raises:
        WeightsError: absent, of another hash, cut short, no tensors in it, or a pickle that would run code.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        path = _file_of(path)
    if not path.is_file():
        if is_address(str(place)):
            raise WeightsError(f"{as_given(place)}: {needs_path(place, 'weights')}")
        raise WeightsError(f"{path}: no such weights file")
    placed = shards_of(path) if path.name.endswith(ENDING) else {path: None}
    found = digest_of_files(list(placed))
    if sha256 is not None and found != sha256.lower():
        raise WeightsError(
            f"{path}: sha256 is {found}, expected {sha256.lower()}; the file was modified or is a different file"
        )
    state, part, metadata = dict[str, Tensor](), "", dict[str, str]()
    beside: list[str] = []
    for file, named in placed.items():
        read, part, metadata = _read(file)
        if named is not None:
            check_shard(path, file, named, read)
            beside += sorted(set(read) - set(named))
            read = {tensor: read[tensor] for tensor in named}
        state |= read
    if not state:
        raise WeightsError(f"{path}: holds no tensors of a network")
    if beside:
        _say_beside(path, beside, state)
    return Checkpoint(path, state, found, metadata, part)


def _say_beside(index: Path, beside: list[str], state: Mapping[str, Tensor]) -> None:
    """Report which tensors are in a file in which the index does not place them; they are not used."""
    what = "is also in another file" if beside[0] in state else "is in a file, but not in the index"
    more = f" (and {len(beside) - 1} more)" if len(beside) > 1 else ""
    say(f"{index}: the tensor {beside[0]!r} {what}{more}; each is taken from the file that the index names")


def _file_of(folder: Path) -> Path:
    """Return the weights file of a folder, or the index of several."""
    names = (name for file in FILES for name in (file, f"{file}{ENDING}"))
    return next((folder / name for name in names if (folder / name).is_file()), folder / FILES[0])


def _read(path: Path) -> tuple[dict[str, Tensor], str, dict[str, str]]:
    """Return the tensors of one file, the name of the average among them, and the metadata of a safetensors file."""
    try:
        first = beginning_of(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if reason := other_content(first):
        raise WeightsError(f"{path}: {reason}")
    if is_safetensors(first) or (path.suffix == ".safetensors" and not is_torch_file(first)):
        tensors, metadata = _read_safetensors(path)
        return tensors, "", metadata
    return *_read_pickle(path, first), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: {_CUT_SHORT}") from error


def _read_pickle(path: Path, first: bytes) -> tuple[dict[str, Tensor], str]:
    try:
        content = load_inert(path)
    except pickle.UnpicklingError as error:
        if first.startswith(_PICKLE) and _MAGIC not in first:
            raise WeightsError(
                f"{path}: is a pickle that torch.save did not write, and is not opened, because reading it could run"
                " code; save the network's state_dict() with torch.save"
            ) from error
        if "GLOBAL" in str(error) or "persistent_load" in str(error):
            reason = _refusal(str(error))
            raise WeightsError(
                f"{path}: refused, because reading it would run code ({reason}); save its state_dict() instead"
            ) from error
        if name := first_name(path):
            raise WeightsError(
                f"{path}: holds a whole {name}, which cannot be read without running its code; save the state_dict()"
                " of its network instead, such as learn.model.state_dict() with fastai"
            ) from error
        raise WeightsError(f"{path}: {_CUT_SHORT}") from error
    except Exception as error:  # torch's reader raises anything on damaged files
        if "torchscript" in str(error).lower():
            raise WeightsError(f"{path}: is a TorchScript program; save the state_dict() of its network") from error
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise WeightsError(f"{path}: needs more memory than is free") from error
        raise WeightsError(f"{path}: {_CUT_SHORT}") from error
    return _tensors(content)


def _refusal(text: str) -> str:
    """Return the part of torch's long message that names what the pickle wanted."""
    if "persistent_load" in text:
        return "it is a network saved whole in the format before PyTorch 1.6"
    for line in text.splitlines():
        if "WeightsUnpickler error:" in line or "GLOBAL" in line:
            return line.rpartition("WeightsUnpickler error:")[2].strip().split(" was not ")[0].rstrip(".")
    return text.splitlines()[0]


def _tensors(content: Any) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a network, found under the usual names of its state dict, and the average's name if any.

    Beside a state dict, tensors such as `best_acc1` are no weights.
    """
    part = ""
    for _ in range(_DEEPEST):
        if isinstance(content, Shell):
            if state := tensors_of(content):
                return state, part
            content = content.state  # of a fastai Learner: the network is its `model`
        if not isinstance(content, Mapping):
            break
        nest = next((name for name in _NESTS if isinstance(content.get(name), Mapping | Shell)), None)
        if nest is None:
            return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}, part
        part = nest if nest in _AVERAGED else part
        content = content[nest]
    return {}, part
