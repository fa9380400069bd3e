"""A small world that the testbed's tests share."""

from __future__ import annotations

import pytest

from pivotkit.testbed import World, WorldConfig


@pytest.fixture(scope="session")
def small_world() -> World:
    return World(WorldConfig(concepts=16, held_out=8, background=20, documents=600, blocks=300))
