"""Scoring and tracing against published methods, against the best that plain PyTorch does, and against other tools.

Runs on the planted testbed model by default, so that a smoke run takes seconds. ``PIVOTKIT_BENCH=full`` runs Gemma 3
270M on real words, and needs the same folders as tests on real models. Other tools run where they are installed.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import lens_methods as methods
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from lens_peers import PEERS

from pivotkit.lens.model.encoding import encode
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import find_model, load_model
from pivotkit.lens.score import score
from pivotkit.lens.trace import trace
from pivotkit.words.lexicon import Lexicon, read_lexicon
from pivotkit.words.prompts import PAPER, TESTBED, Prompt
from pivotkit.words.task import build_task, task_prompt

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 60.0 if FULL else 1.0
MODEL = "gemma3-270m"


@functools.cache
def bench_model(dtype: str = "float32") -> tuple[Any, Any, LensHead, Lexicon, str, Prompt]:
    """Model, tokenizer, head, lexicon, language pair and prompt format."""
    if FULL:
        shared = Path(os.environ.get("PIVOTKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
        words = shared / "data" / "lexicon" / "concrete_nouns.tsv"
        if not words.exists() or not Path(find_model(MODEL)).is_dir():
            pytest.skip(f"real words or the model {MODEL} are absent: set $PIVOTKIT_SHARED and $PIVOTKIT_MODELS")
        model, tokenizer = load_model(MODEL, dtype=dtype)
        return model, tokenizer, LensHead.from_model(model), read_lexicon(words), "en-fr", PAPER
    from pivotkit.testbed import World, WorldConfig, build_tokenizer, plant

    world = World(WorldConfig(concepts=40, held_out=20, background=30, documents=10, blocks=10))
    model = plant(world).to(getattr(torch, dtype))
    rows = [concept.words for concept in world.concepts]
    names = {"a": "A", "b": "B", "p": "P"}
    lexicon = Lexicon(names, rows, [""] * len(rows))
    return model, build_tokenizer(world.vocabulary), LensHead.from_model(model), lexicon, "a-b", TESTBED


def task(limit: int, sharing: str = "item") -> pa.Table:
    _, _, _, lexicon, pair, prompt = bench_model()
    return build_task(lexicon, [pair], limit=limit, sharing=sharing, prompt=prompt)


def prompts_of(items: pa.Table, tokenizer: Any) -> list[tuple[int, ...]]:
    prompt = task_prompt(items)
    rows = items.to_pylist()
    texts = encode(tokenizer, [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows])
    return [text.ids[: text.telling] for text in texts]


@pytest.mark.parametrize("sharing", ["item", "pair"])
def test_score(interleaved: Any, benchmark: Any, sharing: str) -> None:
    """Seconds per item. The torch methods share nothing between items, so they run on one item only."""
    model, tokenizer, head, *_ = bench_model()
    items = task({"item": 8, "pair": 96}[sharing] if FULL else 6, sharing)
    few = items.slice(items.num_rows // 2, 1)
    benchmark.group = f"score contexts={sharing}"
    found = interleaved(
        {
            "torch_published": lambda: methods.published_score(model, few, tokenizer),
            "torch_cached": lambda: methods.cached_score(model, few, tokenizer),
            "pivotkit": lambda: score(model, items, tokenizer, head=head)["score"].to_numpy(),
        },
        SECONDS, baseline="torch_published",
        units={"torch_published": 1, "torch_cached": 1, "pivotkit": items.num_rows},
    )  # fmt: skip
    at = items.num_rows // 2
    for way in ("torch_published", "torch_cached"):
        np.testing.assert_allclose(found["pivotkit"][at : at + 1], found[way], rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("prompts", [1, 8, 64])
def test_trace_at_the_answer(interleaved: Any, benchmark: Any, prompts: int, dtype: str) -> None:
    """A complete trace against the forward passes of the base model alone, in batches of 16 by length."""
    model, tokenizer, head, *_ = bench_model(dtype)
    items = task(min(prompts, 64 if FULL else 8))
    texts = prompts_of(items, tokenizer)
    benchmark.group = f"trace answer prompts={prompts} {dtype}"
    found = interleaved(
        {
            "torch_base_model": lambda: methods.base_passes(model, texts, 16),
            "pivotkit": lambda: trace(model, items, tokenizer, head=head),
        },
        SECONDS / 3,
    )  # fmt: skip
    assert found["pivotkit"].num_rows == items.num_rows * (len(head.blocks) + 1)


def test_trace_with_contrasts(interleaved: Any, benchmark: Any) -> None:
    """A trace that says what sets each item apart, against one that does not, of one pair at the answer."""
    model, tokenizer, head, *_ = bench_model()
    items = task(100 if FULL else 12)
    benchmark.group = "trace contrasts"
    found = interleaved(
        {
            "pivotkit_without": lambda: trace(model, items, tokenizer, contrast=False, head=head),
            "pivotkit": lambda: trace(model, items, tokenizer, head=head),
        },
        SECONDS / 3, baseline="pivotkit_without",
    )  # fmt: skip
    assert found["pivotkit"]["contrasts"].null_count == 0
    assert found["pivotkit_without"]["contrasts"].null_count == found["pivotkit"].num_rows


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_top_k_everywhere(interleaved: Any, benchmark: Any, dtype: str) -> None:
    """The top k of every token of a prompt in every layer: one matrix product per layer against one call."""
    _, tokenizer, head, *_ = bench_model(dtype)
    [text] = prompts_of(task(1), tokenizer)
    benchmark.group = f"top k of all positions {dtype}"
    found = interleaved(
        {
            "torch_per_layer": lambda: methods.per_layer_top(head, text, 10),
            "pivotkit_exact": lambda: methods.fused_top(head, text, 10, "exact"),
            "pivotkit": lambda: methods.fused_top(head, text, 10, "certified"),
        },
        SECONDS / 3, baseline="torch_per_layer",
    )  # fmt: skip
    assert torch.equal(found["pivotkit"][0], found["pivotkit_exact"][0])
    off = 1e-3 if dtype == "float32" else 0.1  # torch rounds its logits to bfloat16
    torch.testing.assert_close(found["pivotkit_exact"][1], found["torch_per_layer"][1], rtol=0.01, atol=off)


def test_trace_everywhere(interleaved: Any, benchmark: Any) -> None:
    """Every token of a prompt: one matrix product per layer against one call."""
    model, tokenizer, head, *_ = bench_model()
    items = task(1)
    [text] = prompts_of(items, tokenizer)
    [target] = encode(tokenizer, [items["prompt"][0].as_py()], [task_prompt(items).reply(items["target"][0].as_py())])
    benchmark.group = "trace all positions"
    found = interleaved(
        {
            "torch_per_layer": lambda: methods.per_layer_trace(head, text, 10, target.ids[target.word_start]),
            "pivotkit": lambda: trace(model, items, tokenizer, positions=["all"], head=head),
        },
        SECONDS / 3,
    )  # fmt: skip
    table = found["pivotkit"].sort_by([("layer", "ascending"), ("position", "ascending")])
    layers = len(head.blocks) + 1
    tops, entropy = found["torch_per_layer"]
    ours = np.array(table["top_logprobs"].to_pylist()).reshape(layers, len(text), -1)
    np.testing.assert_allclose(ours, tops.numpy(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(table["entropy"].to_numpy().reshape(layers, -1), entropy.numpy(), rtol=1e-3, atol=1e-3)
    if not benchmark.disabled and FULL:
        assert benchmark.extra_info["peak_mib"]["pivotkit"] < 200


@pytest.mark.parametrize("prompts", [1, 8])
@pytest.mark.parametrize("peer", PEERS)
def test_against_peers(interleaved: Any, benchmark: Any, peer: str, prompts: int) -> None:
    """A complete trace against another tool's logit lens of the last position."""
    pytest.importorskip(peer, reason=f"the peer {peer} is not installed")
    if not FULL:
        pytest.skip("peers do not know the planted model's architecture: PIVOTKIT_BENCH=full compares on a real one")
    model, tokenizer, head, *_ = bench_model()
    items = task(prompts)
    theirs = PEERS[peer](find_model(MODEL))
    texts, ids = items["prompt"].to_pylist(), prompts_of(items, tokenizer)
    benchmark.group = f"logit lens against {peer} prompts={prompts}"
    found = interleaved(
        {
            f"torch_{peer}": lambda: theirs.lens(texts, ids),
            "pivotkit": lambda: trace(model, items, tokenizer, head=head),
        },
        SECONDS / 3,
    )  # fmt: skip
    top = theirs.top(found[f"torch_{peer}"])
    table = found["pivotkit"].filter(pc.greater(found["pivotkit"]["layer"], 0))
    ours = np.array(table["top_ids"].to_pylist()).reshape(top.shape)
    agreement = (ours[..., :, None] == top[..., None, :]).any(-1).mean()
    benchmark.extra_info["top_10_agreement"] = float(agreement)
    assert agreement > 0.99
