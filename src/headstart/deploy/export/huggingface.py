"""The Hugging Face export: a folder that timm and transformers load, with a model card that the Hub understands."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from safetensors.torch import save

from headstart.deploy.export.card import CARD, card_text, title_of
from headstart.deploy.export.checking import Check, Form
from headstart.deploy.export.target import Parts, Target
from headstart.deploy.export.timm_model import model_args, refusal_of, timm_model
from headstart.evaluate.metrics.names import measure_name
from headstart.models.architectures.catalogue import find_architecture
from headstart.models.bundle import Bundle
from headstart.models.refitted import refitted_of

WEIGHTS, CONFIG = "model.safetensors", "config.json"
HUB_LICENCES = frozenset({"apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0"})
METRICS = ("accuracy", "balanced_accuracy", "top5_accuracy", "f1_macro", "f1_micro")


def build(parts: Parts, folder: Path) -> list[Form]:
    """Write weights and configuration."""
    (bundle,) = parts.ensemble.members
    model = timm_model(bundle)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    (folder / WEIGHTS).write_bytes(save(state, {"format": "pt"}))  # its save_file writes a file for this user alone
    text = json.dumps(configuration(bundle, model.num_features), indent=2, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    return [Form("local-dir for timm", "timm", folder, "pixels")]


def configuration(bundle: Bundle, features: Any) -> dict[str, Any]:
    """Return config.json: the architecture, its classes and its preprocessing."""
    import timm

    needs, names = bundle.preprocessing, list(bundle.classes)
    architecture = find_architecture(bundle.origin.name).name
    source = timm.get_pretrained_cfg(architecture)
    return {
        "architecture": architecture,
        "num_classes": len(names),
        "num_features": int(features),
        "label_names": names,
        "problem_type": "multi_label_classification" if bundle.multi_label else "single_label_classification",
        "model_args": model_args(bundle),
        "pretrained_cfg": {
            "tag": "headstart",
            "custom_load": False,
            "input_size": [3, needs.size, needs.size],
            "fixed_input_size": bool(source.fixed_input_size),
            "interpolation": needs.interpolation,
            "crop_pct": crop_share(needs.size, needs.resize),
            "crop_mode": "center",
            "mean": list(needs.mean),
            "std": list(needs.std),
            "num_classes": len(names),
            "label_names": names,
        },
    }


def crop_share(size: int, resize: int) -> float:
    """Return the crop_pct from which timm computes this resize: floor(size / crop_pct)."""
    share = size / resize
    while math.floor(size / share) < resize:
        share = math.nextafter(share, 0)
    return share


def finish(parts: Parts, folder: Path, checks: Sequence[Check], notes: Sequence[str], usage: str) -> None:
    """Write the model card with the metadata that the Hub reads."""
    text = f"---\n{card_data(parts).to_yaml()}\n---\n\n{card_text(parts, checks, notes, usage)}"
    ModelCard(text).save(folder / CARD)


def card_data(parts: Parts) -> ModelCardData:
    """Return the card's metadata: licence, library, and test results as the Hub shows them; of a tested model only."""
    results, data = parts.material.results, parts.material.data
    if refitted_of(parts.ensemble.members[0].provenance) is not None:
        results = {}
    licence = str(parts.facts["licence"])
    known = licence.lower() in HUB_LICENCES
    found = [
        EvalResult(
            task_type="image-classification",
            dataset_type=str(data.get("name", "unknown")),
            dataset_name=str(data.get("name", "unknown")),
            dataset_split="test",
            metric_type=name,
            metric_value=round(float(results[name]["value"]), 6),
            metric_name=measure_name(name),
        )
        for name in METRICS
        if results.get(name, {}).get("value") is not None
    ]
    return ModelCardData(
        license=licence.lower() if known else "other",
        license_name=None if known else licence,
        library_name="timm",
        pipeline_tag="image-classification",
        tags=["image-classification", "timm", "transformers", "headstart"],
        model_name=title_of(parts) if found else None,
        eval_results=found or None,
    )


def usage(parts: Parts) -> str:
    """Return how the folder is used."""
    (bundle,) = parts.ensemble.members
    function = "sigmoid()" if bundle.multi_label else "softmax(1)"
    rule = f" A class is a label where its probability is above {bundle.threshold}." if bundle.multi_label else ""
    return f"""\
With timm, where FOLDER is the path of this folder:

```python
import timm
import torch
from PIL import Image

model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
with torch.inference_mode():
    probabilities = model(transform(Image.open("photo.jpg").convert("RGB"))[None]).{function}
names = model.pretrained_cfg["label_names"]
```

With transformers:

```python
from transformers import AutoImageProcessor, AutoModelForImageClassification

model = AutoModelForImageClassification.from_pretrained("FOLDER")
processor = AutoImageProcessor.from_pretrained("FOLDER")
```

The logits are calibrated: {function} of them is the probability that headstart reports.{rule}"""


TARGET = Target(build=build, usage=usage, refusal=refusal_of, quantised=False, finish=finish)
