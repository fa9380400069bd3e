"""py3langid's model, read natively over many segments at once.

The library walks its automaton in Python, a byte at a time. ``csrc/languages/segment_reader.h`` is the same
walk and gives the same language; it also reads the two halves of a long segment on the way, which tells where a
sentence changes its language.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pivotkit import _C
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
LANES = 16  # classes that are read at a time
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
        model = _model()
        names = model.names if candidates is None else list(dict.fromkeys(candidates))
        columns = np.flatnonzero(np.isin(model.classes, names))
        place = {name: number for number, name in enumerate(names)}
        rare = [candidates is None and name not in (*LANGUAGES, NOTHING) for name in model.classes[columns]]
        self.languages = names
        self._languages = np.array([place[model.classes[column]] for column in columns], np.int32)
        self._nothing = place.get(NOTHING, -1)
        self._reader = _reader(model, columns, np.where(rare, np.float32(RARE), np.float32(0)))

    def label(self, segments: Iterable[bytes]) -> Labels:
        """The languages of segments of UTF-8."""
        labels = _read(self._reader, segments)
        first, second = (self._named(columns) for columns in (labels.first, labels.second))
        return labels._replace(first=first, second=second)

    def _named(self, columns: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        names = np.where(columns < 0, -1, self._languages[columns])
        return np.where(names == self._nothing, -1, names).astype(np.int32)


def check_candidates(function: str, candidates: Sequence[str]) -> None:
    """Refuse a language that the detector does not know."""
    unknown = [code for code in candidates if code not in _model().names]
    if unknown:
        refuse(function, "candidates", f"be among the {len(_model().names)} languages of py3langid", unknown[0])


def detector_version() -> str | None:
    """What the detector is, where it is installed."""
    try:
        return f"py3langid {version('py3langid')}"
    except ImportError:
        return None


class _Model(NamedTuple):
    names: list[str]
    classes: npt.NDArray[np.str_]  # a name may have several
    automaton: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16], npt.NDArray[np.int32]]
    features: npt.NDArray[np.float16]
    priors: npt.NDArray[np.float32]


@functools.cache
def _model() -> _Model:
    """The model, loaded once a process and held against the library; it takes a second and 70 MB."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise BackendUnavailable(
            "document_languages: py3langid must be installed to detect languages (pip install 'pivotkit[languages]')"
        ) from None
    try:
        identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
        moves, rows = (np.frombuffer(part, part.typecode) for part in (identifier.tk_nextmove, identifier.tk_row))
        automaton = (
            moves.astype(np.uint32, copy=False).reshape(-1, 256),
            rows.astype(np.uint16, copy=False),
            np.array(identifier.tk_output, np.int32),
        )
        classes, priors = np.array(identifier.nb_classes), np.asarray(identifier.nb_pc, np.float32)
        model = _Model(list(identifier.labels), classes, automaton, np.asarray(identifier.nb_ptc), priors)
        columns = np.arange(len(classes))
        labels = _read(
            _reader(model, columns, np.zeros(len(classes), np.float32)), map(str.encode, PROOF), halves=False
        )
        good = classes[labels.first].tolist() == [identifier.classify(text)[0] for text in PROOF]
    except (AttributeError, TypeError, ValueError, IndexError):
        good = False
    if not good:
        raise BackendUnavailable(
            f"document_languages: py3langid must be a version whose model is that of 0.4; got {detector_version()}"
        )
    return model


def _reader(model: _Model, columns: npt.NDArray[np.int64], handicaps: npt.NDArray[np.float32]) -> _C.SegmentReader:
    """A native reader of some classes; others fill up their number."""
    more = -len(columns) % LANES
    features = np.zeros((len(model.features), len(columns) + more), np.float32)
    features[:, : len(columns)] = model.features[:, columns]
    priors = np.pad(model.priors[columns], (0, more), constant_values=-np.inf)
    moves, rows, outputs = model.automaton
    return _C.SegmentReader(moves, rows, outputs, features, priors, np.pad(handicaps, (0, more)), _letters())


def _read(reader: _C.SegmentReader, segments: Iterable[bytes], halves: bool = True) -> Labels:
    """The classes of segments, and of their halves."""
    texts = [_prepared(segment) for segment in segments]
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    data = np.frombuffer(b"".join(texts), np.uint8)
    return Labels(*reader.read(data, offsets, HALF_BYTES if halves else len(data) + 1, LEAD))


@functools.cache
def _letters() -> npt.NDArray[np.uint8]:
    """Which code points are letters."""
    return np.fromiter((chr(code).isalpha() for code in range(CODE_POINTS)), np.uint8, CODE_POINTS)


def _prepared(segment: bytes) -> bytes:
    """A segment as the model was trained: in NFC, and in small letters where all are large."""
    if segment.isascii():
        return segment.lower() if segment.isupper() else segment
    text = segment.decode("utf-8")
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode("utf-8", "surrogatepass")
