"""Files of Python, parsed once for all tests of a process that look at them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def tree(path: Path) -> ast.Module:
    """Return what the file says, to be read only."""
    return ast.parse(path.read_text(encoding="utf-8"))
