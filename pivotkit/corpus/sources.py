"""What `count` can read: text matched by words, and token files matched by spellings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pivotkit.corpus.documents import TextBlock, Unit, read_texts
from pivotkit.corpus.scope import Scope
from pivotkit.corpus.token_source import TokenFiles
from pivotkit.corpus.token_watchlist import TokenWatchList
from pivotkit.corpus.tokens import TokenStore
from pivotkit.corpus.unit_counter import Block
from pivotkit.corpus.watchlist import WatchList
from pivotkit.errors import InputError


class TextSource:
    """Documents of text; with a store their tokens come along, for the context table."""

    def __init__(self, watch: WatchList, on_error: str, store: Path | None) -> None:
        self._on_error = on_error
        self._folder = store
        self._open(watch.words)

    def _open(self, words: list[str]) -> None:
        self.words = words
        self._matcher = WatchList(words).matcher()
        self._store = None if self._folder is None else TokenStore.open(self._folder)
        self.vocabulary = 0 if self._store is None else self._store.vocab_size
        self.tokenizer = None if self._store is None else self._store.fingerprint

    def __getstate__(self) -> dict[str, Any]:
        return {"words": self.words, "on_error": self._on_error, "store": self._folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._on_error, self._folder = state["on_error"], state["store"]
        self._open(state["words"])  # a native matcher cannot be sent

    def identity(self) -> Any:
        return {"text": True, "on_error": self._on_error, "tokenizer": self.tokenizer}

    def blocks(self, unit: Unit, scope: Scope) -> Iterator[Block]:
        if self._store is None:
            for texts in read_texts(unit, self._on_error):
                yield self._block(texts)
            return
        offsets = self._store.offsets(unit)
        rows = self._store.table(unit)["row"].to_numpy()
        at = 0
        for texts in read_texts(unit, self._on_error):
            ends = offsets[at : at + len(texts) + 1]
            if not np.array_equal(rows[at : at + len(texts)], texts.rows):
                raise InputError(
                    self._store.folder, unit.path.name, "must hold the documents of the corpus; got other rows"
                )
            block = self._block(texts)
            block.tokens = (self._store.read(unit, int(ends[0]), int(ends[-1])), ends - ends[0])
            yield block
            at += len(texts)
        if at != len(rows):
            raise InputError(self._store.folder, unit.path.name, f"must hold {at} documents; got {len(rows)}")

    def _block(self, texts: TextBlock) -> Block:
        offsets, words, counts = self._matcher.match(texts.data, texts.offsets)
        return Block((offsets, words, counts, None), texts.rows, langs=texts.langs, skipped=texts.skipped)


class TokenSource:
    """Documents of token ids."""

    def __init__(self, watch: TokenWatchList, files: TokenFiles | TokenStore) -> None:
        self._watch = watch
        self._files = files
        self._open()

    def _open(self) -> None:
        self.words = self._watch.words
        self.vocabulary = self._files.vocab_size
        self.tokenizer = self._files.tokenizer if isinstance(self._files, TokenFiles) else self._files.fingerprint
        self._matcher = self._watch.matcher(self.vocabulary)

    def __getstate__(self) -> dict[str, Any]:
        files = self._files if isinstance(self._files, TokenFiles) else self._files.folder
        return {"watch": self._watch, "files": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._watch = state["watch"]
        self._files = TokenStore.open(state["files"]) if isinstance(state["files"], Path) else state["files"]
        self._open()

    def identity(self) -> Any:
        return {"tokens": self._files.identity(), "watch": self._watch.identity()}

    def blocks(self, unit: Unit, scope: Scope) -> Iterator[Block]:
        row = 0
        for ids, offsets in self._files.blocks(unit, scope):
            hits = self._matcher.match(ids, offsets, scope.kind == "window")
            size = len(offsets) - 1
            yield Block(hits, np.arange(row, row + size), (ids, offsets))
            row += size
