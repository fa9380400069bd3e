"""Building a token graph: pairs of tokens within a window, counted exactly, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pivotkit.arguments import LARGEST, check_flag, check_int, check_path, check_strings, refuse, refuse_kind
from pivotkit.corpus.reading.budget import parse_bytes
from pivotkit.corpus.reading.token_blocks import Ids, Offsets
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.token_graph.files import FAN_IN, graph_counter
from pivotkit.corpus.token_graph.graph import TokenGraph
from pivotkit.corpus.token_graph.pair_weights import Weight, pair_weights
from pivotkit.corpus.token_graph.pieces import LARGEST_PIECE, array_pieces, corpus_pieces
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.progress import BYTES, progress

NO_BLOCKS = (str, bytes, Mapping, np.ndarray)  # iterables, but not of blocks
__all__ = ["TokenGraph", "token_graph"]


def token_graph(
    documents: TokenFiles | TokenStore | Iterable[tuple[Ids, Offsets]],
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

    Formula: ``X[a, b] = sum(weight(j - i) for i < j <= i + window if ids[i] == a and ids[j] == b)``, over the ``ids``
    of each document. In a symmetric graph both orders of a pair are one cell.

    Parameters
    ----------
    documents : TokenFiles, TokenStore, or iterable of (ids, offsets)
        In a block (ids, offsets), document d is ``ids[offsets[d]:offsets[d + 1]]``; ids are of any integer type,
        offsets int64.
    out : str or Path
        Folder of the result: ``columns.npy``, ``totals.npy``, ``offsets.npy`` and, written last, ``graph.json``. What
        does not fit ``memory`` is kept there in a temporary folder, which is removed at the end and after an error.
    window : int, default 10
        The largest distance of a pair.
    weight : "harmonic", "flat" or function, default "harmonic"
        "harmonic" is 1 / distance, as in GloVe; "flat" counts pairs. A function of the distance is a Numba
        ``cfunc("float64(int64)")`` or one that Numba can compile as such (this imports Numba); it is called once per
        distance.
    symmetric : bool, default True
        Whether the order of a pair is ignored.
    vocabulary : int, optional
        Every id must be below it. By default it is the ``vocab_size`` of the files or the store; blocks must come with
        one. Graphs that will be merged need the same.
    denominator : int, optional
        Weights are rounded once to multiples of 1 / denominator, ties to even. All sums are exact after that, so they
        do not depend on order, blocks, memory or merging. The default makes "flat", and "harmonic" up to window 16,
        exact; otherwise it is 2^20: see `pivotkit.corpus.token_graph.pair_weights.pair_weights`.
    memory : int or str, default "512MB"
        Bytes that may be held in addition to what the process, Numba and arrays handed in already hold. The minimum is
        about 40 bytes per id of the vocabulary plus 100 kB.
    units : sequence of str, optional
        Names of the work behind blocks, for `TokenGraph.merge`. Files and stores name their own units.

    Returns
    -------
    TokenGraph
        Mapped from ``out``.

    Raises
    ------
    TypeError, ValueError
        For arguments of another kind or out of range; for a weight that is negative, not finite, or rounds to 0.
    CorpusError
        For an id outside the vocabulary in a file, and for a temporary file that is not as it was written.
    IndexError
        For an id outside the vocabulary in a block.
    OverflowError
        When a total passes 2^63.
    OSError
        When the disk is full. Then there is no new graph, and no file of it is left.

    Notes
    -----
    Cost on one thread, writing included: about 90 ns per token at window 10 and V 50,000, or 140 ns where it spills to
    disk. Design and rules: ``csrc/token_graph/token_graph.h``. Weights: J. Pennington, R. Socher and C. Manning,
    "GloVe", EMNLP 2014.

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
    blocks_wanted = not isinstance(documents, TokenFiles | TokenStore)
    if blocks_wanted and (isinstance(documents, NO_BLOCKS) or not isinstance(documents, Iterable)):
        refuse_kind("token_graph", "documents", "be TokenFiles, a TokenStore or blocks (ids, offsets)", documents)
    check_path("token_graph", "out", out)
    check_flag("token_graph", "symmetric", symmetric)
    weights = pair_weights("token_graph", weight, window, denominator)
    budget = parse_bytes(memory, "token_graph")
    piece = min(LARGEST_PIECE, budget // 16)
    tokenizer = None
    if isinstance(documents, TokenFiles | TokenStore):
        tokenizer = documents.tokenizer
        vocabulary = documents.vocab_size if vocabulary is None else vocabulary
    elif vocabulary is None:
        raise ValueError("token_graph: vocabulary must be given unless documents are token files or a store; got None")
    check_int("token_graph", "vocabulary", vocabulary, -LARGEST)
    if not 1 <= vocabulary < 1 << 31:
        refuse("token_graph", "vocabulary", "be in [1, 2^31)", vocabulary)
    header: dict[str, Any] = {"vocabulary": vocabulary, "symmetric": bool(symmetric), "tokenizer": tokenizer}
    if isinstance(units, str):
        raise TypeError("token_graph: units must be a sequence of names; got one str")
    names = set(check_strings("token_graph", "units", units, "a sequence of names"))
    if len(names) < len(units):
        raise ValueError("token_graph: units must be distinct; got one twice")
    size: int | None = None  # bytes of ids
    with graph_counter("token_graph", weights, header, budget - piece, Path(out), _fan_in) as counter:
        if isinstance(documents, TokenFiles | TokenStore):
            own = documents.work_units()
            twice = next((unit.path for unit in own if unit.name in names), None)
            if twice is not None:
                raise ValueError(f"token_graph: documents must hold each unit once; got {twice} twice")
            names |= {unit.name for unit in own}
            blocks = corpus_pieces(documents, own, vocabulary, piece)
            size = sum(4 * documents.tokens(unit) if isinstance(documents, TokenStore) else unit.size for unit in own)
        else:
            blocks = array_pieces("token_graph", documents, vocabulary, piece)
        with progress("Pairing tokens", size, BYTES) as tell:
            done = 0
            for block in blocks:
                counter.add(block.ids, block.offsets, block.continued)
                done += block.ids.nbytes
                tell(done)
        header |= {"units": sorted(names), "documents": counter.documents, "tokens": counter.tokens}
    return TokenGraph.load(out)
