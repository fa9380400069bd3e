"""A pool holds documents in the shares that were asked for, and its pivots are the planted ones."""

from __future__ import annotations

import math

import numpy as np

from pivotkit.testbed.experiment.pool import languages_of
from pivotkit.testbed.experiment.setting import GRID_SHARES, PARALLEL, POOLS, SEEDS, grid_setting
from pivotkit.testbed.world import LANGUAGES, SPECIAL


def kinds_of(pool):
    """Of each document whether its concept is a pivot concept."""
    concepts = pool.world.config.concepts
    words = (pool.documents - len(SPECIAL)) % concepts
    spoken = (pool.documents >= len(SPECIAL)) & (pool.documents < len(SPECIAL) + len(LANGUAGES) * concepts)
    first = words[np.arange(len(words)), spoken.argmax(axis=1)]
    return np.array([concept.kind == "pivot" for concept in pool.world.concepts])[first]


def test_the_shares_of_documents_are_those_of_the_setting(pool):
    for is_pivot in (False, True):
        shares = pool.setting.world.pivot_documents if is_pivot else pool.setting.world.direct_documents
        assert math.isclose(sum(shares.values()), 1)
        languages = pool.languages[kinds_of(pool) == is_pivot]
        assert set(languages) == set(shares)
        for name, share in shares.items():
            error = math.sqrt(share * (1 - share) / len(languages))
            assert abs((languages == name).mean() - share) < 5 * error


def test_words_of_a_and_b_never_share_a_document_of_a_pivot_concept(pool):
    is_pivot = kinds_of(pool)
    assert not (pool.languages[is_pivot] == "ab").any()
    assert not np.isin(pool.languages[~is_pivot], ("ap", "bp")).any()


def test_the_pivots_that_are_found_are_the_planted_ones(pool):
    by_word = {concept.words[x]: concept for concept in pool.world.concepts for x in "ab"}
    found = {}
    for source, token in zip(pool.pivots["source"].to_pylist(), pool.pivots["token"].to_pylist(), strict=True):
        found.setdefault(source, set()).add(token.strip())
    planted = {word: {concept.words["p"]} for word, concept in by_word.items() if concept.kind == "pivot"}
    assert found == planted


def test_a_score_is_the_share_of_pivots_among_a_documents_tokens(pool):
    pivots = set(pool.pivots["token_id"].to_pylist())
    for row in pool.table.slice(0, 50).to_pylist():
        ids = pool.texts(np.array([row["row"]]))[0]
        assert row["tokens"] == len(ids) + 1  # with the separator
        assert math.isclose(row["score"], sum(token in pivots for token in ids) / row["tokens"])
        assert row["translation_pairs"] == (row["languages"] == "ab")
        assert row["lang"] in row["languages"]


def test_the_parts_of_a_world_are_of_the_sizes_asked_for(pool):
    setting = pool.setting
    assert len(pool.base) == setting.base_documents
    assert len(pool.documents) == pool.table.num_rows == setting.pool_documents
    assert len(pool.held_out) == setting.held_out_documents
    assert (len(pool.base_lines), len(pool.lines)) == (setting.base_blocks, setting.arm_blocks)


def test_languages_are_told_by_words_and_not_by_background(pool):
    world = pool.world
    index = world.vocabulary.index
    ids = np.array([[index("a1"), index("g0"), -1], [index("a1"), index("p1"), index("b0")], [index("g0"), -1, -1]])
    assert languages_of(world, ids).tolist() == ["a", "abp", ""]


def test_the_pools_differ_in_what_their_bilingual_documents_are():
    parallel = POOLS[PARALLEL].world
    assert parallel.direct_documents["ab"] == 0.26
    assert parallel.pivot_documents["ap"] + parallel.pivot_documents["bp"] == 0.06
    for share in GRID_SHARES:
        world = grid_setting(POOLS[PARALLEL], share).world
        pivot = world.pivot_documents["ap"] + world.pivot_documents["bp"]
        assert math.isclose(pivot / (pivot + world.direct_documents["ab"]), share)
        assert math.isclose(pivot + world.direct_documents["ab"], 0.4)  # one document in five, over both kinds


def test_no_seed_served_to_find_the_setting():
    used = {0, *range(12, 20), *range(21, 25), *range(31, 37)}
    assert all(len(set(seeds)) >= 8 and not used & set(seeds) for seeds in SEEDS.values())
