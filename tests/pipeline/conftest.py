"""A small finished run on the planted model, which the tests of run folders copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pivotkit.cli import main
from pivotkit.testbed import World, WorldConfig, build_tokenizer, plant


def made(folder: Path) -> None:
    world = World(WorldConfig(concepts=12, held_out=6, background=10, documents=400, blocks=10))
    world.write(folder / "world")
    plant(world).save_pretrained(folder / "model")
    build_tokenizer(world.vocabulary).save_pretrained(folder / "model")


@pytest.fixture(scope="session")
def given(made_once) -> Path:
    """What the user of the finished run gave: ``world/`` and ``model/``."""
    return made_once("given", made)


@pytest.fixture(scope="session")
def arguments(given) -> list[str]:
    """The settings of the finished run, as flags."""
    return [
        "--model", str(given / "model"), "--lexicon", str(given / "world" / "lexicon.tsv"), "--pairs", "a-b,b-a",
        "--corpus", str(given / "world" / "corpus.jsonl.zst"), "--prompt", "testbed", "--shots", "2", "--contexts", "2",
        "--distractors", "3", "--latent", "p", "--workers", "1", "--allow-shortfall", "--pivot-rule", "paper",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def finished(made_once, arguments) -> Path:
    """A finished run; tests copy it (`copied`) and never write into it."""
    return made_once("finished", lambda folder: main(["run", *arguments, "--out", str(folder / "run")])) / "run"


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of the finished run whose files have other times."""
    return Path(shutil.copytree(finished, tmp_path / "run", copy_function=shutil.copy))
