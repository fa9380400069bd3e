"""Sentences on what stands beside the attribution: the corpus's pivots in the layers, and the causal test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from pivotkit.artifacts import require_columns
from pivotkit.attribution.item_means import LEAST_CONCEPTS
from pivotkit.attribution.pivot_mass import TELLING
from pivotkit.attribution.wording import caveat, count, estimated, found

MEASURED = ("pair", "against", "items", "concepts", "difference", "low", "high", "reason")
EFFECTS = ("layer", "class", "intervention", "direction", "control", "mean", "against", "items", "concepts",
           "delta_logprob", "low", "high")  # fmt: skip
UNTESTED = "What a pivot does to the answer was not tested in this run."


def corpus_pivot_sentences(
    mass: pa.Table | None, agreement: pa.Table | None, without: Sequence[str] | None
) -> Iterable[dict[str, str]]:
    """Whether the corpus's pivots are those of the layers."""
    if mass is None and agreement is None:
        yield caveat("Whether the corpus's pivots are the model's was not compared in this run.")
    elif without is not None and not without:
        yield caveat(
            "The corpus's pivots may be the concept's own word in another language, English above all: look-alikes of "
            "source, target and that word were not left out (--pivots-without)."
        )
    if mass is not None:
        require_columns("finding", "mass", mass, MEASURED)
        yield _measured(mass.to_pylist(), "The layers give the corpus's pivots {} probability than other items' pivots")
    if agreement is not None:
        require_columns("finding", "agreement", agreement, (*MEASURED, "documents"))
        rows = [row for row in agreement.to_pylist() if row["documents"] == "all"]
        yield _measured(
            rows, "Of the tokens that the layers hold for an item, {} are its corpus's pivots than other items'"
        )


def _measured(rows: list[dict[str, Any]], sentence: str) -> dict[str, str]:
    row = next((row for row in rows if (row["pair"], row["against"]) == ("all", TELLING)), None)
    if row is None or row["difference"] is None or row["low"] is None:
        why = "it was not compared with other items' pivots" if row is None else row["reason"]
        return found(f"Whether {_small(sentence.format('more'))} cannot be told: {why}.")
    how = "more" if row["low"] > 0 else "less" if row["high"] < 0 else "neither more nor less"
    return found(
        f"{sentence.format(how)}: difference {estimated(row, 'difference')}, {count(row['items'], 'item')}, "
        f"{count(row['concepts'], 'concept')}."
    )


def _small(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def causal_sentences(effects: pa.Table | None) -> Iterable[dict[str, str]]:
    """What the answer loses without the part of a pivot that is neither source's nor target's, layer by layer."""
    if effects is None:
        yield caveat(UNTESTED)
        return
    require_columns("finding", "effects", effects, EFFECTS)
    rows = [row for row in effects.to_pylist() if row["class"] == "pivot" and _is_headline(row)]
    if not rows:
        yield found("Whether a pivot has a part of its own in the answer cannot be told: no item's pivot was tested.")
        return
    enough = [row for row in rows if row["concepts"] >= LEAST_CONCEPTS and None not in (row["low"], row["high"])]
    own = [str(row["layer"]) for row in enough if row["high"] < 0]
    told = (
        f"cannot be told: no layer has {LEAST_CONCEPTS} concepts" if not enough
        else f"shows in {count(len(own), 'layer')} ({', '.join(own)}) of {len(enough)}" if own
        else f"shows in none of {count(len(enough), 'layer')}"
    )  # fmt: skip
    figures = "; ".join(
        f"layer {row['layer']}: {estimated(row, 'delta_logprob')} ({count(row['items'], 'item')})"
        for row in sorted(rows, key=lambda row: row["layer"])
    )
    yield found(
        f"That a pivot does something to the answer which is neither source's nor target's {told}. Change of the "
        f"answer's log-probability without that part, less what another item's pivot does: {figures}."
    )


def _is_headline(row: dict[str, Any]) -> bool:
    kind = (row["intervention"], row["direction"], bool(row["mean"]), row["control"], row["against"])
    return kind == ("ablate", "unembedding", False, "orthogonal", TELLING)
