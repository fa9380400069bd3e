"""Sums over the items of each pair, which the contrast of a single item needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch

from pivotkit.artifacts import require_columns, value_digest
from pivotkit.kernels.torch_backend import full_precision
from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.encoding import encode, require_room, require_same_vocabulary, require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.lens.model.parts import ModelParts
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.words.task import require_tokens, task_prompt

Lens = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]

LEAST_ITEMS = 10  # of a pair; the mean of fewer tells more of them than of the pair
BLOCK = 4096  # tokens of the vocabulary whose capped logits are held at a time


@dataclass
class ContrastMeans:
    """Sums over items, by pair: what `trace` takes from each item to say what sets it apart.

    Attributes
    ----------
    items : dict of pair to {item: digest of its prompt and target}
        The items that are in the sums.
    sums : dict of pair to (L, D) float64 tensor
        Sums of the states behind the norm at the answer position. Of a head with a soft-cap, whose logits are not
        linear in the states, (L, V) sums of the capped logits.
    logsumexp : dict of pair to (L,) float64 tensor
    """

    items: dict[str, dict[int, str]] = field(default_factory=dict)
    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    logsumexp: dict[str, torch.Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"ContrastMeans({', '.join(f'{pair}={self.count(pair)}' for pair in self.items)})"

    def count(self, pair: str) -> int:
        """The number of items of a pair."""
        return len(self.items.get(pair, ()))

    def add(
        self, head: ModelParts, rows: Sequence[dict[str, Any]], normed: torch.Tensor, logsumexp: torch.Tensor
    ) -> None:
        """Add N items ``rows``, read at their answer positions.

        Parameters
        ----------
        head : LensHead
        rows : sequence of N rows of the items' table
        normed : (L, N, D) tensor
            Their states behind the norm.
        logsumexp : (L, N) tensor
        """
        for pair in dict.fromkeys(row["pair"] for row in rows):
            at = [number for number, row in enumerate(rows) if row["pair"] == pair]
            members = self.items.setdefault(pair, {})
            for row in (rows[one] for one in at):
                if row["item"] in members:
                    raise ValueError(f"contrast: items must each be there once; got item {row['item']} of {pair} twice")
                members[row["item"]] = item_digest(row)
            own = normed[:, at]
            if head.softcap is None:
                total = own.cpu().sum(1, dtype=torch.float64)
            else:
                total = torch.cat([z.sum(1, dtype=torch.float64) for _, z in logit_blocks(head, own)], -1).cpu()
            lse = logsumexp[:, at].cpu().sum(1, dtype=torch.float64)
            self.sums[pair] = self.sums[pair] + total if pair in self.sums else total
            self.logsumexp[pair] = self.logsumexp[pair] + lse if pair in self.logsumexp else lse

    def about(self) -> dict[str, Any]:
        """Which pairs have a contrast, and why others have none, for the metadata of a trace."""
        return {
            "least_items": LEAST_ITEMS,
            "items": {pair: self.count(pair) for pair in self.items if self.count(pair) >= LEAST_ITEMS},
            "absent": {pair: f"{self.count(pair)} items; a contrast needs at least {LEAST_ITEMS}"
                       for pair in self.items if self.count(pair) < LEAST_ITEMS},
        }  # fmt: skip


@torch.inference_mode()
def contrast_means(
    model: Any, items: pa.Table, tokenizer: Any, *, lens: Lens | None = None, head: LensHead | None = None
) -> ContrastMeans:
    """Sum over all items of each pair what `trace` needs to give the contrast of each, in one forward pass of its own.

    Parameters
    ----------
    model : a transformers causal LM
    items : pyarrow.Table
        The result of `build_task`, or some of its rows.
    tokenizer : a fast Hugging Face tokenizer
    lens, head : optional
        As in `trace`.

    Returns
    -------
    ContrastMeans

    Raises
    ------
    TypeError, ValueError, ArithmeticError
        As `trace`; an item is there twice.

    Notes
    -----
    Sums are in float64. Memory: L x D x 8 bytes per pair; with a soft-cap L x V x 8. Cost: as a trace, less its table.
    """
    require_model("contrast_means", model, head)
    require_columns("contrast_means", "items", items, ("item", "pair", "source", "target", "prompt"))
    require_tokenizer("contrast_means", tokenizer)
    require_tokens(items, tokenizer)
    head = head or LensHead.from_model(model)
    rows, prompt = items.to_pylist(), task_prompt(items)
    texts = encode(tokenizer, [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows])
    require_room("contrast_means", head.longest, texts)
    require_same_vocabulary("contrast_means", len(head.weight), texts)
    answers = [[text.word_start - 1] for text in texts]
    tree = PrefixTree([text.ids for text in texts], answers, [f"item {row['item']}" for row in rows])
    owners: list[list[int]] = [[] for _ in range(tree.count)]
    for number, [line] in enumerate(tree.rows):
        owners[line].append(number)
    means = ContrastMeans()
    for lines, states in tree.run(head):
        here = [(at, number) for at, line in enumerate(lines) for number in owners[line]]
        states = states if lens is None else lens(states, range(len(states)))
        states = states[:, [at for at, _ in here]]
        result = head.unembed(states, 1)
        check_invariants("contrast_means", result, len(head.weight))
        means.add(head, [rows[number] for _, number in here], head.normed(states), result.logsumexp)
    return means


def item_digest(row: dict[str, Any]) -> str:
    """What tells an item from another of the same number."""
    return value_digest([row["pair"], row["prompt"], row["target"]])[:16]


def logit_blocks(head: ModelParts, normed: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the first token and the logits (..., up to BLOCK) of each block of the vocabulary, for states (..., D)."""
    for begin in range(0, len(head.weight), BLOCK):
        chosen = slice(begin, begin + BLOCK)
        with full_precision:
            z = normed.float() @ head.weight[chosen].float().T
        z = head.logit_scale * (z if head.bias is None else z + head.bias[chosen].float())
        yield begin, z if head.softcap is None else head.softcap * torch.tanh(z / head.softcap)
