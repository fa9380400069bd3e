"""Pivots of planted corpora, against plain Python, and what the function refuses."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pivotkit.artifacts import table_metadata
from pivotkit.pivots.find import find_pivots

X, Y, Z, LONELY = 0, 1, 2, 3  # tokens of the planted world; the stop words are 4 to 8, the rest is background
STOP_WORDS = set(range(4, 9))
VOCABULARY = 60
WORDS = {"x": [X], "y": [Y]}


def make_items(*pairs):
    return pa.table(
        {
            "item": pa.array(range(len(pairs)), pa.int32()),
            "pair": ["a-b"] * len(pairs),
            "source": [source for source, _ in pairs],
            "target": [target for _, target in pairs],
        }
    )


@pytest.fixture(scope="module")
def planted(slow):
    """X and Y never share a document and both meet Z; stop words are nearly everywhere."""
    draw = np.random.default_rng(7)
    documents = []
    for number in range(600):
        about = [[X, Z], [Y, Z], [X], [Y], [Z], [], [], [], [], []][number % 10]
        stops = [word for word in sorted(STOP_WORDS) if draw.random() < 0.97]
        documents.append([*about, *stops, *draw.integers(9, VOCABULARY, 12).tolist()])
    counts = slow.count(documents, WORDS, VOCABULARY)
    assert not any({X, Y} <= set(document) for document in documents)
    return counts


@pytest.mark.parametrize("rule", ["paper", "npmi", "g2"])
def test_the_planted_pivot_is_rank_1_though_the_words_never_meet(planted, families, rule):
    pivots = find_pivots(planted, make_items(("x", "y")), rule, word_tokens=families(WORDS))
    first = pivots.slice(0, 1).to_pylist()[0]
    assert (first["rank"], first["token_id"]) == (1, Z)
    assert first["df_given_source"] == first["df_given_target"] == 0.5
    assert first["background"] == 0.3


def test_stop_words_vanish_after_subtraction_and_dominate_without(planted, families):
    items, sets = make_items(("x", "y")), families(WORDS)
    subtracted = find_pivots(planted, items, "paper", k=6, word_tokens=sets)
    share = find_pivots(planted, items, lambda n11, n1_, n_1, n: n11 / n1_, k=6, word_tokens=sets)
    assert set(share["token_id"].to_pylist()[:5]) == STOP_WORDS
    assert subtracted["token_id"].to_pylist()[0] == Z
    scores = dict(zip(subtracted["token_id"].to_pylist(), subtracted["score"].to_pylist(), strict=True))
    assert all(scores.get(word, 0) < 0.05 for word in STOP_WORDS)
    assert scores[Z] == pytest.approx(0.2)


@st.composite
def corpora(draw):
    documents = draw(st.lists(st.lists(st.integers(0, 11), max_size=9), min_size=1, max_size=25))
    return [[X] if not number else document for number, document in enumerate(documents)] + [[9, Y]]


@settings(max_examples=60)
@given(documents=corpora(), k=st.integers(1, 6), min_df=st.integers(1, 3))
def test_pivots_equal_a_slow_recomputation(slow, documents, k, min_df):
    words = {"x": [X], "y": [9, Y]}
    counts = slow.count(documents, words, 12)
    sets = SimpleNamespace(family=words.__getitem__)
    pivots = find_pivots(counts, make_items(("x", "y")), "paper", k=k, min_df=min_df, word_tokens=sets)
    expected = slow.find(counts, "x", "y", {X, 9, Y}, k, min_df)
    assert pivots["token_id"].to_pylist() == [token for token, _ in expected]
    assert pivots["score"].to_pylist() == pytest.approx([score for _, score in expected], rel=1e-12, abs=1e-15)
    assert pivots["rank"].to_pylist() == list(range(1, len(expected) + 1))


@settings(max_examples=40)
@given(documents=corpora())
@pytest.mark.parametrize("rule", ["paper", "npmi", "g2"])
def test_source_and_target_may_change_places(slow, rule, documents):
    words = {"x": [X], "y": [9, Y]}
    counts = slow.count(documents, words, 12)
    sets = SimpleNamespace(family=words.__getitem__)
    there = find_pivots(counts, make_items(("x", "y")), rule, min_df=1, word_tokens=sets)
    back = find_pivots(counts, make_items(("y", "x")), rule, min_df=1, word_tokens=sets)
    assert there["token_id"].equals(back["token_id"])
    assert there["df_given_source"].equals(back["df_given_target"])


def table_counts(context, background, documents=100):
    context = np.asarray(context)
    return SimpleNamespace(
        words=["x", "y"],
        df=context.max(axis=1),
        documents=documents,
        context=csr_array(context),
        background=np.asarray(background),
        index=["x", "y"].index,
    )


def test_ties_go_to_the_smaller_id(families):
    counts = table_counts([[4, 0, 3, 3, 3], [0, 4, 3, 3, 3]], [4, 4, 5, 5, 5])
    pivots = find_pivots(counts, make_items(("x", "y")), "paper", k=2, word_tokens=families(WORDS))
    assert pivots["token_id"].to_pylist() == [2, 3]


def test_unsorted_context_rows_give_the_same_pivots(planted, families):
    rows = planted.context
    backwards = csr_array(
        (
            np.concatenate([rows.data[rows.indptr[row] : rows.indptr[row + 1]][::-1] for row in range(2)]),
            np.concatenate([rows.indices[rows.indptr[row] : rows.indptr[row + 1]][::-1] for row in range(2)]),
            rows.indptr,
        ),
        shape=rows.shape,
    )
    other = SimpleNamespace(**{**vars(planted), "context": backwards})
    items, sets = make_items(("x", "y")), families(WORDS)
    assert find_pivots(other, items, "paper", word_tokens=sets).equals(
        find_pivots(planted, items, "paper", word_tokens=sets)
    )


def test_every_token_of_both_families_is_removed(families):
    counts = table_counts([[4, 4, 4, 4], [4, 4, 4, 4]], [4, 4, 4, 4])
    pivots = find_pivots(counts, make_items(("x", "y")), "paper", word_tokens=families({"x": [0, 3], "y": [1]}))
    assert pivots["token_id"].to_pylist() == [2]


def test_tokens_that_avoid_a_word_are_no_pivots_though_places_are_free(families):
    counts = table_counts([[4, 0, 3, 2], [0, 4, 3, 4]], [4, 4, 4, 60])  # token 3 is rarer with x than elsewhere
    pivots = find_pivots(counts, make_items(("x", "y")), "paper", k=50, word_tokens=families(WORDS))
    assert pivots["token_id"].to_pylist() == [2]


def test_min_df_counts_documents_shared_with_each_word(families):
    counts = table_counts([[4, 0, 4, 4], [0, 4, 1, 4]], [4, 4, 4, 4])
    sets = families(WORDS)
    assert find_pivots(counts, make_items(("x", "y")), "paper", min_df=2, word_tokens=sets)["token_id"].to_pylist() == [
        3
    ]
    assert find_pivots(counts, make_items(("x", "y")), "paper", min_df=1, word_tokens=sets)["token_id"].to_pylist() == [
        3,
        2,
    ]


def test_pairs_whose_word_never_occurs_are_counted_and_named(slow, families):
    words = {"x": [X], "y": [Y], "nobody": [10], "nowhere": [11]}
    counts = slow.count([[X, Z], [X, Z], [Y, Z], [Y, Z], [5]], words, 12)
    items = make_items(("x", "nowhere"), ("x", "y"), ("nobody", "nowhere"))
    pivots = find_pivots(counts, items, "paper", word_tokens=families(words))
    assert pivots["item"].to_pylist() == [1]
    metadata = table_metadata(pivots)
    assert metadata["items"] == 3
    assert metadata["items_without_pivots"] == {
        "a word never occurs": 2,
        "a word is in too few documents": 0,
        "no token is tied to both words": 0,
    }
    assert metadata["absent_words"] == ["nobody", "nowhere"]


def test_no_pivots_at_all_keep_the_columns(families):
    counts = table_counts([[4, 0, 3], [0, 0, 0]], [4, 0, 4])
    pivots = find_pivots(counts, make_items(("x", "y")), "paper", word_tokens=families(WORDS))
    assert pivots.num_rows == 0
    assert table_metadata(pivots)["absent_words"] == ["y"]
    assert pivots.schema.field("token_id").type == pa.int32()


def test_pairs_without_a_common_token_are_counted(families):
    counts = table_counts([[4, 0, 3], [0, 4, 0]], [4, 4, 4])
    pivots = find_pivots(counts, make_items(("x", "y")), "paper", word_tokens=families(WORDS))
    assert table_metadata(pivots)["items_without_pivots"]["no token is tied to both words"] == 1


def test_the_tokenizer_gives_the_text(planted, families):
    tokenizer = SimpleNamespace(decode=lambda ids: f"<{ids[0]}>")
    pivots = find_pivots(planted, make_items(("x", "y")), "paper", word_tokens=families(WORDS), tokenizer=tokenizer)
    for row in pivots.to_pylist():
        assert row["token"] == f"<{row['token_id']}>"
        assert row["control_token"] == f"<{row['control_id']}>"
    bare = find_pivots(planted, make_items(("x", "y")), "paper", word_tokens=families(WORDS))
    assert set(bare["token"].to_pylist()) == {None}


class TestSemanticFilter:
    counts = table_counts([[4, 0, 4, 3, 4, 2], [0, 4, 4, 3, 4, 2]], [4, 4, 4, 4, 4, 2])
    embedding = np.array([[1, 0], [0, 1], [1, 1], [1, 0], [-1, 0], [0, 0]], np.float32)

    def find(self, families, least, embedding=None, **more):
        embedding = self.embedding if embedding is None else embedding
        return find_pivots(
            self.counts,
            make_items(("x", "y")),
            "paper",
            word_tokens=families(WORDS),
            embedding=embedding,
            min_similarity=least,
            **more,
        )["token_id"].to_pylist()

    def test_only_tokens_near_both_words_stay(self, families):
        assert self.find(families, 0.9) == [2]
        assert self.find(families, 0.7) == [2, 3]
        assert self.find(families, -0.8) == [2, 4, 3, 5]

    def test_a_token_further_down_takes_the_free_place(self, families):
        assert self.find(families, 0.7, k=2) == [2, 3]

    def test_a_zero_vector_is_similar_to_nothing(self, families):
        assert 5 not in self.find(families, 0.01)
        assert 5 in self.find(families, 0.0)

    def test_tensors_of_any_dtype_are_read(self, families):
        torch = pytest.importorskip("torch")
        assert self.find(families, 0.7, torch.tensor(self.embedding, dtype=torch.bfloat16)) == [2, 3]

    def test_the_number_of_candidates_does_not_matter(self, families, monkeypatch):
        monkeypatch.setattr("pivotkit.pivots.similarity.BLOCK", 1)
        assert self.find(families, 0.7) == [2, 3]

    def test_a_word_without_tokens_is_refused(self, families):
        with pytest.raises(ValueError, match="find_pivots: word_tokens must give every word a token"):
            find_pivots(
                self.counts,
                make_items(("x", "y")),
                "paper",
                word_tokens=families({"x": [], "y": [1]}),
                embedding=self.embedding,
                min_similarity=0.5,
            )


class TestRefusals:
    def find(self, counts, families, rule="paper", **more):
        items = more.pop("items", make_items(("x", "y")))
        return find_pivots(counts, items, rule, word_tokens=families(WORDS), **more)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"rule": "t"}, "find_pivots: rule must be one of stratified, paper, npmi, g2; got 't'"),
            ({"k": 0}, "find_pivots: k must be at least 1; got 0"),
            ({"min_df": 0}, "find_pivots: min_df must be at least 1; got 0"),
            ({"min_similarity": 0.5}, "find_pivots: embedding and min_similarity must be given together"),
            ({"embedding": np.eye(3), "min_similarity": 0.5}, "find_pivots: embedding must have a row for each of"),
            ({"items": pa.table({"item": [1]})}, "find_pivots: items must have the columns item, pair, source, target"),
        ],
    )
    def test_arguments_out_of_range_are_named(self, planted, families, arguments, message):
        with pytest.raises(ValueError, match=message):
            self.find(planted, families, **arguments)

    def test_items_must_be_a_table(self, planted, families):
        with pytest.raises(TypeError, match=r"find_pivots: items must be a pyarrow.Table; got list"):
            self.find(planted, families, items=[])

    def test_a_word_that_was_not_counted_is_named(self, planted, families):
        with pytest.raises(ValueError, match="find_pivots: counts must be of every word of items; got none of 'z'"):
            self.find(planted, families, items=make_items(("x", "z")))

    def test_counts_need_context(self, planted, families):
        bare = SimpleNamespace(**{**vars(planted), "context": None})
        with pytest.raises(ValueError, match="find_pivots: counts must have context and background"):
            self.find(bare, families)

    def test_counts_need_matching_shapes(self, planted, families):
        bare = SimpleNamespace(**{**vars(planted), "background": planted.background[:-1]})
        with pytest.raises(ValueError, match=r"find_pivots: counts.context must be \(2, 59\)"):
            self.find(bare, families)

    @pytest.mark.parametrize("change", [{"df": np.array([60, 60])}, {"documents": 100}])
    def test_counts_must_not_contradict_themselves(self, planted, families, change):
        false = SimpleNamespace(**{**vars(planted), **change})
        with pytest.raises(
            ValueError, match="find_pivots: counts must fit together; got tokens in more documents with 'x'"
        ):
            self.find(false, families)


def test_only_scores_above_the_least_one_are_pivots(families):
    counts, sets = table_counts([[4, 0, 4, 3], [0, 4, 3, 4]], [4, 4, 8, 8], documents=40), families(WORDS)
    everything = find_pivots(counts, make_items(("x", "y")), "paper", word_tokens=sets)
    assert everything.num_rows == 2
    least = min(everything["score"].to_pylist())
    kept = find_pivots(counts, make_items(("x", "y")), "paper", min_score=least, word_tokens=sets)["score"].to_pylist()
    assert kept == [score for score in everything["score"].to_pylist() if score > least]
    with pytest.raises(ValueError, match="find_pivots: min_score must not be negative; got -1"):
        find_pivots(counts, make_items(("x", "y")), "paper", min_score=-1, word_tokens=sets)
