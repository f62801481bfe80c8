"""Networks built without drawing random weights, for those that are filled from a file afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DRAWS: set[Callable[..., Any]] = {
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.xavier_uniform_,
    nn.init.xavier_normal_,
    nn.init.kaiming_uniform_,
    nn.init.kaiming_normal_,
    Tensor.uniform_,
    Tensor.normal_,
}
_SHAPES: set[Callable[..., Any]] = {Tensor.erfinv_, Tensor.mul_, Tensor.add_, Tensor.clamp_}  # a truncated normal


_active = ContextVar("_active", default=False)


class WeightsNeededError(Exception):
    """What is done with a network inside `Undrawn` depends on its weights."""


def need_weights() -> None:
    """Refuse to continue where weights are not drawn."""
    if _active.get():
        raise WeightsNeededError


class Undrawn(TorchFunctionMode):
    """Leaves parameters as the memory was that they got, where random numbers would fill them.

    Whoever uses it fills every parameter. Buffers, and tensors that are no parameters themselves, get their values.
    """

    def __enter__(self) -> Undrawn:
        self._token = _active.set(True)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        _active.reset(self._token)

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do what the function does, unless it draws the values of a parameter."""
        named = kwargs or {}
        if function in _DRAWS or function in _SHAPES:
            target = args[0] if args else named.get("tensor")
            if isinstance(target, nn.Parameter):
                return target
        return function(*args, **named)
