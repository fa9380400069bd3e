"""The order of the stages, and all of them in one call."""

from __future__ import annotations

from collections.abc import Callable

from pivotkit.pipeline import corpus_stages, model_stages, study_stages
from pivotkit.pipeline.run_folder import RunFolder
from pivotkit.pipeline.settings import Settings

STAGES: dict[str, Callable[[RunFolder, Settings], None]] = {
    "task": model_stages.task,
    "tokens": corpus_stages.tokens,
    "count": corpus_stages.count,
    "pivots": corpus_stages.pivots,
    "score": model_stages.score,
    "trace": model_stages.trace,
    "behaviors": model_stages.behaviors,
    "attribution": study_stages.attribution,
    "score-documents": corpus_stages.score_documents,
    "select": corpus_stages.select,
    "report": study_stages.report,
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
