"""The whole chain on the planted model: everything that was written into the world comes back exactly."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from pivotkit.artifacts import read_json, read_table, table_metadata, write_table
from pivotkit.cli import main
from pivotkit.corpus.tables.counts import Counts
from pivotkit.lens.behavior import sensitivity
from pivotkit.lens.fitted import TunedLens
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import load_model
from pivotkit.lens.trace import trace
from pivotkit.pipeline.model_stages import TRACE
from pivotkit.pipeline.run import run_all
from pivotkit.pipeline.settings import Settings
from pivotkit.run_folder import RunFolder
from pivotkit.testbed import World, WorldConfig, build_tokenizer, plant
from pivotkit.testbed.recovery import compare

STAGES = (
    "task",
    "tokens",
    "count",
    "pivots",
    "score",
    "trace",
    "behaviors",
    "attribution",
    "agreement",
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
        pivot_rule="paper", min_pivot_score=0.3, quotas={"a": 0.5, "b": 0.5}, budget_tokens=4000, workers=1,
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


def test_behaviors_equal_the_truth_over_a_wide_range_of_thresholds(run):
    """Half of the concepts are planted as pivots, whose word reaches 0.8; a source has at most 0.04."""
    rows = read_table(run / "sensitivity.parquet").to_pylist()
    assert {row["pair"] for row in rows} == {"a-b", "b-a", "all"}
    assert {row["least_contrast"] for row in rows} == {None, *(math.log(times) for times in (10, 100, 1000))}
    for row in rows:
        assert row["items"] == (80 if row["pair"] == "all" else 40)
        shares = {name: row[name] for name in ("co_occurrence", "pivot", "copy", "other", "excluded")}
        # Nothing in so small a vocabulary is a thousand times as probable as elsewhere.
        half = 0 if row["least_contrast"] == math.log(1000) else 0.5
        assert shares == {"co_occurrence": 1 - half, "pivot": half, "copy": 0, "other": 0, "excluded": 0}, row


def test_beyond_the_planted_probabilities_the_shares_move_as_they_should(run):
    traces = read_table(run / "traces")
    found = sensitivity(traces, probabilities=[0.03, 0.79, 0.85], contrasts=[2, 12])
    shares = {
        (row["rule"], row["min_probability"], row["least_contrast"]):
        (row["co_occurrence"], row["pivot"], row["copy"], row["excluded"])
        for row in found.to_pylist()
        if row["pair"] == "all"
    }  # fmt: skip
    # The pivot word has 0.8 in block 6; the direct target ends at 0.8. Early sources have 0.04.
    for rule, contrast in (("strict", 2), ("threshold", None)):
        assert shares[rule, 0.79, contrast] == (0.5, 0.5, 0, 0)
        assert shares[rule, 0.85, contrast] == (1, 0, 0, 0)
    assert shares["strict", 0.03, 2] == (0, 0.5, 0.5, 0)
    assert shares["strict", 0.03, 12] == (1, 0, 0, 0)  # nothing has so high a contrast
    assert shares["paper", 0.79, None] == (0.5, 0.5, 0, 0)
    assert shares["paper", 0.85, None] == (0, 0, 0, 1)


def test_every_pivot_is_the_planted_word_of_its_language_and_no_copy_stands_beside_it(world, run):
    planted = {concept.words["a"]: concept.words["p"] for concept in world.concepts if concept.kind == "pivot"}
    sources = {row["item"]: row["words"][0][1] for row in read_table(run / "items.parquet").to_pylist()}
    strict = [row for row in read_table(run / "behaviors.parquet").to_pylist() if row["rule"] == "strict"]
    pivots = {(sources[row["item"]], row["pair"]): row for row in strict if row["behavior"] == "pivot"}
    assert {word for word, _ in pivots} == set(planted)
    for (word, _), row in pivots.items():
        assert (row["peak_token"].strip(), row["peak_layer"], row["class"]) == (planted[word], 6, "pivot")
        assert row["language"] == "p"
        assert "copy" not in row["also"]


def test_contrasts_are_over_all_items_of_a_pair_and_a_shard_is_a_pair(settings, run):
    traces, items = read_table(run / "traces"), read_table(run / "items.parquet")
    assert len(list((run / "traces").iterdir())) == 2  # one per pair, and no sums
    model, tokenizer = load_model(settings.model)
    whole = trace(model, items, tokenizer)
    assert table_metadata(traces)["contrast"] == table_metadata(whole)["contrast"]
    assert table_metadata(whole)["contrast"]["items"] == {"a-b": 40, "b-a": 40}
    for name in ("top_contrasts", "contrasts"):
        ours, theirs = (np.array(table[name].to_pylist()) for table in (traces, whole))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_pair_whose_states_do_not_fit_is_traced_in_parts_with_the_same_contrasts(
    settings, run, tmp_path, monkeypatch
):
    items = read_table(run / "items.parquet")
    write_table(items.slice(30, 30), tmp_path / "items.parquet")  # 10 of one pair, which fit, and 20 of the other
    monkeypatch.setattr("pivotkit.lens.contrast.states_that_fit", lambda head: 10)
    monkeypatch.setattr("pivotkit.pipeline.model_stages.SHARD", 8)
    with RunFolder(tmp_path) as opened:
        opened.key = "0123456789ab"
        TRACE.run(opened, dataclasses.replace(settings, corpus=[]))
    assert len(list(tmp_path.glob("traces/*.parquet"))) == 1 + 3
    assert [path.name for path in tmp_path.glob("traces/_*")] == ["_contrast-0123456789ab.safetensors"]
    parts = read_table(tmp_path / "traces").sort_by([("item", "ascending"), ("layer", "ascending")])
    monkeypatch.undo()
    model, tokenizer = load_model(settings.model)
    whole = trace(model, items.slice(30, 30), tokenizer, latent=["p"])
    assert table_metadata(parts)["contrast"] == table_metadata(whole)["contrast"]
    ours, theirs = (np.array(table["contrasts"].to_pylist()) for table in (parts, whole))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


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
    for name in ("items", "scores", "behaviors", "sensitivity", "pivots", "hubs", "documents"):
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
    # So few items have no contrasts: the strict rule excludes them, and the page says why.
    rows = read_table(tmp_path / "behaviors.parquet").to_pylist()
    assert {row["behavior"] for row in rows if row["rule"] == "strict"} == {"excluded"}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Excluded for want of contrasts: a → b (3 items; a contrast needs" in page


def test_a_fitted_lens_is_traced_beside_the_raw_one(settings, run, tmp_path):
    model, tokenizer = load_model(settings.model)
    head = LensHead.from_model(model)
    shift = torch.linspace(-1, 1, head.width)
    maps = tuple(torch.zeros(head.width, head.width) for _ in head.blocks)
    TunedLens(maps, tuple(shift.clone() for _ in head.blocks), "", None).save(tmp_path / "lens")
    with RunFolder(tmp_path / "run") as opened:
        given = {"corpus": [], "limit": 12, "quotas": {}, "tuned_lens": str(tmp_path / "lens")}
        run_all(opened, Settings(**{**vars(settings), **given}))
    raw, fitted = (read_table(tmp_path / "run" / name) for name in ("traces", "traces_fitted"))
    assert table_metadata(raw)["lens"] == "logit lens"
    assert table_metadata(fitted)["contrast"] == {"absent": "not asked for"}
    items = read_table(tmp_path / "run" / "items.parquet")
    plain = trace(model, items, tokenizer, latent=["p"], contrast=False, lens=TunedLens.load(tmp_path / "lens"))
    assert fitted["top_ids"].to_pylist() == plain["top_ids"].to_pylist()
    np.testing.assert_allclose(fitted["p_logmass"].to_numpy(), plain["p_logmass"].to_numpy(), rtol=1e-4, atol=1e-4)
    below = pc.less(raw["layer"], len(head.blocks))
    ours, theirs = (table.filter(below)["entropy"].to_numpy() for table in (raw, fitted))
    assert np.abs(ours - theirs).min() > 1e-4  # another lens in every layer but the last
    assert "when the answer is settled" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_trace_through_a_fitted_lens_needs_one(run, capsys):
    assert main(["trace-fitted", str(run)]) == 2
    assert "trace-fitted: tuned_lens must be given; got none" in capsys.readouterr().err


def test_the_thresholds_of_every_rule_are_settings(settings, tmp_path):
    certain = {"min_probability": 1.0, "threshold": 1.0, "least_peak": 1.0}
    with RunFolder(tmp_path) as opened:
        run_all(opened, Settings(**{**vars(settings), "corpus": [], "limit": 10, "quotas": {}, **certain}))
    found = read_table(tmp_path / "behaviors.parquet")
    pairs = set(zip(found["rule"].to_pylist(), found["behavior"].to_pylist(), strict=True))
    # No step of the planted model is certain: no peak is likely enough, and nothing stands on the way.
    assert pairs == {("paper", "excluded"), ("strict", "co-occurrence"), ("threshold", "co-occurrence")}


def test_without_pivots_no_document_is_selected_and_the_report_is_made(settings, tmp_path, capsys):
    with RunFolder(tmp_path) as opened:
        run_all(opened, Settings(**{**vars(settings), "limit": 10, "min_word_df": 1_000_000}))
    said = capsys.readouterr().err
    for stage in ("score-documents", "select"):
        assert f"{stage}: left out, since there are no pivots; `pivotkit pivots` says why" in said
    assert (tmp_path / "report.html").exists()
    assert not (tmp_path / "documents.parquet").exists()
    assert read_table(tmp_path / "pivots.parquet").num_rows == 0
