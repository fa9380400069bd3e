"""The causal test against a plain loop with a hook, and against the bare forward passes that it needs.

Runs on the planted testbed model by default. ``PIVOTKIT_BENCH=full`` runs Gemma 3 270M on real words, four pairs and four
layers, and needs the same folders as tests on real models. Seconds are of one edit: an edited state and its answer.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from bench_lens import FULL, SECONDS, bench_model, prompts_of

from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.directions import chain_map
from pivotkit.lens.model.cache import new_cache
from pivotkit.lens.specific_tokens import specific_tokens
from pivotkit.lens.trace import trace
from pivotkit.words.task import build_task
from pivotkit.words.word_tokens import WordTokens

PAIRS, LAYERS, LIMIT = (
    (["fr-de", "de-es", "es-fr", "fr-es"], [13, 14, 15, 16], 40) if FULL else (["a-b", "b-a"], [3, 5], 8)
)
LOOP = 8  # edits of the plain loop
ROWS = 256


def pivots_of(items: pa.Table, model: Any, tokenizer: Any, head: Any) -> pa.Table:
    """The most probable specific token of each item and layer that is another whole word."""
    if not FULL:
        words = WordTokens(tokenizer)
        named = [(row["item"], words.pieces(dict(row["words"])["p"])[0]) for row in items.to_pylist()]
        return pa.table({"item": [item for item, _ in named for _ in LAYERS], "layer": LAYERS * len(named),
                         "token_id": [token for _, token in named for _ in LAYERS]})  # fmt: skip
    found = specific_tokens(trace(model, items, tokenizer, head=head))
    found = found.filter((pc.field("class") == "pivot") & pc.field("layer").isin(LAYERS))
    best = found.select(["item", "layer", "token_id"]).group_by(["item", "layer"], use_threads=False)
    return best.aggregate([("token_id", "first")]).rename_columns(["item", "layer", "token_id"])


@torch.inference_mode()
def bare_passes(model: Any, prompts: list[tuple[int, ...]], edits: list[int]) -> None:
    """As many passes of each prompt's last token as it has edits, after its cached prefix, to the model's logits."""
    for ids, count in zip(prompts, edits, strict=True):
        cache = new_cache(model.base_model)
        model(input_ids=torch.tensor([ids[:-1]]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        for begin in range(0, count, ROWS):
            rows = min(ROWS, count - begin)
            own = copy.deepcopy(cache)
            own.batch_repeat_interleave(rows)
            model(input_ids=torch.tensor([ids[-1:]] * rows), past_key_values=own, use_cache=True).logits[:, -1]


@torch.inference_mode()
def loop(model: Any, head: Any, prompts: dict[int, tuple[int, ...]], rows: list[dict[str, Any]]) -> list[float]:
    """The change of the answer's log-probability by each ablation, one whole prompt after the other."""
    linear, found = chain_map(head), []
    for row in rows:
        ids = torch.tensor([prompts[row["item"]]])
        unit = linear.T @ head.weight[row["token_id"]].double()
        unit = (unit / unit.norm()).to(head.weight)

        def remove(_: Any, args: Any, output: Any, unit: torch.Tensor = unit) -> Any:
            hidden = (output if torch.is_tensor(output) else output[0]).clone()
            hidden[:, -1] -= (hidden[:, -1] @ unit)[:, None] * unit
            return hidden if torch.is_tensor(output) else (hidden, *output[1:])

        whole = model(input_ids=ids).logits[0, -1].log_softmax(-1)
        hook = head.blocks[row["layer"] - 1].register_forward_hook(remove)
        edited = model(input_ids=ids).logits[0, -1].log_softmax(-1)
        hook.remove()
        found.append(float((edited - whole)[whole.argmax()]))
    return found


def test_causal_test(interleaved: Any, benchmark: Any) -> None:
    model, tokenizer, head, lexicon, _, prompt = bench_model()
    items = build_task(lexicon, PAIRS, limit=LIMIT, prompt=prompt)
    pivots = pivots_of(items, model, tokenizer, head)
    prompts = dict(zip(items["item"].to_pylist(), prompts_of(items, tokenizer), strict=True))
    table = causal_test(model, items, tokenizer, pivots, head=head)
    edits = dict(zip(*np.unique(table["item"].to_numpy(), return_counts=True), strict=True))
    own = table.filter((pc.field("intervention") == "ablate") & (pc.field("control") == "own") & ~pc.field("mean"))
    few = own.slice(0, LOOP).to_pylist()
    benchmark.group = f"causal test pairs={len(PAIRS)} layers={len(LAYERS)}"
    found = interleaved(
        {
            "torch_loop": lambda: loop(model, head, prompts, few),
            "torch_bare_passes": lambda: bare_passes(model, [prompts[item] for item in edits], list(edits.values())),
            "pivotkit": lambda: causal_test(model, items, tokenizer, pivots, head=head),
        },
        SECONDS, baseline="torch_bare_passes",
        units={"torch_loop": len(few), "torch_bare_passes": table.num_rows, "pivotkit": table.num_rows},
    )  # fmt: skip
    benchmark.extra_info["edits"] = table.num_rows
    ours = [row["delta_logprob"] for row in few]
    np.testing.assert_allclose(found["torch_loop"], ours, rtol=1e-3, atol=1e-3)
