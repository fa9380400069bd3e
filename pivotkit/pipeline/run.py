"""The table of the stages, and all of them in one call."""

from __future__ import annotations

import pyarrow.parquet as pq

from pivotkit.pipeline.causal_stage import CAUSAL
from pivotkit.pipeline.controls_stage import CONTROLS
from pivotkit.pipeline.corpus_stages import PIVOTS, SCORE_DOCUMENTS, SELECT, TOKEN_GRAPH, TOKENS
from pivotkit.pipeline.count_stage import COUNT
from pivotkit.pipeline.filter_stage import FILTER
from pivotkit.pipeline.inputs import CORPUS, TUNED_LENS
from pivotkit.pipeline.joint_stages import AGREEMENT, ATTRIBUTION, REPORT
from pivotkit.pipeline.model_stages import BEHAVIORS, SCORE, TASK, TRACE, TRACE_FITTED
from pivotkit.pipeline.pretrain_stage import PRETRAIN
from pivotkit.pipeline.settings import Settings
from pivotkit.pipeline.stage import Stage, StageTable, Study
from pivotkit.progress import console
from pivotkit.run_folder import RunFolder

# Pivots come before traces, so the traces can say how much of the mass the pivots hold. The report comes last.
STAGES = StageTable(
    [
        TASK,
        TOKENS,
        COUNT,
        PIVOTS,
        SCORE,
        TRACE,
        TRACE_FITTED,
        BEHAVIORS,
        AGREEMENT,
        ATTRIBUTION,
        SCORE_DOCUMENTS,
        SELECT,
        REPORT,
    ]
)
SELECTING = (SCORE_DOCUMENTS, SELECT)
# No run needs them, and they take long; they have commands of their own.
ON_REQUEST = (CAUSAL, TOKEN_GRAPH, PRETRAIN, FILTER, CONTROLS)
# What a report may show. What is made on request stands before the stages that use it.
_BEFORE = [stage for stage in STAGES if stage not in (ATTRIBUTION, SCORE_DOCUMENTS, SELECT, REPORT)]
EVERY = StageTable(
    [*_BEFORE, CAUSAL, TOKEN_GRAPH, FILTER, ATTRIBUTION, SCORE_DOCUMENTS, SELECT, CONTROLS, PRETRAIN, REPORT]
)


def stages_of(settings: Settings) -> list[Stage]:
    """The stages of a run, in order. Without a corpus or a fitted lens, the stages that need one are left out.

    With token files, counts and what is made of them need no corpus.
    """
    given = (CORPUS, TUNED_LENS)
    return [
        stage
        for stage in STAGES
        if all(getattr(settings, name) or not STAGES.needs(stage, name, settings) for name in given)
    ]


def run_all(run: RunFolder, settings: Settings) -> None:
    """Run every stage in order (`stages_of`). What was made on request is shown too, and must be of the same make.

    Where the corpus has no pivots, no document is scored or selected by them, and the report comes at once.
    """
    run.configure(settings.given())
    stages = stages_of(settings)
    for stage in stages:
        if stage in SELECTING and PIVOTS in stages and not pq.read_metadata(run / "hubs.parquet").num_rows:
            console.print(f"{stage.name}: left out, since there are no pivots; `pivotkit pivots` says why")
        else:
            EVERY.run(stage, run, settings)


def _run_in(folder: str, settings: Settings) -> None:
    with RunFolder(folder) as run:
        run_all(run, settings)


RUN = Study(
    name="run",
    help="run every stage on a model, a lexicon and a corpus; the same call resumes an interrupted run",
    run=_run_in,
    settings=tuple(dict.fromkeys(name for stage in STAGES for name in stage.options)),
)
