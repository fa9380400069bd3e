"""Every public function refuses an argument of a wrong kind: in one line, by name, and before it does anything."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.sparse import csr_array
from transformers import LlamaConfig, LlamaForCausalLM

import pivotkit as pk
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
STRINGS = {"list of a str of two", "list of a long str", "array of str"}
NONE, EMPTY = {"None"}, {"empty list"}

PARAMETERS: dict[str, dict[str, set[str]]] = {
    "unembed": {
        "hidden": OBJECT, "weight": {"tensor"}, "k": INT, "bias": NONE, "logit_scale": NUMBER,
        "softcap": {"7", "0.5", "10^30"} | NONE, "targets": NONE | EMPTY,
        "token_sets": {"list of lists", "list of a pair of numbers"} | NONE | EMPTY, "entropy": FLAG,
        "references": NONE, "precision": NAME, "logsumexp_tolerance": NONE, "threads": INT | NONE, "backend": NAME,
    },
    "PackedUnembedding": {"weight": {"tensor"}, "precision": NAME, "threads": INT | NONE, "cache": PATH | NONE},
    "read_lexicon": {"path": PATH},
    "build_task": {
        "lexicon": OBJECT, "pairs": STRINGS, "limit": INT | NONE, "shots": INT0, "contexts": INT, "distractors": INT,
        "sharing": NAME, "prompt": OBJECT, "seed": INT0,
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
        "model": OBJECT, "items": OBJECT, "tokenizer": OBJECT, "positions": NAME, "spans": NONE,
        "latent": EMPTY, "pivots": NONE, "k": INT, "tracked": INT, "chains": FLAG, "lens": {"function"} | NONE,
        "policy": NONE, "head": NONE,
    },
    "classify": {
        "traces": OBJECT, "rule": NAME, "min_probability": SHARE, "first_layer": INT | NONE, "threshold": SHARE,
        "least_peak": SHARE,
    },
    "TokenFiles": {
        "files": PATHS - {"array of str"}, "vocab_size": INT, "format": NAME, "dtype": NAME, "eos": INT0,
        "bos": INT0 | NONE, "tokenizer": TEXT | NONE,
    },
    "TokenFiles.identity": {},
    "TokenFiles.paths": {},
    "TokenFiles.work_units": {"unit_bytes": INT | NONE, "scope": OBJECT},
    "TokenFiles.blocks": {"unit": OBJECT, "scope": OBJECT, "tokens": INT | NONE, "whole": FLAG},
    "TokenWatchList": {"words": STRINGS | EMPTY, "tokenizer": OBJECT, "policy": OBJECT},
    "TokenWatchList.id": {"word": TEXT},
    "TokenWatchList.identity": {},
    "TokenWatchList.matcher": {"vocab_size": INT},
    "WatchList": {"words": STRINGS},
    "WatchList.id": {"word": TEXT},
    "WatchList.matcher": {},
    "tokenize": {"corpus": PATHS, "tokenizer": PATH, "out": PATH, "on_error": NAME},
    "count": {
        "corpus": PATHS, "watchlist": STRINGS | EMPTY, "pairs": NONE | EMPTY, "scope": NAME, "context": OBJECT,
        "sample": INT | NONE, "memory": INT, "workers": INT | NONE, "unit": INT | NONE, "on_error": NAME,
        "out": PATH | NONE,
    },
    "Counts": {
        "words": STRINGS | EMPTY, "documents": INT0, "df": OBJECT, "tf": OBJECT, "pairs": OBJECT,
        "pair_df": OBJECT, "context": NONE, "background": NONE, "approximation": {"dict", "dict of lists"} | NONE,
        "scope": NAME, "units": STRINGS | EMPTY, "skipped": INT0, "tokenizer": TEXT | NONE, "postings": NONE,
    },
    "Counts.index": {"word": TEXT},
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
    "token_graph": {
        "documents": {"list of a pair of numbers"} | EMPTY, "out": PATH, "window": INT, "weight": {"function"}, "symmetric": FLAG, "vocabulary": INT,
        "denominator": INT | NONE, "memory": INT, "units": STRINGS | EMPTY,
    },
    "find_pivots": {
        "counts": OBJECT, "items": OBJECT, "rule": {"function"}, "k": INT, "word_tokens": OBJECT, "tokenizer": NONE,
        "embedding": NONE, "min_similarity": NONE, "min_df": INT, "min_score": {"0", "7", "0.5", "10^30"},
        "seed": INT0,
    },
    "hub_pivots": {"pivots": OBJECT, "k": INT},
    "score_documents": {
        "corpus": OBJECT, "pivots": {"set", "iterator of ints"}, "hits": NONE, "pairs": NONE,
    },
    "select": {
        "documents": OBJECT, "budget_tokens": INT, "language_quotas": NONE, "strategy": NAME, "seed": INT0,
        "allow_shortfall": FLAG,
    },
    "write_selection": {"selection": OBJECT, "corpus": PATHS, "out": PATH, "on_error": NAME},
    "attribute": {
        "behaviors": OBJECT, "pairs": OBJECT, "items": OBJECT, "scores": NONE, "bootstrap": INT0, "seed": INT0,
    },
    "write_report": {"run": PATH, "out": PATH | NONE},
}  # fmt: skip
UNCHECKED = {"LensHead": "`from_model` alone makes and proves it"}


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
    selection = pa.table({"unit": ["u"], "row": [0], "id": ["a"], "tokens": [1], "score": [0.5], "lang": ["en"]})
    pivots = pa.table({name: [] for name in ("source", "target", "token_id", "token", "score")})
    joined = {"item": [0], "pair": ["en-fr"]}
    reading = {"order": np.array([0]), "batch_size": 1, "steps": [0]}
    pairs = {"source": ["a"], "target": ["b"], "df_source": [1], "df_target": [1], "df_both": [1]}
    hidden, weight = torch.ones(3, 4), torch.ones(9, 4)
    found: dict[str, tuple[Any, dict[str, Any]]] = {
        "unembed": (pk.unembed, {"hidden": hidden, "weight": weight, "k": 2}),
        "PackedUnembedding": (pk.PackedUnembedding, {"weight": weight, "precision": "certified"}),
        "read_lexicon": (pk.read_lexicon, {}),
        "build_task": (pk.build_task, {"lexicon": lexicon, "pairs": ["en-fr"], "shots": 1, "distractors": 2}),
        "load_model": (pk.load_model, {"model": folder}),
        "LensHead.from_model": (LensHead.from_model, {}),
        "LensHead.normed": (head.normed, {}),
        "LensHead.unembed": (head.unembed, {"hidden": torch.ones(2, 100)}),
        "score": (pk.score, {"model": model, "items": items, "tokenizer": tokenizer}),
        "trace": (pk.trace, {"model": model, "items": items, "tokenizer": tokenizer}),
        "classify": (pk.classify, {"traces": pa.table({})}),
        "TokenFiles": (pk.TokenFiles, {"files": folder / "a.npy", "vocab_size": 9, "eos": 8}),
        "TokenFiles.work_units": (files.work_units, {}),
        "TokenFiles.blocks": (files.blocks, {"unit": files.work_units()[0]}),
        "TokenWatchList": (pk.TokenWatchList, {"words": ["dog"], "tokenizer": tokenizer}),
        "TokenWatchList.id": (token_watch.id, {}),
        "TokenWatchList.matcher": (token_watch.matcher, {}),
        "WatchList": (pk.WatchList, {}),
        "WatchList.id": (watch.id, {}),
        "tokenize": (pk.tokenize, {"corpus": folder / "a.txt", "tokenizer": tokenizer, "out": "out"}),
        "count": (
            pk.count, {"corpus": folder / "a.txt", "watchlist": ["dog", "a", "b"], "workers": 1, "out": "out"},
        ),
        "Counts": (pk.Counts, field),
        "Counts.index": (counts.index, {}),
        "Counts.pair": (counts.pair, {"a": "dog", "b": "dog"}),
        "Counts.query": (counts.query, {"words": "dog"}),
        "Counts.cumulative": (counts.cumulative, reading),
        "Counts.merge": (counts.merge, {}),
        "Counts.save": (counts.save, {}),
        "Counts.load": (pk.Counts.load, {}),
        "token_graph": (
            pk.token_graph,
            {"documents": [(np.array([1, 2]), np.array([0, 2]))], "out": "out", "vocabulary": 9},
        ),
        "find_pivots": (pk.find_pivots, {"counts": counts, "items": items, "word_tokens": Family()}),
        "hub_pivots": (pk.hub_pivots, {"pivots": pivots, "k": 1}),
        "score_documents": (pk.score_documents, {"corpus": files, "pivots": [1]}),
        "select": (pk.select, {"documents": selection, "budget_tokens": 1}),
        "write_selection": (
            pk.write_selection, {"selection": selection, "corpus": folder / "a.txt", "out": "out"},
        ),
        "attribute": (
            pk.attribute,
            {
                "behaviors": pa.table(joined | {"rule": ["paper"], "behavior": ["pivot"]}), "pairs": pa.table(pairs),
                "items": pa.table(joined | {"concept": ["a"], "source": ["a"], "target": ["b"]}),
            },
        ),
        "write_report": (pk.write_report, {"run": folder}),
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
