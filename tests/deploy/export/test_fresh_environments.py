"""Exported folders in environments of their own: only what their requirements name, and nothing of headstart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import linear
from PIL import Image

from headstart.deploy.classifier import Classifier
from headstart.deploy.export import huggingface, server
from headstart.deploy.export.pictures import Material, noise
from headstart.deploy.export.target import Parts
from headstart.models.bundle import Ensemble

pytestmark = pytest.mark.slow
LARGEST = 250e6  # bytes of the server's environment
BARE = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "HEADSTART"))}


def environment(place: Path, *packages: str, shared: bool = False) -> Path:
    """Return the Python of a new environment with some packages, or skip where no index can be reached."""
    options = ["--system-site-packages"] if shared else []
    subprocess.run([sys.executable, "-m", "venv", *options, place], check=True)
    python = place / "bin" / "python"
    done = subprocess.run([python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True, env=BARE)
    if done.returncode:
        pytest.skip(f"packages cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


def test_the_server_folder_predicts_with_its_requirements_alone_in_less_than_250_mb(
    parts: Parts, tmp_path: Path
) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    server.build(parts, folder)
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "photo.png")
    python = environment(tmp_path / "venv", "-r", str(folder / "requirements.txt"))
    command = [python, "predict.py", "../photo.png", "--format", "json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=BARE, check=True)
    found = list(json.loads(done.stdout)["probabilities"].values())
    np.testing.assert_allclose(found, Classifier(parts.ensemble).predict(picture)[0].probabilities, atol=1e-6)
    installed = next((tmp_path / "venv" / "lib").glob("*/site-packages"))
    size = sum(file.stat().st_size for file in installed.rglob("*") if file.is_file() and "pip" not in file.parts)
    assert size < LARGEST


LOAD = """
import sys, timm, torch
from transformers import AutoModelForImageClassification
folder, images, target = sys.argv[1:]
images = torch.load(images)
with torch.inference_mode():
    first = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()(images)
    second = AutoModelForImageClassification.from_pretrained(folder).eval()(images).logits
assert "headstart" not in sys.modules
torch.save([first, second], target)
"""


def test_timm_and_transformers_load_the_folder_and_give_the_same_logits(tmp_path: Path) -> None:
    bundle = linear("timm/test_efficientnet", standardised=True)
    folder = tmp_path / "model"
    folder.mkdir()
    huggingface.build(Parts(Ensemble((bundle,)), Material(noise())), folder)
    images = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    torch.save(images, tmp_path / "images.pt")
    python = environment(tmp_path / "venv", "timm", "transformers", "torch", "torchvision", shared=True)
    places = [str(folder), str(tmp_path / "images.pt"), str(tmp_path / "logits.pt")]
    subprocess.run([python, "-c", LOAD, *places], env={**BARE, "HF_HUB_OFFLINE": "1"}, check=True, cwd=tmp_path)
    with torch.inference_mode():
        expected = bundle.network(images) / bundle.temperature
    for found in torch.load(tmp_path / "logits.pt"):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
