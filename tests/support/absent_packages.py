"""Runs commands of the command line as if some packages were not installed.

`python absent_packages.py PACKAGE,PACKAGE… COMMAND… [-- COMMAND…]`; it ends at the first command that fails.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from itertools import groupby
from types import ModuleType


def without(names: Iterable[str]) -> list[object]:
    """Return `sys.meta_path` with a finder that does not find these packages."""
    hidden = frozenset(names)

    class Finder(PathFinder):
        @classmethod
        def find_spec(
            cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
        ) -> ModuleSpec | None:
            return None if fullname.partition(".")[0] in hidden else super().find_spec(fullname, path, target)

    return [Finder if finder is PathFinder else finder for finder in sys.meta_path]


def main(packages: str, arguments: list[str]) -> None:
    """Run the commands, which `--` separates."""
    sys.meta_path[:] = without(packages.split(","))  # type: ignore[assignment]
    from headstart.cli.main import main as run

    for is_separator, command in groupby(arguments, "--".__eq__):
        if is_separator:
            continue
        try:
            run(list(command))
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
