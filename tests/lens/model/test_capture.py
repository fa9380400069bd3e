"""Hidden states at wanted positions, under any padding and for any return type of the blocks, without logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pivotkit.lens.model.capture import capture, run_base
from pivotkit.lens.model.difference import difference
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.reference import reference_lens

# As a share of the largest state: small states carry the rounding of large ones, up to 1e-5 of those.
ROUNDING = 1e-4

sequences = st.lists(st.lists(st.integers(1, 55), min_size=1, max_size=10), min_size=1, max_size=4)


@settings(max_examples=6)
@given(sequences=sequences)
def test_padded_batches_equal_each_sequence_alone(family_head, sequences):
    head = family_head
    alone = torch.cat([capture(head, torch.tensor([one]), [(0, at) for at in range(len(one))]) for one in sequences], 1)
    width = max(map(len, sequences))
    for side in ("left", "right", "right without a mask"):
        before = [width - len(one) if side == "left" else 0 for one in sequences]
        ids, mask = torch.zeros(2, len(sequences), width, dtype=torch.int64)
        for row, (begin, one) in enumerate(zip(before, sequences, strict=True)):
            ids[row, begin : begin + len(one)] = torch.tensor(one)
            mask[row, begin : begin + len(one)] = 1
        places = [(row, before[row] + at) for row, one in enumerate(sequences) for at in range(len(one))]
        if any(before) and not head.pads_left:
            with pytest.raises(ValueError, match="attention_mask must pad on the right for RecurrentGemmaModel"):
                capture(head, ids, places, attention_mask=mask)
            continue
        padded = capture(head, ids, places, attention_mask=mask if side != "right without a mask" else None)
        assert difference(padded, alone) <= ROUNDING, side


@settings(max_examples=4)
@given(prefix=st.lists(st.integers(1, 55), min_size=1, max_size=9), sequences=sequences)
def test_continuations_of_a_prefix_equal_each_whole_sequence(family_head, prefix, sequences):
    from transformers import DynamicCache

    head = family_head
    if not head.shares_prefix:
        return
    cache = DynamicCache(config=head.base.config)
    run_base(head.base, torch.tensor([prefix]), past=cache)
    cache.batch_repeat_interleave(len(sequences))
    width = max(map(len, sequences))
    ids = torch.tensor([one + [0] * (width - len(one)) for one in sequences])
    mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in sequences])
    places = [(row, column) for row, one in enumerate(sequences) for column in range(len(one))]
    together = capture(head, ids, places, attention_mask=mask, past=cache)
    whole = [
        capture(head, torch.tensor([prefix + one]), [(0, len(prefix) + column) for column in range(len(one))])
        for one in sequences
    ]
    assert difference(together, torch.cat(whole, dim=1)) <= ROUNDING


def test_capture_keeps_the_residual_stream_of_every_layer(model):
    head = LensHead.from_model(model)
    ids = torch.tensor([[3, 7, 1, 9, 12], [5, 2, 8, 0, 0]])
    positions = [(0, 4), (1, 2), (0, 1)]
    got = capture(head, ids, positions)
    assert got.shape == (4, 3, 32)
    for column, (row, at) in enumerate(positions):
        length = 5 if row == 0 else 3
        truth = reference_lens(model, ids[row, :length])[:, at]
        logits = head.logit_scale * head.normed(got[:, column]) @ head.weight.T
        if head.softcap:
            logits = head.softcap * torch.tanh(logits / head.softcap)
        assert (logits.double().log_softmax(-1) - truth).abs().max() < 1e-4


def test_chosen_layers_are_that_part_of_all(model):
    head = LensHead.from_model(model)
    ids = torch.tensor([[3, 7, 1, 9]])
    everything = capture(head, ids, [(0, 2)])
    assert torch.equal(capture(head, ids, [(0, 2)], layers=[3, 0]), everything[[3, 0]])


@settings(max_examples=6)
@given(sequences=sequences, data=st.data())
def test_wanted_positions_alone_give_the_states_they_have_among_all(family_head, sequences, data):
    width = max(map(len, sequences))
    ids = torch.tensor([one + [0] * (width - len(one)) for one in sequences])
    everywhere = [(row, column) for row in range(len(ids)) for column in range(width)]
    chosen = sorted(data.draw(st.sets(st.integers(0, len(everywhere) - 1), max_size=5)))
    plain = capture(replace(family_head, positionwise=()), ids, everywhere)[:, chosen]
    some = capture(family_head, ids, [everywhere[at] for at in chosen])
    assert some.shape == plain.shape
    if chosen:
        assert difference(some, plain) <= ROUNDING


@settings(max_examples=4)
@given(prefix=st.lists(st.integers(1, 55), min_size=1, max_size=9), sequences=sequences, data=st.data())
def test_so_do_those_behind_a_prefix_and_beside_padding(family_head, prefix, sequences, data):
    from transformers import DynamicCache

    head = family_head
    width = max(map(len, sequences))
    ids = torch.tensor([one + [0] * (width - len(one)) for one in sequences])
    mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in sequences])
    chosen = [(row, data.draw(st.integers(0, len(one) - 1))) for row, one in enumerate(sequences)]
    found = []
    for own in (head, replace(head, positionwise=())):
        cache = None
        if head.shares_prefix:
            cache = DynamicCache(config=head.base.config)
            run_base(head.base, torch.tensor([prefix]), past=cache)
            cache.batch_repeat_interleave(len(sequences))
        found.append(capture(own, ids, chosen, attention_mask=mask, past=cache))
    assert difference(*found) <= ROUNDING


def test_the_last_blocks_feed_forward_part_runs_at_the_wanted_positions_alone(make_model, monkeypatch):
    model = make_model("llama")
    head = LensHead.from_model(model)
    seen = []
    for block in model.model.layers:
        plain = block.mlp.forward
        monkeypatch.setattr(block.mlp, "forward", lambda x, plain=plain: (seen.append(tuple(x.shape)), plain(x))[1])
    capture(head, torch.tensor([[3, 7, 1, 9], [4, 4, 2, 6]]), [(0, 1), (1, 3), (1, 0)])
    assert seen == [(2, 4, 32), (2, 4, 32), (1, 3, 32)]


def test_the_models_own_logits_are_never_built(make_model, monkeypatch):
    model = make_model("llama")
    head = LensHead.from_model(model)

    def refuse(*args, **kwargs):
        raise AssertionError("the head ran")

    monkeypatch.setattr(model.lm_head, "forward", refuse)
    monkeypatch.setattr(type(model), "forward", refuse)
    assert capture(head, torch.tensor([[3, 7, 1]]), [(0, 2)]).shape == (4, 1, 32)


def test_no_hook_stays_behind_even_after_an_error(make_model):
    model = make_model("llama")
    head = LensHead.from_model(model)
    with pytest.raises(IndexError):
        capture(head, torch.tensor([[3, 7, 99]]), [(0, 2)])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("positions", "layers", "message"),
    [
        ([(0, 2)], [99], r"layers must be one or more of 0 to 3; got \[99\]"),
        ([(0, 2)], [-1], r"layers must be one or more of 0 to 3; got \[-1\]"),
        ([(0, 2)], [], r"layers must be one or more of 0 to 3; got \[\]"),
        ([(0, 3)], None, r"positions must lie within input_ids, \(1, 3\); got \(0, 3\)"),
        ([(0, 0), (-1, 0)], None, r"positions must lie within input_ids, \(1, 3\); got \(-1, 0\)"),
    ],
)
def test_a_layer_or_position_that_is_not_there_is_refused_and_leaves_no_hook(make_model, positions, layers, message):
    model = make_model("llama")
    with pytest.raises(ValueError, match=f"capture: {message}"):
        capture(LensHead.from_model(model), torch.tensor([[3, 7, 1]]), positions, layers=layers)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


class InTuples(nn.Module):
    """A block that returns a tuple, as in older versions of transformers."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, hidden_states, **kwargs):
        return (self.block(hidden_states, **kwargs),)


def test_blocks_that_return_tuples_are_read_like_those_that_return_tensors(make_model):
    model = make_model("llama")
    ids = torch.tensor([[3, 7, 1, 9], [4, 4, 2, 6]])
    plain = capture(LensHead.from_model(model), ids, [(1, 2), (0, 3)])

    class Model(type(model.model)):
        def forward(self, input_ids, use_cache=None, **kwargs):
            hidden = self.embed_tokens(input_ids)
            positions = torch.arange(input_ids.shape[1])[None]
            cosines = self.rotary_emb(hidden, positions)
            for block in self.layers:
                hidden = block(
                    hidden_states=hidden, attention_mask=None, position_ids=positions, position_embeddings=cosines
                )[0]
            return self.norm(hidden), None

    model.model.layers = nn.ModuleList(InTuples(block) for block in model.model.layers)
    model.model.__class__ = Model
    described = LensHead.from_model(make_model("llama"))
    parts = (model.model.layers[-1].block.mlp,)
    head = replace(described, base=model.model, blocks=tuple(model.model.layers), positionwise=parts)
    assert torch.allclose(capture(head, ids, [(1, 2), (0, 3)]), plain, atol=1e-6)


def test_the_cache_goes_by_either_name():
    class Newer(nn.Module):
        def forward(self, input_ids, cache=None, use_cache=None):
            return cache

    class Older(nn.Module):
        def forward(self, input_ids, past_key_values=None, use_cache=None):
            return past_key_values

    for module in (Newer(), Older()):
        assert run_base(module, torch.tensor([[1]]), past="prefix") == "prefix"


@pytest.mark.parametrize(("value", "name"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_a_state_that_is_not_finite_is_refused_with_its_place(make_model, value, name):
    model = make_model("gpt2")
    head = LensHead.from_model(model)
    model.transformer.h[1].mlp.c_proj.bias.data[3] = value
    ids = torch.tensor([[3, 7, 1], [4, 4, 2]])
    with pytest.raises(
        ValueError, match=f"capture: hidden states must be finite; got {name} at layer 2, row 1, position 2"
    ):
        capture(head, ids, [(1, 2), (0, 1)])
    assert capture(head, ids, [(1, 2)], layers=[0, 1]).isfinite().all()


def test_a_mask_of_another_shape_is_refused(llama):
    with pytest.raises(
        ValueError, match=r"capture: attention_mask must have the shape of input_ids, \(1, 3\); got \(1, 2\)"
    ):
        capture(LensHead.from_model(llama), torch.tensor([[3, 7, 1]]), [(0, 2)], attention_mask=torch.ones(1, 2))


def test_left_padding_behind_a_prefix_is_refused(llama):
    from transformers import DynamicCache

    head = LensHead.from_model(llama)
    cache = DynamicCache(config=llama.config)
    run_base(head.base, torch.tensor([[5, 6]]), past=cache)
    with pytest.raises(ValueError, match="must keep every row's first token where past is given"):
        capture(head, torch.tensor([[0, 7, 1]]), [(0, 2)], attention_mask=torch.tensor([[0, 1, 1]]), past=cache)
