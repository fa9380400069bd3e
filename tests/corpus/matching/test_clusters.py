"""No match cuts a grapheme cluster in scripts without spaces, nor an emoji or a flag."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
import regex

from pivotkit.corpus import match_texts
from pivotkit.corpus.matching.normal_form import normalize
from pivotkit.corpus.matching.unicode_data import UNSPACED, char_classes

LETTERS = "".join(chr(code) for code in map(int, (char_classes() == UNSPACED).nonzero()[0]))
BY_SCRIPT = {
    script: regex.findall(rf"\p{{{script}}}", LETTERS)
    for script in ("Thai", "Lao", "Khmer", "Myanmar", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Ahom", "Javanese",
                   "Balinese", "Cham", "Batak", "Brahmi", "Hiragana", "Katakana", "Yi", "Bopomofo", "Tangut", "Nushu")
}  # fmt: skip


def found(word: str, text: str) -> int:
    return int(match_texts([text], [word]).toarray()[0, 0])


CASES = [
    ("หมู", "หมู่บ้าน", 0),
    ("สี", "สี่คน", 0),
    ("ปู", "ปู่", 0),
    ("ປູ", "ປູ່", 0),
    ("စာ", "စားသည်", 0),
    ("ក", "ក្រ", 0),
    ("หมู", "กินหมู", 1),
    ("រ", "ក្រ", 0),  # below the letter before it
    ("က", "က္ကာ", 0),
    ("မြန်", "မြန်မာ", 1),
    ("မာ", "မြန်မာ", 1),
    ("ក្រ", "ក្រប", 1),
    ("จ", "จำ", 0),
    ("จ", "จํา", 0),
    ("า", "จำ", 0),
    ("าก", "จำกัด", 0),
    ("จํ", "จำ", 0),
    ("ນ", "ໜ", 0),
    ("ຫ", "ໜັງ", 0),
    ("ໜັງ", "ຫນັງ", 1),
    ("กา", "เกา", 1),  # a preposed vowel is a cluster of its own
    ("か", "か\u3099", 0),
    ("が", "か\u3099", 1),
    ("り", "ゟ", 0),
    ("猫", "猫\u0301", 0),
    ("ꦏ", "ꦏ꧀ꦏ", 0),
    ("ᬓ", "ᬓ᭄ᬓ", 0),
]


@pytest.mark.parametrize(("word", "text", "times"), CASES)
def test_scripts_without_spaces(word: str, text: str, times: int) -> None:
    assert found(word, text) == times


@pytest.mark.parametrize("script", BY_SCRIPT)
def test_every_cluster_of_two(script: str) -> None:
    """Each letter before each mark of its script: the whole is found, and neither part."""
    normal = [char for char in BY_SCRIPT[script] if normalize(char) == char]
    letters = [char for char in normal if unicodedata.category(char) == "Lo"][:60]
    marks = [char for char in normal if unicodedata.category(char)[0] == "M"] or ["\u0301"]
    assert letters
    for mark in marks:
        clusters = [letter + mark for letter in letters if len(normalize(letter + mark)) == 2]
        texts = [f"猫{cluster}猫" for cluster in clusters]
        assert (match_texts(texts, clusters).diagonal() == 1).all()
        assert not match_texts(texts, [mark, *(cluster[0] for cluster in clusters)]).sum(), ascii(mark)


def test_no_character_of_these_scripts_is_cut() -> None:
    for char in LETTERS:
        normal = normalize(char)
        parts = {normal[:at] for at in range(1, len(normal))} | {normal[at:] for at in range(1, len(normal))}
        if parts and unicodedata.category(char)[0] == "L":
            assert not match_texts([char, f"猫{char}猫"], sorted(parts)).sum(), ascii(char)


EMOJI = [
    "👩\u200d🚀", "👨🏽\u200d🚀", "🏳\ufe0f\u200d🌈", "👨\u200d👩\u200d👧\u200d👦", "👍🏽", "❤\ufe0f\u200d🔥", "🧑🏻\u200d🤝\u200d🧑🏿", "🏃\u200d♂\ufe0f",
    "#\ufe0f\u20e3", "*\u20e3", "🇫🇷", "🇩🇪", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "☝🏿", "👁\ufe0f\u200d🗨\ufe0f",
]  # fmt: skip


@pytest.mark.parametrize("emoji", EMOJI)
def test_emoji_are_found_whole(emoji: str) -> None:
    normal = normalize(emoji)
    assert found(emoji, f"so {emoji} {emoji}{emoji}, {emoji}\ufe0f") == 4
    parts = {normal[a:b] for a in range(len(normal)) for b in range(a + 1, len(normal) + 1)} - {normal}
    parts = {part for part in parts if normalize(part) == part and part.strip()}
    assert not match_texts([emoji, f"{emoji}{emoji}", f"猫{emoji}猫"], sorted(parts)).sum()


def test_flags_are_pairs_from_the_first_on() -> None:
    assert found("🇫🇷", "🇫🇷🇫🇷🇩🇪") == 2
    assert found("🇷🇩", "🇫🇷🇩🇪") == 0
    assert found("🇫🇷🇩🇪", "🇫🇷🇩🇪 🇮🇫🇷🇩🇪") == 1
    assert found("🇫", "🇫🇷 🇫 🇩🇪🇫") == 2
    assert found("🇫🇷", "🇫🇷" * 20_000 + "🇫") == 20_000


@pytest.mark.parametrize(
    "between", [" ", " a ", " hello ", "猫", "の猫", " é ", ".", "…", " ñu ", "\n", "か\u0301", "😀", " 7 "]
)
@pytest.mark.parametrize("before", range(4))
def test_flags_behind_other_text_are_counted_anew(before: int, between: str) -> None:
    text = f"x {'🇦' * before}{between}🇫🇷🇩🇪{between}🇦🇫🇷"
    assert [found(flag, text) for flag in ("🇫🇷", "🇩🇪", "🇦🇫", "🇷")] == [1, 1, 1, 1]


def test_marks_of_a_sign_bind_no_word() -> None:
    for text in (
        "❤\u0338cat",
        "#\ufe0f\u20e3cat",
        "1\ufe0f\u20e3cat",
        "(\u0301cat)",
        " \u0301cat",
        "か\u0301cat",
        "𝅗𝅥cat",
    ):
        assert found("cat", text) == 1, ascii(text)
    for text in ("cat\u0301", "cat\u20e3", "x\u0301cat", "1\u20e3cat\u0301"):
        assert found("cat", text) == 0, ascii(text)
    assert found("1", "1\ufe0f\u20e3 1\u20e3a") == 0
    assert found("1\u20e3", "1\ufe0f\u20e3 1\u20e3a") == 2


@pytest.mark.parametrize(
    ("word", "text", "times"),
    [
        ("1\u20e3a", "1\u20e3a", 1),
        ("1\ufe0f\u20e32\ufe0f\u20e3", "so 1\ufe0f\u20e32\ufe0f\u20e3.", 1),
        ("a\u20ddb", "a\u20ddb a\u20dd b ab", 1),
        ("a\u20ddb", "xa\u20ddb", 0),
        ("a\u20ddb", "a\u20ddbx", 0),
        ("a\u20dd\u0301b", "a\u20dd\u0301b", 1),
        ("ж\u0488ж", "ж\u0488ж", 1),
        ("猫\u20dd猫", "犬猫\u20dd猫犬", 1),
    ],
)
def test_a_word_may_go_on_behind_an_enclosing_mark(word: str, text: str, times: int) -> None:
    assert found(word, text) == times


def test_every_boundary_of_a_real_text_is_one(oracle: type) -> None:
    """All the pieces between two places are found exactly where both are boundaries."""
    texts = [
        "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอน",
        "ພາສາລາວແມ່ນພາສາທາງການ",
        "ភាសាខ្មែរគឺជាភាសាកំណើត",
        "မြန်မာဘာသာစကားသည်မြန်မာနိုင်ငံ၏",
    ]
    for text in map(normalize, texts):
        cuts = oracle.cuts(text)
        places = [at for at in range(len(text) + 1) if at not in cuts]
        whole = [text[a:b] for a, b in pairwise(places)]
        hits = match_texts([text], whole).sum()
        assert hits == sum(oracle.occurrences(word, text) for word in dict.fromkeys(whole))
        assert hits >= len(places) - 1
