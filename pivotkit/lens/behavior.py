"""Co-occurrence or semantic pivot: the rules that read an item's behavior off its trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pivotkit.artifacts import require_columns

CO_OCCURRENCE, PIVOT, COPY, OTHER, EXCLUDED = "co-occurrence", "pivot", "copy", "other", "excluded"

BEHAVIORS = pa.schema(
    [("item", pa.int32()), ("pair", pa.string()), ("rule", pa.string()), ("behavior", pa.string()),
     ("correct", pa.bool_()), ("peak_layer", pa.int32()), ("peak_id", pa.int32()), ("peak_token", pa.string()),
     ("peak_logprob", pa.float32())]
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One layer's first choice."""

    layer: int
    token: int
    text: str
    logprob: float


@dataclass(frozen=True)
class ItemTrace:
    """What the rules read of one item: the first choice of every block, and the ids of its two words."""

    steps: tuple[Step, ...]  # blocks 1 to L in order
    source_pieces: frozenset[int]  # every piece of " source", as the published code takes them
    target_pieces: frozenset[int]
    source_ids: frozenset[int]  # what a spelling of the word can begin with
    target_ids: frozenset[int]

    @property
    def correct(self) -> bool:
        return self.steps[-1].token in self.target_ids


@dataclass(frozen=True)
class Strict:
    """What the strict rule asks of a step."""

    min_probability: float
    first_layer: int | None


def classify(
    traces: pa.Table,
    rule: str | Sequence[str] = ("paper", "strict", "threshold"),
    *,
    min_probability: float = 0.2,
    first_layer: int | None = None,
) -> pa.Table:
    """Tell the behavior of every traced item, by one rule or several.

    Parameters
    ----------
    traces : pyarrow.Table
        What `trace` returns; rows labelled ``answer`` are read.
    rule : {"paper", "strict", "threshold"} or a sequence of them
        ``"paper"``: the token with the highest first-choice probability over all blocks; co-occurrence when it is the
        final first choice or a piece of the source word, else pivot; excluded when the words share a piece.
        ``"strict"``: only items answered correctly; the most confident first choice from ``first_layer`` to the last
        block but one that is a word, not the target and at least ``min_probability`` likely: the source word makes it a copy, another
        word a pivot, none co-occurrence; wrong answers are other; items whose words share a token are excluded.
        ``"threshold"``: pivot when any block's first choice is at least 0.1 likely and a piece of neither word, else
        co-occurrence; nothing is excluded.
    min_probability : float, default 0.2
        For ``"strict"`` only.
    first_layer : int, optional
        For ``"strict"`` only; by default the block in the middle. In the first blocks the raw lens is often
        sure of one and the same token whatever the prompt.

    Returns
    -------
    pyarrow.Table
        ``item, pair, rule, behavior, correct, peak_layer, peak_id, peak_token, peak_logprob``, an item and rule a row.
        The peak is the step that decided; null where none did.

    Notes
    -----
    ``"paper"`` and ``"threshold"`` are the two rules of the code published with arXiv 2505.16385; of equally likely
    peaks the later layer counts. The source's and target's ids come with the traces.
    """
    rules = [rule] if isinstance(rule, str) else list(rule)
    for name in rules:
        if name not in RULES:
            raise ValueError(f"classify: rule must be one of {', '.join(RULES)}; got {name!r}")
    if not 0 <= min_probability <= 1:
        raise ValueError(f"classify: min_probability must be between 0 and 1; got {min_probability}")
    if first_layer is not None and first_layer < 1:
        raise ValueError(f"classify: first_layer must be at least 1; got {first_layer}")
    strict = Strict(min_probability, first_layer)
    found = []
    for item, pair, seen in _items(traces):
        for name in rules:
            behavior, peak = RULES[name](seen, strict)
            found.append({
                "item": item, "pair": pair, "rule": name, "behavior": behavior, "correct": seen.correct,
                "peak_layer": peak and peak.layer, "peak_id": peak and peak.token, "peak_token": peak and peak.text,
                "peak_logprob": peak and peak.logprob,
            })  # fmt: skip
    return pa.Table.from_pylist(found, schema=BEHAVIORS)


def _paper(seen: ItemTrace, strict: Strict) -> tuple[str, Step | None]:
    if seen.source_pieces & seen.target_pieces:
        return EXCLUDED, None
    peak = max(seen.steps, key=lambda step: (step.logprob, step.layer))
    direct = peak.token == seen.steps[-1].token or peak.token in seen.source_pieces
    return (CO_OCCURRENCE if direct else PIVOT), peak


def _strict(seen: ItemTrace, strict: Strict) -> tuple[str, Step | None]:
    if seen.source_ids & seen.target_ids:
        return EXCLUDED, None
    if not seen.correct:
        return OTHER, None
    least = math.log(strict.min_probability) if strict.min_probability else -math.inf
    first = len(seen.steps) // 2 if strict.first_layer is None else strict.first_layer
    target = seen.target_ids | seen.target_pieces
    through = [
        step
        for step in seen.steps[:-1]
        if step.layer >= first
        and step.logprob >= least
        and step.token not in target
        and any(map(str.isalpha, step.text))
    ]
    if not through:
        return CO_OCCURRENCE, None
    peak = max(through, key=lambda step: (step.logprob, step.layer))
    return (COPY if peak.token in seen.source_ids | seen.source_pieces else PIVOT), peak


def _threshold(seen: ItemTrace, strict: Strict) -> tuple[str, Step | None]:
    words = seen.source_pieces | seen.target_pieces
    through = [step for step in seen.steps if step.logprob >= math.log(0.1) and step.token not in words]
    if not through:
        return CO_OCCURRENCE, None
    return PIVOT, max(through, key=lambda step: (step.logprob, step.layer))


RULES: dict[str, Callable[[ItemTrace, Strict], tuple[str, Step | None]]] = {
    "paper": _paper,
    "strict": _strict,
    "threshold": _threshold,
}


def _items(traces: pa.Table) -> Iterator[tuple[int, str, ItemTrace]]:
    """The traced items in order, each with its blocks in order."""
    columns = ("item", "pair", "layer", "label", "top_ids", "top_tokens", "top_logprobs",
               "source_pieces", "target_pieces", "source_ids", "target_ids")  # fmt: skip
    require_columns("classify", "traces", traces, columns)
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in traces.select(columns).to_pylist():
        if row["label"] == "answer" and row["layer"] > 0:
            rows.setdefault(row["item"], []).append(row)
    for item, layers in rows.items():
        layers.sort(key=lambda row: row["layer"])
        first = layers[0]
        steps = tuple(
            Step(row["layer"], row["top_ids"][0], row["top_tokens"][0], row["top_logprobs"][0]) for row in layers
        )
        words = (frozenset(first[name]) for name in ("source_pieces", "target_pieces", "source_ids", "target_ids"))
        yield item, first["pair"], ItemTrace(steps, *words)
