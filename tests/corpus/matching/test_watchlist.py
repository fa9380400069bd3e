"""What counts as an occurrence of a watch word."""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pivotkit import _C
from pivotkit._text import pack_strings
from pivotkit.corpus.matching.match import match_texts
from pivotkit.corpus.matching.normal_form import normalizer
from pivotkit.corpus.matching.unicode_data import SEPARATOR, SPACE, UNSPACED, WORD, char_classes, letters
from pivotkit.corpus.matching.watchlist import WatchList, normalize

# Latin, digits, marks that compose and that do not, apostrophes, joiners, white space, casing and width that fold,
# scripts without spaces, Hangul, emoji and what joins them, flags, a keycap, a letter outside the basic plane.
ALPHABET = list(
    "ab1Ee\u0301\u0320'’_-+. \n\t\u00a0\u2028\x85\x1c\0ßſＡｶﾞﬁİ猫犬カー々かのก็าລམ한국😀𝒜𠀀"
    "\u00ad\u200d\ufe0f\u0307iı²™¨ำຫນຳក្រ\u1031စား👩🚀🏽🇫🇷1\u20e3\u0640\u064bا\u0600"
)
ROOT = Path(__file__).resolve().parents[3]


def found(word: str, text: str) -> int:
    return int(match_texts([text], [word]).toarray()[0, 0])


@pytest.mark.parametrize(
    ("word", "text", "times"),
    [
        ("cat", "cat", 1),
        ("cat", "a cat. CAT, (Cat) cats concat cat_ cat1 caté", 3),
        ("cat", "cat\u0301 cat\u0320", 0),  # a mark makes another letter of the t
        ("cat", "这是cat吗", 1),
        ("cat", "한cat", 0),
        ("a1", "a1 a12 a1-a1", 3),
        ("a12", "a1 a12", 1),
        ("eau", "l'eau l’eau eau-de-vie", 3),
        ("x-ray", "an x-ray", 1),
        ("x-ray", "xx-ray x-rays", 0),
        ("c++", "c++ c++11 (c++) c+++", 3),
        ("++", "c++", 0),
        ("ice cream", "ice\n\t cream, ice cream; ice  creams", 2),
        ("strasse", "STRASSE Straße", 2),
        ("fish", "ﬁsh ＦＩＳＨ", 2),
        ("école", "E\u0301COLE", 1),
        ("猫", "小猫咪和猫", 2),
        ("猫", "cat猫cat", 1),
        ("哈哈", "哈哈哈", 2),
        ("カメラ", "デジタルカメラ ｶﾒﾗ", 2),
        ("น้ำ", "แม่น้ำ", 1),
        ("t恤", "T恤 穿t恤 xt恤", 2),
        ("집", "집 집은", 1),
        ("дом", "Дом дома", 1),
        ("😀", "😀😀 a😀", 2),  # no letter, so a letter beside it binds it
        ("👩\u200d🚀", "👩\u200d🚀 👩\u200d🚀s", 1),  # a joiner is no letter
        ("❤", "❤\ufe0f", 1),  # a variation selector cannot be seen
        ("❤\ufe0f", "❤\ufe0f ❤", 2),
        ("葛\U000e0100", "葛\U000e0100城 葛", 2),
        ("葛", "葛\U000e0100城", 1),
        ("می\u200cروم", "می\u200cروم", 1),  # nor can the non-joiner of Persian
        ("روم", "می\u200cروم", 0),
        ("ກິນ", "ຂ້ອຍກິນເຂົ້າ", 1),
        ("ភាសា", "ភាសាខ្មែរ", 1),
        ("စာ", "မြန်မာစာ", 1),
        ("คน", "cat คนcat", 1),
        ("cat", "คนcat คน", 1),
        ("한국", "한국 한국어 (한국)", 2),
        ("한국", unicodedata.normalize("NFD", "한국 한국어"), 1),
        ("don't", "don't don’t DON'T", 3),  # a word is the same word with either apostrophe
        ("don", "don't", 1),
        ("o'clock", "o'clock o'clocks", 1),
        ("cat", "\ncat\u2028cat\u3000cat\u00a0cat\x85cat\x1ccat", 6),
        ("ice cream", "ice\u2028\x85cream ice\u3000\u00a0cream ice\x1ccream ice\u200bcream", 3),
        ("ice\u2028cream", "ice cream", 1),
        ("हिन्दी", "हिन्दी में, हिन्दीभाषा", 1),
        ("café", "cafe\u0301 cafe\u0301s café\u0323", 1),
        ("cafe", "cafe\u0301", 0),
        ("a\0", "a a\0", 1),  # NUL is a character like another, and the end of a text is none
        ("a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "a", 0),
        ("猫\0", "猫", 0),
        ("supercalifragilistic", "supercalifragilistic supercalifragilisticx", 1),
    ],
)
def test_edges_are_free_or_not(word: str, text: str, times: int) -> None:
    assert found(word, text) == times


def test_words_inside_words_are_found_beside_each_other() -> None:
    words = ["大学", "大学生", "学生", "生", "student", "university student"]
    assert match_texts(["大学生 University  student"], words).toarray().tolist() == [[1] * 6]


def test_spellings_that_normalize_alike_share_one_id() -> None:
    watch = WatchList(["Radio", "radio", "ＲＡＤＩＯ", "pain"])
    assert watch.words == ["radio", "pain"]
    assert [watch.id(word) for word in ("RADIO", "radio", "Pain")] == [0, 0, 1]
    assert "Radio" in watch
    assert "tv" not in watch


words_of = st.text(st.sampled_from(ALPHABET), min_size=1, max_size=4)
texts_of = st.text(st.sampled_from(ALPHABET), max_size=24)


@settings(max_examples=400, deadline=None)
@given(words=st.lists(words_of, min_size=1, max_size=12), texts=st.lists(texts_of, max_size=5), data=st.data())
@example(words=["++", "+"], texts=["a++ +"], data=None)
def test_occurrences_equal_the_oracle(oracle: Any, words: list[str], texts: list[str], data: Any) -> None:
    if data is not None:  # substrings of the texts hit far more often than words drawn alone
        for text in filter(None, texts):
            begin = data.draw(st.integers(0, len(text) - 1))
            words = [*words, text[begin : begin + data.draw(st.integers(1, 6))]]
    words = [word for word in words if oracle.normalize(word).strip()]
    if not words:
        return
    watch = WatchList(words)
    normal = map(oracle.normalize, texts)
    expected = [[oracle.occurrences(word, text) for word in watch.words] for text in normal]
    assert match_texts(texts, watch).toarray().tolist() == expected


@settings(max_examples=400)
@given(st.text(st.sampled_from(ALPHABET) | st.characters(exclude_categories=["Cs", "Cn"])))
def test_normalize_is_what_it_says_and_is_done_once(oracle: Any, text: str) -> None:
    for marks in ("ignore", "keep"):
        normal = normalize(text, marks)
        assert re.sub(r"\s+", " ", normal) == oracle.normalize(text, marks)
        assert normalize(normal, marks) == normal


def test_classes_follow_the_unicode_scripts(oracle: Any) -> None:
    classes = char_classes()
    for code in [
        *range(0x11000),
        *range(0x16F00, 0x1B200),
        *range(0x1F000, 0x21000),
        *range(0x2F000, 0x32400),
        0xE0100,
    ]:
        character = chr(code)
        if unicodedata.category(character) in (
            "Cn",
            "Cs",
        ):  # this Python and `regex` may know different Unicode versions
            continue
        if normalize(character) != character:  # never seen by the matcher
            continue
        if oracle.joins(character):
            assert classes[code] == WORD, hex(code)
        elif classes[code] in (SEPARATOR, SPACE):
            assert not character.isalpha(), hex(code)
            assert (classes[code] == SPACE) == character.isspace(), hex(code)
        else:
            assert classes[code] == UNSPACED, hex(code)


def test_a_large_list_finds_each_of_its_words() -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdeé猫犬カメ ラ"))
    words = {"".join(rng.choice(letters, rng.integers(1, 9))).strip() for _ in range(20_000)}
    watch = WatchList(filter(None, words))
    hits = match_texts(watch.words, watch)
    assert (hits.diagonal() > 0).all()


def test_words_of_every_length_are_told_apart() -> None:
    """Runs of one letter read as the same machine words whatever their length, up to the letter before them."""
    words = [start + letter * length for letter in "cC1" for start in ("", "b", "a", "2") for length in range(1, 40)]
    watch = WatchList(words)
    hits = match_texts([" ".join(watch.words)], watch)
    assert hits.toarray().tolist() == [[1] * len(watch)]


def test_long_stretches_without_spaces_hide_nothing(oracle: Any) -> None:
    """Far longer than any buffer; words lie across every place where one may be cut, and leave the stretch."""
    rng = np.random.default_rng(2)
    text = "".join(rng.choice(list("猫犬鳥"), 6000)) + "t恤 猫\n\n犬cat " + "猫" * 3000 + "です2"
    words = [
        "猫犬",
        "犬鳥猫",
        "鳥鳥鳥鳥鳥",
        "猫 犬cat",
        "です2",
        "t恤",
        "鳥t恤 猫",
        "猫" * 40,
        "猫" * 2999 + "です",
        "犬猫" * 3,
    ]
    watch = WatchList(words)
    expected = [oracle.occurrences(word, oracle.normalize(text)) for word in watch.words]
    assert match_texts([text, "", text], watch).toarray().tolist() == [expected, [0] * len(words), expected]
    assert min(expected[:5]) > 0


@pytest.mark.parametrize("more", [[], ["l'a", "été l"], [".a", "-"], ["ß ", "œ-"]])
def test_runs_across_the_bytes_that_are_read_together(oracle: Any, more: list[str]) -> None:
    """Latin letters are read 64 bytes at a time: runs of all lengths begin and end at each of them, beside all else."""
    rng = np.random.default_rng(3)
    pieces = ["a", "z", "l", "été", "ÿ", "Àß", "œ", "a\u0320", "7_", "猫", "\0", "x" * 70, "×", "÷", "a÷é×b", "한", "—"]
    between = ["", " ", "'", "-", " .", ", ", "\n\n", " " * 60]
    chances = [0.3, 0.3, *[0.4 / 6] * 6]
    texts = []
    for size in range(200):
        parts = zip(rng.choice(pieces, size // 2), rng.choice(between, size // 2, p=chances), strict=True)
        texts.append("".join(piece + gap for piece, gap in parts))
    normal = list(map(oracle.normalize, texts))
    runs = {run for text in normal for run in text.replace("'", " ").split() if len(run) < 30}
    watch = WatchList([*sorted(runs)[::7], "x" * 70, "a", "été", "œ", "z", "猫", *more])
    expected = [[oracle.occurrences(word, text) for word in watch.words] for text in normal]
    assert match_texts(texts, watch).toarray().tolist() == expected
    assert np.count_nonzero(np.sum(expected, axis=0)) > 0.8 * len(watch)


@pytest.mark.parametrize("flags", [[], ["-DPIVOTKIT_PORTABLE"]], ids=["native", "portable"])
def test_the_bytes_of_latin_words(tmp_path: Path, flags: list[str]) -> None:
    compiler = shutil.which("g++")
    if compiler is None or not (ROOT / "csrc").is_dir():
        pytest.skip("no g++ or no sources here")
    some = [*map(chr, range(0x100)), "é", "ß", "œ", "猫", "×", "÷", "\u2197", "ķ"]
    text = "".join(np.random.default_rng(4).choice(some, 20_000)).lower()
    kinds = []  # of each byte: 1 a word's, 2 another one beyond ASCII
    for letter in text:
        size = len(letter.encode())
        is_latin = "À" <= letter <= "ÿ" and letter not in "×÷" and len(kinds) % 64 < 63  # whole in its 64 bytes
        is_word = is_latin or (letter.isascii() and (letter.isalnum() or letter == "_"))
        kinds += [1 if is_word else 2 * (size > 1)] * size
    blocks = np.array(kinds[: len(kinds) // 64 * 64], np.uint8).reshape(-1, 64)
    expected = [np.packbits(blocks == kind, axis=1, bitorder="little").view("<u8")[:, 0] for kind in (1, 2)]
    program = tmp_path / "latin_words"
    source = ROOT / "tests" / "native" / "latin_words.cpp"
    subprocess.run([compiler, "-std=c++17", "-O1", *flags, f"-I{ROOT / 'csrc'}", source, "-o", program], check=True)
    found = subprocess.run([program], input=text.encode(), check=True, capture_output=True).stdout.decode().split()
    assert list(map(int, found)) == np.stack(expected, axis=1).ravel().tolist()


def test_any_bytes_are_safe_to_scan() -> None:
    matcher = WatchList(["é", "猫", "a"]).matcher()
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, 100_000, dtype=np.uint8)
    offsets = np.arange(0, 100_001, 10, dtype=np.int64)
    ends, words, counts = matcher.match(noise, offsets)
    assert len(ends) == 10_001
    assert len(words) == len(counts) == ends[-1]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ("cat", TypeError, "must be an iterable of str; got one str"),
        (["a", 3], TypeError, "must be str; got int at 1"),
        ([], ValueError, "must hold at least one word; got none"),
        (["a", ""], ValueError, "must not be empty; got '' at 1"),
        (["a", " \t\u3000"], ValueError, "must not be empty"),
        (["a", "\u00ad\u200b"], ValueError, "must not be empty"),
        (["\ud800"], ValueError, "lone surrogate"),
    ],
)
def test_a_watch_list_refuses(words: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        WatchList(words)


def test_an_unwatched_word_has_no_id() -> None:
    with pytest.raises(ValueError, match="word must be in the watch list; got 'dog'"):
        WatchList(["cat"]).id("dog")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", ""], "words must not be empty; got word 1"),
        (["a "], "single inner blanks only; got word 0"),
        (["a  b"], "single inner blanks"),
        (["a\tb"], "single inner blanks"),
        (["a", "a"], "words must be distinct"),
        (["猫", "猫"], "words must be distinct"),
    ],
)
def test_the_matcher_refuses_words(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _C.Matcher(*pack_strings(words), normalizer(), char_classes())


def test_the_matcher_refuses_arrays_that_lie() -> None:
    data, offsets = pack_strings(["ab", "c"])
    for bad in ([1, 2, 3], [0, 3, 2], [0, 2, 4], [0, 2, 2]):
        with pytest.raises(ValueError, match="offsets must begin at 0, never decrease and end at 3"):
            _C.Matcher(data, np.array(bad, np.int64), normalizer(), char_classes())
    with pytest.raises(ValueError, match="offsets must hold at least one entry"):
        _C.Matcher(data, np.zeros(0, np.int64), normalizer(), char_classes())
    with pytest.raises(ValueError, match="letters must hold one byte for each"):
        _C.Matcher(data, offsets, normalizer(), np.zeros(5, np.uint8))
    with pytest.raises(ValueError, match="letters must have cluster classes of at most 20; got 21"):
        _C.Matcher(data, offsets, normalizer(), np.full(0x110000, 84, np.uint8))
    attaching = letters().copy()
    attaching[ord("a")] |= 64
    with pytest.raises(ValueError, match="letters must call ASCII what it is; got 65 for 97"):
        _C.Matcher(data, offsets, normalizer(), attaching)
    with pytest.raises(TypeError):
        _C.Matcher(data.astype(np.int64), offsets, normalizer(), char_classes())  # type: ignore[arg-type]
