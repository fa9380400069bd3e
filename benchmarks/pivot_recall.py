"""Is the English word among the pivots of a pair without English? Recall of `find_pivots` on a real corpus.

    python benchmarks/pivot_recall.py SHARED/data MODEL [--corpus monolingual joined lines] [--keep FOLDER]

SHARED/data has corpus/<code>.jsonl.zst (``id``, ``text``, ``lang``; ids of one text in two languages differ in the code
alone) and lexicon/*.tsv. `debian_text.py` makes such a folder with more languages; ``--languages it ru de --only it ru``
reads three and asks for the pairs that have one of two. Three corpora are made of the same texts:

``monolingual``  as it is
``joined``       every text that exists in English too is joined with it, for one language drawn by seed
``lines``        the same, line by line, and "together" means in one line

and three sets of pairs, by the documents of ``monolingual``:

``nouns``        every pair of the concrete nouns whose words are in 3 documents or more
``frequent``     words in 100 documents or more that stand at least twice, on average, where they stand at all: words that
                 documents are about, as names of things are, and not words such as "see", "high" and "last"
``all frequent`` the 200 pairs of the highest document frequency, whatever the words

*Reach* is the share of pairs whose English token shares two documents with each word, and *served* the share where it
is a token that may be a pivot, too: no variant of either word (French *animal*, English *animal*). No ranking finds
more. The default measure was chosen on the ``first`` half of the concepts, drawn by seed; the ``second`` had no say.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import tempfile
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import zstandard
from transformers import AutoTokenizer

import pivotkit as pk
from pivotkit.words.token_classes import folded
from pivotkit.words.word_tokens import WordTokens

LANGUAGES = ("fr", "de", "es", "ja", "zh")
AT = (1, 5, 10, 50)
FREQUENT = 100  # documents of either word
ABOUT = 2.0  # occurrences in a document that has the word
MOST_FREQUENT = 200


def read(path: Path) -> list[dict[str, Any]]:
    with zstandard.open(path, "rb") as file:
        return [orjson.loads(line) for line in io.BufferedReader(file)]


def key(document: dict[str, Any]) -> str:
    """The id of a text without its language: ``fr/help/fr/x.html``, ``zh/help/zh_CN/x.html``, ``en/help/C/x.html``."""
    code = document["lang"]
    folder = rf"(?<=[-./])({code}([-_]\w\w)?{'|C' if code == 'en' else ''})(?=[./])"
    return re.sub("/+", "/", re.sub(folder, "", document["id"].removeprefix(f"{code}/")))


def documents(data: Path, kind: str, languages: list[str], seed: int) -> list[dict[str, Any]]:
    found = {code: read(data / "corpus" / f"{code}.jsonl.zst") for code in ("en", *languages)}
    if kind == "monolingual":
        return [document for own in found.values() for document in own]
    draw = random.Random(seed)
    texts = {key(document): document["text"] for document in found["en"]}
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for code in languages:
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


def lexicon(data: Path, languages: list[str]) -> list[dict[str, str]]:
    """The concepts of both lexicons with one word per language."""
    found = []
    for name in ("concrete_nouns.tsv", "words_2000.tsv"):
        lines = (data / "lexicon" / name).read_text("utf-8").splitlines()
        columns = lines[0].split("\t")
        for line in lines[1:]:
            row = dict(zip(columns, line.split("\t"), strict=False))
            if row.get("tier", "A") == "A":
                words = {code: row[code].split("|")[0] for code in ("en", *languages) if row.get(code)}
                found.append(words | {"list": name})
    return found


def pairs(
    concepts: list[dict[str, str]], counts: pk.Counts, word_tokens: WordTokens, given: argparse.Namespace
) -> dict[str, list[dict[str, Any]]]:
    """Sets of ordered pairs without English, each pair once in a set, with the tokens that spell the English word."""
    order = list(range(len(concepts)))
    random.Random(given.seed).shuffle(order)
    half = set(order[: len(concepts) // 2])
    found: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {"nouns": {}, "others": {}}
    for number, words in enumerate(concepts):
        english = {token for token in word_tokens.first(words.get("en", "")) if spells(word_tokens, token, words["en"])}
        for codes in combinations([code for code in sorted(given.languages) if code in words], 2):
            if given.only and not set(given.only) & set(codes):
                continue
            source, target = (words[code] for code in codes)
            rows = [counts.index(words[code], code) for code in codes]
            df, tf = counts.df[rows], counts.tf[rows]
            if english and df.min() >= 3 and source != target:
                one = {"pair": "-".join(codes), "source": source, "target": target, "english": english}
                one |= {"df": int(df.min()), "per document": float((tf / df).min()), "half": number in half}
                for name in ("nouns", "others") if words["list"] == "concrete_nouns.tsv" else ("others",):
                    found[name].setdefault((*codes, source, target), one)
    every = sorted(found["others"].values(), key=lambda one: -one["df"])
    return {
        "nouns": list(found["nouns"].values()),
        "frequent": [one for one in every if one["df"] >= FREQUENT and one["per document"] >= ABOUT],
        "all frequent": every[:MOST_FREQUENT],
    }


def spells(word_tokens: WordTokens, token: int, word: str) -> bool:
    return word_tokens.whole_word(token) and folded(word_tokens.text(token)) == folded(word)


def counted(folder: Path, kind: str, given: argparse.Namespace, watched: list[tuple[str, str]], tokenizer: Any) -> Any:
    """The counts of a corpus, which stay in ``folder``."""
    if (folder / "counts" / "counts.json").exists():
        return pk.Counts.load(folder / "counts")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "corpus.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, documents(given.data, kind, given.languages, given.seed))))
    store = pk.tokenize(path, tokenizer, folder / "tokens")
    words, codes = zip(*watched, strict=True)
    how: dict[str, Any] = {"strata": pk.Strata(seed=given.seed), "postings": False, "out": folder / "counts"}
    if kind == "lines":  # text has the tokens of documents alone
        watch = pk.TokenWatchList(words, tokenizer, languages=codes)
        return pk.count(store, watch, context=True, scope="line", memory="6GB", **how)
    return pk.count(path, pk.WatchList(words, languages=codes), context=store, **how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument(
        "--corpus", nargs="+", default=["monolingual", "joined"], choices=["monolingual", "joined", "lines"]
    )
    parser.add_argument("--rules", nargs="+", default=["lower_ratio", "log_ratio", "deviance", "npmi", "paper"])
    parser.add_argument("--combine", choices=["geometric", "min"])
    parser.add_argument("--hub-penalty", type=float, default=0.0)
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES), help="those of the corpus beside English")
    parser.add_argument("--only", nargs="+", help="pairs that have one of these languages")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the corpora, tokens and counts; the next call takes them")
    given = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    word_tokens, concepts = WordTokens(tokenizer), lexicon(given.data, given.languages)
    watched = sorted({(words[code], code) for words in concepts for code in given.languages if code in words})
    with tempfile.TemporaryDirectory() as temporary:
        keep = given.keep or Path(temporary)
        sets = None
        for kind in dict.fromkeys(["monolingual", *given.corpus]):
            counts = counted(keep / kind, kind, given, watched, tokenizer)
            sets = sets or pairs(concepts, counts, word_tokens, given)
            for name, chosen in sets.items() if kind in given.corpus else ():
                report(kind, name, chosen, counts, word_tokens, given)


def report(
    kind: str,
    name: str,
    chosen: list[dict[str, Any]],
    counts: pk.Counts,
    word_tokens: WordTokens,
    given: argparse.Namespace,
) -> None:
    items = pa.table({column: [one[column] for one in chosen] for column in ("pair", "source", "target")})
    items = items.add_column(0, "item", pa.array(range(len(chosen)), pa.int32()))
    reach, served = (np.array([bool(reached(counts, one, word_tokens, by)) for one in chosen]) for by in (False, True))
    half = np.array([one["half"] for one in chosen])
    median = int(np.median([one["df"] for one in chosen]))
    print(
        f"{kind}, {name}: {len(chosen)} pairs, median df {median}, reach {reach.mean():.3f}, served {served.mean():.3f}"
    )
    how: dict[str, Any] = {"candidates": "words", "combine": given.combine, "hub_penalty": given.hub_penalty}
    for rule in given.rules:
        stratified = rule not in ("npmi", "paper")
        how |= {"rule": "stratified", "measure": rule} if stratified else {"rule": rule, "measure": None}
        for least in (1, None) if stratified and rule == given.rules[0] else (1,):
            table = pk.find_pivots(counts, items, word_tokens=word_tokens, min_word_df=least, **how)
            best = np.full(len(chosen), 1 << 30)
            for item, rank, token in zip(
                *(table[part].to_pylist() for part in ("item", "rank", "token_id")), strict=True
            ):
                if token in chosen[item]["english"]:
                    best[item] = min(best[item], rank)
            recall = " ".join(f"@{k} {np.mean(best <= k):.3f}" for k in AT)
            parts = {"all": half | ~half, "first": half, "second": ~half}
            shares = " ".join(
                f"{part} {np.mean(best[own] <= 10) / served[own].mean():.3f}" for part, own in parts.items()
            )
            few = len(chosen) - len(set(table["item"].to_pylist()))
            label = rule if least else f"{rule}, default min_word_df"
            print(f"  {label:32} {recall}  @10 of served: {shares}  pairs without pivots {few}", flush=True)


def reached(counts: pk.Counts, one: dict[str, Any], word_tokens: WordTokens, by_policy: bool) -> list[int]:
    """The English tokens that share two documents with each word, and may be pivots of them."""
    assert counts.context is not None
    words = (one["source"], one["target"])
    rows = [counts.index(word, code) for word, code in zip(words, one["pair"].split("-"), strict=True)]
    shared = counts.context[rows][:, sorted(one["english"])].toarray().min(0)
    tokens = [token for token, number in zip(sorted(one["english"]), shared, strict=True) if number >= 2]
    if not by_policy:
        return tokens
    own = {token for word in words for token in word_tokens.family(word)}
    return [token for token in tokens if token not in own and not any(word_tokens.variant(token, w) for w in words)]


if __name__ == "__main__":
    main()
