"""The prefix tree runs every shared prefix once and gives the states of whole sequences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit.lens.model import prefix_tree
from pivotkit.lens.model.cache import new_cache, select_rows
from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.prefix_tree import PrefixTree


@st.composite
def wanted_sequences(draw):
    """Sequences that often share a prefix, and wanted indices in any order and with repeats."""
    sequences = draw(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=9).map(tuple), min_size=1, max_size=9))
    return sequences, [draw(st.lists(st.integers(0, len(s) - 1), min_size=1, max_size=4)) for s in sequences]


def nodes(roots):
    for node in roots:
        yield node
        yield from nodes(node.children)


def states_of(tree, head, layers=None):
    """The result as one tensor (layers, rows, D); every row exactly once."""
    found = {row: states[:, at] for rows, states in tree.run(head, layers) for at, row in enumerate(rows)}
    assert sorted(found) == list(range(tree.count))
    return torch.stack([found[row] for row in range(tree.count)], 1)


@given(wanted_sequences())
def test_a_place_has_a_row_of_its_own_unless_all_tokens_up_to_it_agree(drawn):
    sequences, wanted = drawn
    tree = PrefixTree(sequences, wanted)
    prefixes = {}
    for sequence, indices, rows in zip(sequences, wanted, tree.rows, strict=True):
        assert len(rows) == len(indices)
        for index, row in zip(indices, rows, strict=True):
            assert prefixes.setdefault(row, sequence[: index + 1]) == sequence[: index + 1]
    assert len(prefixes) == len(set(prefixes.values())) == tree.count


@given(wanted_sequences())
def test_the_tree_holds_every_different_prefix_once(drawn):
    sequences, wanted = drawn
    kept = [sequence[: max(indices) + 1] for sequence, indices in zip(sequences, wanted, strict=True)]
    different = {sequence[:length] for sequence in kept for length in range(1, len(sequence) + 1)}
    assert sum(len(node.tokens) for node in nodes(PrefixTree(sequences, wanted).roots)) == len(different)


@settings(max_examples=25)
@given(wanted_sequences())
def test_the_states_are_those_of_whole_sequences(llama_head, drawn):
    sequences, wanted = drawn
    tree = PrefixTree(sequences, wanted)
    states = states_of(tree, llama_head)
    for sequence, indices, rows in zip(sequences, wanted, tree.rows, strict=True):
        alone = capture(llama_head, torch.tensor([sequence]), [(0, index) for index in indices])
        assert torch.allclose(states[:, rows], alone, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def llama_head(llama):
    return LensHead.from_model(llama)


# Limits of batches that are small enough for small models to reach.
@pytest.fixture(params=[(16, 8, 1), (40, 4096, 1), (4096, 4096, 1), (4096, 4096, 1000)])
def limits(request, monkeypatch):
    for name, value in zip(("BATCH_TOKENS", "BATCH_STATES", "PASS_TOKENS"), request.param, strict=True):
        monkeypatch.setattr(prefix_tree, name, value)
    return request.param


LONG = [tuple(range(1, 31)) + tail for tail in ((40, 41, 42), (40, 41, 50, 51), (60,), (40, 70, 71, 72, 73), ())]
LONG += [(*tuple(range(1, 20)), 90, 91), tuple(range(100, 140)), (*tuple(range(1, 31)), 40, 41, 42, 43)]


def test_any_batches_give_the_states_of_whole_sequences(model, limits):
    """Gemma 2's window of 16 tokens is shorter than the shared prefix: its cache keeps only the window."""
    head = LensHead.from_model(model)
    wanted = [sorted({len(sequence) // 2, len(sequence) - 1}) for sequence in LONG]
    tree = PrefixTree(LONG, wanted)
    states = states_of(tree, head)
    for sequence, indices, rows in zip(LONG, wanted, tree.rows, strict=True):
        alone = capture(head, torch.tensor([sequence]), [(0, index) for index in indices])
        assert torch.allclose(states[:, rows], alone, rtol=1e-4, atol=1e-4)


def test_every_familys_states_are_those_of_whole_sequences(family_head, monkeypatch):
    """Windows of 6 tokens, ALiBi, hybrid caches, recurrent models: prefixes are shared only if the proof allows it."""
    monkeypatch.setattr(prefix_tree, "PASS_TOKENS", 1)
    sequences = [tuple(1 + token % 55 for token in sequence) for sequence in LONG]
    wanted = [sorted({len(sequence) // 2, len(sequence) - 1}) for sequence in sequences]
    tree = PrefixTree(sequences, wanted)
    states = states_of(tree, family_head)
    for sequence, indices, rows in zip(sequences, wanted, tree.rows, strict=True):
        alone = capture(family_head, torch.tensor([sequence]), [(0, index) for index in indices])
        assert torch.allclose(states[:, rows], alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max()))


def test_a_batch_stays_within_its_tokens_and_states(llama_head, limits, monkeypatch):
    seen = []

    def watched(head, ids, positions, *, past=None, **more):
        cached = past.get_seq_length() if past is not None else 0
        seen.append((len(ids), len(ids) * (cached + ids.shape[1]), len(positions) * 4))
        return capture(head, ids, positions, past=past, **more)

    monkeypatch.setattr(prefix_tree, "capture", watched)
    list(PrefixTree(LONG, [[0, len(s) - 1] for s in LONG]).run(llama_head))
    tokens, states, _ = limits
    assert all(lines == 1 or (held <= tokens and kept <= max(states, 4)) for lines, held, kept in seen)


def test_what_comes_behind_the_last_wanted_place_is_never_run(llama_head):
    tree = PrefixTree([(1, 2, 3, 4, 5), (1, 2, 9)], [[1], [0]])
    assert [node.tokens for node in nodes(tree.roots)] == [(1,), (2,)]
    assert tree.count == 2


def test_a_shared_prefix_runs_once_and_a_short_one_with_each_continuation(llama_head, monkeypatch):
    lengths = []

    def watched(head, ids, positions, **more):
        lengths.append(tuple(ids.shape))
        return capture(head, ids, positions, **more)

    monkeypatch.setattr(prefix_tree, "capture", watched)
    long = tuple(range(1, 41))
    list(PrefixTree([(*long, 50), (*long, 60)], [[40], [40]]).run(llama_head))
    list(PrefixTree([(1, 2, 50), (1, 2, 60)], [[2], [2]]).run(llama_head))
    assert lengths == [(1, 40), (2, 1), (2, 3)]


def test_a_model_without_a_proved_cache_runs_every_sequence_whole(llama, monkeypatch):
    head = LensHead.from_model(llama)
    object.__setattr__(head, "shares_prefix", False)
    pasts = []

    def watched(head, ids, positions, *, past=None, **more):
        pasts.append(past)
        return capture(head, ids, positions, past=past, **more)

    monkeypatch.setattr(prefix_tree, "capture", watched)
    states = states_of(PrefixTree(LONG, [[len(s) - 1] for s in LONG]), head)
    assert pasts == [None] * len(pasts)
    whole = states_of(PrefixTree(LONG, [[len(s) - 1] for s in LONG]), LensHead.from_model(llama))
    assert torch.allclose(states, whole, rtol=1e-4, atol=1e-4)


def test_a_state_that_is_not_finite_is_refused_with_its_sequence(make_model):
    model = make_model("gpt2")
    head = LensHead.from_model(model)
    model.transformer.wte.weight.data[9, 3] = float("nan")
    sequences, wanted = [(1, 2, 3), (1, 2, 4, 9), (5, 6)], [[1, 2], [1, 3], [0]]
    with pytest.raises(ValueError, match="hidden states must be finite; got nan at layer 0, sequence 1, token 3"):
        list(PrefixTree(sequences, wanted).run(head))
    with pytest.raises(ValueError, match="hidden states must be finite; got nan at layer 0, b, token 3"):
        list(PrefixTree(sequences, wanted, ["a", "b", "c"]).run(head))


def test_selecting_rows_leaves_the_cache_as_it_was(gemma2):
    head = LensHead.from_model(gemma2)
    cache = new_cache(head.base)
    capture(head, torch.tensor([list(range(20)), list(range(20, 40))]), [(0, 0)], past=cache)
    before = [(layer.keys.clone(), layer.values.clone()) for layer in cache.layers]
    for _ in range(2):
        chosen = select_rows(cache, [1, 0, 1])
        capture(head, torch.tensor([[1, 2], [3, 4], [5, 6]]), [(0, 0)], past=chosen)
        assert chosen.get_seq_length() == 22
    assert cache.get_seq_length() == 20
    for layer, (keys, values) in zip(cache.layers, before, strict=True):
        assert torch.equal(layer.keys, keys)
        assert torch.equal(layer.values, values)


def test_every_run_gives_the_same_bits(llama_head):
    first, second = (states_of(PrefixTree(LONG, [[len(s) - 1] for s in LONG]), llama_head) for _ in range(2))
    assert torch.equal(first, second)
