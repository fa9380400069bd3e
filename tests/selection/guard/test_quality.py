"""The quality filters are datatrove's: the same verdicts where words are the same, and thresholds by language."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("datatrove", reason="datatrove is not installed (pip install 'pivotkit[filters]')")
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

from pivotkit.errors import BackendUnavailable
from pivotkit.selection.guard import quality as module
from pivotkit.selection.guard.quality import QualityFilters, check_quality
from pivotkit.selection.guard.thresholds import THRESHOLDS

STOP = {code: row.stop_words.split() for code, row in THRESHOLDS.items()}


def prose(seed: int, sentences: int = 12, code: str = "en") -> str:
    """Sentences of made words among stop words."""
    draw = random.Random(seed)

    def word() -> str:
        return draw.choice(STOP[code]) if draw.random() < 0.3 else "".join(draw.choices("abdegilmnorst", k=6))

    return "\n".join(" ".join(word() for _ in range(12)).capitalize() + "." for _ in range(sentences))


def verdict(text: str, lang: str = "en", quality=("gopher", "c4", "fineweb")):
    return QualityFilters(check_quality(quality)).verdict(text, lang)


SPOILED = {
    "short": lambda text: text[:90],
    "symbols": lambda text: text.replace(" ", " # ", 60),
    "numbers": lambda text: " ".join(["1234"] * 300) + text,
    "repeated": lambda text: (text[:60] + "\n") * 12 + text[:400],
    "bracket": lambda text: text + "\nint main() { the end of it.",
    "lorem": lambda text: text + "\nAnd then lorem ipsum came by.",
    "list": lambda text: text.replace(" ", "\n"),
    "no stop words": lambda text: " ".join(
        word for word in text.split() if word.casefold().strip(".") not in STOP["en"]
    ),
    "no end": lambda text: text.replace(".", ""),
    "nothing": lambda text: text,
}


@pytest.mark.parametrize("how", SPOILED)
def test_english_is_judged_as_datatrove_judges_the_same_words(how):
    words = module._words_of("en")
    for seed in range(20):
        text = SPOILED[how](prose(seed))
        filters = [
            GopherQualityFilter(language=words), C4QualityFilter(filter_no_terminal_punct=False, language=words),
            FineWebQualityFilter(language=words), GopherRepetitionFilter(language=words),
        ]  # fmt: skip
        verdicts = [one.filter(Document(text=text, id="")) for one in filters]
        expected = next((found[1] for found in verdicts if found is not True), None)
        found = verdict(text)
        assert (found and found[1]) == expected
    assert (found is None) == (how == "nothing")


@pytest.mark.parametrize("code", [code for code in THRESHOLDS if code not in ("zh", "ja")])
def test_prose_of_a_language_stays_in_it(code):
    thresholds = {"gopher": {"max_avg_word_length": 30, "min_avg_word_length": 0}, "c4": {}, "fineweb": {}}
    kept = [verdict(prose(seed, code=code), code, thresholds) is None for seed in range(10)]
    assert sum(kept) >= 9


def test_languages_have_stop_words_of_their_own():
    french = prose(1, code="fr")
    assert verdict(french, "fr") is None
    assert verdict(french, "ru") == ("gopher", "gopher_enough_stop_words")
    assert verdict(french, "sw") == verdict(french, "und") is None  # without a row: by no stop words


def test_a_document_of_several_languages_stays_where_one_of_them_lets_it():
    french = prose(1, code="fr")
    assert verdict(french, "ru+fr") is None
    assert verdict(french, "ru+ja") is not None
    assert verdict("x", "th") is None  # its words cannot be cut, so it is not judged


def test_words_without_spaces_are_cut():
    pytest.importorskip("jieba")
    chinese = (
        "我们的图书馆在学校的旁边，里面有很多书。他是这里的学生，也在这里工作。今年他被选为代表，和同学一起去了北京。"
        "春天来了，公园里开满了花。孩子们在湖边放风筝，老人坐着下棋。晚饭以后，邻居常常带着小狗散步，谈论天气和菜价。"
    )
    own = {"gopher": {"min_doc_words": 10}, "c4": {"min_num_sentences": 1}, "fineweb": {}}
    assert verdict(chinese, "zh", own) is None
    assert verdict(chinese, "en", own) is not None
    pytest.importorskip("sudachipy")
    japanese = (
        "図書館は学校の隣にあって、本がたくさんあります。彼はここの学生で、今年は代表に選ばれました。みんなで東京に行きました。"
        "春になると公園に花が咲き、子供たちが池のそばで遊ぶ。夕食のあと、近所の人は犬を連れて歩き、天気の話をする。"
    )
    assert verdict(japanese, "ja", own) is None


def test_each_filter_is_on_or_off():
    bracket = SPOILED["bracket"](prose(0))
    assert verdict(bracket) == ("c4", "curly_bracket")
    assert verdict(bracket, quality=("gopher", "fineweb")) is None
    assert verdict(bracket, quality={"c4": {"filter_curly_bracket": False}}) is None
    assert verdict(prose(0)) is None
    assert verdict(prose(0), quality={"gopher": {"min_doc_words": 500}}) == ("gopher", "gopher_short_doc")


@pytest.mark.parametrize(("value", "error", "told"), [
    (("gofer",), ValueError, "quality must be one of gopher, c4, fineweb; got 'gofer'"),
    ("gopher", TypeError, "quality must be a sequence of strings"),
    ({"gopher": 1}, TypeError, r"quality\['gopher'\] must be a mapping of thresholds; got int"),
    ({"c4": {"min_doc_words": 3}}, ValueError, r"quality\['c4'\] must name thresholds of .*min_num_sentences.*; got 'min_doc_words'"),
])  # fmt: skip
def test_another_filter_is_refused(value, error, told):
    with pytest.raises(error, match=told):
        check_quality(value)


def test_a_library_that_is_absent_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datatrove.pipeline", None)
    with pytest.raises(
        BackendUnavailable, match=r"quality needs datatrove; install it with pip install 'pivotkit\[filters\]'"
    ):
        check_quality(("gopher",))
