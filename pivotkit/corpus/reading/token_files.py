"""Token files that pre-training read, as a corpus: which files, in which format, cut into units, read in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pivotkit.arguments import LARGEST, check_flag, check_int, check_kind, check_paths, check_text, refuse
from pivotkit.corpus.reading import token_blocks
from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.reading.budget import DocumentBudget
from pivotkit.corpus.reading.corpus_files import TOKEN_SUFFIXES, Corpus, find_files
from pivotkit.corpus.reading.scope import DOCUMENT, Scope
from pivotkit.corpus.reading.token_blocks import IdFile, Ids, Offsets, TokenBlock
from pivotkit.corpus.reading.token_evidence import check_ends, check_width
from pivotkit.corpus.reading.token_formats import (
    check_no_header,
    count_ids,
    datatrove_offsets,
    index_of,
    megatron_dtype,
    megatron_layout,
)
from pivotkit.corpus.reading.units import Unit

# What the tools and `write_selection` write beside token files.
COMPANIONS = {".idx", ".ds.index", ".ds.metadata", ".ds.loss", ".csv.gz", "manifest.json", "provenance.parquet"}


def token_paths(files: Corpus, format: str) -> list[Path]:
    """The token files of ``files``, sorted; CorpusError where a part matches nothing or has another suffix."""
    suffix = TOKEN_SUFFIXES[format]
    return find_files("TokenFiles", files, (suffix,), lambda path: path.name.lower().endswith(suffix), COMPANIONS)


@dataclass(frozen=True)
class TokenFiles:
    """Token files that pre-training read, as a corpus for `count`, `token_graph` and `score_documents`.

    Parameters
    ----------
    files : path or sequence of paths
        Files, folders (every file below with the format's suffix: ``.npy``, ``.bin``, ``.ds``) or globs. They are read
        in the order of their names.
    vocab_size : int
        Every id must be below it. An id that is not raises an error that names the file and the place.
    format : {"olmo", "megatron", "datatrove"}, default "olmo"
        "olmo": ids without a header, in documents that end at ``eos`` (OLMo and dolma name them ``.npy``, though NumPy
        cannot load them). "megatron": ``.bin`` beside ``.idx``. "datatrove": ``.ds`` beside ``.ds.index``.
    dtype : {"uint16", "uint32"}, default "uint16"
        Type of the ids, little-endian. Megatron's index gives its own.
    eos : int, optional
        The id that ends a document and belongs to it; required for "olmo", and for no other format. What follows the
        last ``eos`` of a file is a document too.
    bos : int, optional
        For tokenizers whose ``eos`` may stand inside a document (such as ``bos`` equal to ``eos``): a document ends
        only where ``bos`` follows ``eos``.
    tokenizer : str, optional
        A name for the tokenizer of the ids. Counts with different names do not merge.

    Raises
    ------
    TypeError
        For an argument of another kind.
    ValueError
        For another format or type, "olmo" without ``eos``, ``eos`` with another format, ``bos`` without ``eos``, and a
        ``vocab_size`` outside [1, 2^31). For an ``eos`` or ``bos`` that no id of ``dtype`` below ``vocab_size`` equals.

    Examples
    --------
    >>> TokenFiles("part-*.npy", vocab_size=50280, eos=50279)
    TokenFiles('part-*.npy', format='olmo', dtype='uint16', vocab_size=50280, eos=50279)
    """

    files: Corpus
    vocab_size: int
    format: str = "olmo"
    dtype: str = "uint16"
    eos: int | None = None
    bos: int | None = None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        check_kind("TokenFiles", "files", self.files, str | PathLike | Sequence, "a path or a sequence of paths")
        check_paths("TokenFiles", "files", self.files)
        check_text("TokenFiles", "format", self.format, tuple(TOKEN_SUFFIXES))
        check_text("TokenFiles", "dtype", self.dtype)
        if self.dtype not in ("uint16", "uint32"):
            refuse("TokenFiles", "dtype", "be uint16 or uint32", self.dtype)
        check_int("TokenFiles", "vocab_size", self.vocab_size, -LARGEST)
        check_int("TokenFiles", "eos", self.eos, 0, none=True)
        check_int("TokenFiles", "bos", self.bos, 0, none=True)
        check_text("TokenFiles", "tokenizer", self.tokenizer, none=True)
        if (self.eos is None) == (self.format == "olmo"):
            raise ValueError(f"TokenFiles: eos must be given for olmo files and for no others; got {self.eos!r}")
        if self.bos is not None and self.eos is None:
            raise ValueError(f"TokenFiles: bos must come with eos; got {self.bos!r}")
        if not 1 <= self.vocab_size < 2**31:
            raise ValueError(f"TokenFiles: vocab_size must be in [1, 2^31); got {self.vocab_size}")
        most = min(self.vocab_size, np.iinfo(self.dtype).max + 1)
        for name, token in (("eos", self.eos), ("bos", self.bos)):
            if token is not None and not 0 <= token < most:
                rule = f"{name} must be an id of {self.dtype} below vocab_size, in [0, {most})"
                raise ValueError(f"TokenFiles: {rule}; got {token}")

    def __repr__(self) -> str:
        files = repr(str(self.files)) if isinstance(self.files, str | Path) else amount(len(self.files), "path")
        names = ("format", "dtype", "vocab_size", "eos", "bos", "tokenizer")
        told = [f"{name}={value!r}" for name in names if (value := getattr(self, name)) is not None]
        return f"TokenFiles({', '.join([files, *told])})"

    def identity(self) -> dict[str, Any]:
        """What the counts depend on besides the files themselves."""
        return {
            "format": self.format, "dtype": self.dtype, "eos": self.eos, "bos": self.bos,
            "vocab_size": self.vocab_size, "tokenizer": self.tokenizer,
        }  # fmt: skip

    def paths(self) -> list[Path]:
        """The files, sorted; CorpusError where a part matches nothing or has another suffix."""
        return token_paths(self.files, self.format)

    def work_units(self, unit_bytes: int | None = None, scope: Scope = DOCUMENT) -> list[Unit]:
        """The work units, file by file in order; those of a file tile it.

        Parameters
        ----------
        unit_bytes : int, optional
            About how many bytes of ids a unit should have. None, the default: one unit per file.
        scope : Scope, default document
            For instances, units are cut between instances.

        Returns
        -------
        list of Unit
            ``begin`` and ``end`` count ids for "olmo" and for instances, and documents for the other formats. A unit
            has the documents (or instances) that begin in it.

        Raises
        ------
        CorpusError
            As `paths`; for a file that ends within an id; for a damaged index; for a header of numpy.save; for ids that
            are those of a wider type (`check_width`), or that `check_ends` finds no document's end among.
        """
        check_int("work_units", "unit_bytes", unit_bytes, 1, none=True)
        check_kind("work_units", "scope", scope, Scope, "a Scope")
        units = []
        for path in self.paths():
            index = index_of(path, self.format)
            whole = replace(Unit.of(path), index=None if index is None else Unit.of(index))
            dtype, size, ends = self._layout(path, scope)
            if self.format == "olmo":
                check_width(path, dtype, self.vocab_size, int(self.eos or 0))
                if scope.kind != "instance":
                    check_ends(path, dtype, int(self.eos or 0), self.bos)
            if unit_bytes is None or size == 0:
                units.append(whole)
                continue
            step = max(1, unit_bytes // dtype.itemsize)
            if ends is not None:
                limits = np.arange(0, ends[-1], step)
                bounds = [*np.unique(np.searchsorted(ends[:-1], limits)).tolist(), size]
            else:
                if scope.kind == "instance":
                    step = -(-step // scope.tokens) * scope.tokens
                bounds = [*range(0, size, step), size]
            units += [replace(whole, begin=begin, end=end) for begin, end in pairwise(bounds)]
        return units

    def blocks(
        self,
        unit: Unit,
        scope: Scope = DOCUMENT,
        *,
        tokens: int | None = None,
        whole: bool = True,
        budget: DocumentBudget | None = None,
    ) -> Iterator[TokenBlock]:
        """Read the documents (or instances) of ``unit`` block by block.

        Parameters
        ----------
        unit : Unit
            One of `work_units`.
        scope : Scope, default document
        tokens : int, optional
            About how many ids a block has; 2^21 by default.
        whole : bool, default True
            Whether a document that is longer than a block is read at once, up to 2^27 ids. Otherwise it comes in
            several blocks, and all but its first are ``continued``.
        budget : DocumentBudget, optional
            Refuses a document that is longer than a block and does not fit; `count` gives it.

        Yields
        ------
        TokenBlock

        Raises
        ------
        CorpusError
            For an id outside the vocabulary, a file that is shorter now, and a document of more than 2^27 ids.
        ValueError
            For a document that does not fit ``budget``; the message has the number that is needed.
        """
        check_kind("blocks", "unit", unit, Unit, "a Unit, one of work_units")
        check_kind("blocks", "scope", scope, Scope, "a Scope")
        check_int("blocks", "tokens", tokens, 1, none=True)
        check_flag("blocks", "whole", whole)
        check_kind("blocks", "budget", budget, DocumentBudget, "a DocumentBudget", none=True)
        at_once = token_blocks.BLOCK_TOKENS if tokens is None else tokens
        dtype, size, offsets = self._layout(unit.path, scope)
        end = size if unit.end is None else unit.end
        file = IdFile(unit.path, dtype, unit.size // dtype.itemsize, self.vocab_size, budget)
        if scope.kind == "instance":
            return file.instances(unit.begin, end, scope.tokens, at_once)
        if offsets is None:
            return file.until_eos(unit.begin, end, int(self.eos or 0), self.bos, at_once, whole)
        return file.documents(offsets[unit.begin : end + 1], at_once, whole)

    def documents(self, unit: Unit) -> Iterator[Ids]:
        """The ids of each document of ``unit``, uint16 or uint32, as `TokenStore.documents`."""
        check_kind("documents", "unit", unit, Unit, "a Unit, one of work_units")
        return (block.ids[begin:end] for block in self.blocks(unit) for begin, end in pairwise(block.offsets.tolist()))

    def _layout(self, path: Path, scope: Scope) -> tuple[np.dtype[Any], int, Offsets | None]:
        """The type of a file's ids, and how many ids it holds, or how many documents, with their offsets."""
        dtype, offsets = np.dtype(self.dtype).newbyteorder("<"), None
        if self.format == "olmo":
            check_no_header(path, dtype)
        elif scope.kind == "instance":
            dtype = megatron_dtype(path) if self.format == "megatron" else dtype
        elif self.format == "megatron":
            dtype, offsets = megatron_layout(path)
        else:
            offsets = datatrove_offsets(path, dtype)
        if offsets is not None:
            return dtype, len(offsets) - 1, offsets
        size = count_ids(path, dtype)
        return dtype, size // scope.tokens * scope.tokens if scope.kind == "instance" else size, None
