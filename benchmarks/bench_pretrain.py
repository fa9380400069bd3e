"""Continued pre-training by `train_arm`, which is transformers' Trainer, against a plain loop of PyTorch.

Both train a model for the same updates on the same rows: the rows are packed from an arm's token file, the loop has
AdamW, clipped gradients and the same rates, and keeps its losses. Neither writes a checkpoint. ``PIVOTKIT_BENCH=full``
trains a random Llama of 20 million parameters and smollm2-135m on all cores; otherwise a smaller random one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from conftest import Interleaved
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from pivotkit.training.arms import Documents
from pivotkit.training.packing import PackedRows
from pivotkit.training.recipe import Recipe
from pivotkit.training.trainer import train_arm

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 120.0 if FULL else 1.0
CACHE = Path(os.environ.get("PIVOTKIT_MODELS") or Path.home() / ".cache" / "pivotkit" / "models")
# Hidden size, layers, vocabulary; rows per update, tokens per row, updates.
CASES: dict[str, tuple[Any, tuple[int, int, int]]] = {
    "llama-20m": ((384, 6, 16_000), (4, 256, 12)) if FULL else ((32, 2, 200), (2, 32, 4)),
    **({"smollm2-135m": ("smollm2-135m", (2, 256, 4))} if FULL else {}),
}


def made(of: Any) -> Any:
    if isinstance(of, str):
        return AutoModelForCausalLM.from_pretrained(CACHE / of, dtype=torch.float32)
    hidden, layers, vocabulary = of
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=vocabulary, hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
                    num_attention_heads=hidden // 32 * 2)
    )  # fmt: skip


def packed(vocabulary: int, rows: int, length: int) -> PackedRows:
    """Rows of documents of about 300 ids."""
    random = np.random.default_rng(0)
    listed = [random.integers(1, vocabulary, 300) for _ in range(rows * length // 300 + 2)]
    lengths = np.full(len(listed), 301)
    bare = np.ones(len(listed), np.bool_)
    documents = Documents("'x'", lengths, bare, 0, "", lambda document, begin, end: listed[document][begin:end])
    return PackedRows("bench", documents, length, rows, 0)


def by_torch(model: Any, rows: PackedRows, recipe: Recipe) -> list[float]:
    model.train()
    matrices = [weight for name, weight in model.named_parameters() if "norm" not in name]
    norms = [weight for name, weight in model.named_parameters() if "norm" in name]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    updates = len(rows) // recipe.batch
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda update: min((update + 1) / recipe.warmup, 1) * (1 - update / updates)
    )
    losses = []
    for update in range(updates):
        ids = torch.stack([rows[update * recipe.batch + row]["input_ids"] for row in range(recipe.batch)])
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("case", CASES)
def test_pretrain(case: str, interleaved: Interleaved, benchmark: Any, tmp_path: Path) -> None:
    of, (batch, length, updates) = CASES[case]
    if isinstance(of, str) and not (CACHE / of).is_dir():
        pytest.skip(f"no model {of} in {CACHE}")
    model = made(of)
    begin = {name: weight.clone() for name, weight in model.state_dict().items()}
    recipe = Recipe(length=length, batch=batch)
    rows = packed(model.config.vocab_size, batch * updates, length)

    def ours() -> list[float]:
        model.load_state_dict(begin)
        train_arm(model, rows, recipe, tmp_path, what="bench", identity={}, seed=0, save_at=frozenset())
        return [orjson.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]

    def torch_loop() -> list[float]:
        model.load_state_dict(begin)
        return by_torch(model, rows, recipe)

    results = interleaved({"torch_loop": torch_loop, "pivotkit": ours}, SECONDS)
    assert results["pivotkit"] == pytest.approx(results["torch_loop"], abs=1e-3)
    if not benchmark.disabled:
        tokens = batch * length * updates
        seconds = benchmark.extra_info["seconds"]
        benchmark.extra_info["tokens_per_second"] = {name: tokens / each for name, each in seconds.items()}
