"""The sections on the corpus: pivots, hubs, selection and continued pre-training."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice
from re import Pattern
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.artifacts import table_metadata
from pivotkit.errors import InputError
from pivotkit.report import figures
from pivotkit.report.arms.marking import excerpt, marker
from pivotkit.report.data import bootstrap_mean, floats
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, interval, number, token_text, visible, words_link

SHOWN_PIVOTS = 6  # per item in the table; the word browser shows twice as many
PROBED = 10  # best pivots per item that are searched for in the traces
SHOWN_ITEMS = 120  # per pair in the table
SHOWN_HUBS = 24
SHOWN_DOCUMENTS = 15
MOST_SETS = 6  # of languages, of an arm

SHOWN = {"accuracy": "c-target", "pivot": "c-pivot"}  # the measures of a training that are drawn, and their colors


def pivots(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return each item's best pivots with their controls, the hubs, and how often traces show pivots and controls."""
    if run["pivots"] is None:
        return None
    words = {}
    if run["items"] is not None:
        for row in run["items"].select(["item", "pair", "source", "target"]).to_pylist():
            words[row["pair"], row["item"]] = f"{visible(row['source'])} → {visible(row['target'])}"
    lists: dict[str, dict[Any, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in run["pivots"].sort_by([("pair", "ascending"), ("item", "ascending"), ("rank", "ascending")]).to_pylist():
        lists[row["pair"]][row["item"]].append(row)
    tables = []
    for pair, items in lists.items():
        rows = []
        for item, found in islice(items.items(), SHOWN_ITEMS):
            best = found[:SHOWN_PIVOTS]
            shown = [(token_text(row["token"], row["token_id"]), number(row["score"])) for row in best]
            controls = [
                token_text(row["control_token"], row["control_id"]) for row in best if row["control_id"] is not None
            ]
            rows.append({"item": words.get((pair, item), visible(str(item))), "pivots": shown, "controls": controls})
        tables.append({"pair": arrow(pair, run["languages"]), "rows": rows, "of": len(items)})
    return {"tables": tables, "hubs": _hubs(run), "seen": _seen(run, lists)}


def _hubs(run: dict[str, Any]) -> list[dict[str, Any]] | None:
    if run["hubs"] is None:
        return None
    rows = run["hubs"].sort_by([("words", "descending"), ("score", "descending")])[:SHOWN_HUBS].to_pylist()
    most = max((row["words"] for row in rows), default=1)
    return [
        {"token": token_text(row["token"], row["token_id"]), "words": row["words"], "score": number(row["score"])}
        | {"part": row["words"] / most}
        for row in rows
    ]


def _seen(run: dict[str, Any], lists: dict[str, dict[Any, list[dict[str, Any]]]]) -> dict[str, Any] | None:
    """Return the shares of items with one of their best pivots, and of the controls, among the top k of any layer."""
    if (traces := run["traces"]) is None:
        return None
    tops: dict[tuple[str, Any], set[int]] = defaultdict(set)
    columns = (traces[name].to_pylist() for name in ("pair", "item", "top_ids"))
    for pair, item, ids in zip(*columns, strict=True):
        tops[pair, item].update(ids)
    rows, dots = [], {}
    for pair, items in lists.items():
        traced = {item: found[:PROBED] for item, found in items.items() if (pair, item) in tops}
        label = arrow(pair, run["languages"])
        marks, cells = [], []
        for kind, color, shape in (("pivots", "c-pivot", "circle"), ("controls", "c-other", "square")):
            name = "token_id" if kind == "pivots" else "control_id"
            hit = [any(row[name] in tops[pair, item] for row in found) for item, found in traced.items()]
            mean, low, high = (float(value) for value in bootstrap_mean(np.array(hit, dtype=np.float64)))
            note = f"{label}, {kind}: {number(mean)} {interval(low, high)}, n = {len(hit)}"
            marks.append(figures.Dot(color, shape, mean, low, high, note, name=kind, link=words_link(pair)))
            cells += [number(mean), interval(low, high)]
        dots[label] = marks
        rows.append({"pair": label, "n": len(traced), "cells": cells})
    keys = [Key("c-pivot", "its best pivots", "circle"), Key("c-other", "frequency-matched controls", "square")]
    figure = figures.dot_plot("Pivots and controls in the model's layers", dots, (0, 1), "share of items")
    return {"rows": rows, "figure": figure, "legend": legend(keys), "probed": PROBED}


def selection(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the selection was asked for, and what it holds."""
    documents, manifest = run["documents"], run["manifest"]
    if documents is None:
        return None
    best = documents.sort_by([("score", "descending"), ("id", "ascending")])[:SHOWN_DOCUMENTS].to_pylist()
    view: dict[str, Any] = {
        "n": documents.num_rows,
        "tokens": int(floats(documents, "tokens").sum()),
        "best": [
            row | {"id": visible(row["id"]), "lang": visible(row["lang"]), "score": number(row["score"])}
            for row in best
        ],
        "made": None,
        "figure": None,
    }
    chosen = run["chosen"]
    if manifest is None or chosen is None:
        return view
    got = Counter[str]()
    for lang, tokens in zip(chosen["lang"].to_pylist(), chosen["tokens"].to_pylist(), strict=True):
        got[lang] += tokens
    quotas = manifest.get("quotas", {}) if manifest.get("quota_by") == "lang" else {}
    asked = {lang: quota["budget"] for lang, quota in quotas.items()}
    most = max([*asked.values(), *got.values(), 1])
    view["made"] = {
        "rule": visible(str(manifest.get("rule", ""))),
        "budget": manifest.get("budget_tokens"),
        "documents": chosen.num_rows,
        "tokens": got.total(),
        "languages": [
            {
                "lang": visible(lang),
                "asked": asked.get(lang),
                "got": got[lang],
                "asked_part": asked.get(lang, 0) / most,
                "got_part": got[lang] / most,
            }
            for lang in sorted({*asked, *got})
        ],
    }
    view["quantiles"] = [_quantiles("all documents", documents), _quantiles("selected documents", chosen)]
    view["figure"], view["legend"] = _shares_of_pivots(documents, chosen)
    return view


def arms(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return documents drawn from each arm, cut to what stands around their pivots."""
    found = marker(run["hubs"]["token"].to_pylist() if run["hubs"] is not None else [])
    return [
        {
            "name": visible(arm.name),
            "documents": arm.documents,
            "tokens": arm.tokens,
            "rows": [
                {
                    "id": visible(row["id"]),
                    "lang": visible(row.get("lang") or "und"),
                    "tokens": row["tokens"],
                    "pivots": row.get("pivots"),
                    "score": number(row.get("score")),
                    "parts": None if row["text"] is None else _shown(row["text"], found),
                }
                for row in arm.rows
            ],
        }
        for arm in run["drawn"]
    ]


def _shown(text: str, pivots: Pattern[str] | None) -> list[tuple[str, bool]]:
    return [(visible(part, lines=True).replace("\n", " ↵ "), marked) for part, marked in excerpt(text, pivots)]


def dropped(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return how many documents, and how much of them, each filter of the guard took, by language."""
    if run["dropped"] is None:
        return None
    about = table_metadata(run["dropped"])
    if not {"all", "filters"} <= about.keys():
        raise InputError("dropped.parquet", "", "must say what each filter took; run `pivotkit filter` again")
    langs = sorted(about["all"], key=lambda lang: (-about["all"][lang]["documents"], lang))
    measure = next((name for some in about["all"].values() for name in some if name != "documents"), "characters")

    def row(name: str, some: dict[str, dict[str, int]]) -> dict[str, Any]:
        cells = [some.get(lang, {}).get("documents", 0) for lang in langs]
        size = sum(each[measure] for each in some.values())
        return {"name": name, "documents": sum(cells), "size": size, "cells": cells}

    whole = row("all documents", about["all"])
    rows = [row(name, some) for name, some in about["filters"].items() if some]
    for one in (whole, *rows):
        one["part"] = one["documents"] / max(1, whole["documents"])
    return {"langs": list(map(visible, langs)), "measure": measure, "rows": rows, "all": whole}


def _quantiles(name: str, documents: pa.Table) -> dict[str, Any]:
    tokens, found = floats(documents, "tokens"), floats(documents, "pivots")
    shares = _pivot_share(documents)
    points = np.quantile(shares, [0.1, 0.5, 0.9]) if len(shares) else [np.nan] * 3
    pooled = float(found.sum() / tokens.sum()) if tokens.sum() else None
    return {"name": name, "n": documents.num_rows, "pooled": number(pooled), "points": [number(p) for p in points]}


def _pivot_share(documents: pa.Table) -> np.ndarray:
    tokens = floats(documents, "tokens")
    return np.asarray(floats(documents, "pivots")[tokens > 0] / tokens[tokens > 0])


def _shares_of_pivots(documents: pa.Table, chosen: pa.Table) -> tuple[Any, Any]:
    whole, part = _pivot_share(documents), _pivot_share(chosen)
    edges = np.linspace(0, max(float(whole.max(initial=0)), 1e-9), 31)
    series = {
        name: (color, np.histogram(shares, edges)[0] / max(len(shares), 1))
        for name, color, shares in (("all", "c-other", whole), ("selected", "c-pivot", part))
    }
    keys = [Key("c-other", "all documents", "line"), Key("c-pivot", "selected documents", "line")]
    label = "pivot tokens / tokens of a document"
    return figures.histogram("Share of pivot tokens in documents", edges, series, label), legend(keys)


def controls(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the selection and its controls consist of, and what they share."""
    table = run["arms"]
    if table is None:
        return None
    arms = table["arm"].to_pylist()
    rows = []
    for row in table.to_pylist():
        shared = dict(row["overlap_tokens"])
        languages = sorted(row["languages"], key=lambda some: -some[1])
        rows.append(
            {
                "arm": visible(row["arm"]),
                "told": visible(row["told"]) if row["told"] else "",
                "short": visible(row["short"]) if row["short"] else "",
                "documents": row["documents"],
                "tokens": row["tokens"],
                "mean": number(row["mean_length"], 1),
                "median": number(row["median_length"], 1),
                "shares": [number(row[name]) for name in ("pivot_share", "bilingual", "parallel", "code_switched")],
                "languages": ", ".join(f"{visible(tag)} {number(share, 2)}" for tag, share in languages[:MOST_SETS]),
                "overlap": ["" if arm == row["arm"] else number(shared.get(arm), 2) for arm in arms],
            }
        )
    return {"rows": rows}


def pretrain(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return accuracy and pivot behavior of every arm and seed at the end of its training, over all pairs."""
    table = run["pretrain"]
    if table is None:
        return None
    last: dict[tuple[str, str, int | None], tuple[int, float]] = {}
    for row in table.to_pylist():
        key = row["measure"], row["arm"], row["seed"]
        if row["measure"] in SHOWN and row["of"] == "all" and row["value"] is not None:
            step, _ = last.get(key, (-1, 0.0))
            if row["step"] == step:
                rule = "must hold one row per arm, seed, step, measure and pair; got two of"
                raise InputError("pretrain.parquet", "", f"{rule} {row}")
            if row["step"] > step:
                last[key] = row["step"], row["value"]
    found: dict[str, dict[str, dict[int | None, float]]] = defaultdict(lambda: defaultdict(dict))
    for (measure, arm, seed), (_, value) in last.items():
        found[measure][arm][seed] = value
    measures = [measure for measure in SHOWN if measure in found]
    arms = list(dict.fromkeys(table["arm"].to_pylist()))
    panels = []
    for measure in measures:
        color = SHOWN[measure]
        dots = {}
        for arm in arms:
            seeds = found[measure].get(arm, {})
            marks = [
                figures.Dot(
                    color, "circle", value, np.nan, np.nan, f"{arm}{_named(seed)}: {number(value)}", name=f"seed {seed}"
                )
                for seed, value in seeds.items()
            ]
            if seeds:
                mean = float(np.mean(list(seeds.values())))
                marks.insert(
                    0,
                    figures.Dot(
                        "c-mean", "diamond", mean, np.nan, np.nan, f"{arm}: mean {number(mean)}", 1.7, name="mean"
                    ),
                )
            dots[arm] = marks
        label = "share of items" if measure == "pivot" else measure
        figure = figures.dot_plot(f"{_titled(measure)} by arm", dots, (0, 1), label, together=True)
        keys = [Key(color, "one seed", "circle"), Key("c-mean", "mean of the seeds", "diamond")]
        panels.append({"measure": _titled(measure), "figure": figure, "legend": legend(keys)})
    rows = [
        {"arm": visible(arm), "cells": [_seeds(found[measure].get(arm, {})) for measure in measures]} for arm in arms
    ]
    return {"panels": panels, "rows": rows, "measures": [_titled(measure) for measure in measures]}


def _titled(measure: str) -> str:
    return {"pivot": "Pivot behavior"}.get(measure, measure.capitalize())


def _named(seed: int | None) -> str:
    """Return the seed of a training as text. The checkpoint before training has none."""
    return "" if seed is None else f", seed {seed}"


def _seeds(seeds: dict[int | None, float]) -> str:
    if not seeds:
        return "–"
    if None in seeds:
        return number(seeds[None])
    each = ", ".join(number(value, 2) for value in seeds.values())
    return f"{number(float(np.mean(list(seeds.values()))))} ({each})"
