"""The model's wing: lexicon -> items -> scores, traces -> behaviors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from pivotkit.artifacts import read_table, table_metadata, write_table
from pivotkit.pipeline.inputs import latent_languages, loaded_model, model_files
from pivotkit.pipeline.run_folder import RunFolder, environment, stage_key
from pivotkit.pipeline.settings import Settings

# Items whose scores or traces are written together: what an interruption can cost. Where items share their contexts, more
# of them share more.
SHARD, SHARED_SHARD = 20, 128


def task(run: RunFolder, settings: Settings) -> None:
    """lexicon -> items.parquet"""
    from pivotkit.words.lexicon import read_lexicon
    from pivotkit.words.prompts import PROMPTS
    from pivotkit.words.task import build_task

    if settings.lexicon is None or not settings.pairs:
        raise ValueError(
            "task: lexicon and pairs must be given; got " + _missing(lexicon=settings.lexicon, pairs=settings.pairs)
        )
    lexicon = Path(settings.lexicon)
    wanted = settings.of("task")

    def make() -> None:
        chosen = {name: wanted[name] for name in ("limit", "shots", "contexts", "distractors", "sharing", "seed")}
        items = build_task(read_lexicon(lexicon), settings.pairs, prompt=PROMPTS[settings.prompt], **chosen)
        write_table(items, run / "items.parquet")

    run.stage("task", ["items.parquet"], make, settings=wanted, inputs=[lexicon.absolute()])


def score(run: RunFolder, settings: Settings) -> None:
    """items, model -> scores.parquet"""
    items = read_table(run.need("items.parquet", "task"))
    inputs: list[str | Path] = ["items.parquet", *model_files(settings)]
    wanted = settings.of("score")

    def make() -> None:
        from pivotkit.lens.score import score as score_items

        model, tokenizer, head = loaded_model(settings)
        run.shards(
            "scores", items, _shard(items), _fingerprint(items, wanted, model_files(settings)),
            lambda part: score_items(model, part, tokenizer, head=head), "scoring items",
        )  # fmt: skip
        scores = run.gather("scores")
        excluded = sum(scores["excluded"].to_pylist())
        write_table(scores, run / "scores.parquet", {"head": head.describe(), "excluded": excluded, **wanted})

    run.stage("score", ["scores.parquet"], make, settings=wanted, inputs=inputs)


def trace(run: RunFolder, settings: Settings) -> None:
    """items, model, pivots.parquet where it lies -> traces/"""
    items = read_table(run.need("items.parquet", "task"))
    latent = latent_languages(settings, items)
    wanted = settings.of("trace") | {"latent": latent}
    known = [name for name in ["pivots.parquet"] if (run / name).exists()]

    def make() -> None:
        from pivotkit.lens.trace import trace as trace_items
        from pivotkit.lens.tuned import TunedLens

        model, tokenizer, head = loaded_model(settings)
        chosen = {
            "positions": settings.positions, "latent": latent, "pivots": _pivot_ids(run) if known else None,
            "k": settings.k, "tracked": settings.tracked, "chains": settings.chains, "head": head,
            "policy": _policy(settings),
            "lens": None if settings.tuned_lens is None else TunedLens.load(settings.tuned_lens, head),
        }  # fmt: skip
        run.shards(
            "traces", items, _shard(items), _fingerprint(items, wanted, files, [run / name for name in known]),
            lambda part: trace_items(model, part, tokenizer, **chosen), "tracing items",
        )  # fmt: skip

    files = [*model_files(settings), *([Path(settings.tuned_lens).absolute()] if settings.tuned_lens else [])]
    run.stage("trace", ["traces"], make, settings=wanted, inputs=["items.parquet", *known, *files])


def behaviors(run: RunFolder, settings: Settings) -> None:
    """traces/ -> behaviors.parquet, sensitivity.parquet"""
    from pivotkit.lens.behavior import classify, sensitivity

    run.need("traces", "trace")
    outputs = ["behaviors.parquet", "sensitivity.parquet"]
    wanted = settings.of("behaviors")

    def make() -> None:
        traces = run.gather("traces")
        write_table(classify(traces, **wanted), run / outputs[0])
        write_table(sensitivity(traces), run / outputs[1])

    run.stage("behaviors", outputs, make, settings=wanted, inputs=["traces"])


def _missing(**values: object) -> str:
    return " and ".join(f"no {name}" for name, value in values.items() if not value)


def _pivot_ids(run: RunFolder) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row in read_table(run / "pivots.parquet").select(["item", "token_id"]).to_pylist():
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


def _fingerprint(items: pa.Table, wanted: dict[str, Any], files: list[Path], artifacts: Sequence[Path] = ()) -> str:
    """What the shards of a stage depend on, as a hash: not on where the run folder lies."""
    contents = [hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in artifacts]
    raw = [items.to_pylist(), wanted, contents, stage_key("shards", environment(), files)]
    return hashlib.blake2b(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
