"""The study's one command, on made data: what it reads, what it writes, and that it goes on where it was left."""

from __future__ import annotations

import importlib
from pathlib import Path

import orjson
import pytest
import torch
import zstandard
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from pivotkit.artifacts import read_json, read_table
from pivotkit.words.lexicon import read_lexicon

STUDY = Path(__file__).resolve().parents[2] / "benchmarks" / "study"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    return importlib.import_module("study")


@pytest.fixture
def inputs(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    return importlib.import_module("inputs")


def write(path, documents):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zstandard.compress(b"".join(orjson.dumps(document) + b"\n" for document in documents)))


def test_clean_rows_are_of_the_tier_with_words_of_their_own(inputs, tmp_path):
    lines = ["en\tfr\tpos\ttier", "dog\tchien|chiot|toutou\tnoun\tA", "run\tcourir\tverb\tC", "hound\tchien\tnoun\tA",
             "cat\t\tnoun\tA", "run\tfuir\tnoun\tA"]  # fmt: skip
    (tmp_path / "all.tsv").write_text("\n".join(lines) + "\n")
    assert inputs.clean_rows(tmp_path / "all.tsv", "A", 2, tmp_path / "clean.tsv") == 3
    kept = read_lexicon(tmp_path / "clean.tsv")
    assert [kept.concept(row) for row in range(3)] == ["dog", "cat", "run"]
    assert kept.accepted(0, "fr") == ("chien", "chiot")


def test_a_share_of_the_corpus_is_of_the_same_documents_whatever_the_order(inputs, tmp_path):
    documents = [{"id": str(n), "text": f"text {n}"} for n in range(400)]
    chosen = []
    for name, order in (("a", documents), ("b", documents[::-1])):
        write(tmp_path / name / "x.jsonl.zst", order)
        (copy,) = inputs.sampled([tmp_path / name / "x.jsonl.zst"], 0.25, tmp_path)
        chosen.append(sorted(zstandard.decompress(copy.read_bytes()).splitlines()))
    assert chosen[0] == chosen[1]
    assert 60 < len(chosen[0]) < 140
    whole = tmp_path / "a" / "x.jsonl.zst"
    assert inputs.sampled([whole], 1, tmp_path) == [whole]


def test_one_command_makes_the_run_and_goes_on_with_it(study, lexicon, tokenizer, tmp_path, monkeypatch, capsys):
    torch.manual_seed(1)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "head_dim": 8,
    }
    config = Gemma3TextConfig(vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=1024, **sizes)
    Gemma3ForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    data, rows = tmp_path / "data", [[row[code] for code in ("en", "fr", "zh")] for row in lexicon.rows]
    lines = ["en\tfr\tzh\tpos\ttier", *("\t".join([*row, "noun", "A"]) for row in rows)]
    (data / "lexicon").mkdir(parents=True)
    (data / "lexicon" / "words_2000.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for place, code in enumerate(("en", "fr", "zh")):
        own = [{"id": f"{code}{n}", "text": f"{row[place]} {n}", "lang": code} for n, row in enumerate(rows * 3)]
        write(data / "corpus" / f"{code}.jsonl.zst", own)
    both = [{"id": f"b{n}", "text": f"{row[0]}\n{row[1]}", "langs": ["en", "fr"]} for n, row in enumerate(rows)]
    write(data / "bilingual" / "en-fr.jsonl.zst", both)
    run = tmp_path / "run"
    given = ["--data", str(data), "--out", str(run), "--model", str(tmp_path / "model"), "--limit", "12",
             "--pairs", "en-fr,fr-zh", "--lens-tokens", "200", "--pivot-rule", "paper"]  # fmt: skip
    assert study.study(study.options().parse_args(given)) == 0
    items = read_table(run / "items.parquet").to_pylist()
    concepts = [[item["concept"] for item in items if item["pair"] == pair] for pair in ("en-fr", "fr-zh")]
    assert concepts[0] == concepts[1]
    assert len(concepts[0]) == 12
    counted = {
        (row["source"], row["target"]): row["df_both"] for row in read_table(run / "counts/pairs.parquet").to_pylist()
    }
    assert {counted[item["source"], item["target"]] for item in items if item["pair"] == "en-fr"} == {1}
    table = (run / "table.md").read_text()
    assert table in capsys.readouterr().out
    for sentence in read_json(run / "attribution.json")["finding"]:
        assert sentence["text"] in table
    assert "| trace-fitted |" in table
    assert (run / "report.html").exists()
    before = {path: path.stat().st_mtime_ns for path in run.glob("*.parquet")}
    assert study.study(study.options().parse_args(given)) == 0
    assert {path: path.stat().st_mtime_ns for path in run.glob("*.parquet")} == before


@pytest.mark.parametrize("code", [130, 143])
def test_a_study_that_is_stopped_in_its_causal_test_does_not_go_on(study, tmp_path, monkeypatch, capsys, code):
    asked = []
    monkeypatch.setattr(study, "pivotkit", lambda command: asked.append(command[0]) or code * (command[0] == "causal"))
    (tmp_path / "lexicon").mkdir()
    (tmp_path / "lexicon" / "words_2000.tsv").write_text("en\tfr\tpos\ttier\ndog\tchien\tnoun\tA\n")
    for code_of in ("en", "fr"):
        write(tmp_path / "corpus" / f"{code_of}.jsonl.zst", [{"id": "0", "text": "dog", "lang": code_of}])
    write(tmp_path / "bilingual" / "en-fr.jsonl.zst", [{"id": "0", "text": "dog chien", "langs": ["en", "fr"]}])
    given = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--pairs", "en-fr", "--lens-tokens", "0"]
    assert study.study(study.options().parse_args(given)) == code
    assert asked == ["run", "causal"]
    assert not (tmp_path / "run" / "table.md").exists()
