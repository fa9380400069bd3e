"""Token sequences as a tree of prefixes: a prefix that several sequences share runs through the model once."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pivotkit.lens.model.cache import new_cache, select_rows
from pivotkit.lens.model.capture import capture, require_finite
from pivotkit.lens.model.encoding import pad_right
from pivotkit.lens.model.parts import ModelParts

BATCH_TOKENS = 4096  # tokens per batch, cached ones included: bounds the memory of keys and values
NEW_TOKENS = (
    1024  # tokens per batch that are not cached: bounds the activations, which should fit the processor's cache
)
BATCH_STATES = 4096  # hidden states (layers x positions) that a batch may return
# A forward pass of a small batch costs about as much as this many tokens of a large one. A prefix that saves fewer
# tokens runs again with each of its continuations.
PASS_TOKENS = 32

What = tuple[Sequence[int], Sequence[nn.Module]]  # the layers and the readers of `capture`


@dataclass
class Node:
    """A segment of tokens that begins where its parent ends."""

    tokens: tuple[int, ...]
    wanted: list[tuple[int, int]] = field(default_factory=list)  # (index within tokens, row of the result)
    children: list[Node] = field(default_factory=list)

    def saved_tokens(self) -> int:
        """Tokens saved by running this node once instead of once per child."""
        return len(self.tokens) * (len(self.children) - 1)

    def merged_into_children(self) -> list[Node]:
        """The children, each with this node's tokens before its own; the first takes over the positions wanted here."""
        length = len(self.tokens)
        merged = [
            Node(self.tokens + child.tokens, [(length + at, row) for at, row in child.wanted], child.children)
            for child in self.children
        ]
        merged[0].wanted = self.wanted + merged[0].wanted
        return merged


class PrefixTree:
    """Sequences of token ids with the positions whose hidden states are wanted.

    Parameters
    ----------
    sequences : sequence of non-empty tuples of int
        The token ids.
    wanted : sequence of sequences of int
        For each sequence, the indices whose hidden states are wanted; at least one per sequence. Tokens after the last
        wanted index never run.
    names : sequence of str, optional
        What errors call each sequence; by default ``sequence 0`` and so on.

    Attributes
    ----------
    rows : list of lists of int
        For each sequence, the row of the result for each of its wanted positions. Positions with equal tokens up to and
        including them share a row.
    count : int
        Number of different rows.

    Notes
    -----
    Memory of `run` beyond the model's activations: keys and values of at most ``BATCH_TOKENS`` tokens per level of the
    tree (a translation task has three levels: instruction, examples, query), and ``BATCH_STATES`` hidden states. A
    sequence beyond these limits runs in a batch of its own.
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

    def __repr__(self) -> str:
        return f"PrefixTree(sequences={len(self.rows)}, rows={self.count})"

    def _grow(self, members: Sequence[int], depth: int) -> list[Node]:
        """Nodes for ``members``: sorted sequences that share their first ``depth`` tokens and have more."""
        grown = []
        begin = 0
        while begin < len(members):
            first = self._places[members[begin]]
            end = begin + 1
            while end < len(members) and self._places[members[end]][depth] == first[depth]:
                end += 1
            # The sequences are sorted, so all of them share what the first and the last share.
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

    def run(
        self, head: ModelParts, layers: Sequence[int] | None = None, readers: Sequence[nn.Module] = ()
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield the hidden states of every wanted position, batch by batch.

        Parameters
        ----------
        head : LensHead
        layers : sequence of int, optional
            As for `capture`; by default all layers.
        readers : sequence of nn.Module, default ()
            As for `capture`.

        Yields
        ------
        rows : list of N int
        states : (len(layers) + len(readers), N, D) tensor
            The residual stream of these rows, before the final norm.

        Raises
        ------
        ValueError
            A state is NaN or infinite; the message gives its layer, sequence and token.

        Notes
        -----
        Cached prefixes are reused only if the head was proved to allow it (``head.shares_prefix``); otherwise every
        sequence runs whole.
        """
        chosen = range(len(head.blocks) + 1) if layers is None else layers
        most = BATCH_STATES // (len(chosen) + len(readers))
        named: list[int | str] = [*chosen, *(f"reader {number}" for number in range(len(readers)))]
        what = (chosen, readers)
        for rows, states in _visit(head, what, most, self.roots, [0] * len(self.roots), None, 0):
            require_finite(states, named, lambda at, rows=rows: self._name(rows[at]))  # type: ignore[misc]
            yield rows, states

    def _name(self, row: int) -> str:
        """The first sequence and token of a row, for messages."""
        sequence = next(number for number, rows in enumerate(self.rows) if row in rows)
        name = f"sequence {sequence}" if self._names is None else self._names[sequence]
        return f"{name}, token {self._wanted[sequence][self.rows[sequence].index(row)]}"


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """The length of the common prefix."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return sum(1 for _ in alike)


def _visit(
    head: ModelParts,
    what: What,
    most: int,
    nodes: list[Node],
    parents: list[int],
    cache: Any,
    past: int,
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Run sibling nodes and everything below them.

    Node i continues row ``parents[i]`` of a cache of ``past`` tokens. A batch returns at most ``most`` positions.
    """
    shared: dict[int, list[tuple[Node, int]]] = defaultdict(list)  # by length, because a cache cannot hold padding
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
            if head.shares_prefix and sum(node.saved_tokens() for node, _ in group) >= PASS_TOKENS:
                shared[length] += group
            else:
                queue += [(merged, parent) for node, parent in group for merged in node.merged_into_children()]
    for length in sorted(shared):
        for batch in _batches(shared[length], past, most):
            own = _continued(head, cache, batch)
            yield from _forward(head, what, batch, own, past)
            below = [(child, row) for row, (node, _) in enumerate(batch) for child in node.children]
            yield from _visit(head, what, most, [c for c, _ in below], [r for _, r in below], own, past + length)
    leaves.sort(key=lambda leaf: len(leaf[0].tokens))  # equal lengths together, for little padding
    for batch in _batches(leaves, past, most):
        yield from _forward(head, what, batch, None if cache is None else _continued(head, cache, batch), past)


def _batches(nodes: Sequence[tuple[Node, int]], past: int, most: int) -> Iterator[list[tuple[Node, int]]]:
    """Batches of nodes in order, each as large as the limits and ``most`` wanted positions allow; at least one node."""
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
    head: ModelParts, what: What, batch: Sequence[tuple[Node, int]], cache: Any, past: int
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Run one forward pass and yield its wanted states, if there are any."""
    ids = pad_right([node.tokens for node, _ in batch], head.weight.device)
    places = [(line, at, row) for line, (node, _) in enumerate(batch) for at, row in node.wanted]
    layers, readers = what
    positions = [(line, at) for line, at, _ in places]
    states = capture(head, ids, positions, layers=layers, past=cache, finite=False, readers=readers)
    if places:
        yield [row for *_, row in places], states


def _continued(head: ModelParts, cache: Any, batch: Sequence[tuple[Node, int]]) -> Any:
    """A cache for ``batch``: line i is a copy of its parent's row; at the root the cache is new."""
    return new_cache(head.base) if cache is None else select_rows(cache, [parent for _, parent in batch])
