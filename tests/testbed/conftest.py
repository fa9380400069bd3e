"""A small world and a run of the demo, which the testbed's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivotkit.testbed import World, WorldConfig
from pivotkit.testbed.commands.demo import demo


@pytest.fixture(scope="session")
def small_world() -> World:
    return World(WorldConfig(concepts=16, held_out=8, background=20, documents=600, blocks=300))


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo on the shipped model; tests must not write into it."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    demo(folder)
    return folder
