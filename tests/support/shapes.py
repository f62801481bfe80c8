"""Enforces the annotated shapes and types of arrays: in the first calls of each function in each test.

A test that calls a small function a hundred thousand times would otherwise spend most of its time on the same check.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from operator import attrgetter
from types import FunctionType
from typing import Any

from beartype import beartype
from jaxtyping import install_import_hook

CALLS = 20  # two checks each: of the arguments, and of what is returned
_checks: list[_Check] = []  # that were made in this test


def enforce(areas: list[str]) -> None:
    """Check the functions of these packages, which are not yet imported, against their annotations."""
    install_import_hook(areas, "shapes.checked")


def begin() -> None:
    """Begin to count for another test."""
    for check in _checks:
        check.begin()
    _checks.clear()


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same function with a check of its arguments, which is made when it is first called."""
    check = _Check(function)

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        return check(*given, **named)

    return call


class _Check:
    """The check of one function, which jaxtyping calls before or after the function itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.made, self.calls, self.silent = function, False, 0, None

    def __call__(self, *given: Any, **named: Any) -> Any:
        if not self.made:
            self.made = True  # at once: making a check imports modules, and the function may be one that finds them
            try:
                self.function = beartype(self.function)
            except BaseException:
                self.made = False
                raise
        if self.calls == 0:
            _checks.append(self)
        self.calls += 1
        if self.calls == CALLS:
            self._silence()
        return self.function(*given, **named)

    def begin(self) -> None:
        """Check again."""
        self.calls = 0
        if self.silent is not None:
            del self.silent.__no_type_check__
            self.silent = None

    def _silence(self) -> None:
        """Tell jaxtyping to call the function alone, where it can be found by its name: not inside of another one."""
        module, name = sys.modules[self.function.__module__], self.function.__qualname__
        try:
            found = attrgetter(name)(module)
        except AttributeError:
            return
        found = getattr(found, "__func__", found)  # of a class method
        if isinstance(found, FunctionType) and "__no_type_check__" not in vars(found):
            found.__no_type_check__ = True  # type: ignore[attr-defined]
            self.silent = found
