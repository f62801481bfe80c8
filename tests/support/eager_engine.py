"""Frozen networks run by PyTorch: for a few images, exporting one to ONNX takes longer than its pass."""

from __future__ import annotations

import pytest

from headstart.transfer.frozen import engine


def without_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every engine run its network as it does where a network cannot be exported to ONNX."""
    monkeypatch.setattr(engine, "export_onnx", lambda module, example: None)
