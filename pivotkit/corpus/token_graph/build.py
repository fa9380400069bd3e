"""How much any two tokens of a corpus stand together within a window: counted exactly, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pivotkit.corpus.reading.budget import parse_bytes
from pivotkit.corpus.reading.token_formats import TokenFile
from pivotkit.corpus.reading.token_store import TokenStore
from pivotkit.corpus.token_graph.files import FAN_IN, graph_counter
from pivotkit.corpus.token_graph.graph import TokenGraph
from pivotkit.corpus.token_graph.pair_weights import Weight, pair_weights
from pivotkit.corpus.token_graph.pieces import LARGEST_PIECE, Documents, largest_id, pieces, token_blocks

__all__ = ["TokenGraph", "token_graph"]


def token_graph(
    documents: Documents,
    *,
    out: str | Path,
    window: int = 10,
    weight: Weight = "harmonic",
    symmetric: bool = True,
    vocabulary: int | None = None,
    denominator: int | None = None,
    memory: int | str = "512MB",
    units: Sequence[str] = (),
    _fan_in: int = FAN_IN,
) -> TokenGraph:
    """Sum the weights of all pairs of tokens at most ``window`` apart, exactly and in bounded memory.

    ``for i in range(len(ids)): for d in range(1, min(window, len(ids) - 1 - i) + 1): X[ids[i], ids[i + d]] += weight(d)``
    for each document's ``ids``; symmetric, the pair in either order is one cell.

    Parameters
    ----------
    documents : TokenFile, list of TokenFile, TokenStore, or iterable of (ids, offsets)
        In a block, document d is ``ids[offsets[d]:offsets[d + 1]]``; ids of any integer type, offsets int64.
    out : str or Path
        Folder of the result: ``columns.npy``, ``totals.npy``, ``offsets.npy`` and ``graph.json``, written last. What does
        not fit ``memory`` lies there meanwhile, in a folder that is removed at the end, and at an error.
    window : int, default 10
        The largest distance of a pair.
    weight : "harmonic", "flat" or function, default "harmonic"
        "harmonic" is 1 / distance, as GloVe's; "flat" counts pairs; else a function of the distance: Numba's
        ``cfunc("float64(int64)")``, or one that Numba compiles so (this imports Numba). It is called once for each distance.
    symmetric : bool, default True
        Whether order is ignored.
    vocabulary : int, optional
        Ids are below it. By default the tokenizer's for a `TokenStore`, one more than the largest id of token files (one more
        pass); blocks must come with one. Graphs that will be merged need the same.
    denominator : int, optional
        Weights are rounded once to multiples of 1 / denominator, ties to even, and everything after that is exact; so sums do
        not depend on order, blocks, memory or merging. By default exact for "flat" and for "harmonic" up to window 16,
        otherwise 2^20: see `pivotkit.corpus.token_graph.pair_weights.pair_weights`.
    memory : int or str, default "512MB"
        Bytes that may be held beyond what the process holds (and beyond Numba, and arrays handed in). The least is about 40
        bytes an id of the vocabulary and 100 kB.
    units : sequence of str, optional
        Names of the work behind blocks, for `TokenGraph.merge`. Files and stores have names of their own.

    Returns
    -------
    TokenGraph
        Mapped from ``out``.

    Raises
    ------
    TypeError, ValueError
        For arguments of another kind or out of range; for a weight that is not finite, negative, or rounds to nothing.
    CorpusError
        For an id outside the vocabulary in a file, or a temporary file that is not as it was written.
    IndexError
        For an id outside the vocabulary in a block.
    OverflowError
        When a total passes 2^63.
    OSError
        When the disk is full; then there is no new graph, and no file of it is left.

    Notes
    -----
    Cost, one thread: about 90 ns a token at window 10 and V 50,000, writing included; 140 where it spills. Design and rules:
    ``csrc/token_graph/token_graph.h``. Weights: J. Pennington, R. Socher and C. Manning, "GloVe", EMNLP 2014.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> ids, offsets = np.array([5, 6, 5, 7, 6], np.uint16), np.array([0, 3, 5])
    >>> graph = token_graph([(ids, offsets)], out=tempfile.mkdtemp(), window=2, vocabulary=8)
    >>> graph.weight(6, 5), graph.weight(5, 5), graph.weight(5, 7)
    (2.0, 0.5, 0.0)
    >>> graph.row(6)
    (array([5, 7]), array([2., 1.]))
    >>> graph.to_scipy().shape
    (8, 8)
    """
    weights = pair_weights("token_graph", weight, window, denominator)
    budget = parse_bytes(memory, "token_graph")
    piece = min(LARGEST_PIECE, budget // 16)
    tokenizer = None
    if isinstance(documents, TokenStore):
        tokenizer = documents.fingerprint
        vocabulary = documents.vocab_size if vocabulary is None else vocabulary
    elif vocabulary is None:
        vocabulary = _vocabulary(documents, piece)
    if not isinstance(vocabulary, int) or isinstance(vocabulary, bool):
        raise TypeError(f"token_graph: vocabulary must be an int; got {type(vocabulary).__name__}")
    if not 1 <= vocabulary < 1 << 31:
        raise ValueError(f"token_graph: vocabulary must be in [1, 2^31); got {vocabulary}")
    header: dict[str, Any] = {"vocabulary": vocabulary, "symmetric": bool(symmetric), "tokenizer": tokenizer}
    if isinstance(units, str):
        raise TypeError("token_graph: units must be a sequence of names; got one str")
    names = set(units)
    if len(names) < len(units):
        raise ValueError("token_graph: units must be distinct; got one twice")
    with graph_counter("token_graph", weights, header, budget - piece, Path(out), _fan_in) as counter:
        for block in token_blocks("token_graph", documents):
            if block.unit is not None:
                if block.unit in names:
                    raise ValueError(f"token_graph: documents must hold each unit once; got {block.path} twice")
                names.add(block.unit)
            for part in pieces("token_graph", block, vocabulary, piece):
                counter.add(part.ids, part.offsets, part.continued)
        header |= {"units": sorted(names), "documents": counter.documents, "tokens": counter.tokens}
    return TokenGraph.load(out)


def _vocabulary(documents: Documents, bytes_at_once: int) -> int:
    """One more than the largest id of token files."""
    files = [documents] if isinstance(documents, TokenFile) else documents
    if not (isinstance(files, list | tuple) and all(isinstance(file, TokenFile) for file in files)):
        raise ValueError("token_graph: vocabulary must be given unless documents are token files or a store; got None")
    blocks = token_blocks("token_graph", files)
    return max([1, *(largest_id(block, bytes_at_once) + 1 for block in blocks)])
