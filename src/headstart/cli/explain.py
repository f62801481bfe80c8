"""What `explain` does and prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cli.outputs import check_file
from headstart.disclosure import show
from headstart.errors import SpecError, unknown_name
from headstart.progress import say

if TYPE_CHECKING:
    from headstart.explain.compare import Explained


def explain_and_show(
    model: Path,
    images: Sequence[str],
    methods: Sequence[str] | None,
    against: Path | None,
    *,
    target: str | None,
    out: Path,
    checks: bool,
    seed: int,
) -> None:
    """Explain predictions and write a picture; `against` adds a second network beside the first.

    Without `methods` by LIME and Grad-CAM, or by LIME alone where a network has no gradients or no positions.

    Raises:
        SpecError: the target is unknown, or `out` is a folder or no PNG file.
        DataError: an image is unreadable.
        ModelError: an explainer does not support the network.
    """
    from headstart.data.decoding.decode import decode_file
    from headstart.data.image_files import read_file
    from headstart.deploy.classifier import Classifier
    from headstart.explain.compare import Subject, columns_of, explain_pictures
    from headstart.explain.explainers import EXPLAINERS, default_explainers, find_explainer
    from headstart.explain.picture import gallery
    from headstart.storage.files import write_atomic

    _check_picture(out)
    for name in methods or ():
        find_explainer(name)
    subjects, said = [], []
    for place in [model] if against is None else [model, against]:
        folder, words = _one_network(place)
        said += words
        bundle = Classifier.load(folder).bundle
        if target is not None and target not in bundle.classes:
            raise SpecError(f"--target: {unknown_name('class', target, bundle.classes)}")
        subjects.append(Subject.of(_title(place), bundle))
    if not methods:
        methods, why = default_explainers([each.network for each in subjects])
        said += [] if why is None else [f"headstart: grad_cam is left out: {why}"]
    banded = any(each.network.backbone.preprocessing.bands is not None for each in subjects)
    pictures = [read_file(image) if banded else decode_file(image) for image in images]
    targets = None if target is None else [target] * len(pictures)
    for line in said:
        say(line)
    results = explain_pictures(subjects, pictures, methods, targets=targets, seed=seed)
    write_atomic(out, gallery(columns_of(results), captions=[Path(image).name for image in images]))
    for result in results:
        for row, image in enumerate(images):
            aim = int(result.targets[row])
            chance = float(result.probabilities[row, aim])
            show(f"{image}: {result.subject.title}: {result.subject.classes[aim]} {chance:.3f}")
        if checks:
            for name in methods:
                show(f"  {EXPLAINERS[name].title}: {_checks(result, name, seed)}")
    show(f"written: {out}")


def _check_picture(out: Path) -> None:
    check_file(out)
    if out.suffix.lower() != ".png":
        raise SpecError(f"--out {out}: choose a name that ends in .png")


def _one_network(place: Path) -> tuple[Path, list[str]]:
    """Return the folder of a study's best single network if its best model is an ensemble, or else the given place.

    With it comes a line that says which model of a study it is, and another one for an ensemble.
    """
    from headstart.study.results.folder import StudyFolder
    from headstart.study.results.state import kept_words
    from headstart.study.results.tested import single_network

    if not (place / "study.json").is_file():
        return place, []
    facts = StudyFolder(place).read_study()
    words, network = kept_words(facts), kept_words(facts, "best_network")
    said = [] if words is None else [f"headstart: the model is {words}"]
    if network is None:
        return place, said
    why = f"headstart: an ensemble cannot be explained; this is its study's best network, {network}"
    return single_network(place), [*said, why]


def _title(place: Path) -> str:
    return place.parent.name if place.is_file() else place.name


def _checks(result: Explained, name: str, seed: int) -> str:
    from headstart.explain.faithfulness import faithfulness
    from headstart.explain.sanity import randomisation_check

    network, maps = result.subject.network, result.maps[name]
    mean = faithfulness(network, result.images, maps, result.targets, seed=seed)["mean"]
    check = randomisation_check(network, result.images, result.targets, name, maps=maps, seed=seed)
    return (
        f"deletion {mean['deletion']:.3f} (random map {mean['random_deletion']:.3f}),"
        f" insertion {mean['insertion']:.3f} (random map {mean['random_insertion']:.3f});"
        f" rank correlation after the weights are shuffled {check['correlation'][-1]:.2f}{_reference(check)}"
    )


def _reference(check: dict[str, Any]) -> str:
    between = check["different_images"]
    return "" if between is None else f" (maps of two different images: {between:.2f})"
