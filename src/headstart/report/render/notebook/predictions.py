"""Answers in a notebook: predictions with their pictures and sets, explanations over the picture."""

from __future__ import annotations

from markupsafe import Markup
from PIL import Image

from headstart.data.decoding.decode import UndecodableError, content_of, decode, quiet_pillow
from headstart.data.decoding.thumbnail import thumbnail
from headstart.deploy.classifier import Prediction, Predictions
from headstart.deploy.prediction_rows import best_classes
from headstart.explain.compare import Explained, verdict
from headstart.explain.explainers import EXPLAINERS
from headstart.explain.picture import overlay
from headstart.report import numbers
from headstart.report.render.notebook import look

LARGE, SMALL = 168, 96  # px
SHARP = 1.5  # pixels of a picture for each px of the page
CLASSES = 5
BATCH, EXPLAINED = 24, 8  # images that are shown
_QUALITY = 82


def prediction_html(prediction: Prediction) -> Markup:
    """Return one prediction: its picture, the answer, and the most probable classes."""
    said = [look.title(prediction.label or "no label"), look.line(_answer(prediction), "muted")]
    if prediction.error is not None:
        return look.panel(look.title(prediction.name), look.line(prediction.error, "problem"))
    rows = [
        (
            Markup("<b>{}</b>").format(name) if name in prediction.set else name,
            look.bar(share, strong=name in (prediction.set or prediction.labels)),
            numbers.percent(share),
        )
        for name, share in best_classes(prediction, prediction.classes, CLASSES)
    ]
    said.append(look.table(("class", "", "probability"), rows, ("", "", look.NUMBER)))
    if len(prediction.classes) > CLASSES:
        said.append(look.line(f"and {len(prediction.classes) - CLASSES:,} less probable classes", "muted"))
    shown = [] if (picture := _picture(prediction, LARGE)) is None else [look.figure(picture, prediction.name)]
    return look.panel(look.beside(*shown, look.joined(said)))


def predictions_html(predictions: Predictions) -> Markup:
    """Return a batch: each picture with its answer."""
    figures = []
    for each in predictions[:BATCH]:
        picture = _picture(each, SMALL) or Markup("")
        if each.error is not None:
            caption = Markup("{}<br>{}").format(each.name, each.error)
        else:
            caption = Markup("<b>{}</b> {}<br>{}").format(each.label, numbers.percent(each.probability, 0), _kind(each))
        figures.append(look.figure(picture, caption))
    more = len(predictions) - BATCH
    rest = [look.line(f"and {more:,} more", "muted")] if more > 0 else []
    return look.panel(look.title(numbers.counted(len(predictions), "prediction")), look.strip(figures), *rest)


def explained_html(explained: Explained) -> Markup:
    """Return each picture with its maps over it; what the colours mean is said below."""
    methods = [(EXPLAINERS[name], maps) for name, maps in explained.maps.items()]
    rows = []
    for row in range(min(EXPLAINED, len(explained.pixels))):
        pixels = explained.pixels[row]
        figures = [look.figure(look.drawn(pixels, "the picture", LARGE), verdict(explained, row))]
        for explainer, maps in methods:
            over = overlay(pixels, maps[row], signed=explainer.signed, outlined=explainer.outlined)
            figures.append(look.figure(look.drawn(over, explainer.title, LARGE), explainer.title))
        rows.append(look.strip(figures))
    keys = []
    if any(not explainer.signed for explainer, _ in methods):
        keys.append("from violet to yellow: how strongly a region supports the class")
    if any(explainer.signed for explainer, _ in methods):
        keys.append("orange supports the class, blue opposes it")
    more = len(explained.pixels) - EXPLAINED
    rest = [look.line(f"and {more:,} more", "muted")] if more > 0 else []
    key = "; ".join(keys)
    return look.panel(
        look.title(explained.subject.title),
        look.beside(*rows),
        look.line(f"{key[:1].upper()}{key[1:]}.", "muted"),
        *rest,
    )


def _answer(prediction: Prediction) -> str:
    """Return what the model makes of its prediction: sure, one of a few classes, or that it does not know."""
    said = [f"{numbers.percent(prediction.probability)} sure of it" if not prediction.answer else _kind(prediction)]
    if prediction.familiarity is not None:
        said.append(f"{numbers.percent(prediction.familiarity, 0)} of familiar images are no more familiar")
    if prediction.withheld:
        said.append("left for review")
    if prediction.decision:
        said.append(f"least expected cost: {prediction.decision}")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def _kind(prediction: Prediction) -> str:
    if prediction.answer == "one of":
        return f"one of {numbers.listed(prediction.set, 4)}"
    return prediction.answer


def _picture(prediction: Prediction, side: int) -> Markup | None:
    if prediction.image is None:
        return None
    try:
        with quiet_pillow():
            pixels = decode(content_of(prediction.image.read()))
        small = thumbnail(Image.fromarray(pixels), round(SHARP * side), _QUALITY)
    except (OSError, UndecodableError):
        return None
    return look.picture(small, prediction.name, side)
