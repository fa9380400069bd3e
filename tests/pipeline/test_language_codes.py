"""A run whose language codes have hyphens, and whose lexicon has a column that is no language."""

from __future__ import annotations

from pathlib import Path

import pytest
from renamed_world import write_renamed

from pivotkit.artifacts import read_json, read_table
from pivotkit.pipeline.run import run_all
from pivotkit.pipeline.settings import Settings
from pivotkit.run_folder import RunFolder
from pivotkit.testbed import World, WorldConfig

CODES = {"a": "pt-BR", "b": "zh-Hans", "p": "en-GB"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hyphens")
    world = World(WorldConfig(concepts=24, held_out=12, background=30, documents=1200, blocks=6))
    write_renamed(world, CODES, folder)
    header, *rows = (folder / "words.tsv").read_text().splitlines()
    lines = [f"{header}\ttier", *(f"{row}\t{number % 3}" for number, row in enumerate(rows)), "", ""]
    (folder / "words.tsv").write_text("\n".join(lines))
    settings = Settings(
        model=str(folder / "model"), lexicon=str(folder / "words.tsv"), pairs=["pt-BR-zh-Hans", "zh-Hans-pt-BR"],
        corpus=[str(folder / "corpus.jsonl")], prompt="testbed", shots=4, distractors=4, contexts=2, latent=["en-GB"],
        pivot_rule="paper", min_pivot_score=0.3, budget_tokens=2000, workers=1,
    )  # fmt: skip
    with RunFolder(folder / "run") as opened:
        run_all(opened, settings)
    return folder / "run"


def test_every_stage_knows_the_pairs(run):
    for name in ("items", "scores", "behaviors", "pivots"):
        assert set(read_table(run / f"{name}.parquet")["pair"].to_pylist()) == {"pt-BR-zh-Hans", "zh-Hans-pt-BR"}, name
    traces = read_table(run / "traces")
    assert "en-GB_logmass" in traces.column_names
    found = {entry["pair"] for entry in read_json(run / "attribution.json")["auc"]}
    assert {"pt-BR-zh-Hans", "zh-Hans-pt-BR"} <= found
    assert {dict(item)["tier"] for item in read_table(run / "items.parquet")["attributes"].to_pylist()} == set("012")


def test_documents_are_selected_from_both_languages_of_the_pairs(run):
    assert set(read_json(run / "selection" / "manifest.json")["shares"]) == {"pt-BR", "zh-Hans"}


def test_the_report_shows_sources_and_targets(run):
    page = (run / "report.html").read_text()
    assert "pt-BR → zh-Hans" in page
    assert "zh-Hans → pt-BR" in page
    assert "pt → BR" not in page
    assert "Probability mass by layer, pt-BR → zh-Hans" in page
