"""What `count` can read: text, matched by words, and token ids, matched by spellings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivotkit import _C
from pivotkit.corpus.counting.matched_block import Hits, Languages, MatchedBlock
from pivotkit.corpus.counting.read_ahead import read_ahead
from pivotkit.corpus.counting.strata import Sample
from pivotkit.corpus.languages.field import field_languages
from pivotkit.corpus.languages.language_table import LanguageTable
from pivotkit.corpus.matching.token_texts import TokenTexts
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.matching.word_languages import WordLanguages
from pivotkit.corpus.reading.budget import LINE_COPIES, DocumentBudget
from pivotkit.corpus.reading.documents import TextBlock, Unit, read_texts
from pivotkit.corpus.reading.scope import DOCUMENT, PIECES, Scope
from pivotkit.corpus.reading.token_blocks import TokenBlock
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import InputError


class _Matching:
    """Leaves ``matcher`` out of pickles: it is native, so each process makes its own."""

    _word_languages: WordLanguages | None
    _table: LanguageTable | None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "matcher"}

    @property
    def language_table(self) -> str | None:
        """The digest of the table that the languages of documents are from; None for their own field, or none."""
        return None if self._table is None else self._table.digest

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

    def __init__(
        self, watch: WatchList, on_error: str, store: TokenStore | None, table: LanguageTable | None = None
    ) -> None:
        self.watch = watch
        self._word_languages = watch.word_languages()
        self.vocabulary = 0 if store is None else store.vocab_size
        self.tokenizer = None if store is None else store.fingerprint
        self.budget: DocumentBudget | None = None  # what one document may take
        self._on_error = on_error
        self._store = store
        self._table = table

    @functools.cached_property
    def matcher(self) -> _C.Matcher:
        return self.watch.matcher()

    def identity(self) -> Any:
        about = {"text": True, "on_error": self._on_error, "tokenizer": self.tokenizer}
        return about if self._table is None else {**about, "languages": self.language_table}

    def blocks(self, unit: Unit, scope: Scope) -> Iterator[MatchedBlock]:
        if self._store is None:
            pieces = 0
            for texts in self._ahead(unit):
                if scope.kind in PIECES:
                    cut = _in_pieces(texts, scope, pieces)
                    pieces += len(cut)
                    self._check(unit, texts, 0, len(cut))
                    texts = cut
                else:
                    self._check(unit, texts, 0)
                yield self._block(texts, scope)
            return
        offsets = self._store.offsets(unit)
        rows = self._store.table(unit)["row"].to_numpy()
        first, at = self._store.first_row(unit), 0
        for texts in self._ahead(unit):
            ends = offsets[at : at + len(texts) + 1]
            if not np.array_equal(rows[at : at + len(texts)], texts.rows):
                raise InputError(
                    self._store.folder, unit.path.name, "must hold the documents of the corpus; got other rows"
                )
            self._check(unit, texts, int(ends[-1] - ends[0]))
            block = self._block(texts, scope)
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
        for texts in self._read(unit):
            if scope.kind in PIECES:
                texts = _in_pieces(texts, scope, 0)
            here = texts.offsets if ends is None else ends[at : at + len(texts) + 1]
            yield *field_languages(texts.langs), np.diff(here), len(texts.data)
            at += len(texts)

    def _ahead(self, unit: Unit) -> Iterator[TextBlock]:
        return read_ahead(self._read(unit), lambda texts: texts.data.nbytes)

    def _read(self, unit: Unit) -> Iterator[TextBlock]:
        """The documents of ``unit``, with the languages of the table where there is one."""
        blocks = read_texts(unit, self._on_error, self.budget)
        if self._table is None:
            yield from blocks
            return
        first = (self._table if self._store is None else self._store).first_row(unit)
        for texts in blocks:
            yield replace(texts, langs=self._table.tags(unit, texts.rows + first))

    def _check(self, unit: Unit, texts: TextBlock, tokens: int, pieces: int = 0) -> None:
        """Refuse a block whose longest document does not fit the budget; a longer one is a block of its own."""
        if self.budget is not None and len(texts):
            longest = int(np.diff(texts.offsets).argmax())
            text = texts.data[texts.offsets[longest] : texts.offsets[longest + 1]].data
            self.budget.check_text(
                unit.path, f"row {texts.rows[longest]} of its unit", text, LINE_COPIES, tokens, pieces
            )

    def _block(self, texts: TextBlock, scope: Scope) -> MatchedBlock:
        languages = field_languages(texts.langs)
        hits: Hits
        if scope.kind == "window":
            hits = _hits_with_places(len(texts), *self.matcher.spans(texts.data, texts.offsets))
        else:
            hits = *self.matcher.match(texts.data, texts.offsets), None
        return MatchedBlock(
            self._words(hits, languages),
            texts.rows,
            texts.rows,
            langs=texts.langs,
            languages=languages,
            lengths=np.diff(texts.offsets),
            skipped=texts.skipped,
            done=texts.done,
        )


def _in_pieces(texts: TextBlock, scope: Scope, first: int) -> TextBlock:
    """The lines or sentences of ``texts`` as documents, numbered from ``first``."""
    offsets, firsts = _C.text_pieces(texts.data, texts.offsets, scope.kind)
    document = np.repeat(np.arange(len(texts)), np.diff(firsts))
    rows = np.arange(first, first + len(document))
    ids, langs = texts.ids.take(document), texts.langs.take(document)
    return TextBlock(texts.data, offsets, ids, langs, rows, texts.skipped, done=texts.done)


def _hits_with_places(
    size: int,
    documents: npt.NDArray[np.int64],
    words: npt.NDArray[np.int32],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> Hits:
    """Hits and their places from occurrences, as a matcher of tokens returns them."""
    order = np.lexsort((begins, words, documents))
    documents, words, begins, ends = documents[order], words[order], begins[order], ends[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(documents) != 0) | (np.diff(words) != 0)
    first = np.append(np.flatnonzero(new), len(order))
    offsets = np.searchsorted(documents[new], np.arange(size + 1))
    places = first, begins.astype(np.int32), ends.astype(np.int32)
    return offsets, words[new], np.diff(first).astype(np.int32), places


class TokenSource(_Matching):
    """Documents of token ids."""

    def __init__(
        self, watch: TokenWatchList, files: TokenFiles | TokenStore, table: LanguageTable | None = None
    ) -> None:
        self.watch = watch
        self._word_languages = watch.word_languages()
        self.vocabulary = files.vocab_size
        self.tokenizer = files.tokenizer
        self.budget: DocumentBudget | None = None
        self._files = files
        self._table = table

    @property
    def has_languages(self) -> bool:
        """Whether documents have languages: of a table, or those that a store kept."""
        return self._table is not None or isinstance(self._files, TokenStore)

    @functools.cached_property
    def _texts(self) -> TokenTexts:
        return self.watch.texts.resized(self.vocabulary)

    @functools.cached_property
    def matcher(self) -> _C.TokenMatcher:
        return self.watch.matcher(self.vocabulary)

    def identity(self) -> Any:
        about = {"tokens": self._files.identity(), "watch": self.watch.identity()}
        return {**about, "languages": self.language_table or "field"} if self.has_languages else about

    def blocks(self, unit: Unit, scope: Scope) -> Iterator[MatchedBlock]:
        row = done = 0
        for block, offsets, langs in self._documents(unit, scope):
            hits = self.matcher.match(block.ids, offsets, scope.kind == "window")
            size = len(offsets) - 1
            rows = np.arange(row, row + size)
            languages = None if langs is None else field_languages(langs)
            done += block.ids.nbytes
            yield MatchedBlock(
                self._words(hits, languages),
                rows,
                block.first + offsets[:-1],
                (block.ids, offsets),
                langs=langs,
                languages=languages,
                lengths=np.diff(offsets),
                done=done,
            )
            row += size

    def sample(self, unit: Unit, scope: Scope) -> Iterator[Sample]:
        """Languages, lengths and bytes of the documents of ``unit``."""
        for block, offsets, langs in self._documents(unit, scope, ahead=False):
            lengths = np.diff(offsets)
            sets, ids = ([()], np.zeros(len(lengths), np.int64)) if langs is None else field_languages(langs)
            yield sets, ids, lengths, block.ids.nbytes

    def _documents(
        self, unit: Unit, scope: Scope, ahead: bool = True
    ) -> Iterator[tuple[TokenBlock, npt.NDArray[np.int64], pa.DictionaryArray | None]]:
        """Blocks, where documents end in them, or the lines or sentences that take their place, and the languages."""
        languages = self._unit_languages(unit) if self.has_languages and scope.kind != "instance" else None
        blocks = self._files.blocks(unit, DOCUMENT if scope.kind in PIECES else scope, budget=self.budget)
        for block in read_ahead(blocks, lambda block: block.ids.nbytes) if ahead else blocks:
            langs = None if languages is None else languages(block)
            offsets = block.offsets
            if scope.kind in PIECES:
                texts = self._texts
                offsets, firsts = _C.token_pieces(block.ids, offsets, texts.data, texts.offsets, scope.kind)
                if langs is not None:
                    langs = langs.take(pa.array(np.repeat(np.arange(len(langs)), np.diff(firsts))))
            yield block, offsets, langs

    def _unit_languages(self, unit: Unit) -> Callable[[TokenBlock], pa.DictionaryArray]:
        """What gives the languages of the documents of each block of ``unit``, block after block."""
        table, files = self._table, self._files
        if not isinstance(files, TokenStore):
            assert table is not None
            return lambda block: table.tags(unit, block.first + block.offsets[:-1])
        listed, documents = files.table(unit), 0
        if table is None:
            own = listed["lang"].combine_chunks().dictionary_encode()
        else:
            own = table.tags(unit, listed["row"].to_numpy() + files.first_row(unit))

        def of_block(block: TokenBlock) -> pa.DictionaryArray:
            nonlocal documents
            first, documents = documents, documents + len(block.offsets) - 1
            return own.slice(first, len(block.offsets) - 1)

        return of_block
