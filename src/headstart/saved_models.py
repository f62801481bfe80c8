"""The Python API of saved models: evaluate them on new images, retrain them with more, export and time them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.api import OUT, Results, Study
from headstart.data.decoding.decode import content_of
from headstart.data.decoding.pictures import Picture, pictures_of
from headstart.deploy.classifier import Classifier
from headstart.deploy.drift import DRIFT
from headstart.deploy.export.benchmark import Benchmark
from headstart.deploy.export.benchmark import benchmark as measure
from headstart.deploy.export.defaults import EXPORTS, MARGIN, check_options
from headstart.deploy.export.export import Exported, check_request, export_model
from headstart.errors import SpecError, unknown_name
from headstart.explain.compare import Explained, Subject, explain_pictures
from headstart.explain.explainers import default_explainers, find_explainer
from headstart.storage.opening import default_store_in_use
from headstart.study import evaluation, unlabelled
from headstart.study.comparison import Data, source_of
from headstart.study.evaluation import Evaluation
from headstart.study.execution.session import Listener
from headstart.study.results.export_material import material_of
from headstart.study.results.tested import single_network
from headstart.study.spec.schema import DataSpec
from headstart.study.unlabelled import DriftReport
from headstart.study.update import prepare_update


@default_store_in_use()
def evaluate_models(
    models: str | Path | Sequence[str | Path],
    data: Data,
    out: str | Path = OUT,
    *,
    label: str | None = None,
    corrections: str | Path | None = None,
    part: str = "all",
    metric: str | None = None,
    baseline: int = 0,
    device: str = "auto",
    command: str = "",
) -> Evaluation:
    """Evaluate saved models on labelled images that they have not seen, compare them, and write the report.

    Args:
        models: a model file, a run folder or a study folder; several are compared with each other, paired over images.
        data: what `compare` takes.
        out: the folder that holds studies.
        label: the label to use if the data have several.
        corrections: a CSV of images to leave out and labels to change, as written by `headstart review`.
        part: "all", or one part of a split that the data come with.
        metric: what models are compared by; by default that of the first model's study, or accuracy.
        baseline: the place in `models` of the one that the others are compared with, from 0.
        device: "auto", "cpu", "cuda", "mps".
        command: what the user typed, for the report.

    Raises:
        SpecError: no model is given, or the metric is unknown.
        DataError: no image is left to score, or the labels are of another kind.
        ModelError: the models do not have the same classes.
    """
    from headstart.report.render.html import write_html

    places = [models] if isinstance(models, str | Path) else list(models)
    evaluation.check_request(places, metric, baseline)
    given = None if corrections is None else str(corrections)
    source = DataSpec(source=source_of(data), label=label, corrections=given)
    options: dict[str, Any] = {"part": part, "metric": metric, "device": device, "command": command}
    found = evaluation.evaluate_models(places, source, out, baseline=baseline, **options)
    write_html(found.folder.root, found.report)
    return found


def explain_images(
    model: str | Path | Classifier,
    images: Picture | Sequence[Picture],
    methods: Sequence[str] | None = None,
    *,
    target: str | None = None,
    seed: int = 0,
) -> Explained:
    """Return maps of the image regions that support a model's predictions.

    Args:
        model: a model file, a run folder, a study folder (of an ensemble, its study's best network), or a classifier.
        images: one or several: paths, bytes, PIL images, arrays, tensors.
        methods: names of explainers; by default Grad-CAM, or LIME for a model without gradients (nearest neighbours).
        target: the class to explain; by default what the model predicts of each image.
        seed: of the methods that draw samples.

    Raises:
        SpecError: an unknown method or class.
        ModelError: an ensemble, or a method that cannot explain the network.
    """
    for name in methods or ():
        find_explainer(name)
    classifier = model if isinstance(model, Classifier) else Classifier.load(single_network(Path(model)))
    if target is not None and target not in classifier.classes:
        raise SpecError(unknown_name("class", target, classifier.classes))
    title = "this model" if isinstance(model, Classifier) else Path(model).name
    subject = Subject.of(title, classifier.bundle)
    if methods is None:
        methods = default_explainers([subject.network])[0][-1:]
    pictures = [content_of(picture) for picture in pictures_of(images)]
    targets = None if target is None else [target] * len(pictures)
    return explain_pictures([subject], pictures, methods, targets=targets, seed=seed)[0]


@default_store_in_use()
def measure_drift(
    model: str | Path, images: str | Path, out: str | Path = OUT, *, device: str = "auto", command: str = ""
) -> DriftReport:
    """Measure how unlabelled images differ from those that a model was validated on, and write the report.

    Args:
        model: a model file, or the folder of a study.
        images: a folder (searched to any depth), a glob, a table of paths or an archive.
        out: the folder that evaluations are written to.
        device: "auto", "cpu", "cuda", "mps".
        command: what the user typed, for the report.

    Raises:
        ModelError: drift cannot be measured with this model; the message says why.
        DataError: the images are too few, or none can be used.
    """
    from headstart.report.render.drift_page import write_drift_page

    found = unlabelled.measure_drift(model, images, out, device=device, command=command)
    write_drift_page(found.folder / DRIFT, found.report)
    return found


@dataclass(frozen=True)
class Updated:
    """A model that was retrained with more images.

    Args:
        results: the study that trained it.
        evaluation: the new and the previous model on the same test images, in this order; None if the previous model
            does not know all classes.
        new: number of new images by part: "train" and "test".
        notes: what changed besides.
    """

    results: Results
    evaluation: Evaluation | None
    new: Mapping[str, int]
    notes: tuple[str, ...]

    def _repr_html_(self) -> str:
        compared = None if self.evaluation is None else self.evaluation._repr_html_()
        return f"{self.results._repr_html_()}{compared or ''}"


@default_store_in_use()
def update_study(
    study: str | Path,
    data: Data,
    out: str | Path = OUT,
    *,
    label: str | None = None,
    refit: str | None = None,
    device: str = "auto",
    listener: Listener | None = None,
    command: str = "",
) -> Updated:
    """Retrain a finished study's kept model with new images, and compare the two models.

    The images that the study was tested on stay test images; each new image gets a part by its group or its
    content. The previous study is not changed.

    Args:
        study: its folder.
        data: what `compare` takes: the new images, or all.
        out: the folder that holds studies.
        label: the label to use if the data have several.
        refit: "all" trains the new study's saved model on every image, test images included; the comparison is of the
            tested models. By default as in the finished study.
        device: "auto", "cpu", "cuda", "mps".
        listener: is told what happens.
        command: what the user typed, for the report.

    Raises:
        DataError: no image is new, or the study's own images are gone.
    """
    update = prepare_update(study, source_of(data), label=label, refit=refit, device=device)
    results = Study(update.study).run(out, device=device, listener=listener, command=command)
    if set(results.classifier().classes) != set(Classifier.load(study).classes):
        return Updated(results, None, update.new, update.notes)
    images = update.study["data"]["source"]
    kept = Results(Path(study).expanduser())
    models = [each.folder if each.refitted is None else each.tested for each in (results, kept)]
    found = evaluate_models(models, images, out, part="test", metric=update.former.metric, baseline=1, device=device)
    return Updated(results, found, update.new, update.notes)


@default_store_in_use()
def benchmark(
    model: str | Path | Classifier,
    *,
    int8: bool = True,
    images: str | Path | None = None,
    count: int | None = 200,
) -> Benchmark:
    """Measure size, start-up, latency, throughput and accuracy of a model in each form that it can be exported to.

    Args:
        model: a model file, a run folder, a study folder (its kept model), or a classifier.
        int8: also measure the int8 forms; needs the study's images.
        images: use the pictures of this folder, instead of the study's test images.
        count: use this many pictures, evenly spread; None takes all.

    Raises:
        SpecError: `count` is not positive.
    """
    if count is not None and count < 1:
        raise SpecError(f"count = {count} pictures: it must be at least 1")
    place = None if isinstance(model, Classifier) else Path(model)
    ensemble = model.ensemble if isinstance(model, Classifier) else Classifier.load(model).ensemble
    material = material_of(place, ensemble, None if images is None else Path(images), count)
    return measure(ensemble, material, int8=int8)


@default_store_in_use()
def export(
    model: str | Path | Classifier,
    to: str | Sequence[str] = "onnx",
    out: str | Path = EXPORTS,
    *,
    int8: bool = False,
    margin: float = MARGIN,
    images: str | Path | None = None,
    check: int | None = None,
    runtime: str | Path | None = None,
) -> list[Exported]:
    """Export a model in one or several formats, a folder each; every file is checked against the original first.

    Args:
        model: a model file, a run folder, a study folder (its kept model), or a classifier.
        to: "onnx", "torch", "server", "huggingface", "page", or several of them.
        out: where the folders are written.
        int8: write int8 ONNX graphs; needs the study's images.
        margin: points of validation accuracy that int8 may cost.
        images: check the files on the pictures of this folder, instead of the study's test images.
        check: check them on this many pictures, evenly spread; all by default.
        runtime: the file of the npm package onnxruntime-web that goes into the page; downloaded by default.

    Raises:
        SpecError: an unknown format.
        ModelError: the model cannot be exported so, or an exported file would not be the same model.
    """
    targets = [to] if isinstance(to, str) else list(to)
    check_options(targets, margin, check)
    place = None if isinstance(model, Classifier) else Path(model)
    ensemble = model.ensemble if isinstance(model, Classifier) else Classifier.load(model).ensemble
    check_request(ensemble, targets, Path(out).expanduser(), int8=int8)
    material = material_of(place, ensemble, None if images is None else Path(images), check)
    return export_model(
        ensemble,
        targets,
        Path(out).expanduser(),
        material,
        int8=int8,
        margin=margin,
        page_runtime=None if runtime is None else Path(runtime).expanduser(),
    )
