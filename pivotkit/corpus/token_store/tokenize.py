"""Tokenizing a corpus: each document once, into a token store, in units that survive a kill."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from pivotkit.arguments import check_flag, check_path, check_paths
from pivotkit.artifacts import file_digest, locked, read_object, sweep, write_json
from pivotkit.corpus.reading.documents import Corpus, Unit, check_on_error, work_units
from pivotkit.corpus.reading.text_block import TextBlock
from pivotkit.corpus.token_store.encode import encode_ahead, tokenizer_core, vocabulary_size
from pivotkit.corpus.token_store.parts import Part, load_parts, read_parts
from pivotkit.corpus.token_store.store import TokenStore, unit_is_complete, unit_path
from pivotkit.corpus.token_store.writer import BEGUN, UnitWriter
from pivotkit.errors import CorpusError, InputError
from pivotkit.progress import track

FORMAT = 1


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
        The store's folder. What is finished in it is kept, so a stopped run goes on, inside a file too: a kill costs at
        most the work on the last 64 MiB of text. A file that changed since is tokenized anew. A second run that writes
        the same store waits for the first.
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

    Notes
    -----
    The files do not depend on stops. The tokenizer has all cores (``RAYON_NUM_THREADS`` limits them); reading and
    writing run beside it. Memory: two blocks of 4 MiB of text and the tokenizer's own for 2 MiB, or for two documents
    that are longer; at the end of a file, the row, id and language of each of its documents.
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
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _prepare(folder, header, replace)
        units = work_units(corpus)
        _write_units(folder, track(units, "Tokenizing"), core, on_error)
        for left in (folder / "units").glob(f".*{BEGUN}"):  # of files that changed since they were begun
            shutil.rmtree(left, ignore_errors=True)
        listed = [{"path": str(unit.path), "size": unit.size, "modified": unit.modified} for unit in units]
        write_json({"units": listed}, folder / "store.json")
    return TokenStore.open(folder)


def _prepare(folder: Path, header: dict[str, Any], replace: bool) -> None:
    """Make the folder of a store with ``header``, without what a store of another header left."""
    before = read_object(folder / "tokenizer.json", {}) if (folder / "tokenizer.json").exists() else header
    for key, value in header.items():
        if before.get(key) != value and not replace:
            raise InputError(folder, "", f"must be a token store with {key} {value}; got {before.get(key)}")
    (folder / "units").mkdir(exist_ok=True)
    for place in (folder, folder / "units"):
        sweep(place)
    if before != header:
        (folder / "store.json").unlink(missing_ok=True)
        for stale in (folder / "units").iterdir():
            if stale.is_dir():
                shutil.rmtree(stale)
            else:
                stale.unlink()
    write_json(header, folder / "tokenizer.json")


def _write_units(folder: Path, units: Iterable[Unit], core: Tokenizer, on_error: str) -> None:
    """Write the units that are not written yet; the next is begun while the tokenizer works on the last of one."""
    begun: deque[UnitWriter] = deque()

    def blocks() -> Iterator[tuple[tuple[Part, int] | Exception | None, TextBlock]]:
        """Documents, None at the end of a unit, and an error as the last, so that it comes in its turn."""
        nothing = TextBlock.empty(0, 0)
        try:
            for unit in units:
                if unit_is_complete(folder, unit) and _is_as_written(folder, unit):
                    continue
                begun.append(UnitWriter(folder, unit))
                yield from read_parts(unit, on_error, begun[-1].last, begun[-1].documents)
                yield None, nothing
        except (CorpusError, OSError) as error:
            yield error, nothing

    try:
        for read, block, ids, lengths in encode_ahead(core, blocks()):
            if isinstance(read, Exception):
                raise read
            if read is None:
                begun[0].finish()
                begun.popleft()
            else:
                begun[0].add(*read, block, ids, lengths)
    finally:
        for writer in begun:
            writer.close()


def _is_as_written(folder: Path, unit: Unit) -> bool:
    """Whether the files of a finished unit are as they were written; a unit of before digests is kept."""
    try:
        listed = pq.read_metadata(unit_path(folder, unit, ".parquet"))
        load_parts(unit_path(folder, unit, ".parts.parquet"), listed.num_rows)
        about = orjson.loads((listed.metadata or {})[b"pivotkit"])
        return all(
            file_digest(unit_path(folder, unit, suffix)) == digest
            for suffix, digest in about.get("digests", {}).items()
        )
    except (InputError, KeyError, ValueError, AttributeError, OSError, pa.ArrowException):
        return False
