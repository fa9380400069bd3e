"""A run's figures as tables for README: shares of behaviors, AUCs with intervals, the causal test, times."""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from pivotkit.artifacts import read_json, read_table
from pivotkit.kernels import select_isa
from pivotkit.lens.behavior import STRICT

PREDICTORS = ("log_df_both", "log_df_both_given_df", "log_df_source", "log_df_target", "pmi", "similarity",
              "tokens_target")  # fmt: skip
MOST_SECONDS = 1800  # of a stage of the study


def summary(run: Path) -> str:
    """Aggregates alone: no words and no text of the data."""
    record, attribution = read_json(run / "run.json"), read_json(run / "attribution.json")
    parts = [_about(record), _finding(attribution), _behaviors(run), _areas(attribution)]
    if (run / "causal_effects.parquet").exists():
        parts.append(_effects(run))
    return "\n\n".join([*parts, _times(record)]) + "\n"


def _about(record: dict[str, Any]) -> str:
    environment = record.get("environment", {})
    finished = max(stage["finished"] for stage in record["stages"].values())
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    model = str(record["config"]["model"]).rsplit("/", 1)[-1]
    machine = f"{_processor()}, torch {environment.get('torch')}, {select_isa()}"
    return f"{model}, {finished[:10]}, commit {commit or 'unknown'}, {machine}."


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor() or platform.machine()


def _finding(attribution: dict[str, Any]) -> str:
    return "\n".join(f"- {'*Caveat.* ' * (one['kind'] == 'caveat')}{one['text']}" for one in attribution["finding"])


def _behaviors(run: Path) -> str:
    rows = read_table(run / "behaviors.parquet").select(["pair", "rule", "behavior", "correct"]).to_pylist()
    strict = [row for row in rows if row["rule"] == STRICT]
    names = ("co-occurrence", "pivot", "copy", "other", "excluded")
    lines = []
    for pair in [*dict.fromkeys(row["pair"] for row in strict), "all"]:
        own = [row for row in strict if pair in (row["pair"], "all")]
        seen = Counter(row["behavior"] for row in own)
        correct = sum(row["correct"] for row in own) / len(own)
        lines.append([pair, str(len(own)), f"{correct:.2f}", *(str(seen[name]) for name in names)])
    return _table(["pair", "items", "correct", *names], lines)


def _areas(attribution: dict[str, Any]) -> str:
    found: dict[str, dict[str, Any]] = {}
    for row in attribution["auc"]:
        if row["rule"] == STRICT:
            found.setdefault(row["pair"], {})[row["predictor"]] = row
    permuted = {row["pair"]: row for row in attribution["permutation"]
                if (row["rule"], row["positive"]) == (STRICT, "co-occurrence")}  # fmt: skip
    names = [name for name in PREDICTORS if any(name in rows for rows in found.values())]
    lines = []
    for pair, rows in found.items():
        one = next(iter(rows.values()))
        cells = [_estimate(rows[name], "auc") if name in rows else "" for name in names]
        lines.append(
            [pair, str(one["n_co_occurrence"]), str(one["n_pivot"]), *cells, _estimate(permuted[pair], "mean")]
        )
    return _table(["pair", "n co-occurrence", "n pivot", *(f"`{name}`" for name in names), "permuted"], lines)


def _effects(run: Path) -> str:
    rows = read_table(run / "causal_effects.parquet").to_pylist()
    kept = [row for row in rows if row["class"] == "pivot" and row["intervention"] == "ablate"
            and row["direction"] == "unembedding" and not row["mean"] and row["against"] in (None, "other")
            and row["control"] in ("own", "other", "matched", "orthogonal")]  # fmt: skip
    lines = [
        [str(row["layer"]), row["control"] + (" - other" if row["against"] else ""), str(row["items"]),
         str(row["concepts"]), _estimate(row, "delta_logprob")]
        for row in sorted(kept, key=lambda row: (row["layer"], row["control"], str(row["against"])))
    ]  # fmt: skip
    return _table(["layer", "pivot's direction removed", "items", "concepts", "change of the answer, nats"], lines)


def _times(record: dict[str, Any]) -> str:
    lines = [
        [name, f"{stage['seconds']:.0f}" + " (over 30 min)" * (stage["seconds"] > MOST_SECONDS),
         f"{(stage.get('peak_memory_bytes') or 0) / 2**30:.1f}"]
        for name, stage in sorted(record["stages"].items(), key=lambda named: str(named[1]["finished"]))
    ]  # fmt: skip
    total = sum(stage["seconds"] for stage in record["stages"].values())
    return _table(["stage", "seconds", "GiB at most"], [*lines, ["all", f"{total:.0f}", ""]])


def _estimate(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return "–"
    ends = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row[name]:.2f}{ends}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
