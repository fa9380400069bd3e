"""The examples in docstrings and README, run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import pivotkit

README = Path(__file__).resolve().parents[1] / "README.md"
MODULES = sorted(module.name for module in pkgutil.walk_packages(pivotkit.__path__, "pivotkit."))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_the_kernel_examples_of_the_readme_run():
    blocks = [
        block
        for block in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
        if "unembed(" in block
    ]
    scope: dict[str, object] = {}
    assert len(blocks) == 2
    for code in blocks:  # the second goes on from the first
        exec(code.replace("262144", "3000"), scope)
    assert scope["top"].ids.shape == (*scope["top"].logsumexp_error.shape, 10) == (19, 66, 10)


def test_every_function_that_the_readme_names_exists():
    rows = re.findall(r"^\| `[a-z-]+` \|.*\|(.*)\|$", README.read_text("utf-8"), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    assert len(names) > 10
    for name in names:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(f"pivotkit.{module}"), function))
