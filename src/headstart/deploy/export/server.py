"""The server export: a folder that predicts with onnxruntime, numpy and Pillow alone."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from headstart.deploy.export.card import write_card
from headstart.deploy.export.checking import Form
from headstart.deploy.export.onnx_graph import save_graph
from headstart.deploy.export.target import FLOAT, Parts, Target, always

MODEL = "model.onnx"
DECODING = "headstart.data.decoding"
COPIED = {  # modules that are copied as they are, but for the package's name in their imports
    "decoding/__init__.py": (DECODING, "__init__.py"),
    "decoding/decode.py": (DECODING, "decode.py"),
    "decoding/colour.py": (DECODING, "colour.py"),
    "decoding/depth.py": (DECODING, "depth.py"),
    "decoding/pictures.py": (DECODING, "pictures.py"),
    "decoding/errors.py": ("headstart", "errors.py"),
    "predict.py": ("headstart.deploy.export.served", "predict.py"),
}
REQUIREMENTS = """\
onnxruntime>=1.20
numpy>=2.0
pillow>=11
"""
DOCKERFILE = """\
FROM python:3.12-slim
WORKDIR /model
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
USER nobody
ENTRYPOINT ["python", "predict.py"]
"""


def build(parts: Parts, folder: Path) -> list[Form]:
    """Write the folder."""
    save_graph(parts.graph(), folder / MODEL)
    (folder / "decoding").mkdir()
    for name, (package, module) in COPIED.items():
        source = resources.files(package).joinpath(module).read_text(encoding="utf-8")
        (folder / name).write_text(standalone(source), encoding="utf-8")
    (folder / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / ".dockerignore").write_text("__pycache__\nREADME.md\ncheck.json\n", encoding="utf-8")
    return [Form("predict.py", "server", folder, "file", faithful=parts.precision == FLOAT)]


def standalone(source: str) -> str:
    """Return a module's source with its imports of headstart pointed at the folder `decoding`."""
    return source.replace(f"from {DECODING}.", "from decoding.").replace(
        "from headstart.errors", "from decoding.errors"
    )


def usage(parts: Parts) -> str:
    """Return how the folder is used."""
    return """\
Needs Python 3.11 or newer with onnxruntime, numpy and Pillow; neither PyTorch nor headstart.

```bash
pip install -r requirements.txt
python predict.py photo.jpg folder-of-photos --format csv
```

From Python, with the folder on the path:

```python
from predict import Model

model = Model()
print(model.predict(["photo.jpg"]))
```

In a container, with the photographs in `photos`:

```bash
docker build -t classifier .
docker run --rm -v "$PWD/photos:/photos:ro" classifier /photos --format csv
```

Pictures are decoded as headstart decodes them: the EXIF orientation is applied, transparency becomes white, embedded
colour profiles become sRGB, 16-bit images become 8-bit."""


TARGET = Target(build=build, usage=usage, refusal=always, quantised=True, finish=write_card)
