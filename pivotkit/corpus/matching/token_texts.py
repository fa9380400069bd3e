"""What each token of a vocabulary writes: its bytes, and where a tokenizer that drops white space has had some.

Bytes come from the names of tokens, as the tokenizer's decoder reads them: GPT-2's alphabet of bytes, ``▁`` for a
blank, ``<0xE4>`` for a byte, ``##`` before what continues a word, ``</w>`` behind what ends one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer
from tokenizers.models import BPE, Unigram
from tokenizers.pre_tokenizers import ByteLevel

UNKNOWN, GAP_BEFORE, GAP_AFTER, JOINS_BEFORE, JOINS_AFTER = 1, 2, 4, 8, 16  # csrc/matcher/token_texts.h

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_MARK = "▁"
_UNKNOWN_TEXT = "\u0301a\u0301".encode()  # joins whatever is beside it
_ANCHORS = ("a", "A", "1", "я")
# Neighbours that a tokenizer may cut apart, without white space between them.
_CLOSE = (
    "cat_dog", "cat2dog", "2cat", "catDog", "cat²", "½cat", "catя", "яcat", "中cat国", "cat-dog", "l'eau", "l’eau", "กa",
    "a\u0301b", "हिन्दीa", "한a글", "٣cat", "cat٣", "a.b", "a,b", "a/b", "a\u00adb", "12345", "学校", "a😀b",
)  # fmt: skip


class TokenTexts:
    """The texts of tokens by id: `data` and `offsets`, `flags`, and whether blanks are `kept` in the texts."""

    def __init__(
        self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], flags: npt.NDArray[np.uint8], kept: bool
    ) -> None:
        self.data, self.offsets, self.flags, self.kept = data, offsets, flags, kept

    @classmethod
    def of(cls, texts: Sequence[bytes], flags: npt.NDArray[np.uint8], kept: bool) -> TokenTexts:
        """Pack the texts of tokens 0, 1, ..."""
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(texts), np.uint8), offsets, flags, kept)

    def __len__(self) -> int:
        return len(self.flags)

    def text(self, token: int) -> bytes:
        """What one token writes."""
        return self.data[self.offsets[token] : self.offsets[token + 1]].tobytes()

    def write(self, ids: Sequence[int]) -> bytes | None:
        """What the tokens write one after the other; None if that cannot be told."""
        written = b""
        for place, token in enumerate(ids):
            if self.flags[token] & UNKNOWN:
                return None
            before = self.flags[ids[place - 1]] if place else 0
            gap = bool(before & GAP_AFTER or self.flags[token] & GAP_BEFORE)
            joined = bool(before & JOINS_AFTER or self.flags[token] & JOINS_BEFORE)
            if gap and joined and place:
                return None  # with a blank, or without one
            written += b" " * (gap and not joined) + self.text(token)
        return written

    def resized(self, size: int) -> TokenTexts:
        """The same for ids below ``size``; those beyond the vocabulary stand for no text, and separate."""
        more = max(0, size - len(self))
        end = self.offsets[min(size, len(self))]
        data = np.concatenate([self.data[:end], np.full(more, ord(" "), np.uint8)])
        offsets = np.concatenate([self.offsets[: size + 1], end + np.arange(1, more + 1)])
        return TokenTexts(data, offsets, np.concatenate([self.flags[:size], np.zeros(more, np.uint8)]), self.kept)


def token_texts(core: Tokenizer) -> TokenTexts:
    """The texts of all tokens of a tokenizer; ValueError for a decoder whose names of tokens cannot be read."""
    read, kept = _reader(core)
    vocabulary = core.get_vocab(with_added_tokens=True)
    texts, flags = [b""] * (max(vocabulary.values()) + 1), np.zeros(max(vocabulary.values()) + 1, np.uint8)
    for name, token in vocabulary.items():
        texts[token], flags[token] = read(name)
    added = core.get_added_tokens_decoder()
    for token, entry in added.items():
        texts[token], flags[token] = entry.content.encode(), 0 if kept else GAP_BEFORE
    for token in _unknown(core):
        texts[token], flags[token] = _UNKNOWN_TEXT, UNKNOWN | (0 if kept else GAP_BEFORE)
    found = TokenTexts.of(texts, flags, kept)
    if kept and any(_tears(core, found, text) for text in _CLOSE):
        # Blanks that the text does not have: none can be relied on.
        flags |= np.array([GAP_BEFORE * text.startswith(b" ") for text in texts], np.uint8)
        texts = [text.removeprefix(b" ") for text in texts]
        found = TokenTexts.of(texts, flags, False)
    marked = getattr(core.model, "continuing_subword_prefix", None) or getattr(core.model, "end_of_word_suffix", None)
    if not found.kept and isinstance(core.model, BPE | Unigram) and not marked:
        flags |= JOINS_BEFORE | JOINS_AFTER  # nothing tells a part of a word from a word
    elif not found.kept:
        _find_joins(core, found, texts)
    for token, entry in added.items():
        # Some tokenizers write a blank behind each added token; then nobody knows whether the text has one.
        if (
            found.kept
            and not (entry.content[-1:].isascii() and not entry.content[-1:].isalnum())
            and any(_tears(core, found, entry.content + beside) for beside in "s½")
        ):
            flags[token] |= UNKNOWN | JOINS_AFTER
    return found


def special_tokens(core: Tokenizer) -> frozenset[int]:
    """Tokens that do not stand for text: special tokens and the unknown token."""
    return _unknown(core) | {token for token, added in core.get_added_tokens_decoder().items() if added.special}


def _unknown(core: Tokenizer) -> frozenset[int]:
    if isinstance(core.model, Unigram):
        place = json.loads(core.model.__getstate__())["unk_id"]
    else:
        name = getattr(core.model, "unk_token", None)
        place = None if name is None else core.token_to_id(name)
    return frozenset() if place is None else frozenset({place})


def _reader(core: Tokenizer) -> tuple[Callable[[str], tuple[bytes, int]], bool]:
    """What reads a token's name into its bytes and flags, and whether blanks are kept in those bytes."""
    decoders, before = _parts(core.decoder, "decoders"), _parts(core.pre_tokenizer, "pretokenizers")
    kinds = {part["type"] for part in decoders}
    unread = kinds - {"ByteLevel", "ByteFallback", "BPEDecoder", "Fuse", "Metaspace", "Replace", "Strip", "WordPiece"}
    replaced = [(part["pattern"].get("String"), part["content"]) for part in decoders if part["type"] == "Replace"]
    if unread or any(pattern is None for pattern, _ in replaced):
        raise ValueError(
            "TokenWatchList: tokenizer must have a decoder of bytes, blanks or parts of words; got "
            + ", ".join(sorted(unread or {"Replace of a regular expression"}))
        )
    metaspaces = [part for part in [*decoders, *before] if part["type"] == "Metaspace"]
    replaced += [(part["replacement"], " ") for part in metaspaces]
    by_bytes = "ByteLevel" in kinds or any(part["type"] == "ByteLevel" for part in before)
    prefix = getattr(core.model, "continuing_subword_prefix", None)
    suffix = getattr(core.model, "end_of_word_suffix", None)
    kept = bool(by_bytes or replaced) and not (prefix or suffix)
    falls_back = "ByteFallback" in kinds

    def read(name: str) -> tuple[bytes, int]:
        if falls_back and (byte := _BYTE.fullmatch(name)):
            return bytes([int(byte[1], 16)]), 0
        flags = 0
        if suffix:
            flags = GAP_AFTER * name.endswith(suffix)
            name = name.removesuffix(suffix)
        elif not kept:
            flags = GAP_BEFORE * (not prefix or not name.startswith(prefix))
            name = name.removeprefix(prefix or "")
        if by_bytes and all(character in _ALPHABET for character in name):
            return bytes(_ALPHABET[character] for character in name), flags
        for pattern, content in replaced:
            name = name.replace(pattern, content)
        return name.encode("utf-8", "surrogatepass"), flags

    return read, kept


def _parts(part: Any, inside: str) -> list[dict[str, Any]]:
    """The settings of a decoder or pre-tokenizer, of each member of a sequence."""
    if part is None:
        return []
    settings = json.loads(part.__getstate__())
    return list(settings[inside]) if settings["type"] == "Sequence" else [settings]


def _alphabet() -> dict[str, int]:
    """The byte of each character of GPT-2's alphabet: printable bytes stand for themselves, the others follow 255."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    found = {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}
    assert found.keys() == set(ByteLevel.alphabet())
    return found


_ALPHABET = _alphabet()


def _tears(core: Tokenizer, texts: TokenTexts, text: str) -> bool:
    """Whether the tokens of a text without white space write some inside it."""
    ids = core.encode(text, add_special_tokens=False).ids
    written = b"".join(texts.text(token) for token in ids if not texts.flags[token] & UNKNOWN)
    return b" " in written.strip(b" ")


def _find_joins(core: Tokenizer, texts: TokenTexts, each: Sequence[bytes]) -> None:
    """Set the flags of tokens that the tokenizer cuts off from a neighbour without white space between them."""
    if not any(_cuts(encoding) for encoding in core.encode_batch(list(_CLOSE), add_special_tokens=False)):
        return
    unknown = (texts.flags & UNKNOWN) != 0
    texts.flags[unknown] |= JOINS_BEFORE | JOINS_AFTER
    tokens = [token for token in np.flatnonzero(~unknown).tolist() if each[token]]
    names = [each[token].decode("utf-8", "replace") for token in tokens]
    for anchor in _ANCHORS:
        before = core.encode_batch([anchor + name for name in names], add_special_tokens=False)
        after = core.encode_batch([name + anchor for name in names], add_special_tokens=False)
        for token, name, first, second in zip(tokens, names, before, after, strict=True):
            texts.flags[token] |= JOINS_BEFORE * (len(anchor) in _cuts(first))
            texts.flags[token] |= JOINS_AFTER * (len(name) in _cuts(second))


def _cuts(encoding: Encoding) -> set[int]:
    """Where a text was cut before the model saw its parts, other than at its end."""
    ends = zip(encoding.word_ids, encoding.offsets, strict=True)
    return {start for (a, (_, end)), (b, (start, _)) in pairwise(ends) if a != b and start == end}
