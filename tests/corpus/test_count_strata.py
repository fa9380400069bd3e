"""Counts by stratum and in the language of a word, against brute force over the documents."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from pivotkit.corpus import Counts, Strata, TokenFiles, TokenWatchList, WatchList, count, tokenize
from pivotkit.errors import InputError

VOCABULARY = 60
WORDS = [("w1", "en"), ("w1", "fr"), ("w2", "fr"), ("w3", None), ("w9", "de"), ("w4", "xx")]
WATCH = WatchList([word for word, _ in WORDS], languages=[code for _, code in WORDS])
PAIRS = [(("w1", "en"), "w3"), (("w1", "fr"), "w2"), ("w9", "w3")]
EDGES = {("en",): [10, 25], ("fr",): [20], "other": [15]}


class Documents(NamedTuple):
    """Words w0 to w59 as their numbers, and a language each."""

    ids: list[np.ndarray]
    languages: list[str | None]

    def has(self, word: str, code: str | None) -> Any:
        """Whether each document contains a word, in its language."""
        there = np.array([int(word[1:]) in ids for ids in self.ids])
        return there if code is None else there & np.array([code == own for own in self.languages])


@pytest.fixture(scope="module")
def documents() -> Documents:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 40, 1500)
    codes = rng.choice(["en", "fr", "de", ""], 1500, p=[0.5, 0.3, 0.15, 0.05])
    return Documents([rng.zipf(1.3, size) % VOCABULARY for size in sizes], [str(code) or None for code in codes])


@pytest.fixture(scope="module")
def core() -> Tokenizer:
    from tokenizers.pre_tokenizers import Whitespace

    core = Tokenizer(WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w0"))
    core.pre_tokenizer = Whitespace()
    return core


@pytest.fixture(scope="module")
def corpus(documents: Documents, tmp_path_factory: Any) -> Path:
    """Three files of text."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = [
        json.dumps({"text": " ".join(f"w{number}" for number in ids)} | ({"lang": code} if code else {}))
        for ids, code in zip(*documents, strict=True)
    ]
    for place, part in enumerate((lines[:200], lines[200:900], lines[900:])):
        (folder / f"{place}.jsonl").write_text("".join(f"{line}\n" for line in part))
    return folder


@pytest.fixture(scope="module")
def store(corpus: Path, core: Tokenizer, tmp_path_factory: Any) -> Any:
    return tokenize(corpus, core, tmp_path_factory.mktemp("store"))


def stratum_of(code: str | None, length: int) -> int:
    edges, first = {"en": ([10, 25], 0), "fr": ([20], 3)}.get(code or "", ([15], 5))
    return first + sum(length >= edge for edge in edges)


def assert_counted(counts: Counts, documents: Documents, languages: bool = True) -> None:
    """Words, strata and background of the fixed edges are those of a loop over the documents."""
    assert counts.strata is not None
    own = np.array([stratum_of(code, len(ids)) for ids, code in zip(*documents, strict=True)])
    in_stratum = np.eye(len(counts.strata.strata), dtype=np.int64)[own]
    has = np.array([documents.has(word, code if languages else None) for word, code in WORDS], np.int64)
    assert np.array_equal(counts.df, has.sum(1))
    assert np.array_equal(counts.strata.documents, in_stratum.sum(0))
    assert np.array_equal(counts.strata.df, has @ in_stratum)
    assert counts.pair_df.tolist() == [int((has[a] & has[b]).sum()) for a, b in ((0, 3), (1, 2), (4, 3))]
    if counts.background is None:
        return
    bags = np.array([np.bincount(ids, minlength=VOCABULARY) > 0 for ids in documents.ids], np.int64)
    assert np.array_equal(counts.background, bags.sum(0))
    assert np.array_equal(counts.strata.background.toarray(), in_stratum.T @ bags)
    if counts.context is not None:
        assert np.array_equal(counts.context.toarray(), has @ bags)


def test_text_with_contexts_is_counted_by_stratum_and_in_the_words_languages(
    documents: Documents, corpus: Path, store: Any, tmp_path: Path
) -> None:
    """In one process and in two, whole and in parts that are merged; saved and loaded."""
    strata = Strata(edges=EDGES)
    arguments: dict[str, Any] = {"pairs": PAIRS, "context": store, "strata": strata}
    one = count(corpus, WATCH, workers=1, out=tmp_path / "one", checkpoint=0, **arguments)
    two = count(corpus, WATCH, workers=2, out=tmp_path / "two", **arguments)
    first, *rest = [count(file, WATCH, workers=1, **arguments) for file in sorted(corpus.iterdir())]
    for part in rest:
        first = first.merge(part)
    copy = Counts.load(Path(first.save(tmp_path / "copy")))
    for counts in (one, two, first, copy, Counts.load(tmp_path / "one")):
        assert_counted(counts, documents)
    assert (copy.index("w1", "fr"), copy.pair("w3", ("w1", "en"))) == (1, int(one.pair_df[0]))
    assert one.words_table()["language"].to_pylist() == [code for _, code in WORDS]
    assert one.pairs_table()["source_language"].to_pylist() == ["en", "fr", "de"]


def test_postings_are_those_of_the_words_in_their_languages(documents: Documents, corpus: Path, tmp_path: Path) -> None:
    counts = count(corpus, WATCH, workers=1, out=tmp_path / "out")
    assert counts.query("w3").num_rows == counts.df[3]
    table = counts.by_language()
    by_language = {(row["word"], row["lang"]): row["df"] for row in table.to_pylist() if row["word"] in ("w2", "w9")}
    assert by_language == {("w2", "fr"): counts.df[2], ("w9", "de"): counts.df[4]}


def test_text_without_tokens_has_strata_of_its_bytes(documents: Documents, corpus: Path) -> None:
    counts = count(corpus, WATCH, pairs=PAIRS, workers=1, strata=Strata(edges={("fr",): [20]}))
    assert counts.strata is not None
    sizes = np.array([len(" ".join(f"w{number}" for number in ids)) for ids in documents.ids])
    french = np.array([code == "fr" for code in documents.languages])
    expected = [(french & (sizes < 20)).sum(), (french & (sizes >= 20)).sum(), (~french).sum()]
    assert counts.strata.documents.tolist() == expected
    with pytest.raises(ValueError, match="expected: counts must have strata and tokens"):
        counts.expected("w3")


def test_tokens_have_strata_of_length(documents: Documents, core: Tokenizer, tmp_path: Path) -> None:
    """With a table, a sample and neither."""
    ids = np.concatenate([part for ids in documents.ids for part in (ids + 1, [0])]).astype("<u2")
    ids.tofile(tmp_path / "a.npy")
    shifted = Tokenizer(WordLevel({"end": 0} | {f"w{n}": n + 1 for n in range(VOCABULARY)}, unk_token="end"))
    watch = TokenWatchList(["w1", "w2", "w3"], shifted)
    files = TokenFiles(tmp_path / "a.npy", vocab_size=VOCABULARY + 1, eos=0)
    strata = Strata(language=False, edges=[10, 20])
    lengths = np.array([len(ids) + 1 for ids in documents.ids])  # the end token is the document's
    own = (lengths[:, None] >= [10, 20]).sum(1)
    bags = np.array([np.bincount(ids, minlength=VOCABULARY) > 0 for ids in documents.ids], np.int64)
    for arguments in ({}, {"context": True}, {"context": True, "sample": 50}, {"scope": "window:5"}):
        counts = count(files, watch, strata=strata, workers=1, unit="2KB", **arguments)
        assert counts.strata is not None
        assert np.array_equal(counts.strata.documents, np.bincount(own))
        assert np.array_equal(counts.strata.background.toarray()[:, 1:], np.eye(3, dtype=int)[own].T @ bags)
        assert np.array_equal(counts.strata.df, (bags[:, [1, 2, 3]].T @ np.eye(3, dtype=int)[own]))
        expected = sum(bags[own == s][:, 1].sum() * bags[own == s].sum(0) / (own == s).sum() for s in range(3))
        assert np.allclose(counts.expected("w1")[1:], expected, rtol=1e-13)


def test_found_strata_depend_neither_on_workers_nor_on_units(corpus: Path, store: Any) -> None:
    found = [count(corpus, WATCH, strata=Strata(), workers=1, unit=unit) for unit in ("auto", "5KB", None)]
    strata = [counts.strata.strata for counts in found if counts.strata is not None]
    assert strata[0] == strata[1] == strata[2]
    assert strata[0].sets == (("en",), ("fr",), ("de",), None)
    assert len(found[0].strata.strata) > 6  # type: ignore[union-attr]
    stored = count(corpus, WATCH, strata=Strata(), workers=1, context=store).strata
    assert stored is not None
    assert max(stored.strata.edges[0]) < 40  # tokens, not bytes


def test_counts_of_other_strata_are_not_merged_nor_taken_for_these(corpus: Path, tmp_path: Path) -> None:
    a, b, _ = sorted(corpus.iterdir())
    one = count(a, ["w1"], strata=Strata(edges={("en",): [50]}), workers=1, out=tmp_path)
    other = count(b, ["w1"], strata=Strata(edges={("en",): [60]}), workers=1)
    for counts in (other, count(b, ["w1"], workers=1)):
        with pytest.raises(ValueError, match="merge: other must have the same strata"):
            one.merge(counts)
    again = count(a, ["w1"], strata=Strata(edges={("en",): [60]}), workers=1, out=tmp_path)
    assert again.strata is not None
    assert again.strata.strata.edges == ((60,), ())
    plain = count(a, ["w1"], workers=1, out=tmp_path)
    assert plain.strata is None
    assert Counts.load(tmp_path).strata is None
    assert not list((tmp_path / "strata").glob("*.npy"))


@pytest.mark.parametrize("damage", ["short", "flipped", "gone"])
def test_a_damaged_table_of_strata_is_refused_or_made_anew(
    documents: Documents, corpus: Path, store: Any, tmp_path: Path, damage: str
) -> None:
    def damaged(path: Path) -> None:
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw[:-9] if damage == "short" else raw)
        if damage == "gone":
            path.unlink()

    arguments: dict[str, Any] = {"pairs": PAIRS, "context": store, "strata": Strata(edges=EDGES), "workers": 1}
    count(corpus, WATCH, out=tmp_path, **arguments)
    damaged(tmp_path / "strata" / "df.npy")
    with pytest.raises(InputError) as refusal:
        Counts.load(tmp_path)
    assert refusal.value.path == str(tmp_path / "strata" / "df.npy")
    (table,) = (tmp_path / "units").glob("*.context/*.strata")
    damaged(table)
    assert_counted(count(corpus, WATCH, out=tmp_path, **arguments), documents)
    assert_counted(Counts.load(tmp_path), documents)


COUNT = """
import sys
from pivotkit.corpus import Strata, TokenFiles, TokenWatchList, count
from tokenizers import Tokenizer

if __name__ == "__main__":
    folder, tokenizer, out, workers = sys.argv[1:5]
    watch = TokenWatchList([f"w{i}" for i in range(5, 60)], Tokenizer.from_file(tokenizer))
    files = TokenFiles(folder, vocab_size=2000, eos=0)
    print("begun", flush=True)
    count(files, watch, strata=Strata(language=False, length=9), unit="20KB", workers=int(workers), out=out,
          checkpoint=0.02)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_kills_at_random_moments_lose_and_repeat_nothing(tmp_path: Path, workers: int) -> None:
    """Ten in all; a full benchmark makes twenty of each."""
    kills = 20 if os.environ.get("PIVOTKIT_BENCH") == "full" else 5
    Tokenizer(WordLevel({f"w{i}": i for i in range(2000)}, unk_token="w0")).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokens").mkdir()
    rng = np.random.default_rng(0)
    for name in "ab":
        (rng.zipf(1.2, 500_000) % 2000).astype("<u2").tofile(tmp_path / "tokens" / f"{name}.npy")

    def command(out: str) -> list[str]:
        folders = (str(tmp_path / name) for name in ("tokens", "tokenizer.json", out))
        return [sys.executable, "-c", COUNT, *folders, str(workers)]

    def tables(out: str) -> list[bytes]:
        names = ("words.parquet", "background.parquet", "strata/df.npy", "strata/tokens.npy", "counts.json")
        return [(tmp_path / out / name).read_bytes() for name in names]

    subprocess.run(command("whole"), check=True, capture_output=True)
    random_ = random.Random(workers)
    for kill in range(kills):
        process = subprocess.Popen(command("out"), stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random_.uniform(0, 0.3 * workers * (kill + 1) / kills))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    subprocess.run(command("out"), check=True, capture_output=True)
    assert tables("out") == tables("whole")


def test_what_does_not_go_together_is_refused(corpus: Path, core: Tokenizer, tmp_path: Path) -> None:
    np.array([1, 2, 0], "<u2").tofile(tmp_path / "a.npy")
    files = TokenFiles(tmp_path / "a.npy", vocab_size=VOCABULARY, eos=0)
    watch = TokenWatchList(["w1"], core)
    with pytest.raises(ValueError, match="count: strata must have language=False for token files, which have no"):
        count(files, watch, strata=Strata(), workers=1)
    with pytest.raises(ValueError, match=r"watchlist must have no languages for token files, .*; got 1"):
        count(files, TokenWatchList(["w1"], core, languages=["en"]), workers=1)
    with pytest.raises(ValueError, match="count: background must be True with strata; got False"):
        count(files, watch, strata=Strata(language=False), background=False, workers=1)
    with pytest.raises(TypeError, match="count: strata must be a Strata or None; got bool"):
        count(files, watch, strata=True, workers=1)  # type: ignore[arg-type]
    wide = TokenFiles(tmp_path / "a.npy", vocab_size=50_000, eos=0)  # 256 strata take 49 MiB
    with pytest.raises(ValueError, match="memory must be at least"):
        count(wide, watch, strata=Strata(language=False, edges=range(1, 256)), memory="300MiB", workers=1)
    with pytest.raises(ValueError, match="language must be one of those that 'w1' is watched in"):
        count(corpus, WATCH, pairs=[("w1", "w2")], workers=1)
    for pair in ((("w1",), "w2"), (("w1", 3), "w2"), ("w1", "w2", "w3")):
        with pytest.raises(TypeError, match="count: pairs must be pairs of"):
            count(corpus, WATCH, pairs=[pair], workers=1)
