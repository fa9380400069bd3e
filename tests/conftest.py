"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("pivotkit", deadline=None)  # a first call may compile
settings.load_profile("pivotkit")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real words and text: $PIVOTKIT_SHARED, or ``shared`` beside the repository."""
    folder = Path(os.environ.get("PIVOTKIT_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"real data is absent: no folder {folder.name!r} beside the repository and no $PIVOTKIT_SHARED")
    return folder


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder with real models: $PIVOTKIT_MODELS, or the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(os.environ.get("PIVOTKIT_MODELS", cache / "pivotkit" / "models"))
    if not (folder / "gemma3-270m" / "config.json").exists():
        pytest.skip("real models are absent: run the project's model fetch tool or set $PIVOTKIT_MODELS")
    return folder
