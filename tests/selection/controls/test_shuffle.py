"""Documents with other pivots have the same lengths, and differ in pivots alone."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from pivotkit.corpus import TokenFiles, tokenize
from pivotkit.selection import score_documents, select, shuffle_pivots, write_selection

NEW = np.array([0, 1, 3, 2, 5, 4, 6, 7])


@pytest.fixture
def files(tmp_path):
    np.array([2, 1, 3, 0, 4, 0, 1, 1, 5, 2, 0], "<u2").tofile(tmp_path / "part.npy")
    return TokenFiles(tmp_path / "part.npy", vocab_size=8, eos=0)


@pytest.fixture
def tokenizer():
    words = {"the": 0, "a": 1, "cat": 2, "dog": 3, "sun": 4, "sea": 5, "un": 6, "?": 7}
    core = Tokenizer(models.WordLevel(words, unk_token="un"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return core


def test_token_files_are_read_with_other_ids_and_written(files, tmp_path):
    shuffled = shuffle_pivots(files, NEW)
    unit = files.work_units()[0]
    assert [ids.tolist() for ids in shuffled.documents(unit)] == [NEW[ids].tolist() for ids in files.documents(unit)]
    assert shuffled.identity() != files.identity()
    chosen = select(score_documents(files, [2, 3, 4, 5]), budget_tokens=8)
    write_selection(chosen, files, tmp_path / "plain")
    write_selection(chosen, shuffled, tmp_path / "shuffled")
    plain, other = (
        np.concatenate([np.fromfile(part, "<u2") for part in sorted((tmp_path / name).glob("part-*.npy"))])
        for name in ("plain", "shuffled")
    )
    assert other.tolist() == NEW[plain].tolist()


def test_a_store_is_read_with_other_ids(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("the cat\na dog sun sea\nthe a\n", "utf-8")
    store = tokenize(tmp_path / "a.txt", tokenizer, tmp_path / "tokens")
    shuffled = shuffle_pivots(store, NEW)
    unit = store.units[0]
    assert shuffled.ids(unit).tolist() == NEW[store.ids(unit)].tolist()
    assert shuffled.read(unit, 1, 4).tolist() == NEW[store.read(unit, 1, 4)].tolist()
    assert [block.ids.tolist() for block in shuffled.blocks(unit)] == [NEW[store.ids(unit)].tolist()]
    first, second = score_documents(store, [2]), score_documents(shuffled, [3])
    assert first["pivots"].to_pylist() == second["pivots"].to_pylist()


def test_texts_are_decoded_only_where_a_pivot_was_replaced(tokenizer):
    texts = ["the  cat", "a a   the", "dog sea sun"] * 700
    found = list(shuffle_pivots(texts, NEW, tokenizer))
    assert found == ["the dog", "a a   the", "cat sun sea"] * 700


def test_what_cannot_be_shuffled_is_refused(files, tokenizer):
    with pytest.raises(ValueError, match=r"^shuffle_pivots: permutation must have each id once; got others$"):
        shuffle_pivots(files, np.zeros(8, np.int64))
    with pytest.raises(ValueError, match=r"^shuffle_pivots: permutation must have the new id of each of 8 ids; got 7$"):
        shuffle_pivots(files, np.arange(7))
    with pytest.raises(
        TypeError,
        match=r"^shuffle_pivots: corpus must be a TokenStore or TokenFiles, or texts with a tokenizer; got list$",
    ):
        shuffle_pivots(["a"], NEW)
    with pytest.raises(ValueError, match=r"^shuffle_pivots: tokenizer must be None for TokenFiles; got Tokenizer$"):
        shuffle_pivots(files, NEW, tokenizer)
    with pytest.raises(TypeError, match=r"^shuffle_pivots: corpus must be a TokenStore, TokenFiles or texts; got int$"):
        shuffle_pivots(7, NEW, tokenizer)
