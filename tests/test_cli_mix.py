"""`pivotkit mix` from the command line: what is written, what is planned, what is refused."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from token_formats import made_store, write_olmo

from pivotkit.cli import main

EOS = 9


@pytest.fixture
def parts(tmp_path):
    """Two parts as arguments: token files, and a store."""
    write_olmo(tmp_path / "base.npy", [[1, 1, 1, EOS]] * 30)
    made_store(tmp_path, [[2, 2, 2]] * 30, vocab_size=10)
    return ["mix", "--part", f"base={tmp_path / 'base.npy'}", "--part", f"chosen={tmp_path / 'store'}",
            "--vocab-size", "10", "--eos", str(EOS)]  # fmt: skip


def summary(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0
    return orjson.loads(capsys.readouterr().out)


def refusal(capsys, *arguments):
    assert main([*map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_parts_are_mixed_by_their_weights(parts, tmp_path, capsys):
    options = ["--weights", "base=1,chosen=3", "--budget-tokens", "80", "--out", tmp_path / "out"]
    found = summary(capsys, *parts, *options)
    assert {name: part["tokens"] for name, part in found["parts"].items()} == {"base": 20, "chosen": 60}
    ids = np.fromfile(tmp_path / "out" / "part-00000.npy", "<u2")
    assert ((ids == 1).sum(), (ids == 2).sum()) == (15, 45)
    again = ["mix", "--part", f"mixed={tmp_path / 'out'}", "--weights", "mixed=1", "--budget-tokens", "40"]
    assert summary(capsys, *again, "--out", tmp_path / "again")["tokens"] == 40


def test_a_dry_run_tells_what_would_be_written_and_writes_nothing(parts, tmp_path, capsys):
    options = ["--weights", "base=1,chosen=3", "--budget-tokens", "80", "--out", tmp_path / "out", "--dry-run"]
    assert main([*parts, *map(str, options)]) == 0
    told = capsys.readouterr().out
    assert "budget_tokens: 80\n" in told
    assert "bytes: 160\n" in told
    assert "parts chosen: 0.75 share, 60 tokens, 90 available, 0.6667 epochs\n" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--weights", "base=1"], "mix: weights must be of each of parts, one at least; got parts base, chosen"),
        (["--weights", "base=1,chosen=x"], "mix: --weights must be NAME=NUMBER; got chosen=x"),
        (["--weights", "base=1,chosen=1", "--part", "base=x"], "mix: --part must be NAME=PATH, each name once"),
        (["--weights", "base=1,chosen=9"], "part 'chosen' has 90 tokens of 900 (max_epochs=10)"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(parts, tmp_path, capsys, options, error):
    assert error in refusal(capsys, *parts, *options, "--budget-tokens", 1000, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_token_files_need_the_size_of_their_vocabulary(tmp_path, capsys):
    write_olmo(tmp_path / "base.npy", [[1, EOS]])
    command = ["mix", "--part", f"base={tmp_path / 'base.npy'}", "--weights", "base=1", "--budget-tokens", 2]
    assert "mix: --vocab-size must be given for token files" in refusal(capsys, *command, "--out", tmp_path / "out")
