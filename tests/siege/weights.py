"""Mutated weights files: safetensors and pickled state dicts, filled into a network."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from safetensors.torch import save

from headstart.models.create import create_backbone
from tests.siege.damaged_files import attack_on_files
from tests.siege.siege import Attack


def prepare(scratch: Path) -> Attack:
    """Return the attack on the readers of weights."""
    torch.set_num_threads(1)
    backbone, _ = create_backbone("lenet5", None, seed=1)
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    sound = {"safetensors": save(state)}
    for suffix, content, new in (("pt", state, True), ("pth", {"state_dict": state, "epoch": 3}, False)):
        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=new)
        sound[suffix] = file.getvalue()

    def work(path: Path) -> str:
        create_backbone("lenet5", path)
        return "read"

    return attack_on_files(scratch, sound, work)
