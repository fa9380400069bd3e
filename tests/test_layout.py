"""The architecture, held to: arrows point one way, and nothing native knows Python below the bindings."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pivotkit"
NATIVE = [path for path in (ROOT / "csrc").rglob("*") if path.suffix in {".h", ".cpp", ".cu", ".cuh"}]

# What each room may import of pivotkit, besides itself and the leaves that everyone may.
LEAVES = {"errors", "artifacts", "bootstrap", "progress", "_C", "_text"}
ROOMS = {
    "kernels": set(),
    "words": set(),
    "lens": {"kernels", "words"},
    "corpus": {"words"},
    "pivots": {"corpus"},
    "selection": {"corpus", "pivots"},
    "experiment": {"words", "lens", "corpus", "pivots", "selection", "pipeline", "run_folder", "settings", "report"},
    "report": {"words", "lens", "corpus", "pivots", "selection"},
    "integrations": {"words"},
    "stages": {"words", "lens", "corpus", "pivots", "selection", "experiment", "report", "run_folder", "settings"},
}


def imported(path: Path) -> set[str]:
    """The rooms and modules of pivotkit that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pivotkit":
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("pivotkit.")}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_lies_below_it(room):
    allowed = ROOMS[room] | LEAVES | {room}
    for path in (PACKAGE / room).rglob("*.py"):
        assert imported(path) <= allowed, f"{path.relative_to(ROOT)} imports {imported(path) - allowed}"


def test_every_room_is_known_here():
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ROOMS)


def test_nothing_native_knows_python_or_torch_below_the_bindings():
    for path in NATIVE:
        includes = re.findall(r'#include [<"]([^>"]+)', path.read_text(encoding="utf-8"))
        if path.parent.name != "bindings":
            assert not [name for name in includes if re.match(r"Python\.h|pybind11|torch|ATen|c10", name)], path
        assert not [name for name in includes if re.match(r"torch|ATen|c10", name)], path


def test_no_file_asks_to_be_two():
    sources = [*NATIVE, *PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")]
    long = {
        str(path.relative_to(ROOT)): lines for path in sources if (lines := path.read_text("utf-8").count("\n")) > 300
    }
    assert not long
