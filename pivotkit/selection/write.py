"""Write the text of selected documents, with their provenance."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import zstandard

from pivotkit.arguments import check_path, check_paths
from pivotkit.artifacts import atomic_path, require_columns, table_metadata, write_json, write_table
from pivotkit.corpus.reading.documents import Corpus, Unit, check_on_error, read_documents, work_units
from pivotkit.errors import CorpusError
from pivotkit.progress import track

LEVEL = 6  # compression level of zstd


def write_selection(selection: pa.Table, corpus: Corpus, out: str | Path, *, on_error: str = "raise") -> dict[str, Any]:
    """Write selected documents as ``selected.jsonl.zst``, in the order of the corpus, with their provenance.

    Parameters
    ----------
    selection : pyarrow.Table
        The table of `pivotkit.selection.select.select`, with ``unit, row, id``; its metadata go into the manifest.
    corpus : path, glob or sequence
        The corpus that was scored.
    out : path
        Folder for ``selected.jsonl.zst`` (one object ``{"id", "text", "lang"}`` per line), ``provenance.parquet`` (the
        rows of ``selection`` in the order of the lines, with the ``file`` of each) and ``manifest.json``.
    on_error : {"raise", "skip"}, default "raise"
        As for `read_documents`. A selected document that cannot be read is an error either way.

    Returns
    -------
    dict
        The manifest: the summary of `select`, the corpus files used, and the size, SHA-256 and number of lines of
        ``selected.jsonl.zst``.

    Raises
    ------
    TypeError
        For an argument of another kind.
    ValueError
        When a unit of ``selection`` is not in ``corpus`` or changed since, and when a document is listed twice.
    CorpusError
        When a selected document is not at its row.

    Notes
    -----
    Cost: reads only the files with selected documents, each as far as needed. Every file appears whole or not at all,
    and the manifest is written last: a folder without one is unfinished.
    """
    require_columns("write_selection", "selection", selection, ("unit", "row", "id"))
    corpus = check_paths("write_selection", "corpus", corpus)
    check_path("write_selection", "out", out)
    check_on_error("write_selection", on_error)
    out = Path(out)
    units = {unit.name: unit for unit in work_units(corpus)}
    wanted = _by_unit(selection)
    absent = sorted(set(wanted) - set(units))
    if absent:
        raise ValueError(
            "write_selection: selection must be of units of corpus as it is now; "
            f"got {len(absent)} that are not or were changed since, first {absent[0]}"
        )
    (out / "manifest.json").unlink(missing_ok=True)
    order: list[int] = []
    with atomic_path(out / "selected.jsonl.zst") as path, path.open("wb") as file:
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        with compressor.stream_writer(file, closefd=False) as stream:
            used = [unit for name, unit in units.items() if name in wanted]
            for unit in track(used, "Writing documents"):
                order += _write_unit(unit, wanted[unit.name], stream, on_error)
    files = pa.array([units[name].path.name for name in selection["unit"].to_pylist()], pa.string())
    write_table(selection.append_column("file", files).take(pa.array(order, pa.int64())), out / "provenance.parquet")
    manifest = {
        **table_metadata(selection),
        "corpus": [
            {"unit": unit.name, "path": str(unit.path), "size": unit.size, "documents": len(wanted[unit.name])}
            for unit in used
        ],
        "selected": {
            "lines": len(order),
            "bytes": (out / "selected.jsonl.zst").stat().st_size,
            "sha256": _sha256(out / "selected.jsonl.zst"),
        },
    }
    write_json(manifest, out / "manifest.json")
    return manifest


def _by_unit(selection: pa.Table) -> dict[str, dict[int, tuple[int, str]]]:
    """The wanted rows of each unit, each with its place in ``selection`` and its id."""
    wanted: dict[str, dict[int, tuple[int, str]]] = {}
    columns = (selection[name].to_pylist() for name in ("unit", "row", "id"))
    for place, (unit, row, identity) in enumerate(zip(*columns, strict=True)):
        if row in wanted.setdefault(unit, {}):
            raise ValueError(f"write_selection: selection must hold each document once; got row {row} of {unit} twice")
        wanted[unit][row] = (place, identity)
    return wanted


def _write_unit(unit: Unit, wanted: dict[int, tuple[int, str]], stream: Any, on_error: str) -> list[int]:
    """Write the wanted documents of one unit; return their places in the selection, in the order written."""
    order: list[int] = []
    for batch in read_documents(unit, on_error):
        for row, identity, text, lang in zip(batch.rows, batch.ids, batch.texts, batch.langs, strict=True):
            if row not in wanted:
                continue
            place, expected = wanted[row]
            if identity != expected:
                raise CorpusError(unit.path, f"row {row}", f"must hold document {expected!r}; got {identity!r}")
            stream.write(orjson.dumps({"id": identity, "text": text, "lang": lang}, option=orjson.OPT_APPEND_NEWLINE))
            order.append(place)
        if len(order) == len(wanted):
            return order
    written = set(order)
    missing = min(row for row, (place, _) in wanted.items() if place not in written)
    raise CorpusError(unit.path, f"row {missing}", f"must hold document {wanted[missing][1]!r}; it cannot be read")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
