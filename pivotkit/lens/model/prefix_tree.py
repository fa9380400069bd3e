"""Token sequences as a tree: what several of them begin with runs through the model once."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from pivotkit.lens.model.cache import new_cache, select_rows
from pivotkit.lens.model.capture import capture, require_finite
from pivotkit.lens.model.encoding import pad_right
from pivotkit.lens.model.head import LensHead

# Tokens that a batch's rows may hold together, cached ones included, and new ones: what bounds the memory of keys and
# values, and that of activations, which a processor's cache should hold.
BATCH_TOKENS = 4096
NEW_TOKENS = 1024
# Hidden states (layers x positions) that a batch may bring back.
BATCH_STATES = 4096
# A forward pass of a small batch costs about as much as this many tokens of a large one, so a prefix that spares fewer
# tokens is run anew with each of its continuations.
PASS_TOKENS = 32


@dataclass
class Node:
    """A run of tokens that begins where its parent ends."""

    tokens: tuple[int, ...]
    wanted: list[tuple[int, int]] = field(default_factory=list)  # (index within tokens, row of the result)
    children: list[Node] = field(default_factory=list)

    def spares(self) -> int:
        """Tokens that running this node once saves."""
        return len(self.tokens) * (len(self.children) - 1)

    def dissolved(self) -> list[Node]:
        """The children, each with this node's tokens before its own; what was wanted here is wanted of the first."""
        length = len(self.tokens)
        heirs = [
            Node(self.tokens + child.tokens, [(length + at, row) for at, row in child.wanted], child.children)
            for child in self.children
        ]
        heirs[0].wanted = self.wanted + heirs[0].wanted
        return heirs


class PrefixTree:
    """Sequences of token ids and the positions wanted of them, each different position once.

    Parameters
    ----------
    sequences : sequence of tuples of int, none empty
    wanted : for each sequence, the indices whose hidden states are wanted; at least one each
        What comes behind a sequence's last wanted index is never run.
    names : sequence of str, optional
        What an error calls each sequence; ``sequence 0`` and so on by default.

    Attributes
    ----------
    rows : list of lists of int
        For each sequence, the row of the result that holds each of its wanted positions. Positions that share all
        tokens up to them share a row.
    count : int
        Number of different rows.

    Notes
    -----
    Memory of `run` beyond the model's own activations: keys and values of at most ``BATCH_TOKENS`` tokens for each level
    of the tree (three for a translation task: instruction, examples, query), and ``BATCH_STATES`` hidden states; a sequence
    that is longer, or of which more are wanted, runs in a batch of its own.
    """

    def __init__(
        self, sequences: Sequence[tuple[int, ...]], wanted: Sequence[Sequence[int]], names: Sequence[str] | None = None
    ) -> None:
        self.count = 0
        places = [sequence[: max(indices) + 1] for sequence, indices in zip(sequences, wanted, strict=True)]
        order = sorted(range(len(places)), key=places.__getitem__)
        self._places, self._wanted, self._names = places, wanted, names
        self._found: list[dict[int, int]] = [{} for _ in sequences]  # for each sequence, index -> row
        self.roots = self._grow(order, 0)
        self.rows = [[found[index] for index in own] for found, own in zip(self._found, wanted, strict=True)]
        del self._places, self._found

    def _grow(self, members: Sequence[int], depth: int) -> list[Node]:
        """Nodes for ``members``, sorted sequences that agree on their first ``depth`` tokens and go on."""
        grown = []
        begin = 0
        while begin < len(members):
            first = self._places[members[begin]]
            end = begin + 1
            while end < len(members) and self._places[members[end]][depth] == first[depth]:
                end += 1
            # Sorted, so what the first and the last of them share is shared by all.
            length = _shared(first, self._places[members[end - 1]])
            node = Node(first[depth:length])
            within: dict[int, int] = {}
            rest = [member for member in members[begin:end] if len(self._places[member]) > length]
            for member in members[begin:end]:
                for index in self._wanted[member]:
                    if depth <= index < length:
                        if index not in within:
                            within[index] = self.count
                            self.count += 1
                        self._found[member][index] = within[index]
            node.wanted = [(index - depth, row) for index, row in within.items()]
            node.children = self._grow(rest, length)
            grown.append(node)
            begin = end
        return grown

    def run(self, head: LensHead, layers: Sequence[int] | None = None) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Hidden states of ``layers`` (all by default) at every wanted position, batch by batch, as (rows, states).

        States are (layers, rows, D), before the final norm. Caches of prefixes are reused only where the head has proved
        that this changes nothing (`LensHead.shares_prefix`); elsewhere every sequence runs whole. A ValueError names the
        layer, sequence and token of a state that is not finite.
        """
        chosen = range(len(head.blocks) + 1) if layers is None else layers
        most = BATCH_STATES // len(chosen)
        for rows, states in _visit(head, chosen, most, self.roots, [0] * len(self.roots), None, 0):
            require_finite(states, chosen, lambda at, rows=rows: self._name(rows[at]))  # type: ignore[misc]
            yield rows, states

    def _name(self, row: int) -> str:
        """The first place that ``row`` stands for."""
        sequence = next(number for number, rows in enumerate(self.rows) if row in rows)
        name = f"sequence {sequence}" if self._names is None else self._names[sequence]
        return f"{name}, token {self._wanted[sequence][self.rows[sequence].index(row)]}"


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens the two begin with alike."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return sum(1 for _ in alike)


def _visit(
    head: LensHead,
    layers: Sequence[int],
    most: int,
    nodes: list[Node],
    parents: list[int],
    cache: Any,
    past: int,
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Run sibling nodes, node i behind row ``parents[i]`` of a cache of ``past`` tokens, and all that follows them."""
    shared: dict[int, list[tuple[Node, int]]] = defaultdict(list)  # by length: a cache has no room for padding
    leaves: list[tuple[Node, int]] = []
    queue = list(zip(nodes, parents, strict=True))
    while queue:
        groups: dict[int, list[tuple[Node, int]]] = defaultdict(list)
        for node, parent in queue:
            if node.children:
                groups[len(node.tokens)].append((node, parent))
            else:
                leaves.append((node, parent))
        queue = []
        for length, group in groups.items():
            if head.shares_prefix and sum(node.spares() for node, _ in group) >= PASS_TOKENS:
                shared[length] += group
            else:
                queue += [(heir, parent) for node, parent in group for heir in node.dissolved()]
    for length in sorted(shared):
        for batch in _batches(shared[length], past, most):
            own = _continued(head, cache, batch)
            yield from _forward(head, layers, batch, own, past)
            below = [(child, row) for row, (node, _) in enumerate(batch) for child in node.children]
            yield from _visit(head, layers, most, [c for c, _ in below], [r for _, r in below], own, past + length)
    leaves.sort(key=lambda leaf: len(leaf[0].tokens))  # lengths side by side: little padding
    for batch in _batches(leaves, past, most):
        yield from _forward(head, layers, batch, None if cache is None else _continued(head, cache, batch), past)


def _batches(nodes: Sequence[tuple[Node, int]], past: int, most: int) -> Iterator[list[tuple[Node, int]]]:
    """Nodes in order, as many at a time as the limits and ``most`` wanted positions allow; at least one."""
    batch: list[tuple[Node, int]] = []
    width = wanted = 0
    for node, parent in nodes:
        wider, more = max(width, len(node.tokens)), wanted + len(node.wanted)
        rows = len(batch) + 1
        if batch and (rows * (past + wider) > BATCH_TOKENS or rows * wider > NEW_TOKENS or more > most):
            yield batch
            batch, wider, more = [], len(node.tokens), len(node.wanted)
        batch.append((node, parent))
        width, wanted = wider, more
    if batch:
        yield batch


def _forward(
    head: LensHead, layers: Sequence[int], batch: Sequence[tuple[Node, int]], cache: Any, past: int
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """One forward pass; its wanted states where there are any."""
    ids = pad_right([node.tokens for node, _ in batch], head.weight.device)
    places = [(line, at, row) for line, (node, _) in enumerate(batch) for at, row in node.wanted]
    states = capture(head, ids, [(line, at) for line, at, _ in places], layers=layers, past=cache, finite=False)
    if places:
        yield [row for *_, row in places], states


def _continued(head: LensHead, cache: Any, batch: Sequence[tuple[Node, int]]) -> Any:
    """A cache for ``batch``, line i a copy of its parent's; a new one at the root."""
    return new_cache(head.base) if cache is None else select_rows(cache, [parent for _, parent in batch])
