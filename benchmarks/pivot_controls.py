"""Are the corpus's pivots the model's? Their mass in the layers beside three controls, on a real model and corpus.

    python benchmarks/pivot_controls.py SHARED/data MODEL [--counts FOLDER] [--pairs 300] [--rules paper]

Reads what pivot_recall.py reads, and counts the corpus as it is, words in their languages and in all documents; with
``--counts``, it takes such counts.
Two sets of pairs without English: ``concrete nouns``, whose words are in at least 3 documents, and ``frequent``, the
200 pairs of the longer list whose rarer word is in the most documents. Each is compared with and without the tokens
that look like source, target or the English word. How often the English word is among the word pivots stands before.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from pivot_recall import LANGUAGES, documents, lexicon

import pivotkit as pk
from pivotkit.artifacts import table_metadata
from pivotkit.words.languages import LANGUAGES as LANGUAGE_NAMES
from pivotkit.words.lexicon import Lexicon
from pivotkit.words.token_classes import folded
from pivotkit.words.word_tokens import WordTokens

LISTS = {"concrete nouns": "concrete_nouns.tsv", "frequent": "words_2000.tsv"}
LEAST, FREQUENT = 3, 200


def counted(data: Path, tokenizer: Any, folder: Path) -> pk.Counts:
    path = folder / "corpus.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, documents(data, "monolingual", 0))))
    words = {(one[code], code) for one in lexicon(data) for code in ("en", *LANGUAGES) if code in one}
    asked = [*sorted(words), *((word, None) for word in sorted({word for word, _ in words}))]  # and in all documents
    watch = pk.WatchList([word for word, _ in asked], languages=[code for _, code in asked])
    store = pk.tokenize(path, tokenizer, folder / "tokens")
    return pk.count(path, watch, context=store, strata=pk.Strata(), out=folder / "counts")


def chosen_items(data: Path, name: str, counts: pk.Counts, most: int) -> pa.Table:
    """Items of every pair without English; of the longer list the most frequent ones."""
    rows, seen = [], set()
    for one in lexicon(data):
        words = {code: word for code, word in one.items() if code in LANGUAGE_NAMES}
        own = {(code, word) for code, word in words.items()}
        if one["list"] == LISTS[name] and "en" in words and not own & seen:  # a word stands for one concept
            seen |= own
            rows.append(words)
    codes = sorted({code for words in rows for code in words} - {"en"})
    pairs = ["-".join(pair) for pair in combinations(codes, 2)]
    names = {code: LANGUAGE_NAMES[code] for code in ("en", *codes)}
    items = pk.build_task(Lexicon(names, rows, [""] * len(rows)), pairs, contexts=1, sharing="pair")
    rarer = np.array([_documents(row, counts) for row in items.to_pylist()])
    best = np.flatnonzero(rarer >= LEAST)
    if name == "frequent":
        best = np.sort(best[np.argsort(-rarer[best], kind="stable")][:FREQUENT])
    if len(best) > most:
        best = np.sort(np.random.default_rng(0).choice(best, most, replace=False))
    print(f"{name}: n {len(best)}, median df of the rarer word {int(np.median(rarer[best]))}", flush=True)
    return items.take(pa.array(best))


def _documents(row: dict[str, Any], counts: pk.Counts) -> int:
    """The documents of the rarer word; 0 for one spelling in both languages."""
    codes = row["pair"].split("-")
    df = [int(counts.df[counts.index(row[side], code)])
          for side, code in zip(("source", "target"), codes, strict=True)]  # fmt: skip
    return min(df) if row["source"] != row["target"] else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--counts", type=Path)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--rules", nargs="+", default=["stratified", "paper"])
    given = parser.parse_args()
    model, tokenizer = pk.load_model(given.model)
    with tempfile.TemporaryDirectory() as folder:
        counts = pk.Counts.load(given.counts) if given.counts else counted(given.data, tokenizer, Path(folder))
        for name in LISTS:
            items = chosen_items(given.data, name, counts, given.pairs)
            words(name, counts, items)
            for rule, without in product(given.rules, ((), ("source", "target", "en"))):
                if rule != "paper" or not without:  # the published rule leaves nothing out
                    pivots = pk.find_pivots(
                        counts, items, rule, word_tokens=WordTokens(tokenizer), tokenizer=tokenizer, without=without
                    )
                    told = f"{name}, {rule}, without {', '.join(without) or 'nothing'}"
                    compare(told, pivots, items, model, tokenizer)


def words(name: str, counts: pk.Counts, items: pa.Table) -> None:
    """How often the English word is among the word pivots."""
    english = {row["item"]: folded(dict(row["words"])["en"]) for row in items.to_pylist()}
    for languages in (None, ["en"]):
        found = pk.word_pivots(counts, items, languages=languages)
        few = table_metadata(found)["items_without_pivots"].get("a word is in too few documents", 0)
        best = dict.fromkeys(english, np.inf)
        for row in found.select(["item", "rank", "word"]).to_pylist():
            if row["word"] == english[row["item"]]:
                best[row["item"]] = row["rank"]
        told = " ".join(
            f"@{k} {sum(rank <= k for rank in best.values()) / (len(best) - few):.3f}" for k in (1, 5, 10, 50)
        )
        print(f"{name}: word pivots of {languages or 'all languages'}: n {len(best) - few}, {told}", flush=True)


def compare(name: str, pivots: pa.Table, items: pa.Table, model: Any, tokenizer: Any) -> None:
    absent = table_metadata(pivots)["controls_absent"]
    print(f"{name}: {len(set(pivots['item'].to_pylist()))} items have pivots; controls absent {absent}", flush=True)
    traces = pk.trace(model, items, tokenizer, latent=["en"], pivots=pivots)
    for row in pk.pivot_mass(traces, items).to_pylist():
        if row["pair"] == "all":
            told = f"x{row['ratio'] or np.nan:.2f}, above {row['above'] or np.nan:.2f}, left out {row['left_out']}"
            print(
                f"{name}: {told}: {row['sentence']}",
                flush=True,
            )
    agreed = pk.pivot_agreement(traces, pivots, items)
    for row in agreed.to_pylist():
        if row["pair"] == "all":
            numbers = [np.nan if row[key] is None else row[key]
                       for key in ("share", "control_share", "difference", "low", "high")]  # fmt: skip
            print(f"{name}: df {row['documents']} against {row['against']}: n {row['items']}, share and control "
                  + " ".join(f"{number:.4f}" for number in numbers), row["reason"] or "", flush=True)  # fmt: skip
    print(f"{name}: {table_metadata(agreed)['without']} of {table_metadata(agreed)['traced']}", flush=True)


if __name__ == "__main__":
    main()
