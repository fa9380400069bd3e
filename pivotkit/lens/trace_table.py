"""Lens readings as rows of the trace table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pivotkit.kernels import Unembedded
from pivotkit.lens.model.encoding import Encoded
from pivotkit.lens.positions import ANSWER, ATTENTION, BLOCK, Place
from pivotkit.words.task import accepted_targets
from pivotkit.words.word_tokens import WordTokens


@dataclass(frozen=True)
class Reading:
    """What the lens reads in L layers at N positions, in arrays (N, L, ...) with all layers of a position together."""

    ids: NDArray[np.int64]
    logprobs: NDArray[np.float32]
    logsumexp: NDArray[np.float32]
    entropy: NDArray[np.float32]
    kl: NDArray[np.float32]
    target_logprob: NDArray[np.float32]
    target_rank: NDArray[np.int64]
    masses: NDArray[np.float32]
    tracked_ids: NDArray[np.int64]  # (N, R), filled up with -1
    tracked_logprobs: NDArray[np.float32]  # (N, L, R)

    def __repr__(self) -> str:
        return f"Reading(positions={self.ids.shape[0]}, layers={self.ids.shape[1]}, k={self.ids.shape[2]})"

    @classmethod
    def of(cls, result: Unembedded, tracked_ids: NDArray[np.int64], tracked_logprobs: torch.Tensor) -> Reading:
        """A reading from arrays (L, N, ...) with one target per position."""
        return cls(
            ids=_by_position(result.ids),
            logprobs=_by_position(result.logprobs),
            logsumexp=_by_position(result.logsumexp),
            entropy=_by_position(result.entropy),
            kl=_by_position(result.kl),
            target_logprob=_by_position(result.target_logprobs)[..., 0],
            target_rank=_by_position(result.target_ranks)[..., 0],
            masses=_by_position(result.set_logprobs),
            tracked_ids=tracked_ids,
            tracked_logprobs=_by_position(tracked_logprobs),
        )


def _by_position(values: torch.Tensor | None) -> NDArray[Any]:
    """An array (L, N, ...) as (N, L, ...)."""
    assert values is not None  # a reading asks for every reduction
    return np.ascontiguousarray(np.swapaxes(values.cpu().numpy(), 0, 1))


def trace_rows(
    reading: Reading,
    rows: Sequence[dict[str, Any]],
    places: Sequence[Place],
    texts: Sequence[Encoded],
    token_sets: Sequence[list[list[int]]],
    names: Sequence[str],
    word_tokens: WordTokens,
    blocks: int,
) -> pa.Table:
    """The rows of the trace table for N positions and L layers.

    Parameters
    ----------
    reading : Reading
    rows, places, texts : sequences of length N
        The item, the place and the encoded prompt of each position.
    token_sets : sequence of N lists
        The token sets of each position, in the order of ``names``.
    names : sequence of str
        Names of the token sets, which name their columns.
    word_tokens : WordTokens
    blocks : int
        The model's number of blocks; what is read beyond layers 0 to ``blocks`` are the middles of blocks 1, 2 ...

    Returns
    -------
    pyarrow.Table
        N * L rows.
    """
    count, layers, _ = reading.ids.shape
    every = np.repeat(np.arange(count), layers)

    def repeated(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(pa.array(every))

    columns = {
        "item": repeated([row["item"] for row in rows], pa.int32()),
        "pair": repeated([row["pair"] for row in rows], pa.string()),
        "layer": pa.array(np.tile([at - blocks * (at > blocks) for at in range(layers)], count), pa.int32()),
        "point": pa.array([ATTENTION if at > blocks else BLOCK for at in range(layers)] * count, pa.string()),
        "position": repeated([place.index for place in places], pa.int32()),
        "token": repeated(
            [word_tokens.text(text.ids[place.index]) for text, place in zip(texts, places, strict=True)], pa.string()
        ),
        "label": repeated([place.label for place in places], pa.string()),
        "top_ids": as_lists(reading.ids, pa.int32()),
        "top_tokens": as_texts(reading.ids, word_tokens),
        "top_logprobs": as_lists(reading.logprobs, pa.float32()),
        "logsumexp": pa.array(reading.logsumexp.ravel()),
        "entropy": pa.array(reading.entropy.ravel()),
        "kl_to_final": pa.array(reading.kl.ravel()),
        "target_piece": repeated([len(text.appended) for text in texts], pa.int32()),
        "appended": repeated([word_tokens.joined(text.appended) for text in texts], pa.string()),
        "appended_pieces": repeated([list(text.appended) for text in texts], pa.list_(pa.int32())),
        "target_logprob": pa.array(reading.target_logprob.ravel()),
        "target_rank": pa.array(reading.target_rank.ravel(), pa.int32()),
    }
    for number, name in enumerate(names):
        empty = np.array([not own[number] for own in token_sets])[every]
        columns[f"{name}_logmass"] = pa.array(reading.masses[..., number].ravel(), pa.float32(), mask=empty)
    kept = reading.tracked_ids >= 0
    lengths = kept.sum(axis=1)
    columns["tracked"] = repeated(_ragged(reading.tracked_ids[kept], lengths, pa.int32()), pa.list_(pa.int32()))
    everywhere = np.broadcast_to(kept[:, None], reading.tracked_logprobs.shape)
    columns["tracked_logprobs"] = _ragged(reading.tracked_logprobs[everywhere], lengths[every], pa.float32())
    for number, name in enumerate(names):
        columns[f"{name}_ids"] = repeated([own[number] for own in token_sets], pa.list_(pa.int32()))
    for name in ("source", "target"):
        pieces = [list(word_tokens.pieces(row[name])) for row in rows]
        columns[f"{name}_pieces"] = repeated(pieces, pa.list_(pa.int32()))
    answers = [row if place.label == ANSWER else None for row, place in zip(rows, places, strict=True)]
    columns["source_word"] = repeated([row and row["source"] for row in answers], pa.string())
    columns["target_words"] = repeated([row and accepted_targets(row) for row in answers], pa.list_(pa.string()))
    columns["words"] = repeated([row and row["words"] for row in answers], pa.map_(pa.string(), pa.string()))
    return pa.table(columns)


def _ragged(values: NDArray[Any], lengths: NDArray[Any], kind: pa.DataType) -> pa.ListArray:
    """Consecutive values as a column of lists of these lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, kind))


def as_lists(values: NDArray[Any], kind: pa.DataType) -> pa.ListArray:
    """An array (N, L, k) as a column of N * L lists."""
    return _ragged(values.reshape(-1), np.full(values.size // values.shape[-1], values.shape[-1]), kind)


def as_texts(ids: NDArray[np.int64], word_tokens: WordTokens) -> pa.ListArray:
    """An array (N, L, k) of tokens as a column of N * L lists of text."""
    different, which = np.unique(ids, return_inverse=True)
    texts = pa.array([word_tokens.text(int(token)) for token in different], pa.string())
    offsets = np.arange(0, ids.size + 1, ids.shape[-1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), texts.take(pa.array(which.reshape(-1))))
