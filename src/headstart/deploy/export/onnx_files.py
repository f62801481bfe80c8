"""The ONNX export: one file on pixels at the network's size, one on pictures of any size."""

from __future__ import annotations

from pathlib import Path

from headstart.deploy.export.card import write_card
from headstart.deploy.export.checking import Form
from headstart.deploy.export.familiar import FAMILIARITY
from headstart.deploy.export.onnx_graph import save_graph
from headstart.deploy.export.program import outputs_of
from headstart.deploy.export.target import FLOAT, Parts, Target, always
from headstart.evaluate.uncertainty.familiarity import MOST_REJECTED

MODEL, ANY_SIZE = "model.onnx", "model-any-size.onnx"
_MEANING = f"which share of familiar images is no more familiar; {MOST_REJECTED:g} and less is unlike all of them"


def build(parts: Parts, folder: Path) -> list[Form]:
    """Write both files; of a model of bands, which are scaled before they are resized, only the one on pixels."""
    save_graph(parts.graph(), folder / MODEL)
    if banded(parts):
        return [Form(MODEL, "onnx", folder / MODEL, "pixels", faithful=parts.precision == FLOAT)]
    save_graph(parts.any_size_graph(), folder / ANY_SIZE)
    return [
        Form(MODEL, "onnx", folder / MODEL, "pixels", faithful=parts.precision == FLOAT),
        Form(ANY_SIZE, "onnx", folder / ANY_SIZE, "picture", exact=False, faithful=parts.precision == FLOAT),
    ]


def usage(parts: Parts) -> str:
    """Return how the files are used."""
    names = ", ".join(
        f"`{each.name}` uint8 [n, {each.view.crop}, {each.view.crop}, {each.view.channels}] (shorter side resized to"
        f" {each.view.resize} px, {each.view.interpolation}, then the centre square)"
        for each in parts.inputs
    )
    familiarity = f", `{FAMILIARITY}` float32 [n] ({_MEANING})" if FAMILIARITY in outputs_of(parts.ensemble) else ""
    labels = "bool [n, classes]" if parts.ensemble.members[0].multi_label else "int64 [n]"
    if banded(parts):
        return _of_bands(names, labels)
    return f"""\
- `{MODEL}` takes RGB pixels that are at the network's size already: {names}.
- `{ANY_SIZE}` takes RGB pixels of any size, `pictures` uint8 [n, height, width, 3], and resizes and crops them itself.

Both return `probabilities` float32 [n, classes]{familiarity} and `labels` {labels}. Everything else is in the graph:
normalisation, test-time augmentation, calibration and the label rule. Class names are in the metadata, as JSON under
`classes`. Apply the EXIF orientation of a photograph before you pass its pixels.

```python
import json
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("{ANY_SIZE}")
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
picture = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
probabilities, labels = session.run(["probabilities", "labels"], {{"pictures": np.asarray(picture)[None]}})
```"""


def banded(parts: Parts) -> bool:
    """Return whether the model takes other bands than red, green and blue."""
    return any(each.view.bands is not None for each in parts.inputs)


def _of_bands(names: str, labels: str) -> str:
    return f"""\
`{MODEL}` takes the chosen bands of a file, each scaled to 0 … 255 by its own range, at the network's size: {names}.
The bands' indices and ranges (`low` and `high`, which become 0 and 255) are in the metadata, as JSON under `networks`,
in `preprocessing`. Scale first, as floats, then resize, then round.

It returns `probabilities` float32 [n, classes] and `labels` {labels}."""


TARGET = Target(build=build, usage=usage, refusal=always, quantised=True, finish=write_card)
