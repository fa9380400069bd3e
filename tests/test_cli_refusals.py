"""The command line with a wrong value of every option of every stage: exit status 2, one line, no traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pivotkit.cli import STUDIES, main
from pivotkit.pipeline.settings import flag, options
from pivotkit.testbed import World, WorldConfig, build_tokenizer, plant
from pivotkit.testbed.commands.stages import STAGES

# By the type of an option, and by its name where the type says too little.
INT = ["x", "", "1.5", "nan", "0x10", "-1", "1" + "0" * 30, "9" * 5000]
FLOAT = ["x", "", "nan", "inf", "-inf", "-1", "1e999"]
BY_TYPE = {"bool": ["1"], "int": INT, "float": FLOAT}
BY_NAME: dict[str, list[str]] = {
    "model": ["no/such-model", "nowhere", "a\0b", ""],
    "lexicon": ["nowhere.tsv", ".", "a\0b", ""],
    "device": ["nowhere", "cuda:99", ""],
    "items": ["nowhere.tsv", ".", "words.doc", "a\0b", ""],
    "template": ["", "{source}", "{source} {target}", "{word} {source} {target}\n", "{", "{target} {source}\n"],
    "chat_variables": ["x", "=", "a=1"],
    "pairs": ["a", "a-a", "a-xx", "a-b,a-b", "-", ""],
    "corpus": ["nowhere.jsonl", "*.nothing", "words.doc", "a\0b", "", ","],
    "token_files": ["nowhere.npy", "*.npy", "words.doc", "a\0b", "", ","],
    "scope": ["", "page", "window", "window:0", "window:x", "instance:64", "line"],
    "unit": ["lots", "0", "-1GB", "1XB", ""],
    "memory": ["lots", "0", "-1GB", "1XB", "nanGB", "1" + "0" * 30 + "TB", ""],
    "latent": ["xx", "a,xx"],
    "pivots_without": ["xx", "source,xx"],
    "positions": ["nowhere", "answer,nowhere", ""],
    "token_policy": ["space", "space=x", "what=with", "=", "bytes=drop,case=none"],
    "tuned_lens": ["nowhere", "a\0b", ""],
    "languages": ["nowhere", "a\0b", ""],
    "layers": ["x", "1.5", "-1", "1,x", "9" * 5000, "99", ""],
    "interventions": ["x", "ablate,x", ""],
    "directions": ["x", "unembedding,x", "lens", ""],
    "strengths": ["x", "nan", "inf", "0", "1,x", ""],
    "quotas": ["a", "a=x", "a=nan", "a=-1", "a=inf", "xx=1", "a=0.5", "a=0.5,b=0.6", "a=0,b=1"],
    "quota_by": ["nowhere", ""],
    "cap_by": ["nowhere", ""],
    "drop": ["nowhere.parquet", ".", "words.doc", "a\0b", ""],
    "exclude": ["nowhere.jsonl", "*.nothing", "words.doc", "a\0b", "", ","],
    "recipe": ["nowhere.yaml", ".", "words.doc", "a\0b", ""],
    "parallel": ["nowhere", "nowhere.tsv", "words.doc", "a\0b", ""],
}
WRONG_COMMANDS = [
    [], ["nothing"], ["task"], ["run"], ["merge"], ["merge", "nowhere"], ["merge", "nowhere", "--out", "sum"],
    ["merge", "a\0b", "--out", "sum"], ["export", "RUN"], ["export", "RUN", "--to", "excel", "--out", "x"],
    ["export", "nowhere", "--to", "lm-eval", "--out", "x"], ["export", "RUN", "--to", "lm-eval", "--out", "words.doc"],
    ["info", "more"], ["task", "words.doc"], ["report", "words.doc"], ["report", "nowhere"], ["count", "nowhere"],
    ["task", "RUN", "--nothing", "1"], ["run", "--out", "words.doc/run"], ["demo", "--out", "words.doc"],
    ["task", "a\0b"], ["score", ""], ["compare"], ["compare", "RUN", "--out", "x"], ["compare", "RUN", "RUN"],
    ["compare", "RUN", "RUN", "--out", "x"], ["compare", "RUN", "nowhere", "--out", "x"],
]  # fmt: skip


def wrong(option: Any) -> list[str]:
    """Wrong values of an option, as words of the command line."""
    kind = str(option.type).removesuffix(" | None")
    values = BY_NAME.get(option.name) or BY_TYPE.get(kind) or ["x", "", "pape", "x" * 5000]
    more = []
    if kind == "int" and option.metadata["least"] > 0:
        more.append("0")
    if kind == "float" and "most" in option.metadata:
        more.append("1.5")
    assert kind != "str" or option.metadata.get("choices") or option.name in BY_NAME, option.name
    return [f"{flag(option)}={value}" for value in (*values, *more)]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a finished run of a small planted world."""
    folder = tmp_path_factory.mktemp("place")
    world = World(WorldConfig(concepts=20, held_out=10, background=5, documents=60, blocks=2))
    world.write(folder / "RUN" / "world")
    plant(world).save_pretrained(folder / "model")
    build_tokenizer(world.vocabulary).save_pretrained(folder / "model")
    (folder / "words.doc").write_text("a file")
    assert main(["run", "--out", str(folder / "RUN"), *ARGUMENTS(folder)]) == 0
    return folder


def ARGUMENTS(folder: Path) -> list[str]:
    world = folder / "RUN" / "world"
    return [
        *("--model", str(folder / "model"), "--lexicon", str(world / "lexicon.tsv"), "--pairs", "a-b"),
        *("--corpus", str(world / "corpus.jsonl.zst"), "--prompt", "testbed", "--shots", "2", "--latent", "p"),
        *(
            "--distractors",
            "2",
            "--contexts",
            "1",
            "--workers",
            "1",
            "--min-pivot-score",
            "0.01",
            "--pivot-rule",
            "paper",
        ),
    ]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """What is wrong with the refusal of a command; empty if nothing is."""
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    except BaseException as error:
        status = f"{type(error).__name__}: {error}"[:300]
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if not line.endswith((": nothing to do", " s"))]
    good = status == 2 and not said.out and len(lines) == 1 and lines[0].startswith("pivotkit") and len(lines[0]) < 6000
    return "" if good else f"{' '.join(arguments)[:200]!r}: status {status}, said {[line[:200] for line in lines]}"


COMMANDS = [
    *((stage.name, ["RUN"], option) for stage in STAGES for option in options(stage.form, stage.options)),
    *((study.name, ["--out", "RUN"], option) for study in STUDIES for option in options(study.form, study.settings)),
]


@pytest.mark.parametrize(
    ("name", "run", "option"), COMMANDS, ids=[f"{name}-{option.name}" for name, _, option in COMMANDS]
)
def test_a_wrong_value_of_an_option_ends_in_one_line(name, run, option, place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    others = ARGUMENTS(place) if name == "run" else []
    found = [refused(capsys, [name, *run, *others, word]) for word in wrong(option)]
    assert not any(found), "\n".join(filter(None, found))


@pytest.mark.parametrize("arguments", WRONG_COMMANDS, ids=[" ".join(words) for words in WRONG_COMMANDS])
def test_a_wrong_command_ends_in_one_line(arguments, place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    before = {path for path in place.rglob("*") if "RUN" not in path.parts}
    assert not refused(capsys, arguments)
    assert {path for path in place.rglob("*") if "RUN" not in path.parts} == before
