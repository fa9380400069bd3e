"""The documents that no selection may take: near-duplicates, what quality filters refuse, and what is excluded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pivotkit import _C
from pivotkit.arguments import (
    check_int,
    check_number,
    check_path,
    check_paths,
    check_strings,
    refuse,
    refuse_kind,
)
from pivotkit.artifacts import sweep, table_metadata, value_digest, with_metadata, write_table
from pivotkit.corpus.reading.documents import Corpus, check_on_error, work_units
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.selection.guard.exclusion import LEAST, MOST, Excluded, excluded_words
from pivotkit.selection.guard.near_duplicates import HASHES, SHINGLE, bands, like_documents, rensa
from pivotkit.selection.guard.quality import FILTERS, Quality, QualityFilters, check_quality
from pivotkit.selection.guard.unit_guard import EXCLUDE, UnitGuard, signatures_of, skipped_in
from pivotkit.selection.guard.workers import GuardWork, run_units

NEAR_DUPLICATES = "near-duplicates"
DROPPED = "dropped.parquet"
THRESHOLD = 0.8
FORMAT = 1
LIBRARIES = ("datatrove", "rensa", "jieba", "SudachiPy", "sudachidict_core")


def filter_documents(
    corpus: Corpus | TokenStore | TokenFiles,
    *,
    near_duplicates: bool | float = True,
    quality: Iterable[str] | Mapping[str, Mapping[str, float]] | None = None,
    exclude: Corpus | TokenStore | TokenFiles | None = None,
    exclude_texts: Iterable[str] | None = None,
    seed: int = 0,
    on_error: str = "raise",
    workers: int | None = None,
    out: str | Path | None = None,
) -> pa.Table:
    """List the documents of a corpus that no selection may take.

    Near-duplicates: with the set S(d) of all 5 words in a row of d, one of two documents goes where
    ``len(S(a) & S(b)) / len(S(a) | S(b)) >= near_duplicates``, as 128 least hashes estimate it.
    Excluded: a document that shares 13 words in a row with an excluded text, or holds a whole one of 8 to 12.

    Parameters
    ----------
    corpus : text (a path, a glob or a sequence of them), TokenStore or TokenFiles
        For the latter two, token ids stand for words.
    near_duplicates : bool or float, default True
        The least similarity of near-duplicates, in (0, 1]. True means 0.8; False lets all of them stay.
    quality : sequence of {"gopher", "c4", "fineweb"}, or mapping, optional
        datatrove's filters: Gopher's of quality and repetition, C4's and FineWeb's. A mapping gives thresholds of one's
        own, by their names in datatrove: ``{"gopher": {"min_doc_words": 10}, "fineweb": {}}``. None, the default: all
        three for text, none for token ids, which they can't read.
    exclude : text, TokenStore or TokenFiles, optional
        Files of a benchmark or an evaluation, in any format of a corpus; for token ids, ids of the same tokenizer.
    exclude_texts : iterable of str, optional
        The same as strings; for text.
    seed : int, default 0
        Of the hashes; it decides which of two near-duplicates stays.
    on_error : {"raise", "skip"}, default "raise"
        For text: as for `read_documents`.
    workers : int, optional
        Processes that share the files. None, the default: one per CPU. With several, a script must start under ``if
        __name__ == "__main__"``.
    out : path, optional
        Folder for what is found in each file, and for ``dropped.parquet``, the result. A file that is done is not read
        again, so the same call resumes a stopped one; other arguments, or a changed file, read it again.

    Returns
    -------
    pyarrow.Table
        One row per document that is dropped, in the order of the corpus: ``unit string, row int64, id string``, its
        size (``characters int64``, or ``tokens``), ``lang string``, ``filter string`` (exclude, gopher, c4, fineweb or
        near-duplicates: the first in this order of work that takes it), ``reason string`` (the filter's rule) and
        ``like string``: the id of the near-duplicate that stays. Its metadata (`pivotkit.artifacts.table_metadata`)
        say for all documents and for each filter how many documents and characters or tokens there are by language,
        and what was asked for.

    Raises
    ------
    TypeError
        For an argument of another kind; for token ids with ``quality`` or ``exclude_texts``, and where ``exclude`` is
        text and the corpus is not, or the other way round.
    ValueError
        For a threshold outside (0, 1], another filter, a threshold that a filter does not have, and where nothing that
        is excluded is long enough to be looked for.
    BackendUnavailable
        When a library of ``pip install 'pivotkit[filters]'`` is missing; the message names it.
    CorpusError
        For a document that cannot be read, and a file that changes while it is read.
    ChildProcessError
        When a worker was killed; with ``out``, the same call goes on from the files that are done.

    Notes
    -----
    Rule: filters that look at one document come first, and near-duplicates are told among those that stay. Documents
    are taken by a hash of their id, then by file and row; one stays unless it is like one that stays already. So no two
    that stay are alike as far as the estimate goes, none is dropped for being like what is dropped, and neither
    ``workers`` nor the order of the files changes anything. The estimate has a standard error of 0.035 at 0.8.

    A word is a run of letters and numbers in the normal form of docs/counting.md; each character of Chinese or
    Japanese is a word. A document with fewer than 5 words is compared as a whole, and one without any never dropped.

    Quality: English thresholds are those of datatrove, those of de, es, fr, it, ja, pt, ru and zh of FineWeb2. Words
    are cut by a rule, Chinese by jieba and Japanese by SudachiPy, all without downloads. A document of several
    languages stays where one of them lets it stay. docs/selection.md says what else is changed, and for whom the rules
    are too strict: documents below 50 words, as messages of programs are, all go by default.

    Cost: quality filters about 1 MB of text a second and process, Python; the rest 20 MB. Memory: 300 bytes a document
    for its row and signature, and 500 more while near-duplicates are told: 0.8 GB for a million. The texts of one block
    of 4 MB, and 8 bytes for each word that is excluded.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.txt"
    >>> verse = "the cat sat on the mat and looked at a dog that lay in the sun near the door of the old house"
    >>> _ = file.write_text(f"{verse}\\n{verse}!\\na text that is its own and like no other one\\n")
    >>> dropped = filter_documents(file, quality=())
    >>> dropped.select(["row", "id", "filter", "like"]).to_pylist()
    [{'row': 1, 'id': 'a.txt:2', 'filter': 'near-duplicates', 'like': 'a.txt:1'}]
    >>> filter_documents(file, near_duplicates=False, quality=(), exclude_texts=[verse])["row"].to_pylist()
    [0, 1]
    """
    store = corpus if isinstance(corpus, TokenStore | TokenFiles) else None
    paths = [] if store is not None else check_paths("filter_documents", "corpus", corpus)
    threshold = _threshold(near_duplicates)
    wanted = _quality(quality, is_text=store is None)
    texts = None if exclude_texts is None else check_strings("filter_documents", "exclude_texts", exclude_texts)
    _check_exclude(exclude, texts, is_text=store is None)
    check_int("filter_documents", "seed", seed, 0, 2**32 - 1)
    check_on_error("filter_documents", on_error)
    check_int("filter_documents", "workers", workers, 1, none=True)
    check_path("filter_documents", "out", out, none=True)
    if threshold is not None:
        rensa()
    excluded = _excluded(exclude, texts)
    units = work_units(paths) if store is None else store.work_units()
    asked = _asked(threshold, wanted, excluded, seed, on_error)
    guard = UnitGuard(QualityFilters(wanted), excluded, None if threshold is None else seed, on_error, store)
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        sweep(folder / "units")
        (folder / DROPPED).unlink(missing_ok=True)
    hashes = None if excluded is None else {length: hashes.tolist() for length, hashes in excluded.hashes.items()}
    identity = {"format": FORMAT, **asked, "hashes": None if hashes is None else value_digest(sorted(hashes.items()))}
    kept = None if folder is None else folder / "units"
    parts = run_units(GuardWork(guard, identity, kept), units, workers)
    dropped = _dropped(units, [parts[unit] for unit in units], threshold, seed, "tokens" if store else "characters")
    dropped = with_metadata(dropped, table_metadata(dropped) | asked)
    if folder is not None:
        write_table(dropped, folder / DROPPED)
    return dropped


def _dropped(
    units: Sequence[Unit], parts: Sequence[pa.Table], threshold: float | None, seed: int, measure: str
) -> pa.Table:
    """The rows that are dropped, with the sums of all documents and of each filter by language."""
    skipped = sum(map(skipped_in, parts))
    tables = [
        part.replace_schema_metadata(None)
        .add_column(0, "file", pa.repeat(pa.scalar(str(unit.path)), len(part)))
        .add_column(0, "unit", pa.repeat(pa.scalar(unit.name), len(part)))
        for unit, part in zip(units, parts, strict=True)
    ]
    table = pa.concat_tables(tables).combine_chunks()
    like = np.full(len(table), -1, np.int64)
    if threshold is not None:
        told = np.flatnonzero(pc.is_valid(table["signature"]).to_numpy(zero_copy_only=False))
        some = table.take(pa.array(told))
        found = like_documents(signatures_of(some), _order(some, seed), threshold)
        like[told] = np.where(found < 0, -1, told[found])
    is_like = like >= 0
    filters = np.array(table["filter"].to_pylist(), object)
    filters[is_like] = NEAR_DUPLICATES
    reasons = np.array(table["reason"].to_pylist(), object)
    reasons[is_like] = f"similarity of at least {threshold:g}" if threshold else None
    places = np.flatnonzero(filters != None)  # noqa: E711 (an array of objects)
    columns = {
        "unit": table["unit"], "row": table["row"], "id": table["id"], measure: table["size"], "lang": table["lang"],
        "filter": pa.array(filters, pa.string()), "reason": pa.array(reasons, pa.string()),
        "like": table["id"].take(pa.array(like, mask=~is_like)),
    }  # fmt: skip
    rows = pa.table(columns).take(pa.array(places))
    langs, sizes = table["lang"].to_pylist(), table["size"].to_pylist()
    summary: dict[str, Any] = {"skipped": skipped, "all": _sums(langs, sizes, measure), "filters": {}}
    for name in (EXCLUDE, *FILTERS, NEAR_DUPLICATES):
        mine = np.flatnonzero(filters == name).tolist()
        summary["filters"][name] = _sums([langs[at] for at in mine], [sizes[at] for at in mine], measure)
    return with_metadata(rows, summary)


def _order(table: pa.Table, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The order in which documents are taken: by a hash of the id, then by id, file and row."""
    ids = table["id"].combine_chunks().cast(pa.large_string())
    _, offsets, data = ids.buffers()
    ends = np.frombuffer(offsets, np.int64)[ids.offset : ids.offset + len(ids) + 1]
    bytes_of = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    hashes = _C.text_hashes(bytes_of[ends[0] : ends[-1]], ends - ends[0], seed)
    keys = pa.table({"hash": hashes, "id": table["id"], "file": table["file"], "row": table["row"]})
    order = pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names])
    return np.asarray(order).astype(np.int64)


def _sums(langs: Sequence[str], sizes: Sequence[int], measure: str) -> dict[str, dict[str, int]]:
    """How many documents there are in each language, and their size."""
    documents, total = Counter(langs), Counter[str]()
    for lang, size in zip(langs, sizes, strict=True):
        total[lang] += size
    return {lang: {"documents": documents[lang], measure: total[lang]} for lang in sorted(documents)}


def _threshold(near_duplicates: Any) -> float | None:
    if isinstance(near_duplicates, bool | np.bool_):
        return THRESHOLD if near_duplicates else None
    check_number("filter_documents", "near_duplicates", near_duplicates, 0, 1)
    if not near_duplicates > 0:
        refuse("filter_documents", "near_duplicates", "be above 0, or False", near_duplicates)
    return float(near_duplicates)


def _quality(quality: Any, *, is_text: bool) -> Quality:
    if quality is None:
        return check_quality(FILTERS if is_text else ())
    found = check_quality(quality)
    if found and not is_text:
        raise TypeError(f"filter_documents: quality must be () for token ids; got {', '.join(found)}, which read text")
    return found


def _check_exclude(exclude: Any, texts: list[str] | None, *, is_text: bool) -> None:
    if exclude is not None and is_text:
        if isinstance(exclude, TokenStore | TokenFiles):
            refuse_kind("filter_documents", "exclude", "be text, as corpus is", exclude)
        check_paths("filter_documents", "exclude", exclude)
    elif exclude is not None and not isinstance(exclude, TokenStore | TokenFiles):
        refuse_kind("filter_documents", "exclude", "be a TokenStore or TokenFiles, as corpus is", exclude)
    if texts is not None and not is_text:
        refuse("filter_documents", "exclude_texts", "be None for token ids", texts)


def _excluded(exclude: Any, texts: list[str] | None) -> Excluded | None:
    if exclude is None and texts is None:
        return None
    found = Excluded.of(excluded_words(exclude, texts))
    if not found.hashes:
        raise ValueError(
            f"filter_documents: exclude must hold a text of at least {LEAST} words; "
            f"got {found.texts} texts, all shorter"
        )
    return found


def _asked(
    threshold: float | None, quality: Quality, excluded: Excluded | None, seed: int, on_error: str
) -> dict[str, Any]:
    """What the result depends on beside the corpus."""
    number, rows = (0, 0) if threshold is None else bands(threshold)
    near = {"similarity": threshold, "words": SHINGLE, "hashes": HASHES, "bands": number, "rows": rows}
    return {
        "near_duplicates": None if threshold is None else near,
        "quality": quality,
        "exclude": None
        if excluded is None
        else {
            "texts": excluded.texts,
            "too_short": excluded.short,
            "words": [LEAST, MOST],
            "hashes": sum(map(len, excluded.hashes.values())),
        },
        "seed": seed,
        "on_error": on_error,
        "versions": {name: _version(name) for name in LIBRARIES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
