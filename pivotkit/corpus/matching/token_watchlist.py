"""The words to look for in token ids: every spelling that a tokenizer gives them, and where a spelling may stand."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from pivotkit import _C
from pivotkit._text import pack_ids, pack_strings
from pivotkit.arguments import check_int, check_kind, check_strings, check_text
from pivotkit.corpus.matching.normal_form import normalize
from pivotkit.corpus.matching.token_edges import char_kinds, token_edges
from pivotkit.corpus.matching.token_texts import TokenTexts, special_tokens, token_texts
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.matching.word_languages import WordLanguages, check_languages
from pivotkit.corpus.reading.amounts import amount
from pivotkit.words.word_tokens import TokenPolicy

EVERY_CASE = TokenPolicy(case="all")


class TokenWatchList:
    """Words as sequences of token ids, several sequences per word.

    A word occurs where one of its spellings does and the text that the tokens write has the word there, by the rule of
    `WatchList`. So `` cat`` is not found in `` cats`` written as `` cat`` + ``s``, nor where the next letter is cut
    into bytes. A word is never found where the text has none; it may be missed (see Notes).

    Parameters
    ----------
    words : iterable of str
        As for `WatchList`; ids follow the order of first appearance.
    tokenizer : fast Hugging Face tokenizer or ``tokenizers.Tokenizer``
    policy : TokenPolicy, default TokenPolicy(case="all")
        Its ``space`` and ``case`` say which spellings are looked for. The default is with and without a leading space;
        as given, with the first letter in the other case, all upper case and all lower case.
    languages : iterable of str or None, optional
        The language of each word, as for `WatchList`.

    Attributes
    ----------
    words : list[str]
        The normalized words by id, distinct for each language.
    languages : list[str | None] or None
        Their languages; None where no word has one.
    spellings : list[list[tuple[int, ...]]]
        The sequences of ids of each word.

    Raises
    ------
    TypeError
        As `WatchList`, and for something that is not a fast tokenizer.
    ValueError
        As `WatchList`.

    Notes
    -----
    The text is what the tokens write. A tokenizer that changes text before it cuts it (lower case, accents removed)
    leaves other words, and they are what is counted. Missed are words that the tokenizer joins to a neighbour, cuts in
    another way than alone, or writes in a way that is not looked for, and edges that the tokens leave open, such as one
    at the unknown token. docs/token_counting.md has their shares; `count` on text finds them all.
    """

    def __init__(
        self,
        words: Iterable[str],
        tokenizer: Any,
        policy: TokenPolicy = EVERY_CASE,
        *,
        languages: Iterable[str | None] | None = None,
    ) -> None:
        core = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not isinstance(core, Tokenizer):
            raise TypeError(f"TokenWatchList: tokenizer must be a fast tokenizer; got {type(tokenizer).__name__}")
        check_kind("TokenWatchList", "policy", policy, TokenPolicy, "a TokenPolicy")
        given = check_strings("TokenWatchList", "words", words, "an iterable of str")
        codes = check_languages("TokenWatchList", languages, len(given))
        watch = WatchList(given)  # one id per spelling in text
        spelled: dict[int, dict[str, None]] = {}
        for word in given:
            spelled.setdefault(watch.id(word), {}).update(dict.fromkeys(policy.spellings(word)))
        flat = [(place, spelling) for place, forms in sorted(spelled.items()) for spelling in forms]
        encoded = core.encode_batch_fast([spelling for _, spelling in flat], add_special_tokens=False)
        special = special_tokens(core)
        self._spelled = watch
        self._watch = WatchList(given, languages=codes)
        self.words, self.languages, self.marks = self._watch.words, self._watch.languages, watch.marks
        forms: list[list[tuple[int, ...]]] = [[] for _ in watch.words]
        self._texts = token_texts(core)
        self._edges = token_edges(self._texts)
        found = [(place, tuple(encoding.ids)) for (place, _), encoding in zip(flat, encoded, strict=True)]
        found = [(place, ids) for place, ids in dict.fromkeys(found) if ids and not special.intersection(ids)]
        for (place, ids), is_one in zip(found, _write_their_words(watch, self._texts, found), strict=True):
            if is_one:
                forms[place].append(ids)
        self._forms = forms
        self._leads = spelling_leads(forms, self._texts, watch.marks)
        self.spellings = forms if self.languages is None else [forms[watch.id(word)] for word in self.words]

    def __repr__(self) -> str:
        return f"TokenWatchList({amount(len(self), 'word')}, {amount(sum(map(len, self.spellings)), 'spelling')})"

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._watch

    def id(self, word: str, language: str | None = None) -> int:
        """The id of ``word`` in any spelling; ValueError when it is not watched. ``language`` as for `WatchList.id`."""
        check_text("TokenWatchList", "word", word)
        check_text("TokenWatchList", "language", language, none=True)
        return self._watch.id(word, language)

    def word_languages(self) -> WordLanguages | None:
        """What turns the matcher's hits into hits of words; None where they are the same."""
        return self._watch.word_languages()

    @property
    def texts(self) -> TokenTexts:
        """What each token writes."""
        return self._texts

    @property
    def vocab_size(self) -> int:
        """One more than the tokenizer's largest id."""
        return len(self._edges)

    @property
    def unspelled(self) -> list[str]:
        """Words without a spelling, which are found nowhere.

        The tokenizer writes them with its unknown token, as another word, or so that they cannot be told from others.
        """
        return [word for word, forms in zip(self.words, self.spellings, strict=True) if not forms]

    def identity(self) -> list[Any]:
        """What the matches depend on."""
        texts = hashlib.blake2b(digest_size=8)
        for part in (self._texts.data, self._texts.offsets, self._texts.flags, self._edges):
            texts.update(part.tobytes())
        return [self.words, [sorted(map(list, forms)) for forms in self.spellings], texts.hexdigest()]

    def matcher(self, vocab_size: int) -> _C.TokenMatcher:
        """A matcher for ids below ``vocab_size``; its word ids are the ids of this list, or turn into them.

        Where words have languages, `word_languages` turns them.
        """
        check_int("matcher", "vocab_size", vocab_size, 1, (1 << 31) - 1)
        edges = np.zeros(vocab_size, np.uint8)
        size = min(vocab_size, len(self._edges))
        edges[:size] = self._edges[:size]
        texts = self._texts.resized(vocab_size)
        return spell(self._forms, edges, texts, self._spelled.matcher(), self._leads)


def spell(
    spellings: Sequence[Sequence[Sequence[int]]],
    edges: npt.NDArray[np.uint8],
    texts: TokenTexts | None = None,
    matcher: _C.Matcher | None = None,
    leads: npt.NDArray[np.uint8] | None = None,
) -> _C.TokenMatcher:
    """A native matcher of words, each a list of spellings; ``edges`` as `token_edges` gives them.

    ``matcher`` finds the same words in text, and is asked about the edges that are not plain. ``leads`` are those of
    `spelling_leads`, which makes them for a ``matcher`` that ignores marks.
    """
    forms = [(word, list(ids)) for word, some in enumerate(spellings) for ids in some]
    ids, offsets = pack_ids([ids for _, ids in forms])
    words = np.array([word for word, _ in forms], np.int32)
    texts = texts or TokenTexts.of([], np.zeros(0, np.uint8), True)
    if leads is None:
        leads = spelling_leads(spellings, texts, "ignore") if len(texts) else np.zeros(len(forms), np.uint8)
    size, flags = len(spellings), texts.flags
    return _C.TokenMatcher(
        ids, offsets, words, leads, size, edges, texts.data, texts.offsets, flags, char_kinds(), matcher
    )


def spelling_leads(
    spellings: Sequence[Sequence[Sequence[int]]], texts: TokenTexts, marks: str
) -> npt.NDArray[np.uint8]:
    """The lead of each spelling, uint8: how many tokens come before its first letter."""
    return np.array([_lead(ids, texts, marks) for some in spellings for ids in some], np.uint8)


def _lead(ids: Sequence[int], texts: TokenTexts, marks: str) -> int:
    """Tokens of white space and of what the normal form leaves out."""
    lead, written = 0, b""
    for place, token in enumerate(ids[:255], 1):
        written += texts.text(token)
        with contextlib.suppress(UnicodeDecodeError):  # a part of a character
            if normalize(written.decode(), marks).strip():
                break
            lead = place
    return min(lead, len(ids) - 1)


def _write_their_words(watch: WatchList, texts: TokenTexts, spelled: Sequence[tuple[int, Sequence[int]]]) -> list[bool]:
    """Whether each spelling writes its word and nothing else, and is found in text beside white space and signs."""
    written = [(texts.write(ids) or b"").decode("utf-8", "replace") for _, ids in spelled]
    rows = [form.format(text) for text in written for form in (" {} ", ".{}.")]
    offsets, words, _ = watch.matcher().match(*pack_strings(rows))
    both = [
        place in words[offsets[row] : offsets[row + 1]] and place in words[offsets[row + 1] : offsets[row + 2]]
        for row, (place, _) in zip(range(0, len(rows), 2), spelled, strict=True)
    ]
    return [
        here and text in watch and watch.id(text) == place
        for here, text, (place, _) in zip(both, written, spelled, strict=True)
    ]
