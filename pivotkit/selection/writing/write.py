"""Write selected documents: their text or their ids, with their provenance."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa

from pivotkit.arguments import check_flag, check_int, check_kind, check_path, check_paths, check_text, kind, refuse
from pivotkit.artifacts import require_columns
from pivotkit.corpus.reading.documents import Corpus, check_on_error
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.token_formats import written_dtype
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.selection.choosing.selection_folder import Selection
from pivotkit.selection.writing import text_source, token_source
from pivotkit.selection.writing.documents import WRITTEN
from pivotkit.selection.writing.formats import FORMATS, TEXT_FORMATS, Layout
from pivotkit.selection.writing.job import Job
from pivotkit.selection.writing.plan import plan
from pivotkit.selection.writing.text_source import TextSource, Tokenizer
from pivotkit.selection.writing.token_source import TokenSource


def write_selection(
    selection: pa.Table | str | PathLike[str],
    corpus: Corpus | TokenStore | TokenFiles,
    out: str | PathLike[str],
    *,
    format: str | None = None,
    tokenizer: Any = None,
    on_error: str = "raise",
    eos: int | None = None,
    shard_tokens: int = 1 << 28,
    shard_bytes: int = 1 << 30,
    instance_tokens: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Write selected documents in the order of the corpus, in shards, with their provenance.

    Parameters
    ----------
    selection : pyarrow.Table or path
        What `select` returned: a table with ``unit, row, id``, or the folder that it wrote; or the rows of an earlier
        ``provenance.parquet``, whose columns of places are made anew. With a column ``take``
        (integers; null stands for all), so many tokens are written of a document; the column ``tokens`` must say how
        many it has. Of OLMo's files the end of the document counts and stays.
    corpus : path, glob or sequence; TokenStore or TokenFiles
        The corpus that was scored.
    out : path
        Folder for the files below, ``provenance.parquet`` and ``manifest.json``.
    format : str, optional
        Text: "jsonl.zst" (the default for text) and "jsonl", lines of ``{"id", "text", "lang"}``; "parquet", columns
        ``id, text, lang, source``; "datasets", the same for `datasets.load_from_disk`; "dolma", ``documents/`` and
        ``attributes/pivotkit/`` with the selection's numbers, for ``dolma mix``. Ids: "olmo" (the default for ids),
        ``.npy`` without a header beside ``.csv.gz`` with start, end, id, source and line of each document; "megatron",
        ``.bin`` and ``.idx``; "datatrove", ``.ds`` and ``.ds.index``. Ids are little-endian uint16 where ``vocab_size``
        is at most 65,536, else uint32, and for Megatron-LM int32.
    tokenizer : fast tokenizer, ``tokenizers.Tokenizer`` or path, optional
        For text: makes the ids of a format of ids, as `tokenize` does, and cuts texts where ``take`` says.
    on_error : {"raise", "skip"}, default "raise"
        For text: as for `read_documents`. A selected document that cannot be read is an error either way.
    eos : int, optional
        For ids: the id that ends a document. That of "olmo" files or of the tokenizer by default; must be given
        otherwise to write "olmo". A document that does not end with it gets it.
    shard_tokens, shard_bytes : int, default 2^28 and 2^30
        A shard ends with the document that makes it as long as this, or longer: in ids, or in bytes of text before
        compression.
    instance_tokens : int, optional
        For "olmo": a shard has whole training instances of so many ids. A document may go on in the next shard, and
        what does not fill the last instance is left out.
    dry_run : bool, default False
        Whether nothing is written.

    Returns
    -------
    dict
        The manifest: the summary of `select`, ``format``, the ``corpus`` files used, under "selected" what was written
        and the documents, tokens, bytes and SHA-256 of each shard, under "files" the bytes and SHA-256 of every file,
        "versions", "command"; for ids also ``dtype``, ``vocab_size``, ``eos``, ``bos`` and ``tokenizer``, which
        `TokenFiles` takes to read them back, and how many ``eos`` were added. With ``dry_run`` what would be taken:
        documents and tokens in all, by language, quota and file, and about how many bytes.

    Raises
    ------
    TypeError
        For an argument of another kind.
    ValueError
        When a unit of ``selection`` is not in ``corpus`` or changed since, and when a document is listed twice. For
        another format, a format of text for a corpus of ids, and a format of ids or a document that is cut for text
        without ``tokenizer``. When ``out`` holds something else; for an ``eos`` that is missing or not that of the
        files.
    CorpusError
        When a selected document is not at its row, or has another length; for an ``eos`` inside a document of "olmo".
    InputError
        When ``selection`` is a folder that `select` did not finish, or one of its files is damaged.

    Notes
    -----
    The files lie beside ``out``, in ``.<name>.begun``, until all are whole; then they take the place of what an earlier
    call wrote, at once. After a stop, the same call goes on behind the last shard that is whole, and writes the same
    bytes. Another call begins anew.

    ``provenance.parquet`` has the rows of ``selection`` in the order of the documents, and ``file``, ``shard``; of text
    ``line``, the document's place in its shard; of ids the place of its ``first`` id there and its ``length``. With
    ``take``, ``cut`` says whether it is shorter than the document. With ``instance_tokens``, a document that goes on in
    another shard has a row for each, and ``offset`` says how many of its ids came before.

    With ``bos``, as in `TokenFiles`, a document that does not begin with it begins a file of "olmo", because elsewhere
    it would be read as a part of the one before.

    Cost: reads only the files with selected documents. In memory are a block of 2^20 ids or 4 MiB of text or the
    longest document, of Parquet and Arrow 32 MiB of text, the lengths of one shard's documents, and what
    `TokenStore.table` holds of one unit; a selection on disk is read in pieces. docs/selection.md has the formats.

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
    check_text("write_selection", "format", format, FORMATS, none=True)
    check_on_error("write_selection", on_error)
    check_int("write_selection", "eos", eos, 0, none=True)
    check_int("write_selection", "shard_tokens", shard_tokens, 1)
    check_int("write_selection", "shard_bytes", shard_bytes, 1)
    check_int("write_selection", "instance_tokens", instance_tokens, 1, none=True)
    check_flag("write_selection", "dry_run", dry_run)
    asked = format or ("olmo" if is_tokens else "jsonl.zst")
    _check_form(asked, corpus if is_tokens else None, tokenizer, eos, instance_tokens)
    named = None if tokenizer is None else Tokenizer("write_selection", tokenizer)
    chosen = Selection("write_selection", selection, without=WRITTEN)
    if "take" in chosen.schema.names:
        require_columns("write_selection", "selection", chosen.schema.empty_table(), ("unit", "row", "id", "tokens"))
        if asked in TEXT_FORMATS and named is None:
            refuse("write_selection", "tokenizer", "be given where documents are cut (the column take)", None)
    source: TextSource | TokenSource
    if isinstance(corpus, TokenStore | TokenFiles):
        source = TokenSource(chosen, corpus)
        last = token_source.last_id(corpus, eos, asked == "olmo")
        job = _id_job(source, asked, corpus.vocab_size, corpus.tokenizer, last, shard_tokens, instance_tokens)
    else:
        source = TextSource(chosen, paths, on_error, named)
        if asked in TEXT_FORMATS:
            job = Job(source, Layout(asked, tokenizer=None if named is None else named.digest), shard_bytes)
        else:
            assert named is not None
            last = text_source.last_id(named, eos, asked == "olmo")
            job = _id_job(source, asked, named.vocab_size, named.digest, last, shard_tokens, instance_tokens)
    return plan(job) if dry_run else job.run(Path(out), selection)


def _check_form(format: str, ids: object, tokenizer: object, eos: object, instance_tokens: object) -> None:
    """Refuse what does not go together with the format or with a corpus of text or of ``ids``."""
    is_text = format in TEXT_FORMATS
    if ids is not None and is_text:
        rule = f"be one of ids for {kind(ids)}, which has no text: olmo, megatron, datatrove"
        refuse("write_selection", "format", rule, format)
    if ids is not None and tokenizer is not None:
        refuse("write_selection", "tokenizer", f"be None for {kind(ids)}, which has ids", tokenizer)
    if ids is None and not is_text and tokenizer is None:
        refuse("write_selection", "tokenizer", f"be given to write text as {format}", None)
    if is_text and eos is not None:
        refuse("write_selection", "eos", "be None for text", eos)
    if instance_tokens is not None and format != "olmo":
        refuse("write_selection", "instance_tokens", f"be None for {format}", instance_tokens)


def _id_job(
    source: TextSource | TokenSource, format: str, vocab_size: int, tokenizer: str | None, eos: int | None,
    shard_tokens: int, instance: int | None,
) -> Job:  # fmt: skip
    corpus = source.corpus
    bos = corpus.bos if isinstance(corpus, TokenFiles) and format == "olmo" else None
    layout = Layout(format, written_dtype(format, vocab_size), tokenizer)
    return Job(source, layout, shard_tokens, vocab_size, eos, bos, instance)
