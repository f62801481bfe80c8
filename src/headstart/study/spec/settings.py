"""A run's settings as the values that training takes, checked for every candidate before anything is computed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_type_hints

from headstart.errors import HeadstartError, SpecError, choose, unknown_name
from headstart.fewshot.finetune_episode import NAME as FINETUNE
from headstart.fewshot.finetune_episode import FinetuneOptions
from headstart.fewshot.methods import METHODS
from headstart.fewshot.training import TrainingOptions
from headstart.models.backbone import Backbone
from headstart.models.pixels import NAME as PIXELS
from headstart.study.spec.run import Choice, Run
from headstart.study.spec.schema import AS_IS, DISTIL, EPISODIC, RunSpec
from headstart.study.spec.typed import typed
from headstart.transfer.finetune.recipe import Recipe, recipe_from
from headstart.transfer.finetune.recipe_defaults import default_layer_decay, default_recipe, distilled
from headstart.transfer.heads.catalogue import check_options
from headstart.transfer.strategy import HEAD, Strategy, resolve

AUTO = "auto"


LR = ("recipe", "lr")


def rate_is_found(spec: RunSpec) -> bool:
    """Return whether a range test finds the learning rate."""
    return bool(spec.recipe.get("lr") == AUTO)


def placeholder(spec: RunSpec) -> RunSpec:
    """Return the settings without `lr: auto`, so that the family's default rate applies."""
    recipe = {key: value for key, value in spec.recipe.items() if key != "lr"}
    return spec.model_copy(update={"recipe": recipe}) if rate_is_found(spec) else spec


_TUNING = (
    "freeze_until",
    "train_only",
    "layer_decay",
    "lora_rank",
    "lora_alpha",
    "thaw_every",
    "views",
    "probe_epochs",
)


def strategy_of(spec: RunSpec) -> Strategy:
    """Return the tuning strategy of a run; the network that it applies to is already truncated."""
    given = {name: getattr(spec, name) for name in _TUNING if getattr(spec, name) is not None}
    if "train_only" in given:
        given["train_only"] = tuple(given["train_only"])
    kind = spec.strategy
    if kind == DISTIL:  # what is learned is as of these; what it learns from is the teacher's
        kind = "scratch" if spec.weights.name == "none" else "fine_tune"
        if spec.train_only == [HEAD]:
            kind = "linear_probe"
            given.pop("train_only")
    if kind in ("fine_tune", "gradual", "lp_ft"):
        given.setdefault("layer_decay", default_layer_decay(spec.backbone))
    return Strategy(kind=kind, **given)


def recipe_of(spec: RunSpec) -> Recipe:
    """Return the recipe of a run: its family's default, overridden by the study's settings.

    Raises:
        SpecError: an unknown key or an invalid value.
    """
    own = {entry.name for entry in fields(Recipe)}
    for key in spec.recipe:
        if key in RunSpec.model_fields and key not in own:
            raise SpecError(f"recipe: {key!r} is a key of the run, not of its recipe; write it beside `recipe`")
    return recipe_from(placeholder(spec).recipe, _default_recipe(spec))


def _default_recipe(spec: RunSpec) -> Recipe:
    if spec.strategy != DISTIL:
        return default_recipe(spec.backbone, spec.strategy)
    return distilled(default_recipe(spec.backbone, "scratch" if spec.weights.name == "none" else "lp_ft"))


def is_whole(choice: Choice) -> bool:
    """Return whether a range is of whole numbers: its ends are whole, and the setting is not a float."""
    bounds, name = choice.search or {}, choice.path[-1]
    if choice.path[0] == "recipe":
        hint = get_type_hints(Recipe).get(name, int)
    else:
        hint = RunSpec.model_fields[name].annotation if name in RunSpec.model_fields else int
    ends = (bounds.get("low"), bounds.get("high"))
    return all(isinstance(end, int) for end in ends) and not _has_float(hint)


def _has_float(hint: Any) -> bool:
    """Return whether a type is, or holds, a float: also inside of Annotated and of a union."""
    return hint is float or any(_has_float(part) for part in get_args(hint))


def head_options(run: Run) -> dict[str, object]:
    """Return the options of a run's head; lists where several values are tried."""
    options = {**run.spec.head, **run.spec.recipe}
    for choice in run.choices:
        options[choice.path[-1]] = list(choice.values)
    return options


def training_options(spec: RunSpec, seed: int) -> TrainingOptions:
    """Return how a network is trained for episodes: its recipe's keys are those of TrainingOptions.

    Raises:
        SpecError: an unknown key or an invalid value.
    """
    assert spec.episodes is not None
    known = {entry.name for entry in fields(TrainingOptions)} - {"objective", "seed"}
    for key in spec.recipe:
        if key not in known:
            raise SpecError(unknown_name(f"recipe key of {spec.strategy}", key, known, limit=30))
    episodes = spec.episodes
    given = {
        "ways": episodes.ways,
        "shots": episodes.shots,
        "test_ways": episodes.ways,
        "test_shots": episodes.shots,
        "test_queries": episodes.queries,
        "test_episodes": episodes.episodes,
    }
    recipe = typed(TrainingOptions, spec.recipe, "recipe")
    return TrainingOptions(objective=EPISODIC[spec.strategy], seed=seed, **{**given, **recipe})


def finetune_options(spec: RunSpec) -> FinetuneOptions:
    """Return how a network is tuned in every episode.

    Raises:
        SpecError: an unknown key or an invalid value.
    """
    assert spec.episodes is not None
    known = {entry.name for entry in fields(FinetuneOptions)}
    for key in spec.episodes.options:
        if key not in known:
            raise SpecError(f"episodes.options: {unknown_name('key', key, known)}")
    return FinetuneOptions(**typed(FinetuneOptions, spec.episodes.options, "episodes.options"))


def check_settings(run: Run, backbone: Backbone | None) -> None:
    """Refuse a run whose recipe, head options, stages or strategy are invalid for any candidate.

    Args:
        run: the run.
        backbone: its network, or None if another run has yet to produce it.

    Raises:
        SpecError, ModelError: one line that names the run.
    """
    try:
        if run.spec.strategy in EPISODIC:
            training_options(run.spec, 0)
            return
        if run.spec.episodes is not None:
            _check_episodes(run.spec, backbone)
            return
        if run.spec.head_kind is not None:
            _check_head(run)
            return
        if run.spec.strategy == AS_IS:
            if run.spec.recipe or run.spec.head or run.choices:
                raise SpecError(
                    "strategy 'as_is' learns nothing and chooses nothing; drop recipe, head, grid and search"
                )
            return
        _check_choices(run)
        for values in [*run.configurations(), *ends(run)]:
            spec = run.with_values(values)
            strategy, recipe = strategy_of(spec), recipe_of(spec)
            if backbone is not None and backbone.name != PIXELS:
                resolve(strategy, backbone, recipe.epochs)
    except HeadstartError as error:
        raise type(error)(f"{run.called}: {error}") from error


def _check_episodes(spec: RunSpec, backbone: Backbone | None) -> None:
    assert spec.episodes is not None
    choose("few-shot method", spec.episodes.method, {**METHODS, FINETUNE: None})
    if spec.episodes.method == FINETUNE:
        if spec.backbone == PIXELS:
            raise SpecError("backbone 'pixels' has no network to tune in episodes; use another method")
        options = finetune_options(spec)
        if backbone is not None:
            backbone.index(options.freeze_until)
    elif spec.episodes.options:
        raise SpecError(f"episodes.options are for method {FINETUNE}; {spec.episodes.method} has none")


def _check_choices(run: Run) -> None:
    for choice in run.choices:
        name, bounds = ".".join(choice.path), choice.search or {}
        if choice.path == LR and AUTO in (*choice.values, *bounds.get("choices", ())):
            raise SpecError(f"{name}: 'auto' cannot be one of several values; set lr: auto alone, or list rates")
        step = bounds.get("step")
        if is_whole(choice) and step is not None and step != int(step):
            raise SpecError(f"{name}: takes whole numbers, so step must be whole, got {step!r}")


def ends(run: Run) -> list[dict[tuple[str, ...], object]]:
    """Return the ends of each range and each of its choices: if these are valid, so are the values between."""
    found: list[dict[tuple[str, ...], object]] = []
    for choice in run.choices:
        if choice.search is not None:
            values = choice.search.get("choices", [choice.search.get("low"), choice.search.get("high")])
            found += [{choice.path: value} for value in values]
    return found


def _check_head(run: Run) -> None:
    kind = run.spec.head_kind
    assert kind is not None
    if rate_is_found(run.spec):
        raise SpecError("lr: auto is for tuned networks; give a head a grid of rates, which costs little")
    for name, value in {**run.spec.head, **run.spec.recipe}.items():
        if isinstance(value, list) and not value:
            raise SpecError(f"{name} is an empty list; give at least one value")
    for choice in run.choices:
        if choice.path[0] not in ("head", "recipe"):
            raise SpecError(f"a head cannot choose {'.'.join(choice.path)}; use each to compare separate runs")
        if choice.search is not None:
            raise SpecError(f"{'.'.join(choice.path)}: a head takes a grid, which costs little, not a search")
    check_options(kind, head_options(run))


WHOLE = frozenset({"random_crop", "random_resized_crop"})  # augmentations that need more than the centre of an image
