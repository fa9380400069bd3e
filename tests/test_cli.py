"""The command line: what a person types and what comes back."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from dataclasses import fields

import orjson
import pytest
import torch
import zstandard

from pivotkit.cli import STUDIES, main
from pivotkit.corpus.count import count
from pivotkit.corpus.tables.counts import Counts
from pivotkit.pipeline.settings import Settings, flag
from pivotkit.testbed import World, WorldConfig, build_tokenizer, plant
from pivotkit.testbed.commands.stages import STAGES

ENTRY = "from pivotkit.cli import main; sys.exit(main(sys.argv[1:]))"
LEXICON = "en\tfr\n" + "".join(f"word{n}\tmot{n}\n" for n in range(20))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pivotkit.cli", *arguments], capture_output=True, text=True, check=False
    )


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong call prints; the exit status is 2."""
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_the_help_names_every_stage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name in ("demo", "run", "task", "score", "trace", "behaviors", "count", "merge", "pivots", "score-documents",
                 "select", "experiment", "report", "export", "info",
                 *(stage.name for stage in STAGES), *(study.name for study in STUDIES)):  # fmt: skip
        assert re.search(rf"^    {name}\s", text, re.MULTILINE)


def test_every_setting_is_an_option_of_run(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    for option in fields(Settings):
        assert flag(option) in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["traec"], "invalid choice: 'traec'"),
        (["run"], "--out"),
        (["run", "--out", "x", "--limit", "many"], "--limit: invalid int value: 'many'"),
        (["run", "--out", "x", "--quotas", "fr"], "--quotas: must be name=share,name=share; got 'fr'"),
        (["run", "--out", "x", "--quotas", "fr=half"], "--quotas: share must be a number; got 'fr=half'"),
        (["run", "--out", "x", "--sharing", "all"], "--sharing: invalid choice: 'all'"),
        (["export", "x", "--to", "excel", "--out", "y"], "--to: invalid choice: 'excel'"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(capsys, arguments, message):
    assert message in refusal(capsys, *arguments)


def test_an_unknown_language_is_refused_and_nothing_is_written(tmp_path, capsys):
    (tmp_path / "words.tsv").write_text(LEXICON)
    line = refusal(capsys, "task", str(tmp_path / "run"), "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-xx")
    assert "language must be one of en, fr; got 'xx'" in line
    assert not (tmp_path / "run" / "items.parquet").exists()


def test_a_bad_lexicon_is_refused_with_file_and_line(tmp_path, capsys):
    (tmp_path / "words.tsv").write_text(LEXICON + "word3\tmotte\n")
    line = refusal(capsys, "task", str(tmp_path / "run"), "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr")
    assert "words.tsv, line 22: column en must name 'word3' once; line 5 has it too" in line


def test_a_missing_file_is_named(tmp_path, capsys):
    line = refusal(capsys, "task", str(tmp_path / "run"), "--lexicon", str(tmp_path / "no.tsv"), "--pairs", "en-fr")
    assert "no.tsv" in line


def test_an_unknown_model_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "words.tsv").write_text(LEXICON)
    folder = str(tmp_path / "run")
    assert main(["task", folder, "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr"]) == 0
    capsys.readouterr()
    main(["score", folder, "--model", "no/such-model"])
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("pivotkit: load_tokenizer: model must be a folder, a GGUF file, a name in ")
    assert "got 'no/such-model'" in line
    assert not (tmp_path / "run" / "scores.parquet").exists()


@pytest.mark.parametrize(
    "command", [["behaviors"], ["report"], ["recovery"], ["export", "--to", "lm-eval", "--out", "x"]]
)
def test_a_run_folder_that_is_not_there_is_named_and_not_made(command, tmp_path, capsys):
    line = refusal(capsys, *command, str(tmp_path / "typo"))
    assert "folder must be that of a run; got " in line
    assert "typo, which is not there" in line
    assert not (tmp_path / "typo").exists()


def test_a_runs_settings_are_those_of_its_last_stage_and_none_that_was_refused(tmp_path, capsys):
    (tmp_path / "words.tsv").write_text(LEXICON)
    folder = tmp_path / "run"
    task = ["task", str(folder), "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr"]

    def kept():
        return orjson.loads((folder / "run.json").read_bytes())["config"]

    assert main([*task, "--limit", "3", "--shots", "2"]) == 0
    assert (kept()["limit"], kept()["shots"]) == (3, 2)
    assert main([*task, "--shots", "5"]) == 0  # the default
    assert kept()["limit"] == 3
    assert "shots" not in kept()
    capsys.readouterr()
    assert "shots" in refusal(capsys, *task, "--shots", "-1")
    assert "shots" not in kept()


def test_an_unwritable_folder_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    line = refusal(capsys, "task", str(tmp_path / "file" / "run"), "--lexicon", "x", "--pairs", "en-fr")
    assert "file" in line


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A model's folder, for its tokenizer."""
    world = World(WorldConfig(concepts=20, held_out=10, background=5, documents=20, blocks=2))
    folder = tmp_path_factory.mktemp("model")
    plant(world).save_pretrained(folder)
    build_tokenizer(world.vocabulary).save_pretrained(folder)
    return str(folder)


GOOD = b'{"text": "a1 p1"}\n' * 500
BAD_CORPORA = {
    "no-json.jsonl": (GOOD + b"a1 p1\n", "line 501"),
    "no-text.jsonl": (GOOD + b'{"id": "x"}\n', "line 501"),
    "no-utf8.jsonl": (GOOD + b'{"text": "a\xff"}\n', "line 501"),
    "cut.jsonl.gz": (gzip.compress(GOOD)[:-20], "line "),
    "cut.jsonl.zst": (zstandard.compress(GOOD)[:-20], "line "),
    "no-zst.jsonl.zst": (b"plainly not", "line 1"),
}


@pytest.mark.parametrize("name", BAD_CORPORA)
def test_a_bad_corpus_is_refused_with_file_and_place_and_leaves_nothing_to_trust(name, model, tmp_path, capsys):
    content, place = BAD_CORPORA[name]
    (tmp_path / name).write_bytes(content)
    line = refusal(capsys, "tokens", str(tmp_path / "run"), "--model", model, "--corpus", str(tmp_path / name))
    assert f"{name}, {place}" in line
    assert not (tmp_path / "run" / "tokens" / "store.json").exists()
    assert "tokens" not in orjson.loads((tmp_path / "run" / "run.json").read_bytes())["stages"]


def test_a_corpus_that_is_nowhere_is_named(model, tmp_path, capsys):
    line = refusal(capsys, "tokens", str(tmp_path / "run"), "--model", model, "--corpus", str(tmp_path / "no*.jsonl"))
    assert "no*.jsonl: must match at least one file; found none" in line


def test_a_full_disk_is_named_and_leaves_nothing_to_trust(tmp_path):
    (tmp_path / "words.tsv").write_text(LEXICON)
    full = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); {ENTRY}"
    arguments = ["task", str(tmp_path / "run"), "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr"]
    done = subprocess.run([sys.executable, "-c", full, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "File too large" in done.stderr.splitlines()[-1]
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"run.json", ".lock"}


def test_counts_of_two_parts_merge_into_those_of_the_whole(tmp_path, capsys):
    for name, text in (("one", "le chat dort"), ("two", "le chien et le chat")):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"text": "{text}"}}\n')
        count(tmp_path / f"{name}.jsonl", ["chat", "chien"], pairs=[("chat", "chien")], workers=1).save(tmp_path / name)
    assert main(["merge", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "sum")]) == 0
    merged = Counts.load(tmp_path / "sum")
    assert (merged.documents, merged.df.tolist(), merged.pair("chat", "chien")) == (2, [2, 1], 1)


def test_an_export_lies_in_the_folder_asked_for(tmp_path, capsys):
    (tmp_path / "words.tsv").write_text(LEXICON)
    folder = str(tmp_path / "run")
    (tmp_path / "run").mkdir()
    assert "must hold items.parquet; run `pivotkit task` first" in refusal(
        capsys, "export", folder, "--to", "lm-eval", "--out", str(tmp_path / "tasks")
    )
    assert main(["task", folder, "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr"]) == 0
    capsys.readouterr()
    assert main(["export", folder, "--to", "lm-eval", "--out", str(tmp_path / "tasks"), "--json"]) == 0
    written = orjson.loads(capsys.readouterr().out)["export"]
    assert written == str(tmp_path / "tasks" / "pivotkit_translation.yaml")
    assert len(list((tmp_path / "tasks").iterdir())) == 3


def test_the_version_is_that_of_the_package(capsys, monkeypatch):
    monkeypatch.setattr("pivotkit.cli.package_version", lambda package: {"pivotkit": "1.2.3"}[package])
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == "pivotkit 1.2.3\n"


def test_a_run_keeps_the_settings_that_another_stage_alone_knows(tmp_path):
    (tmp_path / "words.tsv").write_text(LEXICON)
    folder = tmp_path / "run"
    assert main(["world", str(folder)]) == 0
    assert main(["experiment", str(folder), "--seeds", "3"]) == 0
    assert main(["task", str(folder), "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr"]) == 0
    config = orjson.loads((folder / "run.json").read_bytes())["config"]
    assert (config["seeds"], config["pairs"]) == (3, ["en-fr"])


def test_info_names_the_instruction_set_and_the_versions(capsys):
    assert main(["info", "--json"]) == 0
    found = orjson.loads(capsys.readouterr().out)
    assert found["isa"] in found["isas"]
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__


def test_info_lists_the_kernels_by_instruction_set_type_and_rows(capsys):
    assert main(["info", "--verbose", "--json"]) == 0
    found = orjson.loads(capsys.readouterr().out)
    assert {row["isa"] for row in found["paths"]} == set(found["isas"])
    assert {row["heads"] for row in found["paths"]} == {"float32", "bfloat16", "float16"}
    scalar = [row for row in found["paths"] if row["isa"] == "scalar"]
    assert {(row["exact"], row["certified"]) for row in scalar} == {("scalar", "no screening")}
    for row in found["paths"]:
        pairs = row["heads"] == "bfloat16" and row["isa"] in ("neonbf16", "avx512bf16", "amx")
        assert (row["exact"] == row["isa"]) >= pairs
    assert main(["info", "--verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["isa", "heads", "rows", "exact", "weight", "certified"] in [line.split() for line in lines]


def test_a_stage_without_its_input_says_which_to_run(tmp_path, capsys):
    assert "must hold items.parquet; run `pivotkit task` first" in refusal(
        capsys, "trace", str(tmp_path), "--model", "x"
    )


def test_the_summary_goes_to_stdout_as_json(tmp_path):
    (tmp_path / "words.tsv").write_text(LEXICON)
    done = run("task", str(tmp_path / "run"), "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr", "--json")
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["run"] == str(tmp_path / "run")


def test_a_run_keeps_its_settings(tmp_path):
    (tmp_path / "words.tsv").write_text(LEXICON)
    folder = str(tmp_path / "run")
    assert main(["task", folder, "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr", "--limit", "3"]) == 0
    before = (tmp_path / "run" / "items.parquet").stat().st_mtime_ns
    assert main(["task", folder]) == 0
    assert (tmp_path / "run" / "items.parquet").stat().st_mtime_ns == before


def test_importing_pivotkit_imports_nothing_heavy():
    script = (
        "import sys, pivotkit, pivotkit.cli; print([m for m in ('torch', 'numba', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_what_differs_from_the_defaults_is_kept():
    assert Settings(limit=3, pairs=["en-fr"]).given() == {"limit": 3, "pairs": ["en-fr"]}


def test_a_reading_that_no_distribution_can_give_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def impossible(verbose: bool) -> None:
        raise ArithmeticError("trace: entropy must lie from 0 to 12; got 13")

    monkeypatch.setattr("pivotkit.info.info", impossible)
    assert refusal(capsys, "info") == "pivotkit: trace: entropy must lie from 0 to 12; got 13\n"
    with pytest.raises(ArithmeticError):
        main(["info", "--traceback"])
