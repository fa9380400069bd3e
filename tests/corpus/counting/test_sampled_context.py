"""Context tables from a sample of documents: which documents, what they add up to, and how far off that is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import Whitespace

from pivotkit.corpus import Counts, TokenFiles, TokenWatchList, count, tokenize
from pivotkit.corpus.counting import bottom_k, unit_tokens
from pivotkit.corpus.counting.bottom_k import HIGHEST, BottomKSketch, document_hashes
from pivotkit.corpus.reading.units import Unit

VOCABULARY = 120
WATCHED = range(3, 60, 4)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1)), unique=True, max_size=80),
    st.integers(2, 9),
    st.integers(1, 7),
)
def test_the_lowest_hashes_are_those_of_all_hashes_sorted(hits: list[tuple[int, int]], size: int, part: int) -> None:
    lowest = BottomKSketch(4, size)
    for begin in range(0, len(hits), part):
        words, hashes = zip(*hits[begin : begin + part], strict=True)
        kept = lowest.add(np.array(words, np.int32), np.array(hashes, np.uint64))
        lowest.bounds()  # as often as can be
        seen = hits[: begin + part]
        for (word, hash_), keep in zip(hits[begin : begin + part], kept, strict=True):
            assert keep or hash_ not in sorted(h for w, h in seen if w == word)[:size]
    for word, bound in enumerate(lowest.bounds()):
        expected = sorted(hash_ for w, hash_ in hits if w == word)
        assert bound == (expected[size - 1] if len(expected) >= size else HIGHEST)


def test_hashes_of_documents_differ_between_places_and_files() -> None:
    places = np.arange(10_000)
    hashes = np.concatenate([document_hashes(file, places) for file in "ab"])
    assert len(np.unique(hashes)) == 20_000
    assert 0.49 < (hashes >> np.uint64(63)).mean() < 0.51


def write_tokens(path: Path, seed: int = 0, documents: int = 900) -> Path:
    rng = np.random.default_rng(seed)
    ids = (rng.zipf(1.3, documents * 12) % (VOCABULARY - 1) + 1).astype("<u2")
    ids[rng.integers(0, len(ids), documents)] = 0  # ends of documents
    path.parent.mkdir(exist_ok=True)
    ids.tofile(path)
    return path


@pytest.fixture(scope="module")
def watch() -> TokenWatchList:
    core = Tokenizer(WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    return TokenWatchList([f"w{i}" for i in WATCHED], core)


def token_files(path: Path) -> TokenFiles:
    return TokenFiles(path, vocab_size=VOCABULARY, eos=0)


def dense(path: Path) -> tuple[Any, Any, Any]:
    """Documents by tokens and by words, 0/1, and where each document begins."""
    ids = np.fromfile(path, "<u2")
    ends = [0, *(np.flatnonzero(ids == 0) + 1).tolist()]
    if ends[-1] != len(ids):
        ends.append(len(ids))
    bags = np.zeros((len(ends) - 1, VOCABULARY), np.int64)
    for document, (a, b) in enumerate(pairwise(ends)):
        bags[document, ids[a:b]] = 1
    return bags, bags[:, list(WATCHED)], np.array(ends[:-1])


def by_hand(paths: list[Path], size: int) -> Any:
    """The sampled table from every document's hash."""
    parts = [dense(path) for path in paths]
    bags, hits = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    hashes = np.concatenate(
        [document_hashes(Unit.of(path).name, part[2]) for path, part in zip(paths, parts, strict=True)]
    )
    table = np.zeros((hits.shape[1], VOCABULARY))
    for word in range(hits.shape[1]):
        holders = np.flatnonzero(hits[:, word])
        chosen = holders[np.argsort(hashes[holders])[:size]]
        sums = bags[chosen].sum(0)
        table[word] = sums * len(holders) / max(len(chosen), 1)
    return table


@pytest.mark.parametrize("size", [2, 17, 100, 10_000])
def test_a_row_is_its_documents_of_lowest_hash_scaled(watch: TokenWatchList, tmp_path: Path, size: int) -> None:
    paths = [write_tokens(tmp_path / "corpus" / f"{name}.npy", seed) for seed, name in enumerate("abc")]
    files = token_files(tmp_path / "corpus")
    counts = count(files, watch, context=True, sample=size, workers=1)
    exact = count(files, watch, context=True, workers=1)
    assert np.array_equal(counts.context.toarray(), by_hand(paths, size))
    assert counts.approximation == {"context": "bottom-k documents", "k": size}
    for name in ("df", "tf", "background"):
        assert np.array_equal(getattr(counts, name), getattr(exact, name))
    rare = exact.df <= size
    assert np.array_equal(counts.context.toarray()[rare], exact.context.toarray()[rare])
    error = counts.context_error().toarray()
    assert not error[rare].any()
    if size < 10_000:
        assert error[~rare].any()
        assert not rare.all()
    else:
        assert rare.all()
    assert not exact.context_error().toarray().any()
    assert exact.approximation is None


def test_the_sample_depends_on_no_unit_worker_or_memory(
    watch: TokenWatchList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate("ab"):
        write_tokens(tmp_path / "corpus" / f"{name}.npy", seed)
    files = token_files(tmp_path / "corpus")
    whole = count(files, watch, context=True, sample=20, workers=1, unit=None).context
    monkeypatch.setattr(bottom_k, "WAITING", 7)
    for unit, workers in (("1KB", 1), ("3KB", 2)):
        again = count(files, watch, context=True, sample=20, workers=workers, unit=unit).context
        assert (again != whole).nnz == 0


def test_estimates_are_unbiased_and_their_errors_are_as_told(
    watch: TokenWatchList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty samples of one corpus, by hashes of sixty seeds: their errors in units of the standard error."""
    files = token_files(write_tokens(tmp_path / "corpus" / "a.npy"))
    exact = count(files, watch, context=True, workers=1).context.toarray()
    estimates, errors = [], []
    for seed in range(60):
        monkeypatch.setattr(
            unit_tokens, "document_hashes", lambda _, places, seed=seed: document_hashes(f"{seed}", places)
        )
        counts = count(files, watch, context=True, sample=40, workers=1)
        estimates.append(counts.context.toarray())
        errors.append(counts.context_error().toarray())
    sums = np.stack([estimate.sum(1) for estimate in estimates])
    assert (np.abs(sums.mean(0) - exact.sum(1)) <= 4 * sums.std(0) / len(sums) ** 0.5).all()
    share = exact / counts.df[:, None]
    middling = (share > 0.2) & (share < 0.8) & (counts.df[:, None] > 60)  # where the normal law holds for 40 documents
    assert middling.sum() > 10
    z = np.stack(
        [(estimate - exact)[middling] / error[middling] for estimate, error in zip(estimates, errors, strict=True)]
    )
    assert abs(z.mean()) < 0.1
    assert 0.9 < z.std() < 1.1


def test_text_is_sampled_too_and_a_kept_sample_is_loaded_and_taken_up(
    write: Any, tmp_path: Path, tokenizer: Any
) -> None:
    rng = np.random.default_rng(2)
    for name in "ab":
        write([" ".join(rng.choice(["the", "a", "cat", "dog"], 9)) for _ in range(200)], f"corpus/{name}.jsonl")
    store = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "store")
    out = tmp_path / "out"
    counts = count(tmp_path / "corpus", ["cat", "dog"], context=store, sample=30, workers=1, out=out)
    exact = count(tmp_path / "corpus", ["cat", "dog"], context=store, workers=1)
    error = counts.context_error().toarray()
    assert 0 < np.abs(counts.context.toarray() - exact.context.toarray()).max() < 5 * error.max()
    loaded = Counts.load(out)
    assert loaded.approximation == counts.approximation
    assert (loaded.context != counts.context).nnz == 0
    again = count(tmp_path / "corpus", ["cat", "dog"], context=store, sample=30, workers=1, out=out)
    assert (again.context != counts.context).nnz == 0
    with pytest.raises(ValueError, match="merge: self must have an exact context"):
        counts.merge(exact)
    with pytest.raises(ValueError, match="merge: other must have an exact context"):
        exact.merge(counts)


def test_documents_without_tokens_are_in_the_sample_as_they_are_in_the_exact_table(write: Any, tmp_path: Path) -> None:
    """A tokenizer that knows no word of a document gives it no token, first, last and in between."""
    core = Tokenizer(BPE({letter: place for place, letter in enumerate("acdgost")}, []))
    core.pre_tokenizer = Whitespace()
    write(["mue", "cat sat", "mue cat", "mue", "dog mue", "cat", "mue"], "corpus/a.jsonl")
    store = tokenize(tmp_path / "corpus", core, tmp_path / "store")
    exact = count(tmp_path / "corpus", ["mue", "cat"], context=store, workers=1)
    counts = count(tmp_path / "corpus", ["mue", "cat"], context=store, sample=10, workers=1)
    assert exact.df.tolist() == [5, 3]
    assert np.array_equal(counts.context.toarray(), exact.context.toarray())
    two = count(tmp_path / "corpus", ["mue", "cat"], context=store, sample=2, workers=1)
    assert set(np.unique(two.context.toarray()[0])) <= {0, 2.5, 5}


@pytest.mark.parametrize("documents", [109, 218, 2007])
def test_a_token_of_every_document_of_a_word_is_in_df_documents_without_error(
    watch: TokenWatchList, tmp_path: Path, documents: int
) -> None:
    np.tile(np.array([7, 9, 0], "<u2"), documents).tofile(tmp_path / "a.npy")
    counts = count(token_files(tmp_path / "a.npy"), watch, context=True, sample=100, workers=1)
    row = counts.index("w7")
    assert counts.context.toarray()[row, [0, 7, 9]].tolist() == [documents] * 3
    assert not counts.context_error().toarray().any()


def test_a_sample_that_cannot_be_is_refused(watch: TokenWatchList, tmp_path: Path) -> None:
    files = token_files(write_tokens(tmp_path / "corpus" / "a.npy"))
    with pytest.raises(ValueError, match="sample must be at least 2 documents"):
        count(files, watch, context=True, sample=1)
    with pytest.raises(TypeError, match="sample must be an int or None; got bool"):
        count(files, watch, context=True, sample=True)
    with pytest.raises(ValueError, match="sample must come with a context"):
        count(files, watch, sample=10)
    with pytest.raises(ValueError, match="memory"):
        count(files, watch, context=True, sample=10**8)
    with pytest.raises(ValueError, match="context_error: counts must have a context"):
        count(files, watch, workers=1).context_error()
