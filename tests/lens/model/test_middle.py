"""The residual stream between attention and feed-forward part, against the blocks' own equations; refused where there is none."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from torch import nn

from pivotkit.lens.behavior import classify
from pivotkit.lens.contrast_means import contrast_means
from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.encoding import encode
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import load_model
from pivotkit.lens.model.middle import middle_readers
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.lens.trace import trace
from pivotkit.words.task import build_task

IDS = torch.tensor([[7, 3, 11, 5, 2, 13, 4, 9, 6, 1]])


def by_hand(model, family, ids):
    """(blocks, T, D) float64: every block computed part by part, from its input, with the model's own parts."""
    model = model.double()
    inputs = []
    blocks = model.transformer.h if family == "gpt2" else model.model.layers
    hooks = [block.register_forward_pre_hook(lambda block, args, kwargs: inputs.append((args, kwargs)), with_kwargs=True)
             for block in blocks]  # fmt: skip
    model(ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    found = []
    for block, (args, kwargs) in zip(blocks, inputs, strict=True):
        before = args[0] if args else kwargs.pop("hidden_states")
        kwargs = {name: value for name, value in kwargs.items() if name not in ("hidden_states", "use_cache")}
        if family == "gpt2":
            rest = {name: value for name, value in kwargs.items() if name == "attention_mask"}
            found.append(before + block.attn(block.ln_1(before), **rest)[0])
        else:
            if family == "olmo2":
                part = block.self_attn(hidden_states=before, **kwargs)[0]
            else:
                part = block.self_attn(hidden_states=block.input_layernorm(before), **kwargs)[0]
            if family in ("gemma2", "gemma3", "olmo2"):
                part = block.post_attention_layernorm(part)
            found.append(before + getattr(block, "residual_multiplier", 1.0) * part)
    return torch.stack(found)[:, 0]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3", "gpt2", "olmo2", "granite", "qwen3"])
@torch.inference_mode()
def test_the_state_after_attention_is_the_input_plus_the_attention(make_model, family):
    more = {"residual_multiplier": 0.5} if family == "granite" else {}
    model = make_model(family, **more)
    head = LensHead.from_model(model)
    places = [(0, at) for at in range(IDS.shape[1])]
    states = capture(head, IDS, places, readers=middle_readers("test", head))
    layers, middles = states[: len(head.blocks) + 1], states[len(head.blocks) + 1 :]
    truth = by_hand(model, family, IDS)
    scale = truth.norm(dim=-1, keepdim=True)
    assert float(((middles - truth).abs() / scale).max()) < 1e-5
    assert float(((middles - layers[1:]).abs() / scale).max()) > 1e-2
    assert float(((middles - layers[:-1]).abs() / scale).max()) > 1e-2


@pytest.mark.parametrize("family", ["bloom", "opt", "phi3", "mixtral", "gemma", "smollm3"])
def test_other_families_with_two_steps_have_such_a_state(make_model, family):
    head = LensHead.from_model(make_model(family))
    assert len(middle_readers("test", head)) == len(head.blocks)


def test_16_bits_hide_no_step(make_model):
    head = LensHead.from_model(make_model("gemma3").to(torch.bfloat16))
    readers = middle_readers("test", head)
    assert [type(part).__name__ for part in readers] == ["Gemma3RMSNorm"] * 3
    assert list(readers) == [block.pre_feedforward_layernorm for block in head.blocks]


def test_a_real_model_has_them_in_16_bits_too(real_models):
    """Its stream has a few numbers so large that most of a block's change is lost in their rounding."""
    model, _ = load_model(real_models / "smollm2-135m")
    head = LensHead.from_model(model.to(torch.bfloat16))
    assert list(middle_readers("test", head)) == [block.post_attention_layernorm for block in head.blocks]


@pytest.mark.parametrize("family", ["phi", "gptj", "cohere", "gpt_neox", "falcon", "opt without a final norm", "bert"])
def test_blocks_that_add_both_at_once_or_norm_the_sum_are_refused(make_model, family):
    """NeoX and Falcon as their configurations say by default, which is in parallel."""
    head = LensHead.from_model(make_model(family))
    with pytest.raises(
        ValueError, match=r"test: points must be block alone for .*; got attention, but block 1 has no state"
    ):
        middle_readers("test", head)


def test_neox_and_falcon_in_two_steps_have_such_a_state(make_model):
    for family, more in (("gpt_neox", {"use_parallel_residual": False}), ("falcon", {"parallel_attn": False})):
        head = LensHead.from_model(make_model(family, **more))
        assert list(middle_readers("test", head)) == [block.post_attention_layernorm for block in head.blocks]


def test_a_part_that_changes_what_it_adds_is_refused(make_model):
    """A block whose output is not the middle plus what a part returned."""
    model = make_model("llama")

    class Bent(type(model.model.layers[1])):
        def forward(self, *args, **kwargs):
            return torch.tanh(super().forward(*args, **kwargs))

    model.model.layers[1].__class__ = Bent
    head = LensHead.from_model(model)
    with pytest.raises(ValueError, match="got attention, but block 2 has no state"):
        middle_readers("test", head)


def test_a_tree_of_prefixes_gives_the_states_of_whole_sequences(make_model):
    head = LensHead.from_model(make_model("gemma3"))
    readers = middle_readers("test", head)
    shared = tuple(range(2, 40))
    sequences = [(*shared, 41, 42), (*shared, 43), (*shared, 44, 45, 46)]
    tree = PrefixTree(sequences, [[len(sequence) - 1] for sequence in sequences])
    found = {line: states[:, at] for lines, states in tree.run(head, readers=readers) for at, line in enumerate(lines)}
    for sequence, [line] in zip(sequences, tree.rows, strict=True):
        whole = capture(head, torch.tensor([sequence]), [(0, len(sequence) - 1)], readers=readers)[:, 0]
        torch.testing.assert_close(found[line], whole, rtol=1e-3, atol=1e-4)
    assert not any(part._forward_pre_hooks for block in head.blocks for part in block.modules())


def test_a_state_that_is_not_finite_is_named(make_model):
    model = make_model("llama")
    head = LensHead.from_model(model)
    readers = middle_readers("test", head)

    class Failing(nn.Module):
        def forward(self, hidden_states, **_):
            return torch.full_like(hidden_states, float("nan")), None

    model.model.layers[2].self_attn = Failing()
    with pytest.raises(ValueError, match="must be finite; got nan at layer 3"):
        capture(head, IDS, [(0, 3)], readers=readers)


# ---- in a trace


@torch.inference_mode()
def test_the_state_after_attention_is_read_by_the_same_lens(llama, items, tokenizer):
    """By hand in float64: the block's input plus its attention, through the norm and the head."""
    table = trace(llama, items, tokenizer, points=["block", "attention"], latent=["en"], chains=True, k=5)
    head = LensHead.from_model(llama)
    norms = [block.post_attention_layernorm for block in llama.model.layers]
    for row in items.to_pylist():
        [text] = encode(tokenizer, [row["prompt"]], [" " + row["target"]])
        kept = []
        hooks = [
            norm.register_forward_pre_hook(lambda norm, args, kept=kept: kept.append(args[0][0])) for norm in norms
        ]
        llama(torch.tensor([text.ids]))
        for hook in hooks:
            hook.remove()
        own = [step for step in table.to_pylist() if step["item"] == row["item"] and step["point"] == "attention"]
        assert [step["layer"] for step in own] == [1, 2, 3]
        for step, states in zip(own, kept, strict=True):
            logits = head.normed(states).double() @ head.weight.double().T
            p = logits.log_softmax(-1)
            at, target = text.telling - 1, text.ids[text.telling]
            assert step["top_ids"] == p[at].argsort(descending=True, stable=True)[:5].tolist()
            assert step["target_logprob"] == pytest.approx(float(p[at, target]), abs=2e-5)
            assert step["tracked_logprobs"] == pytest.approx(p[at, step["tracked"]].tolist(), abs=2e-5)
            chain = sum(float(p[place - 1, text.ids[place]]) for place in range(text.word_start, len(text.ids)))
            assert step["target_chain_logprob"] == pytest.approx(chain, abs=1e-4)


def test_outputs_of_blocks_are_the_same_whatever_else_is_read(model, items, tokenizer):
    alone = trace(model, items, tokenizer)
    both = trace(model, items, tokenizer, points=["block", "attention"])
    assert both.num_rows == items.num_rows * 7
    assert set(alone["point"].to_pylist()) == {"block"}
    theirs = both.filter(pc.field("point") == "block").to_pylist()
    for one, other in zip(alone.to_pylist(), theirs, strict=True):
        assert (one["top_ids"], one["tracked"]) == (other["top_ids"], other["tracked"])
        assert one["logsumexp"] == pytest.approx(other["logsumexp"], abs=1e-5)
        assert one["kl_to_final"] == pytest.approx(other["kl_to_final"], abs=1e-5)
    assert classify(both).equals(classify(alone))


def test_contrasts_after_attention_are_those_of_their_states(llama, lexicon, tokenizer):
    items = build_task(lexicon, ["fr-en"], limit=12, shots=1, contexts=1, distractors=2)
    rows = trace(llama, items, tokenizer, points=["block", "attention"], k=len(tokenizer)).to_pylist()
    for point, layer in (("attention", 2), ("block", 2)):
        own = [row for row in rows if (row["point"], row["layer"]) == (point, layer)]
        p = np.empty((12, len(tokenizer)))
        for at, row in enumerate(own):
            p[at, row["top_ids"]] = row["top_logprobs"]
        for at, row in enumerate(own):
            expected = p[at] - np.delete(p, at, 0).mean(0)
            assert row["top_contrasts"] == pytest.approx(expected[row["top_ids"]].tolist(), abs=1e-4)


def test_points_that_cannot_be_read_are_refused(make_model, llama, items, tokenizer):
    both = ["block", "attention"]
    for points, message in [
        (["mlp"], "be of block, attention; got 'mlp'"),
        (["attention"], "hold 'block'; got attention"),
    ]:
        with pytest.raises(ValueError, match=f"trace: points must {message}"):
            trace(llama, items, tokenizer, points=points)
    with pytest.raises(ValueError, match="trace: points must be block alone with a lens; got attention"):
        trace(llama, items, tokenizer, points=both, lens=lambda states, layers: states)
    with pytest.raises(ValueError, match="trace: points must be block alone where contrast is sums; got attention"):
        trace(llama, items, tokenizer, points=both, contrast=contrast_means(llama, items, tokenizer))
    with pytest.raises(ValueError, match="trace: points must be block alone for PhiModel; got attention"):
        trace(make_model("phi", vocab_size=len(tokenizer)), items, tokenizer, points=both)
