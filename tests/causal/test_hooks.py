"""Edits leave nothing in the model, whatever fails; hooks of others are found."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from causal_models import pivots_of

from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.hooks import require_no_hooks, state_put
from pivotkit.causal.passes import EditedPasses, skippable
from pivotkit.causal.variants import Variants
from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.head import LensHead

PROMPT = (1, 7, 8, 9, 10, 4)


@pytest.fixture
def model(llama):
    return copy.deepcopy(llama)


@pytest.fixture
def head(model):
    return LensHead.from_model(model)


def changes(model):
    """Hooks and replaced forward methods in the model."""
    return [name for name, part in model.named_modules()
            if part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part)]  # fmt: skip


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("layer", [0, 1, 3])
def test_a_put_state_is_the_layers_state_at_the_last_position_alone(head, model, layer, skip):
    ids = torch.tensor([PROMPT[-1:] if skip else PROMPT] * 2)
    new = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    places = [(row, column) for row in range(2) for column in range(ids.shape[1])]
    before = capture(head, ids, places, layers=[layer])[0].unflatten(0, ids.shape)
    with state_put(head, layer, new, skip=skip):
        # A hook set later sees the edited state.
        found = capture(head, ids, places, layers=[layer])[0].unflatten(0, ids.shape)
    torch.testing.assert_close(found[:, -1], new)
    assert torch.equal(found[:, :-1], before[:, :-1])
    assert not changes(model)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("layer", [0, 2])
def test_nothing_stays_after_an_exception_inside(head, model, layer, skip):
    def inside():
        with state_put(head, layer, torch.zeros(1, 32), skip=skip):
            assert changes(model)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inside()
    assert not changes(model)


def test_nothing_stays_after_a_failure_inside_a_block_or_an_edit(model, llama_items, word_tokenizer, monkeypatch):
    head = LensHead.from_model(model)
    pivots = pivots_of(llama_items, word_tokenizer, [1, 2])
    calls = []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) > limit:
            raise RuntimeError("inside a block")
        return own(*args, **kwargs)

    own = model.model.layers[2].mlp.forward
    monkeypatch.setattr(model.model.layers[2].mlp, "forward", failing)
    limit = 10**6
    causal_test(model, llama_items, word_tokenizer, pivots, head=head)
    limit = len(calls) - 1  # in the last of the edited passes
    calls.clear()
    with pytest.raises(RuntimeError, match="inside a block"):
        causal_test(model, llama_items, word_tokenizer, pivots, head=head)
    assert changes(model) == ["model.layers.2.mlp"]  # the one of this test
    monkeypatch.undo()
    assert not changes(model)

    wrong = Variants.edits

    def of_nan(self, subject):
        for edit in wrong(self, subject):
            object.__setattr__(edit, "state", edit.state * np.nan)
            yield edit

    with monkeypatch.context() as patch:
        patch.setattr(Variants, "edits", of_nan)
        with pytest.raises(
            ValueError, match=r"^causal_test: edited states must be finite; got Edit\(.*at layer 1, item"
        ):
            causal_test(model, llama_items, word_tokenizer, pivots, head=head)
    assert not changes(model)
    own_hook = torch.nn.Module.register_forward_hook

    def no_second(self, hook, **options):
        if "state_put" in getattr(hook, "__qualname__", ""):
            raise RuntimeError("no room for a hook")
        return own_hook(self, hook, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Module, "register_forward_hook", no_second)
        with pytest.raises(RuntimeError, match="no room"):
            causal_test(model, llama_items, word_tokenizer, pivots, head=head)
    assert not changes(model)


def test_a_replaced_forward_of_others_comes_back(head, model):
    def own(*args, **kwargs):
        raise AssertionError

    model.model.layers[0].forward = own  # as accelerate sets one
    with state_put(head, 1, torch.zeros(1, 32), skip=True):
        assert model.model.layers[0].forward is not own
    assert model.model.layers[0].forward is own


def test_hooks_that_look_are_left_alone_and_hooks_that_change_are_refused(head, model, llama_items, word_tokenizer):
    pivots = pivots_of(llama_items, word_tokenizer, [1])
    seen = []
    model.model.layers[1].register_forward_hook(lambda *call: seen.append(1))
    require_no_hooks(head, PROMPT)
    assert len(seen) == 1
    quiet = model.model.layers[1]._forward_hooks
    for part, register in (("layers.0", "register_forward_hook"), ("layers.2.mlp", "register_forward_pre_hook")):
        module = model.model.get_submodule(part)
        if register == "register_forward_hook":
            hook = module.register_forward_hook(lambda _, args, out: out * 1.01)
        else:
            hook = module.register_forward_pre_hook(lambda _, args: (args[0] * 1.01,))
        with pytest.raises(
            ValueError, match=r"causal_test: model must have no hook that changes its states; got one of 2"
        ):
            causal_test(model, llama_items, word_tokenizer, pivots, head=head)
        assert model.model.layers[1]._forward_hooks is quiet
        hook.remove()
    assert causal_test(model, llama_items, word_tokenizer, pivots, head=head, interventions=["ablate"]).num_rows


def test_a_model_that_changes_states_by_their_place_is_found(head, model, llama_items, word_tokenizer):
    """Not by a hook, so the unedited state tells: its log-probability is not that of the whole pass."""
    mlp = model.model.layers[1].mlp
    own = mlp.forward
    mlp.forward = lambda hidden: own(hidden) * (1 if hidden.shape[1] > 1 else 1.5)
    with pytest.raises(
        ValueError, match=r"causal_test: model must give an unedited state the log-probability of the wh"
    ):
        causal_test(model, llama_items, word_tokenizer, pivots_of(llama_items, word_tokenizer, [1]), head=head)


def test_layers_whose_blocks_cannot_be_skipped_are_not(head, model):
    states = capture(head, torch.tensor([PROMPT]), [(0, 5)])[:, 0]
    assert skippable(head, PROMPT, [1, 2, 3], states[1:]) == {1, 2, 3}
    # A later block reads what the first one left behind.
    left, first, last = {}, model.model.layers[0], model.model.layers[2]
    first.register_forward_hook(lambda _, args, out: left.__setitem__("state", out))
    last.register_forward_pre_hook(lambda _, args: (args[0] + left.pop("state")[:, -args[0].shape[1] :],))
    states = capture(head, torch.tensor([PROMPT]), [(0, 5)])[:, 0]
    assert skippable(head, PROMPT, [1, 2], states[1:3]) == {1}  # whose state the first block leaves as it is


def test_prompts_of_one_token_run_without_a_cache(head):
    new = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    found = EditedPasses(head, [(4,), (5,)]).run(1, [1, 0], new)
    with state_put(head, 1, new):
        expected = capture(head, torch.tensor([[5], [4]]), [(0, 0), (1, 0)], layers=[3])[0]
    torch.testing.assert_close(found, expected)
