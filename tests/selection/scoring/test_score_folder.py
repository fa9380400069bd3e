"""Scores on disk: the same rows, resumed by unit, and never those of other arguments."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from token_formats import made_store, write_olmo

from pivotkit import _C
from pivotkit.artifacts import table_metadata
from pivotkit.corpus import TokenFiles
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import CorpusError, InputError
from pivotkit.selection import score_documents, select
from pivotkit.selection.scoring.score_folder import ScoreFolder


@pytest.fixture
def files(tmp_path):
    (tmp_path / "corpus").mkdir()
    for name, texts in (("a", [[1, 2, 0], [3, 0]]), ("b", [[1, 1, 1, 0]]), ("c", [])):
        write_olmo(tmp_path / "corpus" / f"{name}.npy", texts)
    return TokenFiles(tmp_path / "corpus", vocab_size=4, eos=0, tokenizer="words")


class Broken(Exception):
    pass


@pytest.mark.parametrize(
    "options",
    [
        {}, {"score": "distinct"}, {"score": "weighted", "weights": {1: 0.5, 3: 2}},
        {"score": lambda ids, weights: 0.5}, {"columns": ["folder", "distinct", "file_name"]},
        {"columns": ["weighted"], "weights": {1: 0.5, 3: 2}},
    ],
)  # fmt: skip
def test_rows_on_disk_are_those_in_memory(files, tmp_path, options):
    out = score_documents(files, [1, 3], out=tmp_path / "out", **options)
    in_memory = score_documents(files, [1, 3], **options)
    tables = [pq.read_table(out / f"{unit.name}.parquet") for unit in files.work_units()]
    assert pa.concat_tables(tables).equals(in_memory)
    told = [table_metadata(table) for table in tables]
    assert {name: value for one in told for name, value in one["files"].items()} == table_metadata(in_memory)["files"]
    assert all(one | {"files": None} == table_metadata(in_memory) | {"files": None} for one in told)
    names = {unit.name + ".parquet" for unit in files.work_units()}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"scores.json"}


def rows_of(folder, corpus):
    units = corpus.units if isinstance(corpus, TokenStore) else corpus.work_units()
    return pa.concat_tables([pq.read_table(folder / f"{unit.name}.parquet") for unit in units])


def test_rows_on_disk_are_not_held_in_memory(tmp_path):
    store = made_store(tmp_path, [[1, 1], [2, 1], *([[3]] * 10_000)], vocab_size=4)
    before = pa.total_allocated_bytes()
    out = score_documents(store, [1], out=tmp_path / "out")
    assert pa.total_allocated_bytes() - before < 10_000  # a byte a row
    assert select(out, budget_tokens=2)["id"].to_pylist() == ["u0:0"]


def test_a_stopped_run_goes_on_from_the_units_that_are_done(files, tmp_path, monkeypatch):
    read: list[str] = []
    blocks = TokenFiles.blocks

    def noted(self, unit, *arguments, **options):
        read.append(unit.path.stem)
        if unit.path.stem == "b" and len(read) == 2:
            raise Broken
        return blocks(self, unit, *arguments, **options)

    monkeypatch.setattr(TokenFiles, "blocks", noted)
    with pytest.raises(Broken):
        score_documents(files, [1], out=tmp_path / "out")
    assert [path.suffix for path in sorted((tmp_path / "out").iterdir())] == [".parquet", ".json"]
    scored = rows_of(score_documents(files, [1], out=tmp_path / "out"), files)
    assert read == ["a", "b", "b", "c"]
    assert scored["pivots"].to_pylist() == [1, 0, 3]
    assert rows_of(score_documents(files, [1], out=tmp_path / "out"), files).equals(scored)
    assert read == ["a", "b", "b", "c"]


def test_a_changed_file_is_a_unit_of_its_own(files, tmp_path):
    score_documents(files, [1], out=tmp_path / "out")
    write_olmo(tmp_path / "corpus" / "b.npy", [[1, 0], [2, 0], [1, 1, 0]])
    scored = rows_of(score_documents(files, [1], out=tmp_path / "out"), files)
    assert scored["pivots"].to_pylist() == [1, 0, 1, 0, 2]
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 4


def test_a_file_that_changes_while_it_is_read_leaves_nothing(files, tmp_path, monkeypatch):
    class Changing:
        def __init__(self, *arguments):
            self.scorer = _C.DocumentScorer(*arguments)

        def add(self, *arguments):
            with (tmp_path / "corpus" / "a.npy").open("ab") as file:
                file.write(b"\1\0")
            return self.scorer.add(*arguments)

    monkeypatch.setattr("pivotkit.selection.scoring.document_score._C", SimpleNamespace(DocumentScorer=Changing))
    with pytest.raises(CorpusError, match=r"a\.npy: must stay as it was when the run began"):
        score_documents(files, [1], out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scores.json"]


@pytest.mark.parametrize(
    "options",
    [{"pivots": [1, 2]}, {"score": "distinct"}, {"columns": ["file_name"]}, {"score": "weighted", "weights": np.ones(4)},
     {"score": lambda ids, weights: 1.0}, {"corpus": {"tokenizer": "others"}}],
)  # fmt: skip
def test_scores_of_other_arguments_are_refused(files, tmp_path, options):
    score_documents(files, [1], out=tmp_path / "out")
    arguments = {"pivots": [1], **options}
    corpus = TokenFiles(tmp_path / "corpus", vocab_size=4, eos=0, **arguments.pop("corpus", {"tokenizer": "words"}))
    with pytest.raises(InputError, match="out: must hold no scores or those of the same arguments; got others"):
        score_documents(corpus, **arguments, out=tmp_path / "out")


def test_scores_of_a_function_are_never_taken_for_those_of_another(files, tmp_path):
    score_documents(files, [1], score=lambda ids, weights: 1.0, out=tmp_path / "out")
    with pytest.raises(InputError, match="must hold no scores"):
        score_documents(files, [1], score=lambda ids, weights: 1.0, out=tmp_path / "out")


def test_a_damaged_file_is_named(files, tmp_path):
    score_documents(files, [1], out=tmp_path / "out")
    path = tmp_path / "out" / (files.work_units()[0].name + ".parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=f"{path.name}: must be a whole Parquet file; "):
        score_documents(files, [1], out=tmp_path / "out")
    pq.write_table(pa.table({"row": [1]}), path)
    with pytest.raises(InputError, match=f"{path.name}: must have the columns unit, row"):
        score_documents(files, [1], out=tmp_path / "out")


def test_a_damaged_page_is_found_when_it_is_read(tmp_path):
    store = made_store(tmp_path, [[1] * (place % 7 + 1) for place in range(5000)], vocab_size=4)
    out = score_documents(store, [1], out=tmp_path / "out")
    path = next(out.glob("*.parquet"))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match="must be a Parquet file, whole; "):
        select(out, budget_tokens=100)


def test_a_full_disk_leaves_no_file_of_the_unit(files, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        score_documents(files, [1], out=tmp_path / "out")
    assert caught.value.filename.endswith(".parquet")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scores.json"]
    monkeypatch.undo()
    assert len(rows_of(score_documents(files, [1], out=tmp_path / "out"), files)) == 3


def test_a_header_says_what_was_scored(files, tmp_path):
    score_documents(files, [1], out=tmp_path / "out")
    header = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert header["score"] == "share"
    assert header["corpus"] == files.identity()
    assert header["units"] == [unit.name for unit in files.work_units()]
    ScoreFolder(tmp_path / "other", {"score": "share"}, [])
    with pytest.raises(InputError):
        ScoreFolder(tmp_path / "other", {"score": "distinct"}, [])
