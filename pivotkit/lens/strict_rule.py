"""The strict rule: what an item changes in the layers before its target is the first choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.artifacts import require_columns, table_metadata
from pivotkit.lens.first_choices import FirstChoices
from pivotkit.lens.positions import ANSWER
from pivotkit.lens.specific_tokens import find_specific_tokens, log_probability
from pivotkit.words.token_classes import COPY, PIVOT

CO_OCCURRENCE, OTHER, EXCLUDED = "co-occurrence", "other", "excluded"
MOST_REASONS = 3  # that an error lists


@dataclass(frozen=True)
class Steps:
    """The specific tokens that N items show before their targets.

    Attributes
    ----------
    tokens : pyarrow.Table
        Rows of `specific_tokens`, from block 1 to the last block but one before the target is the first choice.
    rows : (T,) int64
        Which item each token is of.
    has_contrasts : (N,) bool
        Whether the item can be judged at all.
    """

    tokens: pa.Table
    rows: NDArray[np.int64]
    has_contrasts: NDArray[np.bool_]

    def __repr__(self) -> str:
        return f"Steps(items={len(self.has_contrasts)}, tokens={len(self.rows)})"


@dataclass(frozen=True)
class Judged:
    """What the strict rule says of N items.

    Attributes
    ----------
    behaviors : (N,) str
    peaks : (N,) int64
        The row of `Steps.tokens` that decided; -1 if none did.
    also : list of N lists of str
        The other classes that tokens before the target have.
    """

    behaviors: NDArray[Any]
    peaks: NDArray[np.int64]
    also: list[list[str]]

    def __repr__(self) -> str:
        return f"Judged(items={len(self.behaviors)})"


def require_contrasts(function: str, traces: pa.Table, reader: str = "the strict rule") -> None:
    """Refuse traces in which no item has contrasts; the error says why, as far as the metadata do."""
    require_columns(function, "traces", traces, ("top_contrasts",))
    if traces["top_contrasts"].null_count < traces.num_rows:
        return
    absent = table_metadata(traces).get("contrast", {}).get("absent") or "no reason was recorded"
    reasons = [absent] if isinstance(absent, str) else [f"{group}: {why}" for group, why in absent.items()]
    more = f"; and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
    told = "; ".join(reasons[:MOST_REASONS]) + more
    raise ValueError(f"{function}: traces must have contrasts for {reader}; got none ({told})")


def read_steps(
    function: str, traces: pa.Table, seen: FirstChoices, least_contrast: float, least_probability: float
) -> Steps:
    """Find the tokens that the strict rule reads, for these thresholds and all higher ones.

    Parameters
    ----------
    function : str
        The function that errors name.
    traces : pyarrow.Table
        The result of `trace`.
    seen : FirstChoices
        Of the same traces.
    least_contrast, least_probability : float
        As in `specific_tokens`.

    Raises
    ------
    ValueError
        ``traces`` lacks a column.
    """
    specific = find_specific_tokens(function, traces, None, least_contrast, least_probability)
    answers = traces.select(["item", "label", "top_contrasts"]).filter(pc.field("label") == ANSWER)
    compared = answers.filter(pc.field("top_contrasts").is_valid())["item"].to_numpy()
    first = np.where(seen.target.any(axis=1), seen.target.argmax(axis=1), seen.blocks - 1)  # from 0, at most the last
    rows = np.searchsorted(seen.items, specific["item"].to_numpy())
    layers = specific["layer"].to_numpy()
    before = (layers >= 1) & (layers <= first[rows])  # block l has index l - 1
    return Steps(specific.filter(pa.array(before)), rows[before], np.isin(seen.items, compared))


def judge(seen: FirstChoices, steps: Steps, least_contrast: float, least_probability: float) -> Judged:
    """The behavior of every item under the strict rule; `classify` says which."""
    tokens, count = steps.tokens, len(seen.items)
    logprobs, contrasts = tokens["logprob"].to_numpy(), tokens["contrast"].to_numpy()
    classes = np.asarray(tokens["class"].to_pylist(), dtype=object)
    kept = (logprobs >= log_probability(least_probability)) & (contrasts >= least_contrast)
    judged = steps.has_contrasts & ~seen.shared & seen.correct
    peaks = np.full((2, count), -1)
    # Of tokens of one item the last one stays: the most probable, of equal ones the later layer, then the smaller id.
    order = np.lexsort((-tokens["token_id"].to_numpy(), tokens["layer"].to_numpy(), logprobs))
    for peak, name in zip(peaks, (PIVOT, COPY), strict=True):
        chosen = order[(kept & (classes == name))[order]]
        peak[steps.rows[chosen]] = chosen
    peaks[:, ~judged] = -1
    decided = np.where(peaks[0] >= 0, peaks[0], peaks[1])
    also: list[set[str]] = [set() for _ in range(count)]
    for row, name in zip(steps.rows[kept].tolist(), classes[kept].tolist(), strict=True):
        also[row].add(name)
    cases = [seen.shared | ~steps.has_contrasts, ~seen.correct, peaks[0] >= 0, peaks[1] >= 0]
    behaviors = np.select(cases, [EXCLUDED, OTHER, PIVOT, COPY], CO_OCCURRENCE)
    others = [sorted(shown - {behavior}) if own else []
              for shown, behavior, own in zip(also, behaviors, judged, strict=True)]  # fmt: skip
    return Judged(behaviors, decided, others)
