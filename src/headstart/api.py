"""The Python API: a study from a file or a mapping, and `compare`, which needs no file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.dataset import Dataset
from headstart.deploy.classifier import Classifier
from headstart.errors import StoreError
from headstart.models.refitted import REFITTED, Refitted
from headstart.storage.presence import at_work
from headstart.study.comparison import Data, compare_spec, source_of
from headstart.study.execution.session import Listener
from headstart.study.planning.describe import PlanRows, describe
from headstart.study.results.folder import StudyFolder
from headstart.study.results.state import kept_words
from headstart.study.results.version import study_folder, versioned_name
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.study.spec.run import ResolvedStudy

OUT = "headstart-runs"


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

    def _repr_html_(self) -> str:
        from headstart.report.read.summary import load_summary
        from headstart.report.render.notebook.studies import study_html

        return str(study_html(load_summary(self.folder), str(self.folder)))

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
            "findings": plain(summary.findings),
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
        smoke: apply the file's `smoke` block, a small and quick version of the study.

    Raises:
        SpecError: the study file is invalid; the message names the place.
    """

    def __init__(
        self, source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, smoke: bool = False
    ) -> None:
        named = source if isinstance(source, str | Path) else {**source, **_named_data(source)}
        self.study: ResolvedStudy = load_study(named, overrides, smoke=smoke)

    def plan(self, out: str | Path = OUT, device: str = "auto", *, strict: bool = False) -> PlanRows:
        """Return what would be computed, what is shared, what is cached already and what is unavailable.

        Each row says the seconds, bytes on disk and peak memory of its stages, from short measurements on this
        machine, which are cached. Nothing else is computed. With `strict`, unavailable weights or images are an
        error.
        """
        from headstart.storage.opening import default_store_in_use
        from headstart.study.planning.cost import with_costs
        from headstart.study.planning.planner import make_plan
        from headstart.study.resources import Resources

        with default_store_in_use() as store:
            resources = Resources(store, device)
            plan = make_plan(self.study, resources, strict=strict)
            folder = study_folder(out, versioned_name(out, self.study.spec.name, plan.fingerprint))
            return PlanRows(with_costs(describe(plan, resources, folder), plan, resources, folder))

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
        """Run what is not finished yet, write the report, and return the results.

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

            folder.read_study()  # an error where the folder has just been moved: `at_work` would make it again
            with at_work(folder.root):
                write_html(folder.root, folder.root / "report.html")
        return Results(folder.root)


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


def _named_data(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `data` of a study that is a mapping; a path to the cache replaces images from Python."""
    data = study.get("data")
    if isinstance(data, Dataset) or (isinstance(data, Mapping) and "images" in data):
        return {"data": {"source": source_of(data)}}
    if isinstance(data, Mapping) and isinstance(data.get("source"), Dataset | Mapping | Path):
        return {"data": {**data, "source": source_of(data["source"])}}
    return {"data": str(data)} if isinstance(data, Path) else {}


__all__ = ["Results", "Study", "compare", "compare_spec"]
