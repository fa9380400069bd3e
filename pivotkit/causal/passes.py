"""Many edits of few prompts: everything before the edited token is computed once, and each edit is one token's pass."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import torch

from pivotkit.causal.hooks import state_put
from pivotkit.lens.model.cache import new_cache, select_rows
from pivotkit.lens.model.capture import capture, run_base
from pivotkit.lens.model.difference import difference, tolerance
from pivotkit.lens.model.parts import ModelParts
from pivotkit.lens.model.prefix_tree import BATCH_TOKENS, PASS_TOKENS
from pivotkit.lens.model.proof import LAYER_ROUNDING

ROWS = 256  # edits in one pass: more give no more speed
CACHE_BYTES = 1 << 28  # most keys and values that the rows of a pass may copy
WHOLE_TOKENS = 4096  # tokens of a pass where a model takes no cached prefix


def groups(prompts: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Split prompts, by their place, into groups of one length, in order of their tokens."""
    order = sorted(range(len(prompts)), key=lambda at: (len(prompts[at]), prompts[at]))
    for length, same in itertools.groupby(order, key=lambda at: len(prompts[at])):
        members, most = list(same), max(1, BATCH_TOKENS // length)
        yield from (members[begin : begin + most] for begin in range(0, len(members), most))


class EditedPasses:
    """The last layer's states of prompts of one length after edits of their last position.

    Parameters
    ----------
    head : LensHead
    prompts : sequence of N tuples of T int
    skips : frozenset of int, default empty
        The layers whose edits may skip the blocks below them; `skippable` finds them.

    Notes
    -----
    Memory: keys and values of N * (T - 1) tokens, and `CACHE_BYTES` of copies. A model that takes no cached prefix
    (``head.shares_prefix``) runs every prompt whole for every edit.
    """

    def __init__(
        self, head: ModelParts, prompts: Sequence[tuple[int, ...]], skips: frozenset[int] = frozenset()
    ) -> None:
        self._head, self._skips = head, skips
        self._ids = torch.tensor(prompts, device=head.weight.device)
        self._cache = self._prefix() if head.shares_prefix and self._ids.shape[1] > 1 else None

    def __repr__(self) -> str:
        prompts, length = self._ids.shape
        return f"EditedPasses(prompts={prompts}, length={length})"

    def run(self, layer: int, rows: Sequence[int], states: torch.Tensor) -> torch.Tensor:
        """The last layer's states (B, D) of prompts ``rows`` with ``states`` (B, D) in a layer."""
        head = self._head
        if layer == len(head.blocks):
            return states
        skip = layer in self._skips and self._cache is not None
        first = layer if skip else 0
        most = self._most(first)
        found = []
        for begin in range(0, len(rows), most):
            here = list(rows[begin : begin + most])
            ids, past = self._ids[here], None
            if self._cache is not None:
                ids, past = ids[:, -1:], _copied_rows(self._cache, here, first)
            last = ids.shape[1] - 1
            with state_put(head, layer, states[begin : begin + most], skip=skip):
                after = capture(
                    head, ids, [(row, last) for row in range(len(here))], layers=[len(head.blocks)], past=past,
                    finite=False,
                )  # fmt: skip
            found.append(after[0])
        return torch.cat(found)

    def _prefix(self) -> Any:
        """Keys and values of all tokens but the last of each prompt; what all prompts share runs once."""
        ids = self._ids[:, :-1]
        same = (ids == ids[0]).all(0)
        shared = int(same.long().cumprod(0).sum())
        cache = new_cache(self._head.base)
        if len(ids) == 1 or shared * (len(ids) - 1) < PASS_TOKENS:
            run_base(self._head.base, ids, past=cache)
            return cache
        run_base(self._head.base, ids[:1, :shared], past=cache)
        cache = select_rows(cache, [0] * len(ids))
        if shared < ids.shape[1]:
            run_base(self._head.base, ids[:, shared:], past=cache)
        return cache

    def _most(self, first: int) -> int:
        """The most rows of a pass that copies the cache's layers from ``first``."""
        if self._cache is None:
            return max(1, WHOLE_TOKENS // self._ids.shape[1])
        held = [getattr(layer, name, None) for layer in self._cache.layers[first:] for name in ("keys", "values")]
        size = sum(value.nbytes for value in held if isinstance(value, torch.Tensor)) // len(self._ids)
        return min(ROWS, max(1, CACHE_BYTES // max(size, 1)))


def _copied_rows(cache: Any, rows: Sequence[int], first: int) -> Any:
    """A cache whose row i is row ``rows[i]``. The layers before ``first``, which no block reads, stay as they are."""
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    index = torch.tensor(rows)
    for layer in chosen.layers[first:]:
        layer.batch_select_indices(index)
    return chosen


def skippable(head: ModelParts, prompt: tuple[int, ...], layers: Sequence[int], states: torch.Tensor) -> frozenset[int]:
    """The layers whose edits may skip the blocks below them.

    Parameters
    ----------
    head : LensHead
    prompt : tuple of int
    layers : sequence of L int
    states : (L, D) tensor
        The prompt's own states of these layers at its last position.

    Returns
    -------
    frozenset of int
        Those that give the same last state with and without the blocks below. Where a block returns something else
        than a state, or a later block reads an earlier one's keys, they do not.
    """
    bound = LAYER_ROUNDING * tolerance(head.weight)
    found = set()
    for layer, state in zip(layers, states, strict=True):
        # Two rows, since a block that should return a tuple would give its first row.
        rows = [0, 0]
        own = torch.stack([state, state]).to(head.weight)
        plain = EditedPasses(head, [prompt]).run(layer, rows, own)
        with suppress(Exception):  # a model may fail in any way without its first blocks; running them costs only time
            if difference(EditedPasses(head, [prompt], frozenset([layer])).run(layer, rows, own), plain) <= bound:
                found.add(layer)
    return frozenset(found)
