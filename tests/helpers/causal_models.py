"""Planted models whose effects are known, tiny random models, and items that they solve."""

from __future__ import annotations

import copy

import numpy as np
import pyarrow as pa
import torch

from pivotkit.artifacts import table_metadata, with_metadata
from pivotkit.lens.model.encoding import encode
from pivotkit.testbed import plant

SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "initializer_range": 0.3,
}  # fmt: skip

# The second planted model: rows of source, pivot and target share a concept's direction c.
SHARED, OWN, HELD, SHOWN_AT, ANSWERED_AT = 1.0, 0.5, 0.8, 2, 7


def plant_reading(world):
    """The pivot is a mere reading of the concept: the target is computed from the concept's own dimension.

    Rows: source a c - b d, pivot a c + b p, target a c + b d. The layers from `SHOWN_AT` hold c and p, so they show the
    pivot. Block `ANSWERED_AT` writes d from c and erases p, whatever p is.
    """
    model = copy.deepcopy(plant(world))
    ids = {word: number for number, word in enumerate(world.vocabulary)}
    size = len(ids)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        for block in model.model.layers[1:]:
            for linear in block.maps:
                linear.weight.zero_()
        model.model.layers[0].self_attn.strength.fill_(0.5)
        factor = 12.0 / np.sqrt(size)
        for concept in world.concepts:
            c, p = ids[f"g{concept.index}"], ids[concept.words["p"]]
            for source, target in (("a", "b"), ("b", "a")):
                s, t = ids[concept.words[source]], ids[concept.words[target]]
                tag = 1 if target == "b" else 0
                maps = [block.maps[tag].weight if block.maps else None for block in model.model.layers]
                maps[SHOWN_AT - 1][c, s] = HELD / 0.5
                maps[SHOWN_AT - 1][p, s] = HELD / 0.5
                # One dimension tells the two words of a concept apart, up for b.
                sign = 1.0 if target == "b" else -1.0
                d = ids[f"g{len(world.concepts) + concept.index}"]
                maps[ANSWERED_AT - 1][d, c] += sign * 1.0
                maps[ANSWERED_AT - 1][p, p] = -1.0
                model.lm_head.weight[t, c], model.lm_head.weight[t, d] = factor * SHARED, factor * sign * OWN
                model.lm_head.weight[s, c], model.lm_head.weight[s, d] = factor * SHARED, -factor * sign * OWN
            model.lm_head.weight[p, c], model.lm_head.weight[p, p] = factor * SHARED, factor * OWN
    return model


def answered(model, items, tokenizer):
    """The items with the model's own first choice as their target, where that is a word and not the source."""
    rows = items.to_pylist()
    for row, text in zip(rows, encode(tokenizer, items["prompt"].to_pylist(), [f" {row['target']}" for row in rows]),
                         strict=True):  # fmt: skip
        ids = torch.tensor([text.ids[: text.telling]])
        with torch.no_grad():
            choice = tokenizer.decode([int(model(ids).logits[0, -1].argmax())]).strip()
        if choice and choice != row["source"] and choice not in tokenizer.all_special_tokens and ":" not in choice:
            row["target"], row["targets"] = choice, [choice]
    return with_metadata(pa.Table.from_pylist(rows, schema=items.schema), table_metadata(items))


def tiny(tokenizer, config_class, model_class, **more):
    torch.manual_seed(1)
    config = config_class(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, pad_token_id=0, **SIZES, **more)
    model = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))  # ones would hide a missing gain
            elif "embed" in name or "lm_head" in name:
                parameter.mul_(3)
    return model


def pivots_of(items, tokenizer, layers):
    """Each item's P word as its pivot in each layer."""
    rows = [
        {"item": row["item"], "layer": layer, "token_id": tokenizer.convert_tokens_to_ids(dict(row["words"])["p"])}
        for row in items.to_pylist() for layer in layers
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)
