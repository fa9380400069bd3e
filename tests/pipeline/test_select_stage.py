"""The stage `select`: its formats, and what it says without writing."""

from __future__ import annotations

import orjson

from pivotkit.artifacts import read_json, read_table
from pivotkit.cli import main
from pivotkit.corpus import TokenFiles
from pivotkit.corpus.reading.documents import read_documents
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.lens.model.loading import load_tokenizer
from pivotkit.pipeline.corpus_stages import ID_FORMATS
from pivotkit.selection.writing.formats import TOKEN_FORMATS


def test_a_dry_run_tells_what_would_be_taken_and_writes_nothing(copied, capsys):
    before = {path: path.stat().st_mtime_ns for path in (copied / "selection").rglob("*")}
    record = read_json(copied / "run.json")
    capsys.readouterr()
    assert main(["select", str(copied), "--dry-run", "--json"]) == 0
    told = orjson.loads(capsys.readouterr().out)
    rows = read_table(copied / "selection" / "provenance.parquet").to_pylist()
    assert told["documents"] == len(rows)
    assert told["tokens"] == sum(row["tokens"] for row in rows)
    for lang, here in told["languages"].items():
        assert here["tokens"] == sum(row["tokens"] for row in rows if row["lang"] == lang)
    assert sum(here["documents"] for here in told["files"].values()) == len(rows)
    assert told["quotas"]
    assert told["bytes"] > 0
    assert {path: path.stat().st_mtime_ns for path in (copied / "selection").rglob("*")} == before
    assert read_json(copied / "run.json") == record
    assert main(["select", str(copied), "--dry-run"]) == 0
    assert f"documents: {len(rows):,}" in capsys.readouterr().out


def test_scores_are_read_a_batch_at_a_time_while_the_corpus_lies_where_it_did(copied, monkeypatch):
    def whole(run, settings):
        raise AssertionError("documents.parquet was read into memory")

    monkeypatch.setattr("pivotkit.pipeline.corpus_stages.scored_documents", whole)
    assert main(["select", str(copied), "--seed", "1", "--rule", "random"]) == 0
    documents = read_table(copied / "documents.parquet")
    manifest = read_json(copied / "selection" / "manifest.json")
    assert manifest["budget_tokens"] == sum(documents["tokens"].to_pylist()) // 10
    assert manifest["shares"] == {"a": 0.5, "b": 0.5}


def test_an_exact_budget_cuts_texts_with_the_models_tokenizer(copied, given):
    assert main(["select", str(copied), "--exact", "--budget-tokens", "40", "--quotas", "a=0.5,b=0.5"]) == 0
    rows = read_table(copied / "selection" / "provenance.parquet").to_pylist()
    assert {lang: sum(row["take"] for row in rows if row["lang"] == lang) for lang in "ab"} == {"a": 20, "b": 20}
    assert any(row["cut"] for row in rows)
    store = TokenStore.open(copied / "tokens")
    known, offsets = store.ids(store.units[0]), store.offsets(store.units[0])
    tokenizer = load_tokenizer(str(given / "model"))
    batch = next(read_documents(copied / "selection" / "part-00000.jsonl.zst"))
    for row, text in zip(rows, batch.texts, strict=True):
        first = int(offsets[row["row"]])
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == known[first : first + row["take"]].tolist()


def test_documents_are_written_as_ids_with_the_models_tokenizer(copied):
    rows = read_table(copied / "selection" / "provenance.parquet")
    assert main(["select", str(copied), "--selection-format", "datatrove"]) == 0
    manifest = read_json(copied / "selection" / "manifest.json")
    files = TokenFiles(copied / "selection", manifest["vocab_size"], format="datatrove", dtype=manifest["dtype"])
    lengths = [len(ids) for unit in files.work_units() for ids in files.documents(unit)]
    added = manifest["selected"]["eos_added"]
    assert sum(lengths) - added == sum(rows["tokens"].to_pylist())
    assert manifest["tokenizer"]


class TestBehavior:
    def test_each_items_behavior_decides_what_it_is_given(self, copied, capsys):
        assert main(["score-documents", str(copied), "--rule", "behavior"]) == 0
        assert main(["select", str(copied), "--budget-tokens", "400", "--exact"]) == 0  # the run keeps the rule
        manifest = read_json(copied / "selection" / "manifest.json")
        shown = read_table(copied / "behaviors.parquet").to_pylist()
        strict = [row["behavior"] for row in shown if row["rule"] == "strict"]
        counts = {name: strict.count(name) for name in ("pivot", "co-occurrence", "excluded")}
        counts["unsolved"] = len(strict) - sum(counts.values())
        assert manifest["behaviors"] == counts
        assert counts["pivot"]
        assert counts["co-occurrence"]
        parts = manifest["parts"]
        share = (counts["pivot"] + counts["unsolved"] / 2) / (len(strict) - counts["excluded"])
        for quota in ("a", "b"):
            assert parts["behavior_pivots"]["quotas"][quota]["budget"] == round(share * 200)
        rows = read_table(copied / "selection" / "provenance.parquet").to_pylist()
        assert sum(row["take"] for row in rows) == sum(part["tokens"] for part in parts.values())
        assert all(row["behavior_pivots"] or row["behavior_pairs"] for row in rows)
        capsys.readouterr()
        assert main(["select", str(copied), "--dry-run", "--json"]) == 0
        assert orjson.loads(capsys.readouterr().out)["documents"] == len(rows)

    def test_a_run_by_behavior_does_all_of_it(self, copied, arguments, capsys):
        assert main(["run", *arguments, "--rule", "behavior", "--out", str(copied)]) == 0
        told = capsys.readouterr().err
        assert "behaviors: nothing to do" in told
        assert "score-documents: nothing to do" not in told
        assert set(read_json(copied / "selection" / "manifest.json")["parts"]) == {"behavior_pivots", "behavior_pairs"}

    def test_without_behaviors_the_command_that_makes_them_is_named(self, copied, capsys):
        assert main(["select", str(copied), "--rule", "behavior"]) == 2
        assert (
            "documents.parquet must be scored for --rule behavior; run `pivotkit score-documents RUN"
            in capsys.readouterr().err
        )
        (copied / "behaviors.parquet").unlink()
        for stage in ("score-documents", "select"):
            assert main([stage, str(copied), "--rule", "behavior"]) == 2
            assert "must hold behaviors.parquet; run `pivotkit behaviors` first" in capsys.readouterr().err

    def test_behaviors_are_an_input_of_their_rule_alone(self, copied, capsys):
        record = read_json(copied / "run.json")["stages"]
        assert not [name for name in ("score-documents", "select") if "behaviors.parquet" in record[name]["made_of"]]
        for rule in ("share", "parallel"):
            assert main(["score-documents", str(copied), "--rule", rule]) == 0
            assert "score-documents: nothing to do" in capsys.readouterr().err
        assert main(["score-documents", str(copied), "--rule", "behavior"]) == 0
        assert main(["behaviors", str(copied), "--min-probability", "0.9"]) == 0
        capsys.readouterr()
        assert main(["select", str(copied), "--rule", "behavior"]) == 2
        assert "must be made of behaviors.parquet as it is now" in capsys.readouterr().err


def test_the_stages_know_every_format_of_ids():
    assert set(ID_FORMATS) == set(TOKEN_FORMATS)
