"""The examples in docstrings and README, run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas
import pytest
import torch
import yaml
import zstandard
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

import pivotkit
from pivotkit.artifacts import read_table
from pivotkit.lens.behavior import BEHAVIORS, SENSITIVITY
from pivotkit.lens.score import SCORES
from pivotkit.words.task import ITEMS

README = Path(__file__).resolve().parents[1] / "README.md"
MODULES = sorted(module.name for module in pkgutil.walk_packages(pivotkit.__path__, "pivotkit."))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def readme_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.fixture
def files_of_the_readme(tmp_path, monkeypatch, lexicon, tokenizer):
    """The files that the examples name, small: a random model, words, a corpus of text and one of tokens."""
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "head_dim": 8,
    }
    torch.manual_seed(1)
    config = Gemma3TextConfig(vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=1024, **sizes)
    Gemma3ForCausalLM(config).save_pretrained(tmp_path / "gemma3-270m")
    tokenizer.save_pretrained(tmp_path / "gemma3-270m")
    tokenizer.save_pretrained(tmp_path / "allenai" / "OLMo-1B-hf")
    rows = ["\t".join(lexicon.names), *("\t".join(row.values()) for row in lexicon.rows)]
    (tmp_path / "words.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    documents = [{"text": f"{row['fr']} = {row['en']} = {row['zh']} ({number})", "langs": ["en", "fr", "zh"]}
                 for row in lexicon.rows for number in range(24)]  # fmt: skip
    lines = b"".join(orjson.dumps(document) + b"\n" for document in documents)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "part.jsonl.zst").write_bytes(zstandard.compress(lines))
    (tmp_path / "dolma").mkdir()
    ids = tokenizer(" dog and chien, dog and Hund")["input_ids"]
    np.array([*ids, 50279] * 3, "<u2").tofile(tmp_path / "dolma" / "part-00.npy")
    monkeypatch.chdir(tmp_path)


def test_the_examples_of_the_readme_run(files_of_the_readme):
    scope: dict[str, Any] = {}
    seen: dict[str, Any] = {}
    blocks = readme_blocks()
    for code in blocks:
        if "import pivotkit as pk" in code:  # others go on from the block before them
            scope = {}
        # Sizes alone are made small: the vocabulary, and the budget of a selection.
        exec(code.replace("262144", "3000").replace("10_000_000", "100").replace("20_000_000", "10"), scope)
        seen |= scope
    assert len(blocks) == 7
    assert seen["top"].ids.shape == (*seen["top"].logsumexp_error.shape, 10) == (19, 66, 10)
    assert seen["table"]["item"].nunique() == seen["items"].num_rows == 16
    assert seen["pivots"].num_rows > 0
    assert set(seen["agreement"]["against"].to_pylist()) == {"control", "matched", "other"}
    assert seen["counts"].pair("dog", "chien") == 3
    assert Path("selection", "manifest.json").exists()
    assert [document[-1] for document in seen["again"].documents(seen["again"].work_units()[0])] == [50279] * len(
        read_table("chosen")
    )


def test_the_examples_of_the_page_on_selection_run():
    result = doctest.testfile(str(README.parent / "docs" / "selection.md"), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0


def test_columns_that_pandas_has_methods_for_are_those_the_readme_names():
    named = re.search(r"in brackets.*?: (.*?) are columns", README.read_text("utf-8").replace("\n", " "))[1]
    schemas = [BEHAVIORS, SENSITIVITY, SCORES, ITEMS]
    columns = {name for schema in schemas for name in schema.names} | {"rank"}  # of `find_pivots`
    assert set(re.findall(r"`(\w+)`", named)) == {name for name in columns if hasattr(pandas.DataFrame, name)}


def test_every_function_that_the_readme_names_exists():
    rows = re.findall(r"^\| `[a-z-]+` \|.*\|(.*)\|$", README.read_text("utf-8"), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    assert len(names) > 10
    for name in names:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(f"pivotkit.{module}"), function))


def test_every_link_of_the_texts_leads_to_a_file():
    for text in sorted(README.parent.glob("*.md")):
        for link in re.findall(r"\]\(([^):]+)\)", text.read_text("utf-8")):
            assert (README.parent / link).exists(), f"{text.name} links to {link}"


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load((README.parent / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == pivotkit.__version__.split("+")[0]
    assert citation["references"][0]["url"].endswith("2505.16385")
