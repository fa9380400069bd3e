"""Scores and traces whose states are multiplied by the CUDA kernels, which run on the CPU (tests/simt)."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from pivotkit.lens import contrast
from pivotkit.lens.model import parts
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.score import score
from pivotkit.lens.trace import trace
from pivotkit.words.task import build_task

SIZES = {
    "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 128, "initializer_range": 0.3,
}  # fmt: skip


@pytest.fixture(params=["llama", "gemma2"])
def model(request: pytest.FixtureRequest, tokenizer: Any) -> Any:
    """A tiny model; the second has a soft-cap, whose contrasts are of capped logits."""
    torch.manual_seed(1)
    if request.param == "llama":
        return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **SIZES)).eval()
    return Gemma2ForCausalLM(Gemma2Config(vocab_size=len(tokenizer), final_logit_softcapping=5.0, **SIZES)).eval()


@pytest.fixture
def items(lexicon: Any) -> pa.Table:
    return build_task(lexicon, ["fr-en"], limit=10, shots=1, contexts=1, distractors=1)


def close(one: Any, other: Any) -> None:
    """Equal but for the rounding of numbers and, among near ties, the order of tokens."""
    for left, right in zip(one, other, strict=True):
        if isinstance(left, list):
            close(left, right)
        elif isinstance(left, float):
            assert left == pytest.approx(right, abs=2e-4)
        else:
            assert left == right


def test_a_trace_and_a_score_by_the_cuda_kernels_are_those_of_the_cpu(
    model: Any, items: pa.Table, tokenizer: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = LensHead.from_model(model)
    found = {"cpu": (trace(model, items, tokenizer, k=3, head=head), score(model, items, tokenizer, head=head))}
    on_simt, ran = request.getfixturevalue("unembed_on_simt"), set()

    def on_cuda(hidden: Any, weight: Any, *more: Any, **options: Any) -> Any:
        result = on_simt(hidden, weight, *more, **options)
        ran.add(result.backend)
        return result

    for module in (parts, contrast):
        monkeypatch.setattr(module, "unembed", on_cuda)
    monkeypatch.setattr(LensHead, "screened", property(lambda head: head.packed))  # as on any device but a CPU
    found["cuda"] = trace(model, items, tokenizer, k=3, head=head), score(model, items, tokenizer, head=head)
    assert ran == {"cuda"}
    for name in ("top_ids", "contrast_ids", "top_logprobs", "top_contrasts", "contrasts", "contrast_logprobs", "entropy",
                 "kl_to_final", "target_logprob", "source_logmass", "target_logmass"):  # fmt: skip
        close(*(found[way][0][name].to_pylist() for way in ("cpu", "cuda")))
    for name in ("p_gold", "score", "gold_rank", "reciprocal_rank"):
        close(*(found[way][1][name].to_pylist() for way in ("cpu", "cuda")))
