"""Co-occurrence or semantic pivot: the rules that read an item's behavior off its trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.lens.first_choices import FirstChoices, first_choices

CO_OCCURRENCE, PIVOT, COPY, OTHER, EXCLUDED = "co-occurrence", "pivot", "copy", "other", "excluded"
SHARES = {"co_occurrence": CO_OCCURRENCE, "pivot": PIVOT, "copy": COPY, "other": OTHER, "excluded": EXCLUDED}
POOLED = "all"  # the name of the pairs pooled

BEHAVIORS = pa.schema(
    [("item", pa.int32()), ("pair", pa.string()), ("rule", pa.string()), ("behavior", pa.string()),
     ("correct", pa.bool_()), ("peak_layer", pa.int32()), ("peak_id", pa.int32()), ("peak_token", pa.string()),
     ("peak_logprob", pa.float32())]
)  # fmt: skip
SENSITIVITY = pa.schema(
    [("pair", pa.string()), ("rule", pa.string()), ("min_probability", pa.float64()), ("first_layer", pa.int32()),
     ("items", pa.int32()), *((name, pa.float64()) for name in SHARES)]
)  # fmt: skip
PROBABILITIES = tuple(step / 20 for step in range(1, 11))  # 0.05 to 0.5

Found = tuple[NDArray[Any], NDArray[np.int64]]  # (N,) behaviors, and the block that decided, -1 where none did


def classify(
    traces: pa.Table,
    rule: str | Sequence[str] = ("paper", "strict", "threshold"),
    *,
    min_probability: float = 0.2,
    first_layer: int | None = None,
    threshold: float = 0.1,
    least_peak: float = 0.0,
) -> pa.Table:
    """Tell the behavior of every traced item, by one rule or several.

    Parameters
    ----------
    traces : pyarrow.Table
        What `trace` returns; rows labelled ``answer`` are read.
    rule : {"paper", "strict", "threshold"} or a sequence of them
        Under every rule, items whose two words share a piece are excluded: what a layer says of one it says of the other.

        ``"paper"``: the token with the highest first-choice probability over all blocks; co-occurrence when it is the
        final first choice or a piece of the source word, else pivot.
        ``"strict"``: only items answered correctly; the most confident first choice from ``first_layer`` to the last
        block but one that is a word, not the target and at least ``min_probability`` likely: the source word makes it a
        copy, another word a pivot, none co-occurrence; wrong answers are other. A token that can begin both words
        counts as the target.
        ``"threshold"``: pivot when any block's first choice is at least ``threshold`` likely and a piece of neither
        word, else co-occurrence.
    min_probability : float, default 0.2
        For ``"strict"`` only.
    first_layer : int, optional
        For ``"strict"`` only; by default the block in the middle. In the first blocks the raw lens is often
        sure of one and the same token whatever the prompt.
    threshold : float, default 0.1
        For ``"threshold"`` only.
    least_peak : float, default 0
        For ``"paper"`` only: items whose peak is less likely are excluded.

    Returns
    -------
    pyarrow.Table
        ``item, pair, rule, behavior, correct, peak_layer, peak_id, peak_token, peak_logprob``, an item and rule a row.
        The peak is the step that decided; null where none did.

    Raises
    ------
    ValueError
        An unknown rule, a probability outside [0, 1], a layer below 1, a table that lacks a column, or items that
        lack a layer which others have.

    Notes
    -----
    ``"paper"`` and ``"threshold"`` are the two rules of the code published with arXiv 2505.16385, where the second
    excludes nothing and a least peak of 0.1 is commented out; of equally likely peaks the later layer counts. The
    source's and target's ids come with the traces.
    """
    rules = [rule] if isinstance(rule, str) else list(rule)
    for name in rules:
        if name not in RULES:
            raise ValueError(f"classify: rule must be one of {', '.join(RULES)}; got {name!r}")
    least = {"paper": least_peak, "strict": min_probability, "threshold": threshold}
    for name, value in (("min_probability", min_probability), ("threshold", threshold), ("least_peak", least_peak)):
        _check_probability("classify", name, value)
    if first_layer is not None:
        _check_layer("classify", "first_layer", first_layer)
    seen = first_choices("classify", traces)
    found = [RULES[name](seen, least[name], first_layer) for name in rules]
    rows = []
    for at, (item, pair) in enumerate(zip(seen.items.tolist(), seen.pairs.tolist(), strict=True)):
        for name, (behaviors, peaks) in zip(rules, found, strict=True):
            peak = int(peaks[at])
            told = {"item": item, "pair": pair, "rule": name, "behavior": behaviors[at], "correct": seen.correct[at]}
            if peak >= 0:
                told |= {
                    "peak_layer": peak + 1, "peak_id": seen.tokens[at, peak], "peak_token": seen.texts[at, peak],
                    "peak_logprob": seen.logprobs[at, peak],
                }  # fmt: skip
            rows.append(told)
    return pa.Table.from_pylist(rows, schema=BEHAVIORS)


def sensitivity(
    traces: pa.Table,
    *,
    probabilities: Sequence[float] = PROBABILITIES,
    first_layers: Sequence[int] | None = None,
) -> pa.Table:
    """Tell how the shares of the behaviors move with the rule and its thresholds.

    Equivalent to the shares of ``classify(traces, rule, ...)`` at every point of the grid; the traces are read once.

    Parameters
    ----------
    traces : pyarrow.Table
        What `trace` returns; rows labelled ``answer`` are read.
    probabilities : sequence of float, default 0.05, 0.1 ... 0.5
        Values of ``min_probability`` for ``"strict"``, of ``threshold`` for ``"threshold"`` and, beside 0, of
        ``least_peak`` for ``"paper"``.
    first_layers : sequence of int, optional
        For ``"strict"``; by default 1 and the blocks at a quarter, a half and three quarters of the model.

    Returns
    -------
    pyarrow.Table
        ``pair`` ("all" for the pairs pooled), ``rule, min_probability, first_layer`` (null for the rules that look at
        every block), ``items``, and the shares of the items that are ``co_occurrence, pivot, copy, other, excluded``,
        which sum to 1.

    Raises
    ------
    ValueError
        As `classify`.

    Notes
    -----
    A grid point costs a few passes over an array of items times blocks: 61 points over 4,000 items and 30 blocks take
    about a second, most of it spent on reading the traces.
    """
    for value in probabilities:
        _check_probability("sensitivity", "probabilities", value)
    for layer in first_layers or ():
        _check_layer("sensitivity", "first_layers", layer)
    seen = first_choices("sensitivity", traces)
    if first_layers is None:
        first_layers = sorted({max(1, seen.blocks * quarter // 4) for quarter in range(4)})
    grid: list[tuple[str, float, int | None]] = [("paper", least, None) for least in sorted({0.0, *probabilities})]
    grid += [("strict", least, first) for first in first_layers for least in probabilities]
    grid += [("threshold", least, None) for least in probabilities]
    groups = [(pair, seen.pairs == pair) for pair in dict.fromkeys(seen.pairs.tolist())]
    groups.append((POOLED, np.ones(len(seen.pairs), dtype=bool)))
    rows = []
    for rule, least, first in grid:
        behaviors, _ = RULES[rule](seen, least, first)
        shown = {name: behaviors == behavior for name, behavior in SHARES.items()}
        for pair, chosen in groups:
            if size := int(chosen.sum()):
                point = {"pair": pair, "rule": rule, "min_probability": least, "first_layer": first, "items": size}
                rows.append(point | {name: int(which[chosen].sum()) / size for name, which in shown.items()})
    return pa.Table.from_pylist(rows, schema=SENSITIVITY)


def _paper(seen: FirstChoices, least: float, first_layer: int | None) -> Found:
    peaks = _surest(seen, np.ones(seen.tokens.shape, dtype=bool))
    at = np.arange(len(peaks))
    direct = (seen.tokens[at, peaks] == seen.tokens[:, -1]) | seen.source_piece[at, peaks]
    excluded = seen.shared | (seen.logprobs[at, peaks] < _log(least))
    return np.select([excluded, direct], [EXCLUDED, CO_OCCURRENCE], PIVOT), np.where(excluded, -1, peaks)


def _strict(seen: FirstChoices, least: float, first_layer: int | None) -> Found:
    first = seen.blocks // 2 if first_layer is None else first_layer
    layers = np.arange(1, seen.blocks + 1)
    through = seen.word & ~seen.target & ~seen.target_piece & (seen.logprobs >= _log(least))
    through &= (layers >= first) & (layers < seen.blocks) & (seen.correct & ~seen.shared)[:, None]
    peaks = _surest(seen, through)
    copied = (seen.source | seen.source_piece)[np.arange(len(peaks)), peaks]
    cases = [seen.shared, ~seen.correct, peaks < 0, copied]
    return np.select(cases, [EXCLUDED, OTHER, CO_OCCURRENCE, COPY], PIVOT), peaks


def _threshold(seen: FirstChoices, least: float, first_layer: int | None) -> Found:
    through = ~seen.source_piece & ~seen.target_piece & (seen.logprobs >= _log(least)) & ~seen.shared[:, None]
    peaks = _surest(seen, through)
    return np.select([seen.shared, peaks < 0], [EXCLUDED, CO_OCCURRENCE], PIVOT), peaks


RULES: dict[str, Callable[[FirstChoices, float, int | None], Found]] = {
    "paper": _paper,
    "strict": _strict,
    "threshold": _threshold,
}


def _surest(seen: FirstChoices, among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where each item's most likely first choice ``among`` its steps stands, the later of equals; -1 where there is none."""
    logprobs = np.where(among, seen.logprobs, -np.inf)[:, ::-1]
    return np.where(among.any(axis=1), seen.blocks - 1 - logprobs.argmax(axis=1), -1)


def _log(probability: float) -> float:
    return math.log(probability) if probability else -math.inf


def _check_probability(function: str, name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{function}: {name} must be between 0 and 1; got {value}")


def _check_layer(function: str, name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{function}: {name} must be at least 1; got {value}")
