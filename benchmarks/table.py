"""The record of a benchmark run as the tables of README.md: ``python benchmarks/table.py results.json``."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

TORCH = ("torch", "torch_chunked", "torch_per_layer")
OURS = {"exact": "pivotkit", "certified": "pivotkit_certified"}


def ratio(info: dict[str, Any], method: str) -> str:
    if method not in info["ratios"]:
        return ""
    found = info["ratios"][method]
    low, high = found["quartiles"]
    return f"{found['median']:.2f} ({low:.2f} to {high:.2f})"


def milliseconds(info: dict[str, Any], method: str) -> str:
    return f"{info['seconds'][method] * 1000:.4g}" if method in info["seconds"] else ""


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def grid(records: list[dict[str, Any]]) -> str:
    rows = []
    for info in records:
        case, memory, share = info["case"], info["peak_mib"], info.get("limit", {}).get("share", "")
        cells = [case["D"], case["V"], case["weight"], case["M"]]
        cells += [milliseconds(info, name) for name in (*TORCH, "pivotkit")]
        cells += [ratio(info, name) for name in OURS.values()]
        cells += [memory[info["baseline"]], memory["pivotkit"], share]
        rows.append([str(cell) for cell in cells])
    head = ["D", "V", "weight", "M", *(f"`{name}`, ms" for name in (*TORCH, "pivotkit")), "best torch / exact"]
    return table([*head, "best torch / certified", "MiB, best torch", "MiB, pivotkit", "share of the limit"], rows)


def summary(records: list[dict[str, Any]]) -> str:
    rows = []
    for precision, method in OURS.items():
        for weight in sorted({info["case"]["weight"] for info in records}):
            here = [info for info in records if info["case"]["weight"] == weight and method in info["ratios"]]
            ratios = [info["ratios"][method]["median"] for info in here]
            if ratios:
                mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
                rows.append([precision, weight, str(len(ratios)), f"{mean:.2f}", f"{min(ratios):.2f}"])
    return table(["precision", "weight", "cases", "geometric mean", "minimum"], rows)


def trace(records: list[dict[str, Any]]) -> str:
    names = ("torch_per_layer", "pivotkit_per_layer", "pivotkit")
    rows = [
        [info["trace"]["weight"], *(milliseconds(info, n) for n in names), ratio(info, names[2])] for info in records
    ]
    return table(["weight", *(f"`{name}`, ms" for name in names), "torch / stacked"], rows)


def main(path: str) -> None:
    record = json.loads(Path(path).read_text(encoding="utf-8"))
    infos = [one["extra_info"] for one in record["benchmarks"] if "ratios" in one["extra_info"]]
    cases, traces = ([info for info in infos if kind in info] for kind in ("case", "trace"))
    print(
        f"{record['machine_info'].get('isa')}, {record['machine_info'].get('threads')} threads, {record['datetime']}\n"
    )
    for found, tables in ((cases, (grid, summary)), (traces, (trace,))):
        for make in tables if found else ():
            print(make(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
