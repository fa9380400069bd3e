"""Occurrences of words in texts and in the tokens of the same texts, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from pivotkit._text import pack_ids, pack_strings
from pivotkit.corpus import TokenWatchList, WatchList


def by_text(watch: TokenWatchList, texts: Sequence[str]) -> Any:
    """Occurrences of each word in each text, int64 (texts, words)."""
    return _dense(WatchList(watch.words).matcher().match(*pack_strings(list(texts))), len(watch))


def by_tokens(watch: TokenWatchList, core: Tokenizer, texts: Sequence[str]) -> Any:
    """The same in the tokens of each text."""
    ids = [encoding.ids for encoding in core.encode_batch(list(texts), add_special_tokens=False)]
    size = core.get_vocab_size(with_added_tokens=True)
    return _dense(watch.matcher(size).match(*pack_ids(ids)), len(watch))


def _dense(hits: Any, words: int) -> Any:
    table = np.zeros((len(hits[0]) - 1, words), np.int64)
    table[np.repeat(np.arange(len(table)), np.diff(hits[0])), hits[1]] = hits[2]
    return table


def invented(watch: TokenWatchList, core: Tokenizer, texts: Sequence[str]) -> list[tuple[str, str, int, int]]:
    """Word, text, count in tokens and in text wherever tokens have more; must be none."""
    tokens, right = by_tokens(watch, core, texts), by_text(watch, texts)
    return [
        (watch.words[word], texts[row], int(tokens[row, word]), int(right[row, word]))
        for row, word in np.argwhere(tokens > right)
    ]
