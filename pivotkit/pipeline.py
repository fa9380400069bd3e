"""The order of the stages, and all of them in one call."""

from __future__ import annotations

from collections.abc import Callable

from pivotkit.run_folder import RunFolder
from pivotkit.settings import Settings
from pivotkit.stages import corpus, model, study

STAGES: dict[str, Callable[[RunFolder, Settings], None]] = {
    "task": model.task,
    "tokens": corpus.tokens,
    "count": corpus.count,
    "pivots": corpus.pivots,
    "score": model.score,
    "trace": model.trace,
    "behaviors": model.behaviors,
    "attribution": study.attribution,
    "score-documents": corpus.score_documents,
    "select": corpus.select,
    "report": study.report,
}
NEED_CORPUS = {"tokens", "count", "pivots", "attribution", "score-documents", "select"}


def run_all(run: RunFolder, settings: Settings) -> None:
    """Every stage in order; those that need a corpus only when one is given.

    Pivots come before traces, so that the traces can say how much of the mass the pivots hold.
    """
    run.configure(settings.given())
    for name, stage in STAGES.items():
        if settings.corpus or name not in NEED_CORPUS:
            stage(run, settings)
