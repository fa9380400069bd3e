"""The native walk of a made-up model, against NumPy; and models that lead out of their arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit import _C

STATES, FEATURES, CLASSES, HALF, LEAD = 7, 11, 16, 4, 0.5


def model(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "moves": rng.integers(STATES, size=(3, 256), dtype=np.uint32),
        "rows": rng.integers(3, size=STATES, dtype=np.uint16),
        "outputs": rng.integers(-2, FEATURES, size=STATES, dtype=np.int32),
        "features": rng.normal(size=(FEATURES, CLASSES)).astype(np.float32),
        "priors": rng.normal(size=CLASSES).astype(np.float32),
        "handicaps": rng.choice([0, 1], CLASSES).astype(np.float32),
        "letters": np.array([chr(code).isalpha() for code in range(0x3000)], np.uint8),
    }


def scores(made: dict[str, Any], met: list[int], size: int) -> Any:
    counts = np.bincount(met, minlength=FEATURES) if met else np.zeros(FEATURES)
    return made["priors"] - made["handicaps"] * np.sqrt(size) + np.log1p(counts) @ made["features"].astype(np.float64)


def letters(made: dict[str, Any], raw: bytes) -> int:
    codes = [(ord(char), len(char.encode())) for char in raw.decode()]
    return sum(size for code, size in codes if code < 0x3000 and made["letters"][code])


def by_hand(made: dict[str, Any], raw: bytes) -> tuple[int, int, int, int]:
    """Classes and letters of one segment, as the header says."""
    middle = len(raw) // 2
    spaces = [place for place in range(len(raw)) if raw[place] == 32 and abs(place - middle) < len(raw) // 4]
    if spaces:
        middle = min(spaces, key=lambda place: (abs(place - middle), place))
    while not spaces and middle and raw[middle] & 0xC0 == 0x80:
        middle -= 1
    left, right = letters(made, raw[:middle]), letters(made, raw[middle:])
    met: list[list[int]] = [[], []]
    state = 0
    for place, byte in enumerate(raw):
        state = made["moves"][made["rows"][state], byte]
        if made["outputs"][state] >= 0:
            met[place >= middle].append(int(made["outputs"][state]))
    if not left + right or not (met[0] or met[1]):
        return -1, -1, left + right, 0
    if left >= HALF and right >= HALF:
        sizes = middle, len(raw) - middle
        one, other = (scores(made, part, size) for part, size in zip(met, sizes, strict=True))
        a, b = int(one.argmax()), int(other.argmax())
        leads = one[a] - one[b] - LEAD * np.sqrt(sizes[0]), other[b] - other[a] - LEAD * np.sqrt(sizes[1])
        if a != b and min(leads) >= 0:
            return a, b, left, right
    return int(scores(made, met[0] + met[1], len(raw)).argmax()), -1, left + right, 0


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 9), st.lists(st.text("ab é中\u3001 .ß𝒜z", max_size=30), max_size=6))
def test_the_walk_is_that_of_the_header(seed: int, texts: list[str]) -> None:
    made = model(seed)
    raw = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, raw)])
    found = _C.SegmentReader(**made).read(np.frombuffer(b"".join(raw), np.uint8), offsets, HALF, LEAD)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == [by_hand(made, one) for one in raw]


def test_equal_scores_go_to_the_first_class() -> None:
    made = model() | {"features": np.zeros((FEATURES, CLASSES), np.float32), "priors": np.zeros(CLASSES, np.float32)}
    made |= {"handicaps": np.zeros(CLASSES, np.float32), "outputs": np.zeros(STATES, np.int32)}
    found = _C.SegmentReader(**made).read(np.frombuffer(b"abc", np.uint8), np.array([0, 3]), 9, LEAD)
    assert found[0].tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moves": np.full((3, 256), STATES, np.uint32)}, "moves must be below 7; got 7"),
        ({"moves": np.zeros((3, 255), np.uint32)}, r"moves must have shape \(rows, 256\)"),
        ({"rows": np.full(STATES, 3, np.uint16)}, "rows must be below 3; got 3"),
        ({"rows": np.zeros(0, np.uint16), "outputs": np.zeros(0, np.int32)}, "rows must hold at least one state"),
        ({"outputs": np.full(STATES, FEATURES, np.int32)}, "outputs must be below 11; got 11"),
        ({"outputs": np.zeros(STATES - 1, np.int32)}, "outputs must be as many as rows; got 6"),
        ({"priors": np.zeros(15, np.float32)}, "priors and handicaps must be 16; got 15"),
        ({"features": np.zeros(3, np.float32)}, "features must have two dimensions; got 1"),
    ],
)
def test_a_model_that_leads_out_of_its_arrays_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^SegmentReader: {message}"):
        _C.SegmentReader(**(model() | change))


def test_classes_come_in_sixteens() -> None:
    narrow = {"features": np.zeros((FEATURES, 15), np.float32)} | dict.fromkeys(
        ("priors", "handicaps"), np.zeros(15, np.float32)
    )
    with pytest.raises(ValueError, match=r"^SegmentReader: classes must be a multiple of 16; got 15"):
        _C.SegmentReader(**(model() | narrow))


def test_segments_that_do_not_fit_the_data_are_refused() -> None:
    reader, data = _C.SegmentReader(**model()), np.zeros(3, np.uint8)
    for offsets in ([0, 4], [2, 1], [], [-1, 2]):
        with pytest.raises(ValueError, match=r"^read: segments offsets must"):
            reader.read(data, np.array(offsets, np.int64), HALF, LEAD)
