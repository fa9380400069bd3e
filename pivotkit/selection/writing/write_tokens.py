"""Writes the ids of selected documents as token files that `TokenFiles` reads back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import check_int, kind, refuse
from pivotkit.artifacts import atomic_path, with_metadata, write_json
from pivotkit.corpus.reading.token_blocks import TokenBlock
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import CorpusError
from pivotkit.progress import track
from pivotkit.selection.choosing.selection_folder import RowWriter, Selection, replaced_selection
from pivotkit.selection.writing.wanted import WantedRows, check_ids, corpus_entries, used_units

BLOCK_TOKENS = 1 << 20  # ids that are read at a time
MANIFEST = "manifest.json"
PLACES = [pa.field("file", pa.string()), pa.field("shard", pa.string()), pa.field("first", pa.int64()),
          pa.field("length", pa.int64())]  # fmt: skip

Ids = NDArray[Any]


class Documents(NamedTuple):
    """Documents ``ids[ends[d - 1]:ends[d]]``, and the rows that tell of them."""

    ids: Ids
    ends: NDArray[np.int64]
    rows: pa.Table


class ShardWriter:
    """Files of ids, one behind another; each ends with the document that makes it reach ``shard_tokens``.

    Attributes
    ----------
    shards : list of dict
        ``file, documents, tokens, bytes, sha256`` of each.
    """

    def __init__(self, folder: Path, dtype: str, bos: int | None, shard_tokens: int) -> None:
        self._folder, self._dtype, self._bos, self._most = folder, np.dtype(dtype).newbyteorder("<"), bos, shard_tokens
        self.shards: list[dict[str, Any]] = []
        self._open = contextlib.ExitStack()
        self._file: Any = None
        self._tokens = self._documents = 0
        self._digest = hashlib.sha256()

    def add(self, documents: Documents) -> tuple[list[str], NDArray[np.int64]]:
        """Write documents; the file of each, and where it begins there."""
        begins = np.concatenate([np.zeros(1, np.int64), documents.ends[:-1]])
        # Behind another document, one without `bos` would be a part of it.
        apart = np.zeros(0, np.int64) if self._bos is None else np.flatnonzero(documents.ids[begins] != self._bos)
        names: list[str] = []
        firsts, at = np.zeros(len(begins), np.int64), 0
        while at < len(begins):
            if self._tokens and at in apart:
                self.close()
            room = begins[at] + self._most - self._tokens
            to = min(len(begins), int(np.searchsorted(documents.ends, room)) + 1)
            to = min([to, *apart[apart > at][:1].tolist()])
            if self._file is None:
                path = self._open.enter_context(atomic_path(self._folder / self._name, durable=False))
                self._file = self._open.enter_context(path.open("wb"))
            names += [self._name] * (to - at)
            firsts[at:to] = begins[at:to] - begins[at] + self._tokens
            raw = documents.ids[begins[at] : documents.ends[to - 1]].astype(self._dtype).data.cast("B")
            self._file.write(raw)
            self._digest.update(raw)
            self._tokens += int(documents.ends[to - 1] - begins[at])
            self._documents += to - at
            at = to
            if self._tokens >= self._most:
                self.close()
        return names, firsts

    def close(self) -> None:
        """Finish the file that is being written."""
        if self._file is None:
            return
        self._open.close()
        self.shards.append(
            {
                "file": self._name,
                "documents": self._documents,
                "tokens": self._tokens,
                "bytes": self._tokens * self._dtype.itemsize,
                "sha256": self._digest.hexdigest(),
            }
        )
        self._file, self._tokens, self._documents, self._digest = None, 0, 0, hashlib.sha256()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    @property
    def _name(self) -> str:
        return f"part-{len(self.shards):05}.npy"


def write_tokens(
    selection: Selection, corpus: TokenStore | TokenFiles, out: Path, eos: int | None, shard_tokens: int
) -> dict[str, Any]:
    """`write_selection` for tokens."""
    bos = corpus.bos if isinstance(corpus, TokenFiles) else None
    last = _last_id(corpus, eos)
    dtype = "uint16" if corpus.vocab_size <= 1 << 16 else "uint32"
    used = used_units(selection, corpus.work_units())
    schema = selection.schema
    for field in PLACES:
        schema = schema.append(field)
    added = 0
    with replaced_selection("write_selection", out, MANIFEST) as folder:
        rows = RowWriter(folder / "provenance.parquet", with_metadata(schema.empty_table(), selection.summary).schema)
        with ShardWriter(folder, dtype, bos, shard_tokens) as shards, rows as provenance:
            for unit in track(used, "Writing documents"):
                for documents in _documents(corpus, unit, WantedRows(selection, unit)):
                    if not (isinstance(corpus, TokenFiles) and corpus.format == "olmo"):
                        _check_inside(unit, documents, last)
                    whole = _ended(documents, last)
                    added += len(whole.ids) - len(documents.ids)
                    names, firsts = shards.add(whole)
                    lengths = np.diff(whole.ends, prepend=0)
                    places: list[Any] = [[unit.path.name] * len(names), names, firsts, lengths]
                    table = documents.rows
                    for field, values in zip(PLACES, places, strict=True):
                        table = table.append_column(field, pa.array(values, field.type))
                    provenance.add(table)
            shards.close()
        manifest = {
            **selection.summary,
            "format": "olmo",
            "dtype": dtype,
            "vocab_size": corpus.vocab_size,
            "eos": last,
            "bos": bos,
            "tokenizer": corpus.tokenizer,
            "corpus": corpus_entries(selection, used),
            "selected": {
                "documents": sum(shard["documents"] for shard in shards.shards),
                "tokens": sum(shard["tokens"] for shard in shards.shards),
                "eos_added": added,
                "shards": shards.shards,
            },
        }
        write_json(manifest, folder / MANIFEST)
    return manifest


def _last_id(corpus: TokenStore | TokenFiles, eos: int | None) -> int:
    """The id that ends documents."""
    own = corpus.eos if isinstance(corpus, TokenFiles) else None
    if own is not None and eos not in (None, own):
        refuse("write_selection", "eos", f"be that of corpus, {own}, or None", eos)
    if own is not None:
        return own
    what = f"TokenFiles of {corpus.format}" if isinstance(corpus, TokenFiles) else kind(corpus)
    if eos is None:
        refuse("write_selection", "eos", f"be given for {what}: the id that ends a document", eos)
    check_int("write_selection", "eos", eos, 0, corpus.vocab_size - 1)
    return int(eos)


def _documents(corpus: TokenStore | TokenFiles, unit: Unit, wanted: WantedRows) -> Iterator[Documents]:
    """The wanted documents of a unit, some at a time."""
    listed = corpus.table(unit) if isinstance(corpus, TokenStore) else None
    known = None if listed is None else listed["row"].to_numpy()
    begin = 0
    for block in corpus.blocks(unit, tokens=BLOCK_TOKENS):
        if not wanted.left:
            return
        end = begin + len(block.offsets) - 1
        rows = wanted.below(end if known is None else int(known[end - 1]) + 1)
        if len(rows):
            asked = rows["row"].to_numpy()
            places = asked if known is None else np.searchsorted(known, asked)
            if known is not None and (known[places] != asked).any():
                row = int(np.flatnonzero(known[places] != asked)[0])
                wanted.refuse(int(asked[row]), rows["id"][row].as_py())
            if listed is not None:
                check_ids(unit, rows, listed["id"].take(pa.array(places)))
            yield _picked(unit, block, places - begin, rows)
        begin = end
    for row in wanted.below(np.iinfo(np.int64).max).to_pylist():
        wanted.refuse(row["row"], row["id"])
    if isinstance(corpus, TokenFiles):
        unit.check()


def _picked(unit: Unit, block: TokenBlock, places: NDArray[np.int64], rows: pa.Table) -> Documents:
    """Some documents of a block, whose lengths must be those of ``rows``."""
    lengths = np.diff(block.offsets)
    if "tokens" in rows.column_names:
        told = rows["tokens"].to_numpy()
        wrong = np.flatnonzero(told != lengths[places])
        if len(wrong):
            one = int(wrong[0])
            rule = f"must hold a document of {told[one]} tokens; got {lengths[places[one]]}"
            raise CorpusError(unit.path, f"row {rows['row'][one].as_py()}", rule)
    is_wanted = np.zeros(len(lengths), np.bool_)
    is_wanted[places] = True
    return Documents(block.ids[np.repeat(is_wanted, lengths)], np.cumsum(lengths[places]), rows)


def _check_inside(unit: Unit, documents: Documents, eos: int) -> None:
    """Refuse a document in which ``eos`` stands before its end: it would be read back as two."""
    inside = np.flatnonzero(documents.ids == eos)
    inside = inside[~np.isin(inside + 1, documents.ends)]
    if len(inside):
        place = int(np.searchsorted(documents.ends, inside[0], side="right"))
        rule = f"must not hold eos, {eos}, before its end; got one (choose another id, or leave the document out)"
        raise CorpusError(unit.path, f"row {documents.rows['row'][place].as_py()}", rule)


def _ended(documents: Documents, eos: int) -> Documents:
    """The documents with ``eos`` behind those that do not end with it."""
    ids, ends, rows = documents
    lengths = np.diff(ends, prepend=0)
    lacks = lengths == 0
    lacks[~lacks] = ids[ends[~lacks] - 1] != eos
    if not lacks.any():
        return documents
    return Documents(np.insert(ids, ends[lacks], eos), ends + np.cumsum(lacks), rows)
