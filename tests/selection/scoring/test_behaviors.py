"""The columns of behavior count the pivots and the pairs of those items that ask for them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from token_formats import made_store, write_olmo

from pivotkit.artifacts import read_table, table_metadata
from pivotkit.corpus import TokenFiles
from pivotkit.errors import InputError
from pivotkit.selection import score_documents, select
from pivotkit.selection.scoring.behaviors import Behaviors

V = 8
WORDS = ["a", "b", "c", "d"]
SHOWN = st.lists(
    st.sampled_from(["pivot", "co-occurrence", "copy", "other", "excluded"]), min_size=1, max_size=6
).filter(lambda shown: set(shown) != {"excluded"})
documents = st.lists(st.lists(st.integers(0, V - 1), max_size=9), min_size=1, max_size=8)


def shown(*behaviors):
    return pa.table({"item": range(len(behaviors)), "rule": ["strict"] * len(behaviors), "behavior": behaviors})


def matches(store, texts, present):
    """Which words are in which documents, as `match_documents` says it."""
    places = {"unit": [store.units[0].name] * len(texts), "row": pa.array(range(len(texts)), pa.int64())}
    return SimpleNamespace(words=WORDS, documents=pa.table(places), hits=csr_array(np.array(present, np.int32)))


@given(documents, SHOWN, st.data())
def test_columns_count_what_items_ask_for(tmp_path_factory, texts, behaviors, data):
    items = range(8)  # of some no behavior is known
    pivots = data.draw(st.lists(st.tuples(st.sampled_from(items), st.integers(0, V - 1)), max_size=12))
    pivots.append((0, 1))
    pairs = data.draw(
        st.lists(st.tuples(st.sampled_from(items), st.sampled_from(WORDS), st.sampled_from(WORDS)), max_size=9)
    )
    pairs.append((0, "a", "b"))
    words = data.draw(st.lists(st.sets(st.sampled_from(WORDS)), min_size=len(texts), max_size=len(texts)))
    store = made_store(tmp_path_factory.mktemp("store"), texts, vocab_size=V)
    hits = matches(store, texts, [[int(word in found) for word in WORDS] for found in words])
    item, token = zip(*pivots, strict=True)
    of, source, target = zip(*pairs, strict=True)
    found = score_documents(
        store, pa.table({"item": item, "token_id": token}), columns=["behavior", "distinct"], behaviors=shown(*behaviors),
        hits=hits, pairs=pa.table({"item": of, "source": source, "target": target}),
    )  # fmt: skip
    assert found.column_names[7:] == ["distinct", "behavior_pivots", "translation_pairs", "behavior_pairs"]
    asks = dict(enumerate(behaviors))
    rich = {token for item, token in pivots if asks.get(item, "excluded") not in ("excluded", "co-occurrence")}
    both = {
        frozenset((source, target))
        for item, source, target in pairs
        if asks.get(item, "excluded") not in ("excluded", "pivot")
    }
    assert found["behavior_pivots"].to_pylist() == [sum(token in rich for token in text) for text in texts]
    assert found["behavior_pairs"].to_pylist() == [sum(pair <= there for pair in both) for there in words]
    alone = score_documents(store, pa.table({"item": item, "token_id": token}), columns=["distinct"], hits=hits,
                            pairs=list(zip(source, target, strict=True)))  # fmt: skip
    assert found.select(alone.column_names).equals(alone)


class TestFiles:
    pivots = pa.table({"token_id": [1, 2], "item": [0, 1]})

    def test_selections_by_behavior_are_of_the_behaviors_that_were_scored(self, tmp_path):
        write_olmo(tmp_path / "a.npy", [[1, 1, 0], [2, 2, 0], [1, 2, 0]])
        files, behaviors = TokenFiles(tmp_path / "a.npy", vocab_size=3, eos=0), shown("pivot", "co-occurrence")
        options = {"columns": ["behavior"], "behaviors": behaviors}
        folder = score_documents(files, self.pivots, **options, out=tmp_path / "scores")
        scores = score_documents(files, self.pivots, **options)
        assert read_table(folder).equals(scores)
        assert scores["behavior_pivots"].to_pylist() == [2, 0, 1]
        assert table_metadata(scores)["behaviors"]["items"] == {
            "pivot": 1, "co-occurrence": 1, "unsolved": 0, "excluded": 0,
        }  # fmt: skip
        other = {"budget_tokens": 3, "rule": "behavior", "behaviors": shown("pivot", "pivot")}
        for given_scores in (scores, folder):
            with pytest.raises(ValueError, match="behaviors must be those by which documents were scored; got others"):
                select(given_scores, **other)

    def test_a_folder_of_other_behaviors_is_not_resumed(self, tmp_path):
        write_olmo(tmp_path / "a.npy", [[1, 1, 0]])
        files = TokenFiles(tmp_path / "a.npy", vocab_size=3, eos=0)
        score_documents(files, self.pivots, columns=["behavior"], behaviors=shown("pivot", "pivot"), out=tmp_path / "s")
        for other in ({"columns": ["behavior"], "behaviors": shown("pivot", "other")}, {}):
            with pytest.raises(InputError, match="must hold no scores or those of the same arguments"):
                score_documents(files, self.pivots, **other, out=tmp_path / "s")


class TestRefusals:
    pivots = pa.table({"token_id": [1], "item": [0]})

    @pytest.fixture
    def store(self, tmp_path):
        return made_store(tmp_path, [[1], [2]], vocab_size=V)

    def test_behaviors_and_their_column_come_together(self, store):
        with pytest.raises(ValueError, match="score_documents: behaviors must be given for 'behavior'; got None"):
            score_documents(store, self.pivots, columns=["behavior"])
        with pytest.raises(ValueError, match="behaviors must be None unless columns hold 'behavior'; got a table"):
            score_documents(store, self.pivots, behaviors=shown("pivot"))

    @pytest.mark.parametrize("pivots", [[1], pa.table({"token_id": [1]})])
    def test_pivots_must_tell_their_items(self, store, pivots):
        told = "columns must not hold 'behavior' unless pivots is a table with the column item"
        with pytest.raises(ValueError, match=f"score_documents: {told}"):
            score_documents(store, pivots, columns=["behavior"], behaviors=shown("pivot"))

    @pytest.mark.parametrize("pairs", [[("a", "b")], pa.table({"source": ["a"], "target": ["b"]})])
    def test_pairs_must_tell_their_items(self, store, pairs):
        hits = matches(store, [[1], [2]], [[1, 1, 0, 0]] * 2)
        with pytest.raises(ValueError, match="score_documents: pairs must be a table with the column item"):
            score_documents(
                store, self.pivots, columns=["behavior"], behaviors=shown("pivot"), hits=hits, pairs=pairs
            )  # fmt: skip

    def test_behaviors_of_other_items_are_refused(self, store):
        pivots = pa.table({"token_id": [1], "item": [7]})
        with pytest.raises(ValueError, match="score_documents: behaviors must be of items of pivots; got none of them"):
            score_documents(store, pivots, columns=["behavior"], behaviors=shown("pivot"))

    def test_behaviors_that_ask_for_nothing_are_refused(self, store):
        with pytest.raises(
            ValueError, match="score_documents: behaviors must hold an item that is not excluded; got 1"
        ):
            score_documents(store, self.pivots, columns=["behavior"], behaviors=shown("excluded"))


def test_behaviors_show_how_many_items_they_are_of():
    told = "Behaviors(pivot: 1, co-occurrence: 0, unsolved: 2, excluded: 0)"
    assert repr(Behaviors.of("f", shown("pivot", "other", "copy"))) == told
