"""Fitting a ridge lens, against keeping all states and solving for each layer in PyTorch, and the bare forward passes.

Runs on the planted testbed model by default. ``PIVOTKIT_BENCH=full`` runs Gemma 3 270M on 3,000 tokens of real text, and
needs the same folders as tests on real models.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zstandard
from bench_lens import FULL, SECONDS, bench_model
from lens_methods import base_passes

from pivotkit.lens.fitted import fit_lens
from pivotkit.lens.fitted.texts import batches, sequences
from pivotkit.lens.model.encoding import pad_right

TOKENS, CONTEXT, RIDGE = (3000, 128, 1e-3) if FULL else (600, 16, 1e-3)


def documents(lexicon: Any) -> Iterator[str]:
    """Real documents of all languages in turn, or random words of the testbed."""
    if not FULL:
        words = [word for row in lexicon.rows for word in row.values()]
        random = np.random.default_rng(0)
        while True:
            yield " ".join(random.choice(words, 12))
    shared = Path(os.environ.get("PIVOTKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    files = sorted((shared / "data" / "corpus").glob("*.jsonl.zst"))
    if not files:
        pytest.skip("real text is absent: set $PIVOTKIT_SHARED")
    streams = [io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file.open("rb"))) for file in files]
    for lines in zip(*streams, strict=False):
        yield from (json.loads(line)["text"] for line in lines)


@torch.inference_mode()
def all_states(model: Any, head: Any, found: list[tuple[int, ...]]) -> list[torch.Tensor]:
    """The map A of each layer from all states of all layers at once, as scripts do it with output_hidden_states."""
    kept: list[torch.Tensor] = []
    last: list[torch.Tensor] = []
    hook = head.blocks[-1].register_forward_hook(
        lambda _, args, out: last.append(out if torch.is_tensor(out) else out[0])
    )
    for numbers in batches(found, 1024):
        ids = pad_right([found[number] for number in numbers], "cpu")
        given = model.base_model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
        stacked = torch.stack([*given[:-1], last.pop()])  # the last of hidden_states has the final norm applied
        rows = [stacked[:, row, 1 : len(found[number])] for row, number in enumerate(numbers)]
        kept.append(torch.cat(rows, dim=1))
    hook.remove()
    states = torch.cat(kept, dim=1).double()
    target = states[-1] - states[-1].mean(0)
    maps = []
    for layer in states[:-1]:
        centred = layer - layer.mean(0)
        penalty = RIDGE * centred.square().mean() * torch.eye(centred.shape[1])
        maps.append(torch.linalg.solve(centred.T @ centred / len(centred) + penalty,
                                       centred.T @ target / len(centred) + penalty).T)  # fmt: skip
    return maps


def test_fit_lens(interleaved: Any, benchmark: Any) -> None:
    model, tokenizer, head, lexicon, *_ = bench_model()
    texts = list(islice(documents(lexicon), 2000))
    found = sequences(
        "bench", texts, tokenizer, tokens=TOKENS, context=CONTEXT, held_out=0.1, seed=0,
    )  # fmt: skip
    benchmark.group = f"fit a ridge lens tokens={TOKENS}"
    result = interleaved(
        {
            "torch_base_model": lambda: base_passes(model, found, 8),
            "torch_all_states": lambda: all_states(model, head, found),
            "pivotkit": lambda: fit_lens(
                model, texts, tokenizer, tokens=TOKENS, context=CONTEXT, ridge=RIDGE, head=head
            ),
        },
        SECONDS, baseline="torch_all_states",
    )  # fmt: skip
    for mine, theirs in zip(result["pivotkit"].weights, result["torch_all_states"], strict=True):
        theirs = theirs - torch.eye(len(theirs))
        assert float((mine - theirs).norm() / theirs.norm().clamp_min(1)) < 1e-3
