"""`pivotkit count` and `pivotkit token-graph`: text or tokens, and every option of the Python functions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from token_formats import write_datatrove, write_megatron, write_olmo

import pivotkit as pk
from pivotkit.cli import main
from pivotkit.corpus.reading.corpus_files import TOKEN_SUFFIXES
from pivotkit.corpus.tables.counts import Counts
from pivotkit.corpus.token_graph import TokenGraph
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.lens.model.loading import load_tokenizer
from pivotkit.pipeline.settings import Settings, options
from pivotkit.testbed import World, WorldConfig, build_tokenizer, plant


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with ``run`` (items and a token store), ``model``, ``world``, and the store's ids as token files."""
    folder = tmp_path_factory.mktemp("place")
    world = World(WorldConfig(concepts=20, held_out=10, background=10, documents=400, blocks=4))
    world.write(folder / "world")
    plant(world).save_pretrained(folder / "model")
    build_tokenizer(world.vocabulary).save_pretrained(folder / "model")
    task = ["--lexicon", str(folder / "world" / "lexicon.tsv"), "--pairs", "a-b,b-a", "--prompt", "testbed"]
    assert main(["task", str(folder / "run"), *task, "--shots", "2"]) == 0
    corpus = str(folder / "world" / "corpus.jsonl.zst")
    assert main(["tokens", str(folder / "run"), "--model", str(folder / "model"), "--corpus", corpus]) == 0
    store = TokenStore.open(folder / "run" / "tokens")
    texts = [ids.tolist() for unit in store.units for ids in store.documents(unit)]
    eos = store.vocab_size
    for part, name in ((slice(0, 250), "one"), (slice(250, None), "two")):
        write_olmo(folder / f"{name}.npy", [[*ids, eos] for ids in texts[part]])
    write_megatron(folder / "all.bin", [[ids] for ids in texts])
    write_datatrove(folder / "all.ds", texts)
    return folder


@pytest.fixture
def run(place, tmp_path) -> Path:
    return Path(shutil.copytree(place / "run", tmp_path / "run"))


def given(place: Path) -> dict[str, list[str]]:
    """The same documents in every format, as flags."""
    size = TokenStore.open(place / "run" / "tokens").vocab_size
    olmo = [str(place / "one.npy"), str(place / "two.npy"), "--vocab-size", str(size + 1), "--eos", str(size)]
    return {
        "olmo": ["--tokens", *olmo],
        "megatron": ["--tokens", str(place / "all.bin"), "--format", "megatron"],
        "datatrove": ["--tokens", str(place / "*.ds"), "--format", "datatrove"],
        "store": ["--tokens", str(place / "run" / "tokens"), "--format", "store"],
    }


PAPER = ("--pivot-rule", "paper")  # of the generated world, which has no strata of 150 documents


def counted(run: Path, *arguments: str) -> Counts:
    assert main(["count", str(run), "--workers", "1", "--latent", "p", *PAPER, *arguments]) == 0
    return Counts.load(run / "counts")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr().err.splitlines()
    assert (status, len(said)) == (2, 1), said
    return said[0]


def ran(run: Path, *arguments: str) -> bool:
    """Whether the stage ran, and did not find its artifacts there."""

    made = run / "counts" / "counts.json"
    before = made.stat().st_mtime_ns if made.exists() else None
    counted(run, *arguments)
    return made.stat().st_mtime_ns != before


@pytest.mark.parametrize("format", ["olmo", "megatron", "datatrove", "store"])
def test_token_files_are_counted_as_the_python_function_counts_them(format, place, run):
    found = counted(run, *given(place)[format])
    tokenizer = load_tokenizer(place / "model")
    store = TokenStore.open(place / "run" / "tokens")
    wanted = pk.count(store, pk.TokenWatchList(found.words, tokenizer), pairs=pairs_of(found), context=True, workers=1)
    assert (found.words, found.documents, found.tokenizer) == (wanted.words, wanted.documents, store.fingerprint)
    assert found.df.sum() > 0
    for name in ("df", "tf", "pairs", "pair_df"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    size = store.vocab_size
    assert (found.context[:, :size] != wanted.context).nnz == 0
    assert np.array_equal(found.background[:size], wanted.background)


def pairs_of(counts: Counts) -> list[tuple[str, str]]:
    return [(counts.words[a], counts.words[b]) for a, b in counts.pairs.tolist()]


def test_tokens_have_the_words_of_text(place, run, tmp_path):
    """The testbed's words are tokens, so that nothing is missed."""
    other = Path(shutil.copytree(run, tmp_path / "other"))
    of_text, of_tokens = counted(run), counted(other, *given(place)["megatron"])
    assert of_text.words == of_tokens.words
    assert np.array_equal(of_text.df, of_tokens.df)
    assert (of_text.context != of_tokens.context).nnz == 0


def test_the_tokenizer_says_where_documents_end_and_how_many_ids_there_are(place, run, tmp_path):
    tokenizer = load_tokenizer(place / "model")
    write_olmo(tmp_path / "a.npy", [[7, 8, tokenizer.eos_token_id], [9, tokenizer.eos_token_id]])
    found = counted(run, "--tokens", str(tmp_path / "a.npy"))
    assert (found.documents, len(found.background)) == (2, TokenStore.open(run / "tokens").vocab_size)


def test_a_run_goes_on_from_counts_of_tokens(place, tmp_path):
    """Without a corpus of text: everything but what reads documents."""
    lexicon = str(place / "world" / "lexicon.tsv")
    begin = ["run", "--out", str(tmp_path / "run"), "--model", str(place / "model"), "--lexicon", lexicon]
    task = ["--pairs", "a-b", "--prompt", "testbed", "--shots", "2", "--contexts", "1", "--latent", "p"]
    assert main([*begin, *task, "--workers", "1", *PAPER, *given(place)["olmo"]]) == 0
    assert set(orjson.loads((tmp_path / "run" / "run.json").read_bytes())["stages"]) == {
        "task", "count", "pivots", "score", "trace", "behaviors", "attribution", "agreement", "report",
    }  # fmt: skip


def test_text_and_tokens_are_refused_together_and_neither_is_too(place, run, capsys):
    corpus = str(place / "world" / "corpus.jsonl.zst")
    line = refusal(capsys, "count", str(run), "--corpus", corpus, *given(place)["store"])
    assert line == "pivotkit count: argument --tokens: not allowed with argument --corpus"
    lexicon = str(place / "world" / "lexicon.tsv")
    task = ["task", str(run.parent / "new"), "--lexicon", lexicon, "--pairs", "a-b", "--prompt", "testbed"]
    assert main(task) == 0
    line = refusal(capsys, "count", str(run.parent / "new"))
    assert "count: corpus or --tokens must be given; got none, nor one in " in line


def test_tokens_need_the_tokenizer_of_their_ids(place, tmp_path, capsys):
    lexicon = str(place / "world" / "lexicon.tsv")
    task = ["task", str(tmp_path / "new"), "--lexicon", lexicon, "--pairs", "a-b", "--prompt", "testbed"]
    assert main(task) == 0
    line = refusal(capsys, "count", str(tmp_path / "new"), *given(place)["megatron"])
    assert "count: model must be given; got none, nor one in " in line


def test_the_last_of_text_and_tokens_is_what_a_run_keeps(place, run):
    def kept() -> dict[str, Any]:
        return orjson.loads((run / "run.json").read_bytes())["config"]

    assert ran(run, *given(place)["olmo"])
    assert (len(kept()["token_files"]), "eos" in kept()) == (2, True)
    assert not ran(run)
    assert ran(run, *given(place)["datatrove"])  # their eos was that of the files before
    assert (kept()["token_format"], "eos" in kept()) == ("datatrove", False)
    assert ran(run, "--corpus", str(place / "world" / "corpus.jsonl.zst"))
    assert "token_files" not in kept()
    assert "token_format" not in kept()
    assert not ran(run)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--eos", "3"], "count: --eos must not be given for text; got 3"),
        (["--format", "megatron"], "count: --format must not be given for text; got megatron"),
        (["--scope", "line"], "count: scope must be 'document' for text with a context"),
        (["--sample", "1"], "count: sample must be at least 2"),
        (["--sample", "9", "--no-context"], "count: sample must come with a context"),
        (["--no-background"], "count: background must be True with a context"),
        (["--memory", "1B"], "count: memory must be at least "),
        (["--tokens", "nowhere.npy"], "nowhere.npy: must match at least one file"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, message, run, capsys):
    assert message in refusal(capsys, "count", str(run), *PAPER, *arguments)


def test_options_that_do_not_fit_tokens_are_refused(place, run, capsys):
    files = given(place)
    for arguments, message in (
        ([*files["store"], "--eos", "3"], "--eos must not be given for a store; got 3"),
        ([*files["store"], "--tokens", "a", "b"], "--tokens must be one store; got 2"),
        ([*files["megatron"], "--eos", "3"], "eos must be given for olmo files and for no others; got 3"),
        ([*files["megatron"], "--strata", "both"], "strata must have language=False for token files"),
        (["--tokens", str(place / "one.npy")], "one.npy, token "),  # its eos is not the tokenizer's
    ):
        assert message in refusal(capsys, "count", str(run), *PAPER, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [["--sample", "5"], ["--strata", "both"], ["--strata", "length", "--length-classes", "3"], ["--no-postings"]],
)
def test_a_changed_option_makes_the_stage_run_again(arguments, run):
    assert ran(run)
    assert ran(run, *arguments)
    assert not ran(run)  # a run keeps its settings


def test_memory_processes_and_checkpoints_change_no_result(run):
    assert ran(run)
    assert not ran(run, "--memory", "3GB", "--checkpoint", "7")
    assert main(["count", str(run), "--workers", "2"]) == 0
    config = orjson.loads((run / "run.json").read_bytes())["config"]
    assert (config["memory"], config["checkpoint"], config["workers"]) == ("3GB", 7.0, 2)


def test_strata_are_those_of_the_python_function(run, place):
    found = counted(run, "--strata", "both", "--length-classes", "2")
    wanted = pk.Strata(length=2)
    again = pk.count(
        str(place / "world" / "corpus.jsonl.zst"), found.words, strata=wanted, workers=1,
        context=TokenStore.open(run / "tokens"),
    )  # fmt: skip
    assert found.strata.strata == again.strata.strata
    assert (found.strata.table != again.strata.table).nnz == 0
    assert set(counted(run, "--strata", "language").strata.strata.edges) == {()}
    assert counted(run, "--strata", "length", "--length-classes", "2").strata.strata.sets == (None,)
    assert counted(run, "--strata", "none").strata is None


def test_a_table_of_languages_takes_the_place_of_the_field(run, place, tmp_path, capsys):
    corpus, tables = str(place / "world" / "corpus.jsonl.zst"), [tmp_path / "one", tmp_path / "two"]
    for folder, language in zip(tables, ("xx", "yy"), strict=True):
        pk.document_languages(corpus, languages=lambda text, said=language: said, out=folder)
    strata = ["--strata", "language", "--languages"]
    assert counted(run, *strata, str(tables[0])).strata.strata.sets == (("xx",), None)
    assert not ran(run)
    assert ran(run, "--languages", str(tables[1]))
    assert Counts.load(run / "counts").by_language()["lang"].unique().to_pylist() == ["yy"]
    (tables[1] / "languages.json").unlink()
    said = refusal(capsys, "count", str(run), "--strata", "both")
    assert said == f"pivotkit: {tables[1]}: must be a finished table of languages; found no languages.json"


def test_text_without_a_context_needs_no_tokens(run):
    shutil.rmtree(run / "tokens")
    found = counted(run, "--no-context", "--scope", "window:40", "--no-postings")
    assert (found.context, found.scope, found.postings) == (None, "window:40", None)
    assert found.df.sum() > 0


def test_a_sampled_context_says_so_and_the_exact_one_comes_back(run):
    assert counted(run, "--sample", "5").approximation is not None
    assert counted(run, "--sample", "0").approximation is None


def test_every_format_of_token_files_is_a_choice():
    [format] = options(Settings, ["token_format"])
    assert set(format.metadata["choices"]) == {*TOKEN_SUFFIXES, "store"}


# ---- token-graph


def graph(run: Path, *arguments: str) -> TokenGraph:
    assert main(["token-graph", str(run), *arguments]) == 0
    return TokenGraph.load(run / "token-graph")


def test_a_token_graph_is_that_of_the_python_function(place, run, tmp_path):
    store = TokenStore.open(place / "run" / "tokens")
    wanted = pk.token_graph(store, out=tmp_path / "wanted", window=3)
    cells = wanted.to_scipy()
    assert cells.nnz > 0
    found = graph(run, "--window", "3")
    assert (found.tokens, found.documents) == (wanted.tokens, wanted.documents)
    assert (found.to_scipy() != cells).nnz == 0
    for format in ("megatron", "datatrove"):
        assert (graph(run, *given(place)[format]).to_scipy() != cells).nnz == 0  # a run keeps its window
    assert graph(run, "--weight", "flat", "--no-symmetric").symmetric is False


def test_a_token_graph_of_token_files_needs_no_run_and_no_model(place, tmp_path, capsys):
    assert graph(tmp_path / "new", *given(place)["olmo"], "--memory", "1MB").tokens > 0
    assert graph(tmp_path / "new", "--memory", "2MB").window == 10
    assert "token-graph: nothing to do" in capsys.readouterr().err
    line = refusal(capsys, "token-graph", str(tmp_path / "bare"), *given(place)["megatron"])
    assert "token-graph: --vocab-size must be given, or a model whose tokenizer has it; got neither" in line
    assert "--eos must be given" in refusal(
        capsys, "token-graph", str(tmp_path / "bare"), "--tokens", str(place / "one.npy"), "--vocab-size", "99"
    )


def test_a_token_graph_without_tokens_says_which_stage_to_run(tmp_path, capsys):
    tmp_path.joinpath("run").mkdir()
    line = refusal(capsys, "token-graph", str(tmp_path / "run"))
    assert "must hold tokens; run `pivotkit tokens` first" in line
    assert "folder must be that of a run" in refusal(capsys, "token-graph", str(tmp_path / "typo"))
