"""The quality filters of datatrove, with thresholds by language and words that are cut without downloads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pivotkit.arguments import check_kind, check_strings, check_text, refuse
from pivotkit.errors import BackendUnavailable
from pivotkit.selection.guard.thresholds import ENGLISH, MIXED, THRESHOLDS, UNCUT

FILTERS = ("gopher", "c4", "fineweb")
CLASSES = {
    "GopherQualityFilter": "gopher",
    "C4QualityFilter": "c4",
    "FineWebQualityFilter": "fineweb",
    "GopherRepetitionFilter": "gopher",
}  # the slowest last: a document has to pass all of them
# As spaCy cuts: what is between spaces, with the signs at its ends apart, and French and Italian elisions.
WORD = r"[\p{L}]+['’](?=\p{L}{3})|[\p{L}\p{M}\p{N}](?:[^\s,;()\"]*[\p{L}\p{M}\p{N}])?|[^\s\p{L}\p{M}\p{N}]+"
LONGEST_CUT = 12_000  # characters that SudachiPy is given at once: it takes 49,149 bytes

Quality = dict[str, dict[str, float]]
Judge = Callable[[str], "tuple[str, str] | None"]


def check_quality(quality: Iterable[str] | Mapping[str, Mapping[str, float]]) -> Quality:
    """The wanted filters in their order, each with the thresholds that the caller changes."""
    if not isinstance(quality, Mapping):
        quality = {name: {} for name in check_strings("filter_documents", "quality", quality)}
    for name, changed in quality.items():
        check_text("filter_documents", "quality", name, FILTERS)
        check_kind("filter_documents", f"quality[{name!r}]", changed, Mapping, "a mapping of thresholds")
    if quality:
        known: dict[str, list[str]] = {}
        for name, kind in _classes(quality):
            known.setdefault(name, []).extend(_parameters(kind))
        for name, changed in quality.items():
            for key in changed:
                if key not in known[name]:
                    rule = f"name thresholds of {', '.join(sorted(known[name]))}"
                    refuse("filter_documents", f"quality[{name!r}]", rule, key)
    return {name: dict(quality[name]) for name in FILTERS if name in quality}


class QualityFilters:
    """The wanted filters, made for each language when a document of it comes.

    Attributes
    ----------
    quality : dict
        Of `check_quality`.
    """

    def __init__(self, quality: Quality) -> None:
        self.quality = quality
        self._judges: dict[str, Judge] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"quality": self.quality, "_judges": {}}  # each process makes its own

    def verdict(self, text: str, lang: str) -> tuple[str, str] | None:
        """Which filter takes a document, and by which of its rules; None where it stays.

        A document of several languages ("en+fr") stays where one of them lets it stay. So does one in a language of
        `UNCUT`, which is not judged.
        """
        codes = [code.split("-")[0].casefold() for code in lang.split("+")]
        if any(code in UNCUT for code in codes):
            return None
        first = None
        for code in codes:
            found = self._judge(code)(text)
            if found is None:
                return None
            first = first or found
        return first

    def _judge(self, code: str) -> Judge:
        key = code if code in THRESHOLDS else ""
        if key not in self._judges:
            self._judges[key] = _judge_of(self.quality, key)
        return self._judges[key]


def _judge_of(quality: Quality, code: str) -> Judge:
    """The filters of one language."""
    from datatrove.data import Document

    words = _words_of(code)
    filters = [
        (name, kind(**_chosen(kind, code, quality[name]), language=words).filter) for name, kind in _classes(quality)
    ]

    def judge(text: str) -> tuple[str, str] | None:
        for name, keeps in filters:
            found = keeps(Document(text=text, id=""))  # a new one, since C4's filter cuts lines out of it
            if found is not True:
                return name, found[1]
        return None

    return judge


def _chosen(kind: type, code: str, changed: Mapping[str, float]) -> dict[str, Any]:
    """The arguments of a filter for a language."""
    row = THRESHOLDS.get(code, ENGLISH)
    own: dict[str, Any] = {
        **row._asdict(),
        "top_n_grams": tuple(zip(range(2, 5), row.top_n_grams, strict=True)),
        "dup_n_grams": tuple(zip(range(5, 11), row.dup_n_grams, strict=True)),
        "stop_words": row.stop_words.split(),
        "min_stop_words": 2 if code in THRESHOLDS else 0,
        "filter_no_terminal_punct": False,  # as FineWeb has it: lines end without one in lists and headings
        "min_words_per_line": -1 if code in MIXED else 3,  # C4 counts words between spaces
        **changed,
    }
    known = _parameters(kind)
    return {name: value for name, value in own.items() if name in known}


def _parameters(kind: type) -> list[str]:
    skipped = ("self", "exclusion_writer", "language")
    return [name for name in inspect.signature(kind.__init__).parameters if name not in skipped]  # type: ignore[misc]


def _classes(quality: Iterable[str]) -> list[tuple[str, type]]:
    """The classes of the wanted filters, each with the name of its filter."""
    try:
        from datatrove.pipeline import filters
    except ImportError:
        raise _absent("datatrove", "quality") from None
    return [(name, getattr(filters, kind)) for kind, name in CLASSES.items() if name in quality]


def _absent(package: str, what: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"filter_documents: {what} needs {package}; install it with pip install 'pivotkit[filters]'"
    )


@functools.cache
def _words_of(code: str) -> Any:
    """What cuts words and sentences for datatrove. Its own for most languages is spaCy, which is five times slower."""
    import regex
    from datatrove.utils.word_tokenizers import WhitespaceTokenizer

    if code == "zh":
        cut = _chinese()
    elif code == "ja":
        cut = _japanese()
    else:
        cut = regex.compile(WORD).findall

    class Words(WhitespaceTokenizer):  # type: ignore[misc]
        """Remembers the words of the last text, for which several filters ask."""

        def __init__(self) -> None:
            super().__init__()
            self._last: tuple[str, list[str]] = ("", [])

        def word_tokenize(self, text: str) -> list[str]:
            if self._last[0] is not text:
                self._last = text, cut(text)
            return self._last[1]

    return Words()


def _chinese() -> Callable[[str], list[str]]:
    """Words as jieba cuts them, which is what datatrove uses."""
    try:
        import jieba
    except ImportError:
        raise _absent("jieba", "a quality filter of Chinese") from None
    jieba.setLogLevel(60)
    return lambda text: [word for word in jieba.lcut(text) if not word.isspace()]


def _japanese() -> Callable[[str], list[str]]:
    """Words as SudachiPy cuts them in its mode A, which is what datatrove uses."""
    try:
        import sudachidict_core  # noqa: F401
        from sudachipy import dictionary, tokenizer
    except ImportError:
        raise _absent("SudachiPy", "a quality filter of Japanese") from None
    cutter, mode = dictionary.Dictionary(dict="core").tokenizer(), tokenizer.Tokenizer.SplitMode.A

    def cut(text: str) -> list[str]:
        parts = (text[begin : begin + LONGEST_CUT] for begin in range(0, len(text), LONGEST_CUT))
        words = (str(word) for part in parts for word in cutter.tokenize(part, mode))
        return [word for word in words if not word.isspace()]

    return cut
