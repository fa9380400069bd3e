"""The whole chain on the planted model: everything that was written into the world comes back exactly."""

from __future__ import annotations

import pytest

from pivotkit.artifacts import read_json, read_table, table_metadata
from pivotkit.corpus.counts import Counts
from pivotkit.experiment.testbed import World, WorldConfig, build_tokenizer, plant
from pivotkit.experiment.testbed.recovery import compare
from pivotkit.pipeline import run_all
from pivotkit.run_folder import RunFolder
from pivotkit.settings import Settings

STAGES = (
    "task",
    "tokens",
    "count",
    "pivots",
    "score",
    "trace",
    "behaviors",
    "attribution",
    "score-documents",
    "select",
    "report",
)


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldConfig(concepts=40, held_out=20, background=30, documents=4000, blocks=10))


@pytest.fixture(scope="module")
def settings(world, tmp_path_factory) -> Settings:
    folder = tmp_path_factory.mktemp("planted")
    world.write(folder / "world")
    plant(world).save_pretrained(folder / "model")
    build_tokenizer(world.vocabulary).save_pretrained(folder / "model")
    return Settings(
        model=str(folder / "model"), lexicon=str(folder / "world" / "lexicon.tsv"), pairs=["a-b", "b-a"],
        corpus=[str(folder / "world" / "corpus.jsonl.zst")], prompt="testbed", shots=4, latent=["p"],
        min_pivot_score=0.3, quotas={"a": 0.5, "b": 0.5}, budget_tokens=4000, workers=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with RunFolder(folder) as opened:
        run_all(opened, settings)
    return folder


def test_counts_pivots_and_behaviors_equal_the_truth(world, run):
    found = compare(
        world, read_table(run / "items.parquet"), Counts.load(run / "counts"), read_table(run / "pivots.parquet"),
        read_table(run / "behaviors.parquet"),
    )  # fmt: skip
    assert found["counts"]["checked"] == 40 * 3 + 40 * 3
    assert found["counts"]["equal"] == found["counts"]["checked"]
    assert found["pivots"] == {"checked": 80, "recovered": 80}
    assert found["translated"] == {"held_out": 40, "correct": 40}
    for rule in found["behaviors"]:
        assert (rule["checked"], rule["agree"]) == (40, 40), rule


def test_the_model_answers_every_item_by_greedy_decoding(run):
    scores = read_table(run / "scores.parquet")
    assert set(scores["greedy"].to_pylist()) == set(scores["reciprocal_rank"].to_pylist()) == {1.0}
    assert set(scores["gold_rank"].to_pylist()) == {0}


def test_co_occurrence_predicts_the_planted_behavior_without_error(run):
    pooled = {
        (row["rule"], row["predictor"]): row["auc"]
        for row in read_json(run / "attribution.json")["auc"]
        if row["pair"] == "all"
    }
    for rule in ("paper", "strict", "threshold"):
        assert pooled[rule, "log_df_both"] == 1.0
        assert pooled[rule, "log_min_df"] < 0.95


def test_every_artifact_is_there_with_its_manifest(run):
    manifest = read_json(run / "run.json")
    assert set(manifest["stages"]) == set(STAGES)
    assert manifest["config"]["pairs"] == ["a-b", "b-a"]
    for name in ("items", "scores", "behaviors", "pivots", "hubs", "documents"):
        assert read_table(run / f"{name}.parquet").num_rows > 0
    assert table_metadata(read_table(run / "scores.parquet"))["head"]["self_check_error"] < 1e-5
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_hubs_are_the_planted_pivots(world, run):
    planted = {concept.words["p"] for concept in world.concepts if concept.kind == "pivot"}
    assert {row["token"].strip() for row in read_table(run / "hubs.parquet").to_pylist()} == planted


def test_the_selection_meets_its_budget_within_a_document_a_language(run):
    selected = read_table(run / "selection" / "provenance.parquet").to_pylist()
    for code in ("a", "b"):
        tokens = [row["tokens"] for row in selected if row["lang"] == code]
        assert 2000 <= sum(tokens) < 2000 + max(tokens)


def test_the_same_call_does_nothing_again(settings, run):
    made = [*run.rglob("*.parquet"), run / "report.html"]
    before = {path: path.stat().st_mtime_ns for path in made}
    with RunFolder(run) as opened:
        run_all(opened, settings)
    assert {path: path.stat().st_mtime_ns for path in made} == before


def test_a_damaged_artifact_is_made_again_and_no_other(settings, run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}
    (run / "scores.parquet").write_bytes(b"")
    with RunFolder(run) as opened:
        run_all(opened, settings)
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"scores.parquet"}


def test_without_a_corpus_the_model_is_studied_alone(settings, tmp_path):
    alone = Settings(**{**vars(settings), "corpus": [], "limit": 3, "quotas": {}})
    with RunFolder(tmp_path) as opened:
        run_all(opened, alone)
    assert set(read_json(tmp_path / "run.json")["stages"]) == {"task", "score", "trace", "behaviors", "report"}
    assert (tmp_path / "report.html").exists()
