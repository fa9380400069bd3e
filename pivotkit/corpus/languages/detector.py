"""py3langid's model, walked over many segments at once.

The library walks its automaton in Python, a byte at a time: 1 MB/s. `_label` is the same walk, compiled, and gives the
same language; it also reads the two halves of a long segment on the way, which tells where a sentence changes language.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pivotkit.arguments import refuse
from pivotkit.errors import BackendUnavailable
from pivotkit.words.languages import LANGUAGES

NOTHING = "zxx"  # py3langid's class of numbers, markup and identifiers
HALF_BYTES = 30  # letters, in bytes, that a half must have before it is read alone
LEAD = 2.0  # nats per square root of bytes by which a half must prefer its language to that of the other half
# The same, by which a language that pivotkit has no name for must lead one that it has. Without it, short lines of
# English are Nigerian Pidgin, and short lines of Chinese are Wu.
RARE = 2.0
CODE_POINTS = 0x40000  # no letter lies above
PROOF = (
    "Do you want to check your settings and try again?",
    "Voulez-vous vérifier vos paramètres et réessayer ?",
    "您想要设置并重试吗？",
    "Проверьте настройки и попробуйте ещё раз.",
)


class Labels(NamedTuple):
    """The languages of S segments, as places in `Detector.languages`; -1 for none.

    Attributes
    ----------
    first : int32 (S,)
        The language of the segment, or of its first half.
    second : int32 (S,)
        The language of the second half, where it is another one.
    first_letters, second_letters : int64 (S,)
        UTF-8 bytes of the letters of the segment or its first half, and of the second half, where that is apart.
    """

    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    first_letters: npt.NDArray[np.int64]
    second_letters: npt.NDArray[np.int64]


class Detector:
    """Tells the language of segments of text.

    Parameters
    ----------
    candidates : sequence of str, optional
        The only languages there are. None (default): the 139 that py3langid knows.

    Attributes
    ----------
    languages : list[str]
    """

    def __init__(self, candidates: Sequence[str] | None = None) -> None:
        model = _proved_model()
        names = model.names if candidates is None else list(dict.fromkeys(candidates))
        columns = np.flatnonzero(np.isin(model.classes, names))
        place = {name: number for number, name in enumerate(names)}
        self.languages = names
        self._languages = np.array([place[model.classes[column]] for column in columns], np.int32)
        self._nothing = place.get(NOTHING, -1)
        rare = [candidates is None and name not in (*LANGUAGES, NOTHING) for name in model.classes[columns]]
        handicaps = np.where(rare, np.float32(RARE), np.float32(0))
        features, priors = model.features, model.priors
        if len(columns) < len(priors):
            features, priors = np.ascontiguousarray(features[:, columns]), priors[columns]
        self._arrays = model.automaton, (features, priors, handicaps)

    def label(self, segments: Iterable[bytes]) -> Labels:
        """The languages of segments of UTF-8. Cost: some 10 MB/s for all languages, 30 MB/s for two."""
        texts = [_prepared(segment) for segment in segments]
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        data = np.frombuffer(b"".join(texts), np.uint8)
        automaton, tables = self._arrays
        labels = Labels(*_kernel()(data, offsets, _letters(), automaton, tables, HALF_BYTES, LEAD))
        first, second = (self._named(columns) for columns in (labels.first, labels.second))
        return labels._replace(first=first, second=second)

    def _named(self, columns: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        names = np.where(columns < 0, -1, self._languages[columns])
        return np.where(names == self._nothing, -1, names).astype(np.int32)


def check_candidates(function: str, candidates: Sequence[str]) -> None:
    """Refuse a language that the detector does not know."""
    unknown = [code for code in candidates if code not in _model().names]
    if unknown:
        refuse(function, "candidates", f"be languages of py3langid ({', '.join(_model().names)})", unknown[0])


def detector_version() -> str | None:
    """What the detector is, where it is installed."""
    try:
        return f"py3langid {version('py3langid')}"
    except ImportError:
        return None


class _Model(NamedTuple):
    names: list[str]
    classes: npt.NDArray[np.str_]
    automaton: tuple[npt.NDArray[Any], ...]
    features: npt.NDArray[np.float32]
    priors: npt.NDArray[np.float32]
    answers: list[str]  # to `PROOF`


@functools.cache
def _model() -> _Model:
    """The model, loaded once a process: it takes a second and 110 MB."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise BackendUnavailable(
            "document_languages: py3langid must be installed to detect languages (pip install 'pivotkit[languages]')"
        ) from None
    try:
        identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
        moves, rows = (np.frombuffer(part, part.typecode) for part in (identifier.tk_nextmove, identifier.tk_row))
        return _Model(
            list(identifier.labels),
            np.array(identifier.nb_classes),
            (moves, rows, np.array(identifier.tk_output, np.int32)),
            np.asarray(identifier.nb_ptc, np.float32),
            np.asarray(identifier.nb_pc, np.float32),
            [identifier.classify(text)[0] for text in PROOF],
        )
    except (AttributeError, TypeError, ValueError, IndexError):
        raise _unknown() from None


def _unknown() -> BackendUnavailable:
    return BackendUnavailable(
        f"document_languages: py3langid must be a version whose model is that of 0.4; got {detector_version()}"
    )


@functools.cache
def _proved_model() -> _Model:
    """The model, once the walk has given the library's answers."""
    model = _model()
    texts = [_prepared(text.encode()) for text in PROOF]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(text) for text in texts])])
    tables = model.features, model.priors, np.zeros(len(model.priors), np.float32)
    data = np.frombuffer(b"".join(texts), np.uint8)
    columns, *_ = _kernel()(data, offsets, _letters(), model.automaton, tables, len(data), LEAD)
    if model.classes[columns].tolist() != model.answers:
        raise _unknown()
    return model


@functools.cache
def _letters() -> npt.NDArray[np.bool_]:
    """Which code points are letters."""
    return np.fromiter((chr(code).isalpha() for code in range(CODE_POINTS)), np.bool_, CODE_POINTS)


def _prepared(segment: bytes) -> bytes:
    """A segment as the model was trained: in NFC, and in small letters where all are large."""
    if segment.isascii():
        return segment.lower() if segment.isupper() else segment
    text = segment.decode("utf-8")
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode("utf-8", "surrogatepass")


@functools.cache
def _kernel() -> Any:
    """The compiled walk; Numba takes a second to load and some to compile it."""
    import numba

    @numba.njit(nogil=True)
    def middle_of(data: Any, begin: int, end: int) -> int:
        """The white space nearest the middle, or the character there where there is none."""
        middle = (begin + end) // 2
        for away in range((end - begin) // 4):
            if data[middle - away] == 32:
                return middle - away
            if data[middle + away] == 32:
                return middle + away
        while middle > begin and data[middle] & 0xC0 == 0x80:
            middle -= 1
        return middle

    @numba.njit(nogil=True)
    def letter_bytes(data: Any, begin: int, end: int, letters: Any) -> int:
        total, at = 0, begin
        while at < end:
            lead = data[at]
            size = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            code = lead if size == 1 else lead & (0x7F >> size)
            for place in range(at + 1, min(at + size, end)):
                code = code << 6 | (data[place] & 0x3F)
            if code < len(letters) and letters[code]:
                total += size
            at += size
        return total

    @numba.njit(nogil=True)
    def label(data: Any, offsets: Any, letters: Any, automaton: Any, tables: Any, half: int, lead: float) -> Any:
        moves, rows, outputs = automaton
        features, priors, handicaps = tables
        segments, classes = len(offsets) - 1, features.shape[1]
        labels, sizes = np.full((2, segments), -1, np.int32), np.zeros((2, segments), np.int64)
        counts, left_counts = np.zeros(len(features), np.int32), np.zeros(len(features), np.int32)
        seen = np.empty(len(features), np.int32)
        whole, left, right = np.empty((3, classes), np.float32)
        for segment in range(segments):
            begin, end = offsets[segment], offsets[segment + 1]
            middle = middle_of(data, begin, end)
            left_size, right_size = letter_bytes(data, begin, middle, letters), letter_bytes(data, middle, end, letters)
            sizes[0, segment] = left_size + right_size
            if left_size + right_size == 0:
                continue
            state, found = 0, 0
            for at in range(begin, end):
                state = moves[(np.int64(rows[state]) << 8) + data[at]]
                feature = outputs[state]
                if feature >= 0:
                    if counts[feature] == 0:
                        seen[found] = feature
                        found += 1
                    counts[feature] += 1
                    left_counts[feature] += at < middle
            halves = left_size >= half and right_size >= half
            for c in range(classes):
                whole[c] = priors[c] - handicaps[c] * np.sqrt(np.float32(end - begin))
                left[c] = priors[c] - handicaps[c] * np.sqrt(np.float32(middle - begin))
                right[c] = priors[c] - handicaps[c] * np.sqrt(np.float32(end - middle))
            for place in range(found):
                feature = seen[place]
                row = features[feature]
                both, one = counts[feature], left_counts[feature]
                counts[feature] = left_counts[feature] = 0
                weight = np.float32(np.log1p(np.float32(both)))
                if halves:
                    first, second = np.float32(np.log1p(np.float32(one))), np.float32(np.log1p(np.float32(both - one)))
                    for c in range(classes):
                        whole[c] += weight * row[c]
                        left[c] += first * row[c]
                        right[c] += second * row[c]
                else:
                    for c in range(classes):
                        whole[c] += weight * row[c]
            if found == 0:
                continue
            labels[0, segment] = whole.argmax()
            if halves:
                a, b = left.argmax(), right.argmax()
                surely = left[a] - left[b] >= lead * np.sqrt(np.float32(middle - begin))
                if surely and right[b] - right[a] >= lead * np.sqrt(np.float32(end - middle)):
                    labels[0, segment], labels[1, segment] = a, b
                    sizes[0, segment], sizes[1, segment] = left_size, right_size
        return labels[0], labels[1], sizes[0], sizes[1]

    return label
