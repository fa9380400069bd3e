"""Is the English word among the pivots of a pair without English? Recall of `find_pivots` on a real corpus.

    python benchmarks/pivot_recall.py SHARED/data MODEL [--corpus monolingual joined lines] [--rules stratified paper]

SHARED/data has corpus/<code>.jsonl.zst (``id``, ``text``, ``lang``; ids of one text in two languages differ in the code
alone) and lexicon/*.tsv. *Reach* is the share of pairs whose English token shares at least two documents with each
word: no ranking finds more. Three corpora are made of the same texts:

``monolingual``  as it is
``joined``       every text that exists in English too is joined with it, for one language drawn by seed
``lines``        the same, line by line, and "together" means in one line
"""

from __future__ import annotations

import argparse
import io
import random
import re
import tempfile
from collections import defaultdict
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import zstandard
from transformers import AutoTokenizer

import pivotkit as pk
from pivotkit.words.word_tokens import WordTokens

LANGUAGES = ("fr", "de", "es", "ja", "zh")
AT = (1, 5, 10, 50)
FREQUENT = 200  # pairs with the highest document frequency of their rarer word


def read(path: Path) -> list[dict[str, Any]]:
    with zstandard.open(path, "rb") as file:
        return [orjson.loads(line) for line in io.BufferedReader(file)]


def key(document: dict[str, Any]) -> str:
    """The id of a text without its language."""
    code = document["lang"]
    return re.sub(rf"/{code}(_\w+)?/", "/", document["id"].removeprefix(f"{code}/"))


def documents(data: Path, kind: str, seed: int) -> list[dict[str, Any]]:
    found = {code: read(data / "corpus" / f"{code}.jsonl.zst") for code in ("en", *LANGUAGES)}
    if kind == "monolingual":
        return [document for own in found.values() for document in own]
    draw = random.Random(seed)
    texts = {key(document): document["text"] for document in found["en"]}
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for code in LANGUAGES:
        for document in found[code]:
            groups[key(document)].append(document)
    made = [document for document in found["en"] if key(document) not in groups]
    for name, own in groups.items():
        joined = draw.choice(own)["lang"] if name in texts else None
        for document in own:
            if document["lang"] == joined:
                pair = (texts[name], document["text"])
                text = interleaved(*pair) if kind == "lines" else "\n".join(pair)
                document = {**document, "text": text, "lang": ["en", joined]}
            made.append(document)
    draw.shuffle(made)
    return made


def interleaved(one: str, other: str) -> str:
    """The lines of two texts in turn, each pair of them as one line."""
    lines = (one.splitlines(), other.splitlines())
    return "\n".join(" ".join(part) for part in zip(*lines, strict=False))


def lexicon(data: Path) -> list[dict[str, str]]:
    """The concepts of both lexicons with one word per language."""
    found = []
    for name in ("concrete_nouns.tsv", "words_2000.tsv"):
        lines = (data / "lexicon" / name).read_text("utf-8").splitlines()
        columns = lines[0].split("\t")
        for line in lines[1:]:
            row = dict(zip(columns, line.split("\t"), strict=False))
            if row.get("tier", "A") == "A":
                words = {code: row[code].split("|")[0] for code in ("en", *LANGUAGES) if row.get(code)}
                found.append(words | {"list": name})
    return found


def pairs(concepts: list[dict[str, str]], counts: pk.Counts, word_tokens: WordTokens) -> list[dict[str, Any]]:
    """Ordered pairs without English whose words occur, with their English tokens."""
    found = []
    for number, words in enumerate(concepts):
        english = {token for token in word_tokens.first(words.get("en", "")) if word_tokens.whole_word(token)}
        for source, target in permutations([code for code in LANGUAGES if code in words], 2):
            df = [int(counts.df[counts.index(words[code], code)]) for code in (source, target)]
            if english and source < target and min(df) >= 3 and words[source] != words[target]:
                found.append({"concept": number, "pair": f"{source}-{target}", "source": words[source], "df": min(df),
                              "target": words[target], "english": english, "list": words["list"]})  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument(
        "--corpus", nargs="+", default=["monolingual", "joined"], choices=["monolingual", "joined", "lines"]
    )
    parser.add_argument("--rules", nargs="+", default=["stratified", "paper"])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    word_tokens, concepts = WordTokens(tokenizer), lexicon(given.data)
    watched = sorted({(words[code], code) for words in concepts for code in LANGUAGES if code in words})
    watch = pk.WatchList([word for word, _ in watched], languages=[code for _, code in watched])
    for kind in given.corpus:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "corpus.jsonl"
            path.write_bytes(b"\n".join(map(orjson.dumps, documents(given.data, kind, given.seed))))
            store = pk.tokenize(path, tokenizer, Path(folder) / "tokens")
            scope = "line" if kind == "lines" else "document"
            counts = pk.count(
                path, watch, context=store, strata=pk.Strata(seed=given.seed), scope=scope, postings=False
            )
            report(kind, counts, pairs(concepts, counts, word_tokens), word_tokens, given.rules)


def report(
    kind: str, counts: pk.Counts, found: list[dict[str, Any]], word_tokens: WordTokens, rules: list[str]
) -> None:
    nouns = [one for one in found if one["list"] == "concrete_nouns.tsv"]
    sets = {"concrete nouns": nouns, "frequent": sorted(found, key=lambda one: -one["df"])[:FREQUENT]}
    for name, chosen in sets.items():
        items = pa.table({column: [one[column] for one in chosen] for column in ("pair", "source", "target")})
        items = items.add_column(0, "item", pa.array(range(len(chosen)), pa.int32()))
        reach = np.mean([reached(counts, one) for one in chosen])
        median = int(np.median([one["df"] for one in chosen]))
        for rule in rules:
            table = pk.find_pivots(counts, items, rule, word_tokens=word_tokens, candidates="words")
            best = np.full(len(chosen), 1 << 30)
            for item, rank, token in zip(
                *(table[column].to_pylist() for column in ("item", "rank", "token_id")), strict=True
            ):
                if token in chosen[item]["english"]:
                    best[item] = min(best[item], rank)
            recall = " ".join(f"@{k} {np.mean(best <= k):.3f}" for k in AT)
            print(
                f"{kind:12} {name:15} n {len(chosen)} median df {median} {rule:11} {recall} reach {reach:.3f}",
                flush=True,
            )


def reached(counts: pk.Counts, one: dict[str, Any]) -> bool:
    """Whether an English token shares two documents with each word."""
    assert counts.context is not None
    codes = one["pair"].split("-")
    rows = [
        counts.context[[counts.index(one[side], code)]].toarray()[0]
        for side, code in zip(("source", "target"), codes, strict=True)
    ]
    return any(min(row[token] for row in rows) >= 2 for token in one["english"])


if __name__ == "__main__":
    main()
