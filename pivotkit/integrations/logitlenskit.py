"""logitlenskit: one item's trace as the JSON that the widget of logitlenskit shows."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pivotkit.artifacts import atomic_path, require_columns

COLUMNS = ("item", "layer", "position", "token", "label", "top_ids", "top_tokens", "top_logprobs", "entropy", "tracked",
           "tracked_logprobs")  # fmt: skip
VERSION = 2
DIGITS = 5  # decimals of every number, as in the format


def export_logitlenskit(
    traces: pa.Table, item: int, path: str | Path | None = None, *, model: str | None = None
) -> dict[str, Any]:
    """Return one item's trace as logitlenskit's JSON, version 2.

    Parameters
    ----------
    traces : pyarrow.Table
        What `trace` returns. With ``positions=("all",)`` it shows the whole prompt, else the positions that are there.
    item : int
    path : str or Path, optional
        A file for the JSON.
    model : str, optional
        The model's name, for ``meta``.

    Returns
    -------
    dict
        ``meta``: ``version`` 2, ``timestamp``, and ``model`` where given. ``layers``: their numbers; 0 is the embedding
        output. ``input``: the token of each position. ``topk[layer][position]``: the texts of the top tokens, best
        first. ``tracked[position][text]``: a token's probability in every layer. ``entropy[layer][position]``: in nats.

    Raises
    ------
    TypeError
        ``traces`` is no table.
    ValueError
        A column is missing, the item was not traced, or a position lacks a layer.

    Notes
    -----
    The format has one curve per token that it names. A token that the trace tracks has a full curve. Another token has
    0 in the layers where it is not among the top k: it is less likely there than the k-th. Trace with ``tracked`` at
    least k times the layers to get full curves only. The format names tokens by text. Where two tokens have one text,
    as pieces of a character do, the second gets its id as a suffix.
    Source: docs/DATA_FORMAT.md of davidbau/logitlenskit.
    """
    require_columns("export_logitlenskit", "traces", traces, COLUMNS)
    if "point" in traces.column_names:
        traces = traces.filter(pc.field("point") == "block")  # the format has one cell per layer
    own = traces.select(COLUMNS).filter(pc.field("item") == item)
    if not own.num_rows:
        raise ValueError(f"export_logitlenskit: item must be one of the traced; got {item}")
    if pc.any(pc.equal(own["label"], "all")).as_py():
        own = own.filter(pc.field("label") == "all")
    # A position can have several labels; their rows agree.
    seen = {(row["position"], row["layer"]): row for row in own.to_pylist()}
    positions, layers = (sorted({key[axis] for key in seen}) for axis in (0, 1))
    if len(seen) != len(positions) * len(layers):
        raise ValueError(f"export_logitlenskit: traces must have each layer of every position; item {item} lacks some")
    cells = [[seen[position, layer] for layer in layers] for position in positions]
    names = [_names(rows) for rows in cells]
    value: dict[str, Any] = {
        "meta": {"version": VERSION, "timestamp": datetime.now(timezone.utc).isoformat()},
        "layers": layers,
        "input": [rows[0]["token"] for rows in cells],
        "topk": [
            [[names[at][token] for token in rows[depth]["top_ids"]] for at, rows in enumerate(cells)]
            for depth in range(len(layers))
        ],
        "tracked": [_curves(rows, own) for rows, own in zip(cells, names, strict=True)],
        "entropy": [[round(rows[depth]["entropy"], DIGITS) for rows in cells] for depth in range(len(layers))],
    }
    if model is not None:
        value["meta"]["model"] = model
    if path is not None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(orjson.dumps(value))
    return value


def export_all_logitlenskit(traces: pa.Table, folder: str | Path, *, model: str | None = None) -> Path:
    """Write `export_logitlenskit` of every traced item to ``folder`` as ``item-00000.json``; return the folder."""
    require_columns("export_all_logitlenskit", "traces", traces, COLUMNS)
    for item in sorted(pc.unique(traces["item"]).to_pylist()):
        export_logitlenskit(traces, item, Path(folder) / f"item-{item:05d}.json", model=model)
    return Path(folder)


def _names(rows: list[dict[str, Any]]) -> dict[int, str]:
    """Return a distinct text for every token that a position tracks or has among its top."""
    texts = {token: f"⟨{token}⟩" for token in rows[0]["tracked"]}
    for row in rows:
        texts.update(zip(row["top_ids"], row["top_tokens"], strict=True))
    names: dict[int, str] = {}
    taken: set[str] = set()
    for token, text in sorted(texts.items()):
        names[token] = f"{text}⟨{token}⟩" if text in taken else text
        taken.add(names[token])
    return names


def _curves(rows: list[dict[str, Any]], names: dict[int, str]) -> dict[str, list[float]]:
    """Return the probability of every named token in every layer, tracked tokens first, in the trace's order."""
    logprobs = np.full((len(names), len(rows)), -np.inf)
    place = {token: at for at, token in enumerate(dict.fromkeys([*rows[0]["tracked"], *names]))}
    for depth, row in enumerate(rows):
        for ids, values in ((row["top_ids"], row["top_logprobs"]), (row["tracked"], row["tracked_logprobs"])):
            logprobs[[place[token] for token in ids], depth] = values
    probabilities = np.exp(logprobs).round(DIGITS).tolist()
    return {names[token]: probabilities[at] for token, at in place.items()}
