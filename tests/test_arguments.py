"""Every public function refuses an argument of a wrong kind: in one line, by name, and before it does anything."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.sparse import csr_array
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM

import pivotkit as pk
from pivotkit.arguments import (
    LARGEST,
    check_flag,
    check_int,
    check_number,
    check_paths,
    check_strings,
    check_word_pairs,
    shown,
)
from pivotkit.artifacts import KINDS, require_columns
from pivotkit.causal.measure import CAUSAL
from pivotkit.errors import BackendUnavailable
from pivotkit.lens.model.head import LensHead

HUGE = 10**30
LONG = "x" * 10_000_000


class Slow:
    """A function that no function may call."""

    def __call__(self, *arguments: Any) -> Any:
        raise AssertionError("called before its arguments were checked")


# Values of many kinds. Each is made anew, since an iterator can be read once.
VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "0": lambda: 0,
    "7": lambda: 7,
    "-1": lambda: -1,
    "10^30": lambda: HUGE,
    "10^400": lambda: 10**400,
    "10^5000": lambda: 10**5000,
    "0.5": lambda: 0.5,
    "-1.5": lambda: -1.5,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "1j": lambda: 1j,
    "str": lambda: "x",
    "empty str": lambda: "",
    "str with NUL": lambda: "a\0b",
    "long str": lambda: LONG,
    "bytes": lambda: b"x",
    "path": lambda: Path("x"),
    "empty list": list,
    "list of None": lambda: [None],
    "list of objects": lambda: [object()],
    "list of floats": lambda: [0.5],
    "list of 10^30": lambda: [HUGE],
    "list of lists": lambda: [[1], [2, 3]],
    "list of bytes": lambda: [b"x"],
    "list of a long str": lambda: [LONG],
    "list of a triple": lambda: [("a", "b", "c")],
    "list of a pair of numbers": lambda: [(1, 2)],
    "list of a str of two": lambda: ["ab"],
    "iterator of ints": lambda: iter([1, 2]),
    "dict": lambda: {"x": object()},
    "dict of lists": lambda: {0: [object()]},
    "set": lambda: {1},
    "object": object,
    "type": lambda: object,
    "function": lambda: Slow(),
    "module": lambda: math,
    "array": lambda: np.zeros(3),
    "array of str": lambda: np.array(["a", "b"]),
    "0-d array": lambda: np.array(3),
    "tensor": lambda: torch.zeros(100, 100),
    "table": lambda: pa.table({"nothing": [1]}),
}

# For each kind of parameter the values that are of this kind; all others must be refused.
FLAG, NAME, OBJECT = {"True"}, set(), set()  # a name is one of a few, an object is of a class: no value above is one
INT, INT0 = {"7"}, {"0", "7"}
NUMBER, SHARE = {"0", "7", "-1", "0.5", "-1.5", "10^30"}, {"0", "0.5"}
TEXT = {"str", "empty str", "str with NUL", "long str"}
PATH = {"path", "str"}
PATHS = {"path", "str", "empty list", "list of a str of two", "array of str"}
CODES = {"list of a long str", "list of a str of two", "list of None"}
STRINGS = {"list of a str of two", "list of a long str", "array of str"}
NONE, EMPTY = {"None"}, {"empty list"}
NUMBERS = {"list of floats", "list of 10^30", "iterator of ints", "set"}

PARAMETERS: dict[str, dict[str, set[str]]] = {
    "unembed": {
        "hidden": OBJECT, "weight": {"tensor"}, "k": INT, "bias": NONE, "logit_scale": NUMBER,
        "softcap": {"7", "0.5", "10^30"} | NONE, "targets": NONE | EMPTY,
        "token_sets": {"list of lists", "list of a pair of numbers"} | NONE | EMPTY, "entropy": FLAG,
        "references": NONE, "precision": NAME, "logsumexp_tolerance": NONE, "threads": INT | NONE, "backend": NAME,
    },
    "PackedUnembedding": {"weight": {"tensor"}, "precision": NAME, "threads": INT | NONE, "cache": PATH | NONE},
    "read_lexicon": {"path": PATH, "attributes": STRINGS | EMPTY},
    "check_lexicon": {
        "lexicon": PATH, "tokenizer": NONE, "corpus": PATHS | NONE, "pairs": STRINGS | EMPTY | NONE, "languages": NONE,
        "min_df": INT0, "least_concepts": INT, "on_error": NAME, "workers": INT | NONE,
    },
    "build_task": {
        "lexicon": OBJECT, "pairs": STRINGS, "limit": INT | NONE, "limit_by": NAME, "shots": INT0, "contexts": INT,
        "distractors": INT, "sharing": NAME, "prompt": OBJECT, "template": NAME | NONE, "chat": FLAG, "tokenizer": NONE, "seed": INT0,
    },
    "read_items": {
        "table": PATH, "pairs": STRINGS | NONE, "languages": NONE, "distractors": INT0, "limit": INT | NONE,
        "special_tokens": FLAG, "seed": INT0,
    },
    "load_model": {
        "model": PATH, "dtype": NAME, "device": NAME | NONE, "device_map": NAME | NONE, "remote_code": FLAG,
    },
    "LensHead.from_model": {"model": OBJECT},
    "LensHead.describe": {},
    "LensHead.normed": {"hidden": {"tensor"}},
    "LensHead.unembed": {"hidden": {"tensor"}, "k": INT},
    "score": {"model": OBJECT, "items": OBJECT, "tokenizer": OBJECT, "head": NONE},
    "trace": {
        "model": OBJECT, "items": OBJECT, "tokenizer": OBJECT, "positions": NAME, "points": NAME, "spans": NONE,
        "latent": EMPTY, "pivots": NONE, "k": INT, "tracked": INT, "chains": FLAG, "contrast": FLAG,
        "lens": {"function"} | NONE, "policy": NONE, "head": NONE,
    },
    "contrast_means": {
        "model": OBJECT, "items": OBJECT, "tokenizer": OBJECT, "lens": {"function"} | NONE, "head": NONE,
    },
    "fit_lens": {
        "model": OBJECT, "texts": STRINGS | EMPTY, "tokenizer": OBJECT, "kind": NAME, "tokens": INT | NONE, "context": INT,
        "ridge": {"0", "7", "0.5", "10^30"}, "steps": INT, "batch": INT, "held_out": SHARE, "seed": INT0, "head": NONE,
        "out": PATH | NONE,
    },
    "classify": {
        "traces": OBJECT, "rule": NAME, "min_probability": SHARE, "least_contrast": NUMBER - {"-1", "-1.5"}, "threshold": SHARE,
        "least_peak": SHARE,
    },
    "causal_test": {
        "model": OBJECT, "items": OBJECT, "tokenizer": OBJECT, "pivots": OBJECT, "layers": NONE | {"iterator of ints", "set"},
        "interventions": NAME, "directions": NAME, "strengths": NUMBERS, "lens": NONE, "frequencies": NONE | {"array"},
        "seed": INT0, "head": NONE,
    },
    "causal_effects": {"table": OBJECT, "by": EMPTY, "resamples": INT, "seed": INT0},
    "TokenFiles": {
        "files": PATHS - {"array of str"}, "vocab_size": INT, "format": NAME, "dtype": NAME, "eos": INT0,
        "bos": INT0 | NONE, "tokenizer": TEXT | NONE,
    },
    "TokenFiles.identity": {},
    "TokenFiles.paths": {},
    "TokenFiles.work_units": {"unit_bytes": INT | NONE, "scope": OBJECT},
    "TokenFiles.documents": {"unit": OBJECT},
    "TokenFiles.blocks": {"unit": OBJECT, "scope": OBJECT, "tokens": INT | NONE, "whole": FLAG, "budget": OBJECT | NONE},
    "Strata": {"language": FLAG, "length": INT, "edges": NONE | EMPTY, "seed": INT0},
    "TokenWatchList": {"words": STRINGS | EMPTY, "tokenizer": OBJECT, "policy": OBJECT, "languages": CODES | NONE},
    "TokenWatchList.id": {"word": TEXT, "language": TEXT | NONE},
    "TokenWatchList.word_languages": {},
    "TokenWatchList.identity": {},
    "TokenWatchList.matcher": {"vocab_size": INT},
    "WatchList": {"words": STRINGS, "languages": CODES | NONE, "marks": NAME},
    "WatchList.id": {"word": TEXT, "language": TEXT | NONE},
    "WatchList.word_languages": {},
    "WatchList.matcher": {},
    "tokenize": {"corpus": PATHS, "tokenizer": PATH, "out": PATH, "on_error": NAME, "replace": FLAG},
    "count": {
        "corpus": PATHS, "watchlist": STRINGS | EMPTY, "pairs": NONE | EMPTY, "scope": NAME, "context": OBJECT,
        "sample": INT | NONE, "memory": INT, "workers": INT | NONE, "unit": INT | NONE, "on_error": NAME,
        "out": PATH | NONE, "postings": FLAG, "background": FLAG, "checkpoint": NUMBER,
        "strata": NONE, "languages": OBJECT | NONE,
    },
    "Counts": {
        "words": STRINGS | EMPTY, "documents": INT0, "df": OBJECT, "tf": OBJECT, "pairs": OBJECT,
        "pair_df": OBJECT, "context": NONE, "background": NONE, "approximation": {"dict", "dict of lists"} | NONE,
        "scope": TEXT, "units": STRINGS | EMPTY, "skipped": INT0, "tokenizer": TEXT | NONE, "postings": NONE, "marks": NAME,
        "languages": CODES | NONE, "strata": NONE, "language_table": TEXT | NONE,
    },
    "Counts.parts": {},
    "Counts.expected": {"word": TEXT, "language": TEXT | NONE},
    "Counts.index": {"word": TEXT, "language": TEXT | NONE},
    "Counts.pair": {"a": TEXT, "b": TEXT},
    "Counts.query": {"words": TEXT, "lang": TEXT | NONE},
    "Counts.by_language": {},
    "Counts.cumulative": {"order": EMPTY, "batch_size": INT, "steps": EMPTY | {"iterator of ints", "set"}},
    "Counts.to_pandas": {},
    "Counts.pairs_to_pandas": {},
    "Counts.to_scipy": {},
    "Counts.merge": {"other": OBJECT},
    "Counts.context_error": {},
    "Counts.words_table": {},
    "Counts.pairs_table": {},
    "Counts.save": {"folder": PATH},
    "Counts.load": {"folder": PATH},
    "document_languages": {
        "corpus": PATHS, "languages": {"function", "type"}, "candidates": NONE, "on_error": NAME,
        "workers": INT | NONE, "out": PATH | NONE,
    },
    "LanguageTable.open": {"folder": PATH},
    "LanguageTable.from_file": {"path": PATH, "corpus": PATHS, "on_error": NAME},
    "LanguageTable.check": {"units": EMPTY},
    "LanguageTable.of_file": {"path": PATH},
    "LanguageTable.of_unit": {"unit": OBJECT},
    "LanguageTable.rows": {"path": PATH},
    "LanguageTable.composition": {},
    "LanguageTable.cut": {"unit": OBJECT, "unit_bytes": INT | NONE},
    "LanguageTable.first_row": {"unit": OBJECT},
    "LanguageTable.tags": {"unit": OBJECT, "places": OBJECT},
    "LanguageTable.kinds": {"unit": OBJECT, "places": OBJECT},
    "token_graph": {
        "documents": {"list of a pair of numbers"} | EMPTY, "out": PATH, "window": INT, "weight": {"function"}, "symmetric": FLAG, "vocabulary": INT,
        "denominator": INT | NONE, "memory": INT, "units": STRINGS | EMPTY,
    },
    "find_pivots": {
        "counts": OBJECT, "items": OBJECT, "rule": {"function"}, "k": INT, "word_tokens": OBJECT,
        "measure": NONE, "combine": NONE, "candidates": NONE, "without": EMPTY, "tokenizer": NONE,
        "embedding": NONE, "min_similarity": NONE, "min_df": INT, "min_word_df": INT | NONE, "min_score": {"0", "7", "0.5", "10^30"},
        "hub_penalty": {"0", "0.5"}, "seed": INT0,
    },
    "hub_pivots": {"pivots": OBJECT, "k": INT},
    "word_pivots": {
        "counts": OBJECT, "items": OBJECT, "rule": {"function"}, "k": INT, "word_tokens": NONE, "languages": NONE | EMPTY,
        "measure": NONE, "combine": NONE, "min_df": INT, "min_word_df": INT | NONE, "min_score": {"0", "7", "0.5", "10^30"},
    },
    "score_documents": {
        "corpus": OBJECT, "pivots": {"set", "iterator of ints"}, "hits": NONE, "pairs": NONE, "score": NAME,
        "weights": NONE, "columns": EMPTY, "behaviors": NONE, "tokenizer": NONE, "on_error": NAME, "out": PATH | NONE,
    },
    "filter_documents": {
        "corpus": PATHS, "near_duplicates": {"True", "0.5"}, "quality": NONE | EMPTY, "exclude": PATHS | NONE,
        "exclude_texts": STRINGS | NONE | EMPTY, "seed": INT0, "on_error": NAME, "workers": INT | NONE, "out": PATH | NONE,
    },
    "select": {
        "documents": PATH, "budget_tokens": INT, "quotas": NONE, "quota_by": NAME, "rule": NAME,
        "temperature": {"0", "7", "0.5", "10^30"}, "cap_by": NONE, "cap": NONE, "drop": PATH | NONE, "exact": FLAG,
        "seed": INT0, "allow_shortfall": FLAG, "behaviors": NONE, "out": PATH | NONE,
    },
    "selection_controls": {
        "documents": PATH, "selection": PATH, "controls": NONE | EMPTY, "quota_by": NAME | NONE, "drop": PATH | NONE,
        "exact": FLAG, "seed": INT0, "allow_shortfall": FLAG, "out": PATH | NONE,
    },
    "describe_documents": {
        "documents": PATH, "languages": NONE, "scores": NONE, "corpus": NONE, "pairs": NONE, "on_error": NAME,
        "out": PATH | NONE,
    },
    "control_pivots": {"pivots": OBJECT, "chosen": NONE, "kinds": EMPTY, "allow_shortfall": FLAG},
    "pivot_permutation": {
        "pivots": OBJECT, "vocab_size": INT, "chosen": NONE, "seed": INT0, "allow_shortfall": FLAG,
    },
    "shuffle_pivots": {"corpus": OBJECT, "permutation": OBJECT, "tokenizer": NONE},
    "arms_table": {"arms": OBJECT},
    "write_selection": {
        "selection": PATH, "corpus": PATHS, "out": PATH, "format": NAME | NONE, "tokenizer": PATH | NONE,
        "on_error": NAME, "eos": NONE, "shard_tokens": INT, "shard_bytes": INT, "instance_tokens": NONE,
        "dry_run": FLAG,
    },
    "mix": {
        "parts": OBJECT, "weights": OBJECT, "budget_tokens": INT, "out": PATH, "format": NAME,
        "tokenizer": PATH | NONE, "eos": INT0 | NONE, "seed": INT0, "max_epochs": INT,
        "instance_tokens": INT | NONE, "shard_tokens": INT, "dry_run": FLAG,
    },
    "attribute": {
        "behaviors": OBJECT, "pairs": OBJECT, "items": OBJECT, "scores": NONE, "pivots": NONE,
        "traces": NONE, "bootstrap": INT0, "permutations": INT0, "seed": INT0,
    },
    "pivot_mass": {
        "traces": OBJECT, "items": OBJECT, "layers": NONE | {"iterator of ints", "set"}, "bootstrap": INT0, "seed": INT0,
    },
    "pivot_agreement": {
        "traces": OBJECT, "pivots": OBJECT, "items": OBJECT, "layers": NONE | {"iterator of ints", "set"},
        "least_contrast": NUMBER - {"-1", "-1.5"}, "least_probability": SHARE, "bootstrap": INT0, "seed": INT0,
    },
    "pretrain": {
        "model": PATH, "arms": OBJECT, "items": OBJECT, "tokens": INT, "out": PATH,
        "seeds": {"iterator of ints", "set"}, "recipe": NONE, "checkpoints": INT, "save_every": INT | NONE,
        "latent": STRINGS | EMPTY, "held_out": NONE, "parallel": PATH | NONE, "lines": INT, "keep": FLAG,
    },
    "write_report": {"run": PATH, "out": PATH | NONE},
    "write_comparison": {"runs": {"array of str"}, "out": PATH},
}  # fmt: skip
UNCHECKED = {
    "LensHead": "`from_model` alone makes and proves it",
    "LanguageTable": "`document_languages`, `open` and `from_file` alone make it",
}


def public() -> dict[str, Any]:
    """Every public function, class and public method by its name."""
    found: dict[str, Any] = {}
    for name in pk.PUBLIC:
        one = getattr(pk, name)
        found[name] = one
        if inspect.isclass(one):
            methods = inspect.getmembers(one, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
            found |= {f"{name}.{method}": member for method, member in methods if not method.startswith("_")}
    return found


def parameters(one: Any) -> list[str]:
    """The names of the parameters that a caller gives."""
    kinds = inspect.signature(one).parameters.values()
    return [
        kind.name
        for kind in kinds
        if kind.name != "self" and not kind.name.startswith("_") and kind.kind is not kind.VAR_KEYWORD
    ]


def test_the_table_has_every_public_name_and_every_parameter():
    listed = {name: list(kinds) for name, kinds in PARAMETERS.items()}
    assert listed == {name: parameters(one) for name, one in public().items() if name not in UNCHECKED}


class Family:
    def family(self, word: str) -> list[int]:
        return [0]


@pytest.fixture(scope="module")
def good(lexicon, tokenizer, tmp_path_factory) -> dict[str, tuple[Any, dict[str, Any]]]:
    """For each function: itself, bound where it is a method, and arguments that it takes."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "a.txt").write_text("a dog\na cat\n")
    (folder / "words.tsv").write_text("en\tfr\ndog\tchien\n")
    np.arange(9, dtype="<u2").tofile(folder / "a.npy")
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=400, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).eval()
    head = LensHead(torch.nn.Identity(), (), (), (), torch.eye(100), None, 1.0, None, None)
    items = pk.build_task(lexicon, ["en-fr"], limit=2, shots=1, contexts=1, distractors=2)
    files = pk.TokenFiles(folder / "a.npy", vocab_size=9, eos=8)
    watch, token_watch = pk.WatchList(["dog"]), pk.TokenWatchList(["dog"], tokenizer)
    field = {
        "words": ["dog"], "documents": 2, "df": np.array([1]), "tf": np.array([1]),
        "pairs": np.zeros((0, 2), np.int32), "pair_df": np.zeros(0, np.int64), "context": csr_array((1, 5)),
        "background": np.zeros(5, np.int64), "approximation": None, "scope": "document", "units": (), "skipped": 0,
        "tokenizer": None, "postings": None,
    }  # fmt: skip
    counts = pk.Counts(**field)
    languages = pk.document_languages(folder / "a.txt", languages="field", workers=1)
    rows = [f'{{"file": "a.txt", "row": {row}, "languages": "en"}}\n' for row in (0, 1)]
    (folder / "own.jsonl").write_text("".join(rows))
    selection = pa.table({"unit": ["u"], "row": [0], "id": ["a"], "tokens": [1], "score": [0.5], "lang": ["en"]})
    pivots = pa.table({name: [] for name in ("source", "target", "token_id", "token", "score")})
    joined = {"item": [0], "pair": ["en-fr"]}
    reading = {"order": np.array([0]), "batch_size": 1, "steps": [0]}
    pairs = {"source": ["a"], "target": ["b"], "df_source": [1], "df_target": [1], "df_both": [1]}
    of_concepts = pa.table(joined | {"concept": ["a"]})
    layers = {name: value * 3 for name, value in joined.items()} | {"layer": [1, 2, 3], "label": ["answer"] * 3}
    masses = {"pivot_logmass": [-1.0] * 3, "other_logmass": [-2.0] * 3, "pivot_ids": [[1]] * 3, "other_ids": [[2]] * 3}
    traced = pa.table(layers | masses | {"top_contrasts": pa.nulls(3)})
    found_pivots = pa.table(joined | {"token_id": [1], "other_id": [2], "df_source": [3], "df_target": [4]})
    controlled = pa.table({"item": [0, 1], "token_id": [1, 2], "control_id": [3, 4], "other_id": [2, 1]})
    hidden, weight = torch.ones(3, 4), torch.ones(9, 4)
    found: dict[str, tuple[Any, dict[str, Any]]] = {
        "unembed": (pk.unembed, {"hidden": hidden, "weight": weight, "k": 2}),
        "PackedUnembedding": (pk.PackedUnembedding, {"weight": weight, "precision": "certified"}),
        "read_lexicon": (pk.read_lexicon, {"path": folder / "words.tsv"}),
        "check_lexicon": (pk.check_lexicon, {"lexicon": lexicon}),
        "build_task": (pk.build_task, {"lexicon": lexicon, "pairs": ["en-fr"], "shots": 1, "distractors": 2}),
        "read_items": (
            pk.read_items,
            {"table": pa.table({"prompt": ["a dog is"], "source": ["dog"], "target": ["chien"]}), "pairs": ["en-fr"]},
        ),
        "load_model": (pk.load_model, {"model": folder}),
        "LensHead.from_model": (LensHead.from_model, {}),
        "LensHead.normed": (head.normed, {}),
        "LensHead.unembed": (head.unembed, {"hidden": torch.ones(2, 100)}),
        "score": (pk.score, {"model": model, "items": items, "tokenizer": tokenizer}),
        "trace": (pk.trace, {"model": model, "items": items, "tokenizer": tokenizer}),
        "contrast_means": (pk.contrast_means, {"model": model, "items": items, "tokenizer": tokenizer}),
        "fit_lens": (pk.fit_lens, {"model": model, "texts": ["a", "dog"], "tokenizer": tokenizer}),
        "classify": (pk.classify, {"traces": pa.table({})}),
        "causal_test": (
            pk.causal_test,
            {
                "model": model, "items": items, "tokenizer": tokenizer,
                "pivots": pa.table({"item": [0], "layer": [1], "token_id": [5]}),
            },
        ),
        "causal_effects": (pk.causal_effects, {"table": CAUSAL.empty_table()}),
        "TokenFiles": (pk.TokenFiles, {"files": folder / "a.npy", "vocab_size": 9, "eos": 8}),
        "TokenFiles.work_units": (files.work_units, {}),
        "TokenFiles.documents": (files.documents, {"unit": files.work_units()[0]}),
        "TokenFiles.blocks": (files.blocks, {"unit": files.work_units()[0]}),
        "Strata": (pk.Strata, {}),
        "TokenWatchList": (pk.TokenWatchList, {"words": ["dog"], "tokenizer": tokenizer}),
        "TokenWatchList.id": (token_watch.id, {"word": "dog"}),
        "TokenWatchList.matcher": (token_watch.matcher, {}),
        "WatchList": (pk.WatchList, {"words": ["dog"]}),
        "WatchList.id": (watch.id, {"word": "dog"}),
        "tokenize": (pk.tokenize, {"corpus": folder / "a.txt", "tokenizer": tokenizer, "out": "out"}),
        "count": (
            pk.count, {"corpus": folder / "a.txt", "watchlist": ["dog", "a", "b"], "workers": 1, "out": "out"},
        ),
        "Counts": (pk.Counts, field),
        "Counts.expected": (counts.expected, {"word": "dog"}),
        "Counts.index": (counts.index, {"word": "dog"}),
        "Counts.pair": (counts.pair, {"a": "dog", "b": "dog"}),
        "Counts.query": (counts.query, {"words": "dog"}),
        "Counts.cumulative": (counts.cumulative, reading),
        "Counts.merge": (counts.merge, {}),
        "Counts.save": (counts.save, {}),
        "Counts.load": (pk.Counts.load, {}),
        "document_languages": (pk.document_languages, {"corpus": folder / "a.txt", "workers": 1, "out": "out"}),
        "LanguageTable.open": (pk.LanguageTable.open, {}),
        "LanguageTable.from_file": (pk.LanguageTable.from_file, {"path": folder / "own.jsonl", "corpus": folder / "a.txt"}),
        "LanguageTable.check": (languages.check, {}),
        "LanguageTable.of_file": (languages.of_file, {}),
        "LanguageTable.of_unit": (languages.of_unit, {}),
        "LanguageTable.rows": (languages.rows, {}),
        "LanguageTable.cut": (languages.cut, {"unit": languages.units[0], "unit_bytes": None}),
        "LanguageTable.first_row": (languages.first_row, {}),
        "LanguageTable.tags": (languages.tags, {"unit": languages.units[0], "places": np.array([0])}),
        "LanguageTable.kinds": (languages.kinds, {"unit": languages.units[0], "places": np.array([0])}),
        "token_graph": (
            pk.token_graph,
            {"documents": [(np.array([1, 2]), np.array([0, 2]))], "out": "out", "vocabulary": 9},
        ),
        "find_pivots": (pk.find_pivots, {"counts": counts, "items": items, "rule": "paper", "word_tokens": Family()}),
        "hub_pivots": (pk.hub_pivots, {"pivots": pivots, "k": 1}),
        "word_pivots": (pk.word_pivots, {"counts": counts, "items": items}),
        "score_documents": (pk.score_documents, {"corpus": files, "pivots": [1]}),
        "filter_documents": (pk.filter_documents, {"corpus": folder / "a.txt"}),
        "select": (pk.select, {"documents": selection, "budget_tokens": 1}),
        "selection_controls": (
            pk.selection_controls, {"documents": selection, "selection": selection, "controls": ["random"]},
        ),
        "describe_documents": (pk.describe_documents, {"documents": selection}),
        "control_pivots": (pk.control_pivots, {"pivots": controlled, "kinds": ["control"]}),
        "pivot_permutation": (pk.pivot_permutation, {"pivots": controlled, "vocab_size": 9}),
        "shuffle_pivots": (pk.shuffle_pivots, {"corpus": files, "permutation": np.arange(files.vocab_size)}),
        "arms_table": (pk.arms_table, {"arms": {"one": selection}}),
        "write_selection": (
            pk.write_selection, {"selection": selection, "corpus": folder / "a.txt", "out": "out"},
        ),
        "mix": (pk.mix, {"parts": {"a": files}, "weights": {"a": 1}, "budget_tokens": 1, "out": "out"}),
        "attribute": (
            pk.attribute,
            {
                "behaviors": pa.table(joined | {"rule": ["paper"], "behavior": ["pivot"]}), "pairs": pa.table(pairs),
                "items": pa.table(joined | {"concept": ["a"], "source": ["a"], "target": ["b"]}),
            },
        ),
        "pivot_mass": (pk.pivot_mass, {"traces": traced, "items": of_concepts}),
        "pivot_agreement": (pk.pivot_agreement, {"traces": traced, "pivots": found_pivots, "items": of_concepts}),
        "pretrain": (
            pk.pretrain, {"model": folder, "arms": {"one": ["a dog"]}, "items": items, "tokens": 10**5, "out": "out"},
        ),
        "write_report": (pk.write_report, {"run": folder}),
        "write_comparison": (pk.write_comparison, {"runs": [folder, folder / "other"], "out": folder / "page.html"}),
    }  # fmt: skip
    return found


CASES = [(name, parameter) for name, kinds in PARAMETERS.items() for parameter in kinds]


@pytest.mark.parametrize(("name", "parameter"), CASES, ids=[f"{name}-{parameter}" for name, parameter in CASES])
def test_a_wrong_kind_is_refused_by_name_before_anything_is_done(name, parameter, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "from_model" not in name:
        monkeypatch.setattr(LensHead, "from_model", Slow())
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", Slow())
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", Slow())
    function, arguments = good[name]
    wrong: dict[str, str] = {}
    for value, make in VALUES.items():
        if value in PARAMETERS[name][parameter]:
            continue
        given = {**arguments, parameter: make()}
        several = [given.pop("words")] if name == "Counts.query" else []  # *words
        try:
            function(*several, **given)
        except (TypeError, ValueError, IndexError, BackendUnavailable) as error:
            if problem := fault(str(error), name, parameter):
                wrong[value] = f"{problem}: {type(error).__name__}: {str(error)[:200]}"
        except Exception as error:
            wrong[value] = f"{type(error).__name__}: {str(error)[:200]}"
        else:
            wrong[value] = "taken"
        if left := [path for path in tmp_path.rglob("*") if path.is_file()]:
            wrong[value] = f"wrote {left}"
    assert not wrong, "\n".join(f"{value}: {said}" for value, said in wrong.items())


def fault(message: str, name: str, parameter: str) -> str:
    """What is wrong with a message; empty if nothing is."""
    functions = {name, *name.split(".")}
    if not any(message.startswith(f"{function}: ") for function in functions):
        return "no function"
    told = re.search(r": (.*?) must .+; got .+", message)
    if told is None or not re.search(rf"\b{parameter}\b", told[1]):
        return "no argument, rule or value"
    return "too long" if len(message) > 400 or "\n" in message else ""


# ---- columns

WRONG_COLUMNS = [
    pa.binary(), pa.list_(pa.list_(pa.int8())), pa.timestamp("s"), pa.struct([("x", pa.int8())]), pa.bool_(),
    pa.date32(), pa.dictionary(pa.int8(), pa.binary()), pa.time32("s"), pa.list_(pa.int8()), pa.int64(), pa.string(),
]  # fmt: skip


def asked_columns(name: str, good: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The columns that a function asks for, by argument."""
    asked: dict[str, list[str]] = {}

    def note(asks: str, argument: str, table: pa.Table, columns: Sequence[str]) -> None:
        if asks == name:
            asked[argument] = list(columns)

    for module in [module for key, module in sys.modules.items() if key.startswith("pivotkit.")]:
        if getattr(module, "require_columns", None) is require_columns:
            monkeypatch.setattr(module, "require_columns", note)
    function, arguments = good[name]
    with contextlib.suppress(Exception):
        function(**arguments)
    monkeypatch.undo()
    return asked


@pytest.mark.parametrize(
    "name",
    [
        "score",
        "trace",
        "classify",
        "causal_test",
        "causal_effects",
        "find_pivots",
        "hub_pivots",
        "select",
        "write_selection",
        "attribute",
    ],
)
def test_a_column_of_another_kind_is_refused_by_name(name, good, monkeypatch):
    asked = asked_columns(name, good, monkeypatch)
    assert asked
    function, arguments = good[name]
    for argument, columns in asked.items():
        whole = pa.table({column: pa.nulls(1) for column in columns})
        for column in columns:
            kind, is_kind = KINDS[column]
            for wrong in [wrong for wrong in WRONG_COLUMNS if not is_kind(wrong)]:
                bad = whole.set_column(columns.index(column), column, pa.nulls(1, wrong))
                said = refusal(function, **{**arguments, argument: bad})
                assert said == f"TypeError: {name}: {argument} must have {kind} in the column {column}; got {wrong}"


# ---- one by one


class Tokens:
    """Words as ids of a tokenizer that has more of them."""

    def family(self, word: str) -> list[int]:
        return [5]


def refusal(function: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises((TypeError, ValueError, IndexError, BackendUnavailable)) as caught:
        function(*arguments, **named)
    return f"{type(caught.value).__name__}: {caught.value}"


def test_what_is_often_mistaken_is_told_in_one_line(good, tmp_path):
    model, items, tokenizer = (good["trace"][1][name] for name in ("model", "items", "tokenizer"))
    text, lexicon = good["count"][1]["corpus"], good["build_task"][1]["lexicon"]
    told = {
        refusal(pk.count, None, ["dog"]): "TypeError: count: corpus must be a path or a sequence of paths; got None",
        refusal(pk.count, text, None):
            "TypeError: count: watchlist must be a watch list or an iterable of str; got None",
        refusal(pk.count, text, "dog"):
            "TypeError: count: watchlist must be a watch list or an iterable of str; got 'dog'",
        refusal(pk.count, text, ["dog", "a"], pairs=[("dog", "a", "dog")]):
            "TypeError: count: pairs must be pairs of two words; got one of 3",
        refusal(pk.count, text, ["dog", "a"], pairs=["dog"]):
            "TypeError: count: pairs must be pairs of two words; got str",
        refusal(pk.count, text, ["dog", "a"], pairs=[("dog", 3)]): "TypeError: count: pairs must be pairs of str; got int",
        refusal(pk.count, text, ["dog"], out=3): "TypeError: count: out must be a path (str or Path) or None; got int",
        refusal(pk.trace, items, model, tokenizer):
            "TypeError: trace: model must be a transformers causal LM; got Table",
        refusal(pk.trace, tokenizer, items, model):
            f"TypeError: trace: model must be a transformers causal LM; got {type(tokenizer).__name__}",
        refusal(pk.trace, model, tokenizer, items):
            f"TypeError: trace: items must be a pyarrow.Table; got {type(tokenizer).__name__}",
        refusal(pk.trace, model, items, model):
            "TypeError: trace: tokenizer must be a fast Hugging Face tokenizer; got LlamaForCausalLM",
        refusal(pk.score, model, items, "gpt2"):
            "TypeError: score: tokenizer must be a fast Hugging Face tokenizer; got str",
        refusal(pk.score, "gpt2", items, tokenizer): "TypeError: score: model must be a transformers causal LM; got str",
        refusal(pk.score, model.model.layers[0], items, tokenizer):
            "TypeError: score: model must be a transformers causal LM; got LlamaDecoderLayer",
        refusal(pk.build_task, "x.tsv", ["en-fr"]):
            "TypeError: build_task: lexicon must be a Lexicon (read_lexicon reads one); got str",
        refusal(pk.build_task, Path("x.tsv"), ["en-fr"]):
            "TypeError: build_task: lexicon must be a Lexicon (read_lexicon reads one); got PosixPath",
        refusal(pk.build_task, lexicon, "en-fr"):
            "TypeError: build_task: pairs must be a sequence of strings; got 'en-fr'",
        refusal(pk.build_task, lexicon, ["en-fr"], seed=-1): "ValueError: build_task: seed must be at least 0; got -1",
        refusal(pk.build_task, lexicon, ["en-fr"], limit=2**63):
            "ValueError: build_task: limit must be at most 9223372036854775807; got 9223372036854775808",
        refusal(pk.build_task, lexicon, ["en-fr"], contexts=10**9):
            "ValueError: build_task: contexts must be at most 10000; got 1000000000",
        refusal(pk.attribute, *[None] * 2, items=None): "TypeError: attribute: behaviors must be a pyarrow.Table; got NoneType",
    }  # fmt: skip
    for said, meant in told.items():
        assert said == meant
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "device", ["cuda", "cuda:7", "cuda:-1", "mps", "xpu", "gpu", "tpu", "vulkan", "", "cpu:x", "x" * 99]
)
def test_a_device_that_is_not_here_is_refused_before_the_model_is_read(device, monkeypatch, tmp_path):
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("this machine has one")
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", Slow())
    for name in ("device", "device_map"):
        said = refusal(pk.load_model, tmp_path, **{name: device})
        assert said.startswith(f"BackendUnavailable: load_model: {name} must be one that torch finds here, such as cpu")
        assert said.endswith(f"; got {shown(device)}")


def test_a_device_that_is_here_is_taken_as_far_as_the_model(monkeypatch, tmp_path):
    for device in ("cpu", "meta", torch.device("cpu"), None):
        assert "load_tokenizer: model must be" in refusal(pk.load_model, tmp_path, device=device)
    for placement in ("auto", "cpu", {"": "cpu"}, {"": 0, "lm_head": "cpu"}):
        assert "load_tokenizer: model must be" in refusal(pk.load_model, tmp_path, device_map=placement)


def test_a_tokenizer_of_another_model_is_refused(good, tokenizer, tmp_path):
    """As far as ids can tell: those that the model, the files or the store cannot have."""
    items, rule = good["trace"][1]["items"], "must be the model's own, with ids below 40; got "
    small = LlamaForCausalLM(
        LlamaConfig(vocab_size=40, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).eval()
    assert refusal(pk.trace, small, items, tokenizer).startswith(f"ValueError: trace: tokenizer {rule}")
    assert refusal(pk.score, small, items, tokenizer).startswith(f"ValueError: score: tokenizer {rule}")
    model = good["trace"][1]["model"]
    for ids in ([400], [0, 10**6], [2**31]):
        said = refusal(pk.trace, model, items, tokenizer, pivots={0: ids})
        assert said == f"ValueError: trace: pivots must be at most 399; got {ids[-1]}"
    assert "trace: k must be at most 400; got 401" in refusal(pk.trace, model, items, tokenizer, k=401)
    watch = pk.TokenWatchList(["dog"], tokenizer)
    files = good["score_documents"][1]["corpus"]
    said = refusal(pk.count, files, watch, workers=1)
    assert said.startswith("ValueError: count: watchlist must be of the corpus's own tokenizer, with ids below 9; got ")
    other = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "dog": 2}, unk_token="<unk>"))
    store = pk.tokenize(good["count"][1]["corpus"], other, tmp_path / "store")
    assert pk.count(store, pk.TokenWatchList(["dog"], other), workers=1).documents == 2
    said = refusal(pk.count, store, watch, workers=1)
    assert said.startswith("ValueError: count: watchlist must be of the corpus's own tokenizer, with ids below 3; got ")
    larger = pk.tokenize(good["count"][1]["corpus"], tokenizer, tmp_path / "larger")
    said = refusal(pk.count, larger, pk.TokenWatchList(["dog"], other), workers=1)
    assert (
        said
        == f"ValueError: count: watchlist must be of the store's own tokenizer, which has {len(tokenizer)} ids; got 3"
    )
    counts = dataclasses.replace(
        good["find_pivots"][1]["counts"],
        words=["dog", "chien"],
        df=np.array([1, 1]),
        tf=np.array([1, 1]),
        context=csr_array((2, 5)),
    )
    pair = pa.table({"item": [0], "pair": ["en-fr"], "source": ["dog"], "target": ["chien"]})
    said = refusal(pk.find_pivots, counts, pair, "paper", word_tokens=Tokens())
    assert said == "ValueError: find_pivots: word_tokens must be of the tokenizer of counts, with ids below 5; got 5"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**80, "an int of 266 bits"), (-(10**80), "an int of 266 bits"), (10**30, "1" + "0" * 30), (True, "True"),
        (None, "None"), (0.1, "0.1"), (math.nan, "nan"), ("a\nb", "'a\\nb'"), ("x" * 61, f"'{'x' * 60}'..."),
        (b"x" * 99, f"b'{'x' * 60}'..."), (Path("a/b"), "'a/b'"), ([1] * 10**6, "list"), (np.float32(0.5), "0.5"),
        (torch.zeros(999), "Tensor"), (np.int64(3), "3"),
    ],
)  # fmt: skip
def test_a_value_is_shown_in_one_short_line(value, text):
    assert shown(value) == text


def test_checks_take_what_is_of_the_kind():
    for one in (1, 7, np.int64(7), np.uint8(7), LARGEST):
        check_int("f", "a", one, 1)
    for one in (0, 0.5, 1, np.float32(0.5), np.float64(1), np.int32(0)):
        check_number("f", "a", one, 0, 1)
    for one in (True, False, np.True_):
        check_flag("f", "a", one)
    pairs = [("a", "b"), ["a", "b"], np.array(["a", "b"])]
    assert check_word_pairs("f", "a", iter(pairs)) == pairs
    assert check_word_pairs("f", "a", dict.fromkeys([("a", "b")]).keys()) == [("a", "b")]
    assert check_paths("f", "a", ("a", Path("b"))) == ["a", Path("b")]
    assert check_strings("f", "a", (one for one in "ab")) == ["a", "b"]
