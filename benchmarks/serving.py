"""`headstart serve` under load, beside the feature pass, a plain FastAPI app and LitServe on the same model.

    python benchmarks/serving.py --locust VENV/bin/locust            3 rounds of 20 s
    python benchmarks/serving.py --locust VENV/bin/locust --small    1 round of 5 s: does it run?
    python benchmarks/serving.py --locust VENV/bin/locust --alone    no peers and no overload

EfficientNet-Lite0 with a head of 101 classes; 64 JPEGs of 300 × 200. In each round, one after the other: the feature
pass (decoding and the same engine, nothing cached) and each server with 32 clients of wrk that ask as fast as they are
answered; then the server at half of that rate (locust, Poisson arrivals), and at ten times it. `milliseconds` are of
CPU time an image, of the server's processes alone: where the machine has other work, they say what throughputs do not.
The files of the pass were looked at for damage before, as those of a study are; the server looks at each image that
arrives. `check_milliseconds` is what that costs, and "CPU time against pass and its check" counts it on both sides.
wrk runs on the same cores. `client_cores` is what it takes of them; throughputs are what it saw, and its share is not
added to them.
LitServe is measured if it can be imported (`--peers FOLDER` adds a folder of packages to the path of the servers).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from headstart.data.decoding.decode import View, decode
from headstart.data.decoding.image_store import decode_images
from headstart.data.sources.load import load_dataset
from headstart.deploy.classifier import Classifier
from headstart.models.bundle import Bundle, Origin
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.storage.store import Store
from headstart.study.resources import PendingImages
from headstart.threads import environment, machine_cores
from headstart.transfer.frozen.features import extract, load_features
from headstart.transfer.frozen.views import view_of
from study import machine

HERE = Path(__file__).parent
BACKBONE, CLASSES, IMAGES = "efficientnet_lite0", 101, 64
CLIENTS = 32
TICK = os.sysconf("SC_CLK_TCK")
OURS = "headstart serve"


def picture(seed: int) -> bytes:
    """Return a JPEG of 300 × 200 with the spectrum of a photograph, roughly."""
    generator = np.random.default_rng(seed)
    layers = []
    for side in (4, 16, 64):
        small = Image.fromarray(generator.integers(0, 256, (side, side, 3), np.uint8))
        layers.append(np.asarray(small.resize((300, 200), Image.Resampling.BICUBIC)).astype(float) / side)
    mixed = sum(layers)
    pixels = (255 * (mixed - mixed.min()) / np.ptp(mixed)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def make(folder: Path) -> tuple[Path, Path]:
    """Write a model and a folder of images; return both."""
    backbone, _ = create_backbone(BACKBONE, "imagenet")
    torch.manual_seed(0)
    head = LinearHead(backbone.feature_dim, CLASSES)
    torch.nn.init.normal_(head.weight, std=0.05)
    names = tuple(f"class {k}" for k in range(CLASSES))
    model = Classifier(Bundle(Network(backbone, head).eval(), Origin(BACKBONE, weights="imagenet"), names))
    images = folder / "images"
    images.mkdir()
    for seed in range(IMAGES):
        (images / f"{seed:02}.jpg").write_bytes(picture(seed))
    return model.save(folder / "model.safetensors"), images


def commented(jpeg: bytes, number: int) -> bytes:
    """Return a JPEG with a number as its comment: other bytes, so that the pass decodes it, and the same picture."""
    comment = f"{number}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def feature_pass(images: Path, folder: Path, count: int) -> dict[str, float]:
    """Return the rate of the feature pass over `count` images, and its CPU milliseconds an image."""
    many = folder / "pass"
    for k in range(count):
        place = many / f"class {k % 2}"
        place.mkdir(parents=True, exist_ok=True)
        content = (images / f"{k % IMAGES:02}.jpg").read_bytes()
        (place / f"{k:04}.jpg").write_bytes(commented(content, k))
    dataset = load_dataset(many)
    backbone, _ = create_backbone(BACKBONE, "imagenet")
    backbone.eval()
    view = view_of(backbone.preprocessing)
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place))
        started: list[float] = []

        def give(take: Any) -> None:
            started.append(cpu_seconds())
            decode_images(dataset, view, store=store, on_chunk=take)
            started.append(cpu_seconds())

        extract(PendingImages(count), backbone.stages, backbone.preprocessing, key="0" * 32, store=store, source=give)
        assert len(load_features("0" * 32, store)) == count
        rate = float(store.manifest("features", "0" * 32)["images_per_second"])
    milliseconds = 1000 * (started[1] - started[0]) / count
    return {"rate": rate, "milliseconds": milliseconds, "check_milliseconds": check_milliseconds(images, view)}


def check_milliseconds(images: Path, view: View) -> float:
    """Return the CPU milliseconds an image that decoding takes more where a file is looked at for damage first."""
    contents = [path.read_bytes() for path in sorted(images.iterdir())]
    took: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(5):
        for checked, times in took.items():
            began = time.thread_time()
            for content in contents:
                decode(content, view, checked=checked)
            times.append(time.thread_time() - began)
    return 1000 * (min(took[False]) - min(took[True])) / len(contents)


def cpu_seconds(whose: int = resource.RUSAGE_SELF) -> float:
    """Return the CPU time of this process, or of its children that have ended."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


@dataclass
class Server:
    """A server's processes: those of its session."""

    name: str
    port: int
    session: int
    form: bool

    def processes(self) -> Iterator[list[str]]:
        """Yield the fields of /proc/PID/stat behind the name, of each process."""
        for place in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = place.read_text().rpartition(") ")[2].split()
                if int(fields[3]) == self.session:
                    yield fields

    def cpu(self) -> float:
        """Return CPU seconds so far."""
        return sum(int(fields[11]) + int(fields[12]) for fields in self.processes()) / TICK

    def memory(self) -> int:
        """Return bytes in memory."""
        return sum(int(fields[21]) for fields in self.processes()) * resource.getpagesize()


@contextlib.contextmanager
def served(name: str, model: Path, peers: Path | None) -> Iterator[Server]:
    """Run a server, one of OURS, "fastapi" and "litserve"."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    packages = [] if peers is None else [str(peers)]
    command = [sys.executable, str(HERE / f"serving_{name}.py"), str(model), str(port), *packages]
    if name == OURS:
        command = [sys.executable, "-m", "headstart", "serve", str(model), "--port", str(port)]
    settings = {**os.environ, **environment(machine_cores())}
    process = subprocess.Popen(command, env=settings, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield Server(name, port, process.pid, form=name == "litserve")
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers anything at all."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with contextlib.suppress(OSError):
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30).read()
            return
        time.sleep(0.5)
    raise RuntimeError("the server does not answer")


class Watched:
    """What the server's processes use while clients ask."""

    def __init__(self, server: Server) -> None:
        self._server, self._sampled, self._done = server, [server.memory()], threading.Event()
        self._watcher = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._done.wait(0.2):
            self._sampled.append(self._server.memory())

    def __enter__(self) -> Watched:
        self._cpu, self._began = self._server.cpu(), time.perf_counter()
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._cpu, self.seconds = self._server.cpu() - self._cpu, time.perf_counter() - self._began
        self._done.set()
        self._watcher.join()

    def used(self, answered: int) -> dict[str, float]:
        """Return CPU milliseconds an answer, the memory's peak, and the time that it took with start and end."""
        cost = 1000 * self._cpu / max(answered, 1)
        return {"milliseconds": cost, "peak_bytes": max(self._sampled), "seconds": self.seconds}


def full_load(server: Server, wrk: Path, images: Path, seconds: float) -> dict[str, Any]:
    """Let clients ask as fast as they are answered; return what they saw, and what it cost the server.

    wrk leaves the cores to the server; locust, in Python, takes a share of them.
    """
    command = [str(wrk), "-t", "1", "-c", str(CLIENTS), "-d", f"{seconds:g}s", "--timeout", "60s"]
    command += ["-s", str(HERE / "serving_load.lua"), f"http://127.0.0.1:{server.port}"]
    command += ["--", str(images), str(IMAGES), str(int(server.form))]
    before = cpu_seconds(resource.RUSAGE_CHILDREN)
    with Watched(server) as watched:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    client = (cpu_seconds(resource.RUSAGE_CHILDREN) - before) / watched.seconds
    found = json.loads(done.stdout.strip().splitlines()[-1])
    rate = found["answered"] / found["seconds"]
    return {**found, "rate": rate, "client_cores": client, **watched.used(found["answered"])}


def paced_load(server: Server, locust: Path, images: Path, clients: int, seconds: float, rate: float) -> dict[str, Any]:
    """Let clients ask at a rate, at random times; return what they saw, and what it cost the server."""
    given = {"SERVING_IMAGES": images, "SERVING_PACE": rate / clients, "SERVING_FORM": int(server.form)}
    settings = {**os.environ, **{name: str(value) for name, value in given.items()}}
    settings.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as place:
        settings["SERVING_OUT"] = f"{place}/found.json"
        command = [str(locust), "-f", str(HERE / "serving_load.py"), "--headless"]
        command += ["-u", str(clients), "-r", str(clients), "-t", f"{seconds}s", "--stop-timeout", "60"]
        command += ["-H", f"http://127.0.0.1:{server.port}", "--only-summary", "--loglevel", "CRITICAL"]
        with Watched(server) as watched:
            subprocess.run(command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        found = json.loads(Path(settings["SERVING_OUT"]).read_text(encoding="utf-8"))
    nothing = {"answered": 0, "lost": 0, "seconds": 0.0, "p95_ms": None}
    good, refused = found.get("200", nothing), found.get("503", nothing)
    return {
        "asked_rate": rate,
        "answered": good["answered"],
        "refused": refused["answered"],
        "lost": sum(each["lost"] for each in found.values()),
        "rate": good["answered"] / max(good["seconds"], 1e-9),
        "p95_ms": good["p95_ms"],
        "p95_refused_ms": refused["p95_ms"],
        **watched.used(good["answered"]),
    }


def predicted(server: Server) -> int:
    """Return how many images the server says it has classified."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60).read().decode()
    found = re.search(r'headstart_images_total\{outcome="predicted"\} ([\d.]+)', text)
    return 0 if found is None else int(float(found[1]))


def overload(server: Server, locust: Path, images: Path, rate: float, seconds: float) -> dict[str, Any]:
    """Ask at ten times the rate; say also whether all that was accepted was answered, and a request afterwards."""
    before = predicted(server)
    found = paced_load(server, locust, images, 400, seconds, 10 * rate)
    found["asked"] = found["answered"] + found["refused"] + found["lost"]
    found["classified"] = predicted(server) - before
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/predict", next(images.iterdir()).read_bytes())
    found["answers_afterwards"] = urllib.request.urlopen(request, timeout=60).status == 200
    return found


def rounds(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure in turn; return every round."""
    model, images = make(folder)
    names = [OURS, *([] if options.alone else ["fastapi", *(["litserve"] if has_litserve(options.peers) else [])])]
    found: dict[str, Any] = {"pass": [], "half": [], "overload": [], **{name: [] for name in names}}
    for _ in range(options.rounds):
        found["pass"].append(feature_pass(images, folder, options.count))
        for name in names:
            with served(name, model, options.peers) as server:
                full_load(server, options.wrk, images, min(4, options.seconds))
                found[name].append(full_load(server, options.wrk, images, options.seconds))
                if name == OURS:
                    rate = found[name][-1]["rate"]
                    half = paced_load(server, options.locust, images, CLIENTS, options.seconds, rate / 2)
                    found["half"].append(half)
                if name == OURS and not options.alone:
                    found["overload"].append(overload(server, options.locust, images, rate, options.seconds))
    return found


def has_litserve(peers: Path | None) -> bool:
    """Say whether LitServe can be imported."""
    path = f"import sys; sys.path.append({str(peers)!r}); import litserve"
    return subprocess.run([sys.executable, "-c", path], capture_output=True, check=False).returncode == 0


def ratios(found: dict[str, Any]) -> dict[str, list[float]]:
    """Return, for each round, throughput as a ratio, and CPU time as the inverse ratio: above 1, we are better."""
    out: dict[str, list[float]] = {}
    for name in ("pass", "fastapi", "litserve"):
        if name in found:
            pairs = list(zip(found[OURS], found[name], strict=True))
            out[f"throughput against {name}"] = [ours["rate"] / other["rate"] for ours, other in pairs]
            out[f"CPU time against {name}"] = [other["milliseconds"] / ours["milliseconds"] for ours, other in pairs]
    out["CPU time against pass and its check"] = [
        (each["milliseconds"] + each["check_milliseconds"]) / ours["milliseconds"]
        for ours, each in zip(found[OURS], found["pass"], strict=True)
    ]
    return out


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--locust", type=Path, required=True, help="the program locust")
    parser.add_argument("--wrk", type=Path, default=Path("wrk"), help="the program wrk (Debian's package wrk)")
    parser.add_argument("--peers", type=Path, help="a folder of packages, with LitServe in it")
    parser.add_argument("--alone", action="store_true", help="no peers and no overload")
    parser.add_argument("--small", action="store_true", help="one round of 5 s")
    parser.add_argument("--seconds", type=int, default=20, help="of each load (default 20)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=2048, help="images of the feature pass (default 2048)")
    options = parser.parse_args()
    if options.small:
        options.seconds, options.rounds, options.count = 5, 1, 64
    with tempfile.TemporaryDirectory(prefix="headstart-serving-") as place:
        found = rounds(options, Path(place))
    shown = ratios(found)
    for name, values in shown.items():
        each = ", ".join(f"{value:.2f}" for value in values)
        print(f"{name}: {statistics.median(values):.2f} ({each})", file=sys.stderr)
    clients = ", ".join(f"{each['client_cores']:.3f}" for each in found[OURS])
    slow = ", ".join(f"{float(each['p95_ms'] or 'nan'):.0f}" for each in found["half"])
    print(f"cores that wrk took: {clients}; 95 % of answers at half load within: {slow} ms", file=sys.stderr)
    print(json.dumps({"machine": machine(), "ratios": shown, "rounds": found}, indent=1))


if __name__ == "__main__":
    main()
