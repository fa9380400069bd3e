"""PyTorch methods of scoring and tracing: the published one, one that shares a cache, and one product per layer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from transformers import DynamicCache

from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.encoding import Encoded, encode, pad_right
from pivotkit.lens.model.head import LensHead
from pivotkit.words.task import task_languages, task_prompt

BATCH = 10  # sequences per forward pass, as in the published code


def score_texts(row: dict[str, Any], items: pa.Table, tokenizer: Any) -> list[list[Encoded]]:
    """An item's sequences: one per candidate and context."""
    prompt, names = task_prompt(items), task_languages(items, row["pair"])
    sources = [row["source"], *row["distractors"]]
    asked = [[context + prompt.ask(*names, source) for context in row["contexts"]] for source in sources]
    return [encode(tokenizer, prompts, [prompt.reply(row["target"])] * len(prompts)) for prompts in asked]


def contrast(losses: list[list[float]]) -> float:
    p = np.exp(-np.mean(losses, axis=1))
    return float(p[0] - p[1:].mean())


@torch.no_grad()
def published_score(model: Any, items: pa.Table, tokenizer: Any) -> list[float]:
    """Run every sequence whole, with logits and cross-entropy of every token, as the code of arXiv 2505.16385 does."""
    scores = []
    for row in items.to_pylist():
        candidates = score_texts(row, items, tokenizer)
        texts = [text for own in candidates for text in own]
        losses: list[float] = []
        for begin in range(0, len(texts), BATCH):
            batch = texts[begin : begin + BATCH]
            ids = pad_right([text.ids for text in batch], "cpu")
            labels = torch.full_like(ids, -100)
            for line, text in enumerate(batch):
                labels[line, text.answer_start : len(text.ids)] = ids[line, text.answer_start : len(text.ids)]
            logits, wanted = model(input_ids=ids).logits[:, :-1].float(), labels[:, 1:]
            loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), wanted, reduction="none")
            losses += (loss.sum(1) / (wanted != -100).sum(1)).tolist()
        contexts = len(candidates[0])
        scores.append(contrast([losses[at : at + contexts] for at in range(0, len(losses), contexts)]))
    return scores


@torch.inference_mode()
def cached_score(model: Any, items: pa.Table, tokenizer: Any) -> list[float]:
    """Run each context once, its candidates in one batch from its cache, with logits of the answer's positions only."""
    scores = []
    for row in items.to_pylist():
        candidates = score_texts(row, items, tokenizer)
        losses: list[list[float]] = [[] for _ in candidates]
        for texts in zip(*candidates, strict=True):
            shared = min(text.answer_start for text in texts) - 1
            while any(text.ids[:shared] != texts[0].ids[:shared] for text in texts):
                shared -= 1
            past = DynamicCache(config=model.config)
            model.base_model(input_ids=torch.tensor([texts[0].ids[:shared]]), past_key_values=past, use_cache=True)
            past = copy.deepcopy(past)
            past.batch_repeat_interleave(len(texts))
            ids = pad_right([text.ids[shared:] for text in texts], "cpu")
            states = model.base_model(input_ids=ids, past_key_values=past, use_cache=True).last_hidden_state
            for candidate, text in enumerate(texts):
                at = torch.arange(text.answer_start, len(text.ids))
                logp = model.lm_head(states[candidate, at - 1 - shared]).float().log_softmax(-1)
                losses[candidate].append(float(-logp[range(len(at)), text.ids[text.answer_start :]].mean()))
        scores.append(contrast(losses))
    return scores


@torch.inference_mode()
def base_passes(model: Any, prompts: list[tuple[int, ...]], batch: int) -> None:
    """Run the base model over all prompts, in batches by length: the least that any trace has to do."""
    ordered = sorted(prompts, key=len)
    for begin in range(0, len(ordered), batch):
        model.base_model(input_ids=pad_right(ordered[begin : begin + batch], "cpu"), use_cache=False)


@torch.inference_mode()
def per_layer_top(head: LensHead, prompt: tuple[int, ...], k: int) -> tuple[Tensor, Tensor]:
    """Ids and log-probabilities of the top k of every token of a prompt, one matrix product per layer."""
    states = head.base(input_ids=torch.tensor([prompt]), output_hidden_states=True, use_cache=False).hidden_states
    normed = [*(head.normed(state[0]) for state in states[:-1]), states[-1][0]]
    found = [(state @ head.weight.T).float().log_softmax(-1).topk(k) for state in normed]
    return torch.stack([top.indices for top in found]), torch.stack([top.values for top in found])


@torch.inference_mode()
def fused_top(head: LensHead, prompt: tuple[int, ...], k: int, precision: str) -> tuple[Tensor, Tensor]:
    """The same by one call for all layers."""
    states = capture(head, torch.tensor([prompt]), [(0, column) for column in range(len(prompt))])
    top = head.unembed(states, k, precision=precision)
    return top.ids, top.logprobs


@torch.inference_mode()
def per_layer_trace(head: LensHead, prompt: tuple[int, ...], k: int, target: int) -> tuple[Tensor, Tensor]:
    """The lens of every token of a prompt, one matrix product per layer: top log-probabilities and entropy, by layer.

    Computes top k, entropy, rank and divergence from the last layer, as a trace does, but no token sets.
    """
    ids = torch.tensor([prompt])
    states = head.base(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
    # transformers returns the last state with the final norm already applied.
    normed = [*(head.normed(state[0]) for state in states[:-1]), states[-1][0]]
    final = (normed[-1] @ head.weight.T).log_softmax(-1)
    tops, entropies = [], []
    for state in normed:
        logp = (state @ head.weight.T).log_softmax(-1)
        tops.append(logp.topk(k).values)
        entropies.append(-(logp.exp() * logp).sum(-1))
        (logp > logp[:, target, None]).sum(-1)
        (final.exp() * (final - logp)).sum(-1)
    return torch.stack(tops), torch.stack(entropies)
