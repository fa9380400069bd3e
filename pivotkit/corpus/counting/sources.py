"""What `count` can read: text, matched by words, and token ids, matched by spellings."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from pivotkit import _C
from pivotkit.corpus.counting.matched_block import Hits, Languages, MatchedBlock
from pivotkit.corpus.counting.read_ahead import read_ahead
from pivotkit.corpus.counting.strata import Sample
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.matching.word_languages import WordLanguages
from pivotkit.corpus.reading.budget import LINE_COPIES, DocumentBudget
from pivotkit.corpus.reading.documents import TextBlock, Unit, read_texts
from pivotkit.corpus.reading.scope import Scope
from pivotkit.corpus.reading.text_block import UNKNOWN
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import InputError


class _Matching:
    """Leaves ``matcher`` out of pickles: it is native, so each process makes its own."""

    _word_languages: WordLanguages | None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "matcher"}

    def _words(self, hits: Hits, languages: Languages | None) -> Hits:
        """The hits of words, each in the languages of its documents."""
        if self._word_languages is None:
            return hits
        assert languages is not None
        sets, ids = languages
        found: Hits = self._word_languages.words(hits, self._word_languages.masks(sets)[ids])
        return found


class TextSource(_Matching):
    """Documents of text. With a store each comes with its tokens, for the context table."""

    def __init__(self, watch: WatchList, on_error: str, store: TokenStore | None) -> None:
        self.watch = watch
        self._word_languages = watch.word_languages()
        self.vocabulary = 0 if store is None else store.vocab_size
        self.tokenizer = None if store is None else store.fingerprint
        self.budget: DocumentBudget | None = None  # what one document may take
        self._on_error = on_error
        self._store = store

    @functools.cached_property
    def matcher(self) -> _C.Matcher:
        return self.watch.matcher()

    def identity(self) -> Any:
        return {"text": True, "on_error": self._on_error, "tokenizer": self.tokenizer}

    def blocks(self, unit: Unit, scope: Scope) -> Iterator[MatchedBlock]:
        if self._store is None:
            for texts in self._read(unit):
                self._check(unit, texts, 0)
                yield self._block(texts)
            return
        offsets = self._store.offsets(unit)
        rows = self._store.table(unit)["row"].to_numpy()
        first, at = self._store.first_row(unit), 0
        for texts in self._read(unit):
            ends = offsets[at : at + len(texts) + 1]
            if not np.array_equal(rows[at : at + len(texts)], texts.rows):
                raise InputError(
                    self._store.folder, unit.path.name, "must hold the documents of the corpus; got other rows"
                )
            self._check(unit, texts, int(ends[-1] - ends[0]))
            block = self._block(texts)
            block.places = texts.rows + first
            block.tokens = (self._store.read(unit, int(ends[0]), int(ends[-1])), ends - ends[0])
            block.lengths = np.diff(ends)
            yield block
            at += len(texts)
        if at != len(rows):
            raise InputError(self._store.folder, unit.path.name, f"must hold {at} documents; got {len(rows)}")

    def sample(self, unit: Unit, scope: Scope) -> Iterator[Sample]:
        """Languages, lengths and bytes of the documents of ``unit``."""
        ends = None if self._store is None else self._store.offsets(unit)
        at = 0
        for texts in read_texts(unit, self._on_error, self.budget):
            here = texts.offsets if ends is None else ends[at : at + len(texts) + 1]
            yield *_field_languages(texts), np.diff(here), len(texts.data)
            at += len(texts)

    def _read(self, unit: Unit) -> Iterator[TextBlock]:
        return read_ahead(read_texts(unit, self._on_error, self.budget), lambda texts: texts.data.nbytes)

    def _check(self, unit: Unit, texts: TextBlock, tokens: int) -> None:
        """Refuse a block whose longest document does not fit the budget; a longer one is a block of its own."""
        if self.budget is not None and len(texts):
            longest = int(np.diff(texts.offsets).argmax())
            text = texts.data[texts.offsets[longest] : texts.offsets[longest + 1]].data
            self.budget.check_text(unit.path, f"row {texts.rows[longest]} of its unit", text, LINE_COPIES, tokens)

    def _block(self, texts: TextBlock) -> MatchedBlock:
        languages = _field_languages(texts)
        hits = self._words((*self.matcher.match(texts.data, texts.offsets), None), languages)
        return MatchedBlock(
            hits,
            texts.rows,
            texts.rows,
            langs=texts.langs,
            languages=languages,
            lengths=np.diff(texts.offsets),
            skipped=texts.skipped,
        )


def _field_languages(texts: TextBlock) -> Languages:
    """The sets of languages that the ``lang`` field of documents gives."""
    sets = [() if code == UNKNOWN else (code,) for code in texts.langs.dictionary.to_pylist()]
    return sets, texts.langs.indices.to_numpy()


class TokenSource(_Matching):
    """Documents of token ids."""

    def __init__(self, watch: TokenWatchList, files: TokenFiles | TokenStore) -> None:
        self.watch = watch
        self._word_languages = watch.word_languages()
        self.vocabulary = files.vocab_size
        self.tokenizer = files.tokenizer
        self.budget: DocumentBudget | None = None
        self._files = files

    @functools.cached_property
    def matcher(self) -> _C.TokenMatcher:
        return self.watch.matcher(self.vocabulary)

    def identity(self) -> Any:
        return {"tokens": self._files.identity(), "watch": self.watch.identity()}

    def blocks(self, unit: Unit, scope: Scope) -> Iterator[MatchedBlock]:
        row = 0
        blocks = self._files.blocks(unit, scope, budget=self.budget)
        for block in read_ahead(blocks, lambda block: block.ids.nbytes):
            ids, offsets = block.ids, block.offsets
            hits = self.matcher.match(ids, offsets, scope.kind == "window")
            size = len(offsets) - 1
            rows = np.arange(row, row + size)
            yield MatchedBlock(hits, rows, block.first + offsets[:-1], (ids, offsets), lengths=np.diff(offsets))
            row += size

    def sample(self, unit: Unit, scope: Scope) -> Iterator[Sample]:
        """Languages, lengths and bytes of the documents of ``unit``."""
        for block in self._files.blocks(unit, scope, budget=self.budget):
            lengths = np.diff(block.offsets)
            yield [()], np.zeros(len(lengths), np.int64), lengths, block.ids.nbytes
