"""Every stage of a run on one folder: settings, the stages, and what is done already."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("STAGES", "run_all"):  # late, so that the settings alone load no stage
        return getattr(importlib.import_module("pivotkit.pipeline.run"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
