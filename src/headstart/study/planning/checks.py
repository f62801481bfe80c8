"""Checks that refuse a run before anything is computed."""

from __future__ import annotations

from headstart.data.dataset import Split
from headstart.errors import DataError, HeadstartError, MissingExtra, ModelError, SpecError, Unsuitable, WeightsAbsent
from headstart.evaluate.metrics.guards import check_classes
from headstart.evaluate.uncertainty.costs import costs_of
from headstart.models.architectures.catalogue import find_architecture
from headstart.models.backbone import Backbone
from headstart.study.resources import Resources
from headstart.study.spec.run import ResolvedStudy, Run
from headstart.study.spec.schema import AS_IS, DISTIL, TUNED
from headstart.study.spec.settings import check_settings, ends, head_options, recipe_of
from headstart.study.task import Task
from headstart.transfer.augment.augment import RGB_ONLY
from headstart.transfer.heads.catalogue import HEADS
from headstart.transfer.heads.fit import check_head


def check_evaluate_only(run: Run, study: ResolvedStudy, resources: Resources) -> None:
    """Refuse a run that would evaluate another run's network on classes that it does not know.

    Raises:
        DataError: the classes differ; the message names them and what to do instead.
        SpecError: the run names another backbone than its source.
    """
    if run.spec.strategy != AS_IS:
        return
    source = study.run(str(run.needs))
    first = source
    while first.spec.strategy == AS_IS:  # its classes are those of the run that learned them
        first = study.run(str(first.needs))
    ours, theirs = find_architecture(run.spec.backbone), find_architecture(source.spec.backbone)
    if (ours.library, ours.name) != (theirs.library, theirs.name):
        raise SpecError(
            f"{run.called} evaluates the network of {source.name!r}, which is a {source.spec.backbone};"
            f" set backbone: {source.spec.backbone}"
        )
    known, asked = resources.dataset(first.data), resources.dataset(run.data)
    try:
        if known.multi_label != asked.multi_label:
            raise DataError("one has several labels per image and the other has one; train a new head")
        check_classes(known.classes, asked.classes)
    except DataError as error:
        raise DataError(f"{run.called} ({first.name!r} on {asked.name}): {error}") from error


def check_costs(study: ResolvedStudy, resources: Resources) -> None:
    """Refuse costs of classes that the study's own images do not have.

    Raises:
        SpecError: which class.
    """
    spec = study.spec.costs
    if spec is not None:
        dataset = resources.dataset(study.spec.data)
        if dataset.multi_label:
            raise SpecError("costs: they need one label per image, and these images have several; drop costs")
        costs_of(dataset.classes, spec.confusions, mistake=spec.mistake, ask=spec.ask)


def check_run(run: Run, resources: Resources) -> None:
    """Refuse images of a single class, and settings that the network or the head cannot take.

    Raises:
        DataError, SpecError, ModelError: the fault, with its key.
    """
    dataset = resources.dataset(run.data)
    if len(dataset.classes) < 2:
        raise DataError(f"{dataset.name}: has only one class ({dataset.classes[0]}); a classifier needs two")
    if dataset.bands is not None:
        _check_colours(run)
    check_settings(run, None if run.needs is not None else _backbone(run, resources))


def _check_colours(run: Run) -> None:
    """Refuse augmentations that are made of red, green and blue, where the images have bands.

    Raises:
        SpecError: the augmentation.
    """
    if run.spec.strategy not in TUNED and not run.spec.recipe.get("augment"):
        return
    names = {name for values in run.configurations() for name in recipe_of(run.with_values(values)).augment}
    coloured = [name for name in RGB_ONLY if name in names]
    if coloured:
        raise SpecError(
            f"{run.called}: recipe.augment: {coloured[0]} changes colours, and these images have bands; take flips,"
            " crops, rotation or random_erasing"
        )


def _backbone(run: Run, resources: Resources) -> Backbone:
    """Return the network that the run starts from; what is wrong with its name, size or weights names the run."""
    try:
        return resources.loaded(run.network, 0).backbone
    except (WeightsAbsent, Unsuitable):  # set aside with the run's name, and the study continues
        raise
    except MissingExtra as error:
        raise MissingExtra(f"{run.called}: {error.what}", error.extra) from error
    except (ModelError, SpecError) as error:
        raise type(error)(f"{run.called}: {error}") from error


def check_weights(run: Run, resources: Resources, seed: int) -> None:
    """Refuse a run whose checkpoint holds values that are not numbers, as that of a training that diverged does.

    Raises:
        Unsuitable: which tensor.
    """
    if run.needs is None and (name := resources.loaded(run.network, seed).not_finite):
        weights = run.spec.weights.path or run.spec.weights.name
        raise Unsuitable(f"the weights {weights} cannot be used: {name} holds NaN or infinite values")


def check_choosing(run: Run, resources: Resources, seed: int) -> None:
    """Refuse options that a head cannot take, and choices without validation images."""
    dataset, held = resources.dataset(run.data), len(resources.split(run.data, seed, run.subset).validation)
    if run.spec.head_kind is not None and run.spec.episodes is None:
        try:
            check_head(
                run.spec.head_kind,
                head_options(run),
                multi_label=dataset.multi_label,
                has_validation=held > 0,
                metric=run.metric,
            )
        except HeadstartError as error:
            raise type(error)(f"{run.called}: {error}") from error
    elif run.spec.strategy in TUNED and run.tries > 1 and not held:
        raise SpecError(
            f"{run.called}: has {run.tries} configurations and no validation images to choose on;"
            " set split.validation above 0"
        )


def check_batches(run: Run, resources: Resources, seed: int) -> None:
    """Refuse a tuned run with fewer images than a batch; with shots or a fraction the batch shrinks instead.

    Raises:
        Unsuitable: how many there are.
    """
    spec = run.spec
    if spec.strategy not in TUNED or spec.shots is not None or spec.fraction is not None:
        return
    rows = len(resources.split(run.data, seed, run.subset).train)
    batch = max(recipe_of(run.with_values(values)).batch_size for values in [*run.configurations(), *ends(run)])
    if rows < batch:
        raise Unsuitable(f"{rows} training images are fewer than one batch of {batch}; set batch_size: {rows} or less")


def check_labels(run: Run, resources: Resources) -> None:
    """Refuse a run whose head or loss cannot take the labels of its images.

    Raises:
        Unsuitable: what it needs.
    """
    spec, many = run.spec, resources.dataset(run.data).multi_label
    if spec.episodes is not None:
        return
    if spec.head_kind is not None and many and not HEADS[spec.head_kind].multi_label:
        raise Unsuitable(
            f"{spec.head_kind} takes one label per image, and these images have several; use logistic or ridge"
        )
    if spec.strategy in TUNED:
        losses = {recipe_of(run.with_values(values)).loss for values in [*run.configurations(), *ends(run)]}
        if many and losses != {"bce"}:
            raise Unsuitable("images with several labels need recipe loss: bce")
        if not many and "bce" in losses:
            raise Unsuitable("recipe loss bce needs images with several labels; use cross_entropy")


def starts_fitted(task: Task, split: Split) -> bool:
    """Return whether the head is fitted first: with distil, and with lp_ft unless `probe_epochs` wants gradient steps.

    Without validation rows the penalty cannot be chosen, and the head learns by gradient steps.
    """
    spec = task.run.spec
    asked = spec.strategy == "lp_ft" and not spec.probe_epochs
    return (asked or (spec.strategy == DISTIL and spec.weights.name != "none")) and len(split.validation) > 0
