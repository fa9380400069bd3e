"""Stratified pivots of a run, from text to `pivots.parquet`: words in their languages, and what a corpus must have."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Metaspace
from transformers import PreTrainedTokenizerFast

import pivotkit as pk
from pivotkit.artifacts import read_json, read_table, table_metadata
from pivotkit.cli import main
from pivotkit.corpus.tables.counts import Counts

CONCEPTS = 6
START = {"en": "kel", "fr": "mor", "de": "zut"}  # no word is a form of another
WORDS = {code: [f"{start}{letter * 3}" for letter in "abcdef"] for code, start in START.items()}
COMMON = {"en": "the", "fr": "les", "de": "und"}  # in every document of its language
NOISE = [f"noise{letter}" for letter in "abcdefgh"]


def documents(languages=("en", "fr", "de"), each=240) -> list[dict[str, str]]:
    """Documents of a language are about a concept; half of those in French and German have its English word, too."""
    draw, made = random.Random(0), []
    for number in range(each):
        for code in languages:
            concept = number % CONCEPTS
            english = [WORDS["en"][concept]] if number // CONCEPTS % 2 else []
            words = [COMMON[code], WORDS[code][concept], *english, *draw.sample(NOISE, 3)]
            made.append({"text": " ".join(words), "lang": code})
    for number in range(0, len(made), 6):  # untranslated bits, so that function words are company of every language
        made[number]["text"] += " " + " ".join(COMMON.values())
    return made


def write(path: Path, made: list[dict[str, str]]) -> str:
    path.write_text("\n".join(map(json.dumps, made)))
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a tokenizer of whole words, a lexicon, a corpus, and a run of them up to its tokens."""
    folder = tmp_path_factory.mktemp("place")
    names = ["<s>", "<unk>", *(f"▁{word}" for some in (*WORDS.values(), COMMON.values(), NOISE) for word in some)]
    core = Tokenizer(WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
    core.pre_tokenizer, core.decoder = Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="<s>", unk_token="<unk>")
    tokenizer.save_pretrained(folder / "model")
    (folder / "model" / "config.json").write_text('{"model_type": "gpt2"}')
    rows = ["\t".join(WORDS), *("\t".join(row) for row in zip(*WORDS.values(), strict=True))]
    (folder / "words.tsv").write_text("\n".join(rows))
    corpus = write(folder / "corpus.jsonl", documents())
    task = ["--lexicon", str(folder / "words.tsv"), "--pairs", "fr-de", "--shots", "2", "--distractors", "2"]
    assert main(["task", str(folder / "run"), *task]) == 0
    assert main(["tokens", str(folder / "run"), "--model", str(folder / "model"), "--corpus", corpus]) == 0
    return folder


@pytest.fixture
def run(place, tmp_path) -> str:
    return str(shutil.copytree(place / "run", tmp_path / "run"))


def refusal(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    return capsys.readouterr().err.splitlines()[-1]


def best(run: str) -> dict[str, str]:
    """The best pivot of each source."""
    rows = read_table(Path(run) / "pivots.parquet").to_pylist()
    return {row["source"]: row["token"].strip() for row in rows if row["rank"] == 1}


@pytest.mark.parametrize("tokens", [False, True], ids=["text", "tokens"])
def test_the_english_word_is_the_best_pivot_by_default(tokens, run):
    given = ["--tokens", f"{run}/tokens", "--format", "store"] if tokens else []
    assert main(["count", run, "--workers", "1", *given]) == 0
    assert main(["pivots", run]) == 0
    assert best(run) == dict(zip(WORDS["fr"], WORDS["en"], strict=True))
    told = table_metadata(read_table(Path(run) / "pivots.parquet"))
    assert (told["rule"], told["candidates"], told["min_word_df"]) == ("stratified", "words", 20)
    assert told["languages_of_documents"] == ["de", "en", "fr"]


def test_words_are_counted_in_their_languages_and_pairs_in_all_documents(run):
    assert main(["count", run, "--workers", "1"]) == 0
    counts = Counts.load(f"{run}/counts")
    for code in ("fr", "de"):
        assert counts.df[counts.index(WORDS[code][0], code)] == 40
    assert counts.languages[counts.index(WORDS["fr"][0])] is None
    assert {counts.languages[row] for row in counts.pairs.ravel().tolist()} == {None}


def test_the_papers_rule_needs_neither_languages_nor_strata(run):
    assert main(["count", run, "--workers", "1", "--pivot-rule", "paper"]) == 0
    counts = Counts.load(f"{run}/counts")
    assert (counts.languages, counts.strata) == (None, None)
    assert main(["pivots", run]) == 0  # the run keeps its rule
    assert table_metadata(read_table(Path(run) / "pivots.parquet"))["rule"] == "paper"


def test_the_papers_rule_on_counts_by_strata_reads_the_words_of_all_documents(run, tmp_path):
    plain = shutil.copytree(run, tmp_path / "plain")
    assert main(["count", str(plain), "--workers", "1", "--pivot-rule", "paper"]) == 0
    assert main(["count", run, "--workers", "1"]) == 0
    for folder in (str(plain), run):
        assert main(["pivots", folder, "--pivot-rule", "paper"]) == 0
    assert read_table(Path(run) / "pivots.parquet").equals(read_table(plain / "pivots.parquet"))


def test_another_rule_of_one_background_counts_nothing_again(run):
    assert main(["count", run, "--workers", "1", "--pivot-rule", "paper"]) == 0
    made = Path(run) / "counts" / "counts.json"
    before = made.stat().st_mtime_ns
    assert main(["count", run, "--workers", "1", "--pivot-rule", "npmi"]) == 0
    assert made.stat().st_mtime_ns == before
    assert main(["count", run, "--workers", "1", "--pivot-rule", "stratified"]) == 0
    assert made.stat().st_mtime_ns != before


def test_strata_without_languages_do_for_documents_of_unknown_languages(run, place, capsys):
    bare = write(place / "bare.jsonl", [{"text": document["text"]} for document in documents()])
    assert main(["tokens", run, "--corpus", bare]) == 0
    line = refusal(capsys, "count", run, "--workers", "1")
    assert "count: documents must have languages for strata by language" in line
    assert "run `pivotkit languages` and give its folder as --languages, or choose --strata length or" in line
    assert "--pivot-rule paper" in line
    assert main(["count", run, "--workers", "1", "--strata", "length"]) == 0
    assert main(["pivots", run]) == 0
    assert read_json(Path(run) / "run.json")["config"]["strata"] == "length"


def test_a_table_of_languages_serves_documents_without(run, place, tmp_path):
    bare = write(place / "told.jsonl", [{"text": document["text"]} for document in documents()])
    language = {common: code for code, common in COMMON.items()}
    pk.document_languages(bare, languages=lambda text: language[text.split()[0]], out=tmp_path / "table", workers=1)
    assert main(["tokens", run, "--corpus", bare]) == 0
    assert main(["count", run, "--workers", "1", "--languages", str(tmp_path / "table")]) == 0
    assert main(["pivots", run]) == 0
    assert best(run) == dict(zip(WORDS["fr"], WORDS["en"], strict=True))


def test_documents_are_not_scored_without_pivots(run, capsys):
    assert main(["count", run, "--workers", "1"]) == 0
    assert main(["pivots", run, "--min-word-df", "41"]) == 0
    assert (
        "pivots: 6 of 6 items have none: a word is in too few documents (--min-word-df 41)" in capsys.readouterr().err
    )
    line = refusal(capsys, "score-documents", run)
    assert "score-documents: hubs.parquet must hold a pivot; got none: `pivotkit pivots` says why" in line


def test_token_files_have_no_languages_and_say_what_to_do(run, place, capsys):
    import numpy as np

    np.arange(2, 12, dtype=np.uint16).tofile(place / "part.npy")
    line = refusal(capsys, "count", run, "--tokens", str(place / "part.npy"), "--vocab-size", "50", "--eos", "0")
    assert "token files, which have none without a table of them" in line
    assert "choose --strata length or --pivot-rule paper" in line


def test_instances_hold_several_documents_and_are_refused(run, capsys):
    tokens = ["--tokens", f"{run}/tokens", "--format", "store", "--scope", "instance:16"]
    line = refusal(capsys, "count", run, "--workers", "1", *tokens)
    assert "count: --scope must not be of instances for stratified pivots" in line
    assert "choose --strata length or --pivot-rule paper" in line


def test_a_corpus_in_one_language_is_refused_by_name(run, place, capsys):
    one = write(place / "one.jsonl", documents(["fr"]))
    assert main(["tokens", run, "--corpus", one]) == 0
    assert main(["count", run, "--workers", "1"]) == 0
    line = refusal(capsys, "pivots", run)
    assert "must have documents in both languages of a pair; got documents in fr alone, none in de" in line


def test_too_few_documents_for_a_stratum_are_refused_with_what_to_do(run, place, capsys):
    few = write(place / "few.jsonl", documents(each=100))
    assert main(["tokens", run, "--corpus", few]) == 0
    assert main(["count", run, "--workers", "1"]) == 0
    line = refusal(capsys, "pivots", run)
    assert "must have 150 documents of one set of languages or more" in line
    assert "got 300 in all" in line
    assert "--pivot-rule paper" in line


def test_counts_without_strata_are_refused_with_what_to_do(run, capsys):
    assert main(["count", run, "--workers", "1", "--pivot-rule", "paper"]) == 0
    line = refusal(capsys, "pivots", run, "--pivot-rule", "stratified")
    assert "must have strata for the rule stratified" in line
    assert "pivotkit count --strata both" in line


def test_what_the_pivots_do_not_cover_is_said(run, place, capsys):
    rare = [{**document, "lang": "fr"} for document in documents(["fr"])]
    lines = [*rare, *(document for document in documents(["de"]) if WORDS["de"][0] not in document["text"])]
    lines += [{"text": f"{COMMON['de']} {WORDS['de'][1]}", "lang": "de"}]
    lines = [line for place, line in enumerate(lines) if WORDS["fr"][2] not in line["text"] or place < 60]
    assert main(["tokens", run, "--corpus", write(place / "rare.jsonl", lines)]) == 0
    assert main(["count", run, "--workers", "1"]) == 0
    capsys.readouterr()
    assert main(["pivots", run]) == 0
    said = capsys.readouterr().err
    assert "pivots: 1 of 6 items have none: a word never occurs" in said
    assert "pivots: 1 of 6 items have none: a word is in too few documents (--min-word-df 20)" in said
    assert "pivots are kept as hubs; a smaller --hubs keeps those of many words" in said
    assert main(["pivots", run, "--min-word-df", "1"]) == 0
    assert "too few" not in capsys.readouterr().err
