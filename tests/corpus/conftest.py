"""A slow and independent reading of what the corpus wing must do, and helpers to write small corpora."""

from __future__ import annotations

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

UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}〆〼〱〲〳〴〵\u3099\u309aー]"
)
LETTER = regex.compile(r"[\p{L}\p{N}\p{M}_]")


class Oracle:
    """Occurrences by `str.find` and a look at both neighbours."""

    @staticmethod
    def normalize(text: str) -> str:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        return re.sub(r"\s+", " ", folded)

    @staticmethod
    def joins(character: str) -> bool:
        """Whether a neighbour ``character`` makes a word of a spaced script longer."""
        return bool(LETTER.match(character)) and not UNSPACED.match(character)

    @classmethod
    def occurrences(cls, word: str, text: str) -> int:
        """How often the normalized ``word`` occurs in the normalized ``text``."""
        found, at = 0, text.find(word)
        if at < 0:
            return 0
        loose = [bool(UNSPACED.match(edge) and LETTER.match(edge)) for edge in (word[0], word[-1])]
        while at >= 0:
            end = at + len(word)
            left = loose[0] or at == 0 or not cls.joins(text[at - 1])
            right = loose[1] or end == len(text) or not cls.joins(text[end])
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
