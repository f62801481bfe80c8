"""Install requirements into this environment: with uv, which is quicker, or with pip where uv is unavailable.

    python .ci/install.py '.[test]'

uv does not read pip's settings (extra indexes, local wheels, constraints), so it gets them here. Nothing is
compiled ahead: Python compiles what it imports.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys

PIP = [sys.executable, "-m", "pip"]
SETTINGS = {  # pip's name: uv's variable, and what its values are separated by
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "no-index": ("UV_NO_INDEX", " "),
}


def as_uv_has_it(listing: str) -> dict[str, str]:
    """Return the environment variables that tell uv what `pip config list` lists; a variable outweighs a file."""
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # pip's: the best version of any index
    files, own = [], []
    for line in listing.splitlines():
        (own if line.startswith(":env:") else files).append(line)
    for line in (*files, *own):
        name, _, value = line.partition("=")
        known = SETTINGS.get(name.rpartition(".")[2])
        if known is not None:
            found[known[0]] = known[1].join(str(ast.literal_eval(value)).split())
    return found


def with_uv(requirements: list[str]) -> bool:
    """Install with uv; return whether that succeeded."""
    if subprocess.run([*PIP, "install", "-q", "uv"], check=False).returncode:
        return False
    listing = subprocess.run([*PIP, "config", "list"], check=True, capture_output=True, text=True).stdout
    environment = {**os.environ, **as_uv_has_it(listing)}
    command = [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-cache", "--python", sys.executable]
    return not subprocess.run([*command, *requirements], check=False, env=environment).returncode


def main(requirements: list[str]) -> int:
    """Install, or return a status other than 0."""
    if with_uv(requirements):
        return 0
    print("uv could not install: pip does", file=sys.stderr)
    return subprocess.run([*PIP, "install", "-q", "--no-compile", *requirements], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
