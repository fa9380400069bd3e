"""A slow and independent reading of what the corpus wing must do, and helpers to write small corpora."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import regex
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

# `regex` has its own Unicode data. In these scripts a line may break between any two letters or syllables.
SCRIPTS = (
    "Han Hiragana Katakana Bopomofo Yi Nushu Tangut Thai Lao Khmer Myanmar Tai_Le New_Tai_Lue Tai_Tham Tai_Viet Ahom"
)
ORTHOGRAPHIC = "Balinese Batak Brahmi Cham Dives_Akuru Grantha Gurung_Khema Javanese Kawi Makasar Tulu_Tigalari"
UNSPACED = regex.compile(
    "["
    + "".join(rf"\p{{{name}}}" for name in f"{SCRIPTS} {ORTHOGRAPHIC}".split())
    + "〆〼〱〲〳〴〵\u302a-\u302d\u3099\u309aー]"
)
LETTER = regex.compile(r"[\p{L}\p{Nd}\p{Nl}\p{M}_]")
MARK = regex.compile(r"[\p{M}\p{Emoji_Modifier}\u200d\U000e0020-\U000e007f]")
STACKED = regex.compile(r"[\p{InSC=Virama}\p{InSC=Invisible_Stacker}]\p{M}*\p{L}")
STACKING = regex.compile(
    r"[\p{Balinese}\p{Brahmi}\p{Dives_Akuru}\p{Grantha}\p{Javanese}\p{Kawi}\p{Khmer}\p{Myanmar}\p{Tai_Tham}"
    r"\p{Tulu_Tigalari}]"
)
SIGNS = {
    sign: form
    for form, signs in {
        "'": "’‘‛ʼʻʽʹʾʿ՚׳´΄′᾽ꞌꞋ＇",
        '"': "“”‟״＂",
        "-": "‐‑‒–−֊־᐀᠆⸗⸚⹀⹝゠﹣－",
        "·": "‧·•∙⋅⸱・･ꞏ",
    }.items()
    for sign in signs
}
SIGN = regex.compile("[" + "".join(SIGNS) + "]")
IGNORABLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
ABJAD = regex.compile(r"(?V1)[[\p{Arabic}\p{Hebrew}\u064b-\u0655\u0670]&&\p{Mn}]")


class Oracle:
    """Occurrences by `str.find` and a look at both neighbours."""

    @classmethod
    def normalize(cls, text: str, marks: str = "ignore") -> str:
        text = cls._fold(IGNORABLE.sub(cls._kept, text), marks)
        return re.sub(r"\s+", " ", cls._fold(text.casefold(), marks))

    @staticmethod
    def _kept(run: regex.Match[str]) -> str:
        before, after = run.string[: run.start()][-1:], run.string[run.end() :][:1]
        if not before or not regex.match(r"[\p{Extended_Pictographic}\p{Emoji_Modifier}]", before) or before in "‼⁉ℹⓂ":
            return ""
        tags = regex.sub(r"[^\U000e0020-\U000e007f]", "", run[0])
        joined = "\u200d" in run[0] and regex.match(r"\p{Extended_Pictographic}", after) and after not in "‼⁉ℹⓂ"
        return tags + "\u200d" * bool(joined)

    @classmethod
    def _fold(cls, text: str, marks: str) -> str:
        """Compatibility decomposition character by character, then composition; a dot above an i is none."""
        parts = "".join(map(cls._parts, unicodedata.normalize("NFD", text)))
        parts = SIGN.sub(lambda sign: SIGNS[sign[0]], parts).replace("ı", "i").replace("\u0640", "")
        if marks == "ignore":
            parts = ABJAD.sub("", parts)
        parts = unicodedata.normalize("NFD", parts)
        dotted = r"(i(?:(?![\p{ccc=0}\p{ccc=230}])\p{M})*)\u0307+"
        return unicodedata.normalize("NFC", regex.sub(dotted, r"\1", parts))

    @staticmethod
    @functools.cache
    def _parts(char: str) -> str:
        parts = unicodedata.normalize("NFKD", char)
        if char in SIGNS or parts == unicodedata.normalize("NFD", char):
            return char
        category = unicodedata.category(char)
        if category[0] in "SP" or category == "No":
            return char if any(unicodedata.category(part)[0] in "LMN" for part in parts) else parts
        if category[0] == "L":
            return char if char in "ゟヿ" else parts.lstrip(" ")
        return parts

    @staticmethod
    def joins(character: str) -> bool:
        """Whether a neighbour ``character`` makes a word of a spaced script longer."""
        return bool(LETTER.match(character)) and not UNSPACED.match(character)

    @staticmethod
    @functools.lru_cache(1000)
    def cuts(text: str) -> set[int]:
        """Places inside a grapheme cluster."""
        whole = {at for cluster in regex.finditer(r"\X", text) for at in range(cluster.start() + 1, cluster.end())}
        whole |= {mark.start() for mark in MARK.finditer(text)}
        for found in STACKED.finditer(text, overlapped=True):
            if UNSPACED.match(found[0][0]) and STACKING.match(found[0][-1]):
                whole.add(found.end() - 1)
        pairs = regex.finditer(r"[\u0e4d\u0ecd]\p{M}*[\u0e32\u0eb2]|\u0eab[\u0e99\u0ea1]", text, overlapped=True)
        whole |= {found.end() - 1 for found in pairs}
        return {at for at in whole if not text[at].isspace()}

    @classmethod
    def binds(cls, text: str) -> bool:
        """Whether ``text`` ends in a word of a script with spaces. Marks count with what they follow."""
        if not text or not cls.joins(text[-1]):
            return False
        if not MARK.match(text[-1]):
            return True
        bare = regex.sub(r"(?V1)[\p{M}--\p{Me}]+$", "", text[-50:])
        return bool(bare) and cls.joins(bare[-1]) and not MARK.match(bare[-1])

    @staticmethod
    def is_unspaced(character: str) -> bool:
        return bool(LETTER.match(character) and UNSPACED.match(character))

    @classmethod
    def occurrences(cls, word: str, text: str) -> int:
        """How often the normalized ``word`` occurs in the normalized ``text``."""
        found, at, cuts = 0, text.find(word), cls.cuts(text) if word in text else set()
        while at >= 0:
            end = at + len(word)
            left = not MARK.match(word[0])
            if left and not cls.is_unspaced(word[0]):
                left = not cls.binds(text[:at])
            if left and not cls.joins(word[0]):
                left = at not in cuts
            right, enclosed = True, unicodedata.category(word[-1]) == "Me"
            if not enclosed and not cls.is_unspaced(word[-1]):
                right = end == len(text) or not cls.joins(text[end])
            if right and (enclosed or not cls.joins(word[-1])):
                right = end not in cuts
            found += left and right
            at = text.find(word, at + 1)
        return found


@pytest.fixture(scope="session")
def oracle() -> type[Oracle]:
    return Oracle


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write texts as one JSONL file below ``tmp_path``."""

    def write_file(texts: list[str], name: str = "a.jsonl", lang: str = "en") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"text": text, "lang": lang, "id": f"{name}/{i}"}) + "\n" for i, text in enumerate(texts)]
        path.write_text("".join(lines), encoding="utf-8")
        return path

    return write_file


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A tokenizer of a few words, everything else unknown."""
    words = ["[UNK]", "the", "a", "cat", "dog", "chat", "chien", "tree", "arbre", "and", "et", "猫", "犬", ".", ","]
    core = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = Whitespace()
    return core
