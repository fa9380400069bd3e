"""Texts as short token sequences: which documents a lens is fitted to, and which are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from pivotkit.arguments import refuse_kind, shown

# The first position is never read: models send attention to it, and its states are of another size than all others.
SKIPPED = 1
TEXTS = 256  # texts that are tokenized together

Sequence_ = tuple[int, ...]


def is_held_out(text: str, share: float, seed: int) -> bool:
    """Whether a text is among the ``share`` held out: a hash of text and seed alone says so, so equal texts agree."""
    key = seed.to_bytes(8, "little")
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
    return int.from_bytes(digest, "little") < share * 2**64


def sequences(
    function: str, texts: Iterable[str], tokenizer: Any, *, tokens: int, context: int, skip: int = SKIPPED,
    held_out: float, seed: int, held: bool = False,
) -> list[Sequence_]:  # fmt: skip
    """The first ``context`` tokens of each text, until ``tokens`` positions are there; the last text is cut to fit.

    Parameters
    ----------
    function : str
        What errors name.
    texts : iterable of str
        Read only as far as needed.
    tokenizer : a fast Hugging Face tokenizer
        Adds its own special tokens.
    tokens : int
        Positions to gather. The first ``skip`` of each sequence do not count; a text without others is passed over.
    context : int
        Tokens of a sequence at most.
    held_out : float
        The share of texts that is held out.
    seed : int
        Chooses them.
    held : bool, default False
        Whether to take the texts that are held out, and not the others.

    Returns
    -------
    list of tuples of int
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable) or getattr(texts, "ndim", 1) == 0:
        raise TypeError(f"{function}: texts must be an iterable of str; got {shown(texts)}")
    found: list[Sequence_] = []
    wanted = (text for text in _checked(function, texts) if is_held_out(text, held_out, seed) == held)
    while part := list(islice(wanted, TEXTS)):
        for ids in tokenizer(part, truncation=True, max_length=context)["input_ids"]:
            own = tuple(ids[: skip + tokens])
            if len(own) > skip:
                found.append(own)
                tokens -= len(own) - skip
            if not tokens:
                return found
    return found


def _checked(function: str, texts: Iterable[Any]) -> Iterator[str]:
    for text in texts:
        if not isinstance(text, str):
            refuse_kind(function, "texts", "hold str", text)
        yield text


def positions(found: Sequence[Sequence_], skip: int = SKIPPED) -> int:
    """How many positions sequences have, without the first ``skip`` of each."""
    return sum(len(ids) - skip for ids in found)


def batches(found: Sequence[Sequence_], tokens: int) -> Iterator[list[int]]:
    """Numbers of sequences that run together: of like lengths, at most ``tokens`` with padding, or one sequence."""
    batch: list[int] = []
    for number in sorted(range(len(found)), key=lambda number: len(found[number])):
        if batch and (len(batch) + 1) * len(found[number]) > tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
