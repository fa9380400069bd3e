"""Zipf corpora: token r with probability 1 / r, V 50,304, 500 ids per document, uint16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pivotkit.corpus import TokenFiles, TokenWatchList

V, LENGTH = 50_304, 500


def zipf(tokens: int, seed: int = 0) -> tuple[Any, Any]:
    """Ids, of which 1 is the most frequent, and the offsets of documents of `LENGTH` ids."""
    bounds = np.cumsum(1 / np.arange(1, V))
    drawn = np.random.default_rng(seed).random(tokens, np.float32) * bounds[-1]
    return (np.searchsorted(bounds, drawn) + 1).clip(1, V - 1).astype(np.uint16), np.arange(
        0, tokens + 1, LENGTH, dtype=np.int64
    )


def written(folder: Path, tokens: int, lengths: tuple[int, int] | None = None) -> TokenFiles:
    """A token file of `zipf`, whose documents end with id 0; their lengths are drawn between two of their own."""
    ids, offsets = zipf(tokens)
    if lengths is not None:
        ends = np.random.default_rng(3).integers(*lengths, tokens // lengths[0]).cumsum()
        offsets = np.append(ends[ends < tokens], tokens)
        ids[offsets[:1] - 1] = 0
    ids[offsets[1:] - 1] = 0
    ids.tofile(folder / "tokens.npy")
    return TokenFiles(folder / "tokens.npy", vocab_size=V, eos=0)


def watched(words: int, least: int) -> TokenWatchList:
    """Words of a token each, drawn from all but the ``least`` most frequent."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    core = Tokenizer(WordLevel({f"w{token}": token for token in range(V)}, unk_token="w0"))
    drawn = np.random.default_rng(1).choice(np.arange(least, V), words, replace=False)
    return TokenWatchList([f"w{token}" for token in drawn], core)
