"""Scores on disk: the same rows, resumed by unit, and never those of other arguments."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from token_formats import made_store, write_olmo

from pivotkit import _C
from pivotkit.artifacts import atomic_path
from pivotkit.corpus import TokenFiles
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
    [{}, {"score": "distinct"}, {"score": "weighted", "weights": {1: 0.5, 3: 2}}, {"score": lambda ids, weights: 0.5}],
)
def test_rows_on_disk_are_those_in_memory(files, tmp_path, options):
    scored = score_documents(files, [1, 3], out=tmp_path / "out", **options)
    assert scored.equals(score_documents(files, [1, 3], **options), check_metadata=True)
    names = {unit.name + ".arrow" for unit in files.work_units()}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"scores.json"}


def test_a_table_on_disk_is_mapped_and_can_be_selected_from(tmp_path):
    store = made_store(tmp_path, [[1, 1], [2, 1], *([[3]] * 10_000)], vocab_size=4)
    before = pa.total_allocated_bytes()
    scored = score_documents(store, [1], out=tmp_path / "out")
    assert pa.total_allocated_bytes() - before < 10_000  # a byte a row
    assert select(scored, budget_tokens=2)["id"].to_pylist() == ["u0:0"]


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
    assert [path.suffix for path in sorted((tmp_path / "out").iterdir())] == [".arrow", ".json"]
    scored = score_documents(files, [1], out=tmp_path / "out")
    assert read == ["a", "b", "b", "c"]
    assert scored["pivots"].to_pylist() == [1, 0, 3]
    assert score_documents(files, [1], out=tmp_path / "out").equals(scored)
    assert read == ["a", "b", "b", "c"]


def test_a_changed_file_is_a_unit_of_its_own(files, tmp_path):
    score_documents(files, [1], out=tmp_path / "out")
    write_olmo(tmp_path / "corpus" / "b.npy", [[1, 0], [2, 0], [1, 1, 0]])
    scored = score_documents(files, [1], out=tmp_path / "out")
    assert scored["pivots"].to_pylist() == [1, 0, 1, 0, 2]
    assert len(list((tmp_path / "out").glob("*.arrow"))) == 4


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
    [{"pivots": [1, 2]}, {"score": "distinct"}, {"score": "weighted", "weights": np.ones(4)},
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
    name = files.work_units()[0].name + ".arrow"
    whole = (tmp_path / "out" / name).read_bytes()
    (tmp_path / "out" / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=f"{name}: must be a whole Arrow file; "):
        score_documents(files, [1], out=tmp_path / "out")
    with atomic_path(tmp_path / "out" / name) as path, pa.OSFile(str(path), "wb") as sink:
        table = pa.table({"row": [1]})
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(InputError, match=f"{name}: must have the columns unit, row"):
        score_documents(files, [1], out=tmp_path / "out")


def test_a_header_says_what_was_scored(files, tmp_path):
    score_documents(files, [1], out=tmp_path / "out")
    header = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert header["score"] == "share"
    assert header["corpus"] == files.identity()
    assert header["units"] == [unit.name for unit in files.work_units()]
    ScoreFolder(tmp_path / "other", {"score": "share"}, [])
    with pytest.raises(InputError):
        ScoreFolder(tmp_path / "other", {"score": "distinct"}, [])


def test_many_files_are_mapped_without_as_many_open_files(tmp_path):
    for number in range(40):
        write_olmo(tmp_path / f"{number:02}.npy", [[1, 0]])
    scored = score_documents(TokenFiles(tmp_path, vocab_size=2, eos=0), [1], out=tmp_path / "out")
    opened = Path("/proc/self/fd")
    if opened.is_dir():
        assert not [one for one in opened.iterdir() if one.is_symlink() and str(tmp_path) in str(one.readlink())]
    assert scored["pivots"].to_pylist() == [1] * 40
