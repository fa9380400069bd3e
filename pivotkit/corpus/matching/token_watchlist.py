"""The words to look for in token ids: every spelling that a tokenizer gives them, and where a spelling may stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from pivotkit import _C
from pivotkit._text import pack_ids
from pivotkit.arguments import check_int, check_kind, check_strings, check_text
from pivotkit.corpus.matching.unicode_data import WORD, char_classes
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.amounts import amount
from pivotkit.words.word_tokens import TokenPolicy

LEFT, RIGHT = 1, 2
EVERY_CASE = TokenPolicy(case="all")


class TokenWatchList:
    """Words as sequences of token ids, several sequences per word.

    A word occurs where one of its spellings does and both edges are free. An edge is not free when the characters on
    both sides of it are letters, numbers, marks or underscores of scripts with spaces. So `` cat`` is not found in ``
    cats`` written as `` cat`` + ``s``. A leading space or a script without spaces frees an edge.

    Parameters
    ----------
    words : iterable of str
        As for `WatchList`; ids follow the order of first appearance.
    tokenizer : fast Hugging Face tokenizer or ``tokenizers.Tokenizer``
    policy : TokenPolicy, default TokenPolicy(case="all")
        Its ``space`` and ``case`` say which spellings are looked for. The default is with and without a leading space;
        as given, with the first letter in the other case, all upper case and all lower case.

    Attributes
    ----------
    words : list[str]
        The distinct normalized words by id.
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
    Some tokenizers join a word and its neighbour, such as a quotation mark, into one token. Such occurrences are missed
    in tokens; `count` on text finds them.
    """

    def __init__(self, words: Iterable[str], tokenizer: Any, policy: TokenPolicy = EVERY_CASE) -> None:
        core = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not isinstance(core, Tokenizer):
            raise TypeError(f"TokenWatchList: tokenizer must be a fast tokenizer; got {type(tokenizer).__name__}")
        check_kind("TokenWatchList", "policy", policy, TokenPolicy, "a TokenPolicy")
        given = check_strings("TokenWatchList", "words", words, "an iterable of str")
        watch = WatchList(given)
        spelled: dict[int, dict[str, None]] = {}
        for word in given:
            spelled.setdefault(watch.id(word), {}).update(dict.fromkeys(policy.spellings(word)))
        flat = [(place, spelling) for place, forms in sorted(spelled.items()) for spelling in forms]
        encoded = core.encode_batch_fast([spelling for _, spelling in flat], add_special_tokens=False)
        special = _special(core)
        self._watch = watch
        self.words, self.marks = watch.words, watch.marks
        self.spellings: list[list[tuple[int, ...]]] = [[] for _ in watch.words]
        owner: dict[tuple[int, ...], int] = {}
        for (place, _), encoding in zip(flat, encoded, strict=True):
            ids = tuple(encoding.ids)
            if not ids or special.intersection(ids) or owner.setdefault(ids, place) != place:
                continue  # empty, with the unknown token, or a spelling of an earlier word, which keeps it
            if ids not in self.spellings[place]:
                self.spellings[place].append(ids)
        self._edges = token_edges(core)

    def __repr__(self) -> str:
        return f"TokenWatchList({amount(len(self), 'word')}, {amount(sum(map(len, self.spellings)), 'spelling')})"

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._watch

    def id(self, word: str) -> int:
        """The id of ``word`` in any spelling; ValueError when it is not watched."""
        check_text("TokenWatchList", "word", word)
        return self._watch.id(word)

    @property
    def vocab_size(self) -> int:
        """One more than the tokenizer's largest id."""
        return len(self._edges)

    @property
    def unspelled(self) -> list[str]:
        """Words that the tokenizer writes only with its unknown token; they are found nowhere."""
        return [word for word, forms in zip(self.words, self.spellings, strict=True) if not forms]

    def identity(self) -> list[Any]:
        """What the matches depend on."""
        return [self.words, [sorted(map(list, forms)) for forms in self.spellings]]

    def matcher(self, vocab_size: int) -> _C.TokenMatcher:
        """A matcher whose word ids are the ids of this list, for ids below ``vocab_size``."""
        check_int("matcher", "vocab_size", vocab_size, 1, (1 << 31) - 1)
        edges = np.zeros(vocab_size, np.uint8)
        size = min(vocab_size, len(self._edges))
        edges[:size] = self._edges[:size]
        return spell(self.spellings, edges)


def spell(spellings: Sequence[Sequence[Sequence[int]]], edges: npt.NDArray[np.uint8]) -> _C.TokenMatcher:
    """A native matcher of words, each a list of spellings; ``edges`` as `token_edges` gives them."""
    forms = [(word, list(ids)) for word, some in enumerate(spellings) for ids in some]
    ids, offsets = pack_ids([ids for _, ids in forms])
    return _C.TokenMatcher(ids, offsets, np.array([word for word, _ in forms], np.int32), len(spellings), edges)


def token_edges(core: Tokenizer) -> npt.NDArray[np.uint8]:
    """The edges (`LEFT`, `RIGHT`) of each token at which its text has a word character of a script with spaces.

    The text of a token is what it adds to a text before it, so a leading space is seen. A token that is a fragment of a
    character has no such edge.
    """
    vocabulary: Mapping[str, int] = core.get_vocab(with_added_tokens=True)
    size = max(vocabulary.values()) + 1
    anchor = core.encode("a", add_special_tokens=False).ids
    before = len(core.decode(anchor, skip_special_tokens=False))
    texts = core.decode_batch([[*anchor, token] for token in range(size)], skip_special_tokens=False)
    classes = char_classes()
    special = _special(core)
    edges = np.zeros(size, np.uint8)
    for token, text in enumerate(texts):
        own = text[before:]
        if own and token not in special:
            edges[token] = LEFT * (classes[ord(own[0])] == WORD) | RIGHT * (classes[ord(own[-1])] == WORD)
    return edges


def _special(core: Tokenizer) -> frozenset[int]:
    """Tokens that do not stand for text: special tokens and the unknown token."""
    found = {token for token, added in core.get_added_tokens_decoder().items() if added.special}
    unknown = getattr(core.model, "unk_token", None)
    place = None if unknown is None else core.token_to_id(unknown)
    if place is not None:
        found.add(place)
    return frozenset(found)
