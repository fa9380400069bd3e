"""Lists on the command line: what a shell hands over, commas in paths, and where the run folder may stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivotkit.cli import main
from pivotkit.pipeline.stage import StageTable


@pytest.fixture
def given(monkeypatch, tmp_path):
    """Run a stage's command in an empty folder without its work; return the run folder's name and the settings."""
    monkeypatch.chdir(tmp_path)
    seen = {}
    monkeypatch.setattr(
        StageTable, "run", lambda self, stage, run, settings: seen.update(run=str(run.folder), settings=settings)
    )

    def call(*arguments: str):
        assert main(arguments) == 0
        return seen["run"], seen["settings"]

    return call


def files(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")


@pytest.mark.parametrize(
    "arguments",
    [
        ("RUN", "--corpus", "a", "b"),
        ("--corpus", "a", "b", "RUN"),
        ("--corpus", "a,b", "RUN"),
        ("RUN", "--corpus", "a,b"),
        ("RUN", "--corpus=a,b"),
        ("--corpus=a,b", "RUN"),
        ("--corpus", "a", "b", "--", "RUN"),
        ("--corpus", "a", "b", "--on-error", "skip", "RUN"),
        ("--corpus", "a", "b", "--json", "RUN"),
        ("--corpus", "a", "b", "RUN", "--on-error", "skip"),
        ("--on-error", "skip", "--corpus", "a", "b", "RUN", "--json"),
        ("--json", "RUN", "--corpus", "a", "b"),
        ("--corp", "a", "b", "RUN"),
        ("RUN", "--corpus", "a,", "b"),
    ],
)
def test_a_list_takes_words_or_commas_and_the_run_folder_stands_anywhere(arguments, given):
    folder, settings = given("tokens", "--model", "m", *arguments)
    assert (folder, settings.corpus) == ("RUN", ["a", "b"])
    assert settings.on_error == ("skip" if "skip" in arguments else "raise")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--latent", "en", "RUN", "--corpus", "a,b"),
        ("--latent", "en", "--corpus", "a,b", "RUN"),
        ("--latent", "en", "--corpus", "a", "b", "RUN"),
        ("RUN", "--corpus", "a", "b", "--latent", "en"),
        ("--corpus", "a", "b", "RUN", "--latent", "en"),
        ("--workers", "2", "RUN", "--latent", "en", "--corpus", "a", "b"),
    ],
)
def test_with_two_lists_the_run_folder_ends_the_one_that_has_several_words(arguments, given):
    Path("RUN").mkdir()
    folder, settings = given("count", *arguments)
    assert (folder, settings.corpus, settings.latent) == ("RUN", ["a", "b"], ["en"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("count", "--latent", "en", "de", "--corpus", "a", "b", "RUN"), "RUN must be named first"),
        (("count", "--latent", "en", "RUN", "--corpus", "a", "b"), "RUN must be named first"),
        (("tokens", "--corpus", "one.jsonl", "two.jsonl"), "RUN must be named first"),
        (("tokens", "--corpus", "folder", "corpus"), "RUN must be named first"),
        (("tokens", "--corpus", "one.jsonl"), "the following arguments are required: RUN"),
        (("tokens", "--corpus"), "expected at least one argument"),
        (("tokens", "RUN", "another", "--corpus", "one.jsonl"), "unrecognized arguments: another"),
    ],
)
def test_a_run_folder_that_may_be_a_value_is_not_guessed(arguments, message, given, capsys):
    files("one.jsonl", "two.jsonl", "folder/a.jsonl", "corpus/a.jsonl")
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("two.jsonl").is_dir()
    assert not Path("corpus/run.json").exists()


def test_a_glob_that_the_shell_expands_is_a_list(given):
    files("corpus/a.jsonl.zst", "corpus/b.jsonl.zst")
    words = sorted(map(str, Path("corpus").glob("*.jsonl.zst")))
    assert given("tokens", "RUN", "--model", "m", "--corpus", *words)[1].corpus == words


@pytest.mark.parametrize(
    ("there", "written", "meant"),
    [
        (["a,b.jsonl"], ["a,b.jsonl"], ["a,b.jsonl"]),
        (["a,b.jsonl", "c.jsonl"], ["a,b.jsonl", "c.jsonl"], ["a,b.jsonl", "c.jsonl"]),
        (["x,y/a.jsonl"], ["x,y"], ["x,y"]),
        (["x,y/a.jsonl"], ["x,y/*.jsonl"], ["x,y/*.jsonl"]),
        (["a.jsonl", "b.jsonl"], ["a.jsonl,b.jsonl"], ["a.jsonl", "b.jsonl"]),
        (["a.jsonl", "b.jsonl"], ["a*,b*"], ["a*", "b*"]),
        ([], ["no,such.jsonl"], ["no", "such.jsonl"]),
    ],
)
def test_what_lies_there_wins_over_its_commas(there, written, meant, given):
    files(*there)
    assert given("tokens", "RUN", "--model", "m", "--corpus", *written)[1].corpus == meant


def test_only_paths_are_looked_for(given):
    files("en-fr,fr-zh")
    assert given("task", "RUN", "--pairs", "en-fr,fr-zh")[1].pairs == ["en-fr", "fr-zh"]
    assert given("task", "RUN", "--pairs", "en-fr", "fr-zh")[1].pairs == ["en-fr", "fr-zh"]


def test_named_values_come_in_one_word_or_several(given):
    Path("RUN").mkdir()
    for words in (["fr=0.5,zh=0.5"], ["fr=0.5", "zh=0.5"]):
        assert given("select", "RUN", "--quotas", *words)[1].quotas == {"fr": 0.5, "zh": 0.5}
        assert given("select", "--quotas", *words, "RUN")[0] == "RUN"


def test_a_flag_given_twice_counts_once(given):
    assert given("tokens", "RUN", "--corpus", "a", "--corpus", "b", "c")[1].corpus == ["b", "c"]


def test_run_takes_lists_too(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "pivotkit.pipeline.run.run_all", lambda run, settings: seen.update(settings=settings) or run.configure({})
    )
    assert main(["run", "--corpus", "a", "b", "--pairs", "en-fr", "fr-zh", "--out", "RUN", "--limit", "3"]) == 0
    assert (seen["settings"].corpus, seen["settings"].pairs) == (["a", "b"], ["en-fr", "fr-zh"])
