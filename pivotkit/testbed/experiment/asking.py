"""What a checkpoint is asked: translations of held-out concepts, the loss on held-out documents, its behaviors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import LlamaForCausalLM

from pivotkit.causal.causal_test import causal_test
from pivotkit.lens.behavior import STRICT, classify
from pivotkit.lens.trace import trace
from pivotkit.testbed.experiment.arms import CO_OCCURRENCE, PIVOT
from pivotkit.testbed.experiment.pool import Pool, monolingual
from pivotkit.testbed.items import demo_items, held_out_items
from pivotkit.testbed.tokenizer import build_tokenizer
from pivotkit.testbed.world import BOS, World
from pivotkit.training.loop import next_token_loss, pack


@dataclass(frozen=True)
class Questions:
    """What the checkpoints of one pool and seed are asked.

    Attributes
    ----------
    items : pyarrow.Table
        `held_out_items` of the world.
    prompts : int64 (items, length)
        Their prompts, which are all of one length.
    targets : int64 (items,)
        The one token of each answer.
    rows : mapping of language to int64 (rows, length)
        Packed held-out documents of that language alone.
    """

    items: pa.Table
    prompts: torch.Tensor
    targets: torch.Tensor
    rows: dict[str, torch.Tensor]

    @classmethod
    def of(cls, pool: Pool, seed: int) -> Questions:
        items, tokenizer = held_out_items(pool.world, seed=seed), build_tokenizer(pool.world.vocabulary)
        prompts = tokenizer(items["prompt"].to_pylist(), return_tensors="pt")["input_ids"]
        targets = torch.tensor(tokenizer.convert_tokens_to_ids(items["target"].to_pylist()))
        bos, recipe = pool.world.vocabulary.index(BOS), pool.setting.recipe
        rows = {
            language: pack(documents, recipe.length, bos, seed)[: pool.setting.loss_rows]
            for language, documents in monolingual(pool.world, pool.held_out)
        }
        return cls(items, prompts, targets, rows)

    def described(self) -> list[dict[str, Any]]:
        """Pair, concept and kind of each item."""
        rows: list[dict[str, Any]] = self.items.select(["pair", "concept", "kind"]).to_pylist()
        return rows

    @torch.no_grad()
    def ask(self, model: LlamaForCausalLM) -> dict[str, Any]:
        """``correct``, one "0" or "1" for each item, the mean ``probability`` by kind, and the ``loss`` by language."""
        logprobs = torch.log_softmax(model(input_ids=self.prompts, logits_to_keep=1).logits[:, -1].double(), dim=-1)
        correct = logprobs.argmax(dim=-1) == self.targets
        probability = logprobs.gather(1, self.targets[:, None])[:, 0].exp().numpy()
        kinds = np.array(self.items["kind"].to_pylist())
        return {
            "correct": "".join("1" if right else "0" for right in correct.tolist()),
            "probability": {kind: float(probability[kinds == kind].mean()) for kind in sorted(set(kinds.tolist()))},
            "loss": {language: float(next_token_loss(model, rows).mean()) for language, rows in self.rows.items()},
        }


def behaviors(model: LlamaForCausalLM, world: World) -> dict[int, tuple[str, ...]]:
    """The behavior of every concept's items by the strict rule."""
    items = demo_items(world)
    shown = classify(trace(model, items, build_tokenizer(world.vocabulary), latent=("p",)), STRICT)
    numbers = {word: concept.index for concept in world.concepts for word in concept.words.values()}
    source = dict(zip(items["item"].to_pylist(), items["source"].to_pylist(), strict=True))
    found: dict[int, list[str]] = {}
    for item, behavior in zip(shown["item"].to_pylist(), shown["behavior"].to_pylist(), strict=True):
        known = behavior if behavior in (PIVOT, CO_OCCURRENCE) else "unsolved"
        found.setdefault(numbers[source[item]], []).append(known)
    return {concept: tuple(known) for concept, known in sorted(found.items())}


def causal(model: LlamaForCausalLM, world: World, seed: int) -> dict[str, Any]:
    """What the pivots' directions do to the answers that the model gives right, for held-out pivot concepts.

    The pivot's direction is removed from the state of each inner layer. ``own`` and ``other`` give the mean change of
    the answer's log-probability for the item's own pivot and for another item's, by layer, over the same items;
    ``concepts`` the mean difference of each concept over layers.
    """
    asked = {concept.words[x]: concept for concept in world.concepts if concept.held_out for x in ("a", "b")}
    items = demo_items(world)
    items = items.filter([word in asked for word in items["source"].to_pylist()])
    index = {word: place for place, word in enumerate(world.vocabulary)}
    layers = range(1, model.config.num_hidden_layers)
    rows = [
        {"item": item, "layer": layer, "token_id": index[asked[source].words["p"]]}
        for item, source in zip(items["item"].to_pylist(), items["source"].to_pylist(), strict=True)
        if asked[source].kind == PIVOT
        for layer in layers
    ]
    try:
        table = causal_test(
            model, items, build_tokenizer(world.vocabulary), pa.Table.from_pylist(rows), interventions=("ablate",),
            seed=seed,
        )  # fmt: skip
    except ValueError as error:  # no item is solved
        return {"reason": str(error), "concepts": {}}
    effects: dict[tuple[str, int, int], float] = {}
    concepts: dict[int, Any] = {}
    for row in table.filter([bool(mean) for mean in table["mean"].to_pylist()]).to_pylist():
        if row["control"] in ("own", "other") and math.isfinite(row["delta_logprob"]):
            effects[row["control"], row["item"], row["layer"]] = row["delta_logprob"]
            concepts[row["item"]] = row["concept"]
    both = [(item, layer) for control, item, layer in effects if control == "own" and ("other", item, layer) in effects]
    apart: dict[str, list[float]] = {}
    for item, layer in both:
        apart.setdefault(str(concepts[item]), []).append(effects["own", item, layer] - effects["other", item, layer])

    def means(control: str) -> dict[str, float]:
        values = {layer: [effects[control, i, at] for i, at in both if at == layer] for layer in layers}
        return {str(layer): float(np.mean(found)) for layer, found in values.items() if found}

    return {
        "items": len({item for item, _ in both}),
        "own": means("own"),
        "other": means("other"),
        "concepts": {concept: float(np.mean(values)) for concept, values in apart.items()},
    }
