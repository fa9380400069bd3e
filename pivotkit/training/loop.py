"""A small training loop: packed rows of tokens, AdamW, linear warm-up, linear decay."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from pivotkit.progress import track


def pack(texts: Iterable[Sequence[int]], length: int, separator: int, seed: int = 0) -> torch.Tensor:
    """Shuffle texts, put ``separator`` before each, and cut the stream into rows.

    Parameters
    ----------
    texts : iterable of sequences of int
        Token ids of each text.
    length : int
        Tokens per row.
    separator : int
        Token id before every text.
    seed : int, default 0
        Seed of the order.

    Returns
    -------
    torch.Tensor
        int64 (rows, length). The tokens after the last full row are dropped.

    Raises
    ------
    ValueError
        Texts that do not fill one row.

    Examples
    --------
    >>> pack([[1, 2], [3, 4]], length=3, separator=0).shape
    torch.Size([2, 3])
    """
    pieces = [torch.tensor([separator, *text], dtype=torch.int64) for text in texts]
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(seed)).tolist()
    stream = torch.cat([pieces[place] for place in order]) if pieces else torch.empty(0, dtype=torch.int64)
    rows = len(stream) // length
    if rows == 0:
        raise ValueError(f"pack: texts must fill at least one row of {length} tokens; got {len(stream)} tokens")
    return stream[: rows * length].view(rows, length)


def train(
    model: Any,
    rows: torch.Tensor,
    *,
    steps: int,
    batch: int = 16,
    learning_rate: float = 3e-3,
    warmup: int = 40,
    weight_decay: float = 0.01,
    description: str = "training",
    after_step: Callable[[int], None] | None = None,
    optimizers: Sequence[torch.optim.Optimizer] | None = None,
    decay: bool = True,
) -> list[float]:
    """Train a causal LM of transformers on rows of tokens.

    AdamW (0.9, 0.98) with gradients clipped to norm 1. The learning rate rises linearly over ``warmup`` steps and falls
    linearly to 0 at ``steps``, if ``decay``. Rows are read in order, and from the first again after the last.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Trained in place, left in evaluation mode.
    rows : torch.Tensor
        int64 (rows, length), from `pack`.
    steps : int
        Number of updates.
    batch : int, default 16
        Rows per update.
    learning_rate : float, default 3e-3
        Highest rate.
    warmup : int, default 40
        Steps until the highest rate.
    weight_decay : float, default 0.01
    description : str, default "training"
        Text of the progress bar.
    after_step : callable, optional
        Called after each step with the number of steps done.
    optimizers : sequence of torch.optim.Optimizer, optional
        In place of AdamW, such as Muon for the matrices and AdamW for the rest. Each brings its own rate, and
        ``learning_rate`` and ``weight_decay`` are not used.
    decay : bool, default True
        Whether the rate falls; False keeps it at its highest after the warm-up.

    Returns
    -------
    list of float
        Loss of each step, in nats per token.

    Notes
    -----
    Runs on one thread. Matrices this small gain little from a second thread and lose much when another process wants
    the core, and each number of threads rounds differently. Equal models and rows give equal weights on one kind of
    processor.
    """
    model.train()
    if optimizers is None:
        betas = (0.9, 0.98)
        every = torch.optim.AdamW(model.parameters(), learning_rate, betas, weight_decay=weight_decay, fused=True)
        optimizers = [every]

    def rate(step: int) -> float:
        return min((step + 1) / max(warmup, 1), 1.0) * (1 - step / steps if decay else 1.0)

    rates = [torch.optim.lr_scheduler.LambdaLR(optimizer, rate) for optimizer in optimizers]
    losses = []
    with _one_thread():
        for step in track(range(1, steps + 1), description):
            places = torch.arange((step - 1) * batch, step * batch) % len(rows)
            loss = next_token_loss(model, rows[places]).mean()
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            for scheduled in rates:
                scheduled.step()
            losses.append(loss.item())
            if after_step is not None:
                after_step(step)
    model.eval()
    return losses


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def next_token_loss(model: Any, rows: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of every token after the first of each row, float32 (rows, length - 1), in nats."""
    logits = model(input_ids=rows).logits[:, :-1].float()
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none").view(len(rows), -1)
