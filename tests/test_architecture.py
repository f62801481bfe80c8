from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "headstart"

# Each layer may import from itself (the same area only) and from those after it.
LAYERS = (
    {"__init__", "__main__"},
    {"cli"},
    {"verbs"},
    {"estimator", "api"},
    {"report"},
    {"study"},
    {"deploy"},
    {"fewshot", "explain"},
    {"transfer"},
    {"evaluate"},
    {"models", "data"},
    {"progress"},
    {"store_remote"},
    {"store"},
    {"threads"},
    {"errors"},
)
RANK = {area: rank for rank, layer in enumerate(LAYERS) for area in layer}
EXCEPTIONS = {
    ("store", "progress"),  # one message while waiting for another process
    ("store", "store_remote"),  # a store is opened by its address
}


def area_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[0]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("headstart"):
            parts = node.module.split(".")
            names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
            found.update(name for name in names if name in RANK)
        elif isinstance(node, ast.Import):
            found.update(a.name.split(".")[1] for a in node.names if a.name.startswith("headstart."))
    return found


def test_imports_point_downward_only() -> None:
    wrong = []
    for path in sorted(SOURCE.rglob("*.py")):
        area = area_of(path)
        assert area in RANK, f"{path}: an area without a layer"
        wrong.extend(
            f"{path.relative_to(SOURCE)} imports {other}"
            for other in sorted(imports_of(path))
            if other != area and RANK[other] <= RANK[area] and (area, other) not in EXCEPTIONS
        )
    assert wrong == []


def test_no_module_is_a_drawer_of_odds_and_ends() -> None:
    names = {path.stem for path in SOURCE.rglob("*.py")}
    assert names.isdisjoint({"utils", "util", "common", "helpers", "misc", "tools"})


def test_no_module_is_over_400_lines() -> None:
    sizes = {str(p.relative_to(SOURCE)): len(p.read_text(encoding="utf-8").splitlines()) for p in SOURCE.rglob("*.py")}
    assert {name: size for name, size in sizes.items() if size > 400} == {}
