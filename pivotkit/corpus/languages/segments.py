"""What is read as one piece to tell its language: a line, or each sentence of a long one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pivotkit import _C
from pivotkit.corpus.reading.text_block import TextBlock

LONG_LINE = 300  # bytes; a longer line is cut at sentences


class Segments(NamedTuple):
    """S segments that cover the L lines of some documents, in order.

    Attributes
    ----------
    offsets : int64 (S + 1,)
    line : int64 (S,)
        The line of each segment, numbered over all documents.
    document : int64 (L,)
        The document of each line.
    """

    offsets: npt.NDArray[np.int64]
    line: npt.NDArray[np.int64]
    document: npt.NDArray[np.int64]


def segments_of(texts: TextBlock) -> Segments:
    """The segments of a block of documents; lines and sentences are those of `Scope`, so that none is empty."""
    lines, firsts = _C.text_pieces(texts.data, texts.offsets, "line")
    sentences, first_of_line = _C.text_pieces(texts.data, lines, "sentence")
    line = np.repeat(np.arange(len(lines) - 1), np.diff(first_of_line))
    is_first = np.zeros(len(line), np.bool_)
    is_first[first_of_line[:-1]] = True
    kept = is_first | (np.diff(lines) > LONG_LINE)[line]
    offsets = np.append(sentences[:-1][kept], sentences[-1:])
    return Segments(offsets, line[kept], np.repeat(np.arange(len(texts)), np.diff(firsts)))
