"""The stage `select`: its formats, and what it says without writing."""

from __future__ import annotations

import orjson

from pivotkit.artifacts import read_json, read_table
from pivotkit.cli import main
from pivotkit.corpus import TokenFiles


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


def test_documents_are_written_as_ids_with_the_models_tokenizer(copied):
    rows = read_table(copied / "selection" / "provenance.parquet")
    assert main(["select", str(copied), "--selection-format", "datatrove"]) == 0
    manifest = read_json(copied / "selection" / "manifest.json")
    files = TokenFiles(copied / "selection", manifest["vocab_size"], format="datatrove", dtype=manifest["dtype"])
    lengths = [len(ids) for unit in files.work_units() for ids in files.documents(unit)]
    added = manifest["selected"]["eos_added"]
    assert sum(lengths) - added == sum(rows["tokens"].to_pylist())
    assert manifest["tokenizer"]
