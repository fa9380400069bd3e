"""Languages of segments: the library's own answers, and halves in two languages."""

from __future__ import annotations

import builtins
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit.corpus.languages import detector as module
from pivotkit.corpus.languages.detector import Detector, check_candidates
from pivotkit.errors import BackendUnavailable

ENGLISH = "The window was closed before the file had been written to the disk."
FRENCH = "La fenêtre a été fermée avant que le fichier ne soit écrit sur le disque."
CHINESE = "在文件写入磁盘之前，窗口已经关闭，请重新打开并再试一次。"
TEXTS = (
    ENGLISH,
    FRENCH,
    CHINESE,
    "Файл не найден, попробуйте ещё раз.",
    "LE FICHIER EST ABSENT",
    "e\u0301te\u0301 prochain",
)


@pytest.fixture(scope="module")
def library() -> Any:
    """py3langid itself."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def named(detector: Detector, places: Any) -> list[str | None]:
    return [None if place < 0 else detector.languages[place] for place in places]


def test_a_segment_is_in_the_language_that_py3langid_says(library: Any) -> None:
    """With candidates, none of which has a handicap."""
    from py3langid.langid import RAW_FLOOR  # the score of what no feature is found in

    words = " ".join(TEXTS).split()
    rng = random.Random(0)
    texts = [*TEXTS, *(" ".join(rng.choices(words, k=rng.randint(1, 8))) for _ in range(300))]
    for candidates in (["en", "fr", "ru", "zh"], ["fr", "de", "pt", "sr"], library.labels):
        library.set_languages(candidates)
        detector = Detector(candidates)
        labels = detector.label(text.encode() for text in texts)
        whole = labels.second < 0
        assert whole.mean() > 0.9
        got = np.array(named(detector, labels.first))[whole].tolist()
        wanted = [library.classify(text) for text, is_whole in zip(texts, whole, strict=True) if is_whole]
        assert got == [None if one == "zxx" or score == RAW_FLOOR else one for one, score in wanted]
    library.set_languages(None)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]), max_size=300), max_size=8))
def test_letters_are_counted_in_bytes(texts: list[str]) -> None:
    import unicodedata

    labels = Detector(["en", "fr"]).label(text.encode() for text in texts)
    for text, first, second in zip(texts, labels.first_letters, labels.second_letters, strict=True):
        normal = unicodedata.normalize("NFC", text.lower() if text.isupper() else text)
        assert first + second == sum(len(letter.encode()) for letter in normal if letter.isalpha())


def test_segments_without_letters_and_markup_have_no_language() -> None:
    labels = Detector().label([b"", b"%1 -- 42 \xe2\x80\xa6", b"#00ff00 #ff00ff 0x7f0a", ENGLISH.encode()])
    assert named(Detector(), labels.first)[:3] == [None, None, None]
    assert labels.first_letters[:2].tolist() == [0, 0]
    assert named(Detector(), labels.first)[3] == "en"


@pytest.mark.parametrize("candidates", [None, ["en", "fr", "zh"]])
@pytest.mark.parametrize(("one", "other"), [(ENGLISH, FRENCH), (FRENCH, ENGLISH), (ENGLISH, CHINESE)])
def test_a_sentence_that_changes_its_language_votes_with_each_half(
    candidates: list[str] | None, one: str, other: str
) -> None:
    detector = Detector(candidates)
    labels = detector.label([f"{one} {other}".encode(), f"{one} {one}".encode()])
    codes = {ENGLISH: "en", FRENCH: "fr", CHINESE: "zh"}
    assert named(detector, labels.first) == [codes[one], codes[one]]
    assert named(detector, labels.second) == [codes[other], None]
    assert min(labels.first_letters[0], labels.second_letters[0]) >= 30


def test_a_rare_language_must_be_clearly_ahead() -> None:
    short = b"Image Editor Settings"
    every = list(Detector().languages)
    assert named(Detector(), Detector().label([short]).first) == ["en"]
    assert named(Detector(every), Detector(every).label([short]).first) == ["pcm"]


def test_candidates_that_there_are_not_are_refused() -> None:
    check_candidates("f", ["en", "sr"])
    with pytest.raises(ValueError, match=r"^f: candidates must be among the 140 languages of py3langid; got 'xx'$"):
        check_candidates("f", ["en", "xx"])


@pytest.fixture
def fresh() -> Any:
    """A process that has not loaded the model; the loaded one comes back."""
    module._model.cache_clear()
    yield
    module._model.cache_clear()


def test_without_py3langid_the_error_names_it(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("py3langid"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendUnavailable, match=r"py3langid must be installed .*pip install 'pivotkit\[languages\]'"):
        Detector()


def test_another_model_is_refused(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from py3langid.langid import LanguageIdentifier

    with monkeypatch.context() as patch:
        patch.setattr(LanguageIdentifier, "classify", lambda self, text: ("fr", 0.0))
        with pytest.raises(
            BackendUnavailable, match=r"py3langid must be a version whose model is that of 0\.4; got py"
        ):
            Detector()
    module._model.cache_clear()
    monkeypatch.setattr(LanguageIdentifier, "from_model_file", lambda path: object())
    with pytest.raises(BackendUnavailable, match="py3langid must be a version"):
        Detector()
