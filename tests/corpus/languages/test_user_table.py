"""A table of languages that the user made, for text, token files and token stores."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from token_formats import made_store, write_datatrove, write_megatron, write_olmo

from pivotkit.corpus import TokenFiles, TokenStore
from pivotkit.corpus.languages import LanguageTable
from pivotkit.errors import InputError

EOS = 9
FILES = {"a": [[1, 2, EOS], [EOS], [3, 4, 5, EOS]], "b": [[7, EOS], [8]]}
LANGUAGES = {("a", 0): ["fr", "en"], ("a", 1): ["en"], ("a", 2): [], ("b", 0): None, ("b", 1): ["en"]}
SETS = {"a": [("en", "fr"), ("en",), ()], "b": [(), ("en",)]}


def token_files(folder: Path, kind: str) -> TokenFiles:
    for name, texts in FILES.items():
        if kind == "olmo":
            write_olmo(folder / f"{name}.npy", texts)
        elif kind == "megatron":
            write_megatron(folder / f"{name}.bin", [[text] for text in texts])
        else:
            write_datatrove(folder / f"{name}.ds", texts)
    return TokenFiles(folder, vocab_size=10, format=kind, eos=EOS if kind == "olmo" else None)


def text_files(folder: Path) -> list[Path]:
    for name, texts in FILES.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": str(text)}) + "\n" for text in texts))
    return sorted(folder.glob("*.jsonl"))


def table_rows(corpus: TokenFiles | TokenStore | list[Path]) -> list[dict[str, Any]]:
    paths = corpus if isinstance(corpus, list) else [unit.path for unit in corpus.work_units()]
    rows = [
        {"file": str(paths[0]) if name == "a" else paths[1].name, "row": row, "languages": some}
        for (name, row), some in LANGUAGES.items()
    ]
    random.Random(0).shuffle(rows)
    return rows


@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz", "strings"])
@pytest.mark.parametrize("kind", ["olmo", "megatron", "datatrove", "store", "text"])
def test_each_document_gets_the_languages_of_its_row(tmp_path: Path, kind: str, form: str) -> None:
    corpus: Any
    (tmp_path / "corpus").mkdir()
    if kind == "text":
        corpus = text_files(tmp_path / "corpus")
    elif kind == "store":
        corpus = made_store(tmp_path, *FILES.values(), vocab_size=10)
    else:
        corpus = token_files(tmp_path / "corpus", kind)
    rows = table_rows(corpus)
    if form == "strings":
        rows = [row | {"languages": "+".join(row["languages"] or ())} for row in rows]
    file = tmp_path / ("own.parquet" if form == "strings" else f"own.{form}")
    if form.startswith("jsonl"):
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        file.write_bytes(gzip.compress(lines) if form.endswith("gz") else lines)
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    table = LanguageTable.from_file(file, corpus)
    units = [unit.path for unit in table.units]
    for path, wanted in zip(units, SETS.values(), strict=True):
        assert [table.language_sets[place] for place in table.of_file(path)] == wanted
    sizes = [(len(str(text)) if kind == "text" else len(text)) for texts in FILES.values() for text in texts]
    composition = {row["languages"]: row for row in table.composition().to_pylist()}
    assert table.measure == ("characters" if kind == "text" else "tokens")
    assert composition["und"]["documents"] == 2
    assert composition["en"][table.measure] == sizes[1] + sizes[4]
    assert composition["en+fr"] == {"kind": "bilingual", "languages": "en+fr", "documents": 1, table.measure: sizes[0]}
    places = table.rows(units[0])["row"].to_pylist()
    assert places == ([0, 1, 2] if kind in ("text", "store") else [0, 3, 4])


def test_a_table_that_does_not_fit_the_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    corpus = token_files(tmp_path / "corpus", "olmo")
    good = table_rows(corpus)
    file = tmp_path / "own.parquet"

    def refusal(rows: list[dict[str, Any]]) -> str:
        pq.write_table(pa.Table.from_pylist(rows), file)
        with pytest.raises(InputError) as caught:
            LanguageTable.from_file(file, corpus)
        assert caught.value.path == str(file)
        return caught.value.problem

    a = str((tmp_path / "corpus" / "a.npy").resolve())
    without = [row for row in good if (row["row"], row["file"]) != (1, a)]
    assert refusal(without) == f"must have one row for each document; got none for row 1 of {a}"
    twice = f"must have one row for each document; got two for row 1 of {a}"
    assert refusal([*good, {"file": a, "row": 1, "languages": ["fr"]}]) == twice
    beyond = [*good, {"file": a, "row": 3, "languages": ["fr"]}]
    assert refusal(beyond) == f"must have rows of documents; got row 3 of {a}, which has none"
    strange = refusal([*good, {"file": "c.npy", "row": 0, "languages": ["fr"]}])
    assert strange == "must name files of the corpus; got 'c.npy', a name of none"
    assert "got none named row" in refusal([{"file": a, "languages": ["fr"]}])
    assert "must have strings as file, integers as row" in refusal([{"file": a, "row": 0.5, "languages": ["fr"]}])
    assert "must have strings as file, integers as row" in refusal([{"file": a, "row": 0, "languages": [[1]]}])
    for name, raw in (("own.jsonl", b'{"file": '), ("own.parquet", b"PAR1")):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(InputError, match=name):
            LanguageTable.from_file(tmp_path / name, corpus)
    with pytest.raises(FileNotFoundError):
        LanguageTable.from_file(tmp_path / "absent.jsonl", corpus)


def test_two_files_of_one_name_need_their_paths(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_olmo(tmp_path / folder / "a.npy", FILES["b"])
    corpus = TokenFiles([tmp_path / "x", tmp_path / "y"], vocab_size=10, eos=EOS)
    rows = [{"file": "a.npy", "row": row, "languages": "en"} for row in (0, 1)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    with pytest.raises(InputError, match=r"got 'a\.npy', the name of 2"):
        LanguageTable.from_file(tmp_path / "own.parquet", corpus)
    named = [row | {"file": str(tmp_path / folder / "a.npy")} for folder in ("x", "y") for row in rows]
    pq.write_table(pa.Table.from_pylist(named), tmp_path / "own.parquet")
    assert LanguageTable.from_file(tmp_path / "own.parquet", corpus).documents == 4


def test_a_document_that_is_not_in_the_table_is_not_found(tmp_path: Path) -> None:
    """Places of token files are those of first tokens."""
    (tmp_path / "corpus").mkdir()
    corpus = token_files(tmp_path / "corpus", "olmo")
    pq.write_table(pa.Table.from_pylist(table_rows(corpus)), tmp_path / "own.parquet")
    table = LanguageTable.from_file(tmp_path / "own.parquet", corpus)
    unit = corpus.work_units()[0]
    assert table.tags(unit, np.array([0, 3, 4])).to_pylist() == ["en+fr", "en", "und"]
    for place in (1, 5, 99):
        with pytest.raises(InputError, match=f"must hold every document of the corpus; got none at {place}"):
            table.tags(unit, np.array([0, place]))
