"""What an export does by default; read by the command line, which must start without the libraries of an export."""

from __future__ import annotations

EXPORTS = "headstart-exports"  # the folder
MARGIN = 0.5  # points of validation accuracy that int8 may cost
