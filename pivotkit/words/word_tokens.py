"""Which tokens a word can be: the sets whose probability mass and ranks a trace records."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

_BYTE_LEVEL = ByteLevel(add_prefix_space=False, use_regex=False)  # how a byte-level vocabulary writes text
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")  # how a byte-fallback vocabulary does
_FRAGMENT = "\N{REPLACEMENT CHARACTER}"  # what a part of a character decodes to


@dataclass(frozen=True)
class TokenPolicy:
    """Which tokens stand for a word. The default is what `trace` records.

    Attributes
    ----------
    space : {"both", "with", "without"}, default "both"
        Spellings with and without a leading space, or one of the two.
    case : {"first", "given", "all"}, default "first"
        Spellings as given and with the first letter in the other case; as given alone; those two, all upper and all lower.
    pieces : {"first", "prefixes", "all"}, default "first"
        The first piece of each spelling; also every token that is a beginning of a spelling (``d``, ``do`` for ``dog``),
        its first bytes included; or every piece of each spelling.
    bytes : {"keep", "drop"}, default "keep"
        Whether tokens that are only a part of a character, ``<0xE4>`` say, are kept. Every word that begins with the same
        bytes shares them. Dropping them can leave a set empty; nothing is put in their place.

    Raises
    ------
    ValueError
        A field is none of its values.
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
        return asdict(self)

    def spellings(self, word: str) -> list[str]:
        """The strings that say ``word``, each once."""
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
    """Token ids of words under one tokenizer.

    Pieces that are blank (a bare space before a Chinese word, say) and special tokens belong to no word.

    Parameters
    ----------
    tokenizer : a Hugging Face tokenizer
    policy : TokenPolicy, optional
        Which spellings and which of their tokens `first` holds; by default the first piece of four spellings: with and
        without a leading space, as given and with the first letter in the other case.

    Notes
    -----
    A byte-level tokenizer may cut a character between pieces. The default keeps the first piece of such a word, because
    nothing else stands for the word at the answer position; every word that begins with the same bytes shares it, and
    `shared_start` says so. `pieces` and `overlap` are the published code's and depend on no policy.
    """

    def __init__(self, tokenizer: Any, policy: TokenPolicy | None = None) -> None:
        self.policy = policy or TokenPolicy()
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        self.text = functools.cache(self._text)
        self.first = functools.cache(self._first)
        self.family = functools.cache(self._family)
        self.pieces = functools.cache(self._pieces)

    def overlap(self, source: str, target: str) -> bool:
        """Whether the two words share a piece, so that the paper's rule leaves the pair out."""
        return not set(self.pieces(source)).isdisjoint(self.pieces(target))

    def shared_start(self, word: str) -> bool:
        """Whether ``word`` begins with a fragment of a character, so that its first piece belongs to other words too."""
        return any(_FRAGMENT in self.text(token) for token in self.first(word))

    def _encode(self, text: str) -> list[int]:
        """The pieces of ``text`` that say something: neither blank nor special, as the unknown token is."""
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        return [token for token in ids if token not in self._special and self.text(token).strip()]

    def _text(self, token: int) -> str:
        """The token as text; a fragment of a character shows as U+FFFD."""
        return str(self._tokenizer.decode([token]))

    def _pieces(self, word: str) -> tuple[int, ...]:
        """The ids of ``" word"`` without blank pieces, in order."""
        return tuple(self._encode(f" {word}"))

    def _first(self, word: str) -> tuple[int, ...]:
        """The ids that stand for ``word`` under the policy, ascending; by default those it can begin with."""
        found: set[int] = set()
        for spelling in self.policy.spellings(word):
            pieces = self._encode(spelling)
            found.update(pieces if self.policy.pieces == "all" else pieces[:1])
            if self.policy.pieces == "prefixes":
                found.update(self._prefixes(spelling))
        return tuple(sorted(token for token in found if self.policy.bytes == "keep" or not self._is_fragment(token)))

    def _family(self, word: str) -> tuple[int, ...]:
        """Every id that any spelling of ``word`` uses, ascending."""
        return tuple(sorted({token for spelling in self.policy.spellings(word) for token in self._encode(spelling)}))

    def _prefixes(self, spelling: str) -> Iterator[int]:
        """Tokens of the vocabulary that are a beginning of ``spelling``.

        A vocabulary may write a space as it is or as ``▁``, or every byte as a character of its own, or a lone byte as
        ``<0xE4>``. All are looked up, and the decoded token tells whether this vocabulary means by it what it says.
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
