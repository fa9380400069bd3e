"""Matching, against Python packages for multi-pattern search and plain Python; answers are checked where they can be.

pivotkit gets raw text and returns the words and counts of each document. The peers have an easier task: their text is
normalized beforehand, and they only list the raw matches of each document, overlapping ones included, without checking
edges. In text without spaces both find the same occurrences, and their numbers must agree. In other text a peer also
reports words inside words. "normalize" is the time that Python takes to normalize the same text: add it to a peer's
time to get the time of the whole task. "python" looks up a dictionary: runs of letters in text with spaces, all
substrings in text without.

Peers that are not installed are left out: ``pip install ahocorasick_rs pyahocorasick daachorse``. Sizes are small
unless ``PIVOTKIT_BENCH=full``.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pivotkit._text import pack_strings
from pivotkit.corpus import WatchList, normalize, read_documents

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 30.0 if FULL else 0.0
SIZES = [1000, 100_000, 1_000_000] if FULL else [1000, 20_000]
DOCUMENTS = 4000 if FULL else 300
CORPUS = Path(os.environ.get("PIVOTKIT_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data" / "corpus"
PEERS = ("daachorse", "daachorse_bytes", "ahocorasick_rs", "ahocorasick")

Count = Callable[[], Any]


def peer(name: str, words: list[str], texts: list[str]) -> Count | None:
    """A function that counts the raw overlapping matches in all texts; None where ``name`` is not installed."""
    try:
        module = importlib.import_module(name.removesuffix("_bytes"))
    except ImportError:
        return None
    if name == "daachorse":
        characters = module.CharwiseDoubleArrayAhoCorasick(words)
        return lambda: sum(len(characters.find_overlapping(text)) for text in texts)
    if name == "daachorse_bytes":
        raw = module.DoubleArrayAhoCorasick([word.encode() for word in words])
        encoded = [text.encode() for text in texts]
        return lambda: sum(len(raw.find_overlapping(text)) for text in encoded)
    if name == "ahocorasick_rs":
        searcher = module.AhoCorasick(words)
        return lambda: sum(len(searcher.find_matches_as_indexes(text, overlapping=True)) for text in texts)
    machine = module.Automaton()
    for place, word in enumerate(words):
        machine.add_word(word, place)
    machine.make_automaton()
    return lambda: sum(len(list(machine.iter(text))) for text in texts)


def python(words: list[str], texts: list[str], spaced: bool) -> Count:
    """A function that counts how often each word occurs in all texts, by look-ups in a dictionary."""
    ids = {word: place for place, word in enumerate(words)}
    longest = max(map(len, words))

    def run() -> Any:
        counts = np.zeros(len(words), np.int64)
        for text in texts:
            pieces = (
                re.findall(r"\w+", text)
                if spaced
                else (
                    text[at : at + size]
                    for at in range(len(text))
                    for size in range(1, longest + 1)
                    if at + size <= len(text)
                )
            )
            for piece in pieces:
                if piece in ids:
                    counts[ids[piece]] += 1
        return counts

    return run


def compare(interleaved: Any, words: list[str], texts: list[str], *, spaced: bool, exact: bool) -> None:
    """Compare all methods. ``exact``: the dictionary and, without spaces, the peers must find what pivotkit finds."""
    watch = WatchList(words)
    matcher = watch.matcher()
    packed = pack_strings(texts)
    normal = list(map(normalize, texts))

    def by_pivotkit() -> Any:
        _, found, times = matcher.match(*packed)
        return np.bincount(found, times, len(watch)).astype(np.int64)

    methods: dict[str, Count] = {"python": python(watch.words, normal, spaced)}
    methods |= {name: run for name in PEERS if (run := peer(name, watch.words, normal)) is not None}
    methods["normalize"] = lambda: sum(len(normalize(text)) for text in texts)
    baseline = next((name for name in PEERS if name in methods), "python")
    methods["pivotkit"] = by_pivotkit
    found = interleaved(methods, SECONDS, baseline=baseline)
    if exact:
        assert np.array_equal(found["pivotkit"], found["python"])
    if exact and not spaced:
        assert {found[name] for name in PEERS if name in found} <= {found["pivotkit"].sum()}


def zipf_text(rng: Any, vocabulary: list[str], joint: str) -> list[str]:
    drawn = rng.zipf(1.2, DOCUMENTS * 300) % len(vocabulary)
    return [joint.join(vocabulary[i] for i in part) for part in np.array_split(drawn, DOCUMENTS)]


def vocabulary_of(rng: Any, letters: str, sizes: tuple[int, int], count: int) -> list[str]:
    table = np.array(list(letters))
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(table[rng.integers(0, len(table), rng.integers(*sizes))])] = None
    return list(made)


@pytest.mark.parametrize("size", SIZES)
def test_latin(benchmark: Any, interleaved: Any, size: int) -> None:
    """Words of 3 to 9 letters, drawn by Zipf's law; every second one is watched."""
    benchmark.group = f"{size} words, Zipf text, Latin"
    rng = np.random.default_rng(3)
    vocabulary = vocabulary_of(rng, "etaoinshrdlucmfw", (3, 10), 2 * size)
    compare(interleaved, vocabulary[::2], zipf_text(rng, vocabulary, " "), spaced=True, exact=True)


@pytest.mark.parametrize("size", SIZES)
def test_han(benchmark: Any, interleaved: Any, size: int) -> None:
    """Words of 2 to 4 characters from a set of 3,000, without spaces."""
    benchmark.group = f"{size} words, Zipf text, Han"
    rng = np.random.default_rng(4)
    vocabulary = vocabulary_of(rng, "".join(map(chr, range(0x4E00, 0x4E00 + 3000))), (2, 5), 2 * size)
    compare(interleaved, vocabulary[::2], zipf_text(rng, vocabulary, ""), spaced=False, exact=True)


@pytest.mark.parametrize("code", ["en", "de", "fr", "es", "ja", "zh"])
def test_corpus(benchmark: Any, interleaved: Any, code: str) -> None:
    """Real documents and words drawn from them."""
    file = CORPUS / f"{code}.jsonl.zst"
    if not file.exists():
        pytest.skip(f"the corpus is absent: no {file.name}")
    texts: list[str] = []
    for batch in read_documents(file):
        texts += batch.texts
        if len(texts) >= DOCUMENTS and not FULL:
            del texts[DOCUMENTS:]
            break
    pattern = r"[\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\u4e00-\u9fff]{2,4}" if code in ("ja", "zh") else r"\w+"
    words = sorted({word for text in texts for word in re.findall(pattern, normalize(text))})
    np.random.default_rng(5).shuffle(words)
    benchmark.group = f"{min(len(words), 100_000)} words, corpus {code}"
    compare(interleaved, words[:100_000], texts, spaced=code not in ("ja", "zh"), exact=code in ("ja", "zh"))
