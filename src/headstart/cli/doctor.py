"""What `doctor` prints: versions, devices, threads, the cache and the extras.

Packages and extras come from headstart's package metadata, so that pyproject.toml is the only list of them.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from packaging.requirements import Requirement

from headstart.cli.tables import show_facts, show_line
from headstart.version import VERSION

PACKAGE = "headstart"
_SHOWN = 4  # packages of an extra on its line
_DEVELOPERS = ("test", "dev", "docs", "bench")  # extras for those who change headstart


@dataclass(frozen=True)
class Extra:
    """An extra of the package.

    Args:
        packages: its packages with the installed version, or None.
        missing: unmet requirements, including those of nested extras.
        install: the command that installs it.
    """

    packages: dict[str, str | None]
    missing: list[str]
    install: str

    def __str__(self) -> str:
        if not self.missing:
            return _some([f"{name} {version}" for name, version in self.packages.items()])
        return f"{self.install}   (needs {_some(self.missing)})"


def show_doctor(*, as_json: bool) -> None:
    """Print versions, devices, threads, the cache and the extras."""
    import torch

    from headstart.devices import default_device
    from headstart.storage.store import cache_root
    from headstart.threads import cores

    required = requirements(distribution(PACKAGE))
    facts: dict[str, Any] = {
        "headstart": VERSION,
        "python": f"{platform.python_version()} ({sys.executable})",
        **{each.name: version_of(each.name) for each in required},
        "device": default_device(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cores": cores(),
        "torch threads": torch.get_num_threads(),
        "cache": str(cache_root()),
    }
    missing = [line for each in required for line in unmet(each)]
    found = extras(distribution(PACKAGE))
    if as_json:
        print(json.dumps({**facts, "missing": missing, "extras": {name: asdict(each) for name, each in found.items()}}))
        return
    show_line(f"{_required(missing)} {_optional(found)}")
    print()
    show_facts(facts)
    for title, developers in (("extras: versions, or the command that installs them", False), ("for developers", True)):
        print(f"\n{title}")
        show_facts({f"  {name}": str(each) for name, each in found.items() if (name in _DEVELOPERS) == developers})


def _required(missing: list[str]) -> str:
    if not missing:
        return f"{PACKAGE} {VERSION} is ready: all required packages are installed."
    packages = "1 required package" if len(missing) == 1 else f"{len(missing)} required packages"
    return f"{PACKAGE} {VERSION} lacks {packages}: pip install {' '.join(map(repr, missing))}."


def _optional(found: dict[str, Extra]) -> str:
    wanted = {name: each for name, each in found.items() if name not in _DEVELOPERS}
    absent = [name for name, each in wanted.items() if each.missing]
    if not absent:
        return f"All extras ({len(wanted)}) are installed."
    return (
        f"Extras not installed: {len(absent)} of {len(wanted)}; pip install '{PACKAGE}[{','.join(absent)}]' adds them."
    )


def _some(words: list[str]) -> str:
    """Return the first words of a list, and the number of the others."""
    rest = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def extras(package: Distribution) -> dict[str, Extra]:
    """Return each extra of a package and whether it is installed, in the order of its metadata."""
    name = package.metadata["Name"]
    found = {}
    for extra in package.metadata.get_all("Provides-Extra") or []:
        parts = requirements(package, extra)
        found[extra] = Extra(
            packages={part.name: version_of(part.name) for part in parts if part.name != name},
            missing=list(dict.fromkeys(line for part in parts for line in unmet(part))),
            install=f"pip install '{name}[{extra}]'",
        )
    return found


def requirements(package: Distribution, extra: str = "") -> list[Requirement]:
    """Return the requirements of a package on this platform, or only those that an extra adds."""
    parts = [Requirement(line) for line in package.requires or []]
    always = [part for part in parts if part.marker is None or part.marker.evaluate({"extra": ""})]
    if not extra:
        return always
    return [part for part in parts if part not in always and part.marker and part.marker.evaluate({"extra": extra})]


def unmet(requirement: Requirement) -> list[str]:
    """Return the unmet requirements, as pip writes them: the package itself, or packages of its extras."""
    version = version_of(requirement.name)
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        return [f"{requirement.name}{requirement.specifier}"]
    package = distribution(requirement.name)
    parts = [part for extra in sorted(requirement.extras) for part in requirements(package, extra)]
    return [line for part in parts for line in unmet(part)]


def version_of(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None
