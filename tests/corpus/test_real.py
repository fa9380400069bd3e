"""Real words over a real corpus, against a slow count written apart from the matcher."""

from __future__ import annotations

import csv
import os
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from pivotkit.corpus import count, read_documents, tokenize, work_units

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
LANGUAGES = ("en", "fr", "de", "es", "ja", "zh")


@pytest.fixture(scope="module")
def lexicon(shared: Path) -> list[dict[str, str]]:
    with (shared / "data" / "lexicon" / "concrete_nouns.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def files(shared: Path) -> list[Path]:
    return [shared / "data" / "corpus" / f"{language}.jsonl.zst" for language in LANGUAGES]


def test_two_hundred_words_and_five_hundred_pairs(
    oracle: Any, lexicon: list[dict[str, str]], files: list[Path], tmp_path: Path
) -> None:
    """Every sixth document; ``PIVOTKIT_BENCH=full`` takes all. The oracle looks for each word in each one."""
    texts = [text for file in files for batch in read_documents(file) for text in batch.texts]
    assert len(texts) == 98_820
    texts = texts if FULL else texts[::6]
    sample = tmp_path / "sample.jsonl"
    sample.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
    rows = lexicon[:40]  # the most frequent concepts
    words = list(dict.fromkeys(oracle.normalize(row[code]) for row in rows for code in LANGUAGES if row[code]))[:200]
    assert len(words) == 200
    assert sum("一" <= word[0] <= "鿿" for word in words) > 30
    rng = np.random.default_rng(0)
    pairs: list[tuple[str, str]] = []
    while len(pairs) < 500:  # half of two languages, half of one
        one, other = rng.choice(LANGUAGES, 2) if len(pairs) % 2 else [rng.choice(LANGUAGES)] * 2
        pair = tuple(
            oracle.normalize(rows[i][code]) for i, code in zip(rng.integers(0, 40, 2), (one, other), strict=True)
        )
        if pair[0] in words and pair[1] in words:
            pairs.append((pair[0], pair[1]))
    counts = count(sample, words, pairs=pairs, workers=1)

    holders: dict[str, set[int]] = {word: set() for word in words}
    times = dict.fromkeys(words, 0)
    for row, text in enumerate(map(oracle.normalize, texts)):
        for word in words:
            if word in text and (found := oracle.occurrences(word, text)):
                holders[word].add(row)
                times[word] += found
    assert counts.documents == len(texts)
    assert counts.words == words
    assert counts.df.tolist() == [len(holders[word]) for word in words]
    assert counts.tf.tolist() == [times[word] for word in words]
    assert counts.pair_df.tolist() == [len(holders[a] & holders[b]) for a, b in pairs]
    assert (counts.df > 0).sum() > 100
    assert (counts.pair_df > 0).sum() > 20  # few: the documents are of one language each


def test_context_tables_of_a_real_tokenizer(
    oracle: Any, lexicon: list[dict[str, str]], files: list[Path], real_models: Path, tmp_path: Path
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
    store = tokenize(sample, real_models / "smollm2-135m", tmp_path / "store")
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
