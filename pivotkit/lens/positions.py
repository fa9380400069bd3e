"""Which tokens of a prompt are traced; characters give the positions, never token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.arguments import check_int, check_strings, elements, refuse_kind, shown
from pivotkit.lens.model.encoding import Encoded
from pivotkit.words.questions import source_spans

ANSWER = "answer"
POSITIONS = (ANSWER, "source", "all")
BLOCK, ATTENTION = "block", "attention"  # where in a block: its output, or between attention and feed-forward part
POINTS = (BLOCK, ATTENTION)

Spans = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class Place:
    """A labelled token of a prompt."""

    label: str
    index: int  # of the token


def find_places(
    items: pa.Table, texts: Sequence[Encoded], positions: Sequence[str], spans: Spans | None = None
) -> list[list[Place]]:
    """Find the places of every item.

    Parameters
    ----------
    items : pyarrow.Table
    texts : sequence of Encoded
        The prompt and answer of each item.
    positions : sequence of `POSITIONS`
        `trace` says what they mean.
    spans : mapping of label to one (begin, end) per item, optional
        Characters of the item's prompt.

    Returns
    -------
    list of lists of Place
        One list per item.

    Raises
    ------
    ValueError
        A position is unknown, there is none, a label of ``spans`` is the name of a position, a label does not have one
        span per item, or a span holds no token.
    """
    check_places(positions, spans, items.num_rows)
    spans = spans or {}
    sources = source_spans(items) if "source" in positions else []
    places = []
    for at, text in enumerate(texts):
        own: list[Place] = []
        for label in dict.fromkeys(positions):
            if label == ANSWER:
                own.append(Place(label, text.telling - 1))
            elif label == "all":
                own += [Place(label, index) for index in range(text.telling)]
            else:
                own += _tokens("source", text, *sources[at])
        for label, listed in spans.items():
            own += _tokens(label, text, *listed[at])
        places.append(own)
    return places


def check_points(points: Sequence[str]) -> None:
    """Refuse points that `trace` does not know, and those without the outputs of blocks, which every reader needs."""
    given = check_strings("trace", "points", points)
    for point in given:
        if point not in POINTS:
            raise ValueError(f"trace: points must be of {', '.join(POINTS)}; got {shown(point)}")
    if BLOCK not in given:
        raise ValueError(f"trace: points must hold {BLOCK!r}; got {', '.join(given) or 'none'}")


def lines_of(table: pa.Table) -> NDArray[np.int64]:
    """Where the row of a trace stands among the states of its position: layers 0 to L, then the middles of 1 to L."""
    layers = table["layer"].to_numpy().astype(np.int64)
    middle = pc.equal(table["point"], ATTENTION).to_numpy(zero_copy_only=False)
    lines: NDArray[np.int64] = layers + middle * layers.max(initial=0)
    return lines


def at_blocks(traces: pa.Table) -> pa.Table:
    """The rows of a trace that are of the outputs of blocks; all rows of a trace of before there were others."""
    return traces.filter(pc.field("point") == BLOCK) if "point" in traces.column_names else traces


def check_places(positions: Sequence[str], spans: Spans | None, items: int) -> None:
    """Refuse positions and spans that `find_places` cannot find for so many items."""
    for label in check_strings("trace", "positions", positions):
        if label not in POSITIONS:
            raise ValueError(f"trace: positions must be of {', '.join(POSITIONS)}; got {shown(label)}")
    if spans is not None and not isinstance(spans, Mapping):
        refuse_kind("trace", "spans", "be a mapping of label to one (begin, end) per item, or None", spans)
    if not positions and not spans:
        raise ValueError("trace: positions must name at least one position; got none")
    for label, listed in (spans or {}).items():
        if label in POSITIONS:
            raise ValueError(f"trace: spans must have labels other than {', '.join(POSITIONS)}; got {label!r}")
        check_strings("trace", "spans", [label])
        given = elements("trace", "spans", listed, "a mapping to one (begin, end) per item")
        if len(given) != items:
            raise ValueError(f"trace: spans must have one span per item, {items}; got {len(given)} for {label!r}")
        for span in given:
            if not isinstance(span, tuple | list) or len(span) != 2:
                refuse_kind("trace", "spans", "be pairs (begin, end)", span)
            for place in span:
                check_int("trace", "spans", place, 0)


def _tokens(label: str, text: Encoded, begin: int, end: int) -> list[Place]:
    found = [Place(label, index) for index in text.span(begin, end) if index < text.word_start]
    if not found:
        raise ValueError(f"trace: span {label!r} must hold a token of the prompt; got characters {begin} to {end}")
    return found
