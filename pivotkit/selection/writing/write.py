"""Write selected documents: their text or their ids, with their provenance."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa

from pivotkit.arguments import check_int, check_kind, check_path, check_paths, refuse
from pivotkit.corpus.reading.documents import Corpus, check_on_error
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.selection.choosing.selection_folder import Selection
from pivotkit.selection.writing.write_text import write_texts
from pivotkit.selection.writing.write_tokens import write_tokens


def write_selection(
    selection: pa.Table | str | PathLike[str],
    corpus: Corpus | TokenStore | TokenFiles,
    out: str | PathLike[str],
    *,
    on_error: str = "raise",
    eos: int | None = None,
    shard_tokens: int = 1 << 28,
) -> dict[str, Any]:
    """Write selected documents in the order of the corpus, with their provenance: of text the text, of tokens the ids.

    Parameters
    ----------
    selection : pyarrow.Table or path
        What `select` returned: a table with ``unit, row, id``, or the folder that it wrote.
    corpus : path, glob or sequence; TokenStore or TokenFiles
        The corpus that was scored.
    out : path
        Folder. For text, ``selected.jsonl.zst``: one object ``{"id", "text", "lang"}`` per line. For tokens,
        ``part-00000.npy`` and so on: ids without a header, little-endian uint16 where ``vocab_size`` is at most 65,536,
        else uint32. For both ``provenance.parquet`` (the rows of ``selection`` in the order of the documents, with the
        ``file`` of each; for tokens also its ``shard``, the place of its ``first`` id there, and its ``length``) and
        ``manifest.json``.
    on_error : {"raise", "skip"}, default "raise"
        For text: as for `read_documents`. A selected document that cannot be read is an error either way.
    eos : int, optional
        For tokens: the id that ends a document. That of "olmo" files by default; must be given for all others. A
        document that does not end with it gets it.
    shard_tokens : int, default 2^28
        For tokens: a file ends with the document that makes it as long as this, or longer.

    Returns
    -------
    dict
        The manifest: the summary of `select`, the corpus files used, and the size, SHA-256 and number of lines of
        ``selected.jsonl.zst``. For tokens ``dtype``, ``vocab_size``, ``eos``, ``bos`` and ``tokenizer``, which
        `TokenFiles` takes to read the ids back, and under "selected" the documents, tokens and SHA-256 of each file,
        and how many ``eos`` were added.

    Raises
    ------
    TypeError
        For an argument of another kind.
    ValueError
        When a unit of ``selection`` is not in ``corpus`` or changed since, and when a document is listed twice. For
        tokens, when ``out`` holds something else, and for an ``eos`` that is missing or not that of the files.
    CorpusError
        When a selected document is not at its row, or has another length; for an ``eos`` inside a document.
    InputError
        When ``selection`` is a folder that `select` did not finish, or one of its files is damaged.

    Notes
    -----
    Text: every file appears whole or not at all, and the manifest is written last: a folder without one is unfinished.
    Tokens: all files take the place of those that an earlier call wrote, at once. A stopped run begins anew.

    With ``bos``, as in `TokenFiles`, a document that does not begin with it begins a file, because elsewhere it would
    be read as a part of the one before.

    Cost: reads only the files with selected documents. In memory are a block of 2^20 ids or the longest document, and
    what `TokenStore.table` holds of one unit; a selection on disk is read in pieces.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pivotkit.selection import score_documents, select
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.array([5, 6, 6, 0, 5, 0, 6, 7, 0], "<u2").tofile(folder / "part-0.npy")
    >>> files = TokenFiles(folder / "part-0.npy", vocab_size=8, eos=0)
    >>> chosen = select(score_documents(files, [6, 7]), budget_tokens=7)
    >>> manifest = write_selection(chosen, files, folder / "selection")
    >>> np.fromfile(folder / "selection" / "part-00000.npy", manifest["dtype"]).tolist()
    [5, 6, 6, 0, 6, 7, 0]
    """
    rule = "a pyarrow.Table or the path of a folder"
    check_kind("write_selection", "selection", selection, pa.Table | str | PathLike, rule)
    if not isinstance(selection, pa.Table):
        check_path("write_selection", "selection", selection)
    is_tokens = isinstance(corpus, TokenStore | TokenFiles)
    paths = [] if is_tokens else check_paths("write_selection", "corpus", corpus)
    check_path("write_selection", "out", out)
    check_on_error("write_selection", on_error)
    check_int("write_selection", "eos", eos, 0, none=True)
    check_int("write_selection", "shard_tokens", shard_tokens, 1)
    if eos is not None and not is_tokens:
        refuse("write_selection", "eos", "be None for text", eos)
    chosen = Selection("write_selection", selection)
    if isinstance(corpus, TokenStore | TokenFiles):
        return write_tokens(chosen, corpus, Path(out), eos, shard_tokens)
    return write_texts(chosen, paths, Path(out), on_error)
