"""What is tested: items that the model solves, each with its pivots, and a ledger of what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pivotkit.lens.model.encoding import Encoded
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.words.task import accepted_targets
from pivotkit.words.word_tokens import WordTokens


@dataclass(frozen=True)
class Item:
    """One item, as its prompt left the model.

    Attributes
    ----------
    item, pair, concept
        As in the table of items.
    group : str
        The items of a pair that are read behind the same pieces of their targets: the ones that it is compared with.
    ids : tuple of int
        The prompt up to the token that predicts the answer, inclusive, with the target's pieces that do not tell it
        apart (`telling_piece`).
    family : tuple of int
        Every token that a spelling of the source or of an accepted target uses.
    source : int
        The source word's first piece that tells it apart.
    answer : int
        The model's first choice. Where the item is solved, it begins an accepted target.
    logprob : float
        Its log-probability.
    reason : str or None
        Why the item is left out; None where it is tested.
    """

    item: int
    pair: str
    concept: Any
    group: str
    ids: tuple[int, ...]
    family: tuple[int, ...]
    source: int
    answer: int
    logprob: float
    reason: str | None

    def __repr__(self) -> str:
        return f"Item({self.item}, pair={self.pair!r}, answer={self.answer}, reason={self.reason!r})"


@dataclass(frozen=True)
class Subject:
    """A pivot of an item in a layer: what one row of ``pivots`` asks about."""

    at: int  # of the item, in the order of the table
    layer: int
    kind: str | None  # its class
    token: int


@dataclass
class Ledger:
    """What is left out, each with its reason, as plain data for the metadata."""

    entries: list[dict[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Ledger({len(self.entries)})"

    def add(self, item: Item, reason: str, layer: int | None = None, what: str | None = None) -> None:
        """Note that an item, or ``what`` of it in a layer, is left out."""
        found: dict[str, Any] = {"item": item.item, "pair": item.pair}
        found |= {} if layer is None else {"layer": layer}
        found |= {} if what is None else {"what": what}
        self.entries.append({**found, "reason": reason})


@torch.inference_mode()
def read_items(
    head: LensHead, rows: Sequence[dict[str, Any]], texts: Sequence[Encoded], word_tokens: WordTokens,
    layers: Sequence[int],
) -> tuple[list[Item], torch.Tensor]:  # fmt: skip
    """Run every item's prompt once.

    Parameters
    ----------
    head : LensHead
    rows : sequence of N rows of the items' table
        Each with its ``group`` (`grouped`).
    texts : sequence of N Encoded
    word_tokens : WordTokens
    layers : sequence of L int

    Returns
    -------
    items : list of N Item
    states : (L, N, D) float32 tensor
        The residual stream at the answer position, on the head's device.
    """
    ends = [text.telling for text in texts]
    names = [f"item {row['item']}" for row in rows]
    tree = PrefixTree([text.ids for text in texts], [[end - 1] for end in ends], names)
    lines = [line for [line] in tree.rows]
    last = len(head.blocks)
    held = torch.zeros(len(layers), tree.count, head.width, device=head.weight.device)
    choices, logprobs = np.zeros(tree.count, np.int64), np.zeros(tree.count)
    for found, states in tree.run(head, [*layers, last]):
        held[:, found] = states[:-1].float()
        result = head.unembed(states[-1], 1)
        choices[found], logprobs[found] = result.ids[:, 0].cpu(), result.logprobs[:, 0].double().cpu()
    items = []
    for row, text, end, line in zip(rows, texts, ends, lines, strict=True):
        choice = int(choices[line])
        family = {choice}.union(*map(word_tokens.family, [row["source"], *accepted_targets(row)]))
        items.append(
            Item(
                row["item"], row["pair"], row["concept"], row["group"], text.ids[:end], tuple(sorted(family)),
                _first_piece(row["source"], word_tokens), choice, float(logprobs[line]),
                _why_not(row, text.appended, choice, word_tokens),
            )
        )  # fmt: skip
    return items, held[:, lines]


def _why_not(row: dict[str, Any], appended: tuple[int, ...], choice: int, word_tokens: WordTokens) -> str | None:
    """Why an item cannot be tested, as far as its answer tells."""
    tokens = set().union(*(word_tokens.telling(target, appended) for target in accepted_targets(row)))
    if not tokens:
        return "tied: no token tells an accepted target apart"
    if choice not in tokens:
        return "not solved: the first choice begins no accepted target"
    if choice in word_tokens.telling(row["source"], appended):
        return "tied: the answer's token begins the source too"
    return None


def _first_piece(word: str, word_tokens: WordTokens) -> int:
    """The first piece of a word that tells it apart; where none does, its first piece."""
    pieces, telling = word_tokens.pieces(word), word_tokens.telling(word, ())
    return next((piece for piece in pieces if piece in telling), pieces[0])


def subjects(items: Sequence[Item], pivots: pa.Table, layers: Sequence[int], ledger: Ledger) -> list[Subject]:
    """The pivots to test, in the order of items, layers and classes; items without any go to the ledger."""
    place = {item.item: at for at, item in enumerate(items)}
    kinds = pivots["class"].to_pylist() if "class" in pivots.column_names else [None] * pivots.num_rows
    columns = (pivots[name].to_pylist() for name in ("item", "layer", "token_id"))
    found = [
        Subject(place[item], layer, kind, token)
        for item, layer, token, kind in zip(*columns, kinds, strict=True)
        if layer in layers
    ]
    have = {subject.at for subject in found}
    for at, item in enumerate(items):
        if item.reason is not None:
            ledger.add(item, item.reason)
        elif at not in have:
            ledger.add(item, "no pivot in the layers that are tested")
    kept = [subject for subject in found if items[subject.at].reason is None]
    return sorted(kept, key=lambda one: (one.at, one.layer, one.kind or ""))
