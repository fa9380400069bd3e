"""The files of a token graph, which appear in their folder whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pivotkit import _C
from pivotkit.artifacts import atomic_path, sweep, temporary_path, write_json
from pivotkit.corpus.token_graph.pair_weights import PairWeights
from pivotkit.progress import progress

FORMAT = 1
FAN_IN = 64  # runs that are merged, and open, at once
ARRAYS = {"columns": np.dtype("<i4"), "totals": np.dtype("<i8"), "offsets": np.dtype("<i8")}

KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("cells", "vocabulary", "denominator", "documents", "tokens"), int),
    "weight": str, "numerators": list, "symmetric": bool, "units": list, "tokenizer": (str, type(None)),
}  # fmt: skip


@contextlib.contextmanager
def graph_counter(
    function: str, weights: PairWeights, header: dict[str, Any], memory: int, out: Path, fan_in: int
) -> Iterator[_C.TokenGraphCounter]:
    """A counter to fill. At the end of the ``with`` block its graph, with ``header``, replaces the one in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    numerators = np.array(weights.numerators, np.int64)
    sweep(out)
    runs = temporary_path(out / "runs")
    runs.mkdir()
    with contextlib.ExitStack() as files:
        files.callback(shutil.rmtree, runs, ignore_errors=True)
        try:
            counter = _C.TokenGraphCounter(
                header["vocabulary"], numerators, header["symmetric"], max(memory, 0), str(runs), fan_in
            )
        except ValueError as error:
            raise ValueError(str(error).replace("TokenGraphCounter", function)) from None
        yield counter
        paths = {name: files.enter_context(atomic_path(out / f"{name}.npy")) for name in ARRAYS}
        with progress("Adding up pairs", amount=()):
            cells = counter.finish(**{name: str(path) for name, path in paths.items()})
        (out / "graph.json").unlink(missing_ok=True)  # its presence says that the arrays belong together
    table = {"weight": weights.name, "numerators": weights.numerators, "denominator": weights.denominator}
    write_json({"format": FORMAT, **header, **table, "cells": cells, "approximation": None}, out / "graph.json")
