"""AutoGluon's part of `five_minutes.py`: MultiModalPredictor with its `time_limit` and otherwise its defaults.

It takes timm's networks from a folder with `pytorch_model.bin` and `config.json`, which is made of the weights file;
it splits its own validation part off, and averages its three best checkpoints. Without a GPU it needs "32" as
precision. The clock includes the averaging, which its limit does not bound. What it leaves behind is the folder of
`predictor.save`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from autogluon.multimodal import MultiModalPredictor
from five_minutes_record import Record, Task, images_in, name_of, read_task, size_of, write_record

ARCHITECTURE = "tf_efficientnet_lite0"


def main() -> None:
    task = read_task(__doc__)
    torch.set_num_threads(task.threads)
    with tempfile.TemporaryDirectory() as place:
        start = checkpoint(task, Path(place) / "start")
        began = time.perf_counter()
        images = images_in(task.train)
        table = pd.DataFrame({"image": [str(path) for path in images], "label": [path.parent.name for path in images]})
        predictor = MultiModalPredictor(label="label", path=str(Path(place) / "fitted"), verbosity=1)
        settings = {
            "model.names": ["timm_image"],
            "model.timm_image.checkpoint_name": str(start),
            "model.timm_image.image_norm": "inception",
            "env.num_gpus": 0,
            "env.precision": "32",
            "env.num_workers": task.threads,
        }
        predictor.fit(
            table,
            time_limit=task.seconds,
            seed=task.seed,
            hyperparameters=settings,
            column_types={"image": "image_path"},
        )
        seconds = time.perf_counter() - began
        paths = images_in(task.test)
        found = predictor.predict_proba(pd.DataFrame({"image": [str(path) for path in paths]}), as_pandas=True)
        left = Path(place) / "left"
        predictor.save(str(left))
        names = tuple(name_of(path) for path in paths)
        classes = tuple(str(name) for name in found.columns)
        record = Record(names, classes, np.asarray(found), f"{ARCHITECTURE} tuned", seconds, size_of(left))
    write_record(task.out, record)


def checkpoint(task: Task, folder: Path) -> Path:
    """Write the folder from which AutoGluon takes a timm network."""
    folder.mkdir()
    network = timm.create_model(ARCHITECTURE)
    shutil.copy(task.weights, folder / "pytorch_model.bin")
    cfg = {key: network.pretrained_cfg[key] for key in ("input_size", "mean", "std", "interpolation", "crop_pct")}
    config = {"architecture": ARCHITECTURE, "num_features": network.num_features, "pretrained_cfg": cfg}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
