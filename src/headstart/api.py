"""The Python API: a study from a file or a mapping, and `compare`, which needs no file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.sources.load import list_dataset, title_of
from headstart.data.sources.written import written
from headstart.deploy.classifier import Classifier
from headstart.errors import MissingExtra, SpecError, StoreError, choose, require
from headstart.models.line_ups.choose import Network
from headstart.models.line_ups.table import STRONG
from headstart.models.refitted import REFITTED, Refitted
from headstart.progress import say
from headstart.storage.names import readable
from headstart.storage.presence import at_work
from headstart.study.execution.session import Listener
from headstart.study.planning.describe import describe
from headstart.study.planning.networks import networks_for
from headstart.study.results.folder import StudyFolder
from headstart.study.results.state import kept_words
from headstart.study.results.version import study_folder, versioned_name
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.study.spec.run import ResolvedStudy
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.heads.catalogue import HEADS as KINDS
from headstart.units import parse_duration

OUT = "headstart-runs"
FOLDS = 5  # of cross-validation
TEST_SHARE = 0.2  # of the images, where they are not cross-validated
FEW_TEST_IMAGES = 10  # of a class, below which all images are tested, by cross-validation
Data: TypeAlias = str | Path | Mapping[str, Any] | Dataset
BASELINES: dict[str, dict[str, Any]] = {
    "majority class": {"backbone": "pixels", "strategy": "majority", "input_size": 16},
    "raw pixels": {
        "backbone": "pixels",
        "strategy": "logistic",
        "input_size": 16,  # 768 numbers an image: at 32 px this baseline costs more than everything else
        "head": {"penalty": [3.0, 1.0, 0.3], "tolerance": 1e-3},  # weaker penalties overfit pixels, slowly
    },
}
TAILS = {"efficientnet_lite": "stage6", "resnet": "stage3"}  # what a budget leaves frozen of a network it tunes
TUNED: dict[str, Any] = {  # from the fitted probe; two stored views of each image in place of a pass every epoch
    "strategy": "lp_ft",
    "views": 2,
    "recipe": {"epochs": 6, "augment": ["horizontal_flip"]},
    "refit": "none",
}
TOGETHER = "networks together"
AVERAGED = ("logistic", "ridge")  # the heads whose probabilities are averaged, of all networks
PROXY_IMAGES = 400  # by which a budget chooses the first network of the line-up "strong"
COPIES = {"exact": True, "near": "near"}  # what drop_duplicates is called in a study file
HEADS = ("logistic", "ridge", "prototypes", "knn")


@dataclass(frozen=True)
class Results:
    """The results of a study.

    Args:
        folder: the study's folder.
    """

    folder: Path

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    @property
    def model(self) -> Path:
        """The best model, chosen on validation, as one file."""
        return self.folder / "model.safetensors"

    @property
    def kept(self) -> str:
        """Which run the saved model is of, by what it was chosen, and which of its seeds (or folds) it is."""
        return kept_words(StudyFolder(self.folder).read_study()) or "none"

    @property
    def refitted(self) -> Refitted | None:
        """On how many images the saved model was refitted, and the score of the tested model; None if it was not."""
        found: Refitted | None = StudyFolder(self.folder).read_study().get(REFITTED)
        return found

    @property
    def tested(self) -> Path:
        """The tested model: the saved one, or the run folder of the model that it was refitted from."""
        return self._tested(StudyFolder(self.folder).read_study())

    def _tested(self, facts: Mapping[str, Any]) -> Path:
        return self.folder / facts["best"]["folder"] if facts.get(REFITTED) else self.model

    def answer(self) -> str:
        """Return what the study found, in a few sentences."""
        return str(self.to_dict()["answer"])

    def ranking(self) -> list[dict[str, Any]]:
        """Return one row per run, best first: score, interval, ties, seeds and cost."""
        rows: list[dict[str, Any]] = self.to_dict()["ranking"]
        return rows

    def failed(self) -> list[dict[str, Any]]:
        """Return one row per run and seed that could not be finished: run, seed, why."""
        rows: list[dict[str, Any]] = self.to_dict()["failed"]
        return rows

    def problems(self) -> list[str]:
        """Return what the audit of the images found, a line each: leaks, copies, contradicting labels, few images."""
        found: list[str] = self.to_dict()["problems"]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return all of this as JSON holds it, from one reading of the folder."""
        from headstart.report.read.conclusion import plain
        from headstart.report.read.summary import load_summary

        summary, study = load_summary(self.folder), StudyFolder(self.folder).read_study()
        facts = summary.to_dict()
        return {
            "folder": str(self.folder),
            "report": str(self.report),
            "answer": plain(summary.answer),
            "model": str(self.model) if self.model.is_file() else None,
            "kept": kept_words(study) or "none",
            "refitted": study.get(REFITTED),
            "tested_model": str(self._tested(study)) if self.model.is_file() else None,
            "ranking": facts["ranking"],
            "failed": facts["failed"],
            "problems": summary.problems,
        }

    def classifier(self, device: str = "cpu") -> Classifier:
        """Return the best model, ready to predict.

        Raises:
            StoreError: no run of the study could be chosen on validation.
        """
        if not self.model.is_file():
            raise StoreError(f"{self.folder}: has no best model; no run finished with a validation score")
        return Classifier.load(self.model, device)


class Study:
    """A study: many runs that answer one question.

    Args:
        source: a YAML file, or the same as a mapping; in a mapping, `data` or `data.source` may also be what
            `compare` takes as `data`.
        overrides: "key=value" settings that replace the file's.
        smoke: apply the file's own `smoke` block: small data, a quick check that all of it runs.

    Raises:
        SpecError: the study says something that headstart does not understand.
    """

    def __init__(
        self, source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, smoke: bool = False
    ) -> None:
        named = source if isinstance(source, str | Path) else {**source, **_named_data(source)}
        self.study: ResolvedStudy = load_study(named, overrides, smoke=smoke)

    def plan(self, out: str | Path = OUT, device: str = "auto", *, strict: bool = False) -> list[dict[str, Any]]:
        """Return what would be computed, what is shared, what is cached already and what is unavailable.

        Each row says the seconds, bytes on disk and peak memory of its stages, from short measurements on this
        machine, which are cached. Nothing else is computed. With `strict`, unavailable weights or images are an
        error.
        """
        from headstart.storage.opening import default_store
        from headstart.study.planning.cost import with_costs
        from headstart.study.planning.planner import make_plan
        from headstart.study.resources import Resources

        resources = Resources(default_store(), device)
        plan = make_plan(self.study, resources, strict=strict)
        folder = study_folder(out, versioned_name(out, self.study.spec.name, plan.fingerprint))
        return with_costs(describe(plan, resources, folder), plan, resources, folder)

    def folder(self, out: str | Path = OUT) -> StudyFolder:
        """Return the folder that the study is written to, unless a study of other images is there already."""
        return study_folder(out, self.study.spec.name)

    def run(
        self,
        out: str | Path = OUT,
        *,
        device: str = "auto",
        listener: Listener | None = None,
        command: str = "",
        report: bool = True,
        strict: bool = False,
        workers: int = 1,
        on: str | None = None,
        store: str | Path | None = None,
    ) -> Results:
        """Run what is not done yet and return the results; the report is written too.

        A run that fails, or whose published weights are unavailable, is in `Results.failed`; the others continue.
        With `strict`, unavailable weights or images are an error before anything is computed.

        Args:
            out: the folder that holds studies.
            device: "auto", "cpu", "cuda", "mps".
            listener: is told what happens.
            command: what the user typed, for the report.
            report: write the report.
            strict: as above.
            workers: how many processes do the work (on Ray: jobs at a time on each node).
            on: "ray", or the address of a Ray cluster.
            store: where shared work is kept, a folder or an address such as "s3://bucket/prefix"; it becomes
                $HEADSTART_REMOTE of this process, so that everything that follows finds it again.
        """
        if store is not None:
            os.environ["HEADSTART_REMOTE"] = str(store)
        folder = run_study(
            self.study,
            out,
            device=device,
            listener=listener,
            command=command,
            strict=strict,
            workers=workers,
            on=on,
        )
        if report:
            from headstart.report.render.html import write_html

            with at_work(folder.root):
                write_html(folder.root, folder.root / "report.html")
        return Results(folder.root)


def compare_spec(
    data: Data,
    *,
    label: str | None = None,
    backbones: Sequence[str] | None = None,
    networks: str | Sequence[str] | None = None,
    licence: str | None = None,
    heads: Sequence[str] = HEADS,
    seeds: int = 3,
    budget: str | None = None,
    drop_duplicates: str | None = None,
    name: str | None = None,
    random_features: bool = False,
    training_images: int = 0,
    refit: str | None = None,
) -> dict[str, Any]:
    """Return the study that `compare` runs: baselines, backbones × heads, an ensemble of the backbones, several seeds.

    Args:
        data: anything `load_dataset` takes, or a dataset that it returned.
        label: the label to use, if the dataset has several.
        backbones: used with ImageNet weights; by default the line-up "auto" of what is on this machine.
        networks: in place of backbones: "auto" (with what can be fetched), "embedded", "fast", "strong", or names.
        licence: "open" leaves out networks whose weights have a restricted or unknown licence.
        heads: fitted to the cached features; those for one label an image are left out if images have several.
        seeds: number of seeds, or of repeats of five-fold cross-validation if a class has too few test images.
        budget: a time limit such as "5min"; time left after the frozen networks tunes the best one's last stages.
        drop_duplicates: "exact" leaves out copies of images, "near" also those that were saved again or resized.
        name: of the study; by default derived from the dataset's name.
        random_features: add a third baseline, the first backbone with random weights; it costs a pass over the images.
        training_images: bootstrap samples that every head is fitted on again, for wider intervals (folds have them).
        refit: "all" trains the saved model on every image, test images included; the tested model stays in its run.
    """
    tuning = budget is not None and _is_budget(budget) and _can_tune()  # refused before anything is advised
    place = source_of(data)
    listed = list_dataset(place, label=label)
    chosen = networks_for(len(listed), backbones, networks, licence=licence, budget=budget)
    heads = [head for head in heads if not listed.multi_label or KINDS[head].multi_label]
    runs = {name: dict(settings) for name, settings in BASELINES.items()}
    if random_features and chosen:
        runs["random features"] = {"backbone": chosen[0].name, "weights": "none", "strategy": "logistic"}
    for network in chosen:
        runs |= _runs_of(network, heads, _tuned_for(listed) if tuning else None)
    averaged = [f"{each.name} {head}" for each in chosen for head in AVERAGED if head in heads]
    title, few = title_of(place), _fewest_images(listed)
    folded = few is not None and few * TEST_SHARE < FEW_TEST_IMAGES
    if folded and training_images:
        say("the folds vary the training images: the wider interval comes from them, without bootstrap samples")
    return {
        "name": name or readable(f"compare {title}{' ' + label if label else ''}"),
        "question": f"Which frozen network and head classify {title} best, and how much better than no network?",
        "data": _data_of(place, label, drop_duplicates, folded=folded),
        "seeds": seeds * FOLDS if folded else seeds,
        "runs": runs,
        "ensembles": {TOGETHER: averaged} if len(chosen) > 1 and averaged else {},
        "compare": {"baseline": "raw pixels", **({} if folded else {"training_images": training_images})},
        "budget": budget,
        **({"proxy": PROXY_IMAGES} if budget is not None and networks == STRONG else {}),
        "refit": refit,
    }


def _data_of(place: str, label: str | None, drop_duplicates: str | None, *, folded: bool) -> dict[str, Any]:
    source: dict[str, Any] = {"source": place, **({} if label is None else {"label": label})}
    if drop_duplicates is not None:
        source["drop_duplicates"] = choose("kind of duplicates", drop_duplicates, COPIES)
    return {**source, "split": {"folds": FOLDS, "fold": "seed"}} if folded else source


def _runs_of(network: Network, heads: Sequence[str], tuned: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return the runs of one network: each head, and its last stages tuned, where there are settings for that."""
    backbone, base = network.name, {"backbone": network.name, "weights": network.weights}
    runs: dict[str, dict[str, Any]] = {f"{backbone} {head}": {**base, "strategy": head} for head in heads}
    tail = next((stage for family, stage in TAILS.items() if backbone.startswith(family)), None)
    if tuned is not None and tail is not None:
        runs[f"{backbone} tuned"] = {**base, "freeze_until": tail, **tuned}
    return runs


def compare(
    data: Data,
    out: str | Path = OUT,
    *,
    device: str = "auto",
    listener: Listener | None = None,
    workers: int = 1,
    on: str | None = None,
    **options: Any,
) -> Results:
    """Compare baselines, pretrained backbones and heads on a dataset; options are those of `compare_spec`."""
    return Study(compare_spec(data, **options)).run(out, device=device, listener=listener, workers=workers, on=on)


def _tuned_for(dataset: Dataset) -> dict[str, Any]:
    """Return the settings of a tuned run: a loss for several labels, and batches that few training images fill."""
    learned = len(dataset) if dataset.given_split is None else int((dataset.given_split == "train").sum())
    batch = 2 ** max(1, int(learned * (1 - TEST_SHARE) ** 2 / 2).bit_length() - 1)  # at least two batches an epoch
    recipe = {**TUNED["recipe"], **({"loss": "bce"} if dataset.multi_label else {})}
    return {**TUNED, "recipe": recipe if batch >= Recipe.batch_size else {**recipe, "batch_size": batch}}


def _fewest_images(dataset: Dataset) -> int | None:
    """Return the size of the smallest class; None if the test images are given or there are too few groups."""
    if dataset.given_split is not None and bool((dataset.given_split == "test").any()):
        return None
    if dataset.groups is not None and len(set(dataset.groups.tolist())) < FOLDS:
        return None
    counts = dataset.labels.sum(0) if dataset.multi_label else np.bincount(dataset.labels)
    return int(min(count for count in counts.tolist() if count))


def source_of(data: Data) -> str:
    """Return the name or path of these images for a study; images from Python are written to the cache.

    Raises:
        SpecError: it does not contain images and labels.
        DataError: the images and the labels do not match.
    """
    if isinstance(data, str | Path):
        return str(data)
    if isinstance(data, Mapping | Dataset):
        return str(written(data))
    raise SpecError(
        f"data is a path, the name of a dataset, {{'images': …, 'labels': …}} or what load_dataset returns,"
        f" not {type(data).__name__}"
    )


def _named_data(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `data` of a study that is a mapping; a path to the cache replaces images from Python."""
    data = study.get("data")
    if isinstance(data, Dataset) or (isinstance(data, Mapping) and "images" in data):
        return {"data": {"source": source_of(data)}}
    if isinstance(data, Mapping) and isinstance(data.get("source"), Dataset | Mapping | Path):
        return {"data": {**data, "source": source_of(data["source"])}}
    return {"data": str(data)} if isinstance(data, Path) else {}


def _is_budget(budget: str) -> bool:
    try:
        return parse_duration(budget) > 0
    except ValueError as error:
        raise SpecError(f"budget: {error}") from error


def _can_tune() -> bool:
    """Say whether networks can be trained here; if not, tell the user which extra to install."""
    try:
        require("lightning", "tuned networks are left out of this comparison: training", "tune")
    except MissingExtra as error:
        say(str(error))
        return False
    return True


__all__ = ["Results", "Study", "compare", "compare_spec"]
