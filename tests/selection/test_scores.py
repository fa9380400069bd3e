"""Document scores against a loop over documents, on made-up stores and on a real one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pivotkit.corpus.matching.match import match_documents
from pivotkit.corpus.reading.token_store import tokenize
from pivotkit.selection.scores import count_members, score_documents

VOCABULARY = 12
units_of_documents = st.lists(
    st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=6), max_size=8), min_size=1, max_size=3
)


def make_store(units):
    """What `score_documents` reads of a token store, for documents given as lists of ids."""
    names = [SimpleNamespace(name=f"u{number}") for number in range(len(units))]
    documents = {name.name: unit for name, unit in zip(names, units, strict=True)}

    def table(unit):
        rows = range(len(documents[unit.name]))
        columns = {
            "row": pa.array(rows, pa.int64()),
            "id": pa.array([f"{unit.name}:{row}" for row in rows], pa.string()),
        }
        return pa.table({**columns, "lang": pa.array(["und"] * len(rows), pa.string())})

    return SimpleNamespace(
        units=names,
        vocab_size=VOCABULARY,
        fingerprint="made up",
        ids=lambda unit: np.array([token for document in documents[unit.name] for token in document], np.uint32),
        offsets=lambda unit: np.cumsum([0, *map(len, documents[unit.name])]),
        table=table,
    )


@given(units_of_documents, st.sets(st.integers(0, VOCABULARY - 1), min_size=1), st.integers(1, 20))
def test_scores_equal_a_loop_over_documents(units, pivots, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.scores.BLOCK_TOKENS", block)
        scored = score_documents(make_store(units), sorted(pivots))
    expected = [
        {
            "unit": f"u{number}",
            "row": row,
            "id": f"u{number}:{row}",
            "tokens": len(document),
            "pivots": sum(token in pivots for token in document),
            "score": sum(token in pivots for token in document) / len(document) if document else 0.0,
            "lang": "und",
        }
        for number, unit in enumerate(units)
        for row, document in enumerate(unit)
    ]
    assert scored.to_pylist() == expected


@given(units_of_documents)
def test_scores_are_shares(units):
    every = score_documents(make_store(units), range(VOCABULARY))
    assert set(every["score"].to_pylist()) <= {0.0, 1.0}
    some = score_documents(make_store(units), [0, 1])["score"].to_pylist()
    rest = score_documents(make_store(units), range(2, VOCABULARY))["score"].to_pylist()
    for one, other, tokens in zip(some, rest, every["tokens"].to_pylist(), strict=True):
        assert one + other == pytest.approx(float(tokens > 0))


def test_empty_documents_score_zero():
    assert score_documents(make_store([[[], [1], []]]), [1])["score"].to_pylist() == [0.0, 1.0, 0.0]


def test_a_store_without_documents_gives_an_empty_table():
    scored = score_documents(make_store([[]]), [1])
    assert scored.num_rows == 0
    assert scored.column_names == ["unit", "row", "id", "tokens", "pivots", "score", "lang"]


def test_a_pivot_listed_for_several_words_counts_once():
    pivots = pa.table({"token_id": pa.array([1, 1, 2], pa.int32())})
    assert score_documents(make_store([[[1, 2, 3, 3]]]), pivots)["pivots"].to_pylist() == [2]


def test_a_document_longer_than_a_block_is_one_document(monkeypatch):
    monkeypatch.setattr("pivotkit.selection.scores.BLOCK_TOKENS", 2)
    offsets = np.array([0, 1, 8, 8, 9])
    assert count_members(np.ones(9, np.uint32), offsets, np.array([False, True])).tolist() == [1, 7, 0, 1]


def make_matches(units, words, present):
    rows = [(f"u{number}", row) for number, unit in enumerate(units) for row in range(len(unit))]
    documents = pa.table(
        {
            "unit": pa.array([unit for unit, _ in rows], pa.string()),
            "row": pa.array([row for _, row in rows], pa.int64()),
        }
    )
    return SimpleNamespace(words=words, documents=documents, hits=csr_array(np.asarray(present, np.int32)))


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=3, max_size=3), st.data())
def test_translation_pairs_have_both_words_in_the_document(present, data):
    words = ["a", "b", "c", "d"]
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(words), st.sampled_from(words)), max_size=5))
    units = [[[1], []], [[2]]]
    scored = score_documents(make_store(units), [1], hits=make_matches(units, words, present), pairs=pairs)
    distinct = {frozenset(pair) for pair in pairs}
    assert scored["translation_pairs"].to_pylist() == [
        sum(all(row[words.index(word)] for word in pair) for pair in distinct) for row in present
    ]
    assert scored.schema.field("translation_pairs").type == pa.int32()


def test_one_word_of_a_pair_is_no_translation_pair():
    """The published filter keeps a document that has any one token of a word."""
    units = [[[1], [1]]]
    hits = make_matches(units, ["a", "b"], [[3, 0], [1, 1]])
    assert score_documents(make_store(units), [1], hits=hits, pairs=[("a", "b")])["translation_pairs"].to_pylist() == [
        0,
        1,
    ]


class TestOnARealStore:
    texts = (("the cat, le Chat", "en"), ("", "fr"), ("le chat noir noir", "fr"), ("une maison", "fr"))

    @pytest.fixture
    def corpus(self, tmp_path):
        for number in range(2):
            lines = [
                orjson.dumps({"id": f"{number}-{row}", "text": text, "lang": lang})
                for row, (text, lang) in enumerate(self.texts)
            ]
            (tmp_path / f"part-{number}.jsonl").write_bytes(b"\n".join(lines))
        return tmp_path

    @pytest.fixture
    def store(self, corpus, tmp_path_factory):
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from tokenizers.pre_tokenizers import Whitespace

        words = ["[UNK]", "the", "cat", ",", "le", "Chat", "chat", "noir", "une", "maison"]
        tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = Whitespace()
        return tokenize(corpus, tokenizer, tmp_path_factory.mktemp("store"))

    def test_scores_and_pairs(self, corpus, store):
        hits = match_documents(corpus, ["cat", "chat", "maison"])
        pairs = pa.table({"source": ["Cat", "chat"], "target": ["chat", "maison"]})
        scored = score_documents(store, [7], hits=hits, pairs=pairs)
        assert scored["id"].to_pylist() == [f"{number}-{row}" for number in range(2) for row in range(4)]
        assert scored["tokens"].to_pylist() == [5, 0, 4, 2] * 2
        assert scored["score"].to_pylist() == [0.0, 0.0, 0.5, 0.0] * 2
        assert scored["translation_pairs"].to_pylist() == [1, 0, 0, 0] * 2
        assert scored["lang"].to_pylist() == ["en", "fr", "fr", "fr"] * 2

    def test_hits_of_other_documents_are_refused(self, corpus, store):
        hits = match_documents(corpus / "part-1.jsonl", ["cat"])
        with pytest.raises(ValueError, match="score_documents: hits must be of the same documents as the store"):
            score_documents(store, [7], hits=hits, pairs=[("cat", "cat")])


class TestRefusals:
    store = make_store([[[1], [2]]])

    def test_pivots_must_be_tokens_of_the_store(self):
        with pytest.raises(IndexError, match="score_documents: pivots must be tokens of the store, below 12; got 12"):
            score_documents(self.store, [1, 12])
        with pytest.raises(IndexError, match="got -1"):
            score_documents(self.store, [-1])

    def test_there_must_be_pivots(self):
        with pytest.raises(ValueError, match="score_documents: pivots must hold at least one token; got none"):
            score_documents(self.store, [])

    def test_pivots_must_be_ids(self):
        with pytest.raises(TypeError, match="score_documents: pivots must be a table or a list of token ids"):
            score_documents(self.store, ["cat"])

    def test_a_table_must_name_its_tokens(self):
        with pytest.raises(ValueError, match="score_documents: pivots must have the columns token_id"):
            score_documents(self.store, pa.table({"id": [1]}))

    def test_hits_and_pairs_come_together(self):
        with pytest.raises(ValueError, match="score_documents: hits and pairs must be given together"):
            score_documents(self.store, [1], pairs=[("a", "b")])

    def test_pairs_must_be_watched(self):
        hits = make_matches([[[1], [2]]], ["a"], [[1], [0]])
        with pytest.raises(ValueError, match="score_documents: pairs must be of words that hits watched; got 'b'"):
            score_documents(self.store, [1], hits=hits, pairs=[("a", "b")])

    def test_hits_must_be_of_as_many_documents(self):
        hits = make_matches([[[1], [2]], [[3]]], ["a"], [[1], [0], [1]])
        with pytest.raises(ValueError, match="score_documents: hits must be of the store's 2 documents; got 3"):
            score_documents(self.store, [1], hits=hits, pairs=[])
