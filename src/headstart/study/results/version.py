"""A study of other images does not overwrite the results of an earlier one: it has a name of its own."""

from __future__ import annotations

from pathlib import Path

from headstart.errors import StoreError
from headstart.progress import say
from headstart.storage.names import folder_name
from headstart.study.results.folder import StudyFolder

_DIGITS = 6  # of the fingerprint, in the name


def study_folder(out: str | Path, name: str) -> StudyFolder:
    """Return the folder of the study of this name."""
    return StudyFolder(Path(out) / folder_name(name))


def versioned_name(out: str | Path, name: str, fingerprint: str) -> str:
    """Return the name of a study of these images: as it is, unless the study of that name in `out` is of others.

    Then the beginning of the images' fingerprint is added, so that the same images always have the same name.
    """
    folder = study_folder(out, name)
    if not (folder.root / "study.json").is_file():
        return name
    before = _fingerprints(folder)
    return name if not before or fingerprint in before else f"{name}-{fingerprint[:_DIGITS]}"


def _fingerprints(folder: StudyFolder) -> set[str]:
    """Return of which images a study is; where its study.json is damaged, as the folders of its data are named."""
    try:
        found = folder.read_study().get("fingerprint")
    except StoreError:
        say(f"{folder.root / 'study.json'}: damaged; it will be rewritten")
        return {path.name for path in folder.data_folder("x").parent.glob("*")}
    return set() if found is None else {found}
