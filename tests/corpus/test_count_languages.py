"""Counts by a table of languages: text, token stores and token files, against brute force over the documents."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from pivotkit.corpus import Counts, Strata, TokenFiles, TokenStore, TokenWatchList, WatchList, count, tokenize
from pivotkit.corpus.languages import LanguageTable, document_languages
from pivotkit.errors import InputError

VOCABULARY = 40
EOS = VOCABULARY
WORDS = [("w1", "en"), ("w1", "fr"), ("w2", "fr"), ("w3", None), ("w9", "de"), ("w4", "xx")]
PAIRS = [(("w1", "en"), "w3"), (("w1", "fr"), "w2"), ("w9", "w3")]
SETS = [("en",), ("fr",), ("en", "fr"), ("de",), ("de", "en", "fr"), ()]
EDGES = {("en",): [10, 25], ("en", "fr"): [20], "other": [15]}
STRATA = [("en",)] * 3 + [("en", "fr")] * 2 + [None] * 2


class Corpus(NamedTuple):
    """Documents of lines of ids, the set of languages of each, and the same as text, as a store and as token files."""

    lines: list[list[np.ndarray]]
    sets: list[tuple[str, ...]]
    text: Path
    store: TokenStore
    files: TokenFiles
    core: Tokenizer
    own: Path  # the languages of the token files, as a user's table


@pytest.fixture(scope="module")
def core() -> Tokenizer:
    """Words w0 to w39 with their space, and the line break, so that tokens have lines."""
    names = [*(f"Ġw{number}" for number in range(VOCABULARY)), "<eos>", "Ċ", "?"]
    core = Tokenizer(WordLevel({name: place for place, name in enumerate(names)}, "?"))
    cuts = [Split(" ", "merged_with_next"), Split("\n", "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    core.pre_tokenizer, core.decoder = Sequence(cuts), decoders.ByteLevel()
    return core


@pytest.fixture(scope="module")
def corpus(core: Tokenizer, tmp_path_factory: Any) -> Corpus:
    """Two files of 500 and 700 documents; the field says nothing, or something wrong."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    lines = [[rng.zipf(1.3, rng.integers(1, 12)) % VOCABULARY for _ in range(rng.integers(1, 5))] for _ in range(1200)]
    sets = [SETS[place] for place in rng.integers(len(SETS), size=1200)]
    (folder / "text").mkdir()
    (folder / "tokens").mkdir()
    rows = []
    for name, first, last in (("a", 0, 500), ("b", 500, 1200)):
        documents = []
        for document in lines[first:last]:
            text = "\n".join("".join(f" w{number}" for number in line) for line in document)
            documents.append({"text": text} | ({"lang": "de"} if len(documents) % 3 else {}))
        raw = "".join(f"{json.dumps(document)}\n" for document in documents)
        (folder / "text" / f"{name}.jsonl").write_text(raw)
        ids = [np.concatenate([*join(document), [EOS]]) for document in lines[first:last]]
        np.concatenate(ids).astype("<u2").tofile(folder / "tokens" / f"{name}.npy")
        rows += [
            {"file": f"{name}.npy", "row": row, "languages": list(some)} for row, some in enumerate(sets[first:last])
        ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "own.parquet")
    files = TokenFiles(folder / "tokens", vocab_size=VOCABULARY + 3, eos=EOS)
    store = tokenize(folder / "text", core, folder / "store")
    return Corpus(lines, sets, folder / "text", store, files, core, folder / "own.parquet")


def join(document: list[np.ndarray]) -> list[np.ndarray]:
    """The ids of a document of lines, with line breaks between."""
    return [part for line in document for part in ([EOS + 1], line)][1:]


@pytest.fixture(scope="module")
def text_table(corpus: Corpus, tmp_path_factory: Any) -> LanguageTable:
    """Kept on disk, in small units."""
    import importlib

    door = importlib.import_module("pivotkit.corpus.languages.document_languages")
    answers = iter(corpus.sets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door, "UNIT_BYTES", 5000)
        return document_languages(
            corpus.text, languages=lambda text: next(answers), out=tmp_path_factory.mktemp("table")
        )


@pytest.fixture(scope="module")
def token_table(corpus: Corpus) -> LanguageTable:
    return LanguageTable.from_file(corpus.own, corpus.files)


def watch_of(corpus: Corpus, tokens: bool) -> Any:
    words, codes = zip(*WORDS, strict=True)
    return TokenWatchList(words, corpus.core, languages=codes) if tokens else WatchList(words, languages=codes)


def assert_counted(counts: Counts, corpus: Corpus, pieces: bool = False, window: int = 0, lengths: Any = None) -> None:
    """df, pairs and strata are those of a loop over documents, or over their lines."""
    units = [
        (some, np.concatenate(part))
        for document, some in zip(corpus.lines, corpus.sets, strict=True)
        for part in ([[line] for line in document] if pieces else [join(document)])
    ]
    has = np.array(
        [[int(word[1:]) in ids and (code is None or code in some) for word, code in WORDS] for some, ids in units]
    )
    assert counts.df.tolist() == has.sum(0).tolist()
    places = [(0, 3), (1, 2), (4, 3)]
    if window:
        near = [
            sum(has[d, a] and has[d, b] and are_near(ids, a, b, window) for d, (_, ids) in enumerate(units))
            for a, b in places
        ]
    else:
        near = [int((has[:, a] & has[:, b]).sum()) for a, b in places]
    assert counts.pair_df.tolist() == near
    if counts.strata is not None:
        assert lengths is not None
        own = np.array([stratum_of(some, length) for (some, _), length in zip(units, lengths, strict=True)])
        assert counts.strata.documents.tolist() == np.bincount(own, minlength=len(STRATA)).tolist()
        assert np.array_equal(counts.strata.df, has.T.astype(int) @ np.eye(len(STRATA), dtype=int)[own])


def are_near(ids: np.ndarray, a: int, b: int, window: int) -> bool:
    first, second = (np.flatnonzero(ids == int(WORDS[word][0][1:])) for word in (a, b))
    return bool((np.abs(first[:, None] - second[None]) < window).any())


def stratum_of(some: tuple[str, ...], length: int) -> int:
    edges, first = {("en",): ([10, 25], 0), ("en", "fr"): ([20], 3)}.get(some, ([15], 5))
    return first + sum(length >= edge for edge in edges)


def lengths_of(corpus: Corpus, more: int = 0) -> list[int]:
    return [sum(map(len, document)) + len(document) - 1 + more for document in corpus.lines]


@pytest.mark.parametrize("workers", [1, 2])
def test_text_with_contexts_is_counted_by_the_table(
    corpus: Corpus, text_table: LanguageTable, tmp_path: Path, workers: int
) -> None:
    arguments: dict[str, Any] = {"pairs": PAIRS, "strata": Strata(edges=EDGES), "workers": workers}
    counts = count(
        corpus.text, watch_of(corpus, False), context=corpus.store, languages=text_table, out=tmp_path, **arguments
    )
    assert_counted(counts, corpus, lengths=lengths_of(corpus))
    assert counts.language_table == Counts.load(tmp_path).language_table == text_table.digest


@pytest.mark.parametrize("unit", [None, "5KB", "12KB"])
@pytest.mark.parametrize("scope", ["document", "line"])
def test_text_is_counted_by_the_table_in_units_of_the_table(
    corpus: Corpus, text_table: LanguageTable, scope: str, unit: str | None
) -> None:
    opened = LanguageTable.open(str(text_table.folder))
    watch = watch_of(corpus, False)
    counts = count(corpus.text, watch, pairs=PAIRS, scope=scope, languages=opened, unit=unit, workers=1)
    assert_counted(counts, corpus, pieces=scope == "line")


@pytest.mark.parametrize("scope", ["document", "line", "window:4"])
@pytest.mark.parametrize("kind", ["store", "files"])
def test_tokens_are_counted_by_the_table(
    corpus: Corpus, text_table: LanguageTable, token_table: LanguageTable, kind: str, scope: str
) -> None:
    """A store has the documents of its text; of token files the end token is part of each document."""
    tokens: Any = corpus.store if kind == "store" else corpus.files
    strata = Strata(edges=EDGES) if scope != "line" else None
    counts = count(
        tokens,
        watch_of(corpus, True),
        pairs=PAIRS,
        scope=scope,
        strata=strata,
        languages=text_table if kind == "store" else token_table,
        unit="3KB",
        workers=1,
    )
    window = 4 if scope.startswith("window") else 0
    assert_counted(counts, corpus, scope == "line", window, lengths_of(corpus, more=kind == "files"))


def test_workers_read_the_same_table(corpus: Corpus, token_table: LanguageTable) -> None:
    counts = count(corpus.files, watch_of(corpus, True), pairs=PAIRS, languages=token_table, unit="3KB", workers=2)
    assert_counted(counts, corpus)


def test_a_store_has_the_languages_of_its_text(corpus: Corpus, tmp_path: Path) -> None:
    """Without a table it counts as its text with the store does."""
    arguments: dict[str, Any] = {"pairs": PAIRS, "strata": Strata(), "workers": 1}
    words, codes = zip(*WORDS, strict=True)
    tokens = count(corpus.store, TokenWatchList(words, corpus.core, languages=codes), out=tmp_path / "a", **arguments)
    text = count(corpus.text, WatchList(words, languages=codes), context=corpus.store, out=tmp_path / "b", **arguments)
    assert tokens.df[4] > 0
    for name in ("df", "pair_df", "background"):
        assert np.array_equal(getattr(tokens, name), getattr(text, name))
    assert tokens.strata is not None
    assert text.strata is not None
    assert tokens.strata.strata == text.strata.strata
    assert tokens.strata.strata.sets == (("de",), None)
    assert np.array_equal(tokens.strata.df, text.strata.df)
    assert tokens.by_language().to_pylist() == text.by_language().to_pylist()


@pytest.mark.parametrize("kind", ["text", "store", "files"])
def test_by_language_and_query_say_the_sets_of_the_table(
    corpus: Corpus, text_table: LanguageTable, token_table: LanguageTable, tmp_path: Path, kind: str
) -> None:
    source: Any = {"text": corpus.text, "store": corpus.store, "files": corpus.files}[kind]
    watch = WatchList(["w3"]) if kind == "text" else TokenWatchList(["w3"], corpus.core)
    table = token_table if kind == "files" else text_table
    counts = count(source, watch, languages=table, workers=1, out=tmp_path)
    has = [3 in np.concatenate(document) for document in corpus.lines]
    wanted: dict[str, int] = {}
    for some, there in zip(corpus.sets, has, strict=True):
        if there:
            wanted["+".join(some) or "und"] = wanted.get("+".join(some) or "und", 0) + 1
    assert {row["lang"]: row["df"] for row in counts.by_language().to_pylist()} == wanted
    assert len(counts.query("w3", lang="en+fr")) == wanted["en+fr"]


def other_table(corpus: Corpus, code: str) -> LanguageTable:
    return document_languages(corpus.text, languages=lambda text: code)


def test_counts_of_another_table_are_counted_anew_and_not_merged(
    corpus: Corpus, text_table: LanguageTable, tmp_path: Path
) -> None:
    watch = watch_of(corpus, False)
    a, b = sorted(corpus.text.iterdir())
    french = count(a, watch, languages=other_table(corpus, "fr"), workers=1, out=tmp_path)
    english = count(a, watch, languages=other_table(corpus, "en"), workers=1, out=tmp_path)
    assert (french.df[0], english.df[1]) == (0, 0)
    assert french.df[1] == english.df[0] > 0
    for table in (other_table(corpus, "fr"), None):
        with pytest.raises(ValueError, match="merge: other must have the same language_table; got others"):
            english.merge(count(b, watch, languages=table, workers=1))
    parts = [count(file, watch, pairs=PAIRS, languages=text_table, workers=1) for file in (a, b)]
    assert_counted(parts[0].merge(parts[1]), corpus)


def test_a_table_of_other_files_is_refused_by_their_name(corpus: Corpus, tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text('{"text": " w1"}\n')
    table = document_languages(file, languages=lambda text: "en")
    watch = watch_of(corpus, False)
    with pytest.raises(InputError, match=r"as it is now; .*a\.jsonl is not in it"):
        count(corpus.text, watch, languages=table, workers=1)
    with pytest.raises(InputError, match=r"as it is now; .*a\.npy is not in it"):
        count(corpus.files, watch_of(corpus, True), languages=table, workers=1)
    os.utime(file, (1, 1))
    with pytest.raises(InputError, match=r"as it is now; .*c\.jsonl has changed since"):
        count(file, watch, languages=table, workers=1)


def test_a_table_that_lacks_a_document_is_refused(tmp_path: Path) -> None:
    """One that was made without the documents that cannot be read is not for a count that reads them."""
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a w1"}\n{"text": "w1"}\n')
    table = document_languages(file, languages=lambda text: "en")
    (unit,) = table.units
    part = table._part(0)
    kept = LanguageTable([unit], [table._summaries[0]], "characters", {unit: part})
    object.__setattr__(part, "places", np.array([0, 5]))
    with pytest.raises(InputError, match="must hold every document of the corpus; got none at 1"):
        count(file, ["w1"], languages=kept, workers=1)


def test_a_part_that_changes_under_a_count_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    table = document_languages(corpus.text, languages="field", out=tmp_path / "out", workers=1)
    (part, *_) = sorted((tmp_path / "out").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(InputError, match=part.name):
        count(corpus.text, watch_of(corpus, False), languages=table, workers=1)


def test_languages_that_are_not_known_are_refused(corpus: Corpus, token_table: LanguageTable) -> None:
    watch = watch_of(corpus, True)
    plain = TokenWatchList(["w1"], corpus.core)
    with pytest.raises(ValueError, match=r"watchlist must have no languages for token files, .* \(languages=\); got 4"):
        count(corpus.files, watch, workers=1)
    with pytest.raises(ValueError, match=r"strata must have language=False for token files, which have no languages"):
        count(corpus.files, plain, strata=Strata(), workers=1)
    for source, words, arguments in (
        (corpus.files, plain, {"languages": token_table}),
        (corpus.store, watch, {}),
        (corpus.store, plain, {"strata": Strata()}),
    ):
        with pytest.raises(ValueError, match=r"scope must not be of instances where languages count, .*'instance:8'"):
            count(source, words, scope="instance:8", workers=1, **arguments)
    with pytest.raises(TypeError, match="count: languages must be a LanguageTable or None; got str"):
        count(corpus.text, ["w1"], languages="field", workers=1)  # type: ignore[arg-type]
