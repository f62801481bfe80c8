"""The server export: a folder that predicts with onnxruntime, numpy and Pillow alone."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import numpy as np
import onnxruntime
import PIL

from headstart.deploy.export.card import write_card
from headstart.deploy.export.checking import Form
from headstart.deploy.export.onnx_graph import save_graph
from headstart.deploy.export.target import FLOAT, Parts, Target, rgb_only

MODEL = "model.onnx"
PREDICT = "headstart.deploy.export.served.predict"
IMPORT = re.compile(r"^from (headstart\.[\w.]+) import", re.MULTILINE)
DECODING = "decoding"  # the folder of the copied modules
REQUIREMENTS = """\
onnxruntime>=1.20
numpy>=2.0
pillow>=11
"""
DOCKERFILE = """\
# where builds must be repeatable, name the image's digest too: python:3.12-slim@sha256:...
FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /model
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt -c constraints.txt
COPY --chmod=755 decoding decoding
COPY --chmod=755 predict.py model.onnx ./
# nobody, as a number: what runs containers can see that it is not root
USER 65534:65534
ENTRYPOINT ["python", "predict.py"]
"""


def build(parts: Parts, folder: Path) -> list[Form]:
    """Write the folder."""
    save_graph(parts.graph(), folder / MODEL)
    (folder / DECODING).mkdir()
    (folder / DECODING / "__init__.py").write_text('"""Pictures are decoded as headstart decodes them."""\n')
    for name, source in copied_modules(PREDICT).items():
        path = folder / ("predict.py" if name == PREDICT else f"{DECODING}/{short(name)}.py")
        path.write_text(standalone(source), encoding="utf-8")
    (folder / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
    (folder / "constraints.txt").write_text(constraints(), encoding="utf-8")
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / ".dockerignore").write_text("__pycache__\nREADME.md\ncheck.json\n", encoding="utf-8")
    return [Form("predict.py", "server", folder, "file", faithful=parts.precision == FLOAT)]


def constraints() -> str:
    """Return the versions with which the folder is checked, as pip reads them; of releases only, which it can find."""
    found = {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__, "pillow": PIL.__version__}
    return "".join(f"{name}=={version}\n" for name, version in found.items() if re.fullmatch(r"[\d.]+", version))


def copied_modules(first: str) -> dict[str, str]:
    """Return the source of a module and of every module of headstart that it needs, directly or through others."""
    found: dict[str, str] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name not in found:
            package, _, module = name.rpartition(".")
            found[name] = resources.files(package).joinpath(f"{module}.py").read_text(encoding="utf-8")
            waiting += IMPORT.findall(found[name])
    assert len({short(name) for name in found}) == len(found), "two copied modules have the same name"
    return found


def standalone(source: str) -> str:
    """Return a module's source with its imports of headstart pointed at the folder of the copied modules."""
    return IMPORT.sub(lambda line: f"from {DECODING}.{short(line[1])} import", source)


def short(module: str) -> str:
    """Return the last part of a module's name."""
    return module.rpartition(".")[2]


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
docker run --rm --network none --read-only -v "$PWD/photos:/photos:ro" classifier /photos --format csv
```

The container has the versions in `constraints.txt`, with which the model was checked; `pip install -r requirements.txt
-c constraints.txt` installs them elsewhere. It runs as user 65534, which must be allowed to read the photographs.

Pictures are decoded as headstart decodes them: the EXIF orientation is applied, transparency becomes white, embedded
colour profiles become sRGB, 16-bit images become 8-bit."""


TARGET = Target(build=build, usage=usage, refusal=rgb_only, quantised=True, finish=write_card)
