"""The schema of study files: frozen, typed values, validated once, when a file is read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from headstart.errors import unknown_name
from headstart.evaluate.comparison.training_images import FEWEST_SAMPLES
from headstart.evaluate.metrics.scoring import METRICS
from headstart.explain.names import EXPLAINER_NAMES
from headstart.study.spec.band_settings import ReadBands, ShownBands
from headstart.study.spec.origins import TeacherSpec, check_taught, given_teacher, given_weights
from headstart.study.spec.origins import WeightsSpec as WeightsSpec
from headstart.study.spec.tracker import Tracker
from headstart.study.spec.value import Spec
from headstart.transfer.heads.catalogue import HEADS
from headstart.units import parse_duration

DISTIL = "distil"  # learns the soft labels of a teacher
TUNED = ("scratch", "fine_tune", "gradual", "lora", "norm_only", "lp_ft", DISTIL)
EPISODIC = {"protonet": "episodes", "pretrain": "classes"}  # strategies that train for episodes, and their objectives
AS_IS = "as_is"  # evaluates another run's network without learning
MAX_SEEDS = 1_000
MAX_SIDE = 4096  # px
STRATEGIES = ("linear_probe", AS_IS, *HEADS, *TUNED, *EPISODIC)


class SplitSpec(Spec):
    """How rows are divided; see headstart.data.splits.

    With `fold: seed`, seed s is tested on fold s modulo `folds`, and every `folds` seeds the rows are divided anew:
    cross-validation, repeated.
    """

    given: bool | list[str] = True
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.2
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2
    folds: Annotated[int, Field(ge=2, le=10_000)] | None = None
    fold: Annotated[int, Field(ge=0)] | Literal["seed"] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _folds_by_seed(self) -> SplitSpec:
        if self.fold == "seed" and self.folds is None:
            raise ValueError("split.fold: seed needs split.folds, such as folds: 5")
        return self

    def fold_of(self, seed: int) -> tuple[int | None, int]:
        """Return which fold is tested with this seed of a run, and the seed of the division into folds."""
        if self.fold != "seed":
            return self.fold, self.seed
        assert self.folds is not None
        return seed % self.folds, self.seed + seed // self.folds

    def words(self, seed: int) -> str:
        """Return what this seed of a run is, for people: "seed 3", or "fold 4 of 5, repeat 1"."""
        if self.fold != "seed" or self.folds is None:
            return f"seed {seed}"
        return f"fold {seed % self.folds + 1} of {self.folds}, repeat {seed // self.folds + 1}"


def _source(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class DataSpec(Spec):
    """Which images, and how they are split."""

    source: Annotated[str, AfterValidator(os.path.expandvars)]
    label: str | None = None
    classes: list[str] | Annotated[int, Field(ge=2)] | None = None
    split: SplitSpec = SplitSpec()
    drop_duplicates: bool | Literal["near"] = False
    strict: bool = False
    limit: Annotated[int, Field(ge=1)] | None = None
    name: str | None = None
    unlabelled: Annotated[str, AfterValidator(os.path.expandvars)] | None = None
    corrections: Annotated[str, AfterValidator(os.path.expandvars)] | None = None
    bands: ReadBands = None
    show: ShownBands = None

    @model_validator(mode="after")
    def _bands_are_measured(self) -> DataSpec:
        if self.show is not None and self.bands is None:
            raise ValueError("data.show says how bands are shown; give data.bands, too, such as bands: all")
        if self.bands is not None and self.split.fold == "seed":
            raise ValueError("data.bands is measured on training images, which change with fold: seed; give one fold")
        return self


class ClassSplitSpec(Spec):
    """The classes for training, for model selection and for testing."""

    base: list[str]
    validation: list[str]
    novel: list[str]


class EpisodesSpec(Spec):
    """N-way K-shot tasks drawn from images that the network has not learned from, of all classes or of some.

    `method` classifies cached features, or is `finetune`, which tunes the network in every episode, with `options`.
    `split` is for strategies that train for episodes: "given" (train, validation and test images are of
    different classes), "random" (64, 16 and 20 % of the classes) or the class names.
    """

    ways: Annotated[int, Field(ge=2)] = 5
    shots: Annotated[int, Field(ge=1)] = 5
    queries: Annotated[int, Field(ge=1)] = 15
    episodes: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    method: str = "prototypes"
    options: dict[str, Any] = {}
    classes: list[str] | None = None
    split: Literal["given", "random"] | ClassSplitSpec = "random"


Shots = Annotated[int, Field(ge=1)] | Literal["all"]


class RunSpec(Spec):
    """One run, after `each` was expanded and `grid` and `search` became choices."""

    data: Annotated[DataSpec, BeforeValidator(_source)] | None = None
    backbone: str = "efficientnet_lite0"
    weights: Annotated[WeightsSpec, BeforeValidator(given_weights)] = WeightsSpec(name="imagenet")
    strategy: str = "linear_probe"
    head: dict[str, Any] = {}
    freeze_until: str | None = None
    train_only: list[str] | None = None
    truncate_at: str | None = None
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    lora_rank: Annotated[int, Field(ge=1)] | None = None
    lora_alpha: Annotated[float, Field(gt=0)] | None = None
    thaw_every: Annotated[int, Field(ge=1)] | None = None
    views: Annotated[int, Field(ge=0)] | None = None
    probe_epochs: Annotated[int, Field(ge=0)] | None = None
    teacher: Annotated[TeacherSpec, BeforeValidator(given_teacher)] | None = None
    teacher_views: Literal["same", "plain"] | None = None
    temperature: Annotated[float, Field(gt=0, le=100)] | None = None
    hard_labels: Annotated[float, Field(ge=0, le=1)] | None = None
    input_size: Annotated[int, Field(ge=8, le=MAX_SIDE)] | None = None
    resize: Annotated[int, Field(ge=8, le=MAX_SIDE)] | None = None
    recipe: dict[str, Any] = {}
    refit: Literal["train+validation", "none"] | None = None
    shots: Shots | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    episodes: EpisodesSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _scratch_starts_from_nothing(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("strategy") == "scratch" and "weights" not in value:
            return {**value, "weights": "none"}
        return value

    @model_validator(mode="before")
    @classmethod
    def _learns_from_the_labels_of_its_part(cls, value: Any) -> Any:
        """Refit no run with fewer labels unless it is asked for: the validation images would add theirs."""
        if not isinstance(value, Mapping) or value.get("refit") is not None:
            return value
        part = value.get("shots") not in (None, "all") or value.get("fraction") not in (None, 1)
        return {**value, "refit": "none"} if part else value

    @field_validator("refit", mode="before")
    @classmethod
    def _refits_itself(cls, value: Any) -> Any:
        if value == "all":
            raise ValueError("'all' is a setting of the study; write `refit: all` beside `runs`")
        return value

    @field_validator("strategy")
    @classmethod
    def _known_strategy(cls, value: str) -> str:
        if value not in STRATEGIES:
            raise ValueError(unknown_name("strategy", value, STRATEGIES))
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> RunSpec:
        if self.strategy in EPISODIC and self.episodes is None:
            raise ValueError(
                f"strategy {self.strategy!r} trains for episodes; describe them: episodes: {{ways: 5, shots: 5}}"
            )
        if self.backbone == "pixels" and self.strategy not in ("linear_probe", *HEADS):
            raise ValueError("backbone 'pixels' has no network to tune; use strategy linear_probe")
        if self.strategy == "scratch" and self.weights.name != "none":
            raise ValueError("strategy 'scratch' starts from random weights; set weights: none")
        if self.strategy == AS_IS and (self.weights.run is None or self.episodes is not None):
            raise ValueError(
                "strategy 'as_is' evaluates another run's network; set weights: {run: NAME}, and drop episodes"
            )
        if self.strategy in HEADS and (self.freeze_until or self.train_only):
            raise ValueError(f"strategy {self.strategy!r} freezes every stage; drop freeze_until and train_only")
        if self.strategy == DISTIL:
            check_taught(self.teacher, episodes=self.episodes is not None)
        if self.shots is not None and self.fraction is not None:
            raise ValueError("shots and fraction exclude each other")
        return self

    @property
    def is_baseline(self) -> bool:
        """Return whether the run has no network, or does not look at the images: what a model must beat."""
        return self.backbone == "pixels" or (self.strategy in HEADS and HEADS[self.strategy].baseline)

    @property
    def head_kind(self) -> str | None:
        """The head solver that this run uses on cached features, or None if the network is tuned."""
        if self.strategy == "linear_probe":
            return None if self.recipe.get("augment") else ("sgd" if self.recipe else "logistic")
        return self.strategy if self.strategy in HEADS else None


class CompareSpec(Spec):
    """What the runs are compared by, and what every choice on validation follows.

    Differences up to `margin`, in the unit of the metric, do not matter: 0.01 is one point of accuracy.
    `training_images` is a number of bootstrap samples of the training images (20 is enough): heads on frozen features
    are fitted again on each, for a wider interval that also counts other training images; 0 leaves it out.
    """

    baseline: str | None = None
    metric: str = "accuracy"
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    training_images: Annotated[int, Field(ge=0, le=1000)] = 0

    @field_validator("training_images")
    @classmethod
    def _enough_samples(cls, value: int) -> int:
        if 0 < value < FEWEST_SAMPLES:
            raise ValueError(f"{value} bootstrap samples are too few: give {FEWEST_SAMPLES} or more, 20 if you can")
        return value

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        if value not in METRICS:
            raise ValueError(unknown_name("metric", value, METRICS))
        return value


Seed = Annotated[int, Field(ge=0, lt=2**32)]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class ExplainSpec(Spec):
    """What the report explains: the best run's worst mistakes, and pairs of runs on the same test images."""

    mistakes: Annotated[int, Field(ge=0)] = 0
    methods: Annotated[list[str], Field(min_length=1)] = ["lime", "grad_cam"]
    pairs: list[Pair] = []
    images: Annotated[int, Field(ge=1)] = 6

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in EXPLAINER_NAMES:
                raise ValueError(unknown_name("explainer", name, EXPLAINER_NAMES))
        return value


def _explain(value: Any) -> Any:
    return {"mistakes": value} if isinstance(value, int) else value


class SimilaritySpec(Spec):
    """Similarity of source and target: `sources` are runs on source images, `stages` pairs of networks."""

    sources: list[str] = []
    stages: list[Pair] = []
    images: Annotated[int, Field(ge=8)] = 2000


class HalvingSpec(Spec):
    """Successive halving: each rung trains the remaining candidates on more and keeps the best 1 / eta of them.

    `over` is what a rung reduces: labels, or epochs of tuned networks. `runs` are the candidates; by default
    all but baselines, episodes and chains.
    """

    eta: Annotated[int, Field(ge=2)] = 3
    rungs: Annotated[int, Field(ge=1, le=8)] = 2
    over: Literal["labels", "epochs"] = "labels"
    runs: Annotated[list[str], Field(min_length=2)] | None = None


Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class CostsSpec(Spec):
    """What answers cost: each mistake, some confusions (right class, answer, cost), and asking a person instead."""

    mistake: Cost = 1.0
    ask: Cost | None = None
    confusions: dict[str, dict[str, Cost]] = {}


_NAME = re.compile(r"[\w][\w .+-]*\Z")


class StudySpec(Spec):
    """A study file. `defaults` and `runs` stay plain mappings until `headstart.study.spec.load` expands them."""

    name: Annotated[str, Field(max_length=80)]
    question: str | None = None
    data: Annotated[DataSpec, BeforeValidator(_source)]
    seeds: Annotated[int, Field(ge=1, le=MAX_SEEDS)] | Annotated[list[Seed], Field(max_length=MAX_SEEDS)] = 3
    defaults: dict[str, Any] = {}
    networks: str | Annotated[list[str], Field(min_length=1)] | None = None
    licence: Literal["open"] | None = None
    runs: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    compare: CompareSpec = CompareSpec()
    costs: CostsSpec | None = None
    budget: str | None = None
    halving: HalvingSpec | None = None
    proxy: Annotated[int, Field(ge=20, le=100_000)] | None = None
    audit: bool = True
    explain: Annotated[ExplainSpec, BeforeValidator(_explain)] = ExplainSpec()
    similarity: SimilaritySpec | None = None
    ensembles: dict[str, Annotated[list[str], Field(min_length=2)]] = {}
    refit: Literal["all"] | None = None
    track: Tracker = None
    smoke: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_choice_of_networks(self) -> StudySpec:
        if self.networks is not None and "backbone" in self.defaults:
            raise ValueError("networks and defaults.backbone exclude each other: both say which network a run uses")
        if self.licence is not None and self.networks is None:
            raise ValueError("licence says which networks a line-up may have; give networks, too")
        return self

    @model_validator(mode="after")
    def _proxy_of_a_budget(self) -> StudySpec:
        if self.proxy is not None and self.budget is None:
            raise ValueError("proxy says on how many images a budget chooses its first network; give a budget, too")
        return self

    @field_validator("refit", mode="before")
    @classmethod
    def _refits_the_model(cls, value: Any) -> Any:
        if value not in (None, "all"):
            raise ValueError(
                f"{value!r:.40} is unknown; the study accepts only 'all' (every image, test images included);"
                " set a run's own refit in the run"
            )
        return value

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError(
                f"{value!r} cannot name a folder: begin with a letter or a digit, and use letters, digits, blanks and"
                " . + - _ only"
            )
        return value

    @field_validator("budget", mode="before")
    @classmethod
    def _is_duration(cls, value: Any) -> Any:
        if value is not None:
            parse_duration(value)
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: int | list[int]) -> int | list[int]:
        if isinstance(value, list) and (not value or len(set(value)) < len(value)):
            raise ValueError("seeds must be a number, or a list of different seeds")
        return value

    @property
    def seed_list(self) -> list[int]:
        """The seeds."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds
