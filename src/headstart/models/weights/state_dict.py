"""State dicts into backbones: names matched, positional embeddings resized, everything else refused or reported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import WeightsError
from headstart.models.backbone import Backbone
from headstart.models.weights.transformers_names import from_transformers

_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.", "network.", "teacher.")
_HEADS = ("fc.", "classifier.", "head.", "heads.", "head_dist.", "last_linear.", "aux_classifier.")
_SLOW = ("encoder_k", "momentum", "target")  # what methods of self-supervision call their slow average
_LEAST = 0.2  # of a network's tensors, so that one block is not taken for the whole
_COMPUTED = ("relative_position_index", "relative_coords_table", "attn_mask")  # older files store these too


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's tensors, by our names (of the unexpected: by the checkpoint's).

    Args:
        matched: filled from the checkpoint.
        missing: not in the checkpoint; they keep their random values.
        unexpected: in the checkpoint and not used (another head, for instance).
        resized: filled after interpolation (positional embeddings for another image size).
    """

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    resized: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} tensors matched"]
        for title, names in (
            ("missing", self.missing),
            ("not used", self.unexpected),
            ("resized", self.resized),
        ):
            if names:
                parts.append(f"{len(names)} {title} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})")
        return ", ".join(parts)


def load_state(backbone: Backbone, state: Mapping[str, Tensor], name: str = "the checkpoint") -> LoadReport:
    """Fill `backbone` from a state dict with our keys (`stages.…`) or those of the architecture's authors.

    A classifier that does not fit is left out and removed from the backbone. Nothing is changed on an error.

    Raises:
        WeightsError: nothing matches, or the tensors are those of another architecture.
    """
    own = backbone.state_dict()
    found, unexpected = _translate(backbone, _strip(backbone, from_transformers(state)), own)
    matched: dict[str, Tensor] = {}
    resized: list[str] = []
    for key, value in found.items():
        target = own[key]
        if value.shape == target.shape:
            matched[key] = value
        elif (fitted := _resize(key, value, target)) is not None:
            matched[key] = fitted
            resized.append(key)
        elif key.startswith("classifier."):
            unexpected.append(key)
        else:
            raise WeightsError(
                f"{name}: does not fit {backbone.name}: {key} is {_shape(value)} there and {_shape(target)} here;"
                " it belongs to another architecture"
            )
    matched = {key: matched[key] for key in own if key in matched}  # files are sorted by name, networks are not
    missing = [key for key in own if key not in matched and not key.endswith("num_batches_tracked")]
    _refuse_strangers(backbone, matched, missing, unexpected, name)
    if backbone.classifier is not None and any(key.startswith("classifier.") for key in missing):
        backbone.classifier = None
        missing = [key for key in missing if not key.startswith("classifier.")]
        matched = {key: value for key, value in matched.items() if not key.startswith("classifier.")}
    with torch.no_grad():
        for key, value in matched.items():
            own[key].copy_(value)
    return LoadReport(tuple(matched), tuple(missing), tuple(unexpected), tuple(resized))


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"


def _strip(backbone: Backbone, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the network without what wrappers put before their names, and the others as they are."""
    prefix = _prefix_of(state, {*backbone.original_keys, *backbone.state_dict()})
    if prefix is not None:
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        return {**{key: value for key, value in state.items() if not key.startswith(prefix)}, **inside}
    tops = {key.split(".")[0] + "." for key in backbone.original_keys} | {"stages."}
    current = dict(state)
    while not any(key.split(".")[0] + "." in tops for key in current):
        known = next((p for p in _PREFIXES if any(key.startswith(p) for key in current)), None)
        if known is None:
            break
        current = {key.removeprefix(known): value for key, value in current.items()}
    return current


def _prefix_of(state: Mapping[str, Tensor], known: set[str]) -> str | None:
    """Return what is before the names of the network, if most tensors under it are known; of two networks, the first.

    A trainer's own name for the network, `module.encoder_q.` of MoCo or `model.` of a Lightning module, is found so.
    The slow average of a network (`encoder_k`, `momentum_encoder`) comes after the network itself.
    """
    counts: dict[str, int] = {}
    for key in state:
        parts = key.split(".")
        for place in range(len(parts)):
            if ".".join(parts[place:]) in known:
                prefix = ".".join([*parts[:place], ""])
                counts[prefix] = counts.get(prefix, 0) + 1
    usable = [
        prefix
        for prefix, count in counts.items()
        if 2 * count > sum(key.startswith(prefix) for key in state) and count >= _LEAST * len(known) / 2
    ]
    slow = {prefix: any(word in prefix for word in _SLOW) for prefix in usable}
    return max(usable, key=lambda prefix: (counts[prefix], not slow[prefix]), default=None)


def _translate(
    backbone: Backbone, state: dict[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors that have a place, by our keys, and the names of the others."""
    names = {theirs: ours for theirs, ours in backbone.original_keys.items() if ours in own}
    if sum(key in own for key in state) > sum(key in names for key in state):  # timm, too, says "stages." in some
        names = {key: key for key in own}
    elif not any(key in names for key in state):
        names = _by_order(names, state, own)
    found = {names[key]: value for key, value in state.items() if key in names}
    return found, [key for key in state if key not in names and not key.endswith(_COMPUTED)]


def _by_order(names: Mapping[str, str], state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, str]:
    """Match a checkpoint with foreign names whose tensors have exactly our shapes in exactly our order."""
    return _matched(names, list(state), state, own) or _matched(names, _first_part(state), state, own)


def _first_part(state: Mapping[str, Tensor]) -> list[str]:
    """Return the keys of the body where a network is a sequence of body and head, as fastai makes it."""
    return [key for key in state if key.startswith("0.")] if {key[:2] for key in state} == {"0.", "1."} else []


def _matched(
    names: Mapping[str, str], theirs: list[str], state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> dict[str, str]:
    """Return our name of each of these keys if their shapes are ours in order, else nothing."""
    ours = list(names.values())
    if len(theirs) not in (len(ours), len(ours) - 2):  # old checkpoints lack these counters
        ours = [key for key in ours if not key.endswith("num_batches_tracked")]
        theirs = [key for key in theirs if not key.endswith("num_batches_tracked")]
    body = [key for key in ours if not key.startswith("classifier.")]
    if len(theirs) not in (len(body), len(body) + 2):
        return {}
    if any(state[a].shape != own[b].shape for a, b in zip(theirs, body, strict=False)):
        return {}
    return dict(zip(theirs, ours, strict=False))


def _refuse_strangers(
    backbone: Backbone, matched: Mapping[str, Tensor], missing: list[str], unexpected: list[str], name: str
) -> None:
    """Refuse what matches nothing, fills a stage in part, or brings more layers than a stage has."""
    if not any(key.startswith("stages.") for key in matched):
        raise WeightsError(
            f"{name}: none of its {len(unexpected)} tensors belongs to {backbone.name}"
            f" (it has {', '.join(unexpected[:3])}…); it belongs to another architecture"
        )
    half = [key for key in missing if key.startswith("stages.") and key not in _after(list(matched), missing)]
    if half:
        raise WeightsError(
            f"{name}: lacks {len(half)} tensors of {backbone.name}, such as {half[0]};"
            " it is incomplete or belongs to another architecture"
        )
    known = {*backbone.original_keys, *backbone.original_keys.values()}
    body = {key.split(".")[0] for key in known if "." in key}
    surplus = [k for k in unexpected if k not in known and k.split(".")[0] in body and not k.startswith(_HEADS)]
    if surplus:
        raise WeightsError(
            f"{name}: has {len(surplus)} tensors for which {backbone.name} has no place, such as {surplus[0]};"
            " it belongs to another architecture"
        )


def _after(matched: list[str], missing: list[str]) -> set[str]:
    """Return the missing tensors of whole stages and blocks of which nothing is there: of a network cut short."""
    filled = {unit for key in matched for unit in (_unit(key, 2), _unit(key, 3))}
    whole = {key for key in missing if _unit(key, 2) not in filled}
    last = matched and _unit(next(key for key in reversed(matched) if key.startswith("stages.")), 2)
    blocks = {key for key in missing if _unit(key, 2) == last and ".block" in key and _unit(key, 3) not in filled}
    return whole | (blocks if whole else set())


def _unit(key: str, depth: int) -> str:
    return ".".join(key.split(".")[:depth])


def _resize(key: str, value: Tensor, target: Tensor) -> Tensor | None:
    """Interpolate positional embeddings to another number of patches; None where that is not what differs."""
    if key.endswith(("pos_embed", "pos_embedding")) and value.ndim == target.ndim == 3:
        from timm.layers import resample_abs_pos_embed

        prefix = _prefix_tokens(value.shape[1])
        side = math.isqrt(target.shape[1] - prefix)
        if value.shape[2] != target.shape[2] or side * side != target.shape[1] - prefix:
            return None
        fitted: Tensor = resample_abs_pos_embed(value, [side, side], num_prefix_tokens=prefix)
        return fitted
    if key.endswith("relative_position_bias_table") and value.ndim == target.ndim == 2:
        from timm.layers import resize_rel_pos_bias_table_simple

        window = (math.isqrt(target.shape[0]) + 1) // 2
        if value.shape[1] != target.shape[1] or (2 * window - 1) ** 2 != target.shape[0]:
            return None
        table: Tensor = resize_rel_pos_bias_table_simple(value, (window, window), tuple(target.shape))
        return table
    return None


def _prefix_tokens(tokens: int) -> int:
    """Return how many tokens stand before a square grid of patches (class, distillation, registers)."""
    return next((n for n in (0, 1, 2, 5) if math.isqrt(tokens - n) ** 2 == tokens - n), 0)
