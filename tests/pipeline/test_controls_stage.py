"""The stage of controls: every control of the run's selection side by side, and the table of what they consist of."""

from __future__ import annotations

import numpy as np
import pytest

from pivotkit.artifacts import read_json, read_table
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.pipeline.controls_stage import CONTROLS, NAMES, ControlsSettings
from pivotkit.pipeline.run import EVERY, STAGES
from pivotkit.report import write_report
from pivotkit.run_folder import RunFolder
from pivotkit.selection.controls import rules
from pivotkit.testbed import World, WorldConfig, build_tokenizer
from pivotkit.testbed.planted import plant

MADE = ["random", "language-matched", "length-matched", "parallel", "anti-pivot", "pivot-shuffled"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    world = World(WorldConfig(concepts=40, held_out=20, background=30, documents=3000, blocks=10))
    world.write(folder / "world")
    plant(world).save_pretrained(folder / "model")
    build_tokenizer(world.vocabulary).save_pretrained(folder / "model")
    settings = ControlsSettings(
        model=str(folder / "model"), lexicon=str(folder / "world" / "lexicon.tsv"), pairs=["a-b", "b-a"],
        corpus=[str(folder / "world" / "corpus.jsonl.zst")], prompt="testbed", shots=4, latent=["p"], workers=1,
        pivot_rule="paper", min_pivot_score=0.3, quotas={"a": 0.5, "b": 0.5}, budget_tokens=4000, controls=MADE,
    )  # fmt: skip
    with RunFolder(folder / "run") as opened:
        opened.configure(settings.given())
        for stage in [*STAGES.making("documents.parquet"), STAGES["select"], CONTROLS]:
            EVERY.run(stage, opened, settings)
    return folder / "run", settings


def test_every_name_is_an_option():
    assert tuple(rules.CONTROLS) == NAMES


def test_controls_lie_side_by_side_with_their_table(run):
    folder, _ = run
    table = {row["arm"]: row for row in read_table(folder / "controls" / "arms.parquet").to_pylist()}
    assert list(table) == ["selection", *MADE]
    for name in MADE:
        manifest = read_json(folder / "controls" / name / "manifest.json")
        assert manifest["control"] == name if name != "pivot-shuffled" else manifest["tokens"] == table[name]["tokens"]
        assert read_table(folder / "controls" / name / "provenance.parquet").num_rows == table[name]["documents"]
        assert abs(table[name]["tokens"] - table["selection"]["tokens"]) < 400
    assert (
        table["anti-pivot"]["pivot_share"]
        < table["language-matched"]["pivot_share"]
        < table["selection"]["pivot_share"]
    )
    assert dict(table["pivot-shuffled"]["overlap_tokens"])["selection"] == 1
    assert table["parallel"]["parallel"] == 1


def test_shuffled_pivots_lie_there_as_ids(run):
    folder, _ = run
    manifest = read_json(folder / "controls" / "pivot-shuffled" / "manifest.json")
    parts = sorted((folder / "controls" / "pivot-shuffled").glob("part-*.npy"))
    ids = np.concatenate([np.fromfile(part, manifest["dtype"]) for part in parts])
    store = TokenStore.open(folder / "tokens")
    known, offsets = store.ids(store.units[0]), store.offsets(store.units[0])
    rows = read_table(folder / "controls" / "pivot-shuffled" / "provenance.parquet")
    hubs = set(read_table(folder / "hubs.parquet")["token_id"].to_pylist())
    for row in rows.slice(0, 50).to_pylist():
        before = known[offsets[row["row"]] : offsets[row["row"] + 1]].tolist()
        after = ids[row["first"] : row["first"] + len(before)].tolist()
        assert [one != other for one, other in zip(before, after, strict=True)] == [one in hubs for one in before]


def test_the_report_shows_the_table(run):
    folder, _ = run
    page = write_report(folder, folder / "page.html").read_text("utf-8")
    assert "<h2>Controls</h2>" in page
    assert page.count("length-matched") >= 3


def test_the_same_call_has_nothing_to_do_and_an_impossible_control_is_refused(run):
    folder, settings = run
    with RunFolder(folder) as opened:
        assert not EVERY.run(CONTROLS, opened, settings)
        asked = ControlsSettings(**{**settings.__dict__, "controls": ["random", "bilingual"]})
        with pytest.raises(ValueError, match=r"bilingual lacks \d+ of \d+ tokens"):
            EVERY.run(CONTROLS, opened, asked)
        assert not EVERY.run(CONTROLS, opened, settings)  # what was made is still there
