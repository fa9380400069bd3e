"""What the artifacts of a run were made of: mixtures are refused, and only contents decide what is done."""

from __future__ import annotations

import os
import shutil

import pytest

from pivotkit.artifacts import read_json, read_table, write_json, write_table
from pivotkit.cli import main
from pivotkit.pipeline.settings import Settings
from pivotkit.pipeline.stage import EVERYTHING, Stage, StageTable
from pivotkit.run_folder import RunFolder


def refusal(capsys, *arguments) -> str:
    """The one line that a refused command prints."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("pivotkit: ")
    return line


def reversed_lexicon(given, tmp_path):
    head, *rows = (given / "world" / "lexicon.tsv").read_text().splitlines()
    path = tmp_path / "reverse.tsv"
    path.write_text("\n".join([head, *reversed(rows)]) + "\n")
    return path


READERS = ["behaviors", "attribution", "pivots", "select", "score-documents", "report"]


@pytest.mark.parametrize("stage", READERS)
def test_what_was_made_of_other_items_is_not_joined(stage, copied, given, tmp_path, capsys):
    assert main(["task", str(copied), "--lexicon", str(reversed_lexicon(given, tmp_path))]) == 0
    line = refusal(capsys, stage, copied)
    assert "must be made of items.parquet as it is now" in line
    assert "run `pivotkit count`" in line


def test_the_stages_to_run_again_are_named_and_then_suffice(copied, given, tmp_path, capsys):
    assert main(["task", str(copied), "--lexicon", str(reversed_lexicon(given, tmp_path))]) == 0
    line = refusal(capsys, "attribution", copied)
    again = line.partition("; run ")[2].removesuffix(" again").replace("`", "").split(", ")
    assert again == [f"pivotkit {name}" for name in ("count", "pivots", "score", "trace", "behaviors", "agreement")]
    for command in again:
        assert main([command.removeprefix("pivotkit "), str(copied)]) == 0
    assert main(["attribution", str(copied)]) == 0


@pytest.mark.parametrize(
    ("changed", "flags", "refused", "named"),
    [
        ("count", ["--latent", "a"], "pivots", None),  # reads the new counts
        ("count", ["--latent", "a"], "trace", "pivots.parquet: must be made of counts"),
        ("pivots", ["--pivots", "3"], "behaviors", "traces: must be made of pivots.parquet"),
        ("pivots", ["--pivots", "3"], "select", "documents.parquet: must be made of hubs.parquet"),
        ("trace", ["--k", "3"], "attribution", "behaviors.parquet: must be made of traces"),
        ("trace", ["--k", "3"], "behaviors", None),
        ("trace", ["--k", "3"], "report", "behaviors.parquet: must be made of traces"),
        ("behaviors", ["--min-probability", "1.0"], "report", "attribution.json: must be made of behaviors.parquet"),
        ("score-documents", ["--on-error", "skip"], "select", None),
    ],
)  # fmt: skip
def test_a_stage_that_ran_again_alone_is_noticed_by_those_behind_it(changed, flags, refused, named, copied, capsys):
    if changed == "score-documents":
        assert main(["tokens", str(copied), *flags]) == 0
        assert "must be made of tokens" in refusal(capsys, "select", copied)
        for stage in ("count", "pivots"):
            assert main([stage, str(copied)]) == 0
    assert main([changed, str(copied), *flags]) == 0
    if named is None:
        assert main([refused, str(copied)]) == 0
    else:
        assert named in refusal(capsys, refused, copied)


def test_scores_and_traces_of_different_models_are_not_joined(copied, given, tmp_path, capsys):
    other = shutil.copytree(given / "model", tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text('{"_from_model_config": true, "other": 1}')
    assert "must be made of the same model as the rest; run `pivotkit tokens`" in refusal(
        capsys, "trace", copied, "--model", other
    )
    assert main(["score", str(copied), "--model", str(other)]) == 0
    line = refusal(capsys, "attribution", copied)
    assert "must be made of the same model as the rest" in line
    assert "`pivotkit trace`" in line
    assert "`pivotkit score`" not in line
    assert main(["score", str(copied), "--model", str(given / "model")]) == 0
    assert main(["attribution", str(copied)]) == 0


def test_another_corpus_is_not_scored_with_the_tokens_of_the_first(copied, given, tmp_path, capsys):
    other = tmp_path / "corpus.jsonl"
    other.write_text('{"text": "a0 p0"}\n')
    for stage in ("count", "score-documents", "select"):
        line = refusal(capsys, stage, copied, "--corpus", other)
        assert "tokens: must be made of the same corpus as the rest; run `pivotkit tokens`" in line


@pytest.mark.parametrize("stage", ["behaviors", "attribution", "pivots", "select", "report"])
def test_a_stage_that_was_killed_is_named(stage, copied, capsys):
    read = {"behaviors": "trace", "attribution": "count", "pivots": "count", "select": "score-documents"}
    killed = read.get(stage, "score")
    with RunFolder(copied) as run, pytest.raises(KeyboardInterrupt):
        run.stage(killed, [], lambda: (_ for _ in ()).throw(KeyboardInterrupt), settings={})
    line = refusal(capsys, stage, copied)
    assert f"must be of a stage that finished, and that said of what it is; run `pivotkit {killed}`" in line


def test_a_run_of_before_digests_runs_its_stages_again(copied, arguments, capsys):
    manifest = read_json(copied / "run.json")
    old = {"key": "0" * 32, "settings": {}, "outputs": {}, "seconds": 1.0}
    stages = dict.fromkeys(manifest["stages"], old)
    write_json({"config": manifest["config"], "stages": stages}, copied / "run.json")
    line = refusal(capsys, "behaviors", copied)
    assert "traces: must be of a stage that finished, and that said of what it is; run `pivotkit trace` again" in line
    assert main(["run", *arguments, "--out", str(copied)]) == 0
    assert main(["report", str(copied)]) == 0


def contents(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")}


@pytest.mark.parametrize("spelling", ["relative", "slash", "dots", "link", "moved", "touched"])
def test_nothing_is_done_again_however_the_folder_is_spelled_or_copied(spelling, copied, given, tmp_path, monkeypatch):
    """Neither is the model, the lexicon or the corpus: only contents count."""
    monkeypatch.chdir(tmp_path)
    user = tmp_path / "mine"
    shutil.copytree(given, user, copy_function=shutil.copy)  # other times, and another place
    folder = {"relative": "run", "slash": f"{copied}/", "dots": "./run/../run", "link": "link", "moved": "elsewhere"}
    if spelling == "link":
        (tmp_path / "link").symlink_to(copied)
        (tmp_path / "given").symlink_to(user)
        user = tmp_path / "given"
    elif spelling == "moved":
        copied.rename(tmp_path / "elsewhere")
        copied = tmp_path / "elsewhere"
    elif spelling == "touched":
        for path in [*copied.rglob("*"), *user.rglob("*")]:
            os.utime(path, (1, 1))
    before = contents(copied)
    place = os.path.relpath(user) if spelling in ("relative", "dots") else str(user)
    named = [
        "--model", f"{place}/model", "--lexicon", f"{place}/world/lexicon.tsv", "--corpus",
        f"{place}/world/corpus.jsonl.zst",
    ]  # fmt: skip
    for stage in (
        "task",
        "tokens",
        "count",
        "pivots",
        "score",
        "trace",
        "behaviors",
        "attribution",
        "agreement",
        "select",
    ):
        flags = {"task": named[2:4], "tokens": [*named[:2], *named[4:]], "count": named[4:], "pivots": named[:2]}
        flags |= {"score": named[:2], "trace": named[:2], "select": named[4:]}
        assert main([stage, folder.get(spelling, str(copied)), *flags.get(stage, [])]) == 0
    after = contents(copied)
    assert {path for path in before if before[path] != after[path]} == {copied / "run.json"}
    assert before.keys() == after.keys()


def test_stages_go_on_with_a_corpus_that_lies_elsewhere_now(copied, given, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(given / "world", moved, copy_function=shutil.copy)
    pivots, chosen = read_table(copied / "pivots.parquet"), read_table(copied / "selection" / "provenance.parquet")
    corpus = ["--corpus", str(moved / "corpus.jsonl.zst")]

    def again(stage, gone, *flags):
        (copied / gone).unlink()
        assert main([stage, str(copied), *flags]) == 0
        assert (copied / gone).exists()

    again("select", "selection/manifest.json", *corpus)
    again("count", "counts/counts.json", *corpus)
    again("pivots", "pivots.parquet")
    again("score-documents", "documents.parquet", *corpus)
    again("select", "selection/manifest.json", *corpus)
    assert read_table(copied / "pivots.parquet").equals(pivots)
    assert read_table(copied / "selection" / "provenance.parquet")["id"].equals(chosen["id"])


def test_what_a_killed_process_left_is_swept_by_every_stage(copied):
    for stage in (
        "task",
        "tokens",
        "count",
        "pivots",
        "score",
        "trace",
        "behaviors",
        "attribution",
        "select",
        "report",
    ):
        left = [
            copied / ".items.parquet.0123abcd.part", copied / "counts" / "units" / ".x.elsewhere-1-0123abcd.part",
            copied / "tokens" / "units" / ".y.u32.0123.part", copied / "selection" / ".z.part" / "half",
            copied / "counts" / "units" / ".blocks-elsewhere-1-0123.part" / "0.rows",
        ]  # fmt: skip
        for path in left:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
        assert main([stage, str(copied)]) == 0
        assert not list(copied.rglob(".*.part")), stage


def stage(name, reads=(), writes=(), **more):
    def make(run, settings):
        for artifact in writes:
            (run / artifact).write_text(name)

    return Stage(name=name, help="", run=make, reads=tuple(reads), writes=tuple(writes), **more)


def test_a_diamond_of_stages_is_followed_to_its_top(tmp_path):
    table = StageTable(
        [
            stage("top", [], ["a"], settings=("k",)), stage("left", ["a"], ["b"]), stage("right", ["a"], ["c"]),
            stage("join", ["b", "c"], ["d"]), stage("page", [], ["e"], uses=(EVERYTHING,)),
        ]
    )  # fmt: skip

    def run_all(run, *names, **settings):
        return [table.run(table[name], run, Settings(**settings)) for name in names]

    with RunFolder(tmp_path) as run:
        assert all(run_all(run, "top", "left", "right", "join", "page"))
        (tmp_path / "a").write_text("another")
        with pytest.raises(
            ValueError, match=r"a: must be as `pivotkit top` wrote it; got other bytes; run `pivotkit top`"
        ):
            run_all(run, "left")
        assert not any(run_all(run, "join"))  # its own inputs are as they were
        assert run_all(run, "top") == [True]
        assert not any(run_all(run, "left", "right", "join", "page"))  # the same bytes as before
        (tmp_path / "extra").write_text("")
        assert not any(run_all(run, "page"))  # nobody's artifact
        (tmp_path / "b").unlink()
        with pytest.raises(ValueError, match=r"must hold b; run `pivotkit left` first"):
            run_all(run, "join")


BROKEN = [
    "",
    "[]",
    "{",
    "7",
    '{"stages": null, "config": {}}',
    '{"config": {}}',
    '{"stages": {}, "config": {}, "digest": 0}',
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_run_json_that_is_none_is_refused_by_name(text, copied, capsys):
    (copied / "run.json").write_text(text)
    assert "run.json" in refusal(capsys, "report", copied)


def test_columns_that_are_gone_are_refused_by_name(copied, capsys):
    for name, column, reader in (
        ("items.parquet", "source", "count"), ("items.parquet", "words", "trace"), ("scores.parquet", "score", "report"),
        ("behaviors.parquet", "behavior", "attribution"), ("documents.parquet", "tokens", "select"),
        ("hubs.parquet", "token_id", "score-documents"), ("counts/words.parquet", "df", "pivots"),
    ):  # fmt: skip
        whole = (copied / name).read_bytes()
        write_table(read_table(copied / name).drop_columns([column]), copied / name)
        assert name in refusal(capsys, reader, copied)
        (copied / name).write_bytes(whole)


@pytest.mark.parametrize(
    "flags",
    [
        ["--budget-tokens", "100000000"],
        ["--quotas", "a=0.5,b=0.5", "--budget-tokens", "1000000"],
        ["--quotas", "a=0.9,p=0.1", "--budget-tokens", "1000000"],
        ["--rule", "random", "--budget-tokens", "99999999"],
        ["--rule", "parallel", "--quotas", "b=1", "--budget-tokens", "9999999"],
        ["--seed", "3", "--budget-tokens", "12345678"],
    ],
)
def test_a_shortfall_is_refused_unless_it_is_allowed(flags, copied, capsys):
    """As the function refuses it, whether the user gave quotas or not."""
    line = refusal(capsys, "select", copied, "--no-allow-shortfall", *flags)
    assert "select: documents must fill every quota, or allow_shortfall be set; missing are " in line
    assert main(["report", str(copied)]) == 0  # the selection from before is whole
    assert main(["select", str(copied), "--allow-shortfall", *flags]) == 0
    assert read_table(copied / "selection" / "provenance.parquet").num_rows > 0


@pytest.mark.parametrize(("flags", "told"), [
    (["--quotas", "a=0.5,x=0.5"], "select: quotas must name values of lang that documents have (a: "),
    (["--quotas", "a=0.5,b=0.4"], "select: quotas must be positive shares that sum to 1; got {'a': 0.5, 'b': 0.4}"),
    (["--budget-tokens", "0"], "--budget-tokens must be at least 1; got 0"),
    (["--temperature", "-1"], "--temperature must be at least 0; got -1"),
    (["--rule", "random", "--temperature", "1"], "temperature must be 0 for the rule 'random'"),
    (["--quota-by", "length"], "select: quota_by must be 'lang' without quotas; got 'length'"),
    (["--quota-by", "length", "--quotas", "0-9=0.5,5-=0.5"], "select: quotas must be ranges that do not overlap"),
    (["--cap", "0.5"], "cap must be None without cap_by; got 0.5"),
    (["--cap-by", "place", "--cap", "0.5"], "cap_by must be languages or a column of documents (unit, row, id, tokens,"),
])  # fmt: skip
def test_a_selection_that_cannot_be_made_is_refused_with_what_there_is(flags, told, copied, capsys):
    assert told in refusal(capsys, "select", copied, *flags)


def test_all_that_a_selection_can_be_asked_for_has_a_flag(copied, tmp_path):
    documents = read_table(copied / "documents.parquet")
    gone = documents.slice(0, 5).select(["unit", "row"])
    write_table(gone, tmp_path / "gone.parquet")
    flags = ["--rule", "pairs", "--temperature", "0.5", "--exact", "--cap-by", "folder", "--cap", "1", "--quota-by",
             "languages", "--quotas", "a=0.5,b=0.5", "--budget-tokens", "501", "--drop", str(tmp_path / "gone.parquet")]  # fmt: skip
    assert main(["select", str(copied), *flags]) == 0
    manifest = read_json(copied / "selection" / "manifest.json")
    assert manifest["tokens"] == 501
    assert sum(manifest["tokens_by_pair"].values()) == 501
    assert manifest["dropped"]["documents"] == 5
    assert {"rule": "pairs", "temperature": 0.5, "quota_by": "languages", "cap": 1}.items() <= manifest.items()


@pytest.mark.parametrize(
    "refused",
    [
        ["count", "--memory", "1KB", "--sample", "5"], ["count", "--memory", "much"], ["task", "--shots", "-1"],
        ["select", "--quotas", "a=0.5,x=0.5"], ["select", "--budget-tokens", "-1"], ["pivots", "--pivots", "-1"], ["trace", "--token-policy", "no=thing"], ["task", "--pairs", "a-x"],
    ],
)  # fmt: skip
def test_a_refused_setting_leaves_what_was_made_before(refused, copied, capsys):
    before = contents(copied)
    refusal(capsys, refused[0], copied, *refused[1:])
    for stage in ("behaviors", "attribution", "select", "report"):
        assert main([stage, str(copied)]) == 0
    assert {path for path, raw in contents(copied).items() if before.get(path) != raw} <= {copied / "run.json"}
