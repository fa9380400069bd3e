"""Arms of continued pre-training: one selection of documents per rule, all of equal tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pivotkit.artifacts import write_table
from pivotkit.corpus.reading.documents import read_documents
from pivotkit.pipeline.corpus_stages import scored_documents
from pivotkit.pipeline.run import STAGES
from pivotkit.pipeline.settings import Settings
from pivotkit.run_folder import RunFolder
from pivotkit.selection.choosing.select import select
from pivotkit.selection.writing.write import write_selection
from pivotkit.testbed import World, held_out_items, scarce_config, train_model
from pivotkit.training.small import pretrain

QUOTAS = {"a": 0.5, "b": 0.5}

# What ranks each arm's documents, and within which languages.
ARMS: dict[str, dict[str, Any]] = {
    "random": {"strategy": "random"},
    "language-matched": {"strategy": "random", "language_quotas": QUOTAS},
    "pivot share": {"strategy": "pivot"},
    "pivot-aware": {"strategy": "pivot", "language_quotas": QUOTAS},
    "parallel": {"strategy": "parallel", "language_quotas": QUOTAS},
}

# The base model sees few documents; the pool has many, so every arm can be choosy.
BASE: dict[str, Any] = {"documents": 12_000, "blocks": 8_000}
POOL: dict[str, Any] = {"documents": 150_000, "blocks": 16_000}
DOCUMENT_TOKENS = 180_000
LINE_SHARE = 0.3


def pretrain_arms(run: RunFolder, *, seeds: int = 2, seed: int = 0) -> None:
    """Select documents of the scarce world by every rule, continue training on each selection, write the results.

    Parameters
    ----------
    run : RunFolder
        Run folder. Its folder ``pretrain/`` takes everything but the result, ``pretrain.parquet``.
    seeds : int, default 2
        Number of trainings per arm.
    seed : int, default 0
        Seed of the world, the base model and the selections.

    Raises
    ------
    ValueError
        Fewer than one training per arm.

    Notes
    -----
    Trains its own base model, once per cache: the shipped model has seen another world.
    """
    if seeds < 1:
        raise ValueError(f"pretrain_arms: seeds must be at least 1; got {seeds}")
    world = World(replace(scarce_config(seed), **POOL))
    checkpoint = train_model(World(replace(scarce_config(seed), **BASE)), seed=seed) / "model"
    with RunFolder(run / "pretrain") as below:
        below.stage("world", ["world"], lambda: world.write(below / "world"), settings=POOL | {"seed": seed})
        settings = Settings(
            model=str(checkpoint),
            lexicon=str(below / "world" / "lexicon.tsv"),
            corpus=[str(below / "world" / "corpus.jsonl.zst")],
            pairs=["a-b"],
            prompt="testbed",
            shots=4,
            latent=["p"],
            pivot_rule="paper",  # as in `demo_settings`
            min_pivot_score=0.1,
            seed=seed,
        )
        below.configure(settings.given())
        for stage in STAGES.making("documents.parquet"):
            STAGES.run(stage, below, settings)
        _select_arms(below, settings)
        table = pretrain(
            checkpoint,
            {arm: list(_texts(below / "arms" / arm / "selected.jsonl.zst")) for arm in ARMS},
            _texts(below / "world" / "lines.jsonl.zst"),
            held_out_items(world),
            tokens=round(DOCUMENT_TOKENS / (1 - LINE_SHARE)),
            line_share=LINE_SHARE,
            seeds=range(seeds),
        )
        write_table(table, run / "pretrain.parquet")


def _select_arms(below: RunFolder, settings: Settings) -> None:
    def make() -> None:
        documents = scored_documents(below, settings)
        for arm, how in ARMS.items():
            chosen = select(documents, budget_tokens=DOCUMENT_TOKENS, seed=settings.seed, **how)
            write_selection(chosen, settings.corpus, below / "arms" / arm)

    wanted = {"arms": ARMS, "tokens": DOCUMENT_TOKENS, "seed": settings.seed}
    below.stage("arms", ["arms"], make, settings=wanted, inputs=["documents.parquet"])


def _texts(path: Path) -> Iterator[str]:
    for batch in read_documents(path):
        yield from batch.texts
