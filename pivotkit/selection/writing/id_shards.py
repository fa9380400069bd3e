"""One shard of ids in each format: OLMo's headerless array, Megatron-LM's and datatrove's with their indexes.

A shard is written under the name that it will have, and is whole when ``close`` returns.
"""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pivotkit.corpus.reading.token_formats import datatrove_index, megatron_index
from pivotkit.selection.writing.documents import Lengths, Tokens

GZIP_LEVEL = 6
METRIC = ("", "K", "M", "G", "T", "P")


class IdShard:
    """Ids back to back, and one more file of ``companion`` that says where the documents lie."""

    companion = ""

    def __init__(self, folder: Path, stem: str, suffix: str, dtype: np.dtype[Any], tokenizer: str | None) -> None:
        self._folder, self._dtype, self._tokenizer = folder, dtype, tokenizer
        self.files = [stem + suffix, *self._beside(stem, suffix)]
        self._open = contextlib.ExitStack()
        self._file = self._open.enter_context((folder / self.files[0]).open("wb"))
        self._lengths: list[Lengths] = []
        self._tokens = 0

    def add(self, documents: Tokens) -> None:
        self._file.write(np.ascontiguousarray(documents.ids, self._dtype).data.cast("B"))
        self._note(documents)
        self._tokens += len(documents.ids)

    def close(self) -> None:
        with self._open:
            self._finish(np.concatenate([np.zeros(0, np.int64), *self._lengths]))

    def _beside(self, stem: str, suffix: str) -> list[str]:
        raise NotImplementedError

    def _note(self, documents: Tokens) -> None:
        self._lengths.append(documents.sizes())

    def _finish(self, lengths: Lengths) -> None:
        raise NotImplementedError

    def _put(self, number: int, content: bytes) -> None:
        (self._folder / self.files[number]).write_bytes(content)


class OlmoShard(IdShard):
    """``.npy`` without a header, and dolma's ``.csv.gz``: start, end, id, source and line of each document."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        sidecar = self._open.enter_context((self._folder / self.files[1]).open("wb"))
        self._sidecar = self._open.enter_context(gzip.GzipFile("", "wb", GZIP_LEVEL, sidecar, mtime=0))

    def _beside(self, stem: str, suffix: str) -> list[str]:
        return [f"{stem}.csv.gz"]

    def _note(self, documents: Tokens) -> None:
        rows = documents.rows
        lines = pa.compute.add(rows["row"], 1)
        default = pa.compute.binary_join_element_wise(rows["file"], lines.cast(pa.string()), ":")
        ids = pa.compute.coalesce(rows["id"].cast(pa.string()), default)
        places = [pa.array(values + self._tokens) for values in (documents.begins, documents.ends)]
        table = pa.table([*places, ids, rows["file"], lines], names=["start", "end", "id", "src", "loc"])
        options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
        text = pa.BufferOutputStream()
        pa.csv.write_csv(table, text, options)
        self._sidecar.write(text.getvalue())

    def _finish(self, lengths: Lengths) -> None:
        pass


class MegatronShard(IdShard):
    """``.bin`` and ``.idx``, each document of one sequence."""

    def _beside(self, stem: str, suffix: str) -> list[str]:
        return [f"{stem}.idx"]

    def _finish(self, lengths: Lengths) -> None:
        self._put(1, megatron_index(lengths, self._dtype))


class DatatroveShard(IdShard):
    """``.ds``, ``.ds.index``, and ``.ds.metadata``: the tokenizer, the bytes of an id, and how many ids there are."""

    def _beside(self, stem: str, suffix: str) -> list[str]:
        return [f"{stem}{suffix}.index", f"{stem}{suffix}.metadata"]

    def _finish(self, lengths: Lengths) -> None:
        self._put(1, datatrove_index(lengths))
        told = f"{self._tokenizer or 'unknown'}|{self._dtype.itemsize}\n{self._tokens}\n{short_number(self._tokens)}T"
        self._put(2, told.encode())


def short_number(number: int) -> str:
    """A number with three digits and the letter of its thousands, as datatrove writes it.

    >>> short_number(999), short_number(1234567), short_number(28 * 10**7)
    ('999 ', '1.23 M', '280 M')
    """
    power = 0 if number == 0 else min((len(str(number)) - 1) // 3, len(METRIC) - 1)
    scaled = number / 1000**power
    digits = max(0, 2 - (len(str(int(scaled))) - 1)) if power else 0
    return f"{scaled:.{digits}f} {METRIC[power]}"
