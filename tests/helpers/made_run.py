"""A made-up run folder with the artifacts of every stage. Its curves have the shapes of a small real model's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from made_experiment import made_figures

from pivotkit.artifacts import with_metadata, write_json, write_table
from pivotkit.attribution.pivot_agreement import PIVOT_AGREEMENT
from pivotkit.attribution.pivot_mass import PIVOT_MASS
from pivotkit.selection.controls.arms_table import arms_table

K = 10
LAYERS = 19
VOCABULARY = 50_000
CONTRAST = {"absent": {"en-fr": "9 items; a contrast needs at least 10"}}  # the first pair has contrasts
WORDS = [
    ("house", "maison", "房子"), ("school", "école", "学校"), ("dog", "chien", "狗"), ("church", "église", "教堂"),
    ("star", "étoile", "星星"), ("brain", "cerveau", "脑"), ("sun", "soleil", "太阳"), ("ship", "navire", "船"),
    ("foot", "pied", "足"), ("camera", "appareil", "相机"), ("wedding", "mariage", "婚礼"), ("rose", "rose", "玫瑰"),
]  # fmt: skip
HOSTILE = [
    ("script", "</script><script>alert(1)</script>", "<!--<script>"),
    ("quote", "\"'><img src=x onerror=alert(2)>", "&lt;b&gt;"),
    ("rtl", "שלום\u202eevil", "مرحبا"),
    ("control", "a\x00b\x07\x1b[31m", "\u200b"),
    ("newline", "\n", "\r\n"),
    ("emoji", "👩‍👩‍👧", "\u2028"),
]
NOISE = ["\n", " the", "的", " de", "、", "<b>", "</script>", " 🙂", "\u200f", "ing", "<!--", " –", "'", '"', "�"]
RULES = ("paper", "strict", "threshold")
BESIDE = {"control": 0.01, "matched": 0.02, "other": 0.1}  # the mass of each control, as a part of that of the pivots
ARMS = ("before", "random", "random in A or B", "pivot share, any language", "pivot share in A or B", "parallel")


def _peak(layer: int, centre: float, width: float, height: float) -> float:
    return height * math.exp(-(((layer - centre) / width) ** 2))


def _trace(
    rng: np.random.Generator, item: dict[str, Any], ids: dict[str, list[int]], kind: str
) -> list[dict[str, Any]]:
    source = item["pair"].partition("-")[0]
    through = kind == "pivot"
    rows = []
    for layer in range(LAYERS):
        shake = rng.uniform(0.5, 1.2)
        masses = {
            "source": _peak(layer, 14, 1.6, 0.55 if source == "en" else 0.3) * shake,
            "en": _peak(layer, 15, 2.0, 0.5 if through else 0.2) * rng.uniform(0.5, 1.2),
            "target": 0.75 / (1 + math.exp(-(layer - 16.8) * 2)) * rng.uniform(0.6, 1.2),
            "pivot": _peak(layer, 15.5, 2.0, 0.22 if through else 0.05) * rng.uniform(0.5, 1.5),
            "control": 0.004 * shake,
            "matched": 0.006 * shake,
            "other": _peak(layer, 15.5, 2.0, 0.03) * shake,
        }
        if source == "en":
            masses["en"] = masses["source"]
        whole = sum(mass for name, mass in masses.items() if not (name == "en" and source == "en"))
        masses = {name: mass / max(1.0, whole * 1.02) for name, mass in masses.items()}
        tokens = {token: masses[name] * 0.9 for name in ("target", "source", "en", "pivot") for token in ids[name][:1]}
        rest = max(0.01, 1 - sum(tokens.values())) * (0.1 if layer < 12 else 0.4)
        for place, token in enumerate(rng.choice(len(NOISE), K, replace=False)):
            tokens.setdefault(int(token), rest * 0.5 ** (place + 1))
        order = sorted(tokens, key=lambda token: (-tokens[token], token))
        top = order[:K]
        rows.append(
            {"item": item["item"], "pair": item["pair"], "layer": layer, "position": 40, "label": "answer"}
            | {"top_ids": top, "top_tokens": [ids["text"][token] for token in top]}
            | {"top_logprobs": [math.log(max(tokens[token], 1e-9)) for token in top], "logsumexp": 12.0}
            | _contrasts(item["pair"], tokens, top, ids["text"])
            | {"entropy": 10.5 / (1 + math.exp((layer - 13) * 0.9)) + rng.uniform(0.3, 1.2)}
            | {
                "kl_to_final": 0.8 * (LAYERS - 1 - layer),
                "target_logprob": math.log(max(tokens[ids["target"][0]], 1e-9)),
                "target_rank": order.index(ids["target"][0]),
            }
            | {f"{name}_logmass": math.log(mass) if mass > 1e-30 else -math.inf for name, mass in masses.items()}
            | {f"{name}_ids": ids[name] for name in ("source", "target", "en")}
            | {"source_pieces": [VOCABULARY + 1], "target_pieces": [VOCABULARY + 2]}  # none that both words have
            | {"source_word": item["source"], "target_words": [item["target"]], "words": ids["words"]}
        )
    return rows


def _contrasts(pair: str, tokens: dict[int, float], top: list[int], text: dict[int, str]) -> dict[str, Any]:
    """What a layer shows whatever the word has none; its words, as much as they are above one in a thousand."""
    if pair in CONTRAST["absent"]:
        return dict.fromkeys(
            ("top_contrasts", "contrast_ids", "contrast_tokens", "contrasts", "contrast_logprobs"), None
        )
    lift = {token: math.log(max(mass, 1e-9) / 1e-3) if token >= 100 else -0.04 for token, mass in tokens.items()}
    best = sorted(lift, key=lambda token: (-lift[token], token))[:K]
    return {
        "top_contrasts": [lift[token] for token in top],
        "contrast_ids": best,
        "contrast_tokens": [text[token] for token in best],
        "contrasts": [lift[token] for token in best],
        "contrast_logprobs": [math.log(max(tokens[token], 1e-9)) for token in best],
    }


def _fitted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trace through a fitted lens: nearer to the last layer, with the target from layer 12 on and no English."""
    shown = []
    for row in rows:
        last = rows[row["item"] * LAYERS + LAYERS - 1]
        top = last if row["layer"] >= 12 else row
        shown.append(
            row
            | {name: top[name] for name in ("top_ids", "top_tokens", "top_logprobs", "target_rank", "target_logmass")}
            | {"kl_to_final": row["kl_to_final"] / 4, "en_logmass": row["en_logmass"] - 2}
            | {name: None for name in row if "contrast" in name}
        )
    return shown


def _pivot_rows(item: dict[str, Any], ids: dict[str, list[int]]) -> list[dict[str, Any]]:
    return [
        {"item": item["item"], "pair": item["pair"], "rank": rank, "token_id": token, "token": ids["text"][token]}
        | {"score": 0.4 / (rank + 1), "df_given_source": 0.5 / (rank + 1), "df_given_target": 0.45 / (rank + 1)}
        | {"background": 0.01, "control_id": 40_000 + token, "control_token": f" control{token % 97}"}
        for rank, token in enumerate(ids["pivot"])
    ]


def make_run(
    folder: Path,
    words: list[tuple[str, ...]],
    pairs: tuple[str, ...] = ("fr-zh", "en-fr"),
    codes: tuple[str, ...] = ("en", "fr", "zh"),
) -> Path:
    """Write a run folder of every stage for ``words``, one of each language of ``codes``, and return it."""
    rng = np.random.default_rng(7)
    texts: dict[int, str] = dict(enumerate(NOISE))
    known: dict[str, int] = {}

    def token(text: str) -> int:
        place = known.setdefault(text, 100 + len(known))
        texts[place] = text
        return place

    columns = {code: place for place, code in enumerate(codes)}
    items, scores, traces, behaviors, pivots, counts = [], [], [], [], [], []
    for pair in pairs:
        source, _, target = pair.partition("-")
        for place, row in enumerate(words):
            word = {code: row[column] for code, column in columns.items()}
            spaced = {code: word[code] if code == "zh" else " " + word[code] for code in word}
            item = {"item": len(items), "pair": pair, "concept": row[0], "source": word[source], "target": word[target]}
            others = [words[(place + step) % len(words)][columns[source]] for step in range(1, 4)]
            shot = "\n\n".join(f"{source}: {other}\n{target}: …" for other in others)
            item |= {
                "distractors": others,
                "contexts": [shot],
                "prompt": f"{shot}\n\n{source}: {word[source]}\n{target}:",
            }
            items.append(item)
            kind = ("pivot", "co-occurrence", "pivot", "copy", "other", "excluded")[place % 6]
            nearby = [" " + words[(place + step) % len(words)][0] for step in range(1, 9)]
            ids: dict[str, Any] = {
                name: [token(spaced[code])] for name, code in (("source", source), ("target", target))
            }
            ids |= {
                "en": [token(spaced["en"]), token(word["en"])],
                "pivot": [token(text) for text in nearby],
                "text": texts,
                "words": list(word.items()),
            }
            trace = _trace(rng, item, ids, kind)
            traces += trace
            pivots += _pivot_rows(item, ids)
            gold = float(rng.uniform(0.2, 0.9))
            low = [float(value) for value in rng.uniform(0, 0.4, 3)]
            scores.append(
                {"item": item["item"], "pair": pair, "source": word[source], "target": word[target], "p_gold": gold}
                | {"p_distractors": low, "score": gold - sum(low) / 3, "gold_rank": sum(value > gold for value in low)}
                | {"greedy": float(rng.integers(0, 6)) / 5, "reciprocal_rank": float(rng.uniform(0.1, 1))}
                | {"excluded": kind == "excluded"}
            )
            for step, rule in enumerate(RULES):
                shown = kind if step == 0 or rng.uniform() < 0.8 else "other"
                behaviors.append(
                    {"item": item["item"], "pair": pair, "rule": rule, "behavior": shown, "peak_layer": 15}
                    | {
                        "peak_id": ids["en"][0],
                        "peak_token": spaced["en"],
                        "peak_logprob": math.log(0.4),
                        "correct": True,
                        "class": "pivot" if rule == "strict" and shown == "pivot" else None,
                        "language": "en" if rule == "strict" and shown == "pivot" and place % 3 else None,
                        "also": None if rule != "strict" else ["copy"] if place % 2 else [],
                    }
                )
            both = int(rng.integers(0, 40))
            counts.append(
                {"source": word[source], "target": word[target], "df_source": 900 + both, "df_target": 400 + both}
                | {"df_both": both}
            )
    languages = {"en": "English", "fr": "French", "zh": "Chinese"}
    write_table(pa.Table.from_pylist(items), folder / "items.parquet", {"languages": languages})
    write_table(pa.Table.from_pylist(scores), folder / "scores.parquet")
    half = len(traces) // 2 // LAYERS * LAYERS
    for part, rows in enumerate((traces[:half], traces[half:])):
        table = pa.Table.from_pylist(rows, schema=pa.Table.from_pylist(traces).schema)
        metadata = {"self_check_error": 1.5e-06, "contrast": CONTRAST}
        write_table(table, folder / "traces" / f"part-{part:05d}.parquet", metadata)
    fitted = pa.Table.from_pylist(_fitted(traces), schema=pa.Table.from_pylist(traces).schema)
    write_table(fitted, folder / "traces_fitted" / "part-00000.parquet", {"lens": "ridge lens for gemma3-270m"})
    write_table(pa.Table.from_pylist(behaviors), folder / "behaviors.parquet")
    write_table(_sensitivity(pairs), folder / "sensitivity.parquet")
    write_table(pa.Table.from_pylist(counts), folder / "counts" / "pairs.parquet")
    write_table(pa.Table.from_pylist(pivots), folder / "pivots.parquet")
    hubs = [
        {"token_id": i, "token": f" {row[0]}", "words": 90 - 5 * i, "score": 0.2} for i, row in enumerate(words[:16])
    ]
    write_table(pa.Table.from_pylist(hubs), folder / "hubs.parquet")
    write_json({"documents": 98_820}, folder / "counts" / "counts.json")
    _agreement(folder, pairs)
    _causes(folder)
    _selection(folder, rng)
    _study(folder, rng, pairs)
    return folder


def _agreement(folder: Path, pairs: tuple[str, ...]) -> None:
    """More mass and more specific tokens than controls in the first pair, no more in the second; few in rare words."""
    groups = [*((pair, "all") for pair in (*pairs, "all")), *(("all", name) for name in ("1-5", "6-20", "21-100"))]
    masses, shares = [], []
    for place, (pair, documents) in enumerate(groups):
        for control, part in BESIDE.items():
            row = {"pair": pair, "against": control, "items": 30 + place, "concepts": 20, "reason": None}
            own = 0.2 if place != 1 else part / 5
            estimate = {"difference": own - part / 5, "low": own - part / 5 - 0.05, "high": own - part / 5 + 0.05}
            if documents == "1-5":
                row |= {"concepts": 4, "reason": "fewer than 10 concepts"}
                estimate |= {"low": None, "high": None}
            if documents == "all":
                told = f"{pair}: a sentence of {control}."
                masses.append(
                    row | estimate | {"layers": [10, 11], "mass": own, "control_mass": part / 5} | {"sentence": told}
                )
            shares.append(row | estimate | {"documents": documents, "share": own, "control_share": part / 5})
    write_table(pa.Table.from_pylist(masses, PIVOT_MASS), folder / "pivot_mass.parquet")
    write_table(pa.Table.from_pylist(shares, PIVOT_AGREEMENT), folder / "agreement.parquet")


def _sensitivity(pairs: tuple[str, ...]) -> pa.Table:
    variants = [
        ("paper", None, 0.5),
        ("strict", math.log(10), 0.9),
        ("strict", math.log(100), 0.7),
        ("threshold", None, 0.8),
    ]
    rows = []
    for rule, contrast, most in variants:
        for step in range(0 if rule == "paper" else 1, 11):
            for place, pair in enumerate((*pairs, "all")):
                pivot = round(max(most - 0.02 * place - 0.04 * step, 0.0), 3)
                rows.append(
                    {"pair": pair, "rule": rule, "min_probability": step / 20, "least_contrast": contrast, "items": 20}
                    | {
                        "co_occurrence": round(0.95 - pivot, 3),
                        "pivot": pivot,
                        "copy": 0.0,
                        "other": 0.0,
                        "excluded": 0.05,
                    }
                )
    return pa.Table.from_pylist(rows)


# Layer, items, and the means of a class's controls; the pivots' are about those of a small real model.
CAUSES = {
    "pivot": [
        (13, 35, {"own": -3.35, "other": -0.11, "matched": 0.09, "orthogonal": -0.21, "orthogonal-equal": -1.62,
                  "target": -4.1, "source": -3.3, "random": -0.12}),
        (14, 61, {"own": -1.94, "other": -0.08, "matched": 0.02, "orthogonal": -0.6, "orthogonal-equal": -0.9,
                  "target": -3.3, "source": -2.0, "random": -0.05}),
        (16, 58, {"own": -1.54, "other": -0.13, "matched": 0.03, "orthogonal": 0.25, "orthogonal-equal": 0.3,
                  "target": -4.4, "source": -1.8, "random": -0.02}),
    ],
    "direct": [(16, 40, {"own": -4.0, "other": -0.1, "orthogonal": -0.1, "target": -4.4, "source": -1.8})],
}  # fmt: skip


def _causes(folder: Path) -> None:
    rows = []
    for name, layers in CAUSES.items():
        for layer, items, means in layers:
            for intervention, mean, controls in (
                ("ablate", False, means), ("ablate", True, means), ("swap", False, {"own": means["own"]}),
            ):  # fmt: skip
                for control, value in controls.items():
                    row = {"layer": layer, "class": name, "intervention": intervention, "direction": "unembedding"}
                    row |= {"control": control, "mean": mean, "strength": None, "items": items, "concepts": items - 5}
                    row |= {"delta_rank": -10 * value, "removed": 100.0}
                    row |= {"delta_other_logprob": 2.5 if intervention == "swap" else None}
                    apart = value - means["other"]
                    rows.append(
                        row | {"against": None, "delta_logprob": value, "low": value - 0.14, "high": value + 0.14}
                    )
                    rows.append(
                        row | {"against": "other", "delta_logprob": apart, "low": apart - 0.14, "high": apart + 0.14}
                    )
    effects = pa.Table.from_pylist(rows)
    strengths = pa.nulls(effects.num_rows, pa.float64())
    effects = effects.set_column(effects.column_names.index("strength"), "strength", strengths)
    write_table(effects, folder / "causal_effects.parquet")
    one = [{"item": 0, "pair": "fr-zh", "layer": 13, "control": "own", "delta_logprob": -3.0}]
    ledger = [{"item": item, "pair": "fr-zh", "reason": "not solved"} for item in range(7)]
    near = {"layer": 13, "what": "matched", "reason": "all nearest tokens are shown"}
    ledger += [{"item": item, "pair": "fr-zh"} | near for item in (8, 8, 9)]
    write_table(pa.Table.from_pylist(one), folder / "causal.parquet", {"left_out": ledger})


def _selection(folder: Path, rng: np.random.Generator) -> None:
    documents = []
    for row in range(3000):
        tokens = int(rng.integers(50, 900))
        found = int(tokens * rng.beta(2, 9))
        lang = ("en", "fr", "zh")[int(rng.choice(3, p=[0.6, 0.3, 0.1]))]
        documents.append(
            {"unit": "a", "row": row, "id": f"{lang}.jsonl:{row}", "tokens": tokens, "pivots": found}
            | {"score": found / tokens, "lang": lang}
        )
    documents[5]["id"] = "<script>alert(3)</script>"
    write_table(pa.Table.from_pylist(documents), folder / "documents.parquet")
    quotas, budget = {"en": 0.2, "fr": 0.4, "zh": 0.4}, 100_000
    chosen, got = [], dict.fromkeys(quotas, 0)
    for document in sorted(documents, key=lambda document: -document["score"]):
        if got[document["lang"]] < quotas[document["lang"]] * budget:
            got[document["lang"]] += document["tokens"]
            chosen.append(document)
    write_table(pa.Table.from_pylist(chosen), folder / "selection" / "provenance.parquet")
    taken = [{name: row[name] for name in ("unit", "row", "id")} | {"filter": "gopher"} for row in documents[5:7]]
    guard = {"all": {"en": {"documents": 1800, "tokens": 810_000}, HOSTILE[0][1]: {"documents": 1200, "tokens": 9}}}
    guard["filters"] = {"gopher": {"en": {"documents": 2, "tokens": 1234}}, "c4": {}}
    write_table(pa.Table.from_pylist(taken), folder / "dropped.parquet", guard)
    manifest = {"rule": "score", "budget_tokens": budget, "quota_by": "lang", "shares": quotas, "seed": 0}
    manifest["quotas"] = {
        lang: {"budget": round(share * budget), "tokens": got[lang]} for lang, share in quotas.items()
    }
    write_json(manifest, folder / "selection" / "manifest.json")


def _study(folder: Path, rng: np.random.Generator, pairs: tuple[str, ...]) -> None:
    predictors = {"log_df_both": 0.82, "log_df_source": 0.55, "log_df_target": 0.6, "log_min_df": 0.58, "pmi": 0.74}
    auc = []
    for rule in RULES:
        for pair in (*pairs, "all"):
            for predictor, centre in predictors.items():
                value = min(0.99, centre + float(rng.uniform(-0.06, 0.06)))
                row = {"rule": rule, "pair": pair, "predictor": predictor, "auc": value}
                row |= {"low": value - 0.08, "high": min(1.0, value + 0.07), "n_co_occurrence": 41, "n_pivot": 57}
                if rule == "strict" and pair == pairs[0]:
                    row |= {
                        "auc": None,
                        "low": None,
                        "high": None,
                        "n_pivot": 0,
                        "reason": "no item shows pivot behavior",
                    }
                auc.append(row)
    correlation = [
        {"pair": pair, "predictor": name, "r": 0.31, "low": 0.18, "high": 0.43, "n": 120}
        for pair in (*pairs, "all")
        for name in predictors
    ]
    write_json(
        {"auc": auc, "correlation": correlation, "settings": {"interval": "over resampled concepts"}},
        folder / "attribution.json",
    )
    documents = {"unit": ["u"] * 4, "row": range(4), "id": list("abcd"), "tokens": [40, 10, 30, 20],
                 "pivots": [8, 1, 0, 0], "lang": ["en+fr", HOSTILE[0][1], "fr", "en"]}  # fmt: skip
    rows = with_metadata(pa.table(documents), {"told": HOSTILE[3][1], "short": HOSTILE[1][1]})
    arms = {"selection": rows.slice(0, 2), "random": rows.slice(1, 3), "parallel": rows.slice(0, 0)}
    write_table(arms_table(arms), folder / "controls" / "arms.parquet")
    pretrain = []
    for measure, means in (
        ("pivot", (0.14, 0.21, 0.30, 0.12, 0.39, 0.20)),
        ("accuracy", (0.26, 0.42, 0.53, 0.10, 0.38, 0.74)),
    ):
        for arm, mean in zip(ARMS, means, strict=True):
            for seed in range(3):
                for step in (20, 40):
                    value = mean + float(rng.uniform(-0.07, 0.09))
                    row = {"arm": arm, "seed": seed, "step": step, "tokens": 100 * step, "measure": measure}
                    pretrain += [row | {"of": of, "value": value, "n": 80} for of in (*pairs, "all")]
    write_table(pa.Table.from_pylist(pretrain), folder / "pretrain.parquet")
    behaviors = [
        {"rule": rule, "checked": 80, "agree": agree}
        | {
            "confusion": {
                "pivot": {"pivot": agree - 38, "co-occurrence": 78 - agree},
                "direct": {"co-occurrence": 38, "pivot": 2},
            }
        }
        for rule, agree in zip(RULES, (77, 76, 70), strict=True)
    ]
    truth = {"counts": {"checked": 720, "equal": 720}, "pivots": {"checked": 120, "recovered": 119}}
    truth |= {"translated": {"held_out": 80, "correct": 78}, "behaviors": behaviors}
    write_json(truth, folder / "truth.json")
    write_json(made_figures(), folder / "experiment.json")
    stages = ("task", "score", "trace", "behaviors", "count", "pivots", "score-documents", "select")
    record = {
        "stages": {
            name: {"seconds": 3.7 * 2.1**place, "peak_memory_bytes": (place + 3) * 2**28}
            | {"finished": f"2025-11-23T10:{10 + place}:00Z"}
            for place, name in enumerate(stages)
        },
        "config": {
            "model": "gemma3-270m",
            "corpus": ["corpus/*.jsonl.zst"],
            "pairs": list(pairs),
            "seed": 0,
            "rules": {"a": 1},
        },
        "environment": {
            "pivotkit": "0.1.0",
            "numba": None,
            "python": "3.11",
            "torch": "2.13",
            "isa": "avx512_vnni",
            "threads": 2,
        },
    }
    write_json(record, folder / "run.json")
