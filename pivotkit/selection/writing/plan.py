"""What a call of `write_selection` would write: counted, and its size told from a sample."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.corpus.reading.units import Unit
from pivotkit.selection.writing.job import Job
from pivotkit.selection.writing.wanted import takes_of

SAMPLE = 4  # batches of documents whose bytes are measured


def plan(job: Job) -> dict[str, Any]:
    """Documents and tokens in all, by language, quota and file, and the bytes that they would take."""
    units = job.source.units()
    files: dict[str, dict[str, int]] = {}
    languages: dict[str, dict[str, int]] = {}
    for unit in units:
        told = files.setdefault(str(unit.path), {"documents": 0, "tokens": 0})
        for rows in job.source.selection.batches(unit.name):
            tokens = _tokens(rows)
            _add(told, len(rows), int(tokens.sum()))
            for lang, mask in _by_language(rows):
                _add(
                    languages.setdefault(lang, {"documents": 0, "tokens": 0}), int(mask.sum()), int(tokens[mask].sum())
                )
    total = {name: sum(told[name] for told in files.values()) for name in ("documents", "tokens")}
    summary = job.source.selection.summary
    return {
        **total, "format": job.layout.format, "bytes": _bytes(job, units, **total),
        "quotas": summary.get("quotas", {}), "languages": dict(sorted(languages.items())), "files": files,
    }  # fmt: skip


def _tokens(rows: pa.Table) -> Any:
    """How many tokens would be taken of each document; 0 where the selection does not say."""
    if "tokens" not in rows.column_names:
        return np.zeros(len(rows), np.int64)
    lengths = rows["tokens"].to_numpy().astype(np.int64)
    return takes_of(rows, lengths) if "take" in rows.column_names else lengths


def _by_language(rows: pa.Table) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each language of some rows, and which of them are in it."""
    if "lang" not in rows.column_names:
        yield "und", np.ones(len(rows), np.bool_)
        return
    langs = pc.fill_null(rows["lang"].cast(pa.string()), "und")
    for lang in langs.unique().to_pylist():
        yield lang, pc.equal(langs, lang).to_numpy()


def _add(told: dict[str, int], documents: int, tokens: int) -> None:
    told["documents"] += documents
    told["tokens"] += tokens


def _bytes(job: Job, units: list[Unit], documents: int, tokens: int) -> int:
    """About how many bytes the shards would have: those of a sample, by its share of the tokens or documents."""
    with tempfile.TemporaryDirectory(prefix="pivotkit-") as folder:
        shard, seen, seen_tokens = job.layout.shard(Path(folder), 0), 0, 0
        for batch in islice(job.documents(units), SAMPLE):
            shard.add(batch)
            seen += len(batch)
            seen_tokens += int(_tokens(batch.rows).sum())
        shard.close()
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    if tokens and seen_tokens:
        return round(size * tokens / seen_tokens)
    return round(size * documents / seen) if seen else size
