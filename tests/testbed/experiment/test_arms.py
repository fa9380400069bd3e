"""Every arm takes the documents that its name says, and as many tokens as the others."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pivotkit.testbed.experiment.arms import ARMS, Chooser
from pivotkit.testbed.experiment.facts import facts
from pivotkit.testbed.experiment.pool import Pool

TOKENS = 3000


@pytest.fixture(scope="module")
def chooser(pool):
    return Chooser(pool, TOKENS, 5, {})


def kept(pool: Pool, documents: list[list[int]]) -> Counter:
    return Counter(tuple(ids) for ids in documents)


def tokens_of(documents: list[list[int]]) -> int:
    return sum(len(ids) + 1 for ids in documents)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_has_the_tokens_asked_for(arm, pool):
    seen = {
        concept.index: ("pivot", "co-occurrence", "unsolved")[concept.index % 3 :][:1]
        for concept in pool.world.concepts
    }
    documents = ARMS[arm](Chooser(pool, TOKENS, 5, seen))
    longest = pool.table["tokens"].to_numpy().max()
    assert TOKENS <= tokens_of(documents) < TOKENS + 4 * longest


def test_the_arms_are_the_same_again_by_the_seed(pool):
    for arm in ("random", "pivot-shuffled", "code-switched", "length-matched"):
        first, again, other = (ARMS[arm](Chooser(pool, TOKENS, seed, {})) for seed in (5, 5, 6))
        assert first == again
        assert first != other


def test_pivot_aware_documents_have_no_lower_share_than_those_left(chooser):
    pool, taken = chooser.pool, set(chooser.pivot_aware.tolist())
    langs = np.array(pool.table["lang"].to_pylist())
    for lang in ("a", "b"):
        own = np.flatnonzero(langs == lang)
        inside = np.isin(own, list(taken))
        assert chooser.pivot_share[own[inside]].min() >= chooser.pivot_share[own[~inside]].max()


def test_length_matched_documents_have_the_languages_and_lengths_of_pivot_aware_ones(chooser):
    pool = chooser.pool
    lengths = [sorted(map(len, ARMS[arm](chooser))) for arm in ("pivot-aware", "length-matched")]
    assert len(lengths[0]) == len(lengths[1])
    near = np.abs(np.subtract(*lengths))
    assert near.mean() < 1
    assert (
        facts(pool, ARMS["length-matched"](chooser))["pivot tokens"]
        < facts(pool, ARMS["pivot-aware"](chooser))["pivot tokens"]
    )


@pytest.mark.parametrize("arm", ["pivot-shuffled", "frequency-matched"])
def test_in_rewritten_documents_only_pivots_are_replaced(arm, chooser):
    pivots = set(chooser.pool.pivots["token_id"].to_pylist())
    for before, after in zip(ARMS["pivot-aware"](chooser), ARMS[arm](chooser), strict=True):
        for old, new in zip(before, after, strict=True):
            assert (old == new) == (old not in pivots)
            if old in pivots:
                assert (new in pivots) == (arm == "pivot-shuffled")


def test_code_switched_documents_hold_words_in_p_of_the_same_concepts(chooser):
    world = chooser.pool.world
    switched = [[world.vocabulary[token] for token in ids] for ids in ARMS["code-switched"](chooser)]
    concepts = [{word[1:] for word in words if word[0] in "abp"} for words in switched]
    assert max(map(len, concepts)) == 1
    languages = Counter(word[0] for words in switched for word in words if word[0] in "abp")
    assert 0.4 < languages["p"] / languages.total() < 0.6
    assert not any({"a", "b"} <= {word[0] for word in words} for words in switched)


def test_bilingual_monolingual_parallel_and_anti_pivot_documents_are_of_their_kind(chooser):
    pool = chooser.pool
    bilingual = facts(pool, ARMS["bilingual"](chooser))
    assert bilingual["parallel"] + bilingual["with P"] == pytest.approx(1)
    alone = facts(pool, ARMS["monolingual"](chooser))
    assert alone["parallel"] + alone["with P"] == 0
    assert facts(pool, ARMS["parallel"](chooser))["parallel"] > 0.9
    assert facts(pool, ARMS["anti-pivot"](chooser))["pivot tokens"] == 0


def test_others_pivots_are_those_of_concepts_that_are_not_asked(chooser):
    world = chooser.pool.world
    asked = {concept.words["p"] for concept in world.concepts if concept.held_out}
    documents = ARMS["others' pivots"](chooser)
    held = Counter(world.vocabulary[token] for ids in documents for token in ids if world.vocabulary[token][0] == "p")
    ours = sum(count for word, count in held.items() if word in asked)
    assert ours < 0.5 * held.total()


@pytest.mark.parametrize(
    ("shown", "like"),
    [(("pivot",), "pivot-aware"), (("co-occurrence",), "parallel"), (("unsolved",), "half and half")],
)
def test_items_that_all_behave_alike_are_given_the_arm_of_their_behavior(shown, like, pool):
    seen = {concept.index: shown for concept in pool.world.concepts}
    chooser = Chooser(pool, TOKENS, 5, seen)
    assert kept(pool, ARMS["behavior-aware"](chooser)) == kept(pool, ARMS[like](chooser))


def test_each_concept_is_given_documents_by_its_own_behavior(pool):
    pivots = [concept for concept in pool.world.concepts if concept.kind == "pivot"]
    seen = {concept.index: ("co-occurrence",) for concept in pool.world.concepts}
    seen |= {concept.index: ("pivot",) for concept in pivots[:4]}
    documents = ARMS["behavior-aware"](Chooser(pool, TOKENS, 5, seen))
    words = Counter(pool.world.vocabulary[token] for ids in documents for token in ids)
    through = [words[concept.words["p"]] for concept in pivots]
    assert sum(through[:4]) > 0
    assert sum(through[4:]) == 0
