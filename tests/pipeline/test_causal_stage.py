"""The stage of the causal test: which tokens and layers are tested, what is written, what is refused."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pivotkit.artifacts import read_json, read_table, table_metadata
from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.effects import causal_effects
from pivotkit.cli import main
from pivotkit.lens.model.loading import load_model
from pivotkit.lens.specific_tokens import SPECIFIC_TOKENS, specific_tokens
from pivotkit.pipeline.causal_stage import LEAST_ITEMS, chosen_tokens, layers_of_pivots


def specific(rows):
    """Rows (item, layer, token, class) as specific tokens, of falling probability."""
    names = ("item", "layer", "token_id", "class")
    plain = {"pair": "a-b", "token": "x", "logprob": -1.0, "contrast": 9.0, "language": None}
    return pa.Table.from_pylist([plain | dict(zip(names, row, strict=True)) for row in rows], schema=SPECIFIC_TOKENS)


def test_the_most_probable_token_of_each_item_layer_and_class_is_tested():
    found = chosen_tokens(
        specific([(0, 5, 7, "pivot"), (0, 5, 8, "pivot"), (0, 5, 9, "copy"), (0, 6, 8, "pivot"), (1, 5, 4, "piece"),
                  (1, 5, 3, "direct"), (1, 5, 2, "direct")])
    )  # fmt: skip
    rows = [tuple(row.values()) for row in found.to_pylist()]
    assert rows == [(0, 5, 7, "pivot"), (0, 5, 9, "copy"), (0, 6, 8, "pivot"), (1, 5, 3, "direct")]


def pivots(counts):
    return chosen_tokens(specific([(item, layer, 7, "pivot") for layer, n in counts.items() for item in range(n)]))


def test_the_four_layers_with_most_pivots_are_tested_below_the_last():
    counts = {2: 10, 3: 11, 4: 12, 5: 12, 6: 30, 7: 12, 8: 40}
    assert layers_of_pivots(pivots(counts), last=8) == [4, 5, 6, 7]
    assert layers_of_pivots(pivots(counts), last=9) == [4, 5, 6, 8]  # of equal ones the lower
    assert layers_of_pivots(pivots({2: LEAST_ITEMS, 3: LEAST_ITEMS - 1}), last=9) == [2]


@pytest.mark.parametrize(("counts", "most"), [({}, "none"), ({3: 9, 2: 9, 5: 20}, "9, in layer 2")])
def test_too_few_pivots_ask_for_layers(counts, most):
    with pytest.raises(
        ValueError, match=f"causal: --layers must be given where no layer .* 10 items; got at most {most}"
    ):
        layers_of_pivots(pivots(counts), last=5)


@pytest.fixture(scope="module")
def tested(made_once, finished, arguments):
    def make(folder):
        shutil.copytree(finished, folder / "run")
        assert main(["causal", str(folder / "run")]) == 0
        assert main(["report", str(folder / "run")]) == 0

    return made_once("caused", make) / "run"


def test_the_stage_tests_every_pivot_that_the_layers_show(tested):
    causes = read_table(tested / "causal.parquet")
    own = causes.filter(pc.and_(pc.equal(causes["intervention"], "ablate"), pc.equal(causes["control"], "own")))
    assert set(own["class"].to_pylist()) >= {"pivot"}
    assert {"orthogonal", "orthogonal-equal", "other", "target", "source"} <= set(causes["control"].to_pylist())
    assert set(causes["intervention"].to_pylist()) == {"ablate", "swap"}
    assert table_metadata(causes)["left_out"] is not None
    layers = sorted(set(causes["layer"].to_pylist()))
    assert 1 <= len(layers) <= 4
    effects = read_table(tested / "causal_effects.parquet")
    assert sorted(set(effects["layer"].to_pylist())) == layers


def test_the_stage_is_the_functions_on_the_runs_artifacts(tested, given):
    items, traces = (read_table(tested / name) for name in ("items.parquet", "traces"))
    tokens = chosen_tokens(specific_tokens(traces, items))
    layers = layers_of_pivots(tokens, last=max(traces["layer"].to_pylist()))
    model, tokenizer = load_model(str(given / "model"))
    plain = causal_test(model, items, tokenizer, tokens, layers=layers, interventions=["ablate", "swap"])
    found = read_table(tested / "causal.parquet")
    keys = ("item", "layer", "class", "intervention", "control", "mean", "token_id")
    assert [found[name].to_pylist() for name in keys] == [plain[name].to_pylist() for name in keys]
    ours, theirs = (table["delta_logprob"].to_numpy() for table in (found, plain))
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert causal_effects(found).num_rows == read_table(tested / "causal_effects.parquet").num_rows


def test_the_page_shows_the_causes(tested):
    page = (tested / "report.html").read_text(encoding="utf-8")
    assert "removing the part of the pivot that is neither" in page
    assert "Swaps" in page
    assert "causal" in read_json(tested / "run.json")["stages"]


def test_a_run_does_not_test_causes(finished):
    assert not (finished / "causal.parquet").exists()
    assert "pivotkit causal" in (finished / "report.html").read_text(encoding="utf-8")


def test_layers_that_are_given_are_tested_and_kept(tested, tmp_path):
    run = shutil.copytree(tested, tmp_path / "run")
    layers = sorted(set(read_table(run / "causal.parquet")["layer"].to_pylist()))[:1]
    assert main(["causal", str(run), "--layers", str(layers[0]), "--interventions", "ablate"]) == 0
    found = read_table(run / "causal.parquet")
    assert set(found["layer"].to_pylist()) == set(layers)
    assert set(found["intervention"].to_pylist()) == {"ablate"}
    assert read_json(run / "run.json")["config"]["layers"] == layers


def test_the_tokens_of_the_strict_rule_are_tested_and_compared(copied, capsys):
    """The thresholds that the behaviors were told by are those of the tokens in the agreement and the causal test."""
    assert sum(read_table(copied / "agreement.parquet")["tokens"].to_pylist())
    assert main(["agreement", str(copied), "--least-contrast", "50"]) == 0
    assert table_metadata(read_table(copied / "agreement.parquet"))["least_contrast"] == 50
    assert set(read_table(copied / "agreement.parquet")["tokens"].to_pylist()) == {0}
    assert main(["causal", str(copied)]) == 2  # what the run keeps of the settings counts
    assert "has a pivot for 10 items; got at most none" in capsys.readouterr().err


def test_a_direction_of_the_lens_needs_a_lens(copied, capsys):
    assert main(["causal", str(copied), "--directions", "lens"]) == 2
    assert "causal: --tuned-lens must be given where --directions names lens; got none" in capsys.readouterr().err
    assert not (copied / "causal.parquet").exists()


def test_causes_of_other_traces_are_neither_told_of_nor_shown(tested, tmp_path, capsys):
    run = shutil.copytree(tested, tmp_path / "run")
    assert main(["trace", str(run), "--k", "3"]) == 0
    assert main(["behaviors", str(run)]) == 0
    assert main(["agreement", str(run)]) == 0
    assert main(["attribution", str(run)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "causal.parquet: must be made of traces as it is now" in line
    assert "run `pivotkit causal` again" in line
    assert main(["report", str(run)]) == 2
    assert capsys.readouterr().err.endswith("run `pivotkit causal`, `pivotkit attribution` again\n")


def test_the_finding_tells_of_the_causes(tested, tmp_path):
    run = shutil.copytree(tested, tmp_path / "run")
    untested = "What a pivot does to the answer was not tested in this run."
    assert untested in {sentence["text"] for sentence in read_json(run / "attribution.json")["finding"]}
    assert main(["attribution", str(run)]) == 0
    told = [sentence["text"] for sentence in read_json(run / "attribution.json")["finding"]]
    assert untested not in told
    assert any(
        "That a pivot does something to the answer which is neither source's nor target's" in text for text in told
    )


def test_a_run_shows_the_causes_and_refuses_those_of_other_traces(tested, arguments, tmp_path, capsys):
    run = shutil.copytree(tested, tmp_path / "run")
    (run / "report.html").unlink()
    assert main(["run", *arguments, "--out", str(run)]) == 0
    assert "removing the part of the pivot that is neither" in (run / "report.html").read_text(encoding="utf-8")
    assert main(["report", str(run)]) == 0
    assert "report: nothing to do" in capsys.readouterr().err
    assert main(["run", *arguments, "--k", "3", "--out", str(run)]) == 2
    assert "run `pivotkit causal` again" in capsys.readouterr().err.splitlines()[-1]


def test_an_empty_list_of_layers_is_refused(copied, capsys):
    assert main(["causal", str(copied), "--layers", ","]) == 2
    assert capsys.readouterr().err.endswith("causal: --layers must be at least one; got none\n")


def test_without_contrasts_the_reason_is_said(arguments, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["task", str(run), *arguments[2:6], "--prompt", "testbed", "--shots", "2", "--limit", "5"]) == 0
    assert main(["trace", str(run), *arguments[:2]]) == 0
    assert main(["causal", str(run), "--layers", "3"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "causal: traces must have contrasts for the tokens that it tests; got none" in line
    assert "a-b: 5 items; a contrast needs at least 10" in line
