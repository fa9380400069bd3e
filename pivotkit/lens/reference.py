"""Plain PyTorch oracles of score and trace for tests and benchmarks, from all logits of whole sequences in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pivotkit.lens.model.encoding import encode
from pivotkit.words.questions import questions
from pivotkit.words.task import task_prompt


@torch.inference_mode()
def reference_score(model: Any, items: pa.Table, tokenizer: Any) -> Iterator[float]:
    """Yield each item's score as published code computes it: every sequence runs whole, one at a time."""
    prompt, ask = task_prompt(items), questions(items)
    for row in items.to_pylist():
        p = []
        for source in [row["source"], *row["distractors"]]:
            losses = []
            for context in row["contexts"]:
                asked, reply = context + ask(row, source), prompt.reply(row["target"])
                [text] = encode(tokenizer, [asked], [reply], special_tokens=prompt.special_tokens)
                logprobs = model(input_ids=torch.tensor([text.ids])).logits[0].double().log_softmax(-1)
                at = range(text.answer_start, len(text.ids))
                losses.append(float(np.mean([-logprobs[index - 1, text.ids[index]].item() for index in at])))
            p.append(np.exp(-np.mean(losses)))
        yield float(p[0] - np.mean(p[1:]))


@torch.inference_mode()
def reference_lens(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (L + 1, T, V) of one sequence: the head applied to every hidden state, one matmul per layer.

    For models whose logits are ``lm_head(norm(hidden))``, with a soft-cap if the configuration has one.
    """
    states = model(input_ids=ids[None], output_hidden_states=True).hidden_states
    norm = model.base_model.norm
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    layers = []
    for number, state in enumerate(states):
        # transformers returns the last state with the final norm already applied.
        logits = model.lm_head(state if number == len(states) - 1 else norm(state))[0].double()
        layers.append((cap * torch.tanh(logits / cap) if cap else logits).log_softmax(-1))
    return torch.stack(layers)
