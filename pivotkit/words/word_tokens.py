"""Which tokens stand for a word: the sets whose probability a trace records."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

from pivotkit.words.telling import telling_piece
from pivotkit.words.token_classes import alike, folded, is_whole_word

_BYTE_LEVEL = ByteLevel(add_prefix_space=False, use_regex=False)  # spells text as a byte-level vocabulary does
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")  # a lone byte in a byte-fallback vocabulary
_SPACE = "▁"  # before a word, in a vocabulary of SentencePiece
_FRAGMENT = "\N{REPLACEMENT CHARACTER}"  # what a part of a character decodes to


@dataclass(frozen=True)
class TokenPolicy:
    """The rule that decides which tokens stand for a word. `trace` uses the default.

    Attributes
    ----------
    space : {"both", "with", "without"}, default "both"
        Spellings with a leading space, without one, or both.
    case : {"first", "given", "all"}, default "first"
        ``"given"`` takes the word as given; ``"first"`` adds the word with its first letter in the other case;
        ``"all"`` adds all upper case and all lower case.
    pieces : {"first", "prefixes", "all"}, default "first"
        ``"first"`` takes the first piece of each spelling, in a trace the first that tells the word apart;
        ``"prefixes"`` adds every token that begins a spelling (``d``, ``do`` for ``dog``), its first bytes included;
        ``"all"`` takes every piece of each spelling.
    bytes : {"keep", "drop"}, default "keep"
        Whether to keep tokens that are only part of a character, such as ``<0xE4>``. All words that begin with the same
        bytes share the first ones; the last byte of a character tells it where those before it are given. Dropping
        them can leave a set empty.

    Raises
    ------
    ValueError
        A field has another value.
    """

    space: str = "both"
    case: str = "first"
    pieces: str = "first"
    bytes: str = "keep"

    def __post_init__(self) -> None:
        for name, values in POLICIES.items():
            if getattr(self, name) not in values:
                raise ValueError(f"TokenPolicy: {name} must be one of {', '.join(values)}; got {getattr(self, name)!r}")

    def as_dict(self) -> dict[str, str]:
        """The four fields by name, for metadata."""
        return asdict(self)

    def spellings(self, word: str) -> list[str]:
        """The spellings of ``word``, each once."""
        cases = [word]
        if self.case != "given":
            cases.append(word[:1].swapcase() + word[1:])
        if self.case == "all":
            cases += [word.upper(), word.lower()]
        spaces = {"both": (" ", ""), "with": (" ",), "without": ("",)}[self.space]
        return list(dict.fromkeys(space + case for case in cases for space in spaces))


POLICIES = {
    "space": ("both", "with", "without"),
    "case": ("first", "given", "all"),
    "pieces": ("first", "prefixes", "all"),
    "bytes": ("keep", "drop"),
}


class WordTokens:
    """The token ids of words under one tokenizer.

    Blank pieces (such as the space that some tokenizers put before a Chinese word) and special tokens belong to no
    word.

    Parameters
    ----------
    tokenizer : a Hugging Face tokenizer
    policy : TokenPolicy, optional
        Decides which tokens `first` gives. By default the first piece of four spellings: with and without a leading
        space, as given and with the first letter in the other case.

    Notes
    -----
    ``first(word)`` gives the tokens that can begin the word under the policy, ``telling(word, appended)`` those that
    tell it apart, ``family(word)`` every token of its spellings, ``pieces(word)`` the tokens of ``" word"`` in order,
    ``text(token)`` a token as text, ``joined(tokens)`` several. Results are cached.

    A byte-level tokenizer may split a character between pieces, and a rare word may begin with a single letter. Many
    words share such a first piece; `shared_start` detects bytes. So a spelling is read at its first piece that tells
    (`telling_piece`), where what comes before it is nothing or the pieces ``appended`` to the prompt. A spelling that
    begins with other shared pieces cannot stand there, and has no token in the set, which may be empty. ``"all"`` and
    ``"prefixes"`` ask for shared pieces and keep them. `pieces` and `overlap` follow the published code and ignore the
    policy.
    """

    def __init__(self, tokenizer: Any, policy: TokenPolicy | None = None) -> None:
        self.policy = policy or TokenPolicy()
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        self.text = functools.cache(self._text)
        self.first = functools.cache(self._first)
        self.telling = functools.cache(self._telling)
        self.family = functools.cache(self._family)
        self.pieces = functools.cache(self._pieces)

    def __repr__(self) -> str:
        return f"WordTokens({type(self._tokenizer).__name__}, {self.policy})"

    def overlap(self, source: str, target: str) -> bool:
        """Whether the two words share a piece, so that the paper's rule excludes the pair."""
        return not set(self.pieces(source)).isdisjoint(self.pieces(target))

    def shared_start(self, word: str) -> bool:
        """Whether ``word`` begins with a fragment of a character, so that other words share its first piece."""
        return any(_FRAGMENT in self.text(token) for token in self.first(word))

    def whole_word(self, token: int) -> bool:
        """Whether a token is a word by itself (`is_whole_word`), and no piece, number or sign."""
        return token not in self._special and is_whole_word(self.text(token))

    def variant(self, token: int, word: str) -> bool:
        """Whether a token spells ``word``, a form of it or its beginning (`alike`)."""
        return alike(folded(self.text(token)), word)

    def joined(self, tokens: Sequence[int]) -> str:
        """Several tokens as one text, empty for none."""
        return str(self._tokenizer.decode(list(tokens))) if tokens else ""

    def _encode(self, text: str) -> list[int]:
        """The pieces of ``text`` that are neither blank nor special; the unknown token is special."""
        return self._solid(self._tokenizer.encode(text, add_special_tokens=False))

    def _solid(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token not in self._special and self.text(token).strip()]

    def _text(self, token: int) -> str:
        """The token as text, with the space that begins a word; U+FFFD stands for a fragment of a character."""
        text, name = str(self._tokenizer.decode([token])), str(self._tokenizer.convert_ids_to_tokens(token))
        return f" {text}" if name.startswith(_SPACE) and not text[:1].isspace() else text  # some drop the first space

    def _pieces(self, word: str) -> tuple[int, ...]:
        """The ids of ``" word"`` in order, without blank pieces."""
        return tuple(self._encode(f" {word}"))

    def _first(self, word: str) -> tuple[int, ...]:
        """The ids that stand for ``word`` under the policy, ascending; by default those that can begin it."""
        found: set[int] = set()
        for spelling in self.policy.spellings(word):
            pieces = self._encode(spelling)
            found.update(pieces if self.policy.pieces == "all" else pieces[:1])
            if self.policy.pieces == "prefixes":
                found.update(self._prefixes(spelling))
        return self._kept(found)

    def _telling(self, word: str, appended: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The ids that tell ``word`` apart behind the pieces ``appended`` to the prompt, ascending."""
        found = set() if self.policy.pieces == "first" else set(self.first(word))
        before = tuple(self._solid(appended))
        for spelling in self.policy.spellings(word):
            if pieces := self._encode(spelling):
                at = telling_piece(self._tokenizer, pieces)
                if tuple(pieces[:at]) in ((), before):
                    found.add(pieces[at])
        return self._kept(found)

    def _kept(self, found: set[int]) -> tuple[int, ...]:
        """What the policy keeps of some ids, ascending."""
        return tuple(sorted(token for token in found if self.policy.bytes == "keep" or not self._is_fragment(token)))

    def _family(self, word: str) -> tuple[int, ...]:
        """Every id that any spelling of ``word`` uses, ascending."""
        return tuple(sorted({token for spelling in self.policy.spellings(word) for token in self._encode(spelling)}))

    def _prefixes(self, spelling: str) -> Iterator[int]:
        """Tokens of the vocabulary that begin ``spelling``.

        A vocabulary may write a space as a space or as ``▁``, every byte as a character of its own, or a lone byte as
        ``<0xE4>``. All forms are looked up; decoding the token shows whether the vocabulary uses that form.
        """
        raw = spelling.encode()
        written = "".join(piece for piece, _ in _BYTE_LEVEL.pre_tokenize_str(spelling))
        starts = [spelling[:end] for end in range(1, len(spelling) + 1)]
        meant = [(start.replace(" ", space), start) for start in starts for space in " ▁"]
        meant += [(written[:end], raw[:end].decode(errors="replace")) for end in range(1, len(raw) + 1)]
        meant.append((f"<0x{spelling.strip().encode()[:1].hex().upper()}>", _FRAGMENT))
        for name, text in meant:
            token = self._vocabulary.get(name)
            if token is not None and self.text(token).strip() == text.strip() != "":
                yield token

    @functools.cached_property
    def _vocabulary(self) -> dict[str, int]:
        special = self._special
        return {name: token for name, token in self._tokenizer.get_vocab().items() if token not in special}

    def _is_fragment(self, token: int) -> bool:
        name = str(self._tokenizer.convert_ids_to_tokens(token))
        return _FRAGMENT in self.text(token) or _BYTE_TOKEN.fullmatch(name) is not None
