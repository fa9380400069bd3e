"""Co-occurrence or semantic pivot: the rules that classify an item's behavior by its trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import check_number, check_strings, check_text
from pivotkit.artifacts import table_metadata, with_metadata
from pivotkit.lens.first_choices import FirstChoices, first_choices
from pivotkit.lens.specific_tokens import LEAST_CONTRAST, LEAST_PROBABILITY, log_probability
from pivotkit.lens.strict_rule import (
    CO_OCCURRENCE,
    EXCLUDED,
    OTHER,
    Judged,
    Steps,
    judge,
    read_steps,
    require_contrasts,
)
from pivotkit.words.token_classes import COPY, PIVOT

PAPER, STRICT, THRESHOLD = "paper", "strict", "threshold"
RULES = (PAPER, STRICT, THRESHOLD)
SHARES = {"co_occurrence": CO_OCCURRENCE, "pivot": PIVOT, "copy": COPY, "other": OTHER, "excluded": EXCLUDED}
POOLED = "all"  # names the row of all pairs together

BEHAVIORS = pa.schema(
    [("item", pa.int32()), ("pair", pa.string()), ("rule", pa.string()), ("behavior", pa.string()),
     ("correct", pa.bool_()), ("peak_layer", pa.int32()), ("peak_id", pa.int32()), ("peak_token", pa.string()),
     ("peak_logprob", pa.float32()), ("peak_contrast", pa.float32()), ("class", pa.string()),
     ("language", pa.string()), ("also", pa.list_(pa.string()))]
)  # fmt: skip
SENSITIVITY = pa.schema(
    [("pair", pa.string()), ("rule", pa.string()), ("min_probability", pa.float64()),
     ("least_contrast", pa.float64()), ("items", pa.int32()), *((name, pa.float64()) for name in SHARES)]
)  # fmt: skip
PROBABILITIES = tuple(step / 20 for step in range(1, 11))  # 0.05 to 0.5
CONTRASTS = tuple(math.log(times) for times in (10, 100, 1000))

# (N,) behaviors, and (N,) index of the block that decided, -1 if none did
Found = tuple[NDArray[Any], NDArray[np.int64]]


def classify(
    traces: pa.Table,
    rule: str | Sequence[str] = RULES,
    *,
    min_probability: float = LEAST_PROBABILITY,
    least_contrast: float = LEAST_CONTRAST,
    threshold: float = 0.1,
    least_peak: float = 0.0,
) -> pa.Table:
    """Classify the behavior of every traced item by one or more rules.

    Parameters
    ----------
    traces : pyarrow.Table
        The result of `trace`; only rows labelled ``answer`` are read.
    rule : {"paper", "strict", "threshold"} or a sequence of them, default all three
        Every rule excludes items whose two words share a piece.

        ``"strict"`` reads what the item changes: tokens that are specific to it (`specific_tokens`), in the blocks
        before the first one whose first choice can begin the target. It calls wrong answers other. A correct answer is
        pivot if a token of the class pivot is among them, else copy if one of the class copy is, else co-occurrence.
        Items without contrasts are excluded; the metadata says why they have none.
        ``"paper"`` takes the first choice with the highest probability over all blocks. The item is co-occurrence if
        that token is the last block's first choice or a piece of the source word, and pivot otherwise.
        ``"threshold"`` calls an item pivot if any block's first choice has at least ``threshold`` and is a piece of
        neither word, and co-occurrence otherwise.
    min_probability : float, default 0.05
        For ``"strict"`` only: the least probability of a specific token.
    least_contrast : float, default log(100)
        For ``"strict"`` only: the least contrast of a specific token, in nats. In early layers the raw lens often gives
        one token a high probability whatever the prompt; its contrast is near 0, so no layer has to be left out.
    threshold : float, default 0.1
        For ``"threshold"`` only.
    least_peak : float, default 0
        For ``"paper"`` only: excludes items whose highest probability is lower.

    Returns
    -------
    pyarrow.Table
        One row per item and rule; columns ``item, pair, rule, behavior, correct, peak_layer, peak_id, peak_token,
        peak_logprob, peak_contrast, class, language, also``. The peak is the token that decided, under ``"strict"`` the
        most probable of its class; null if none did. The last four are of ``"strict"`` alone: the peak's class and a
        pivot's language, as `specific_tokens` gives them, and ``also``, the other classes that tokens before the target
        have. A pivot item with ``"copy"`` there would be copy if the two were asked in the other order. The metadata
        holds the thresholds and what the trace says of its contrasts.

    Raises
    ------
    TypeError
        ``traces`` is no table, or another argument is of another kind.
    ValueError
        A rule is unknown, a threshold is out of range, a column is missing, some items lack layers that others have, or
        ``"strict"`` alone is asked for and no item has contrasts.

    Notes
    -----
    ``"paper"`` and ``"threshold"`` are the two rules of the code published with arXiv 2505.16385. That code excludes
    nothing under the second rule, and has a least peak of 0.1 commented out. Of equal probabilities the later layer
    counts, then the smaller id. The ids and spellings of source and target come with the traces.
    """
    rules = _check_rules("classify", rule)
    least = {PAPER: least_peak, THRESHOLD: threshold}
    for name, value in (("min_probability", min_probability), ("threshold", threshold), ("least_peak", least_peak)):
        check_number("classify", name, value, 0, 1)
    check_number("classify", "least_contrast", least_contrast, 0)
    seen = first_choices("classify", traces)
    if rules == [STRICT]:
        require_contrasts("classify", traces)
    found: list[tuple[NDArray[Any], list[dict[str, Any]]]] = []
    for name in rules:
        if name == STRICT:
            steps = read_steps("classify", traces, seen, least_contrast, min_probability)
            judged = judge(seen, steps, least_contrast, min_probability)
            found.append((judged.behaviors, _step_peaks(steps, judged)))
        else:
            behaviors, peaks = PUBLISHED[name](seen, least[name])
            found.append((behaviors, _first_choice_peaks(seen, peaks)))
    rows = [
        {"item": item, "pair": pair, "rule": name, "behavior": behaviors[at], "correct": seen.correct[at], **peaks[at]}
        for at, (item, pair) in enumerate(zip(seen.items.tolist(), seen.pairs.tolist(), strict=True))
        for name, (behaviors, peaks) in zip(rules, found, strict=True)
    ]
    thresholds = {"min_probability": min_probability, "least_contrast": least_contrast, "threshold": threshold,
                  "least_peak": least_peak}  # fmt: skip
    about = {"thresholds": thresholds, "contrast": table_metadata(traces).get("contrast", {})}
    return with_metadata(pa.Table.from_pylist(rows, schema=BEHAVIORS), about)


def sensitivity(
    traces: pa.Table,
    rule: str | Sequence[str] = RULES,
    *,
    probabilities: Sequence[float] = PROBABILITIES,
    contrasts: Sequence[float] = CONTRASTS,
) -> pa.Table:
    """Compute the share of each behavior over a grid of rules and thresholds.

    Equivalent to the shares of ``classify(traces, rule, ...)`` at every point of the grid, but reads the traces once.

    Parameters
    ----------
    traces : pyarrow.Table
        The result of `trace`; only rows labelled ``answer`` are read.
    rule : {"paper", "strict", "threshold"} or a sequence of them, default all three
    probabilities : sequence of float, default 0.05, 0.1 ... 0.5
        Values of ``min_probability`` for ``"strict"``, of ``threshold`` for ``"threshold"``, and of ``least_peak`` for
        ``"paper"``, where 0 is added.
    contrasts : sequence of float, default log(10), log(100), log(1000)
        Values of ``least_contrast`` for ``"strict"``.

    Returns
    -------
    pyarrow.Table
        One row per pair and grid point. Columns ``pair`` ("all" for all pairs together), ``rule, min_probability``,
        ``least_contrast`` (null for rules that read none), ``items``, and the shares ``co_occurrence, pivot, copy,
        other, excluded`` of the items, which sum to 1.

    Raises
    ------
    TypeError, ValueError
        As `classify`.

    Notes
    -----
    Cost: a few passes over an array of items times blocks per grid point, and one search for specific tokens at the
    lowest thresholds.
    """
    rules = _check_rules("sensitivity", rule)
    for value in probabilities:
        check_number("sensitivity", "probabilities", value, 0, 1)
    for value in contrasts:
        check_number("sensitivity", "contrasts", value, 0)
    seen = first_choices("sensitivity", traces)
    if rules == [STRICT]:
        require_contrasts("sensitivity", traces)
    points: list[tuple[str, float, float | None, NDArray[Any]]] = []
    for name in rules:
        if name != STRICT:
            grid = sorted({0.0, *probabilities}) if name == PAPER else probabilities
            points += [(name, least, None, PUBLISHED[name](seen, least)[0]) for least in grid]
        elif len(probabilities) and len(contrasts):
            steps = read_steps("sensitivity", traces, seen, min(contrasts), min(probabilities))
            points += [(name, least, contrast, judge(seen, steps, contrast, least).behaviors)
                       for contrast in contrasts for least in probabilities]  # fmt: skip
    groups = [(pair, seen.pairs == pair) for pair in dict.fromkeys(seen.pairs.tolist())]
    groups.append((POOLED, np.ones(len(seen.pairs), dtype=bool)))
    rows = []
    for name, least, contrast, behaviors in points:
        shown = {share: behaviors == behavior for share, behavior in SHARES.items()}
        for pair, chosen in groups:
            if size := int(chosen.sum()):
                point = {"pair": pair, "rule": name, "min_probability": least, "least_contrast": contrast}
                shares = {share: int(which[chosen].sum()) / size for share, which in shown.items()}
                rows.append(point | {"items": size} | shares)
    return pa.Table.from_pylist(rows, schema=SENSITIVITY)


def _paper(seen: FirstChoices, least: float) -> Found:
    peaks = _surest(seen, np.ones(seen.tokens.shape, dtype=bool))
    at = np.arange(len(peaks))
    direct = (seen.tokens[at, peaks] == seen.tokens[:, -1]) | seen.source_piece[at, peaks]
    excluded = seen.shared | (seen.logprobs[at, peaks] < log_probability(least))
    return np.select([excluded, direct], [EXCLUDED, CO_OCCURRENCE], PIVOT), np.where(excluded, -1, peaks)


def _threshold(seen: FirstChoices, least: float) -> Found:
    through = (
        ~seen.source_piece & ~seen.target_piece & (seen.logprobs >= log_probability(least)) & ~seen.shared[:, None]
    )
    peaks = _surest(seen, through)
    return np.select([seen.shared, peaks < 0], [EXCLUDED, CO_OCCURRENCE], PIVOT), peaks


PUBLISHED: dict[str, Callable[[FirstChoices, float], Found]] = {"paper": _paper, "threshold": _threshold}


def _first_choice_peaks(seen: FirstChoices, peaks: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The columns of the peak of each item, from the index of its block; none where it is -1."""
    return [
        {
            "peak_layer": peak + 1, "peak_id": seen.tokens[at, peak], "peak_token": seen.texts[at, peak],
            "peak_logprob": seen.logprobs[at, peak],
        } if peak >= 0 else {}
        for at, peak in enumerate(peaks.tolist())
    ]  # fmt: skip


def _step_peaks(steps: Steps, judged: Judged) -> list[dict[str, Any]]:
    """The columns of the peak of each item under the strict rule, and of what else it showed."""
    names = {"layer": "peak_layer", "token_id": "peak_id", "token": "peak_token", "logprob": "peak_logprob",
             "contrast": "peak_contrast", "class": "class", "language": "language"}  # fmt: skip
    chosen = steps.tokens.select([*names]).take(pa.array(judged.peaks, mask=judged.peaks < 0)).to_pylist()
    return [
        {names[name]: value for name, value in row.items()} | {"also": also}
        for row, also in zip(chosen, judged.also, strict=True)
    ]


def _surest(seen: FirstChoices, among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The index of each item's most probable first choice within ``among``, the last of equals; -1 if there is none."""
    logprobs = np.where(among, seen.logprobs, -np.inf)[:, ::-1]
    return np.where(among.any(axis=1), seen.blocks - 1 - logprobs.argmax(axis=1), -1)


def _check_rules(function: str, rule: str | Sequence[str]) -> list[str]:
    rules = [rule] if isinstance(rule, str) else check_strings(function, "rule", rule, "a rule or several")
    for name in rules:
        check_text(function, "rule", name, RULES)
    if not rules:
        raise ValueError(f"{function}: rule must be at least one; got none")
    return rules
