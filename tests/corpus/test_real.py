"""Real words over a real corpus, against a slow count written apart from the matcher."""

from __future__ import annotations

import csv
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from pivotkit.corpus import count, read_documents, tokenize, work_units

LANGUAGES = ("en", "fr", "de", "es", "ja", "zh")


@pytest.fixture(scope="module")
def lexicon(shared: Path) -> list[dict[str, str]]:
    with (shared / "data" / "lexicon" / "concrete_nouns.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def files(shared: Path) -> list[Path]:
    return [shared / "data" / "corpus" / f"{language}.jsonl.zst" for language in LANGUAGES]


def test_two_hundred_words_and_five_hundred_pairs_of_the_whole_corpus(
    oracle: Any, lexicon: list[dict[str, str]], files: list[Path]
) -> None:
    """All 98,820 documents. The oracle looks for each word in each document, one after the other."""
    rows = lexicon[::7]
    words = list(dict.fromkeys(oracle.normalize(row[code]) for row in rows for code in LANGUAGES if row[code]))[:200]
    assert sum(not word.isascii() and "一" <= word[0] <= "鿿" for word in words) > 30
    rng = np.random.default_rng(0)
    pairs = [(words[i], words[j]) for i, j in rng.integers(0, len(words), (500, 2))]
    counts = count(files, words, pairs=pairs, workers=1)

    begun = time.monotonic()
    df, tf, together = (np.zeros(size, np.int64) for size in (len(words), len(words), len(pairs)))
    documents = 0
    for file in files:
        for batch in read_documents(file):
            for text in map(oracle.normalize, batch.texts):
                found = {word: oracle.occurrences(word, text) for word in words if word in text}
                present = {word for word, times in found.items() if times}
                documents += 1
                for place, word in enumerate(words):
                    df[place] += word in present
                    tf[place] += found.get(word, 0)
                together += [a in present and b in present for a, b in pairs]
    print(f"the oracle took {time.monotonic() - begun:.0f} s")
    assert counts.documents == documents == 98_820
    assert counts.words == words
    assert np.array_equal(counts.df, df)
    assert np.array_equal(counts.tf, tf)
    assert np.array_equal(counts.pair_df, together)
    assert (df > 0).sum() > 150
    assert (together > 0).sum() > 100


def test_context_tables_of_a_real_tokenizer(
    oracle: Any, lexicon: list[dict[str, str]], files: list[Path], models: Path, tmp_path: Path
) -> None:
    """300 documents of each language, as dense 0/1 matrices."""
    sample, texts = [], []
    for file in files:
        chosen = next(iter(read_documents(file))).texts[:300]
        texts += chosen
        sample.append(tmp_path / file.with_suffix("").name)
        sample[-1].write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in chosen))
    sample.sort()
    texts = list(chain.from_iterable(batch.texts for unit in work_units(sample) for batch in read_documents(unit)))
    words = list(dict.fromkeys(oracle.normalize(row[code]) for row in lexicon for code in LANGUAGES if row[code]))
    store = tokenize(sample, models / "smollm2-135m", tmp_path / "store")
    counts = count(sample, words, context=store, workers=1)

    bags = np.zeros((len(texts), store.vocab_size), np.float32)  # exact: sums stay far below 2^24
    documents = chain.from_iterable(store.documents(unit) for unit in store.units)
    for place, ids in enumerate(documents):
        bags[place, ids] = 1
    normal = [oracle.normalize(text) for text in texts]
    present = np.array([[oracle.occurrences(word, text) > 0 for word in words] for text in normal], np.float32)
    assert counts.context is not None
    assert counts.background is not None
    assert np.array_equal(counts.background, bags.sum(0))
    assert np.array_equal(counts.df, present.sum(0))
    assert np.array_equal(counts.context.toarray(), present.T @ bags)
    assert counts.context.nnz > 100_000
