"""Whether the ids of a headerless file are what the caller says: nothing in the file names their type or their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pivotkit.corpus.reading.token_blocks import document_ends
from pivotkit.errors import CorpusError

HEAD_IDS = 1 << 16  # ids at the file's start that are looked at
FEW, MANY = 7, 64  # ids of the wider type that are evidence: with a document's end among them, and without
ENDLESS = 1 << 22  # ids in a file that has no end of a document; fewer may be one document


def check_width(path: Path, dtype: np.dtype[Any], vocab_size: int, eos: int) -> None:
    """Raise a CorpusError when the ids of a file are those of a type twice or four times as wide.

    Read as the wider type, the first ids must all lie below ``vocab_size``, so that their upper halves are zero or
    nearly so. Text does not look like that: of two neighbours, the second is always a small id. The evidence counts
    from 7 wider ids on when ``eos`` is among them, else from 64 on, because a short file may be odd. Zeros are none.
    """
    size = path.stat().st_size
    head = np.fromfile(path, dtype, HEAD_IDS)
    for wide in (np.dtype("<u8"), np.dtype("<u4")):
        factor = wide.itemsize // dtype.itemsize
        if factor < 2 or size % wide.itemsize:
            continue
        ids = head[: len(head) // factor * factor].view(wide)
        if len(ids) >= (FEW if (ids == eos).any() else MANY) and ids.any() and (ids < vocab_size).all():
            rule = f"must hold ids of {dtype.name}; got ids that look like {wide.name}"
            how = f"numpy.fromfile(path, '{wide.name}').astype('uint32').tofile(new) writes uint32"
            hint = f"try dtype='{wide.name}'" if wide.itemsize == 4 else how
            raise CorpusError(
                path, "byte 0", f"{rule}: as such all of the first {len(ids)} are below {vocab_size} ({hint})"
            )


def check_ends(path: Path, dtype: np.dtype[Any], eos: int, bos: int | None) -> None:
    """Raise a CorpusError when a file of more than 2^22 ids has no end of a document (`document_ends`).

    A shorter one may be a single document. Cost: reads up to the first end.
    """
    size, at, step = path.stat().st_size // dtype.itemsize, 0, HEAD_IDS
    while size > ENDLESS and at < size:
        ids = np.fromfile(path, dtype, step + 1, offset=at * dtype.itemsize)
        ends = document_ends(ids, eos, bos, at + len(ids) == size)
        if (ids[ends - 1] == eos).any():
            return
        at, step = at + step, min(2 * step, 1 << 22)
    if size > ENDLESS:
        rule = f"must have documents that end at eos={eos}" + (f" before bos={bos}" if bos is not None else "")
        raise CorpusError(
            path, "", f"{rule}; got none in {size} ids (another eos, or another dtype than {dtype.name}?)"
        )
