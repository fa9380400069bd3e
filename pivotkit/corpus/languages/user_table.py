"""A table of languages that the user has made: read, and held against the documents of the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from pivotkit.arguments import check_paths
from pivotkit.artifacts import read_table
from pivotkit.corpus.languages.field import language_set
from pivotkit.corpus.languages.language_part import LanguagePart
from pivotkit.corpus.languages.unit_languages import characters
from pivotkit.corpus.languages.verdicts import by_number
from pivotkit.corpus.reading.documents import Corpus, check_on_error, read_texts, work_units
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import InputError

COLUMNS = ("file", "row", "languages")
JSON_LINES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")
BLOCK_TOKENS = 1 << 21

Ints = npt.NDArray[np.int64]


def read_user_table(
    path: Path, corpus: Corpus | TokenFiles | TokenStore, on_error: str
) -> tuple[list[Unit], dict[Unit, LanguagePart], str]:
    """The files of a corpus, the languages of the documents of each, and in what their sizes are."""
    check_on_error("from_file", on_error)
    is_text = not isinstance(corpus, TokenFiles | TokenStore)
    if isinstance(corpus, TokenFiles | TokenStore):
        units = corpus.work_units()
    else:
        units = work_units(check_paths("from_file", "corpus", corpus))
    files, rows, tags = _columns(path)
    owners = _owners(path, files, units)
    parts = {}
    for place, unit in enumerate(units):
        mine = np.flatnonzero(owners == place)
        mine = mine[np.argsort(rows[mine], kind="stable")]
        own_rows, places, sizes = _documents(corpus, unit, on_error)
        _check_rows(path, unit, rows[mine], own_rows)
        chosen = tags.take(pa.array(mine)).dictionary_encode()
        sets = [language_set(tag) for tag in chosen.dictionary.to_pylist()]
        verdicts = by_number(sets, chosen.indices.to_numpy().astype(np.int64))
        end = int(own_rows[-1]) + 1 if is_text and len(own_rows) else 0
        parts[unit] = LanguagePart.of([(places, sizes, verdicts)], end, 0)
    return units, parts, "characters" if is_text else "tokens"


def _columns(path: Path) -> tuple[pa.DictionaryArray, Ints, pa.Array]:
    """The three columns; languages as tags."""
    if path.name.endswith(JSON_LINES):
        try:
            with pa.input_stream(str(path)) as stream:
                table = pa_json.read_json(stream)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise InputError(path, "", f"must hold one JSON object a line; {error}") from None
    else:
        table = read_table(path)
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(path, "", f"must have the columns {', '.join(COLUMNS)}; got none named {missing[0]}")
    files, rows, languages = (table[name].combine_chunks() for name in COLUMNS)
    try:
        if pa.types.is_list(languages.type) or pa.types.is_large_list(languages.type):
            languages = pc.binary_join(languages.cast(pa.list_(pa.string())), "+")
        tags = pc.fill_null(languages.cast(pa.string()), "")
        if files.null_count or rows.null_count or not pa.types.is_integer(rows.type):
            raise pa.ArrowInvalid("a file or row is null, or no integer")
        return files.cast(pa.string()).dictionary_encode(), rows.cast(pa.int64()).to_numpy(zero_copy_only=False), tags
    except pa.ArrowException as error:
        rule = "must have strings as file, integers as row, and strings or lists of strings as languages"
        raise InputError(path, "", f"{rule}; {error}") from None


def _owners(path: Path, files: pa.DictionaryArray, units: Sequence[Unit]) -> Ints:
    """The file of the corpus that each row names."""
    by_name: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        for name in {str(unit.path), unit.path.name}:
            by_name.setdefault(name, []).append(place)
    owners = []
    for name in files.dictionary.to_pylist():
        found = by_name.get(name) or by_name.get(str(Path(name).resolve()), [])
        if len(found) != 1:
            got = "a name of none" if not found else f"the name of {len(found)}"
            raise InputError(path, "", f"must name files of the corpus; got {name!r}, {got}")
        owners.append(found[0])
    found_owners: Ints = np.array(owners, np.int64)[files.indices.to_numpy(zero_copy_only=False)]
    return found_owners


def _documents(corpus: Corpus | TokenFiles | TokenStore, unit: Unit, on_error: str) -> tuple[Ints, Ints, Ints]:
    """The row, place and size of each document of a file."""
    if isinstance(corpus, TokenStore):
        rows = corpus.table(unit)["row"].to_numpy()
        return rows, rows, np.diff(corpus.offsets(unit))
    if isinstance(corpus, TokenFiles):
        places, sizes = _joined(
            (block.first + block.offsets[:-1], np.diff(block.offsets))
            for block in corpus.blocks(unit, tokens=BLOCK_TOKENS)
        )
        unit.check()
        return np.arange(len(places)), places, sizes
    rows, sizes = _joined((texts.rows, characters(texts)) for texts in read_texts(unit, on_error))
    return rows, rows, sizes


def _joined(parts: Iterator[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for first, second in parts:
        firsts.append(first)
        seconds.append(second)
    return np.concatenate(firsts), np.concatenate(seconds)


def _check_rows(path: Path, unit: Unit, given: Ints, wanted: Ints) -> None:
    """Refuse rows that are not those of the documents, each once."""
    if np.array_equal(given, wanted):
        return
    twice = given[1:][given[1:] == given[:-1]]
    if len(twice):
        raise InputError(path, "", f"must have one row for each document; got two for row {twice[0]} of {unit.path}")
    missing = np.setdiff1d(wanted, given)
    if len(missing):
        raise InputError(path, "", f"must have one row for each document; got none for row {missing[0]} of {unit.path}")
    strange = np.setdiff1d(given, wanted)
    raise InputError(path, "", f"must have rows of documents; got row {strange[0]} of {unit.path}, which has none")
