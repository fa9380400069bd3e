"""The data of the word browser: per pair the texts of tokens, per word flat lists of places in them and per mille."""

from __future__ import annotations

import base64
import math
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from pivotkit.artifacts import table_metadata
from pivotkit.corpus.matching.normal_form import normalize
from pivotkit.errors import InputError
from pivotkit.lens.behavior import STRICT
from pivotkit.lens.specific_tokens import LEAST_CONTRAST, LEAST_PROBABILITY
from pivotkit.report.curve_sections import ROLES, Grid, grids, latent_languages, token_sets
from pivotkit.report.data import floats
from pivotkit.report.text import arrow, ends, token_text, visible

CELLS = 1_500_000  # most table cells in the page, about 5 MB; beyond it each pair shows its first words only
PIVOTS = 12  # best pivots per word
REASONS = 3  # most groups of a pair that the page names as too small for contrasts
RAISED = 6  # tokens of the highest contrast per layer
TOP = ("top_ids", "top_tokens", "top_logprobs", "top_contrasts")
HIGHEST = ("contrast_ids", "contrast_tokens", "contrast_logprobs", "contrasts")

Row = dict[str, Any]


def words(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return every traced word with its layers, behaviors, counts and pivots, or None without traces.

    The words of a pair are packed: Base64 of zlib of JSON, which the browser opens when the pair is asked for, to
    ``tokens`` and ``words``. Of a word, probabilities and masses are in per mille, contrasts in tenths of nats.
    ``top`` holds places in ``tokens``, layer by layer from the first; -1 stands where a layer has fewer than k tokens.
    ``lift`` holds the contrasts of these tokens, ``specific`` the places in ``top`` of tokens that are specific to the
    item. ``raised`` is the same for the tokens of the highest contrast; it and ``lift`` are None where there are no
    contrasts, and ``absent`` of the pair says why. ``appended`` are the pieces of the target that the prompt ends with,
    where it is read at a later one. ``sets`` holds the places of each set's tokens.
    """
    items, traces = run["items"], run["traces"]
    if items is None or traces is None or traces.num_rows == 0:
        return None
    found = grids(traces)
    k = max(len(ids) for ids in traces["top_ids"].to_pylist())
    wide = k + RAISED * (TOP[-1] in traces.column_names)
    each = max(1, CELLS // max(1, wide * sum(len(layers) for _, layers, _ in found.values())))
    beside, latent = _Beside(run), latent_languages(traces)
    asked = {(row["pair"], row["item"]): row for row in items.to_pylist()}
    rules = {rule for told in beside.behaviors.values() for rule, *_ in told}
    pairs = []
    for pair, one in found.items():
        entries, texts = _entries(pair, one, min(one.n, each), k, ends(pair, run["languages"]), asked, beside)
        pairs.append(
            {"code": pair, "label": arrow(pair, run["languages"]), "layers": one.layers, "shown": len(entries)}
            | {"of": one.n, "absent": _absent(traces, pair), "packed": _packed({"tokens": texts, "words": entries})}
        )
    return {
        "names": {code: visible(name) for code, name in run["languages"].items()},
        "latent": [*latent, *(name for name in token_sets(traces) if name not in (*ROLES, *latent))],
        "rules": sorted(rules, key=lambda rule: (rule != STRICT, rule)),
        "k": k,
        "raised": RAISED,
        "pairs": pairs,
    }


def _packed(value: Any) -> str:
    return base64.b64encode(zlib.compress(orjson.dumps(value), 9)).decode()


def _entries(
    pair: str, one: Grid, shown: int, k: int, own: tuple[str, str], asked: dict[tuple[str, Any], Row], beside: _Beside
) -> tuple[list[Row], list[str]]:
    """The entries of the first words of a pair, and the texts of their tokens."""
    layers = len(one.layers)
    table = one.table[: shown * layers]
    texts = _Texts()
    top = _Cells(table, TOP, k, texts)
    raised = _Cells(table, HIGHEST, RAISED, texts) if TOP[-1] in table.column_names else None
    masses = ["source", *(name for name in latent_languages(table) if name not in own), "pivot", "target"]
    masses = [name for name in masses if f"{name}_logmass" in table.column_names]
    parts = {name: _per_mille(floats(table, f"{name}_logmass")) for name in masses}
    entropy = [round(value, 2) for value in floats(table, "entropy").tolist()]
    ranks = table["target_rank"].to_pylist()
    first = table.take(pa.array(range(0, shown * layers, layers), pa.int64()))
    sets = {name: first[f"{name}_ids"].to_pylist() for name in token_sets(table)}
    appended = first["appended"].to_pylist() if "appended" in table.column_names else [""] * shown
    entries = []
    for place, item in enumerate(first["item"].to_pylist()):
        if (pair, item) not in asked:
            raise InputError("traces", f"pair {pair}", f"every item must be in items.parquet; got {item!r}")
        rows = slice(place * layers, (place + 1) * layers)
        entry = top.of(rows) | {"raised": None if raised is None else raised.of(rows)} | beside.entry(asked[pair, item])
        if entry["lift"] is None:
            entry["raised"] = None
        entry |= {"rank": ranks[rows], "entropy": entropy[rows]}
        entry["appended"] = visible(appended[place]) if appended[place] else ""
        entry["mass"] = {name: values[rows] for name, values in parts.items()}
        known = {name: of_items[place] or [] for name, of_items in sets.items()}
        known["pivot"] = [*known.get("pivot", []), *entry.pop("pivot_ids")]
        entry["sets"] = {name: texts.places(ids) for name, ids in known.items() if ids}
        entries.append(entry)
    return entries, texts.texts


def _per_mille(logs: np.ndarray) -> list[int]:
    whole: list[int] = np.rint(1000 * np.nan_to_num(np.exp(logs), nan=0.0)).astype(int).tolist()
    return whole


class _Texts:
    """The texts of tokens, each once, in the order in which they are first seen."""

    def __init__(self) -> None:
        self._place: dict[int, int] = {}
        self.texts: list[str] = []

    def add(self, token: int, text: str) -> int:
        """The place of a token's text."""
        if token not in self._place:
            self._place[token] = len(self.texts)
            self.texts.append(visible(text))
        return self._place[token]

    def places(self, tokens: Sequence[int]) -> list[int]:
        """The places of those of the tokens that have been seen."""
        return sorted({self._place[token] for token in tokens if token in self._place})


class _Cells:
    """Tokens, probabilities and contrasts of all rows of a table, ``wide`` to a row.

    Parameters
    ----------
    table : pyarrow.Table
    names : four str
        The columns of ids, texts, log-probabilities and contrasts, which a table may lack.
    wide : int
    texts : _Texts
        Takes the tokens' texts.
    """

    def __init__(self, table: pa.Table, names: Sequence[str], wide: int, texts: _Texts) -> None:
        ids, tokens, logprobs = (table[name].to_pylist() for name in names[:3])
        self._wide = wide
        self._top: list[int] = []
        for row, shown in zip(ids, tokens, strict=True):
            row, shown = (row or [])[:wide], (shown or [])[:wide]
            self._top += [texts.add(token, text) for token, text in zip(row, shown, strict=True)]
            self._top += [-1] * (wide - len(row))
        logs = _padded(logprobs, wide, -math.inf)
        self._prob = _per_mille(logs)
        self._known = [False] * table.num_rows
        if names[3] in table.column_names:
            values = table[names[3]].to_pylist()
            self._known = [row is not None for row in values]
            contrasts = _padded(values, wide, 0.0)
            self._lift = np.rint(10 * contrasts).astype(int).tolist()
            self._specific = (contrasts >= LEAST_CONTRAST) & (np.exp(logs) >= LEAST_PROBABILITY)

    def of(self, rows: slice) -> Row:
        """The cells of these rows. Without contrasts ``lift`` is None and no token is specific."""
        cells = slice(rows.start * self._wide, rows.stop * self._wide)
        shown: Row = {"top": self._top[cells], "prob": self._prob[cells]}
        if not all(self._known[rows]):
            return shown | {"lift": None, "specific": []}
        return shown | {"lift": self._lift[cells], "specific": np.flatnonzero(self._specific[cells]).tolist()}


def _padded(rows: Sequence[Sequence[float] | None], wide: int, fill: float) -> np.ndarray:
    """Rows of numbers, one after the other, each cut or filled to ``wide``."""
    cut = [(row or [])[:wide] for row in rows]
    return np.array([value for row in cut for value in (*row, *[fill] * (wide - len(row)))], dtype=np.float64)


def _absent(traces: pa.Table, pair: str) -> str:
    """Why items of the pair have no contrasts; empty where all have."""
    if TOP[-1] not in traces.column_names:
        return "these traces were made before pivotkit had contrasts"
    why = table_metadata(traces).get("contrast", {}).get("absent", {})
    if isinstance(why, str):
        return visible(why)
    # Items that are read behind other pieces are compared among themselves: "fr-zh after X" is a group of the pair.
    own = {group: reason for group, reason in why.items() if group == pair or group.startswith(f"{pair} after ")}
    told = [reason if group == pair else f"{group}: {reason}" for group, reason in own.items()]
    more = [f"{len(told) - REASONS} more groups like these"] if len(told) > REASONS else []
    return visible("; ".join([*told[:REASONS], *more])) if told else ""


class _Beside:
    """What stands beside a word's trace: its score, counts, behaviors and pivots."""

    def __init__(self, run: dict[str, Any]) -> None:
        self.scores = {
            (row["pair"], row["item"]): row for row in _rows(run["scores"], "pair", "item", "score", "p_gold")
        }
        self.counts = {
            (normalize(row["source"]), normalize(row["target"])): [row["df_source"], row["df_target"], row["df_both"]]
            for row in _rows(run["pairs"], "source", "target", "df_source", "df_target", "df_both")
        }
        self.behaviors: dict[tuple[str, Any], list[Any]] = defaultdict(list)
        told = ("pair", "item", "rule", "behavior", "peak_layer", "peak_token", "peak_logprob")
        for row in _rows(run["behaviors"], *told):
            peak = None
            if row["peak_token"] is not None and row["peak_logprob"] is not None:
                peak = [visible(row["peak_token"]), row["peak_layer"], round(1000 * math.exp(row["peak_logprob"]))]
            self.behaviors[row["pair"], row["item"]].append([visible(row["rule"]), row["behavior"], peak])
        for rules in self.behaviors.values():
            rules.sort(key=lambda told: told[0] != STRICT)  # the list of words shows the first
        self.pivots: dict[tuple[str, Any], list[Row]] = defaultdict(list)
        columns = ("pair", "item", "rank", "token_id", "token", "score", "control_id", "control_token")
        for row in _rows(run["pivots"], *columns):
            self.pivots[row["pair"], row["item"]].append(row)

    def entry(self, row: Row) -> Row:
        """The part of a word's entry that does not come from the trace, for a row of items."""
        key = row["pair"], row["item"]
        scored = self.scores.get(key)
        best = sorted(self.pivots.get(key, []), key=lambda found: found["rank"])[:PIVOTS]
        return {
            "id": str(row["item"]),
            "source": visible(row["source"]),
            "target": visible(row["target"]),
            "concept": visible(str(row["concept"])),
            "distractors": [visible(word) for word in row["distractors"] or []],
            "prompt": visible(row["prompt"], lines=True),
            "score": None if scored is None else [_short(scored["score"]), _short(scored["p_gold"])],
            "counts": _counted(self.counts, normalize(row["source"]), normalize(row["target"])),
            "behaviors": self.behaviors.get(key, []),
            "pivots": [
                [token_text(found["token"], found["token_id"]), _short(found["score"]), _control(found)]
                for found in best
            ],
            "pivot_ids": [found["token_id"] for found in best],
        }


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
