"""Words are never counted in the tokens of a text that does not have them, whatever the language and the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import zstandard
from alphabets import LANGUAGES, make_text, make_words
from token_counts import by_text, by_tokens, invented
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from pivotkit.corpus import TokenWatchList

REAL = ("smollm2-135m", "gemma3-270m")
SMALL_LANGUAGES = ("en", "vi", "hi", "ko", "th", "zh", "ja", "he")


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest, real_models: Path) -> Tokenizer:
    path = real_models / request.param / "tokenizer.json"
    if not path.exists():
        pytest.skip(f"{request.param} is absent")
    return Tokenizer.from_file(str(path))


LONGER = [
    ("집", "집은"), ("물", "물이"), ("कम", "कमल"), ("হাত", "হাতি"), ("வீடு", "வீடுகள்"), ("שלו", "שלום"), ("hoa", "hoaẽ"), ("th", "thờ"),
    ("tr", "trẻ"), ("t", "tŷ"), ("cat", "cat\u0301"), ("cat", "catहै"), ("cat", "cat٣"),  # and the same from the other side:
    ("은", "집은"), ("मल", "कमल"), ("லகம்", "உலகம்"), ("hoa", "ẽhoa"), ("cat", "٣cat"), ("cat", "हैcat"), ("cat", "𐍈cat"),
    ("cat", "cat𐍈"), ("cat", "cat\u0323\u0301"), ("e", "e\u0301"), ("cafe", "cafe\u0301"), ("가", "가\u11a8"), ("カ", "カﾞ"), ("か", "か\u3099"),
    ("dom", "domя"), ("дом", "домӽ"), ("बा", "बाळ"), (".net", "asp.net"), ("c++", "c++x"),
]  # fmt: skip
WHOLE = [
    ("집", "집"), ("집", "큰 집, 집"), ("कम", "कम।"), ("hoa", "(hoa)"), ("猫", "小猫咪"), ("cat", "这是cat吗"), ("cat", "ẽ cat ẽ"),
    ("cat", "cat😀"), ("cat", "😀cat"), ("หมู", "กินหมู"), ("שלום", "“שלום”"), ("дом", "дом—дом"), ("hoaẽ", "hoaẽ"),
]  # fmt: skip


@pytest.fixture(scope="module")
def watch(real: Tokenizer) -> TokenWatchList:
    """All the words at once: a watch list of a large vocabulary takes seconds."""
    return TokenWatchList([word for word, _ in LONGER + WHOLE], real)


@pytest.mark.parametrize(("word", "text"), LONGER)
def test_a_word_is_not_found_in_a_longer_one(real: Tokenizer, watch: TokenWatchList, word: str, text: str) -> None:
    assert invented(watch, real, [text, f" {text}", f"a {text} b", f"{text}.", f"{text}{text}"]) == []
    assert by_tokens(watch, real, [text, f" {text}"])[:, watch.id(word)].tolist() == [0, 0]


@pytest.mark.parametrize(("word", "text"), WHOLE)
def test_a_whole_word_is_found_beside_parts_of_characters(
    real: Tokenizer, watch: TokenWatchList, word: str, text: str
) -> None:
    found, right = (
        one[0, watch.id(word)] for one in (by_tokens(watch, real, [f" {text}"]), by_text(watch, [f" {text}"]))
    )
    assert found == right > 0


# What binds a word from afar, or is nothing where it looks like a letter.
HOSTILE = [
    ("ຫ", "ຫນ"), ("ນ", "ຫນ"), ("ມ", "ຫມ"), ("猫", "猫\u115f\u0301"), ("ក", "ស\u17d2\u115fក"), ("猫", "猫\u1160\u0301"),
    ("猫", "猫" + "\u200b" * 12 + "\u0301"), ("猫", "猫" + "\u200b" * 40 + "\u0301"), ("ក", "ស\u17d2" + "\u200b" * 12 + "ក"),
    ("ក", "hello hello ស\u17d2" + "\u17bb" * 12 + "ក"), ("ក", "hello ស\u17d2" + "\u17bb" * 60 + "ក"), ("า", "ก\u0e4d" + "\u200b" * 12 + "า"),
    ("🇫🇷", "hello " + "🇦" * 9 + "🇫🇷"), ("🇫🇷", "hello " + "🇦" * 31 + "🇫🇷"), ("👩\u200d", "👩\u200d〰"), ("👩\u200d", "👩\u200d↔"),
    ("\u200d〰", "〰\u200d〰"), ("cat", "cat-\u0301"), ("cat", "’\u0301cat\u0301"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "text"), HOSTILE)
def test_what_binds_from_afar_is_not_overlooked(hostile: TokenWatchList, real: Tokenizer, word: str, text: str) -> None:
    assert invented(hostile, real, [text, f" {text}", f"a {text} b", text * 3, f"{text} " * 30]) == []


@pytest.fixture(scope="module")
def hostile(real: Tokenizer) -> TokenWatchList:
    return TokenWatchList([word for word, _ in HOSTILE if word.strip("\u200d〰")] + ["〰"], real)


def test_flags_and_letters_near_what_binds_are_found(real: Tokenizer) -> None:
    watch = TokenWatchList(["🇫🇷", "猫", "cat"], real)
    texts = ["hello 🇩🇪🇫🇷", "小猫咪 “猫”", "😀cat", "cat — cat’s"]
    assert by_tokens(watch, real, texts).tolist() == by_text(watch, texts).tolist()


def test_an_added_token_that_gets_a_blank_behind_it_binds_what_follows() -> None:
    core = Tokenizer(
        models.BPE({letter: at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    )
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    core.add_tokens([AddedToken(text, normalized=False) for text in ("👩", "👍", "สี")])
    assert invented(TokenWatchList(["👩", "👍", "สี"], core), core, ["👩\u200d🚀", "👍🏽", "สี่", "a 👍🏽"]) == []


def test_an_unknown_token_may_bind_across_what_cannot_be_seen() -> None:
    letters = ["<unk>", *"សក\u200b🇧🇨🇫🇷a "]
    core = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, [], unk_token="<unk>"))
    core.decoder = decoders.Replace("▁", " ")
    assert invented(TokenWatchList(["ក", "🇫🇷"], core), core, ["ស\u17d2\u200bក", "🇦🇧🇨🇫🇷", "a 🇦🇫🇷", "កa"]) == []


@pytest.mark.parametrize("seed", range(2))
def test_tokens_of_made_texts_have_no_more_words_than_the_texts(real: Tokenizer, seed: int) -> None:
    rng = Random(seed)
    words = {language: make_words(language, 24, rng) for language in LANGUAGES}
    watch = TokenWatchList([word for some in words.values() for word in some], real)
    texts = [make_text(words[language], language, rng) for language in LANGUAGES for _ in range(60)]
    assert invented(watch, real, texts) == []
    found, right = by_tokens(watch, real, texts).sum(), by_text(watch, texts).sum()
    assert found > 0.9 * right, "and most are found"


def test_tokens_of_real_texts_have_no_more_words_than_the_texts(real: Tokenizer, shared: Path) -> None:
    rows = (shared / "data/lexicon/words_2000.tsv").read_text("utf-8").splitlines()[1:500]
    watch = TokenWatchList(
        [form for row in rows for cell in row.split("\t")[:4] for form in cell.split("|") if form], real
    )
    texts: list[str] = []
    for language in ("en", "fr", "de", "es", "ja", "zh"):
        with zstandard.open(shared / f"data/corpus/{language}.jsonl.zst", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line, _ in zip(lines, range(60), strict=False)]
    texts += (shared / "data/parallel/udhr.tsv").read_text("utf-8").splitlines()
    assert invented(watch, real, texts) == []


def _byte_level(texts: list[str]) -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False))
    return core


def _normalizing_bytes(texts: list[str]) -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)])
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    return core


def _byte_fallback(texts: list[str]) -> Tokenizer:
    """As Gemma: ▁ for blanks, letters that are not known as <0x..>."""
    some = sorted({letter for text in texts for letter in text if ord(letter) % 3})
    names = list(dict.fromkeys([f"<0x{byte:02X}>" for byte in range(256)] + some + ["▁"]))
    names = ["<unk>", *[name for name in names if name != " "]]
    core = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [], unk_token="<unk>", byte_fallback=True))
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return core


def _metaspace(texts: list[str], scheme: str = "always") -> Tokenizer:
    """As T5: pieces of known letters, and one token for all others."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    core.decoder = decoders.Metaspace(prepend_scheme=scheme)
    known = ["".join(letter for letter in text if ord(letter) % 5) for text in texts]
    core.train_from_iterator(
        known, trainers.UnigramTrainer(vocab_size=900, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    )
    return core


def _false_blanks(texts: list[str]) -> Tokenizer:
    """Every part that punctuation cuts off gets a blank of its own."""
    core = _metaspace(texts)
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.Metaspace()])
    return core


def _added_words(texts: list[str]) -> Tokenizer:
    """As a tokenizer of Llama 2 with added words: the text behind each gets a blank."""
    core = _metaspace(texts)
    core.add_tokens(["cat", "the", AddedToken("dog", single_word=True), "<b>", "ab"])
    return core


def _word_pieces(texts: list[str], lowercase: bool = True) -> Tokenizer:
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=False)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=900, special_tokens=["[UNK]"], show_progress=False, limit_alphabet=300
    )
    core.train_from_iterator(texts, trainer)
    return core


def _word_ends(texts: list[str]) -> Tokenizer:
    """As the first GPT: </w> ends a word."""
    core = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False, limit_alphabet=300
    )
    core.train_from_iterator(texts, trainer)
    return core


def _whole_words(texts: list[str]) -> Tokenizer:
    core = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.train_from_iterator(
        texts, trainers.WordLevelTrainer(vocab_size=600, special_tokens=["[UNK]"], show_progress=False)
    )
    return core


def _no_blanks(texts: list[str]) -> Tokenizer:
    core = Tokenizer(models.BPE(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=700, special_tokens=["[UNK]"], show_progress=False, limit_alphabet=300)
    )
    return core


MAKERS = [
    _byte_level, _normalizing_bytes, _byte_fallback, _metaspace, _false_blanks, _added_words, _word_pieces, _word_ends,
    _whole_words, _no_blanks,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("seed", range(2))
def test_tokens_of_any_tokenizer_have_no_more_words_than_the_text_it_reads(
    make: Callable[[list[str]], Tokenizer], seed: int
) -> None:
    rng = Random(seed)
    words = {language: make_words(language, 18, rng) for language in SMALL_LANGUAGES}
    words["en"] += ["cat", "the", "dog", "ab", "new york", "cat-dog", "l'eau", "a_b", "2cat"]
    texts = [make_text(words[language], language, rng, 9) for language in SMALL_LANGUAGES for _ in range(80)]
    core = make(texts)
    watch = TokenWatchList([word for some in words.values() for word in some], core)
    read = texts
    if core.normalizer is not None:  # it may leave another text, which is then the one that counts
        read = [core.normalizer.normalize_str(text).replace("▁", " ") for text in texts]
    tokens, right = by_tokens(watch, core, texts), by_text(watch, read)
    more = [
        (watch.words[w], read[row], core.encode(texts[row]).tokens)
        for row, w in zip(*(tokens > right).nonzero(), strict=True)
    ]
    assert more == []
    assert tokens.sum() > (0 if make is _no_blanks else 0.02 * right.sum())
