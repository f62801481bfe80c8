"""What an export does by default; read by the command line, which must start without the libraries of an export."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.errors import SpecError, choose

EXPORTS = "headstart-exports"  # the folder
MARGIN = 0.5  # points of validation accuracy that int8 may cost
FORMATS = ("onnx", "torch", "server", "huggingface", "page")


def check_options(targets: Sequence[str], margin: float, check: int | None) -> None:
    """Refuse what no model can be exported with, before any is read.

    Args:
        targets: the formats.
        margin: points of validation accuracy that int8 may cost.
        check: the number of pictures to check files on.

    Raises:
        SpecError: an unknown format or none, or a number that cannot be.
    """
    check_formats(targets)
    if check is not None and check < 1:
        raise SpecError(f"check = {check} pictures: it must be at least 1")
    if not margin >= 0:
        raise SpecError(f"margin = {margin:g} points of accuracy: it must be 0 or more")


def check_formats(targets: Sequence[str]) -> None:
    """Refuse formats that do not exist, and that there are none.

    Raises:
        SpecError: so it is.
    """
    for name in targets:
        choose("export format", name, dict.fromkeys(FORMATS))
    if not targets:
        raise SpecError(f"no export format is named (known: {', '.join(FORMATS)})")
