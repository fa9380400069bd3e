"""Texts into token ids, by the tokenizer's own Rust core."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from pivotkit._text import pack_ids
from pivotkit.arguments import check_path, kind
from pivotkit.corpus.reading.text_block import TextBlock
from pivotkit.errors import InputError

ENCODE_CHARACTERS = 1 << 20  # characters per call of the tokenizer, whose working memory is many times that
ENCODE_BYTES = 1 << 20  # the same in bytes, for packed texts
CALLS = 2  # at once: while one converts Python objects on one core, the other has the rest
AHEAD_BYTES = 8 << 20  # two blocks as `read_texts` makes them
AHEAD = 32  # blocks, where they are small
PACKED = 32  # documents whose ids are Python objects at once, so few that the objects stay in the cache

Ids = npt.NDArray[np.uint32]
Lengths = npt.NDArray[np.int64]
T = TypeVar("T")


def tokenizer_core(function: str, tokenizer: Any) -> tuple[Tokenizer, str]:
    """A private copy of the Rust tokenizer, without truncation and padding, and its fingerprint."""
    if isinstance(tokenizer, str | PathLike):
        check_path(function, "tokenizer", tokenizer)
        path = Path(tokenizer)
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():
            raise InputError(file, "", "must be a tokenizer.json; found no such file")
        core, text = Tokenizer.from_file(str(file)), None
    else:
        inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not isinstance(inner, Tokenizer):
            raise TypeError(f"{function}: tokenizer must be a fast tokenizer or a path; got {kind(tokenizer)}")
        text = inner.to_str()
        core = Tokenizer.from_str(text)
    if text is None or core.truncation is not None or core.padding is not None:
        core.no_truncation()
        core.no_padding()
        text = core.to_str()
    return core, hashlib.sha256(text.encode()).hexdigest()


def vocabulary_size(core: Tokenizer) -> int:
    """One more than the largest id."""
    return max(core.get_vocab(with_added_tokens=True).values()) + 1


def encode(core: Tokenizer, texts: list[str]) -> Iterator[tuple[Ids, npt.NDArray[np.int64]]]:
    """The ids of texts back to back, and where those of each begin, in portions that bound the tokenizer's memory."""
    begin = size = 0
    for end, text in enumerate(texts, 1):
        size += len(text)
        if size >= ENCODE_CHARACTERS or end == len(texts):
            ids, lengths = _encode(core, texts[begin:end])
            yield ids, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
            begin, size = end, 0


def encode_ahead(core: Tokenizer, blocks: Iterable[tuple[T, TextBlock]]) -> Iterator[tuple[T, TextBlock, Ids, Lengths]]:
    """The blocks with the ids of their texts back to back and how many each text has, in order.

    While the tokenizer works on blocks of `AHEAD_BYTES`, the caller reads the next and writes those before.
    """
    with ThreadPoolExecutor(CALLS) as pool:
        waiting: deque[tuple[T, TextBlock, list[Future[tuple[Ids, Lengths]]]]] = deque()
        ahead = 0
        try:
            for about, block in blocks:
                calls = [pool.submit(_encode_part, core, block, *part) for part in _parts(block)]
                waiting.append((about, block, calls))
                ahead += len(block.data)
                while ahead >= AHEAD_BYTES or len(waiting) > AHEAD:
                    ahead -= len(waiting[0][1].data)
                    yield _joined(*waiting.popleft())
            while waiting:
                yield _joined(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _parts(block: TextBlock) -> list[tuple[int, int]]:
    """Documents [begin, end) of each call: of about equal bytes, so that no core waits long for another."""
    count = -(-len(block.data) // ENCODE_BYTES)
    limits = np.arange(1, count) * len(block.data) // max(count, 1)
    ends = np.unique([*np.searchsorted(block.offsets, limits), len(block)]).tolist()
    return [(begin, end) for begin, end in zip([0, *ends], ends, strict=False) if begin < end]


def _encode_part(core: Tokenizer, block: TextBlock, begin: int, end: int) -> tuple[Ids, Lengths]:
    return _encode(core, block.texts(begin, end))


def _encode(core: Tokenizer, texts: list[str]) -> tuple[Ids, Lengths]:
    encoded = core.encode_batch_fast(texts, add_special_tokens=False)
    packed = [
        pack_ids([encoding.ids for encoding in encoded[begin : begin + PACKED]])
        for begin in range(0, len(encoded), PACKED)
    ]
    return _concatenated([(ids, np.diff(offsets)) for ids, offsets in packed])


def _joined(about: T, block: TextBlock, calls: list[Future[tuple[Ids, Lengths]]]) -> tuple[T, TextBlock, Ids, Lengths]:
    return about, block, *_concatenated([call.result() for call in calls])


def _concatenated(parts: list[tuple[Ids, Lengths]]) -> tuple[Ids, Lengths]:
    if not parts:
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    ids, lengths = zip(*parts, strict=True)
    return np.concatenate(ids), np.concatenate(lengths)
