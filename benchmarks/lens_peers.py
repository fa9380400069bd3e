"""Logit lenses of other tools: the top tokens of every block's output at the last position of each prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

TOP = 10


class Peer(NamedTuple):
    """A lens to be timed, for prompts as texts and as ids; ``top`` makes (prompts, blocks, TOP) ids of its result."""

    lens: Callable[[Sequence[str], Sequence[tuple[int, ...]]], Any]
    top: Callable[[Any], NDArray[np.int64]]


def nnterp(folder: str) -> Peer:
    """Runs all prompts in one padded batch; gives logits of the whole vocabulary, (prompts, blocks, V)."""
    from nnterp import StandardizedTransformer
    from nnterp.interventions import logit_lens

    model = StandardizedTransformer(folder, device_map="cpu", dtype="float32")
    return Peer(
        lambda texts, ids: logit_lens(model, list(texts)),
        lambda logits: logits.topk(TOP, dim=-1).indices.numpy(),
    )


def transformer_lens(folder: str) -> Peer:
    """Reads one index per batch, so only prompts of one length run together; gives top tokens and an entropy."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.tools.analysis import logit_lens

    model = TransformerBridge.boot_transformers(folder, device="cpu", dtype=torch.float32)

    def lens(texts: Sequence[str], ids: Sequence[tuple[int, ...]]) -> dict[int, torch.Tensor]:
        lines: dict[int, list[int]] = defaultdict(list)
        for line, own in enumerate(ids):
            lines[len(own)].append(line)
        found: dict[int, torch.Tensor] = {}
        for members in lines.values():
            batch = torch.tensor([ids[line] for line in members])
            top = logit_lens(model, batch, top_k=TOP).readout.top_ids
            found.update(zip(members, top[1:].transpose(0, 1), strict=True))  # without the embedding output
        return found

    return Peer(lens, lambda found: torch.stack([found[line] for line in sorted(found)]).numpy())


PEERS = {"nnterp": nnterp, "transformer_lens": transformer_lens}
