"""Written selections: the texts, their provenance, and what happens when corpus and selection disagree."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute
import pytest
import zstandard

from pivotkit.artifacts import read_json, read_table
from pivotkit.corpus.reading.documents import read_documents, work_units
from pivotkit.errors import CorpusError
from pivotkit.selection.choosing.select import select
from pivotkit.selection.writing.write import write_selection


@pytest.fixture
def corpus(tmp_path):
    """Three files of ten documents, in two formats."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(3):
        rows = [
            {"id": f"{number}-{row}", "text": f"téxt {number} {row}\nmore", "lang": ["en", "fr"][row % 2]}
            for row in range(10)
        ]
        lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
        if number == 1:
            (folder / f"{number}.jsonl.zst").write_bytes(zstandard.compress(lines))
        else:
            (folder / f"{number}.jsonl").write_bytes(lines)
    return folder


def score(corpus):
    rows = [
        {"unit": unit.name, "row": row, "id": identity, "tokens": 10, "score": (row * 7 % 10) / 10, "lang": lang}
        for unit in work_units(corpus)
        for batch in read_documents(unit)
        for row, identity, lang in zip(batch.rows, batch.ids, batch.langs, strict=True)
    ]
    return pa.Table.from_pylist(rows)


def read_lines(path):
    with zstandard.open(path, "rb") as stream:
        return [orjson.loads(line) for line in io.BytesIO(stream.read())]


@pytest.fixture
def selection(corpus):
    return select(score(corpus), budget_tokens=100, quotas={"en": 0.3, "fr": 0.7})


def test_the_texts_are_written_in_the_order_of_the_corpus(corpus, selection, tmp_path):
    write_selection(selection, corpus, tmp_path / "out")
    lines = read_lines(tmp_path / "out" / "part-00000.jsonl.zst")
    chosen = set(selection["id"].to_pylist())
    whole = [f"{number}-{row}" for number in range(3) for row in range(10)]
    assert [line["id"] for line in lines] == [identity for identity in whole if identity in chosen]
    for line in lines:
        number, row = line["id"].split("-")
        assert line == {"id": line["id"], "text": f"téxt {number} {row}\nmore", "lang": ["en", "fr"][int(row) % 2]}


def test_every_line_has_its_provenance(corpus, selection, tmp_path):
    write_selection(selection, corpus, tmp_path / "out")
    lines = read_lines(tmp_path / "out" / "part-00000.jsonl.zst")
    provenance = read_table(tmp_path / "out" / "provenance.parquet")
    assert provenance["id"].to_pylist() == [line["id"] for line in lines]
    scores = {row["id"]: row["score"] for row in selection.to_pylist()}
    for row in provenance.to_pylist():
        number, place = row["id"].split("-")
        assert (row["row"], row["score"]) == (int(place), scores[row["id"]])
        assert row["file"].startswith(f"{number}.jsonl")


def test_provenance_is_a_selection_again_with_the_places_of_the_new_files(corpus, selection, tmp_path):
    write_selection(selection, corpus, tmp_path / "first")
    provenance = read_table(tmp_path / "first" / "provenance.parquet")
    write_selection(provenance.filter(pa.compute.not_equal(provenance["line"], 0)), corpus, tmp_path / "second")
    again = read_table(tmp_path / "second" / "provenance.parquet")
    assert again.column_names == provenance.column_names
    assert again["id"].to_pylist() == provenance["id"].to_pylist()[1:]
    assert again["line"].to_pylist() == list(range(provenance.num_rows - 1))


def test_the_manifest_says_what_was_chosen_and_how(corpus, selection, tmp_path):
    manifest = write_selection(selection, corpus, tmp_path / "out")
    assert read_json(tmp_path / "out" / "manifest.json") == manifest
    assert manifest["rule"] == "score"
    assert manifest["seed"] == 0
    assert manifest["budget_tokens"] == 100
    assert manifest["shares"] == {"en": 0.3, "fr": 0.7}
    assert manifest["tokens_by_language"] == {"en": 30, "fr": 70}
    data = (tmp_path / "out" / "part-00000.jsonl.zst").read_bytes()
    about = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    shard = {"file": "part-00000.jsonl.zst", "documents": 10, **about}
    assert manifest["selected"] == {"documents": 10, "bytes": len(data), "shards": [shard]}
    assert sum(file["documents"] for file in manifest["corpus"]) == 10


def test_the_written_file_is_a_corpus_again(corpus, selection, tmp_path):
    write_selection(selection, corpus, tmp_path / "out")
    (batch,) = read_documents(tmp_path / "out" / "part-00000.jsonl.zst")
    assert sorted(batch.ids) == sorted(selection["id"].to_pylist())


def test_the_order_of_the_selection_does_not_change_the_bytes(corpus, selection, tmp_path):
    one = write_selection(selection, corpus, tmp_path / "one")
    backwards = selection.take(np.arange(selection.num_rows)[::-1])
    assert write_selection(backwards, corpus, tmp_path / "other")["selected"] == one["selected"]


def test_files_without_selected_documents_are_not_read(corpus, selection, tmp_path):
    units = {unit.name: unit for unit in work_units(corpus)}
    first = selection.filter(pa.compute.equal(selection["unit"], selection["unit"][0]))
    kept = units[first["unit"][0].as_py()]
    for unit in units.values():
        if unit != kept:
            unit.path.write_bytes(b"no JSON")
    assert write_selection(first, corpus, tmp_path / "out")["selected"]["documents"] == first.num_rows


def test_a_corpus_that_changed_is_refused(corpus, selection, tmp_path):
    (corpus / "2.jsonl").write_text('{"text": "new"}\n')
    with pytest.raises(
        ValueError, match="write_selection: selection must be of units of corpus as it is now; got 1 that"
    ):
        write_selection(selection, corpus, tmp_path / "out")


def test_a_file_that_is_gone_is_named_where_the_rows_tell_it(corpus, selection, tmp_path):
    names = {unit.name: unit.path.name for unit in work_units(corpus)}
    told = selection.append_column("file_name", pa.array([names[unit] for unit in selection["unit"].to_pylist()]))
    gone = min(set(told["unit"].to_pylist()))
    next(unit.path for unit in work_units(corpus) if unit.name == gone).unlink()
    with pytest.raises(ValueError, match=rf"first {gone}, {re.escape(names[gone])}"):
        write_selection(told, corpus, tmp_path / "out")


def test_another_document_in_the_row_is_refused_and_leaves_what_was_there(corpus, selection, tmp_path):
    manifest = write_selection(selection, corpus, tmp_path / "out")
    before = (tmp_path / "out" / "part-00000.jsonl.zst").read_bytes()
    ids = ["else", *selection["id"].to_pylist()[1:]]
    with pytest.raises(CorpusError, match="must hold document 'else'; got"):
        write_selection(selection.set_column(2, "id", pa.array(ids)), corpus, tmp_path / "out")
    assert read_json(tmp_path / "out" / "manifest.json") == manifest
    assert (tmp_path / "out" / "part-00000.jsonl.zst").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "out"]


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_selected_document_that_cannot_be_read_is_an_error(corpus, selection, tmp_path, on_error):
    rows = [99, *selection["row"].to_pylist()[1:]]
    with pytest.raises(CorpusError, match=r"row 99: must hold document .*; it cannot be read"):
        write_selection(selection.set_column(1, "row", pa.array(rows)), corpus, tmp_path / "out", on_error=on_error)


def test_a_document_twice_is_refused(corpus, selection, tmp_path):
    with pytest.raises(ValueError, match="write_selection: selection must hold each document once"):
        write_selection(pa.concat_tables([selection, selection.slice(0, 1)]), corpus, tmp_path / "out")


def test_columns_must_be_there(corpus, tmp_path):
    with pytest.raises(ValueError, match="write_selection: selection must have the columns unit, row, id"):
        write_selection(pa.table({"unit": ["u"]}), corpus, tmp_path / "out")


def test_importing_the_room_imports_neither_numba_nor_torch():
    code = "import sys, pivotkit.selection; sys.exit(bool({'numba', 'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
