"""The file of a bundle: tensors, a description, and a seal over both that is checked whenever it is read.

A safetensors file is the header's length (8 bytes, little-endian), the header (JSON) and the tensors' bytes. The
header's metadata hold the description (JSON). In it are the sha256 of the tensors (of name, type, shape and bytes of
each, in the order of their names) and the seal: the sha256 of all the rest of the description.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from headstart.addresses import as_given, is_address, needs_path
from headstart.errors import WeightsError
from headstart.models.contents import beginning_of, other_content

FORMAT = 3
MODEL, HEAD = "model.safetensors", "head.safetensors"  # with and without the backbone's tensors
ENTRY, SEAL = "headstart", "seal"  # of the metadata, of the description
_LICENCE = "licence"  # of the weights that a model was made from: its key among the facts of a bundle's provenance
EXPORTED = (".onnx", ".pt2", ".html")  # of `headstart export`, which cannot be read back
MAX_HEADER = 64 << 20  # bytes


def find_bundle(place: str | Path) -> Path:
    """Return the bundle's file for a file, a run folder or a study folder.

    Raises:
        WeightsError: there is none.
    """
    if is_address(str(place)):
        raise WeightsError(f"{as_given(place)}: {needs_path(place, 'model')}")
    path = Path(place).expanduser()
    if found := next((each for each in (path, path / MODEL, path / HEAD) if each.is_file()), None):
        return found
    reason = "holds no model.safetensors or head.safetensors" if path.is_dir() else "no such file or folder"
    seed = "".join(f", such as {each}," for each in sorted(path.glob("seed-*"))[:1])
    raise WeightsError(f"{path}: {reason}; give a model file, a run folder{seed} or a study folder")


def file_content(tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> bytes:
    """Return the content of a bundle's file."""
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    text = _sealed({"format": FORMAT, **described, "tensors": tensors_sha256(plain)})
    content: bytes = save(plain, metadata={ENTRY: text})  # one entry: safetensors writes several in any order
    return content


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the description and the tensors of a bundle, both as they were written.

    Raises:
        WeightsError: cut short, altered, of another format, or not saved by headstart.
    """
    if path.suffix.lower() in EXPORTED:
        raise WeightsError(f"{path}: is an exported file; give the study, run or model file that it was exported from")
    try:
        if reason := other_content(beginning_of(path)):
            raise WeightsError(f"{path}: {reason}")
        with safe_open(str(path), framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, ValueError, RuntimeError, TypeError) as error:
        raise WeightsError(f"{path}: cannot be read as a model ({error}); it is damaged or not a model file") from error
    text = facts.get(ENTRY)
    if text is None:
        raise WeightsError(f"{path}: holds weights, but was not saved by headstart: no classes, no preprocessing in it")
    described = description_of(path, text)
    check_tensors(path, described, tensors)
    return described, tensors


def check_tensors(path: Path, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not those of the description.

    Raises:
        WeightsError: they are not.
    """
    if described.get("tensors") != tensors_sha256(tensors):
        raise WeightsError(_altered(path))


def licence_entry(licence: str | None) -> dict[str, str]:
    """Return what the provenance of a bundle says of the licence of the weights that it was made from."""
    return {_LICENCE: licence} if licence else {}


def licence_in(provenance: object) -> str | None:
    """Return the licence that `licence_entry` noted in a provenance, or None; a file may have anything there."""
    licence = provenance.get(_LICENCE) if isinstance(provenance, Mapping) else None
    return licence if isinstance(licence, str) else None


def description_of(path: Path, text: str) -> dict[str, Any]:
    """Return the description that a bundle's file holds.

    Raises:
        WeightsError: it is altered, or no description of this format.
    """
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its description is damaged ({error})") from error
    if not isinstance(described, dict):
        raise WeightsError(f"{path}: its description is damaged (it is not a mapping)")
    if described.get("format") != FORMAT:
        raise WeightsError(
            f"{path}: has format {described.get('format')!s:.20}; this headstart reads format {FORMAT}:"
            " update headstart, or save the model again"
        )
    if described.get(SEAL) != _seal(described):
        raise WeightsError(_altered(path))
    return described


def copy_with_temperature(
    source: Path, target: Path, temperature: float, provenance: Mapping[str, str] | None = None
) -> None:
    """Copy a bundle's file with another temperature in its description; the tensors' bytes are copied as they are.

    Args:
        source, target: the files.
        temperature: of the copy.
        provenance: what the copy says of its origin in place of what the source says.

    Raises:
        WeightsError: the source is no bundle.
    """
    with source.open("rb") as reader:
        length = int.from_bytes(reader.read(8), "little")
        if length > MAX_HEADER:
            raise WeightsError(f"{source}: cannot be read as a model; it is damaged or not a model file")
        try:
            header = json.loads(reader.read(length))
            described = description_of(source, header["__metadata__"][ENTRY])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise WeightsError(f"{source}: cannot be read as a model; it is damaged or not a model file") from error
        described["temperature"] = temperature
        if provenance:
            described["provenance"] = {**described.get("provenance", {}), **provenance}
        header["__metadata__"][ENTRY] = _sealed(described)
        packed = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        packed += b" " * (-len(packed) % 8)  # the tensors begin at a multiple of 8
        with target.open("wb") as writer:
            writer.write(len(packed).to_bytes(8, "little") + packed)
            shutil.copyfileobj(reader, writer, 1 << 20)


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of name, type, shape and bytes of each tensor, in the order of their names."""
    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        state.update(f"{name}\0{tensor.dtype} {list(tensor.shape)}\n".encode())
        if tensor.numel():
            state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


def _sealed(described: Mapping[str, Any]) -> str:
    return json.dumps({**described, SEAL: _seal(described)}, ensure_ascii=False)


def _seal(described: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in described.items() if key != SEAL}
    text = json.dumps(rest, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _altered(path: Path) -> str:
    return f"{path}: was altered or damaged after it was saved; fetch it or train the model again"
