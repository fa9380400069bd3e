"""Rows are the documents in a seeded order, each ended by eos, whatever they are read from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from transformers import AutoTokenizer

import pivotkit as pk
from pivotkit.training.arms import Documents, open_documents
from pivotkit.training.packing import PackedRows

EOS = 0


def documents_of(listed: list[list[int]]) -> Documents:
    found = [np.array(ids, np.int64) for ids in listed]
    bare = np.array([ids[-1] != EOS for ids in found], np.bool_)
    lengths = np.array([len(ids) for ids in found], np.int64) + bare
    return Documents("'x'", lengths, bare, EOS, "", lambda document, begin, end: found[document][begin:end])


@drawn(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=20),
    st.integers(2, 9),
    st.integers(0, 5),
)
def test_rows_are_the_shuffled_documents_one_behind_another(listed, length, seed):
    documents = documents_of(listed)
    order = np.random.default_rng(seed).permutation(len(listed))
    stream = [number for at in order for number in (listed[at] if listed[at][-1] == EOS else [*listed[at], EOS])]
    count = len(stream) // length
    rows = PackedRows("f", documents, length, count, seed)
    found = [rows.ids(row).tolist() for row in range(count)]
    assert found == [stream[row * length : (row + 1) * length] for row in range(count)]
    assert len(rows) == count


def test_a_row_is_asked_for_by_trainer_as_ids_and_labels():
    rows = PackedRows("f", documents_of([[1, 2, 3]]), 2, 2, 0)
    assert torch.equal(rows[1]["input_ids"], torch.tensor([3, EOS]))
    assert torch.equal(rows[1]["labels"], rows[1]["input_ids"])
    with pytest.raises(IndexError, match="row must be in"):
        rows[2]


def test_documents_with_fewer_tokens_than_rows_are_refused():
    message = r"f: arms must hold at least 6 tokens each, with one eos a document; got 4 in 'x'"
    with pytest.raises(ValueError, match=message):
        PackedRows("f", documents_of([[1, 2, 3]]), 2, 3, 0)


def test_files_a_store_and_ids_in_memory_give_the_same_rows(given, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(given / "model")
    vocab, eos = len(tokenizer), tokenizer.eos_token_id
    files = pk.TokenFiles(sorted((given / "one").glob("*.npy")), vocab_size=vocab, eos=eos)
    listed = [ids for unit in files.work_units() for ids in files.documents(unit)]
    texts = [tokenizer.decode(ids[:-1]) for ids in listed]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    store = pk.tokenize(tmp_path / "texts.jsonl", tokenizer, tmp_path / "store")
    found = []
    for source in (given / "one", files, listed, [ids[:-1].tolist() for ids in listed], texts, store):
        documents = open_documents("f", "arms", "x", source, tokenizer, vocab)
        rows = PackedRows("f", documents, 32, documents.tokens // 32, 3)
        found.append(np.stack([rows.ids(row) for row in range(len(rows))]))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
