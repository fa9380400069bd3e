"""Which tokens and items stand beside a pivot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pivotkit.causal import controls
from pivotkit.causal.chosen import Item, Subject
from pivotkit.causal.controls import (
    FrequencyMatched,
    Nearness,
    contrasts,
    control_tokens,
    nearest_tokens,
    other_subjects,
    partner_of_concept,
    random_unit,
)  # fmt: skip
from pivotkit.causal.directions import TokenDirections, chain_map
from pivotkit.lens.model.head import LensHead
from pivotkit.words.word_tokens import WordTokens


class Words:
    """Tokens whose text is given."""

    def __init__(self, texts):
        self.text = texts.__getitem__


def item(number, pair="x", family=(), answer=None, concept=None, reason=None):
    answer = 100 + number if answer is None else answer
    return Item(number, pair, concept or f"c{number}", pair, (), tuple(family), 0, answer, 0.0, reason)


def test_other_pivots_are_different_foreign_to_the_item_and_of_other_answers():
    items = [item(0, family=(3,)), item(1), item(2), item(3), item(4, answer=100), item(5), item(6)]
    tokens = [1, 2, 3, 1, 4, 2, 5]  # of item 2 in the family, of 3 the own one, of 5 that of 1
    alike = [Subject(at, 7, None, token) for at, token in enumerate(tokens)]
    seen = set()
    for seed in range(40):
        found = other_subjects(alike[0], items, alike, seed)
        assert len(found) == 2
        assert {one.token for one in found} == {2, 5}
        seen.update(one.at for one in found)
        assert found == other_subjects(alike[0], items, alike, seed)
    assert seen == {1, 5, 6}


def test_the_same_concept_in_another_pair_is_solved_and_answered_otherwise():
    items = [item(0, concept="c"), item(1, "y", concept="c", reason="not solved"), item(2, "y", concept="c", answer=100),
             item(3, "z", concept="c"), item(4, "y"), item(5, "x", concept="c")]  # fmt: skip
    assert {partner_of_concept(0, items, 1, seed) for seed in range(20)} == {3}
    assert partner_of_concept(4, items, 1, 0) is None


def test_a_random_direction_depends_on_item_layer_seed_and_use_alone():
    first = random_unit(50, item(3), 7, 0, "random")
    assert np.linalg.norm(first) == pytest.approx(1)
    assert np.array_equal(first, random_unit(50, item(3), 7, 0, "random"))
    for other in (random_unit(50, item(4), 7, 0, "random"), random_unit(50, item(3), 8, 0, "random"),
                  random_unit(50, item(3), 7, 1, "random"), random_unit(50, item(3), 7, 0, "random swap")):  # fmt: skip
        assert abs(first @ other) < 0.6


def test_a_frequency_matched_token_is_of_the_written_form_and_among_the_nearest():
    texts = [" dog" if number % 2 else "dog" for number in range(200)]
    texts[101], texts[103], texts[99] = " Dog", " 狗", " d2"
    matched = FrequencyMatched(Words(texts), 200, None)
    drawn = {matched.draw(97, {95}, np.random.default_rng(seed)) for seed in range(300)}
    expected = sorted(
        (one for one in range(1, 200, 2) if one not in (97, 95, 99, 101, 103)), key=lambda one: abs(one - 97)
    )
    assert drawn == set(expected[: controls.ALIKE])
    assert matched.draw(103, set(), np.random.default_rng(0)) is None


def test_given_frequencies_take_the_place_of_the_order_of_ids():
    frequencies = np.array([5.0, 1, 4, 2, 3, 0])
    matched = FrequencyMatched(Words([" a"] * 6), 6, frequencies)
    assert matched.order.tolist() == [0, 2, 4, 3, 1, 5]


def test_the_nearest_tokens_are_those_of_a_plain_sort(llama, monkeypatch):
    monkeypatch.setattr(controls, "ROWS", 17)
    monkeypatch.setattr(controls, "NEAREST", 10)
    head = LensHead.from_model(llama)
    directions = TokenDirections(head, chain_map(head))
    wanted = [Nearness(40, 8, 20), Nearness(41, 8, 21), Nearness(40, 8, 20)]
    found = nearest_tokens(directions, wanted)
    every = directions.of(range(len(head.weight)), 1)
    every /= np.linalg.norm(every, axis=1, keepdims=True)
    for one in wanted:
        cosines = every @ every[[one.source, one.answer]].T
        distance = np.abs(cosines - cosines[one.token]).sum(1)
        ids, off = found[one]
        np.testing.assert_allclose(off, np.sort(distance)[:10], atol=1e-5)
        np.testing.assert_allclose(distance[ids], off, atol=1e-5)
        assert ids[0] == one.token


def test_contrasts_are_those_of_the_plain_definition(llama):
    head = LensHead.from_model(llama)
    states = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    logprobs = llama.lm_head(llama.model.norm(states)).detach().log_softmax(-1)
    read = head.unembed(states, 1)
    found = contrasts(head, head.normed(states), read.logsumexp, 2, np.array([3, 50]))
    expected = logprobs[2] - logprobs[[0, 1, 3, 4]].mean(0)
    np.testing.assert_allclose(found, expected[[3, 50]], atol=1e-5)


def test_a_matched_token_is_the_nearest_that_the_item_does_not_raise(llama, llama_items, word_tokenizer):
    head = LensHead.from_model(llama)
    directions = TokenDirections(head, chain_map(head))
    random = np.random.default_rng(0)
    states = random.standard_normal((1, 4, 32)).astype(np.float32)
    items = [item(at, family=(at, 20 + at), answer=20 + at) for at in range(4)]
    found = [Subject(at, 1, None, 40 + at) for at in range(4)]
    tokens = control_tokens(found, items, states, [1], directions, WordTokens(word_tokenizer), None, 0)
    logprobs = llama.lm_head(llama.model.norm(torch.from_numpy(states[0]))).detach().log_softmax(-1).numpy()
    passed_over = 0
    for subject in found:
        [ids] = [nearest_tokens(directions, [Nearness(subject.token, 0, 20 + subject.at)])[one][0]
                 for one in [Nearness(subject.token, 0, 20 + subject.at)]]  # fmt: skip
        others = [at for at in range(4) if at != subject.at]
        raised = logprobs[subject.at] - logprobs[others].mean(0)
        left = [one for one in ids.tolist() if one not in (subject.token, *items[subject.at].family)]
        expected = next(one for one in left if raised[one] < controls.SHOWN)
        assert tokens[subject, "matched"] == expected
        passed_over += left.index(expected)
    assert passed_over
    alone = control_tokens(found[:1], items[:1], states[:, :1], [1], directions, WordTokens(word_tokenizer), None, 0)
    assert (found[0], "matched") not in alone
