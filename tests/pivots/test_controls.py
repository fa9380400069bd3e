"""Controls are as frequent as the pivots, distinct, and none of what is excluded."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.artifacts import table_metadata
from pivotkit.pivots.controls import FormMatched, FrequencyMatched, OtherItems
from pivotkit.pivots.find import find_pivots
from pivotkit.words.token_classes import written_form

frequencies = st.lists(st.integers(0, 6), min_size=1, max_size=30)


@given(frequencies, st.data())
def test_each_control_is_the_nearest_that_is_left(background, data):
    vocabulary = range(len(background))
    tokens = data.draw(st.lists(st.sampled_from(vocabulary), unique=True, max_size=8))
    excluded = {*tokens, *data.draw(st.sets(st.sampled_from(vocabulary)))}
    drawn = FrequencyMatched(np.array(background), 3, np.arange(len(background))).draw(tokens, excluded, "key")
    left = {token for token in vocabulary if background[token] and token not in excluded}
    for token, control in zip(tokens, drawn, strict=True):
        if control is None:
            assert not left
            continue
        distance = {other: abs(background[other] - background[token]) for other in left}
        assert control in left
        assert distance[control] == min(distance.values())
        left.remove(control)


def test_a_draw_depends_on_seed_and_key_alone():
    background = np.full(1000, 5)
    one = FrequencyMatched(background, 0, np.arange(1000))
    first = one.draw([1, 2, 3], {1, 2, 3}, "a")
    one.draw([4], {4}, "b")
    assert one.draw([1, 2, 3], {1, 2, 3}, "a") == first
    assert one.draw([1, 2, 3], {1, 2, 3}, "b") != first
    assert FrequencyMatched(background, 1, np.arange(1000)).draw([1, 2, 3], {1, 2, 3}, "a") != first


def test_every_token_of_one_frequency_is_drawn_about_equally_often():
    draws = [FrequencyMatched(np.full(5, 2), seed, np.arange(5)).draw([0], {0}, "k")[0] for seed in range(2000)]
    shares = np.bincount(draws, minlength=5) / len(draws)
    assert shares[0] == 0
    assert np.all(abs(shares[1:] - 0.25) < 0.05)


def test_controls_stand_beside_the_pivots(slow, families):
    draw = np.random.default_rng(0)
    words = {"x": [0], "y": [1]}
    documents = [[number % 2, 2, 3, *draw.integers(4, 40, 6).tolist()] for number in range(40)]
    documents += [draw.integers(4, 40, 6).tolist() for _ in range(200)]
    counts = slow.count(documents, words, 40)
    items = pa.table({"item": [5], "pair": ["a-b"], "source": ["x"], "target": ["y"]})
    pivots = find_pivots(counts, items, "paper", k=8, word_tokens=SimpleNamespace(family=words.__getitem__))
    chosen, controls = pivots["token_id"].to_pylist(), pivots["control_id"].to_pylist()
    assert len(set(controls)) == len(controls)
    assert not {*chosen, 0, 1} & set(controls)


TEXTS = [" dog", " Dog", "dog", " 狗", " d2", " собака"]


@given(frequencies, st.data())
def test_a_matched_control_is_the_nearest_of_its_form_that_is_left(background, data):
    vocabulary = range(len(background))
    texts = data.draw(st.lists(st.sampled_from(TEXTS), min_size=len(background), max_size=len(background)))
    present = [token for token in vocabulary if background[token]]
    tokens = data.draw(st.lists(st.sampled_from(present), unique=True, max_size=8)) if present else []
    refused = data.draw(st.sets(st.sampled_from(vocabulary)))
    matched = FormMatched(np.array(background), texts.__getitem__, 3, np.arange(len(background)))
    drawn = matched.draw(tokens, tokens, "key", lambda token: token not in refused)
    left = set(present) - {*tokens, *refused}
    for token, control in zip(tokens, drawn, strict=True):
        alike = {other for other in left if written_form(texts[other]) == written_form(texts[token])}
        if control is None:
            assert not alike
            continue
        assert control in alike
        assert abs(background[control] - background[token]) == min(
            abs(background[other] - background[token]) for other in alike
        )
        left.remove(control)


ranked = st.lists(st.lists(st.integers(0, 12), unique=True, max_size=5), min_size=1, max_size=6)


@given(ranked, st.sets(st.integers(0, 12), max_size=3), st.sets(st.integers(0, 12), max_size=3))
def test_an_others_pivot_is_of_the_nearest_rank_that_is_left(pivots, family, refused):
    keys = [f"item {number}" for number in range(len(pivots))]
    drawer = OtherItems(keys, [np.array(some, np.int64) for some in pivots], seed=5)
    for item, own in enumerate(pivots):
        excluded = {*own, *family}
        drawn = drawer.draw(item, excluded, lambda token: token not in refused)
        assert len(drawn) == len(own)
        for rank, control in enumerate(drawn):
            open_ranks = {
                token: min(abs(at - rank) for some in pivots for at, one in enumerate(some) if one == token)
                for some in pivots
                for token in some
                if token not in excluded | refused
            }
            assert (control is None) == (not open_ranks)
            if control is not None:
                assert open_ranks[control] == min(open_ranks.values())
                excluded.add(control)


def test_others_pivots_do_not_depend_on_the_order_of_items():
    draw = np.random.default_rng(2)
    pivots = [draw.choice(500, 20, replace=False) for _ in range(30)]
    keys = [f"item {number}" for number in range(30)]
    order = draw.permutation(30)
    shuffled = OtherItems([keys[at] for at in order], [pivots[at] for at in order], seed=1)
    straight, other_seed = (OtherItems(keys, pivots, seed) for seed in (1, 2))
    drawn = [straight.draw(at, pivots[at].tolist()) for at in range(30)]
    assert [shuffled.draw(place, pivots[at].tolist()) for place, at in enumerate(order)] == [drawn[at] for at in order]
    assert [other_seed.draw(at, pivots[at].tolist()) for at in range(30)] != drawn


def test_others_pivots_come_from_all_items_about_equally_often():
    pivots = [np.arange(50) + 100 * number for number in range(5)]
    owners = np.zeros((5, 5))
    for seed in range(40):
        drawer = OtherItems(list("abcde"), pivots, seed)
        for item in range(5):
            drawn = np.array(drawer.draw(item, pivots[item].tolist()))
            assert (drawn % 100 == np.arange(50)).all()  # of the same rank
            owners[item] += np.bincount(drawn // 100, minlength=5)
    assert (owners.diagonal() == 0).all()
    assert np.abs(owners[~np.eye(5, dtype=bool)] / 2000 - 0.25).max() < 0.05


class Words:
    """Words x, y, z and w, of tokens 0 to 3; what looks alike is given."""

    def __init__(self, texts=None, alike=()):
        self.text = (texts or [" dog"] * 40).__getitem__
        self.alike = set(alike)

    def family(self, word):
        return ["xyzw".index(word)]

    def whole_word(self, token):
        return True

    def variant(self, token, word):
        return (token, word) in self.alike


@pytest.fixture
def counts(slow):
    """Documents of four words, each pair of which shares some tokens of its own and tokens 4 to 8."""
    draw = np.random.default_rng(4)
    documents = []
    for number in range(160):
        word = number % 4
        own = draw.choice(np.arange(10, 20) + 10 * (word // 2), 5, replace=False).tolist()
        documents.append([word, *own, *draw.integers(4, 9, 2).tolist()])
    documents += [draw.integers(4, 40, 3).tolist() for _ in range(300)]
    return slow.count(documents, {"x": [0], "y": [1], "z": [2], "w": [3]}, 40)


ITEMS = pa.table(
    {
        "item": [5, 6, 7],
        "pair": ["a-b", "a-b", "b-a"],
        "source": ["x", "z", "y"],
        "target": ["y", "w", "x"],
        "words": pa.array([[("en", "ex")], [("en", "wy")], None], pa.map_(pa.string(), pa.string())),
    }
)


def test_three_controls_stand_beside_every_pivot(counts):
    found = find_pivots(counts, ITEMS, "paper", k=6, word_tokens=Words(), tokenizer=None)
    for item in (5, 6, 7):
        rows = [row for row in found.to_pylist() if row["item"] == item]
        own = {row["token_id"] for row in rows} | ({0, 1} if item != 6 else {2, 3})
        assert {row["df_source"] for row in rows} == {40}
        for name in ("control_id", "matched_id", "other_id"):
            drawn = [row[name] for row in rows if row[name] is not None]
            assert not own & set(drawn)
            assert len(set(drawn)) == len(drawn)
    pivots = {item: set(found.filter(pa.compute.field("item") == item)["token_id"].to_pylist()) for item in (5, 6)}
    others = {
        item: set(found.filter(pa.compute.field("item") == item)["other_id"].drop_null().to_pylist())
        for item in (5, 6, 7)
    }
    assert others[5]
    assert others[5] <= pivots[6]
    assert others[6] <= pivots[5]
    assert not others[7]  # the only item of its pair
    absent = table_metadata(found)["controls_absent"]
    assert absent["other"]["no other item of the pair has pivots"] == 6
    assert sum(absent["other"].values()) == found["other_id"].null_count
    assert absent["control"] == {}


def test_ids_that_the_tokenizer_lacks_are_no_controls(counts):
    texts = [" dog"] * 40
    for token in range(4, 40, 2):
        texts[token] = ""
    found = find_pivots(counts, ITEMS, "paper", k=6, word_tokens=Words(texts))
    drawn = {*found["control_id"].drop_null().to_pylist(), *found["matched_id"].drop_null().to_pylist()}
    assert drawn
    assert all(texts[token] for token in drawn)


def test_texts_that_are_not_known_give_no_matched_tokens(counts, families):
    bare = families({"x": [0], "y": [1], "z": [2], "w": [3]})
    found = find_pivots(counts, ITEMS, "paper", k=6, word_tokens=bare)
    assert found["matched_id"].null_count == found.num_rows
    assert table_metadata(found)["controls_absent"]["matched"] == {
        "the texts of tokens are not known": found.num_rows
    }  # fmt: skip


def test_look_alikes_are_neither_pivots_nor_controls(counts):
    def drawn(item, **more):
        found = find_pivots(counts, ITEMS, "paper", k=6, word_tokens=Words(alike=alike), **more)
        rows = found.filter(pa.compute.field("item") == item)
        return {
            name: set(rows[name].drop_null().to_pylist())
            for name in ("token_id", "control_id", "matched_id", "other_id")
        }

    alike = set()
    before = drawn(5)
    alike = {(token, "ex") for name in before for token in sorted(before[name])[:2]}
    refused = {token for token, _ in alike}
    assert drawn(5) == before  # unless it is asked for
    after = drawn(5, without=["en"])
    assert len(after["token_id"]) == 6  # others take their places
    assert not any(refused & after[name] for name in after)
    assert refused & set().union(*drawn(6, without=["en"]).values())
    alike = {(token, "y") for token in refused}
    assert not any(refused & own for own in drawn(5, without=["target"]).values())


def test_controls_meet_what_pivots_must_meet(counts):
    """A token that may be no pivot of an item, being a variant of its word, is none of its matched or others' either."""
    plain = find_pivots(counts, ITEMS, "paper", k=6, word_tokens=Words()).filter(pa.compute.field("item") == 5)
    variants = {(token, "x") for name in ("matched_id", "other_id") for token in plain[name].drop_null().to_pylist()}
    found = find_pivots(counts, ITEMS, "paper", k=6, word_tokens=Words(alike=variants), candidates="words")
    rows = found.filter(pa.compute.field("item") == 5)
    for name in ("matched_id", "other_id"):
        assert not {token for token, _ in variants} & set(rows[name].to_pylist())


@pytest.mark.parametrize(
    ("without", "items", "tokens", "error", "message"),
    [
        ("en", ITEMS, Words(), TypeError, "find_pivots: without must be a sequence of strings; got 'en'"),
        (["it"], ITEMS, Words(), ValueError, "find_pivots: without must be of source, target and languages that items"),
        (["en"], ITEMS.drop_columns(["words"]), Words(), ValueError,
         "find_pivots: without must be of source, target and languages that items have words of; got 'en'"),
        (["source"], ITEMS, SimpleNamespace(family=Words().family), TypeError,
         "find_pivots: word_tokens must have variant to leave out look-alikes"),
    ],
)  # fmt: skip
def test_what_cannot_be_left_out_is_refused(counts, without, items, tokens, error, message):
    with pytest.raises(error, match=message):
        find_pivots(counts, items, "paper", word_tokens=tokens, without=without)
