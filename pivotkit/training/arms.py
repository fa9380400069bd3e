"""What an arm trains on: documents as token ids, in files that are read in place or in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pivotkit.arguments import elements
from pivotkit.artifacts import file_digest, file_digests, read_object, value_digest
from pivotkit.corpus.reading.token_blocks import IdFile
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.token_formats import megatron_dtype
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.encode import tokenizer_core
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import CorpusError, InputError

Ids = NDArray[Any]
Document: TypeAlias = str | Sequence[int] | NDArray[np.integer]  # a text, or its ids
Given: TypeAlias = str | PathLike[str] | TokenFiles | TokenStore | Iterable[Document]
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Documents:
    """Documents of token ids, each read where it lies.

    Attributes
    ----------
    name : str
        How an error names them: the arm, and its folder where it has one.
    lengths : int64 (documents,)
        Ids of each document, with the ``eos`` that is put behind it.
    bare : bool (documents,)
        Whether a document does not end with ``eos``, so that one is put behind it.
    eos : int
    digest : str
        Of all ids and their documents; equal for equal bytes, wherever they lie.
    read : function of (document, begin, end) to ids
        Ids of one document, without the ``eos`` that is put behind it.
    files : tuple of Unit
        The files, as they were when they were opened.
    """

    name: str
    lengths: NDArray[np.int64]
    bare: NDArray[np.bool_]
    eos: int
    digest: str
    read: Callable[[int, int, int], Ids] = field(repr=False)
    files: tuple[Unit, ...] = ()

    @property
    def tokens(self) -> int:
        """How many ids there are, with every ``eos``."""
        return int(self.lengths.sum())

    def check(self) -> None:
        """Raise a CorpusError with the name of a file that changed since it was opened, or is gone."""
        for file in self.files:
            file.check()


def open_documents(function: str, argument: str, name: str, given: Given, tokenizer: Any, vocab: int) -> Documents:
    """The documents of an arm.

    Parameters
    ----------
    function, argument : str
        Whom an error names.
    name : str
        Name of the arm.
    given : path, TokenFiles, TokenStore or iterable of documents
        A folder that `write_selection` wrote as tokens, token files, a token store, or documents: texts or 1-D ids.
    tokenizer : a Hugging Face tokenizer
        Its ``eos_token_id`` ends a document that has no end of its own; texts are tokenized with it.
    vocab : int
        Every id must be below it.
    """
    eos = separator(function, tokenizer)
    if isinstance(given, TokenFiles | TokenStore) and not of_tokenizer(function, given.tokenizer, tokenizer):
        raise ValueError(
            f"{function}: {argument} must hold ids of the model's tokenizer; got those of another in {name!r}"
        )
    if isinstance(given, str | PathLike):
        return _of_files(f"{name!r} ({given})", selection_files(function, Path(given), tokenizer), eos, vocab)
    if isinstance(given, TokenFiles):
        return _of_files(f"{name!r} ({given!r})", given, eos, vocab)
    if isinstance(given, TokenStore):
        return _of_store(f"{name!r} ({given.folder})", given, eos, vocab)
    return _of_memory(function, argument, name, given, tokenizer, eos, vocab)


def separator(function: str, tokenizer: Any) -> int:
    """The id that ends a document: ``eos``, or ``bos`` where the tokenizer has no ``eos``."""
    found = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.bos_token_id
    if found is None:
        raise ValueError(f"{function}: model must have a tokenizer with an eos or bos token; got one with neither")
    return int(found)


def of_tokenizer(function: str, told: str | None, tokenizer: Any) -> bool:
    """Whether told ids are of ``tokenizer``; a name that is no fingerprint says nothing."""
    own = tokenizer_core(function, tokenizer)[1]
    return told is None or len(told) != len(own) or told == own


def selection_files(function: str, folder: Path, tokenizer: Any) -> TokenFiles:
    """The token files of a folder that `write_selection` wrote, whose bytes are those that its manifest tells of."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(folder, "", f"must be a folder that write_selection wrote as tokens; found no {MANIFEST}")
    manifest = read_object(path, {"selected": dict})
    if manifest.get("format") != "olmo" or "shards" not in manifest["selected"]:
        rule = "must tell of a selection as tokens (write_selection(format='olmo'); --selection-format olmo)"
        raise InputError(path, "", f"{rule}; got one as {manifest.get('format', 'text')}")
    told = manifest.get("tokenizer")
    if not of_tokenizer(function, told, tokenizer):
        raise InputError(path, "", "must be of the model's tokenizer; got ids of another")
    shards = manifest["selected"]["shards"]
    places = [folder / shard["file"] for shard in shards]
    for place in places:
        if not place.is_file():
            raise CorpusError(place, "", f"must be there, as {MANIFEST} says; found none")
    for place, shard, digest in zip(places, shards, file_digests(places), strict=True):
        if digest != shard["sha256"]:
            raise CorpusError(place, "", f"must hold the bytes that {MANIFEST} tells of; got others")
    if not places:
        raise InputError(path, "", "must tell of at least one document; got none")
    return TokenFiles(
        places, manifest["vocab_size"], dtype=manifest["dtype"], eos=manifest["eos"], bos=manifest.get("bos"),
        tokenizer=told,
    )  # fmt: skip


def _of_files(name: str, files: TokenFiles, eos: int, vocab: int) -> Documents:
    readers: list[IdFile] = []
    firsts: list[Ids] = []
    lengths: list[Ids] = []
    bare: list[Ids] = []
    places: list[Ids] = []
    units = tuple(files.work_units())
    for number, unit in enumerate(units):
        for block in files.blocks(unit):
            _check_ids(unit.path, block.first, block.ids, vocab)
            firsts.append(block.first + block.offsets[:-1])
            lengths.append(np.diff(block.offsets))
            bare.append(_without_end(block.ids, block.offsets, files.eos if files.eos is not None else eos))
            places.append(np.full(len(block.offsets) - 1, number))
        dtype = megatron_dtype(unit.path) if files.format == "megatron" else np.dtype(files.dtype).newbyteorder("<")
        readers.append(IdFile(unit.path, dtype, unit.size // dtype.itemsize, files.vocab_size))
        unit.check()
    first, place = _joined(firsts), _joined(places)

    def read(document: int, begin: int, end: int) -> Ids:
        at = int(first[document])
        return readers[int(place[document])].read(at + begin, at + end)

    digests = file_digests(path for unit in units for path in (unit.path, *([unit.index.path] if unit.index else [])))
    kinds = [reader.dtype.str for reader in readers]
    digest = value_digest([digests, files.format, kinds, files.eos, files.bos, eos])
    ends = _joined(bare).astype(np.bool_)
    return Documents(name, _joined(lengths) + ends, ends, _end(files, eos), digest, read, units)


def _end(files: TokenFiles, eos: int) -> int:
    return eos if files.eos is None else files.eos


def _of_store(name: str, store: TokenStore, eos: int, vocab: int) -> Documents:
    units = store.work_units()
    offsets = [store.offsets(unit) for unit in units]
    bare = []
    for unit, own in zip(units, offsets, strict=True):
        ids = store.ids(unit)
        for begin in range(0, len(ids), 1 << 21):
            _check_ids(unit.path, begin, ids[begin : begin + (1 << 21)], vocab)
        bare.append(_without_end(ids, own, eos))
    counts = np.cumsum([0, *(len(own) - 1 for own in offsets)])

    def read(document: int, begin: int, end: int) -> Ids:
        place = int(np.searchsorted(counts, document, side="right")) - 1
        at = int(offsets[place][document - counts[place]])
        return store.read(units[place], at + begin, at + end)

    files = tuple(Unit.of(path) for path in sorted((store.folder / "units").glob("*.u32")))
    digest = value_digest([store.identity(), [file_digest(file.path) for file in files], eos])
    ends = _joined(bare).astype(np.bool_)
    return Documents(name, _joined([np.diff(own) for own in offsets]) + ends, ends, eos, digest, read, files)


def _of_memory(function: str, argument: str, name: str, given: Any, tokenizer: Any, eos: int, vocab: int) -> Documents:
    listed = elements(function, argument, given, "a path, TokenFiles, a TokenStore, or texts or ids of documents")
    texts = [document for document in listed if isinstance(document, str)]
    encoded = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
    found = [
        np.asarray(next(encoded), np.int64) if isinstance(document, str) else _ids(function, argument, document)
        for document in listed
    ]
    found = [ids for ids in found if len(ids)]
    for ids in found:
        wrong = ids[(ids < 0) | (ids >= vocab)]
        if wrong.size:
            raise ValueError(f"{function}: {argument} must hold ids below {vocab}; got {wrong[0]} in {name!r}")
    bare = np.array([ids[-1] != eos for ids in found], np.bool_)
    lengths = np.array([len(ids) for ids in found], np.int64)
    digest = hashlib.sha256(lengths.tobytes())
    for ids in found:
        digest.update(ids.tobytes())
    digest.update(str(eos).encode())
    return Documents(
        repr(name),
        lengths + bare,
        bare,
        eos,
        digest.hexdigest(),
        lambda document, begin, end: found[document][begin:end],
    )


def _ids(function: str, argument: str, document: Any) -> NDArray[np.int64]:
    ids = np.asarray(document)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise TypeError(f"{function}: {argument} must hold texts or 1-D integers; got {ids.dtype} {ids.shape}")
    return ids.astype(np.int64)


def _check_ids(path: Path, first: int, ids: Ids, vocab: int) -> None:
    if len(ids) and int(ids.max()) >= vocab:
        at = int(np.argmax(ids >= vocab))
        raise CorpusError(path, f"token {first + at}", f"must be an id of the model, below {vocab}; got {ids[at]}")


def _without_end(ids: Ids, offsets: NDArray[np.int64], eos: int) -> NDArray[np.bool_]:
    """Whether each document does not end with ``eos``; an empty one needs none."""
    last = np.maximum(offsets[1:] - 1, 0)
    return np.asarray((np.diff(offsets) > 0) & (ids[last] != eos)) if len(ids) else np.zeros(len(last), np.bool_)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)
