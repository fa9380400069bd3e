"""Co-occurrence or semantic pivot: the rules that classify an item's behavior by its trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import check_int, check_number, check_strings, check_text
from pivotkit.lens.first_choices import FirstChoices, first_choices

CO_OCCURRENCE, PIVOT, COPY, OTHER, EXCLUDED = "co-occurrence", "pivot", "copy", "other", "excluded"
SHARES = {"co_occurrence": CO_OCCURRENCE, "pivot": PIVOT, "copy": COPY, "other": OTHER, "excluded": EXCLUDED}
POOLED = "all"  # names the row of all pairs together

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

# (N,) behaviors, and (N,) index of the block that decided, -1 if none did
Found = tuple[NDArray[Any], NDArray[np.int64]]


def classify(
    traces: pa.Table,
    rule: str | Sequence[str] = ("paper", "strict", "threshold"),
    *,
    min_probability: float = 0.2,
    first_layer: int | None = None,
    threshold: float = 0.1,
    least_peak: float = 0.0,
) -> pa.Table:
    """Classify the behavior of every traced item by one or more rules.

    Parameters
    ----------
    traces : pyarrow.Table
        The result of `trace`; only rows labelled ``answer`` are read.
    rule : {"paper", "strict", "threshold"} or a sequence of them, default all three
        Every rule reads the first choice of each block, and excludes items whose two words share a piece.

        ``"paper"`` takes the first choice with the highest probability over all blocks. The item is co-occurrence if
        that token is the last block's first choice or a piece of the source word, and pivot otherwise.
        ``"strict"`` calls wrong answers other. For correct answers it takes the most probable first choice, from block
        ``first_layer`` to the last block but one, that is a word, is not the target and has at least
        ``min_probability``. The item is copy if that token is the source word, pivot if it is another word, and
        co-occurrence if there is none. A token that can begin both words counts as the target.
        ``"threshold"`` calls an item pivot if any block's first choice has at least ``threshold`` and is a piece of
        neither word, and co-occurrence otherwise.
    min_probability : float, default 0.2
        For ``"strict"`` only.
    first_layer : int, optional
        For ``"strict"`` only; by default the middle block. In early blocks the raw lens often gives one token a high
        probability whatever the prompt.
    threshold : float, default 0.1
        For ``"threshold"`` only.
    least_peak : float, default 0
        For ``"paper"`` only: excludes items whose highest probability is lower.

    Returns
    -------
    pyarrow.Table
        One row per item and rule; columns ``item, pair, rule, behavior, correct, peak_layer, peak_id, peak_token,
        peak_logprob``. The peak is the first choice that decided; null if none did.

    Raises
    ------
    TypeError
        ``traces`` is no table, or another argument is of another kind.
    ValueError
        A rule is unknown, a probability is outside [0, 1], ``first_layer`` is below 1, a column is missing, or some
        items lack layers that others have.

    Notes
    -----
    ``"paper"`` and ``"threshold"`` are the two rules of the code published with arXiv 2505.16385. That code excludes
    nothing under the second rule, and has a least peak of 0.1 commented out. Of equal probabilities the later layer
    counts. The ids of source and target come with the traces.
    """
    rules = [rule] if isinstance(rule, str) else check_strings("classify", "rule", rule, "a rule or several")
    for name in rules:
        check_text("classify", "rule", name, tuple(RULES))
    if not rules:
        raise ValueError("classify: rule must be at least one; got none")
    least = {"paper": least_peak, "strict": min_probability, "threshold": threshold}
    for name, value in (("min_probability", min_probability), ("threshold", threshold), ("least_peak", least_peak)):
        check_number("classify", name, value, 0, 1)
    check_int("classify", "first_layer", first_layer, 1, none=True)
    seen = first_choices("classify", traces)
    check_int("classify", "first_layer", first_layer, 1, seen.blocks, none=True)
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
    """Compute the share of each behavior over a grid of rules and thresholds.

    Equivalent to the shares of ``classify(traces, rule, ...)`` at every point of the grid, but reads the traces once.

    Parameters
    ----------
    traces : pyarrow.Table
        The result of `trace`; only rows labelled ``answer`` are read.
    probabilities : sequence of float, default 0.05, 0.1 ... 0.5
        Values of ``min_probability`` for ``"strict"``, of ``threshold`` for ``"threshold"``, and of ``least_peak`` for
        ``"paper"``, where 0 is added.
    first_layers : sequence of int, optional
        Values of ``first_layer`` for ``"strict"``; by default 1 and the blocks at a quarter, a half and three quarters
        of the model.

    Returns
    -------
    pyarrow.Table
        One row per pair and grid point. Columns ``pair`` ("all" for all pairs together), ``rule, min_probability``,
        ``first_layer`` (null for rules that read every block), ``items``, and the shares ``co_occurrence, pivot, copy,
        other, excluded`` of the items, which sum to 1.

    Raises
    ------
    TypeError, ValueError
        As `classify`.

    Notes
    -----
    Cost: a few passes over an array of items times blocks per grid point. 61 points over 4,000 items and 30 blocks take
    about a second, most of it for reading the traces.
    """
    for value in probabilities:
        check_number("sensitivity", "probabilities", value, 0, 1)
    for layer in first_layers or ():
        check_int("sensitivity", "first_layers", layer, 1)
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
    """The index of each item's most probable first choice within ``among``, the last of equals; -1 if there is none."""
    logprobs = np.where(among, seen.logprobs, -np.inf)[:, ::-1]
    return np.where(among.any(axis=1), seen.blocks - 1 - logprobs.argmax(axis=1), -1)


def _log(probability: float) -> float:
    return math.log(probability) if probability else -math.inf
