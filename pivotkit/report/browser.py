"""The data of the word browser: one list of token texts, and per word flat lists of places in it and of per mille."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.artifacts import table_metadata
from pivotkit.corpus.matching.normal_form import normalize
from pivotkit.errors import InputError
from pivotkit.lens.behavior import STRICT
from pivotkit.report.data import by_pair, floats
from pivotkit.report.model_sections import grid, latent_languages, token_sets
from pivotkit.report.specific import specific as specific_at
from pivotkit.report.text import arrow, ends, token_text, visible

CELLS = 200_000  # most table cells in the page, about 2 MB; beyond it each pair shows its first words only
PIVOTS = 12  # best pivots per word
REASONS = 3  # most groups of a pair that the page names as too small for contrasts
RAISED = 6  # tokens of the highest contrast per layer
CONTRASTS = ("top_contrasts", "contrast_ids", "contrast_tokens", "contrasts", "contrast_logprobs")


def words(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return every traced word with its layers, behaviors, counts and pivots, or None without traces.

    Probabilities and masses are in per mille, contrasts in tenths of nats. ``top`` holds places in ``tokens``, layer by
    layer from the first; -1 stands where a layer has fewer than k tokens. ``lift`` holds the contrasts of these tokens,
    ``specific`` the places in ``top`` of tokens that are specific to the item. ``raised`` is the same for the tokens of
    the highest contrast; it and ``lift`` are None where there are no contrasts, and ``absent`` of the pair says why.
    ``appended`` are the pieces of the target that the prompt ends with, where it is read at a later one. ``sets`` holds
    the places of each set's tokens.
    """
    items, traces = run["items"], run["traces"]
    if items is None or traces is None or traces.num_rows == 0:
        return None
    grids = {pair: grid(table, pair) for pair, table in by_pair(traces).items()}
    k = max(len(ids) for ids in traces["top_ids"].to_pylist())
    wide = k + RAISED * (CONTRASTS[0] in traces.column_names)
    each = max(1, CELLS // max(1, wide * sum(len(layers) for _, layers, _ in grids.values())))
    beside, latent = _beside(run), latent_languages(traces)
    asked = {(row["pair"], row["item"]): row for row in items.to_pylist()}
    tokens: dict[int, int] = {}
    texts: list[str] = []
    pairs: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for pair, (table, layers, n) in grids.items():
        own = ends(pair, run["languages"])
        masses = ["source", *(name for name in latent if name not in own), "pivot", "target"]
        masses = [name for name in masses if f"{name}_logmass" in traces.column_names]
        for place in range(min(n, each)):
            rows = table[place * len(layers) : (place + 1) * len(layers)]
            key = (pair, rows["item"][0].as_py())
            if key not in asked:
                raise InputError("traces", f"pair {pair}", f"every item must be in items.parquet; got {key[1]!r}")
            entry = _heat(rows, k, tokens, texts) | _contrasts(rows, k, tokens, texts) | beside(asked[key])
            entry |= {
                "pair": len(pairs),
                "mass": {name: _per_mille(floats(rows, f"{name}_logmass")) for name in masses},
            }
            appended = rows["appended"][0].as_py() if "appended" in rows.column_names else ""
            entry["appended"] = visible(appended) if appended else ""
            entry["sets"] = _sets(rows, tokens, entry.pop("pivot_ids"))
            entries.append(entry)
        pairs.append(
            {"code": pair, "label": arrow(pair, run["languages"]), "layers": layers, "shown": min(n, each), "of": n}
            | {"absent": _absent(traces, pair)}
        )
    names = {code: visible(name) for code, name in run["languages"].items()}
    return {"names": names, "k": k, "raised": RAISED, "tokens": texts, "pairs": pairs, "words": entries}


def _per_mille(logs: np.ndarray) -> list[int]:
    return [round(1000 * value) for value in np.nan_to_num(np.exp(logs), nan=0.0).tolist()]


def _heat(rows: pa.Table, k: int, tokens: dict[int, int], texts: list[str]) -> dict[str, Any]:
    top: list[int] = []
    prob: list[int] = []
    columns = (rows[name].to_pylist() for name in ("top_ids", "top_tokens", "top_logprobs"))
    for ids, shown, logprobs in zip(*columns, strict=True):
        short = k - len(ids)
        top += _places(ids, shown, tokens, texts) + [-1] * short
        prob += _per_mille(np.array(logprobs)) + [0] * short
    entropy = [round(value, 2) for value in floats(rows, "entropy").tolist()]
    return {"top": top, "prob": prob, "rank": rows["target_rank"].to_pylist(), "entropy": entropy}


def _places(ids: Sequence[int], shown: Sequence[str], tokens: dict[int, int], texts: list[str]) -> list[int]:
    """The places of tokens in ``texts``, where they are put when they are first seen."""
    for token, text in zip(ids, shown, strict=True):
        if token not in tokens:
            tokens[token] = len(texts)
            texts.append(visible(text))
    return [tokens[token] for token in ids]


def _contrasts(rows: pa.Table, k: int, tokens: dict[int, int], texts: list[str]) -> dict[str, Any]:
    """The contrasts of the top tokens, and the tokens of the highest contrast, with those that are specific."""
    if CONTRASTS[0] not in rows.column_names or rows[CONTRASTS[0]].null_count:
        return {"lift": None, "raised": None, "specific": []}
    lift: list[int] = []
    specific: list[int] = []
    raised: dict[str, list[int]] = {"top": [], "prob": [], "lift": [], "specific": []}
    columns = (rows[name].to_pylist() for name in ("top_logprobs", *CONTRASTS))
    for row, (top, own, ids, shown, values, logprobs) in enumerate(zip(*columns, strict=True)):
        specific += [k * row + at for at in specific_at(own, top)]
        lift += _tenths(own) + [0] * (k - len(own))
        short = RAISED - len(ids[:RAISED])
        raised["specific"] += [RAISED * row + at for at in specific_at(values[:RAISED], logprobs)]
        raised["top"] += _places(ids[:RAISED], shown[:RAISED], tokens, texts) + [-1] * short
        raised["prob"] += _per_mille(np.array(logprobs[:RAISED])) + [0] * short
        raised["lift"] += _tenths(values[:RAISED]) + [0] * short
    return {"lift": lift, "raised": raised, "specific": specific}


def _tenths(contrasts: list[float]) -> list[int]:
    return [round(10 * value) for value in contrasts]


def _absent(traces: pa.Table, pair: str) -> str:
    """Why items of the pair have no contrasts; empty where all have."""
    if CONTRASTS[0] not in traces.column_names:
        return "these traces were made before pivotkit had contrasts"
    why = table_metadata(traces).get("contrast", {}).get("absent", {})
    if isinstance(why, str):
        return visible(why)
    # Items that are read behind other pieces are compared among themselves: "fr-zh after X" is a group of the pair.
    own = {group: reason for group, reason in why.items() if group == pair or group.startswith(f"{pair} after ")}
    told = [reason if group == pair else f"{group}: {reason}" for group, reason in own.items()]
    more = [f"{len(told) - REASONS} more groups like these"] if len(told) > REASONS else []
    return visible("; ".join([*told[:REASONS], *more])) if told else ""


def _sets(rows: pa.Table, tokens: dict[int, int], pivots: list[int]) -> dict[str, list[int]]:
    """Return the places of each set's tokens, as far as the trace shows them."""
    sets = {name: rows[f"{name}_ids"][0].as_py() or [] for name in token_sets(rows)}
    sets["pivot"] = [*sets.get("pivot", []), *pivots]
    return {name: sorted({tokens[i] for i in ids if i in tokens}) for name, ids in sets.items() if ids}


def _beside(run: dict[str, Any]) -> Any:
    """Return a function from a row of items to the part of its entry that does not come from the trace."""
    scores = {(row["pair"], row["item"]): row for row in _rows(run["scores"], "pair", "item", "score", "p_gold")}
    counts = {
        (normalize(row["source"]), normalize(row["target"])): [row["df_source"], row["df_target"], row["df_both"]]
        for row in _rows(run["pairs"], "source", "target", "df_source", "df_target", "df_both")
    }
    behaviors: dict[tuple[str, Any], list[Any]] = defaultdict(list)
    for row in _rows(run["behaviors"], "pair", "item", "rule", "behavior", "peak_layer", "peak_token", "peak_logprob"):
        peak = None
        if row["peak_token"] is not None and row["peak_logprob"] is not None:
            peak = [visible(row["peak_token"]), row["peak_layer"], *_per_mille(np.array([row["peak_logprob"]]))]
        behaviors[row["pair"], row["item"]].append([visible(row["rule"]), row["behavior"], peak])
    for rules in behaviors.values():
        rules.sort(key=lambda told: told[0] != STRICT)  # the list of words shows the first
    pivots: dict[tuple[str, Any], list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(
        run["pivots"], "pair", "item", "rank", "token_id", "token", "score", "control_id", "control_token"
    ):
        pivots[row["pair"], row["item"]].append(row)

    def entry(row: dict[str, Any]) -> dict[str, Any]:
        key = row["pair"], row["item"]
        scored = scores.get(key)
        best = sorted(pivots.get(key, []), key=lambda found: found["rank"])[:PIVOTS]
        return {
            "id": str(row["item"]),
            "source": visible(row["source"]),
            "target": visible(row["target"]),
            "concept": visible(str(row["concept"])),
            "distractors": [visible(word) for word in row["distractors"] or []],
            "prompt": visible(row["prompt"], lines=True),
            "score": None if scored is None else [_short(scored["score"]), _short(scored["p_gold"])],
            "counts": _counted(counts, normalize(row["source"]), normalize(row["target"])),
            "behaviors": behaviors.get(key, []),
            "pivots": [
                [token_text(found["token"], found["token_id"]), _short(found["score"]), _control(found)]
                for found in best
            ],
            "pivot_ids": [found["token_id"] for found in best],
        }

    return entry


def _control(found: dict[str, Any]) -> str:
    return "–" if found["control_id"] is None else token_text(found["control_token"], found["control_id"])


def _counted(counts: dict[tuple[str, str], list[int]], source: str, target: str) -> list[int] | None:
    if (source, target) in counts:
        return counts[source, target]
    if (target, source) in counts:
        df_target, df_source, df_both = counts[target, source]
        return [df_source, df_target, df_both]
    return None


def _rows(table: pa.Table | None, *columns: str) -> list[dict[str, Any]]:
    return [] if table is None else table.select(list(columns)).to_pylist()


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
