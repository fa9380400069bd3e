"""What controls need to know of documents beside their scores, as columns of the scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from pivotkit.arguments import check_kind, check_path, check_paths, check_text, check_word_pairs, refuse
from pivotkit.artifacts import require_columns, table_metadata, value_digest, with_metadata
from pivotkit.corpus.languages import LanguageTable
from pivotkit.corpus.reading.documents import Corpus, Unit, check_on_error
from pivotkit.errors import InputError
from pivotkit.progress import track
from pivotkit.selection.choosing.groups import plain_text
from pivotkit.selection.choosing.score_shards import SUFFIXES, ScoreShards, runs
from pivotkit.selection.controls.columns import Column, Languages, Score, TranslationPairs
from pivotkit.selection.scoring.score_folder import HEADER, ScoreFolder, finished_files

NAME = "describe_documents"
NEEDED = ("unit", "row")
SCORE_NAMES = ("other", "control")
Documents: TypeAlias = pa.Table | str | PathLike[str]


def describe_documents(
    documents: Documents,
    *,
    languages: LanguageTable | None = None,
    scores: Mapping[str, Documents] | None = None,
    corpus: Corpus | None = None,
    pairs: pa.Table | Iterable[tuple[str, str]] | None = None,
    on_error: str = "raise",
    out: str | PathLike[str] | None = None,
) -> pa.Table | Path:
    """Add to scored documents the columns by which controls are chosen.

    ``documents.join(languages).join(scores).join(translation pairs)``, by ``unit`` and ``row``, in one pass.

    Parameters
    ----------
    documents : pyarrow.Table or path
        The table of `score_documents`, or the folder that ``score_documents(out=)`` wrote.
    languages : LanguageTable, optional
        Of the same files, as `document_languages` tells them.
    scores : mapping of str to pyarrow.Table or path, optional
        Scores of the same documents by other pivots: under "other" by those of other pairs, under "control" by tokens
        as frequent as the pivots. `control_pivots` makes both sets.
    corpus, pairs : text; pyarrow.Table or pairs of str, optional
        The texts of the documents, and the word pairs to count in them, as pairs or as the columns ``source`` and
        ``target``. A pair and its reverse are one.
    on_error : {"raise", "skip"}, default "raise"
        For ``corpus``, as for `read_documents`.
    out : path, optional
        Folder for the rows, one Arrow file for each of ``documents``. A file that is there is not made again, so the
        same call resumes a stopped one. Only for documents and scores on disk, and needed for them.

    Returns
    -------
    pyarrow.Table, or with ``out`` its path
        The rows of ``documents`` with ``languages string`` (sets, as "en+fr") and, where the table knows of parallel or
        code-switched documents, ``kind string`` (`LanguageTable.composition`); ``other_score``, ``control_score
        double``; ``translation_pairs int32``.

    Raises
    ------
    TypeError
        For an argument of another kind.
    ValueError
        For another name in ``scores``; ``corpus`` without ``pairs``, or the reverse; a column that is there already;
        tables with ``out``, or paths without.
    InputError
        For languages, scores or texts of other documents, and files that are damaged; for ``out`` with other arguments.
    CorpusError
        For a document that cannot be read.

    Notes
    -----
    Cost: one reading of what is given. With ``out`` memory does not depend on how many documents there are.

    Examples
    --------
    >>> documents = pa.table({"unit": ["u"], "row": [0], "score": [0.5]})
    >>> others = pa.table({"unit": ["u"], "row": [0], "score": [0.25]})
    >>> describe_documents(documents, scores={"other": others}).to_pylist()
    [{'unit': 'u', 'row': 0, 'score': 0.5, 'other_score': 0.25}]
    """
    paths, listed = _check(documents, languages, scores, corpus, pairs, on_error, out)
    sources = dict(scores or {})

    def columns(shards: ScoreShards, opened: Mapping[str, Documents]) -> list[Column]:
        found: list[Column] = [] if languages is None else [Languages(languages, shards.files)]
        found += [Score(name, _batches(one), _place(one)) for name, one in opened.items()]
        if listed is not None:
            found.append(TranslationPairs(NAME, paths, listed, on_error))
        return found

    if isinstance(documents, pa.Table):
        require_columns(NAME, "documents", documents, NEEDED)
        shards = ScoreShards.of(documents, NEEDED)
        order = documents.append_column("place", pa.array(np.arange(len(documents))))
        order = order.sort_by([("unit", "ascending"), ("row", "ascending")])
        found = columns(shards, sources)
        schema = _schema(shards.schema, found)
        parts = list(_described(_batches(documents, None), found, schema))
        whole = pa.concat_tables([schema.empty_table(), *parts])
        back = np.argsort(order["place"].to_numpy())
        return with_metadata(whole.take(pa.array(back)), table_metadata(documents))
    files = _files(Path(documents))
    identity: dict[str, Any] = {
        "documents": [Unit.of(file).name for file in files],
        "languages": None if languages is None else languages.digest,
        "scores": {name: [Unit.of(file).name for file in _files(Path(str(one)))] for name, one in sources.items()},
        "pairs": None if listed is None else value_digest(sorted(listed)),
        "on_error": on_error,
    }
    folder = ScoreFolder(Path(str(out)), identity, [file.stem for file in files])
    for file in track(files, "Describing documents"):
        if not folder.has(file.stem):
            shards = ScoreShards.of(file, NEEDED)
            found = columns(shards, {name: _beside(Path(str(one)), file) for name, one in sources.items()})
            schema = _schema(shards.schema, found)
            folder.write(file.stem, schema, _described(_batches(file, None), found, schema))
    folder.finish()
    return Path(str(out))


def _check(
    documents: Any, languages: Any, scores: Any, corpus: Any, pairs: Any, on_error: Any, out: Any
) -> tuple[list[Any], list[list[str]] | None]:
    """The paths of ``corpus`` and the pairs."""
    check_kind(NAME, "documents", documents, pa.Table | str | PathLike, "a pyarrow.Table or a path")
    check_kind(NAME, "languages", languages, LanguageTable, "a LanguageTable", none=True)
    check_kind(NAME, "scores", scores, Mapping, "a mapping of names to scores", none=True)
    check_path(NAME, "out", out, none=True)
    check_on_error(NAME, on_error)
    in_memory = isinstance(documents, pa.Table)
    for name, one in (scores or {}).items():
        check_text(NAME, "scores", name, SCORE_NAMES)
        check_kind(NAME, "scores", one, pa.Table | str | PathLike, "tables or paths")
        if isinstance(one, pa.Table) != in_memory:
            kinds = "a table" if in_memory else "a path"
            raise ValueError(f"{NAME}: scores must be as documents are, {kinds}; got another for {name}")
        if isinstance(one, pa.Table):
            require_columns(NAME, "scores", one, ("unit", "row", "score"))
    if not in_memory:
        check_path(NAME, "documents", documents)
    if in_memory != (out is None):
        refuse(NAME, "out", "be None for a table, and be given for files", out)
    if (corpus is None) != (pairs is None):
        raise ValueError(f"{NAME}: corpus and pairs must be given together; got one of them")
    if pairs is None:
        return [], None
    if isinstance(pairs, pa.Table):
        require_columns(NAME, "pairs", pairs, ("source", "target"))
        pairs = zip(pairs["source"].to_pylist(), pairs["target"].to_pylist(), strict=True)
    return check_paths(NAME, "corpus", corpus), [list(pair) for pair in check_word_pairs(NAME, "pairs", pairs)]


def _schema(schema: pa.Schema, columns: Sequence[Column]) -> pa.Schema:
    for column in columns:
        for field in column.fields:
            if field.name in schema.names:
                raise ValueError(f"{NAME}: documents must not have the column {field.name} yet; got one")
            schema = schema.append(field)
    return schema


def _described(batches: Iterator[pa.RecordBatch], columns: Sequence[Column], schema: pa.Schema) -> Iterator[pa.Table]:
    for batch in batches:
        for unit, begin, end in runs(plain_text(batch["unit"])):
            part = batch.slice(begin, end - begin)
            rows = part["row"].to_numpy().astype(np.int64)
            added = [values for column in columns for values in column.of(unit, rows)]
            yield pa.table([*part.columns, *added], schema=schema.remove_metadata()).replace_schema_metadata(
                schema.metadata
            )


def _batches(
    documents: Documents, columns: Sequence[str] | None = ("unit", "row", "score")
) -> Iterator[pa.RecordBatch]:
    """The rows of a table, sorted, or of one file."""
    needed = NEEDED if columns is None else columns
    shards = ScoreShards.of(documents if isinstance(documents, pa.Table) else Path(documents), needed)
    for _, batch in shards.each(columns, lambda batch: batch, "Reading scores"):
        yield batch


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if (path / HEADER).exists():
        return finished_files(path)
    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))


def _beside(other: Path, file: Path) -> Path:
    """The file of other scores that has the documents of ``file``."""
    if not other.is_dir():
        return other
    if not (other / file.name).exists():
        raise InputError(other, "", f"must hold the scores of the same documents; found no {file.name}")
    return other / file.name


def _place(documents: Documents) -> Any:
    return "scores" if isinstance(documents, pa.Table) else documents
