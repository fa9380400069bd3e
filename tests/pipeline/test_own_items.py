"""Runs on items of one's own, and on prompts of one's own wording."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from renamed_world import write_renamed
from transformers import AutoTokenizer

from pivotkit.artifacts import read_json, read_table, table_metadata, write_table
from pivotkit.cli import main
from pivotkit.testbed import World, WorldConfig

CODES = {"a": "fr", "b": "de", "p": "en"}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A planted world whose languages have codes that are known: ``model/``, ``words.tsv`` and ``corpus.jsonl``."""
    folder = tmp_path_factory.mktemp("world")
    world = World(WorldConfig(concepts=12, held_out=6, background=10, documents=400, blocks=10))
    write_renamed(world, CODES, folder)
    return folder


def given(world: Path) -> list[str]:
    return [
        "--model", str(world / "model"), "--corpus", str(world / "corpus.jsonl"), "--workers", "1", "--allow-shortfall",
        "--distractors", "3", "--pivot-rule", "paper",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def plain(world) -> Path:
    """A run on the lexicon."""
    lexicon = ["--lexicon", str(world / "words.tsv"), "--pairs", "fr-de,de-fr", "--prompt", "testbed"]
    assert main(["run", *given(world), *lexicon, "--contexts", "1", "--shots", "2", "--out", str(world / "plain")]) == 0
    return world / "plain"


def own_table(items: pa.Table) -> pa.Table:
    """The same items as a user has them."""
    words = [dict(row).get("en") for row in items["words"].to_pylist()]
    kept = items.select(["prompt", "source", "target", "pair", "concept", "distractors"])
    return kept.replace_schema_metadata(None).append_column("en", pa.array(words))


def rows_of(table: pa.Table) -> list[dict]:
    """The rows; the order of a map's languages says nothing."""
    assert table.num_rows > 0
    return [
        {name: dict(value) if name == "words" and isinstance(value, list) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]


@pytest.fixture(scope="module")
def own(world, plain) -> Path:
    """The same run on the items as a user has them."""
    write_table(own_table(read_table(plain / "items.parquet")), world / "own.parquet")
    assert main(["run", *given(world), "--items", str(world / "own.parquet"), "--out", str(world / "own")]) == 0
    return world / "own"


def test_a_run_on_a_table_of_ones_own_is_the_run_on_the_lexicon_it_came_from(world, plain, own):
    for name in ("scores", "pivots", "behaviors", "hubs", "documents"):
        one, other = (read_table(folder / f"{name}.parquet") for folder in (plain, own))
        assert rows_of(one) == rows_of(other), name
    assert rows_of(read_table(plain / "traces")) == rows_of(read_table(own / "traces"))
    first, second = (read_json(folder / "attribution.json") for folder in (plain, own))
    assert first == second
    assert (own / "report.html").exists()
    settings = read_json(own / "run.json")["config"]
    assert settings["items"] == str(world / "own.parquet")
    assert "lexicon" not in settings


def test_a_causal_test_reads_a_table_of_ones_own(plain, own):
    for run in (plain, own):
        assert main(["causal", str(run), "--interventions", "ablate"]) == 0
    one, other = (read_table(run / "causal.parquet") for run in (plain, own))
    assert rows_of(one) == rows_of(other)


def test_a_table_of_text_says_the_same(world, plain):
    items = own_table(read_table(plain / "items.parquet")).to_pylist()
    lines = ["prompt\tsource\ttarget\tpair\tconcept\tdistractors\ten"]
    for row in items:
        cells = {**row, "prompt": '"' + row["prompt"] + '"', "distractors": "|".join(row["distractors"])}
        lines.append("\t".join(cells[name] for name in lines[0].split("\t")))
    (world / "own.tsv").write_text("\n".join(lines))
    assert main(["task", str(world / "text"), "--items", str(world / "own.tsv"), "--pairs", "de-fr"]) == 0
    found = read_table(world / "text" / "items.parquet")
    wanted = read_table(plain / "items.parquet").to_pylist()
    wanted = [row for row in wanted if row["pair"] == "de-fr"]
    kept = ("item", "pair", "concept", "source", "target", "targets", "distractors", "prompt")
    assert [[row[name] for name in kept] for row in found.to_pylist()] == [
        [row[name] for name in kept] for row in wanted
    ]


def refused(capsys, *words: str) -> str:
    assert main([*words]) == 2
    return capsys.readouterr().err.strip()


def test_what_does_not_go_with_items_is_refused_by_its_flag(world, plain, tmp_path, capsys):
    write_table(own_table(read_table(plain / "items.parquet")), tmp_path / "own.parquet")
    items = ["task", str(tmp_path / "run"), "--items", str(tmp_path / "own.parquet")]
    for words, told in (
        (["--shots", "3"], "--shots must not be given with --items; got 3"),
        (["--limit", "3", "--limit-by", "stratified"], "--limit-by must not be given with --items; got stratified"),
        (["--chat"], "--chat must not be given with --items; got True"),
        (["--template", "{source}{target}"], "--template must not be given with --items; got {source}{target}"),
        (["--pairs", "fr-ja"], "pairs must be among de-fr, fr-de; got 'fr-ja'"),
    ):
        assert refused(capsys, *items, *words).endswith(told)
    with pytest.raises(SystemExit, match="2"):
        main([*items, "--lexicon", str(world / "words.tsv")])
    assert "not allowed with argument --items" in capsys.readouterr().err
    assert "lexicon or --items and pairs must be given" in refused(capsys, "task", str(tmp_path / "other"))


def test_a_limit_of_items_says_where_fewer_concepts_are_shared(plain, tmp_path, capsys):
    table = own_table(read_table(plain / "items.parquet"))
    shared = len(set(table["concept"].to_pylist()))
    task = ["task", str(tmp_path / "run"), "--distractors", "3", "--items", str(tmp_path / "own.parquet"), "--limit"]
    write_table(table, tmp_path / "own.parquet")
    assert main([*task, str(shared + 1)]) == 0
    assert f"{shared} concepts are in all pairs, fewer than the limit of {shared + 1}" in capsys.readouterr().err
    assert main([*task, "2"]) == 0
    assert "fewer than the limit" not in capsys.readouterr().err
    assert read_table(tmp_path / "run" / "items.parquet").num_rows == 4


def test_a_wording_of_ones_own_is_a_flag(world, tmp_path, capsys):
    lexicon = ["--lexicon", str(world / "words.tsv"), "--pairs", "fr-de", "--shots", "1", "--distractors", "2"]
    template = r"Translate.\n{shots}{source} = {target}\n"
    assert main(["task", str(tmp_path / "run"), *lexicon, "--template", template]) == 0
    row = read_table(tmp_path / "run" / "items.parquet").to_pylist()[0]
    assert row["prompt"].startswith("Translate.\n")
    assert row["prompt"].endswith(f"\n{row['source']} =")
    told = refused(capsys, "task", str(tmp_path / "bad"), *lexicon, "--template", "{source} is")
    assert "template must have the field {target} once; got none" in told


def test_a_conversation_is_a_flag_and_needs_the_model(world, tmp_path, capsys):
    lexicon = [
        "--lexicon",
        str(world / "words.tsv"),
        "--pairs",
        "fr-de",
        "--shots",
        "1",
        "--distractors",
        "2",
        "--chat",
    ]
    assert "model must be given" in refused(capsys, "task", str(tmp_path / "run"), *lexicon)
    model = ["--model", str(world / "model")]
    told = refused(capsys, "task", str(tmp_path / "run"), *lexicon, *model)
    assert "tokenizer must have a chat template for chat; got one without" in told
    tokenizer = AutoTokenizer.from_pretrained(world / "model")
    tokenizer.chat_template = "{% for turn in messages %}[{{ turn['role'] }}] {{ turn['content'] }}\n{% endfor %}" + (
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "talking")
    assert main(["task", str(tmp_path / "run"), *lexicon, "--model", str(tmp_path / "talking")]) == 0
    items = read_table(tmp_path / "run" / "items.parquet")
    assert all(
        prompt.startswith("[user] ") and prompt.endswith("\n[assistant] ") for prompt in items["prompt"].to_pylist()
    )
    assert table_metadata(items)["prompt"]["special_tokens"] is False


def test_variables_of_the_chat_template_are_numbers_words_and_truths(world, tmp_path, capsys):
    lexicon = ["--lexicon", str(world / "words.tsv"), "--pairs", "fr-de", "--shots", "1", "--distractors", "2"]
    tokenizer = AutoTokenizer.from_pretrained(world / "model")
    tokenizer.chat_template = (
        "{{ kind }}{% if on is true %} on{% endif %} {{ more + 1 }}\n"
        "{% for turn in messages %}[{{ turn['role'] }}] {{ turn['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "talking")
    words = ["task", str(tmp_path / "run"), *lexicon, "--model", str(tmp_path / "talking")]
    variables = ["--chat-variables", "on=true,more=2,kind=plain"]
    assert "--chat-variables must be given with --chat" in refused(capsys, *words, *variables)
    assert main([*words, "--chat", *variables]) == 0
    assert read_table(tmp_path / "run" / "items.parquet")["prompt"][0].as_py().startswith("plain on 3\n[user] ")
