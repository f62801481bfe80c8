"""The PyTorch export: a `torch.export` program in one file."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from headstart.deploy.export.card import write_card
from headstart.deploy.export.checking import Form
from headstart.deploy.export.program import quiet_exporter
from headstart.deploy.export.target import Parts, Target, always

PROGRAM = "model.pt2"


def build(parts: Parts, folder: Path) -> list[Form]:
    """Write the program and its facts."""
    with quiet_exporter():
        torch.export.save(
            parts.program,
            folder / PROGRAM,
            extra_files={"headstart.json": json.dumps(parts.facts, ensure_ascii=False)},
        )
    return [Form(PROGRAM, "torch", folder / PROGRAM, "pixels")]


def usage(parts: Parts) -> str:
    """Return how the file is used."""
    shapes = ", ".join(f"[n, {each.view.crop}, {each.view.crop}, {each.view.channels}]" for each in parts.inputs)
    zeros = [
        f"torch.zeros(1, {each.view.crop}, {each.view.crop}, {each.view.channels}, dtype=torch.uint8)"
        for each in parts.inputs
    ]
    return f"""\
`{PROGRAM}` is a `torch.export` program: it needs PyTorch, but not headstart. It takes RGB pixels, uint8
{shapes}, resized and cropped as `headstart.json` in it says, and returns probabilities [n, classes], labels
and, if the model measures it, the share of familiar images that are no more familiar [n].

```python
import json
import torch

extra = {{"headstart.json": ""}}
module = torch.export.load("{PROGRAM}", extra_files=extra).module()
classes = json.loads(extra["headstart.json"])["classes"]
probabilities, labels, *_ = module({", ".join(zeros)})
```

The plain `nn.Module`, to train it further or to look inside, is one line where headstart is installed:
`headstart.Classifier.load("MODEL").bundle.network` (images normalised, logits out; of an ensemble
`.ensemble.members[k].network`)."""


TARGET = Target(build=build, usage=usage, refusal=always, quantised=False, finish=write_card)
