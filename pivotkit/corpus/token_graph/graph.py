"""A token graph on disk: mapped to be read, merged row by row."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from pivotkit.arguments import LARGEST, check_int, check_kind, check_path
from pivotkit.artifacts import read_object
from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.reading.budget import parse_bytes, require
from pivotkit.corpus.token_graph.files import ARRAYS, FAN_IN, FORMAT, KINDS, graph_counter
from pivotkit.corpus.token_graph.pair_weights import PairWeights
from pivotkit.corpus.token_graph.pieces import LARGEST_PIECE, release
from pivotkit.corpus.token_graph.row_ranges import row_ranges
from pivotkit.errors import InputError


@dataclass(frozen=True, eq=False)
class TokenGraph:
    """Weights of pairs of tokens within a window; V token ids. Made by `token_graph`, opened by `TokenGraph.load`.

    X(a, b) is a sum of weights over pairs of positions in one document that are at most ``window`` apart and hold a and
    b. In a directed graph a comes first. In a symmetric graph the order does not matter: X(a, b) = X(b, a), and X(a, a)
    counts each pair of positions once.

    Attributes
    ----------
    folder : Path
    vocabulary : int
        V; every id is below it.
    symmetric : bool
        A symmetric graph stores each pair once, in the row of the larger id.
    weights : PairWeights
        The weight of each distance from 1 to ``window``.
    documents, tokens : int
        How many were counted.
    units : tuple[str, ...]
        Names of the work units that were counted, so that none is added twice; empty for blocks without names.
    tokenizer : str or None
        The `TokenFiles.tokenizer` or `TokenStore.tokenizer` of the corpus.
    columns, totals : int32 and int64, one entry per cell, mapped
        Cells row by row, columns ascending. The weight of a cell is total / ``weights.denominator``.
    offsets : int64 (V + 1), mapped
        Row r is cells ``offsets[r]:offsets[r + 1]``.
    approximation : None
        Every total is exact.
    """

    folder: Path
    vocabulary: int
    symmetric: bool
    weights: PairWeights
    documents: int
    tokens: int
    units: tuple[str, ...]
    tokenizer: str | None
    columns: npt.NDArray[np.int32] = field(repr=False)
    totals: npt.NDArray[np.int64] = field(repr=False)
    offsets: npt.NDArray[np.int64] = field(repr=False)
    approximation: None = None

    def __repr__(self) -> str:
        sizes = (
            (self.vocabulary, "token id"),
            (self.cells, "cell"),
            (self.documents, "document"),
            (self.tokens, "token"),
        )
        told = [amount(number, noun) for number, noun in sizes]
        kind = f"{self.weights.name!r}, window={self.window}, symmetric={self.symmetric}"
        return f"TokenGraph({str(self.folder)!r}, {', '.join(told)}, {kind})"

    @property
    def window(self) -> int:
        """The largest distance counted."""
        return len(self.weights.numerators)

    @property
    def cells(self) -> int:
        """How many pairs of ids are stored."""
        return len(self.columns)

    @classmethod
    def load(cls, folder: str | Path) -> TokenGraph:
        """Map a finished graph; InputError when there is none, or when its files are not whole."""
        check_path("load", "folder", folder)
        folder = Path(folder)
        if not (folder / "graph.json").exists():
            raise InputError(folder, "", "must hold a finished token graph; found no graph.json")
        header = read_object(folder / "graph.json", {"format": int})
        if header["format"] != FORMAT:
            raise InputError(folder / "graph.json", "", f"must have format {FORMAT}; got {header['format']}")
        header = read_object(folder / "graph.json", KINDS)
        sizes = {"columns": header["cells"], "totals": header["cells"], "offsets": header["vocabulary"] + 1}
        arrays = {}
        for name, dtype in ARRAYS.items():
            path = folder / f"{name}.npy"
            try:
                arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError, SyntaxError) as error:
                raise InputError(path, "", f"must be an array of the graph; {error}") from None
            if arrays[name].dtype != dtype or arrays[name].shape != (sizes[name],):
                found = f"{arrays[name].dtype} {arrays[name].shape}"
                raise InputError(path, "", f"must be {dtype} ({sizes[name]},) as graph.json says; got {found}")
        offsets = arrays["offsets"]
        if offsets[0] != 0 or offsets[-1] != header["cells"] or (offsets[1:] < offsets[:-1]).any():
            raise InputError(folder / "offsets.npy", "", f"must ascend from 0 to {header['cells']}; got others")
        weights = PairWeights(header["weight"], tuple(header["numerators"]), header["denominator"])
        keys = ("vocabulary", "symmetric", "documents", "tokens", "tokenizer")
        return cls(
            folder=folder, weights=weights, units=tuple(header["units"]), **{key: header[key] for key in keys}, **arrays
        )

    def row(self, token: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """The tokens that occur with ``token`` (in a directed graph: after it) and their weights.

        Parameters
        ----------
        token : int

        Returns
        -------
        neighbours : int64, ascending
        weights : int64 where the denominator is 1 (exact counts), else float64

        Raises
        ------
        IndexError
            When ``token`` is not in the vocabulary.

        Notes
        -----
        Cost: the row; in a symmetric graph also a binary search in the row of every larger id, O(V log V) together.
        """
        self._check("row", "token", token)
        begin, end = (int(bound) for bound in self.offsets[token : token + 2])
        neighbours, totals = np.array(self.columns[begin:end], np.int64), self.totals[begin:end]
        if self.symmetric:
            rows, places = self._holders(token)
            neighbours, totals = np.concatenate([neighbours, rows]), np.concatenate([totals, self.totals[places]])
        return neighbours, self._scaled(totals)

    def weight(self, a: int, b: int) -> float:
        """The weight of a pair (in a directed graph: ``a`` before ``b``), 0 where there is none.

        It is an int where the denominator is 1. IndexError for an id outside the vocabulary.
        """
        self._check("weight", "a", a)
        self._check("weight", "b", b)
        row, column = (max(a, b), min(a, b)) if self.symmetric else (a, b)
        begin, end = (int(bound) for bound in self.offsets[row : row + 2])
        place = begin + int(np.searchsorted(self.columns[begin:end], column))
        found = int(self.totals[place]) if place < end and self.columns[place] == column else 0
        return found if self.weights.denominator == 1 else found / self.weights.denominator

    def to_scipy(self, memory: int | str = "2GB") -> scipy.sparse.csr_array:
        """X (V, V) as a SciPy sparse array, with both halves of a symmetric graph.

        Parameters
        ----------
        memory : int or str, default "2GB"
            The memory that the conversion may take.

        Raises
        ------
        ValueError
            When it would take more: about 80 bytes per cell of a symmetric graph, 40 per cell of a directed one.
        """
        per_cell = (40 if 2 * self.cells < 1 << 31 else 60) * (2 if self.symmetric else 1)
        needed = self.cells * per_cell + 32 * self.vocabulary
        require("to_scipy", f"{self.cells} cells", needed, parse_bytes(memory, "to_scipy"))
        shape = (self.vocabulary, self.vocabulary)
        half = scipy.sparse.csr_array((self._scaled(self.totals), self.columns, self.offsets), shape=shape)
        return scipy.sparse.csr_array(half + scipy.sparse.tril(half, -1, "csr").T) if self.symmetric else half

    def merge(
        self, *others: TokenGraph, out: str | Path, memory: int | str = "512MB", _fan_in: int = FAN_IN
    ) -> TokenGraph:
        """Merge graphs into the graph of all corpora together: associative, commutative, and idempotent by unit.

        Parameters
        ----------
        others : TokenGraph
        out : str or Path
            Folder of the result.
        memory : int or str, default "512MB"
            Bytes that may be held in addition to what the process already holds.

        Returns
        -------
        TokenGraph
            Mapped from ``out``.

        Raises
        ------
        ValueError
            When weights, vocabulary, symmetry or tokenizer differ; when two graphs share some units but neither has all
            units of the other (the common part cannot be subtracted).
        OverflowError
            When a total passes 2^63.
        OSError
            When the disk is full. Then there is no new graph, and no file of it is left.

        Notes
        -----
        Cost: each cell is copied to a run and added once. Memory and disk as for `token_graph`.
        """
        check_path("merge", "out", out)
        kept: list[TokenGraph] = []
        for graph in (self, *others):
            check_kind("merge", "others", graph, TokenGraph, "TokenGraphs")
            for name in ("weights", "vocabulary", "symmetric", "tokenizer"):
                if getattr(graph, name) != getattr(self, name):
                    raise ValueError(f"merge: others must have the same {name}; got {getattr(graph, name)}")
            kept = _with(kept, graph)
        header = {
            **{name: getattr(self, name) for name in ("vocabulary", "symmetric", "tokenizer")},
            "units": sorted(itertools.chain.from_iterable(graph.units for graph in kept)),
            "documents": sum(graph.documents for graph in kept),
            "tokens": sum(graph.tokens for graph in kept),
        }
        budget = parse_bytes(memory, "merge")
        piece = min(LARGEST_PIECE, budget // 16)
        spare = piece + 12 * self.vocabulary
        with graph_counter("merge", self.weights, header, budget - spare, Path(out), _fan_in) as counter:
            for graph in kept:
                for begin, end in row_ranges(graph.offsets, piece // 12):
                    first, last = int(graph.offsets[begin]), int(graph.offsets[end])
                    bounds = np.ascontiguousarray(graph.offsets[begin : end + 1] - first)
                    counter.add_rows(begin, bounds, graph.columns[first:last], graph.totals[first:last])
                    for array in (graph.columns, graph.totals, graph.offsets):
                        release(array)
        return TokenGraph.load(out)

    def _check(self, function: str, name: str, token: int) -> None:
        check_int(function, name, token, -LARGEST)
        if not 0 <= token < self.vocabulary:
            raise IndexError(f"{function}: {name} must be in [0, {self.vocabulary}); got {token}")

    def _scaled(self, totals: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return np.array(totals) if self.weights.denominator == 1 else totals / self.weights.denominator

    def _holders(self, column: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows beyond ``column`` with a cell in it, and the cells' places: one binary search in all rows at once."""
        low = np.array(self.offsets[column + 1 : -1])
        end = np.array(self.offsets[column + 2 :])
        high = end.copy()
        open_ = np.flatnonzero(low < high)
        while len(open_):
            middle = (low[open_] + high[open_]) // 2
            before = self.columns[middle] < column
            low[open_[before]] = middle[before] + 1
            high[open_[~before]] = middle[~before]
            open_ = open_[low[open_] < high[open_]]
        inside = np.flatnonzero(low < end)
        inside = inside[self.columns[low[inside]] == column]
        return inside + column + 1, low[inside]


def _with(kept: list[TokenGraph], graph: TokenGraph) -> list[TokenGraph]:
    """Add ``graph`` to ``kept``, graphs that share no units, so that each unit is counted once."""
    held = {unit for other in kept for unit in other.units}
    mine = set(graph.units)
    if mine and mine <= held:
        return kept
    apart = [other for other in kept if not (other.units and set(other.units) <= mine)]
    common = mine & {unit for other in apart for unit in other.units}
    if common:
        raise ValueError(f"merge: others must share no work units or all; got {len(common)} in common")
    return [*apart, graph]
