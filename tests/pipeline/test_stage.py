"""Stage records: what follows from what a stage reads and writes."""

from __future__ import annotations

import dataclasses

import pytest

from pivotkit.pipeline.inputs import CORPUS, GIVEN, MODEL, TUNED_LENS
from pivotkit.pipeline.run import RUN, STAGES
from pivotkit.pipeline.settings import Settings
from pivotkit.pipeline.stage import EVERYTHING, Stage, StageTable
from pivotkit.run_folder import RunFolder


def stage(name, reads=(), writes=(), **more):
    def make(run, settings):
        for artifact in writes:
            (run / artifact).write_text(name)

    return Stage(name=name, help="", run=make, reads=tuple(reads), writes=tuple(writes), **more)


TABLE = StageTable(
    [
        stage("read", [CORPUS], ["documents"]),
        stage("ask", [MODEL], ["answers"], settings=("k",)),
        stage("count", ["documents"], ["counts"]),
        stage("join", ["answers", "counts/pairs"], ["joined"], uses=("notes",)),
        stage("page", [], ["page"], uses=(EVERYTHING,)),
    ]
)


def test_what_needs_a_corpus_follows_from_what_is_read():
    assert [one.name for one in TABLE if TABLE.needs(one, CORPUS, Settings())] == ["read", "count", "join"]
    assert {one.name for one in STAGES if STAGES.needs(one, CORPUS, Settings())} == {
        "tokens", "count", "pivots", "attribution", "agreement", "score-documents", "select",
    }  # fmt: skip
    assert [one.name for one in STAGES if STAGES.needs(one, TUNED_LENS, Settings())] == ["trace-fitted"]


def test_a_stage_that_reads_no_artifact_begins_a_run():
    assert [one.name for one in TABLE if one.begins_run(Settings())] == ["read", "ask"]
    assert {one.name for one in STAGES if one.begins_run(one.form())} == {"task", "tokens"}


def test_the_stages_that_lead_to_an_artifact_come_in_order():
    assert [one.name for one in TABLE.making("counts")] == ["read", "count"]
    assert [one.name for one in TABLE.making("joined")] == ["read", "ask", "count", "join"]
    assert [one.name for one in STAGES.making("documents.parquet")] == [
        "task", "tokens", "count", "pivots", "score-documents",
    ]  # fmt: skip


def test_an_artifact_inside_a_folder_has_the_writer_of_the_folder():
    assert TABLE.writer("counts/pairs").name == "count"
    with pytest.raises(ValueError, match="artifact must be what an earlier stage writes; got countsy"):
        TABLE.writer("countsy")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([stage("a", [], ["x"]), stage("a", [], ["y"])], "stages must have different names; got a twice"),
        ([stage("a", ["x"], ["y"]), stage("b", [], ["x"])], "artifact must be what an earlier stage writes; got x"),
        ([stage("a", [], ["x"]), stage("b", [], ["x"])], "an artifact must have one writer; got two for x"),
    ],
)
def test_a_table_that_cannot_run_in_order_is_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        StageTable(stages)


def test_an_absent_artifact_names_the_stage_that_writes_it(tmp_path):
    with RunFolder(tmp_path) as run:
        with pytest.raises(ValueError, match="must hold documents; run `pivotkit read` first"):
            TABLE.run(TABLE["count"], run, Settings())
        (tmp_path / "documents").write_text("")
        assert TABLE.need(run, "documents") == tmp_path / "documents"


@pytest.mark.parametrize(
    ("name", "missing"), [("task", "lexicon or --items and pairs"), ("tokens", "corpus and model")]
)
def test_what_the_user_must_give_is_named(name, missing, tmp_path):
    with RunFolder(tmp_path) as run, pytest.raises(ValueError, match=f"{name}: {missing} must be given; got none"):
        STAGES.run(STAGES[name], run, Settings())
    assert not list(tmp_path.glob("*.parquet"))


def test_a_stage_runs_again_when_what_it_uses_or_depends_on_changes(tmp_path):
    known = {"rule": 1}
    table = StageTable(
        [stage("a", [], ["x"], settings=("k", "workers"), uses=("notes",), depends=lambda run, settings: known)]
    )
    with RunFolder(tmp_path) as run:

        def again(**settings):
            return table.run(table["a"], run, Settings(**settings))

        assert again()
        assert not again()
        assert not again(workers=3, limit=4)  # the result does not depend on these
        assert again(k=11)
        known["rule"] = 2
        assert again(k=11)
        assert not again(k=11)
        (tmp_path / "notes").write_text("new")
        assert again(k=11)
        assert run.manifest["stages"]["a"]["settings"] == {"k": 11, "rule": 2}


def test_what_an_earlier_revision_of_a_stage_made_is_made_again(tmp_path):
    with RunFolder(tmp_path) as run:
        for revision, runs in ((1, True), (1, False), (2, True), (2, False)):
            table = StageTable([stage("ask", [], ["answers"], revision=revision)])
            assert table.run(table["ask"], run, Settings()) == runs


def test_a_page_of_everything_is_made_again_when_any_artifact_changes(tmp_path):
    with RunFolder(tmp_path) as run:
        assert TABLE.run(TABLE["page"], run, Settings())
        assert not TABLE.run(TABLE["page"], run, Settings())
        (tmp_path / "corpus.txt").write_text("new")
        assert TABLE.run(TABLE["read"], run, Settings(corpus=[str(tmp_path / "corpus.txt")]))
        assert TABLE.run(TABLE["page"], run, Settings())
        assert TABLE.run(TABLE["count"], run, Settings())
        assert TABLE.run(TABLE["page"], run, Settings())
    assert list(STAGES)[-1].uses == (EVERYTHING,)  # the report comes last


def test_every_setting_is_read_by_a_stage_and_every_name_is_a_setting():
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert {name for one in STAGES for name in one.options} == set(RUN.settings) == fields
    assert set(GIVEN) <= fields
    for one in STAGES:
        assert len(set(one.options)) == len(one.options), one


def test_public_objects_say_in_a_line_what_they_are(tmp_path):
    assert repr(STAGES["count"]) == "Stage('count': items.parquet, tokens, corpus -> counts)"
    assert repr(STAGES["report"]) == "Stage('report': nothing -> report.html)"
    assert repr(Settings()) == "Settings()"
    assert repr(Settings(k=3, pairs=["en-fr"])) == "Settings(pairs=['en-fr'], k=3)"
    assert repr(TABLE) == "StageTable(read, ask, count, join, page)"
    with RunFolder(tmp_path) as run:
        assert repr(run) == f"RunFolder({str(tmp_path)!r}, stages: none)"
        TABLE.run(TABLE["page"], run, Settings())
        assert repr(run) == f"RunFolder({str(tmp_path)!r}, stages: page)"
