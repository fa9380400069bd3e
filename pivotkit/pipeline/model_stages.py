"""The stages of the model's side: lexicon -> items -> scores, traces -> behaviors."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from pivotkit.artifacts import read_table, table_metadata, write_table
from pivotkit.errors import InputError
from pivotkit.pipeline.inputs import (
    LEXICON,
    MODEL,
    PAIRS,
    TUNED_LENS,
    latent_languages,
    lexicon_path,
    loaded_model,
)
from pivotkit.pipeline.run_folder import RunFolder
from pivotkit.pipeline.settings import Settings
from pivotkit.pipeline.stage import Stage
from pivotkit.progress import progress

# Items per shard of scores and traces: an interruption costs one shard at most. Items that share their contexts share
# more of them in a larger shard.
SHARD, SHARED_SHARD = 20, 128
CONTRAST_SUMS = "_contrast-{}.safetensors"  # readers of a folder of Parquet pass over names that begin with _


def task(run: RunFolder, settings: Settings) -> None:
    from pivotkit.words.lexicon import read_lexicon
    from pivotkit.words.prompts import PROMPTS
    from pivotkit.words.task import build_task

    items = build_task(
        read_lexicon(lexicon_path(settings)), settings.pairs, prompt=PROMPTS[settings.prompt], limit=settings.limit,
        shots=settings.shots, contexts=settings.contexts, distractors=settings.distractors, sharing=settings.sharing,
        seed=settings.seed,
    )  # fmt: skip
    write_table(items, run / "items.parquet")


TASK = Stage(
    name="task",
    help="build the translation task from a lexicon",
    run=task,
    reads=(LEXICON, PAIRS),
    writes=("items.parquet",),
    settings=("limit", "shots", "contexts", "distractors", "sharing", "prompt", "seed"),
    functions=("words.task.build_task",),
)


def score(run: RunFolder, settings: Settings) -> None:
    from pivotkit.lens.score import score as score_items

    items, wanted = read_table(run / "items.parquet"), SCORE.wanted(run, settings)
    model, tokenizer, head = loaded_model(settings)
    run.shards(
        "scores", items, _shard(items), run.key,
        lambda part: score_items(model, part, tokenizer, head=head), "scoring items",
    )  # fmt: skip
    scores = run.gather("scores")
    excluded = sum(scores["excluded"].to_pylist())
    write_table(scores, run / "scores.parquet", {"head": head.describe(), "excluded": excluded, **wanted})


SCORE = Stage(
    name="score",
    help="score the model's translations",
    run=score,
    reads=("items.parquet", MODEL),
    writes=("scores.parquet",),
    settings=("dtype",),
    functions=("lens.score.score",),
)


def trace(run: RunFolder, settings: Settings) -> None:
    from pivotkit.lens.fitted import load_lens
    from pivotkit.lens.positions import ANSWER
    from pivotkit.lens.trace import trace as trace_items

    items, wanted = read_table(run / "items.parquet"), TRACE.wanted(run, settings)
    known = [path for path in [run / "pivots.parquet"] if path.exists()]
    model, tokenizer, head = loaded_model(settings)
    lens = None if settings.tuned_lens is None else load_lens(settings.tuned_lens, head)
    chosen = {
        "positions": settings.positions, "latent": wanted["latent"], "pivots": _pivot_ids(known[0]) if known else None,
        "k": settings.k, "tracked": settings.tracked, "chains": settings.chains, "head": head,
        "policy": _policy(settings),
        "lens": lens,
    }  # fmt: skip
    for old in (run / "traces").glob(CONTRAST_SUMS.format("*")):
        if old.name != CONTRAST_SUMS.format(run.key[:12]):
            old.unlink()
    chosen["contrast"] = ANSWER in settings.positions and _contrast_sums(run, items, model, tokenizer, head, lens)
    run.shards(
        "traces", items, _shard(items), run.key,
        lambda part: trace_items(model, part, tokenizer, **chosen), "tracing items",
    )  # fmt: skip


TRACE = Stage(
    name="trace",
    help="trace what every layer predicts at the answer position",
    run=trace,
    reads=("items.parquet", MODEL),
    uses=("pivots.parquet", TUNED_LENS),
    writes=("traces",),
    settings=("dtype", "latent", "k", "positions", "tracked", "chains", "token_policy"),
    functions=("lens.trace.trace",),
    depends=latent_languages,
)


def _contrast_sums(run: RunFolder, items: pa.Table, model: Any, tokenizer: Any, head: Any, lens: Any) -> Any:
    """Sums over all items, which the traces of each shard need: those that a stopped run left, else made."""
    from pivotkit.lens.contrast_means import ContrastMeans, contrast_means

    path = run / "traces" / CONTRAST_SUMS.format(run.key[:12])
    with contextlib.suppress(FileNotFoundError, InputError):
        return ContrastMeans.load(path)
    parts = []
    with progress("summing over items", items.num_rows) as tell:
        for begin in range(0, items.num_rows, SHARED_SHARD):
            part = items.slice(begin, SHARED_SHARD)
            parts.append(contrast_means(model, part, tokenizer, lens=lens, head=head))
            tell(begin + part.num_rows)
    means = ContrastMeans.merge(parts)
    means.save(path)
    return means


def behaviors(run: RunFolder, settings: Settings) -> None:
    from pivotkit.lens.behavior import classify, sensitivity

    traces = run.gather("traces")
    write_table(classify(traces, **BEHAVIORS.wanted(run, settings)), run / "behaviors.parquet")
    write_table(sensitivity(traces), run / "sensitivity.parquet")


BEHAVIORS = Stage(
    name="behaviors",
    help="tell co-occurrence behavior from pivot behavior",
    run=behaviors,
    reads=("traces",),
    writes=("behaviors.parquet", "sensitivity.parquet"),
    settings=("min_probability", "least_contrast", "threshold", "least_peak"),
    functions=("lens.behavior.classify", "lens.behavior.sensitivity"),
)


def _pivot_ids(path: Path) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row in read_table(path).select(["item", "token_id"]).to_pylist():
        found.setdefault(row["item"], []).append(row["token_id"])
    return found


def _policy(settings: Settings) -> Any:
    from pivotkit.words.word_tokens import POLICIES, TokenPolicy

    unknown = set(settings.token_policy) - set(POLICIES)
    if unknown:
        raise ValueError(f"trace: token_policy must name {', '.join(POLICIES)}; got {', '.join(sorted(unknown))}")
    return TokenPolicy(**settings.token_policy)


def _shard(items: pa.Table) -> int:
    shared = table_metadata(items).get("settings", {}).get("sharing") == "pair"
    return SHARED_SHARD if shared else SHARD
