from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedTokenizerFast

from pivotkit.testbed import PlantedForCausalLM, World, build_tokenizer, expected_trace, plant
from pivotkit.testbed.world import NAMES


@pytest.fixture(scope="module")
def tokenizer(small_world: World) -> PreTrainedTokenizerFast:
    return build_tokenizer(small_world.vocabulary)


@pytest.fixture(scope="module")
def model(small_world: World) -> PlantedForCausalLM:
    return plant(small_world)


def _prompt(world: World, concept: int, direction: str, shots: int = 4) -> str:
    source, target = direction
    lines = ""
    for number in range(concept + 1, concept + 1 + shots):
        words = world.concepts[number % len(world.concepts)].words
        lines += f"{NAMES[source]}: {words[source]} {NAMES[target]}: {words[target]}\n"
    return f"{lines}{NAMES[source]}: {world.concepts[concept].words[source]} {NAMES[target]}:"


@torch.no_grad()
def _lens(model: PlantedForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Probabilities at the last position, (layers + 1, V), float64."""
    states = [model.model.embed_tokens(ids)]
    hooks = [block.register_forward_hook(lambda *call: states.append(call[2])) for block in model.model.layers]
    model(ids)
    for hook in hooks:
        hook.remove()
    logits = model.lm_head(model.model.norm(torch.stack([state[0, -1] for state in states])))
    return torch.softmax(logits.double(), -1)


@pytest.mark.parametrize("direction", ["ab", "ba", "ap", "bp"])
def test_every_layer_gives_the_planned_distribution(
    model: PlantedForCausalLM, small_world: World, tokenizer: PreTrainedTokenizerFast, direction: str
) -> None:
    for concept in small_world.concepts:
        seen = _lens(model, tokenizer(_prompt(small_world, concept.index, direction), return_tensors="pt").input_ids)
        expected = expected_trace(small_world, concept.index, direction)
        named = [tokenizer.convert_tokens_to_ids(concept.words[x]) for x in (direction[0], "p", direction[1])]
        np.testing.assert_allclose(seen[:, named].numpy(), expected[:, :3], atol=1e-6)
        others = np.setdiff1d(np.arange(len(small_world.vocabulary)), named)
        np.testing.assert_allclose(seen[:, others].numpy(), np.repeat(expected[:, 3:], len(others), 1), atol=1e-6)


def test_probabilities_sum_to_one_over_the_vocabulary(small_world: World) -> None:
    for concept in small_world.concepts:
        table = expected_trace(small_world, concept.index, "ab")
        total = table[:, :3].sum(1) + table[:, 3] * (len(small_world.vocabulary) - 3)
        np.testing.assert_allclose(total, 1, atol=1e-12)


def test_three_rules_of_behavior_recover_what_was_planted(small_world: World) -> None:
    for concept in small_world.concepts:
        for direction in ("ab", "ba"):
            source, pivot, target, other = expected_trace(small_world, concept.index, direction).T
            is_pivot = concept.kind == "pivot"
            assert target[-1] > max(source[-1], pivot[-1], other[-1])  # translated correctly
            assert (pivot.max() > max(target.max(), source.max())) == is_pivot  # the highest peak of all layers
            assert (pivot[1:-1].max() >= 0.2) == is_pivot  # a confident pivot between the layers
            assert (pivot.max() >= 0.1) == is_pivot
            assert other.max() < 0.05


def test_the_pivot_alone_carries_the_concept_late(
    model: PlantedForCausalLM, small_world: World, tokenizer: PreTrainedTokenizerFast
) -> None:
    one, two = [concept for concept in small_world.concepts if concept.kind == "pivot"][:2]
    p1, p2, b1, b2 = (
        tokenizer.convert_tokens_to_ids(word)
        for word in (one.words["p"], two.words["p"], one.words["b"], two.words["b"])
    )

    def swap(_module: torch.nn.Module, _args: object, hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.clone()
        hidden[..., [p1, p2]] = hidden[..., [p2, p1]]
        return hidden

    ids = tokenizer(_prompt(small_world, one.index, "ab"), return_tensors="pt").input_ids
    hook = model.model.layers[3].register_forward_hook(swap)
    final = _lens(model, ids)[-1]
    hook.remove()
    assert final.argmax() == b2
    assert final[b1] < final[b2]


def test_right_and_left_padding_change_nothing(
    model: PlantedForCausalLM, small_world: World, tokenizer: PreTrainedTokenizerFast
) -> None:
    prompts = [_prompt(small_world, concept, "ab", shots) for concept, shots in ((0, 4), (1, 2), (2, 0))]
    alone = [model(tokenizer(prompt, return_tensors="pt").input_ids).logits[0] for prompt in prompts]
    for side in ("left", "right"):
        batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side=side)
        logits = model(**batch).logits
        for row, mask, expected in zip(logits, batch.attention_mask, alone, strict=True):
            torch.testing.assert_close(row[mask.bool()], expected)


def test_a_cached_prefix_changes_nothing(
    model: PlantedForCausalLM, small_world: World, tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = tokenizer(_prompt(small_world, 3, "ba"), return_tensors="pt").input_ids
    whole = model(ids).logits
    for cut in (1, 4, 21, ids.shape[1] - 1):
        cache = model(ids[:, :cut], use_cache=True).past_key_values
        torch.testing.assert_close(model(ids[:, cut:], past_key_values=cache).logits, whole[:, cut:])


def test_one_cached_prefix_serves_many_padded_continuations(
    model: PlantedForCausalLM, small_world: World, tokenizer: PreTrainedTokenizerFast
) -> None:
    prefix = "A: a1 B: b1\nA: a2 B: b2\n"
    queries = ["A: a3 B: b3", "A: a4 B:", "A:"]
    head = tokenizer(prefix, return_tensors="pt").input_ids
    cache = DynamicCache()
    model.model(head, past_key_values=cache)
    cache.batch_repeat_interleave(len(queries))
    tails = tokenizer(queries, return_tensors="pt", padding=True, padding_side="right")
    mask = torch.cat((torch.ones(len(queries), head.shape[1], dtype=torch.int64), tails.attention_mask), 1)
    logits = model(tails.input_ids, attention_mask=mask, past_key_values=cache).logits
    for row, tail, query in zip(logits, tails.attention_mask.bool(), queries, strict=True):
        whole = model(tokenizer(prefix + query, return_tensors="pt").input_ids).logits[0, head.shape[1] :]
        torch.testing.assert_close(row[tail], whole)


def test_auto_model_loads_what_was_saved_as_safetensors(
    model: PlantedForCausalLM, small_world: World, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(loaded, PlantedForCausalLM)
    ids = torch.arange(len(small_world.vocabulary))[None]
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits, rtol=0, atol=0)


def test_labels_and_hidden_states_follow_transformers(
    model: PlantedForCausalLM, small_world: World, tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = tokenizer(_prompt(small_world, 0, "ab") + " b0", return_tensors="pt").input_ids
    outputs = model(ids, labels=ids, output_hidden_states=True)
    logprobs = torch.log_softmax(outputs.logits[0, :-1], -1)
    torch.testing.assert_close(outputs.loss, -logprobs.gather(1, ids[0, 1:, None]).mean())
    assert len(outputs.hidden_states) == len(model.model.layers) + 1
    torch.testing.assert_close(model.lm_head(outputs.hidden_states[-1]), outputs.logits)
    torch.testing.assert_close(model(ids, logits_to_keep=1).logits, outputs.logits[:, -1:])


def test_wrong_inputs_are_refused(model: PlantedForCausalLM, small_world: World) -> None:
    ids = torch.zeros((1, 3), dtype=torch.int64)
    with pytest.raises(ValueError, match="attention_mask must have shape"):
        model(ids, attention_mask=torch.ones(1, 2))
    with pytest.raises(ValueError, match="input_ids or inputs_embeds must be given"):
        model()
    with pytest.raises(ValueError, match="direction must be"):
        expected_trace(small_world, 0, "pa")
