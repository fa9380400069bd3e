"""The architecture, held to: arrows point one way, nothing goes in circles, nothing native knows Python below the bindings."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pivotkit"
SOURCES = sorted(PACKAGE.rglob("*.py"))
NATIVE = [path for path in (ROOT / "csrc").rglob("*") if path.suffix in {".h", ".cpp", ".cu", ".cuh"}]

# What each room may import of pivotkit, besides itself and the leaves that everyone may.
LEAVES = {"errors", "arguments", "artifacts", "bootstrap", "processes", "progress", "run_folder", "_C", "_text"}
ROOMS = {
    "kernels": set(),
    "words": set(),
    "lens": {"kernels", "words"},
    "causal": {"words", "lens"},
    "corpus": {"words"},
    "pivots": {"corpus", "words"},
    "selection": {"corpus", "pivots"},
    "attribution": {"words", "lens", "corpus", "pivots"},
    "training": {"words", "lens", "corpus"},
    "report": {"words", "lens", "corpus", "pivots", "selection", "attribution"},
    "pipeline": {"words", "lens", "causal", "corpus", "pivots", "selection", "attribution", "training", "report"},
    "testbed": {"words", "lens", "causal", "corpus", "pivots", "selection", "training", "pipeline"},
    "integrations": {"corpus", "selection", "words"},
}
# The same inside the large rooms. A file that stands beside these folders may import all of them.
INNER_ROOMS = {
    "corpus.reading": set(),
    "corpus.matching": {"corpus.reading"},
    "corpus.tables": {"corpus.reading", "corpus.matching"},
    "corpus.token_store": {"corpus.reading"},
    "corpus.languages": {"corpus.reading", "corpus.matching", "corpus.token_store"},
    "corpus.counting": {
        "corpus.reading",
        "corpus.matching",
        "corpus.tables",
        "corpus.token_store",
        "corpus.languages",
    },
    "corpus.token_graph": {"corpus.reading", "corpus.token_store"},
    "lens.model": set(),
    "lens.fitted": {"lens.model"},
    "selection.scoring": set(),
    "selection.choosing": {"selection.scoring"},
    "selection.guard": set(),
    "selection.writing": {"selection.choosing"},
    "selection.controls": {"selection.scoring", "selection.choosing"},
    "report.arms": set(),
    "selection.mixing": {"selection.writing"},
    "testbed.experiment": {
        "testbed.config",
        "testbed.items",
        "testbed.tokenizer",
        "testbed.trained",
        "testbed.world",
    },
    "testbed.commands": {
        "testbed.config",
        "testbed.experiment",
        "testbed.items",
        "testbed.recovery",
        "testbed.shipped",
        "testbed.trained",
        "testbed.world",
    },
}


def name_of(path: Path) -> str:
    """``corpus.count`` for pivotkit/corpus/count.py, ``corpus`` for pivotkit/corpus/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCES} | {"_C": PACKAGE / "_C.pyi", "_text": PACKAGE / "_text.pyi"}


def imported(path: Path) -> set[str]:
    """The modules of pivotkit that a file imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pivotkit":
            base = (node.module or "").removeprefix("pivotkit").removeprefix(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".removeprefix(".")
                found.add(full if full in MODULES else base)
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("pivotkit.") for alias in node.names if alias.name.startswith("pivotkit.")
            }
    return found - {"", name_of(path)}


def circle(arrows: Mapping[str, Iterable[str]]) -> list[str]:
    """Some nodes that lead back to the first of them; empty when there are none."""
    done: set[str] = set()

    def walk(node: str, above: list[str]) -> list[str]:
        if node in above:
            return above[above.index(node) :]
        if node not in done:
            for below in sorted(arrows.get(node, ())):
                if found := walk(below, [*above, node]):
                    return found
            done.add(node)
        return []

    return next((found for node in sorted(arrows) if (found := walk(node, []))), [])


def folder_of(module: str) -> str:
    """The folder of a module; those that lie in the package's own folder stand for themselves."""
    path = MODULES[module]
    return module if path.parent == PACKAGE else path.parent.relative_to(PACKAGE).as_posix()


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_lies_below_it(room):
    allowed = ROOMS[room] | LEAVES | {room}
    for path in (PACKAGE / room).rglob("*.py"):
        above = {name for name in imported(path) if name.split(".")[0] not in allowed}
        assert not above, f"{path.relative_to(ROOT)} imports {above}"


@pytest.mark.parametrize("room", INNER_ROOMS)
def test_an_inner_room_imports_only_what_lies_below_it(room):
    outer = room.split(".")[0]
    for path in (PACKAGE / room.replace(".", "/")).rglob("*.py"):
        inside = {name for name in imported(path) if name.split(".")[0] == outer}
        above = {name for name in inside if ".".join(name.split(".")[:2]) not in INNER_ROOMS[room] | {room}}
        assert not above, f"{path.relative_to(ROOT)} imports {above}"


def test_every_room_is_known_here():
    rooms = {path.parent.relative_to(PACKAGE).as_posix().replace("/", ".") for path in PACKAGE.rglob("*/__init__.py")}
    assert rooms - {"."} == set(ROOMS) | set(INNER_ROOMS)


def test_no_files_import_each_other_in_a_circle():
    assert not circle({name_of(path): imported(path) for path in SOURCES})


def test_no_folders_import_each_other_in_a_circle():
    arrows = defaultdict(set)
    for path in SOURCES:
        here = folder_of(name_of(path)) if name_of(path) else "pivotkit"
        arrows[here] |= {folder_of(name) for name in imported(path)} - {here}
    assert not circle(arrows)


def test_no_folder_holds_more_files_than_a_reader_can_tell_apart():
    folders = defaultdict(list)
    for path in [*SOURCES, *(path for path in NATIVE if path.suffix == ".h")]:
        folders[path.parent].append(path.name)
    assert not {str(folder): len(files) for folder, files in folders.items() if len(files) > 20}


def test_nothing_native_knows_python_or_torch_below_the_bindings():
    for path in NATIVE:
        includes = re.findall(r'#include [<"]([^>"]+)', path.read_text(encoding="utf-8"))
        if path.parent.name != "bindings":
            assert not [name for name in includes if re.match(r"Python\.h|pybind11|torch|ATen|c10", name)], path
        assert not [name for name in includes if re.match(r"torch|ATen|c10", name)], path


def test_no_file_asks_to_be_two():
    sources = [*NATIVE, *SOURCES, *PACKAGE.rglob("*.pyx")]
    long = {
        str(path.relative_to(ROOT)): lines for path in sources if (lines := path.read_text("utf-8").count("\n")) > 340
    }
    assert not long


def test_no_line_is_longer_than_a_screen_is_wide():
    sources = [*NATIVE, *SOURCES, *PACKAGE.rglob("*.pyx")]
    wide = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > 120
    }
    assert not wide
