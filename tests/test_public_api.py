"""The package's front door: what ``import pivotkit as pk`` offers, and old module paths that still work."""

from __future__ import annotations

import ast
import importlib
import pickle
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pivotkit as pk
from pivotkit._moved import GONE, MOVED

ROOT = Path(__file__).resolve().parents[1]
STUB = ROOT / "pivotkit" / "__init__.pyi"


def child(code: str) -> str:
    """What a Python of its own prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- public names


@pytest.mark.parametrize("name", pk.PUBLIC)
def test_a_public_name_is_the_object_of_its_room(name):
    assert getattr(pk, name) is getattr(importlib.import_module(pk.PUBLIC[name]), name)
    assert name in dir(pk)
    assert name in pk.__all__


def test_the_stub_names_the_same_objects():
    imports = [node for node in ast.parse(STUB.read_text("utf-8")).body if isinstance(node, ast.ImportFrom)]
    assert {alias.asname: node.module for node in imports for alias in node.names} == pk.PUBLIC


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match=r"^module 'pivotkit' has no attribute 'nothing'$"):
        pk.nothing  # noqa: B018


def test_no_public_name_hides_a_module():
    assert not [
        name
        for name in pk.PUBLIC
        if list((ROOT / "pivotkit").glob(f"{name}.py*")) or (ROOT / "pivotkit" / name).exists()
    ]


def test_every_room_is_an_attribute_once_it_is_imported():
    for init in (ROOT / "pivotkit").glob("*/__init__.py"):
        room = importlib.import_module(f"pivotkit.{init.parent.name}")
        assert getattr(pk, init.parent.name) is room


def test_the_import_loads_no_library():
    code = "import sys, pivotkit; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    assert not {"torch", "numba", "numpy", "pyarrow", "transformers"} & set(child(code).split())


@pytest.mark.parametrize(
    ("library", "modules"),
    [
        ("torch", "report, pivotkit.attribution, pivotkit.lens.behavior, pivotkit.testbed.commands.demo"),
        ("transformers", "training.pretrain, pivotkit.testbed.tokenizer, pivotkit.testbed.experiment.units"),
    ],
)
def test_a_module_loads_a_large_library_only_where_it_computes_with_it(library, modules):
    assert child(f"import sys, pivotkit.{modules}; print({library!r} in sys.modules)") == "False"


def test_the_import_is_quick(capsys):
    def seconds(code: str) -> float:
        """Of the processor, which says the same beside other work."""
        begin = resource.getrusage(resource.RUSAGE_CHILDREN)
        child(code)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime

    bare, whole = (min(seconds(code) for _ in range(5)) for code in ("pass", "import pivotkit"))
    with capsys.disabled():
        print(f"import pivotkit: {1000 * (whole - bare):.0f} ms more than {1000 * bare:.0f} ms")
    assert whole < 6 * bare  # torch alone takes fifty times as long


def test_the_version_is_that_of_the_project():
    written = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert pk.__version__.split("+")[0] == written[1]


@pytest.mark.parametrize("project", ['version = "9.8"\n', None])
def test_the_version_without_an_installation(tmp_path, monkeypatch, project):
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    monkeypatch.setattr(pk, "__file__", str(tmp_path / "pivotkit" / "__init__.py"))
    if project:
        (tmp_path / "pyproject.toml").write_text(project)
    assert pk._version() == ("9.8+checkout" if project else "0+unknown")


def test_an_object_is_shown_in_one_line(tokenizer, tmp_path):
    np.arange(9, dtype="<u2").tofile(tmp_path / "a.npy")
    files = pk.TokenFiles(str(tmp_path / "*.npy"), vocab_size=9, eos=8)
    (tmp_path / "a.txt").write_text("a dog\na cat\n")
    counts = pk.count(tmp_path / "a.txt", ["dog", "cat"], workers=1)
    packed = pk.PackedUnembedding(np.ones((64, 32), np.float32), precision="certified")
    for shown in (files, pk.WatchList(["dog"]), pk.TokenWatchList(["dog"], tokenizer), counts, packed):
        assert "\n" not in repr(shown)


# ---- old paths


def forget(old: str) -> None:
    """An alias warns once in a process; let it warn again."""
    parent, _, child = old.rpartition(".")
    sys.modules.pop(old, None)
    if parent in sys.modules:
        vars(sys.modules[parent]).pop(child, None)


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_is_the_very_module_of_the_new(old):
    forget(old)
    with pytest.warns(DeprecationWarning, match="has moved to .*0.2") as caught:
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__name__ == module.__spec__.name == MOVED[old]
    said = [str(warning.message) for warning in caught]
    assert f"{old} has moved to {MOVED[old]}; the old path goes in pivotkit 0.2" in said
    assert {warning.filename for warning in caught} <= {importlib.__file__}  # the caller, not the finder


@pytest.mark.parametrize("old", GONE)
def test_a_package_that_is_gone_imports_as_an_empty_one(old):
    package = importlib.import_module(old)
    assert package.__path__ == []
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{old}.nothing'"):
        importlib.import_module(f"{old}.nothing")


def test_an_old_path_is_neither_a_file_nor_an_absent_one():
    for old, new in MOVED.items():
        here, there = (ROOT / name.replace(".", "/") for name in (old, new))
        assert not here.with_suffix(".py").exists()
        assert not (here / "__init__.py").exists()
        assert there.with_suffix(".py").exists() or (there / "__init__.py").exists()


def test_the_changelog_lists_the_old_paths():
    rows = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    listed = {f"pivotkit.{old}": f"pivotkit.{new}" for old, new in rows}
    assert {old: new for old, new in listed.items() if old in MOVED} == MOVED


def test_old_paths_import_by_every_statement():
    forget("pivotkit.stages.corpus")
    with pytest.warns(DeprecationWarning, match=r"pivotkit\.pipeline\.corpus_stages") as caught:
        from pivotkit.stages import corpus
    assert caught[0].filename == __file__
    assert corpus.__name__ == "pivotkit.pipeline.corpus_stages"
    forget("pivotkit.settings")
    with pytest.warns(DeprecationWarning, match=r"pivotkit\.pipeline\.settings"):
        import pivotkit.settings
    assert pivotkit.settings is sys.modules["pivotkit.pipeline.settings"]


def test_modules_that_became_packages_still_hold_their_names():
    from pivotkit.corpus.token_graph import TokenGraph, token_graph
    from pivotkit.lens.model import find_model, load_model, load_tokenizer, model_cache
    from pivotkit.pipeline import STAGES, run_all

    assert run_all is importlib.import_module("pivotkit.pipeline.run").run_all
    assert STAGES is importlib.import_module("pivotkit.pipeline.run").STAGES
    assert TokenGraph.__module__ == "pivotkit.corpus.token_graph.graph"
    assert all(map(callable, (token_graph, find_model, load_model, load_tokenizer, model_cache)))


def test_an_old_pickle_finds_its_class_and_a_new_one_names_the_new_module():
    forget("pivotkit.corpus.budget")
    with pytest.warns(DeprecationWarning, match=r"pivotkit\.corpus\.reading\.budget"):
        parse_bytes = pickle.loads(b"cpivotkit.corpus.budget\nparse_bytes\n.")
    assert b"pivotkit.corpus.reading.budget" in pickle.dumps(parse_bytes)


def test_an_alias_reloads_and_its_functions_reach_spawned_processes():
    code = """
import importlib, multiprocessing, warnings
from concurrent.futures import ProcessPoolExecutor
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import pivotkit.corpus.budget as budget
assert importlib.reload(budget) is budget
with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
    print(pool.submit(budget.parse_bytes, "2kB", "test").result())
"""
    assert child(code) == "2000"


# ---- what is written elsewhere


def imports(source: str) -> Iterator[str]:
    """The statements of a source that import something of pivotkit."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pivotkit":
            yield ast.unparse(node)
        elif isinstance(node, ast.Import):
            names = [alias for alias in node.names if alias.name.split(".")[0] == "pivotkit"]
            yield from (ast.unparse(ast.Import([alias])) for alias in names)


def names_asked(source: str) -> set[str]:
    """What a source asks of ``pk``."""
    asked = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    return {node.attr for node in asked if isinstance(node.value, ast.Name) and node.value.id == "pk"}


def test_every_import_of_the_readme_works():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    statements = [statement for block in blocks for statement in imports(block)]
    assert "import pivotkit as pk" in statements
    for statement in statements:
        exec(statement, {})  # an old path would warn, which is an error here
    asked = set().union(*map(names_asked, blocks))
    assert asked <= set(pk.__all__)
    assert len(asked) > 5


def test_every_import_of_the_shared_cases_works(shared):
    files = sorted((shared / "cases").glob("*/*.py"))
    if not files:
        pytest.skip("the shared folder holds no cases")
    statements = {statement for file in files for statement in imports(file.read_text("utf-8"))}
    assert len(statements) > 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # cases may name old paths
        for statement in sorted(statements):
            exec(statement, {})
