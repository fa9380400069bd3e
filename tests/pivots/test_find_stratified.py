"""Pivots against what the strata expect: a corpus of two languages whose function words are no company."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit.artifacts import table_metadata
from pivotkit.pivots import find
from pivotkit.pivots.association import measure

X, Y, Z, THE, LE, RARE = 0, 1, 2, 3, 4, 5  # x is of one language with THE, y of the other with LE; Z meets both
VOCABULARY = 30
WORDS = {"x": [X], "y": [Y]}
ITEMS = pa.table({"item": [0], "pair": ["a-b"], "source": ["x"], "target": ["y"]})


def find_pivots(counts, items, rule="stratified", measure=None, min_word_df=1, **more):
    return find.find_pivots(counts, items, rule, measure=measure, min_word_df=min_word_df, **more)


def with_strata(slow, documents, strata, words=WORDS, vocabulary=VOCABULARY):
    """Counts with what each word and token share by chance, stratum by stratum, in plain Python."""
    counts = slow.count(documents, words, vocabulary)

    def expected(row):
        total = np.zeros(vocabulary)
        for stratum in set(strata):
            own = [document for document, where in zip(documents, strata, strict=True) if where == stratum]
            part = slow.count(own, words, vocabulary)
            total += part.df[row] * part.background / len(own)
        return total

    counts.strata = SimpleNamespace(expected=expected)
    return counts


def tokens_of(words, whole=None, variants=()):
    return SimpleNamespace(
        family=words.__getitem__,
        whole_word=lambda token: whole is None or token in whole,
        variant=lambda token, word: (token, word) in variants,
    )


@pytest.fixture(scope="module")
def planted(slow):
    """Every document of a language holds its function word, and half of those with a word hold Z."""
    draw = np.random.default_rng(1)
    documents, strata = [], []
    for number in range(800):
        language = number % 2
        about = [[X, Y][language]] if number % 8 < 2 else []
        about += [Z] if about and number % 16 < 8 else []
        documents.append([*about, [THE, LE][language], *draw.integers(6, VOCABULARY, 6).tolist()])
        strata.append(language)
    # Function words of one language stand in some documents of the other, as in real text.
    for number in range(0, 800, 5):
        documents[number] += [THE, LE]
    return with_strata(slow, documents, strata)


def test_function_words_are_no_company_within_their_language(planted):
    found = find_pivots(planted, ITEMS, word_tokens=tokens_of(WORDS), k=3)
    assert found["token_id"].to_pylist()[0] == Z
    assert not {THE, LE} & set(found["token_id"].to_pylist())


def test_score_and_columns_equal_their_formulas(planted):
    found = find_pivots(planted, ITEMS, word_tokens=tokens_of(WORDS), k=1).to_pylist()[0]
    shared = planted.context.toarray()[:, Z]
    chance = [planted.strata.expected(row)[Z] for row in (0, 1)]
    ratios = [math.log((n11 + 1) / (e + 1)) - (n11 + 1) ** -0.5 for n11, e in zip(shared, chance, strict=True)]
    assert found["score"] == pytest.approx(math.sqrt(ratios[0] * ratios[1]), rel=1e-12)
    assert [found["expected_source"], found["expected_target"]] == pytest.approx(chance)
    from scipy.stats import poisson

    assert [found["df_source"], found["df_target"]] == planted.df.tolist()
    both = (planted.context.toarray()[:, 2:] >= 2).all(0)  # of neither word
    assert found["reached"] == both.sum()
    tails = [poisson.logsf(n11 - 1, e) for n11, e in zip(shared, chance, strict=True)]
    assert found["log_p"] == pytest.approx(max(tails), rel=1e-9)


def test_the_minimum_is_asked_for(planted):
    one, other = (
        find_pivots(planted, ITEMS, word_tokens=tokens_of(WORDS), k=1, combine=how)["score"][0].as_py()
        for how in ("min", "geometric")
    )
    assert one <= other


@settings(max_examples=30, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 9), max_size=7), min_size=2, max_size=30),
    strata=st.lists(st.integers(0, 2), min_size=32, max_size=32),
    name=st.sampled_from(["log_ratio", "deviance", "delta"]),
)
def test_pivots_equal_a_slow_recomputation(slow, documents, strata, name):
    documents = [[X, 9], [Y, 9], *documents]
    counts = with_strata(slow, documents, strata[: len(documents)], vocabulary=10)
    found = find_pivots(counts, ITEMS, word_tokens=tokens_of(WORDS), measure=name, min_df=1)
    f = {
        "log_ratio": lambda n11, n1, e: math.log((n11 + 1) / (e + 1)),
        "deviance": lambda n11, n1, e: math.copysign(2 * (n11 * math.log(n11 / e) - n11 + e), n11 - e),
        "delta": lambda n11, n1, e: (n11 - e) / n1,
    }[name]
    shared, scores = counts.context.toarray(), {}
    for token in range(2, 10):
        if shared[:, token].min() >= 1:
            a, b = (f(shared[row, token], counts.df[row], counts.strata.expected(row)[token]) for row in (0, 1))
            if min(a, b) > 1e-9:
                scores[token] = math.sqrt(a * b)
    kept = {row["token_id"]: row["score"] for row in found.to_pylist() if row["score"] > 1e-6}
    assert kept == pytest.approx({token: score for token, score in scores.items() if score > 1e-6}, rel=1e-6)


def test_pieces_and_variants_of_either_word_are_left_out(planted):
    def ids(**how):
        return set(find_pivots(planted, ITEMS, min_df=1, **how)["token_id"].to_pylist())

    everything = ids(word_tokens=tokens_of(WORDS))
    assert Z in everything
    assert ids(word_tokens=tokens_of(WORDS, whole=everything - {Z})) == everything - {Z}
    assert ids(word_tokens=tokens_of(WORDS, variants={(Z, "y")})) == everything - {Z}
    assert ids(word_tokens=tokens_of(WORDS, variants={(Z, "y")}), candidates="all") == everything


def test_words_in_few_documents_are_left_out_and_counted(planted):
    found = find_pivots(planted, ITEMS, word_tokens=tokens_of(WORDS), min_word_df=101)
    assert not found.num_rows
    assert table_metadata(found)["items_without_pivots"]["a word is in too few documents"] == 1


@pytest.mark.parametrize(("rule", "least"), [("stratified", 20), ("paper", 1), ("npmi", 1), ("g2", 1)])
def test_words_in_fewer_than_twenty_documents_are_left_out_by_the_stratified_rule_alone(planted, rule, least):
    counts = SimpleNamespace(**{**vars(planted), "df": np.array([19, 100]), "context": planted.context.minimum(19)})
    found = find.find_pivots(counts, ITEMS, rule, word_tokens=tokens_of(WORDS))
    few = table_metadata(found)["items_without_pivots"]["a word is in too few documents"]
    assert (table_metadata(found)["min_word_df"], few) == (least, int(least > 19))
    assert bool(found.num_rows) == (least <= 19)


def test_the_stratified_rule_is_the_default(planted):
    found = find.find_pivots(planted, ITEMS, word_tokens=tokens_of(WORDS))
    assert table_metadata(found)["rule"] == "stratified"
    assert found.equals(find_pivots(planted, ITEMS, word_tokens=tokens_of(WORDS), min_word_df=20))


def test_a_hub_loses_what_ties_it_to_many_words(slow):
    """Both tokens are tied to x and y alike, the hub to 18 more words."""
    other, hub = 40, 41
    names = {f"w{number}": [number] for number in range(20)}
    documents = [[word, hub, *([other] if word < 2 else [])] for word in range(20) for _ in range(30)]
    documents += [[50]] * 600
    counts = with_strata(slow, documents, [0] * len(documents), names, 51)
    words = [f"w{number}" for number in range(20)]
    pairs = list(zip(words[::2], words[1::2], strict=True))
    items = pa.table(
        {
            "item": range(10),
            "pair": ["a-b"] * 10,
            "source": [one for one, _ in pairs],
            "target": [two for _, two in pairs],
        }
    )

    def scores(penalty):
        found = find_pivots(counts, items, word_tokens=tokens_of(names), hub_penalty=penalty).to_pylist()
        return {row["token_id"]: row["score"] for row in found if row["item"] == 0}

    with_each = find.find_pivots(counts, items, word_tokens=tokens_of(names), k=2).to_pylist()
    plain, less = scores(0.0), scores(0.5)
    assert len(with_each) == 11
    assert less[other] == pytest.approx(plain[other] - 0.5 * 2 * plain[other] / 20)
    assert less[hub] == pytest.approx(plain[hub] - 0.5 * plain[hub])


def test_a_function_of_five_is_compared_with_what_is_expected(planted):
    own = measure(lambda n11, n1_, n_1, n, e: n11 - e)
    found = find_pivots(planted, ITEMS, own, word_tokens=tokens_of(WORDS), k=1)
    named = find_pivots(planted, ITEMS, measure=own, word_tokens=tokens_of(WORDS), k=1)
    assert found["token_id"].to_pylist() == named["token_id"].to_pylist() == [Z]


def test_words_are_read_in_the_languages_of_their_pair(planted):
    asked = []

    def index(word, language=None):
        asked.append((word, language))
        return list(WORDS).index(word)

    counts = SimpleNamespace(**{**vars(planted), "index": index, "languages": ["a", "b"]})
    find_pivots(counts, ITEMS, word_tokens=tokens_of(WORDS))
    assert asked == [("x", "a"), ("y", "b")]


def test_only_the_stratified_rule_prefers_the_word_of_a_language(planted):
    def read(rule):
        asked = []

        def index(word, language=None):
            asked.append(language)
            return list(WORDS).index(word)

        counts = SimpleNamespace(**{**vars(planted), "index": index, "languages": ["a", "b", None, None]})
        find_pivots(counts, ITEMS, rule, word_tokens=tokens_of(WORDS))
        return asked

    assert (read("stratified"), read("paper")) == (["a", "b"], [None, None])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"measure": "t"},
            "find_pivots: measure must be one of lower_ratio, log_ratio, npmi, deviance, poisson, delta; got 't'",
        ),
        ({"rule": "paper", "measure": "npmi"}, 'find_pivots: measure must come with rule="stratified"; got another'),
        ({"combine": "sum"}, "find_pivots: combine must be one of geometric, min; got 'sum'"),
        ({"candidates": "x"}, "find_pivots: candidates must be one of words, all; got 'x'"),
        ({"min_word_df": 0}, "find_pivots: min_word_df must be at least 1; got 0"),
        ({"hub_penalty": 1.5}, "find_pivots: hub_penalty must be between 0 and 1; got 1.5"),
    ],
)
def test_arguments_out_of_range_are_named(planted, arguments, message):
    with pytest.raises(ValueError, match=message):
        find_pivots(planted, ITEMS, word_tokens=tokens_of(WORDS), **arguments)


def test_a_measure_of_four_numbers_is_refused(planted):
    with pytest.raises(TypeError, match=r"find_pivots: measure must be a function of \(n11, n1_, n_1, n, e\)"):
        find_pivots(planted, ITEMS, word_tokens=tokens_of(WORDS), measure=lambda n11, n1_, n_1, n: n11)


def test_counts_without_strata_are_refused(planted):
    bare = SimpleNamespace(**{**vars(planted), "strata": None})
    with pytest.raises(ValueError, match="find_pivots: counts must have strata for the rule stratified"):
        find_pivots(bare, ITEMS, word_tokens=tokens_of(WORDS))


def test_word_tokens_must_tell_words_from_pieces(planted, families):
    with pytest.raises(TypeError, match="find_pivots: word_tokens must have whole_word and variant"):
        find_pivots(planted, ITEMS, word_tokens=families(WORDS))
