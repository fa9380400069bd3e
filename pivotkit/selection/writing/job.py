"""One call of `write_selection`: from a source of documents through shards to a manifest."""

from __future__ import annotations

import hashlib
import io
import platform
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit import __version__
from pivotkit.artifacts import file_digests, value_digest, with_metadata
from pivotkit.corpus.reading.units import Unit
from pivotkit.errors import CorpusError
from pivotkit.progress import track
from pivotkit.selection.choosing.groups import in_order
from pivotkit.selection.writing.begun_folder import BegunFolder
from pivotkit.selection.writing.documents import CUT, Tokens, ended
from pivotkit.selection.writing.formats import Layout
from pivotkit.selection.writing.shard_writer import Instances, ShardWriter, cut_first
from pivotkit.selection.writing.text_shards import dataset_files
from pivotkit.selection.writing.text_source import TextSource
from pivotkit.selection.writing.token_source import TokenSource
from pivotkit.selection.writing.wanted import corpus_entries, takes_of

PACKAGES = ("numpy", "orjson", "pyarrow", "tokenizers", "zstandard")


@dataclass(frozen=True)
class Job:
    """What a call of `write_selection` asks for, checked.

    Attributes
    ----------
    source : TextSource or TokenSource
    layout : Layout
    limit : int
        Ids of a shard, or bytes of text.
    vocab_size : int or None
    eos : int or None
        What ends each document of ids.
    bos : int or None
    instance : int or None
        Ids of a training instance.
    """

    source: TextSource | TokenSource
    layout: Layout
    limit: int
    vocab_size: int | None = None
    eos: int | None = None
    bos: int | None = None
    instance: int | None = None

    def run(self, out: Path, selection: Any) -> dict[str, Any]:
        """Write the folder, or go on with what an earlier call left, and return its manifest."""
        units = self.source.units()
        call = {
            "selection": selection_digest(selection), "units": [unit.name for unit in units], **self._asked(),
            "shards": self.limit, "versions": versions(),
        }  # fmt: skip
        begun = BegunFolder("write_selection", out, call)
        with begun.opened() as finished:
            if finished is not None:
                begun.settle()
                return finished
            schema = self.source.schema
            if "take" in schema.names:
                schema = schema.append(CUT)
            with ShardWriter(begun, self.layout, schema, self.limit, self.bos, self.instance) as writer:
                documents = self.documents(units, **writer.resumed)
                packed = None if self.instance is None else Instances(self.instance)
                for ready in documents if packed is None else packed.each(documents):
                    writer.add(ready, 0 if packed is None else packed.cut)
                writer.close()
            more = {}
            if self.layout.format == "datasets":
                more = dataset_files([shard["file"] for shard in begun.shards], begun.digest)
            kept = with_metadata(writer.schema.empty_table(), self.source.selection.summary).schema
            return begun.finish(self._manifest(begun, units, packed.left_out if packed else 0), kept, more)

    def _asked(self) -> dict[str, Any]:
        """What a manifest and the digest of a call say of the format."""
        dtype = None if self.layout.dtype is None else self.layout.dtype.name
        return {
            "format": self.layout.format, "dtype": dtype, "vocab_size": self.vocab_size, "eos": self.eos,
            "bos": self.bos, "tokenizer": self.layout.tokenizer, "instance_tokens": self.instance,
        }  # fmt: skip

    def documents(self, units: list[Unit], documents: int = 0, offset: int = 0) -> Iterator[Any]:
        """The documents behind the first ``documents``, and behind the first ``offset`` ids of the next."""
        skip, counts = documents, self.source.selection.units
        for unit in track(units, "Writing documents"):
            if skip >= counts[unit.name]:
                skip -= counts[unit.name]
                continue
            if self.layout.dtype is None:
                assert isinstance(self.source, TextSource)
                yield from map(marked, self.source.texts(unit, skip))
            else:
                yield from cut_first(self._ended(unit, skip), offset)
            skip = offset = 0

    def _ended(self, unit: Unit, skip: int) -> Iterator[Tokens]:
        """The ids of a unit's documents, each with its end."""
        ends_itself = isinstance(self.source, TokenSource) and self.source.ends_documents
        for documents in map(marked, self.source.tokens(unit, skip)):
            if self.layout.format == "olmo" and not ends_itself:
                check_inside(unit, documents, int(self.eos or 0))
            yield documents if self.eos is None else ended(documents, self.eos)

    def _manifest(self, begun: BegunFolder, units: list[Unit], left_out: int) -> dict[str, Any]:
        selected = written(begun.shards, self.layout.dtype is not None)
        if self.instance is not None:
            selected["left_out_tokens"] = left_out
        return {
            **self.source.selection.summary,
            **{name: value for name, value in self._asked().items() if name == "format" or value is not None},
            **(
                {} if self.layout.dtype is None else {name: self._asked()[name] for name in ("eos", "bos", "tokenizer")}
            ),
            "corpus": corpus_entries(self.source.selection, units),
            "selected": selected,
            "versions": versions(),
            "command": command(),
        }


def marked(documents: Any) -> Any:
    """The documents with a column ``cut``, where ``take`` says that some are."""
    rows = documents.rows
    if "take" not in rows.column_names:
        return documents
    lengths = rows["tokens"].to_numpy().astype(np.int64)
    return replace(documents, rows=rows.append_column(CUT, pa.array(takes_of(rows, lengths) < lengths)))


def check_inside(unit: Unit, documents: Tokens, eos: int) -> None:
    """Refuse a document in which ``eos`` stands before its end: it would be read back as two."""
    inside = np.flatnonzero(documents.ids == eos)
    inside = inside[~np.isin(inside + 1, documents.ends)]
    if len(inside):
        place = int(np.searchsorted(documents.ends, inside[0], side="right"))
        rule = f"must not hold eos, {eos}, before its end; got one (choose another id, or leave the document out)"
        raise CorpusError(unit.path, f"row {documents.rows['row'][place].as_py()}", rule)


def written(shards: list[dict[str, Any]], is_ids: bool) -> dict[str, Any]:
    """What a manifest says of shards: of all, and of each."""
    named = ["file", "documents", *(["tokens"] if is_ids else [])]
    entries = [{name: shard[name] for name in named} | shard["files"][shard["file"]] for shard in shards]
    is_cut = bool(shards) and shards[-1]["offset"] > 0
    total: dict[str, Any] = {"documents": sum(shard["ended"] for shard in shards) + is_cut}
    total["bytes"] = sum(entry["bytes"] for entry in entries)
    for name in ("tokens", "eos_added") if is_ids else ():
        total[name] = sum(shard[name] for shard in shards)
    return total | {"shards": entries}


def selection_digest(selection: pa.Table | str | Path) -> str:
    """The SHA-256 digest of a selection's rows, or of the files of its folder."""
    if not isinstance(selection, pa.Table):
        files = sorted(path for path in Path(selection).iterdir() if path.is_file())
        return value_digest([[path.name for path in files], file_digests(files)])
    digest = hashlib.sha256()
    with pa.ipc.new_stream(pa.PythonFile(_Digested(digest), "w"), selection.schema) as writer:
        writer.write_table(in_order(selection).combine_chunks(), 1 << 16)
    return digest.hexdigest()


class _Digested(io.RawIOBase):
    """A file that keeps nothing but the digest of what is written to it."""

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return len(data)


def versions() -> dict[str, str]:
    """What the bytes of the files may depend on beside the call."""
    return {"pivotkit": __version__, "python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def command() -> str:
    """The command line of this process."""
    return shlex.join(sys.argv)
