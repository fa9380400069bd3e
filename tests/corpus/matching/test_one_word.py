"""One word is one word, however it is written: the rules of docs/counting.md, on inputs made from Unicode's lists."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
import regex

from pivotkit.corpus import Counts, WatchList, count, match_texts, normalize
from pivotkit.corpus.matching.normal_form import SIGNS

ASSIGNED = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
INVISIBLE = [char for char in ASSIGNED if regex.match(r"\p{Default_Ignorable_Code_Point}", char)]
LETTER_LIKE = [
    char
    for char in ASSIGNED
    if (unicodedata.category(char)[0] in "SP" or unicodedata.category(char) == "No")
    and any(unicodedata.category(part)[0] in "LNM" for part in unicodedata.normalize("NFKD", char))
]
WORDS = [  # of 25 languages
    "dog", "chien", "Hund", "perro", "cane", "cão", "pies", "köpek", "chó", "собака", "м'яч", "σκύλος", "שועל",
    "كلب", "سگ", "कुत्ता", "কুকুর", "நாய்", "కుక్క", "ძაღლი", "շուն", "ውሻ", "집", "犬", "หมา", "ឆ្កែ", "ခွေး",
]  # fmt: skip


def found(word: str, text: str, marks: str = "ignore") -> int:
    return int(match_texts([text], WatchList([word], marks=marks)).toarray()[0, 0])


CASES = [
    ("Wasserflasche", "eine Wasser\u00adflasche", 1),
    ("Wasser", "eine Wasser\u00adflasche", 0),
    ("Wasserflasche", "eine Wasser\u00adflasche \u2060", 1),
    ("Haus", "Ha\u2060us", 1),
    ("Haus", "Ha\u200bus", 1),
    ("\u0915\u094d\u092f\u093e", "\u0915\u094d\u200d\u092f\u093e", 1),
    ("dog\u00adhouse", "doghouse", 1),
    ("aujourd'hui", "C’est aujourd’hui.", 1),
    ("aujourd’hui", "aujourd'hui", 1),
    ("м'яч", "м’яч", 1),
    ("м'яч", "м\u02bcяч", 1),
    ("צ'יפס", "צ\u05f3יפס", 1),
    ("arc-en-ciel", "un arc\u2011en\u2011ciel", 1),
    ("arc-en-ciel", "un arc\u2010en\u2010ciel", 1),
    ("col·legi", "col\u2027legi", 1),
]


@pytest.mark.parametrize(("word", "text", "times"), CASES)
def test_the_cases(word: str, text: str, times: int) -> None:
    assert found(word, text) == times


def test_invisible_characters_neither_hide_a_word_nor_free_its_parts() -> None:
    """Every one of them, at every place of words of 25 languages."""
    assert len(INVISIBLE) > 380
    for word in WORDS:
        for place in range(len(word) + 1):
            texts = [f". {word[:place]}{char}{word[place:]}." for char in INVISIBLE]
            assert match_texts(texts, [word]).toarray().tolist() == [[1]] * len(texts), (word, place)
            if word.isalpha() and 0 < place < len(word) and normalize(word[:place]):
                assert not match_texts(texts, [word[:place]]).sum() or word in ("犬", "หมา"), (word, place)
    assert {*map(normalize, INVISIBLE)} == {""}


def test_joiners_stay_in_emoji_alone() -> None:
    assert normalize("👩\u200d🚀") == "👩\u200d🚀" == normalize("👩\u200d\ufe0f\u200d🚀")
    assert normalize("👨🏽\u200d🚀\ufe0f") == "👨🏽\u200d🚀"
    assert normalize("👩\u200da 🚀\u200d \u200d🚀 1\u200d🚀") == "👩a 🚀 🚀 1🚀"
    flag = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    assert normalize(flag) == flag
    assert normalize(f"a{flag[1:]}") == "a"
    assert found("🏴", flag) == 0
    assert found(flag, f"{flag}🏴") == 1


@pytest.mark.parametrize(
    ("sign", "word"),
    [("'", "aujourd'hui"), ("'", "צ'יפס"), ("'", "м'яч"), ("'", "qur'an"), ("'", "rock'n'roll"), ('"', 'צה"ל'),
     ("-", "arc-en-ciel"), ("-", "בית-ספר"), ("-", "e-mail"), ("·", "col·legi"), ("·", "ジャン·ピエール")],
)  # fmt: skip
def test_every_form_of_a_sign_on_both_sides(sign: str, word: str) -> None:
    spellings = [word.replace(sign, form) for form in [sign, *SIGNS[sign]]]
    watch = WatchList(spellings)
    assert watch.words == [normalize(word)]
    assert match_texts([f"({text})" for text in spellings], watch).toarray().tolist() == [[1]] * len(spellings)


def test_a_sign_still_ends_an_elision_and_never_joins() -> None:
    for form in ["'", *SIGNS["'"]]:
        for elided, word in [("l", "eau"), ("d", "eau"), ("l", "auto"), ("dell", "acqua"), ("qu", "il")]:
            assert found(word, f"{elided}{form}{word} {elided}{form}{word}x") == 1, ascii(form)
        assert found("hui", f"aujourd{form}hui") == found("can", f"can{form}t") == 1
    for form in [*SIGNS["-"], *SIGNS["·"]]:
        assert found("arc", f"arc{form}en{form}ciel") == 1
    assert [found("a-b", f"a{other}b") for other in "—―_ ~/"] == [0] * 6
    assert "coŀlegi" in WatchList(["col·legi"])


def test_a_symbol_that_looks_like_letters_does_not_bind() -> None:
    assert {*"™℠²³¹½¼¾´¨¸①②㎏℃№㍿⓵Ⓐ"} <= {*LETTER_LIKE}
    for word in ("cat", "Haus", "дом", "집", "中", "หมา"):
        texts = [f"{char}{word} {word}{char} {char}{word}{char} {word}{char}{char}" for char in LETTER_LIKE]
        assert match_texts(texts, [word]).toarray().tolist() == [[4]] * len(texts)
    numbers = [char for char in ASSIGNED if unicodedata.category(char) == "No"]
    assert match_texts([f"{char}cat cat{char}" for char in numbers], ["cat"]).toarray().tolist() == [[2]] * len(numbers)
    assert [found(word, text) for word, text in [("tm", "™"), ("2", "x²"), ("1", "½"), ("kg", "㎏"), ("a", "Ⓐ")]] == [
        0
    ] * 5
    assert [found("™", "Windows™"), found("²", "x²")] == [0, 0]  # a letter beside a symbol binds it
    assert found("m²", "12 m² m2") == 1


def test_letters_and_digits_still_fold() -> None:
    pairs = {
        "ｃａｔ": "cat",
        "１２": "12",
        "ﬁsh": "fish",
        "nª": "na",
        "Ⅷ": "viii",
        "𝒜b": "ab",
        "ｶﾒﾗ": "カメラ",
        "ﾊﾟﾝ": "パン",
    }
    assert {word: normalize(word) for word in pairs} == pairs


@pytest.mark.parametrize("word", ["istanbul", "DIYARBAKIR", "sıkıcı", "İzmir", "Iğdır", "i\u0323s", "i\u0331s"])
def test_every_i_is_one_letter(word: str) -> None:
    turkish = word.replace("i", "İ").replace("ı", "I").upper(), word.replace("İ", "i").replace("I", "ı").lower()
    spellings = {word, word.upper(), word.lower(), word.title(), *turkish, word.upper().lower(), word.casefold()}
    spellings |= {unicodedata.normalize("NFD", spelling) for spelling in spellings}
    assert len(WatchList(spellings)) == 1
    assert normalize("í i\u0307\u0301 ï") == "í í ï"  # Lithuanian keeps the dot below an accent


ARABIC_AND_HEBREW = [
    ("محمد", "مُحَمَّد"), ("ان", "أَنْ"), ("الى", "إلى"), ("اسف", "آسف"), ("هذا", "هٰذا"), ("مومن", "مؤمن"),
    ("العربية", "العـــربية"), ("שלום", "שָׁלוֹם"), ("ישראל", "יִשְׂרָאֵל"), ("בראשית", "בְּרֵאשִׁ֖ית"), ("קרן", "קֶרֶן"),
]  # fmt: skip


@pytest.mark.parametrize(("bare", "marked"), ARABIC_AND_HEBREW)
def test_marks_of_abjads_follow_the_policy(bare: str, marked: str) -> None:
    assert found(bare, f"({marked})") == found(marked, bare) == 1
    stretched = "\u0640" in marked
    assert found(bare, marked, "keep") == found(marked, bare, "keep") == stretched
    assert found(marked, marked, "keep") == 1
    for form in ("NFC", "NFD", "NFKC"):
        assert found(marked, unicodedata.normalize(form, marked), "keep") == 1


def test_other_letters_and_other_scripts_keep_their_marks() -> None:
    for a, b in [("علی", "علي"), ("مدرسة", "مدرسه"), ("ک", "ك"), ("على", "علي")]:
        assert found(a, b) == 0
    for a, b in [
        ("cafe", "café"),
        ("naive", "naïve"),
        ("и", "й"),
        ("कम", "कमी"),
        ("か", "が"),
        ("a", "a\u0307"),
        ("u", "ü"),
    ]:
        assert found(a, b) == 0


def test_the_policy_is_part_of_what_was_counted(write: Any, tmp_path: Any) -> None:
    corpus = write(["مُحَمَّد محمد"])
    counts = {
        marks: count(corpus, WatchList(["محمد"], marks=marks), workers=1, out=tmp_path / "counts")
        for marks in ("ignore", "keep")
    }
    assert {marks: each.tf.tolist() for marks, each in counts.items()} == {"ignore": [2], "keep": [1]}
    assert Counts.load(tmp_path / "counts").marks == "keep"
    assert counts["keep"].index("محمد") == 0
    with pytest.raises(ValueError, match="must be in the watch list"):
        counts["keep"].index("مُحَمَّد")
    assert counts["ignore"].index("مُحَمَّد") == 0
    with pytest.raises(ValueError, match="merge: other must have the same marks"):
        counts["ignore"].merge(counts["keep"])
    for function in (lambda: WatchList(["a"], marks="drop"), lambda: normalize("a", "drop")):
        with pytest.raises(ValueError, match="marks must be one of ignore, keep; got 'drop'"):
            function()
