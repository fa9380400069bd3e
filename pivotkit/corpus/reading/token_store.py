"""A corpus as token ids on disk: each document tokenized once, read back without copying.

A store is a folder. ``tokenizer.json`` identifies the tokenizer. ``units/<unit>.u32`` holds the ids of one work unit
back to back (little-endian uint32), ``<unit>.offsets.npy`` where each document begins (int64, documents + 1), and
``<unit>.parquet`` the row, id and language of each document. ``store.json`` is written last and lists the units in
order. A unit with its Parquet file is complete, because that file is written last and every file appears whole.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from pivotkit._text import pack_ids
from pivotkit.arguments import check_flag, check_path, check_paths, kind
from pivotkit.artifacts import atomic_path, file_digest, read_object, read_table, sweep, write_json, write_table
from pivotkit.corpus.reading import token_blocks
from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.reading.budget import DocumentBudget
from pivotkit.corpus.reading.documents import Corpus, Unit, check_on_error, read_documents, work_units
from pivotkit.corpus.reading.scope import DOCUMENT, Scope
from pivotkit.corpus.reading.token_blocks import IdFile, TokenBlock
from pivotkit.corpus.reading.token_formats import count_ids
from pivotkit.errors import InputError
from pivotkit.progress import track

FORMAT = 1
DIGESTED = (".u32", ".offsets.npy")  # files of a unit whose digests are in its Parquet file
ID = np.dtype("<u4")
ENCODE_CHARACTERS = 1 << 20  # characters per call of the tokenizer, whose working memory is many times that


class TokenStore:
    """Token ids of a corpus, memory-mapped; made by `tokenize`, opened by `TokenStore.open`.

    Attributes
    ----------
    folder : Path
    fingerprint : str
        Hash of the tokenizer, so that its ids are not read as another's. `tokenizer` is the same, as for `TokenFiles`.
    vocab_size : int
        One more than the tokenizer's largest id.
    on_error : str
        "raise" or "skip": what `tokenize` did with documents that cannot be read.
    units : list[Unit]
        The work units, in the order of the corpus.
    """

    def __init__(self, folder: Path, header: dict[str, Any], units: list[Unit]) -> None:
        self.folder = folder
        self.fingerprint: str = header["fingerprint"]
        self.vocab_size: int = header["vocab_size"]
        self.on_error: str = header["on_error"]
        self.units = units
        self._written = dict(zip(units, units, strict=True))  # the unit whose name the files of a unit have

    def __repr__(self) -> str:
        told = f"{amount(len(self.units), 'unit')}, vocab_size={self.vocab_size}, tokenizer='{self.fingerprint[:8]}...'"
        return f"TokenStore({str(self.folder)!r}, {told})"

    @property
    def tokenizer(self) -> str:
        """Name of the tokenizer, by which counts tell whether they may be merged: its fingerprint."""
        return self.fingerprint

    @classmethod
    def open(cls, folder: str | Path) -> TokenStore:
        """Open a finished store; InputError when there is none, or when one of its files is missing or cut short."""
        check_path("open", "folder", folder)
        folder = Path(folder)
        if not (folder / "store.json").exists():
            raise InputError(folder, "", "must be a finished token store; found no store.json")
        listed = read_object(folder / "store.json", {"units": list})["units"]
        try:
            units = [Unit(Path(unit["path"]), int(unit["size"]), int(unit["modified"])) for unit in listed]
        except (KeyError, TypeError, ValueError):
            raise InputError(
                folder / "store.json", "", "must list path, size and time of each file; got others"
            ) from None
        header = read_object(folder / "tokenizer.json", {"fingerprint": str, "vocab_size": int, "on_error": str})
        store = cls(folder, header, units)
        for unit in units:
            if not unit_is_complete(folder, unit):
                raise InputError(folder, unit.path.name, "must have all files of this unit whole; found otherwise")
        return store

    def moved(self, units: Sequence[Unit]) -> TokenStore:
        """This store for the same files in other places or with other times; the caller vouches for their contents.

        InputError unless ``units`` have the names and sizes of the store's, in order.
        """
        known = {(unit.path.name, unit.size) for unit in self.units}
        if [(unit.path.name, unit.size) for unit in units] != [(unit.path.name, unit.size) for unit in self.units]:
            strange = next((unit.path for unit in units if (unit.path.name, unit.size) not in known), "another order")
            raise InputError(self.folder, "", f"must hold every file of the corpus as it is now; got {strange}")
        store = copy.copy(self)
        store.units = list(units)
        store._written = dict(zip(units, self.units, strict=True))
        return store

    def documents(self, unit: Unit) -> Iterator[npt.NDArray[np.uint32]]:
        """The ids of each document of ``unit``, uint32 views of the mapped file."""
        ids = self.ids(unit)
        for begin, end in pairwise(self.offsets(unit).tolist()):
            yield ids[begin:end]

    def ids(self, unit: Unit) -> npt.NDArray[np.uint32]:
        """All ids of ``unit`` back to back, uint32, mapped and read-only."""
        path = self._path(unit, ".u32")
        if not count_ids(path, ID):
            return np.zeros(0, ID)  # an empty file cannot be mapped
        return np.memmap(path, dtype=ID, mode="r")

    def read(self, unit: Unit, begin: int, end: int) -> npt.NDArray[np.uint32]:
        """Ids [begin, end) of ``unit``, read and not mapped."""
        return self._file(unit).read(begin, end)

    def offsets(self, unit: Unit) -> npt.NDArray[np.int64]:
        """Where each document of ``unit`` begins in `ids`, int64 (documents + 1)."""
        path = self._path(unit, ".offsets.npy")
        try:
            offsets: npt.NDArray[np.int64] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError) as error:  # NumPy parses headers with Python's parser
            raise InputError(path, "", f"must hold offsets; {error}") from None
        good = offsets.dtype == "<i8" and offsets.ndim == 1 and offsets.size and offsets[0] == 0
        if not good or (offsets[1:] < offsets[:-1]).any() or offsets[-1] != self.tokens(unit):
            raise InputError(path, "", f"must hold offsets that ascend from 0 to {self.tokens(unit)}; got others")
        return offsets

    def identity(self) -> dict[str, Any]:
        """What the counts depend on besides the units themselves, as `TokenFiles.identity`."""
        return {
            "format": "store",
            "tokenizer": self.fingerprint,
            "vocab_size": self.vocab_size,
            "on_error": self.on_error,
        }

    def work_units(self, unit_bytes: int | None = None, scope: Scope = DOCUMENT) -> list[Unit]:
        """The store's units, as `TokenFiles.work_units`; they are never cut, whatever the arguments."""
        return list(self.units)

    def blocks(
        self,
        unit: Unit,
        scope: Scope = DOCUMENT,
        *,
        tokens: int | None = None,
        whole: bool = True,
        budget: DocumentBudget | None = None,
    ) -> Iterator[TokenBlock]:
        """Read the documents (or instances) of ``unit`` block by block, as `TokenFiles.blocks`."""
        at_once = token_blocks.BLOCK_TOKENS if tokens is None else tokens
        file = self._file(unit, budget)
        if scope.kind == "instance":
            return file.instances(0, file.size // scope.tokens * scope.tokens, scope.tokens, at_once)
        return file.documents(self.offsets(unit), at_once, whole)

    def table(self, unit: Unit) -> pa.Table:
        """``row`` (int64), ``id`` and ``lang`` (string) of each document of ``unit``."""
        return read_table(self._path(unit, ".parquet"))

    def tokens(self, unit: Unit) -> int:
        """How many ids ``unit`` holds."""
        return self._path(unit, ".u32").stat().st_size // ID.itemsize

    def _file(self, unit: Unit, budget: DocumentBudget | None = None) -> IdFile:
        return IdFile(self._path(unit, ".u32"), ID, self.tokens(unit), self.vocab_size, budget)

    def _path(self, unit: Unit, suffix: str) -> Path:
        if unit not in self._written:
            raise ValueError(f"TokenStore: unit must be one of the store's units; got {unit.path}")
        return unit_path(self.folder, self._written[unit], suffix)


def unit_path(folder: Path, unit: Unit, suffix: str) -> Path:
    return folder / "units" / (unit.name + suffix)


def unit_is_complete(folder: Path, unit: Unit) -> bool:
    """Whether all three files of ``unit`` are there and agree on the number of documents and tokens."""
    flat, ends, listed = (unit_path(folder, unit, suffix) for suffix in (".u32", ".offsets.npy", ".parquet"))
    if not (flat.exists() and ends.exists() and listed.exists()):
        return False
    try:
        offsets = np.load(ends, mmap_mode="r")
        documents = pq.read_metadata(listed).num_rows
        return offsets.shape == (documents + 1,) and int(offsets[-1]) * 4 == flat.stat().st_size
    except (ValueError, TypeError, EOFError, OSError, SyntaxError, pa.ArrowException):
        return False


def tokenize(
    corpus: Corpus, tokenizer: Any, out: str | Path, *, on_error: str = "raise", replace: bool = False
) -> TokenStore:
    """Tokenize every document of a corpus once and keep the ids in ``out``.

    The ids of a document equal ``tokenizer(text, add_special_tokens=False)``. They are never truncated or padded.

    Parameters
    ----------
    corpus
        Files, folders or globs, as for `corpus_files`.
    tokenizer
        A fast Hugging Face tokenizer, a ``tokenizers.Tokenizer``, or the path of a ``tokenizer.json`` or its folder.
    out
        The store's folder. Finished units in it are kept, so a stopped run resumes. A file that changed since is a new
        unit.
    on_error
        "raise" (default) or "skip", as for `read_documents`.
    replace
        Whether a store of another tokenizer or another ``on_error`` is removed instead of refused. False (default).

    Returns
    -------
    TokenStore

    Raises
    ------
    CorpusError
        For a document that cannot be read.
    InputError
        When ``out`` holds ids of another tokenizer or of another ``on_error``; when there is no tokenizer at the path.
    TypeError
        For a slow tokenizer, something else that is not a tokenizer, and another argument of another kind.
    """
    corpus = check_paths("tokenize", "corpus", corpus)
    check_path("tokenize", "out", out)
    check_on_error("tokenize", on_error)
    check_flag("tokenize", "replace", replace)
    folder = Path(out)
    core, fingerprint = tokenizer_core("tokenize", tokenizer)
    header = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "vocab_size": vocabulary_size(core),
        "on_error": on_error,
    }
    before = read_object(folder / "tokenizer.json", {}) if (folder / "tokenizer.json").exists() else header
    for key, value in header.items():
        if before.get(key) != value and not replace:
            raise InputError(folder, "", f"must be a token store with {key} {value}; got {before.get(key)}")
    (folder / "units").mkdir(parents=True, exist_ok=True)
    sweep(folder / "units")
    if before != header:
        for stale in [folder / "store.json", *(folder / "units").iterdir()]:
            stale.unlink(missing_ok=True)
    write_json(header, folder / "tokenizer.json")
    units = work_units(corpus)
    for unit in track(units, "Tokenizing"):
        if not (unit_is_complete(folder, unit) and _has_its_digests(folder, unit)):
            _tokenize_unit(unit, core, folder, on_error)
    listed = [{"path": str(unit.path), "size": unit.size, "modified": unit.modified} for unit in units]
    write_json({"units": listed}, folder / "store.json")
    return TokenStore.open(folder)


def _tokenize_unit(unit: Unit, core: Tokenizer, folder: Path, on_error: str) -> None:
    unit_path(folder, unit, ".parquet").unlink(missing_ok=True)  # its presence says that the other two are whole
    rows: list[int] = []
    ids: list[str] = []
    langs: list[str] = []
    sizes = [np.zeros(1, np.int64)]
    skipped = 0
    with atomic_path(unit_path(folder, unit, ".u32")) as path, path.open("wb") as file:
        for batch in read_documents(unit, on_error):
            for flat, offsets in encode(core, batch.texts):
                flat.astype("<u4", copy=False).tofile(file)
                sizes.append(np.diff(offsets))
            rows += batch.rows
            ids += batch.ids
            langs += batch.langs
            skipped += batch.skipped
    with atomic_path(unit_path(folder, unit, ".offsets.npy")) as path, path.open("wb") as file:
        np.save(file, np.cumsum(np.concatenate(sizes), dtype=np.int64))
    table = pa.table(
        {"row": pa.array(rows, pa.int64()), "id": pa.array(ids, pa.string()), "lang": pa.array(langs, pa.string())}
    )
    digests = {suffix: file_digest(unit_path(folder, unit, suffix)) for suffix in DIGESTED}
    about = {"unit": unit.name, "skipped": skipped, "digests": digests}
    write_table(table, unit_path(folder, unit, ".parquet"), about)


def _has_its_digests(folder: Path, unit: Unit) -> bool:
    """Whether ids and offsets are as they were written; a unit of before digests is kept."""
    try:
        about = orjson.loads((pq.read_metadata(unit_path(folder, unit, ".parquet")).metadata or {})[b"pivotkit"])
        return all(
            file_digest(unit_path(folder, unit, suffix)) == digest
            for suffix, digest in about.get("digests", {}).items()
        )
    except (KeyError, ValueError, AttributeError, OSError, pa.ArrowException):
        return False


def encode(core: Tokenizer, texts: list[str]) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
    """The ids of texts back to back, and where those of each begin, in portions that bound the tokenizer's memory."""
    begin = size = 0
    for end, text in enumerate(texts, 1):
        size += len(text)
        if size >= ENCODE_CHARACTERS or end == len(texts):
            encoded = core.encode_batch_fast(texts[begin:end], add_special_tokens=False)
            yield pack_ids([encoding.ids for encoding in encoded])
            begin, size = end, 0


def vocabulary_size(core: Tokenizer) -> int:
    """One more than the largest id."""
    return max(core.get_vocab(with_added_tokens=True).values()) + 1


def tokenizer_core(function: str, tokenizer: Any) -> tuple[Tokenizer, str]:
    """A private copy of the Rust tokenizer, without truncation and padding, and its fingerprint."""
    if isinstance(tokenizer, str | PathLike):
        check_path(function, "tokenizer", tokenizer)
        path = Path(tokenizer)
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():
            raise InputError(file, "", "must be a tokenizer.json; found no such file")
        core = Tokenizer.from_file(str(file))
    else:
        inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not isinstance(inner, Tokenizer):
            raise TypeError(f"{function}: tokenizer must be a fast tokenizer or a path; got {kind(tokenizer)}")
        core = Tokenizer.from_str(inner.to_str())
    core.no_truncation()
    core.no_padding()
    return core, hashlib.sha256(core.to_str().encode()).hexdigest()
