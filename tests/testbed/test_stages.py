"""The testbed's own stages, beside those of every run."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pivotkit.testbed
from pivotkit.artifacts import read_json
from pivotkit.cli import main
from pivotkit.pipeline import run as pipeline
from pivotkit.testbed.stages import STAGES


def test_the_table_holds_the_stages_of_a_run_and_its_own():
    others = list(pipeline.EVERY)
    own = [stage.name for stage in STAGES if stage not in others]
    assert [stage.name for stage in STAGES] == [*(stage.name for stage in others), *own]
    assert own == ["world", "recovery"]


def test_the_table_of_stages_is_read_without_torch():
    script = "import sys, pivotkit.testbed.commands; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_every_name_of_the_testbed_is_there():
    assert sorted(pivotkit.testbed._MODULES) == sorted(pivotkit.testbed.__all__)
    for name in pivotkit.testbed.__all__:
        assert getattr(pivotkit.testbed, name).__name__ == name
    with pytest.raises(AttributeError, match=r"module 'pivotkit.testbed' has no attribute 'planet'"):
        pivotkit.testbed.planet  # noqa: B018


def test_a_world_is_written_by_its_command(tmp_path, capsys):
    assert main(["world", str(tmp_path / "run"), "--seed", "3"]) == 0
    assert read_json(tmp_path / "run" / "run.json")["config"] == {"seed": 3}
    assert {path.name for path in (tmp_path / "run" / "world").iterdir()} == {
        "corpus.jsonl.zst", "lines.jsonl.zst", "lexicon.tsv", "world.json",
    }  # fmt: skip
