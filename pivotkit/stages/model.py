"""The model's wing: lexicon -> items -> scores, traces -> behaviors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from pivotkit.artifacts import read_table, write_table
from pivotkit.run_folder import RunFolder
from pivotkit.settings import Settings
from pivotkit.stages.inputs import latent_languages, loaded_model, model_files

SHARD = 20  # items whose scores or traces are written together: what an interruption can cost


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
            "scores", items, SHARD, _fingerprint(items, wanted),
            lambda part: score_items(model, part, tokenizer, head=head), "scoring items",
        )  # fmt: skip
        write_table(run.gather("scores"), run / "scores.parquet", {"head": head.describe(), **wanted})

    run.stage("score", ["scores.parquet"], make, settings=wanted, inputs=inputs)


def trace(run: RunFolder, settings: Settings) -> None:
    """items, model, pivots.parquet where it lies -> traces/"""
    items = read_table(run.need("items.parquet", "task"))
    latent = latent_languages(settings, items)
    wanted = settings.of("trace") | {"latent": latent}
    known = [name for name in ["pivots.parquet"] if (run / name).exists()]

    def make() -> None:
        from pivotkit.lens.trace import trace as trace_items

        model, tokenizer, head = loaded_model(settings)
        tracked = _pivot_ids(run) if known else None
        run.shards(
            "traces", items, SHARD, _fingerprint(items, wanted | {"pivots": _digest(run, known)}),
            lambda part: trace_items(model, part, tokenizer, latent=latent, pivots=tracked, k=settings.k, head=head),
            "tracing items",
        )  # fmt: skip

    run.stage("trace", ["traces"], make, settings=wanted, inputs=["items.parquet", *known, *model_files(settings)])


def behaviors(run: RunFolder, settings: Settings) -> None:
    """traces/ -> behaviors.parquet"""
    from pivotkit.lens.behavior import classify

    run.need("traces", "trace")

    def make() -> None:
        found = classify(
            run.gather("traces"), min_probability=settings.min_probability, first_layer=settings.first_layer
        )
        write_table(found, run / "behaviors.parquet")

    run.stage("behaviors", ["behaviors.parquet"], make, settings=settings.of("behaviors"), inputs=["traces"])


def _missing(**values: object) -> str:
    return " and ".join(f"no {name}" for name, value in values.items() if not value)


def _pivot_ids(run: RunFolder) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row in read_table(run / "pivots.parquet").select(["item", "token_id"]).to_pylist():
        found.setdefault(row["item"], []).append(row["token_id"])
    return found


def _digest(run: RunFolder, names: list[str]) -> list[str]:
    return [hashlib.blake2b((run / name).read_bytes(), digest_size=16).hexdigest() for name in names]


def _fingerprint(items: pa.Table, wanted: dict[str, Any]) -> str:
    """What the shards of a stage depend on, as a hash."""
    raw = orjson.dumps([items.to_pylist(), wanted], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(raw, digest_size=16).hexdigest()
