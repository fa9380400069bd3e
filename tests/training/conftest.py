"""A small random Llama on the testbed's words, its items, and arms of its world's documents as token files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from small_training import make_given, read_items


@pytest.fixture(scope="session")
def given(made_once: Any) -> Path:
    """``model/``, ``world/``, and arms ``one/`` and ``two/`` as `write_selection` writes them."""
    return Path(made_once("training", make_given))


@pytest.fixture(scope="session")
def items(given: Path) -> pa.Table:
    return read_items(given)
