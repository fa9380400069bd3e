"""The whole way from a corpus to trained arms side by side, by the commands that docs/selection.md shows."""

from __future__ import annotations

import re
import shlex
import shutil
from glob import glob
from pathlib import Path

import orjson
import pytest
from renamed_world import write_renamed

from pivotkit.artifacts import read_json, read_table
from pivotkit.cli import main
from pivotkit.testbed import World, WorldConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "selection.md"
SIZES = {"2000000": "2048"}
# The world has its own prompt, one language a document, and no words by letters.
TESTBED = "--prompt testbed --shots 2 --contexts 1 --distractors 2 --workers 1 --pivot-rule paper --min-pivot-score 0.3"
CONTROLS = ["language-matched", "anti-pivot", "pivot-shuffled"]
ARMS = ["selection", *CONTROLS]


def commands() -> list[list[str]]:
    """The words of each command of the page, with the testbed's sizes."""
    section = PAGE.read_text("utf-8").partition("## The whole way\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    found = [shlex.split(line) for line in block.replace("\\\n", "").splitlines()]
    assert {words[0] for words in found} == {"pivotkit"}
    return [[SIZES.get(word, word) for word in words[1:]] for words in found]


def run(words: list[str]) -> int:
    """Run a command as a shell does, which puts files in the place of a pattern."""
    return main([one for word in words for one in (sorted(glob(word)) if "*" in word else [word])])  # noqa: PTH207


@pytest.fixture(scope="module")
def gone(tmp_path_factory):
    """The folder in which the commands ran."""
    folder = tmp_path_factory.mktemp("way")
    world = World(WorldConfig(concepts=12, held_out=6, background=10, documents=1500, blocks=10))
    write_renamed(world, {"a": "fr", "b": "zh", "p": "en"}, folder)
    (folder / "model").rename(folder / "MODEL")
    lines = (folder / "corpus.jsonl").read_text().splitlines()
    copies = [
        orjson.dumps({**orjson.loads(line), "id": f"copy-{place}"}).decode() for place, line in enumerate(lines[:40])
    ]
    (folder / "corpus.jsonl").write_text("\n".join([*lines, *copies]))
    (folder / "recipe.yaml").write_text("length: 32\nbatch: 4\nlearning_rate: 0.001\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands():
            assert run([*words, *(TESTBED.split() if words[0] == "run" else [])]) == 0, words
    return folder


def test_the_page_shows_every_step():
    assert [words[0] for words in commands()] == ["run", "filter", "select", "controls", "pretrain", "compare"]


def test_every_arm_has_the_same_tokens_and_is_what_it_is_called(gone):
    table = {row["arm"]: row for row in read_table(gone / "RUN" / "controls" / "arms.parquet").to_pylist()}
    assert list(table) == ARMS
    assert {row["tokens"] for row in table.values()} == {2048}
    shares = [table[name]["pivot_share"] for name in ("anti-pivot", "language-matched", "selection")]
    assert shares[0] < shares[1] < shares[2]


def test_no_arm_has_a_document_that_the_filter_lists(gone):
    dropped = set(read_table(gone / "RUN" / "dropped.parquet")["id"].to_pylist())
    assert len(dropped) >= 40
    for folder in ("selection", *(f"controls/{name}" for name in CONTROLS)):
        assert not dropped & set(read_table(gone / "RUN" / folder / "provenance.parquet")["id"].to_pylist())
        assert read_json(gone / "RUN" / folder / "manifest.json")["format"] == "olmo"


def test_every_arm_is_trained_on_its_own_documents_and_measured_at_the_same_checkpoints(gone):
    table = read_table(gone / "RUN" / "pretrain.parquet").to_pylist()
    measured = {arm: {(row["step"], row["tokens"], row["measure"], row["of"]) for row in table if row["arm"] == arm}
                for arm in ("before", *ARMS)}  # fmt: skip
    assert {row["arm"] for row in table} == set(measured)
    assert {step for step, *_ in measured["selection"]} == {8, 16}
    assert all(measured[arm] == measured["selection"] for arm in ARMS)
    logs = {(gone / "RUN" / "pretrain" / arm / "seed-0" / "log.jsonl").read_bytes() for arm in ARMS}
    assert len(logs) == len(ARMS)


def test_the_page_of_the_comparison_names_every_arm(gone):
    page = (gone / "compare.html").read_text("utf-8")
    assert f"{1 + 2 * len(ARMS)} runs compared" in page
    for arm in ARMS:
        for step in (8, 16):
            assert f"{arm}/seed-0/step-{step}" in page


def test_arms_of_another_selection_are_refused_until_the_controls_are_made_again(gone, tmp_path, capsys, monkeypatch):
    shutil.copytree(gone / "RUN", tmp_path / "RUN", copy_function=shutil.copy)
    monkeypatch.chdir(gone)
    assert main(["select", str(tmp_path / "RUN"), "--budget-tokens", "2000"]) == 0
    assert main(["pretrain", str(tmp_path / "RUN")]) == 2
    assert "controls: must be made of selection as it is now" in capsys.readouterr().err


def test_a_selection_of_text_is_no_arm(gone, tmp_path, capsys, monkeypatch):
    shutil.copytree(gone / "RUN", tmp_path / "RUN", copy_function=shutil.copy)
    monkeypatch.chdir(gone)
    assert main(["select", str(tmp_path / "RUN"), "--selection-format", "jsonl"]) == 0
    assert main(["controls", str(tmp_path / "RUN"), "--controls", "anti-pivot"]) == 0
    assert (tmp_path / "RUN" / "controls" / "anti-pivot" / "part-00000.jsonl").exists()
    assert main(["pretrain", str(tmp_path / "RUN")]) == 2
    assert "must tell of a selection as tokens" in (told := capsys.readouterr().err)
    assert "--selection-format olmo); got one as jsonl" in told


@pytest.mark.parametrize(("control", "told"), [
    ("other-pivots", "controls: other-pivots must have a pivot of another pair that is none of them for each of "),
    ("frequency-matched", "controls: frequency-matched must have a token as frequent that is no pivot for each of "),
    ("bilingual", "; lang alone told of languages: describe_documents(languages=), or --languages, tells of all"),
    ("code-switched", "; lang alone told of languages: describe_documents(languages=), or --languages, tells of all"),
])  # fmt: skip
def test_a_control_that_the_run_cannot_give_is_named_with_what_may_help(gone, control, told, capsys, monkeypatch):
    monkeypatch.chdir(gone)
    assert main(["controls", "RUN", "--controls", control]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert control in error
    assert [path.name for path in sorted((gone / "RUN" / "controls").iterdir()) if path.is_dir()] == sorted(CONTROLS)
