"""The stages of the model's side: lexicon -> items -> scores, traces -> behaviors."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pivotkit.artifacts import read_table, table_metadata, with_metadata, write_table
from pivotkit.errors import InputError
from pivotkit.pipeline.inputs import (
    ITEMS,
    LEXICON,
    MODEL,
    PAIRS,
    TUNED_LENS,
    items_path,
    latent_languages,
    lexicon_path,
    loaded_model,
    model_tokenizer,
)
from pivotkit.pipeline.settings import Settings, flag, options
from pivotkit.pipeline.stage import Stage
from pivotkit.progress import console, progress
from pivotkit.run_folder import RunFolder

# Items per shard of scores and traces: an interruption costs one shard at most. Items that share their contexts share
# more of them in a larger shard. Traces with contrasts have a shard per pair, so that the model runs once: the contrast
# of an item needs the states of all items of its pair.
SHARD, SHARED_SHARD = 20, 128
CONTRAST_SUMS = "_contrast-{}.safetensors"  # readers of a folder of Parquet pass over names that begin with _


def task(run: RunFolder, settings: Settings) -> None:
    from pivotkit.words.chosen_concepts import FREQUENT
    from pivotkit.words.items import read_items
    from pivotkit.words.lexicon import read_lexicon
    from pivotkit.words.prompts import PAPER, PROMPTS
    from pivotkit.words.task import build_task

    own = settings.template is not None
    if settings.limit is None and settings.limit_by != FREQUENT:
        raise ValueError("task: --limit-by must be given with --limit; got no --limit")
    if settings.items is not None:
        _check_options(settings)
        items = read_items(
            items_path(settings), pairs=settings.pairs or None, distractors=settings.distractors, limit=settings.limit,
            seed=settings.seed,
        )  # fmt: skip
    else:
        items = build_task(
            read_lexicon(lexicon_path(settings)), settings.pairs, prompt=PAPER if own else PROMPTS[settings.prompt],
            template=_line_breaks(settings.template) if settings.template is not None else None, chat=_chat(settings),
            tokenizer=model_tokenizer(settings) if settings.chat else None, limit=settings.limit,
            limit_by=settings.limit_by, shots=settings.shots, contexts=settings.contexts,
            distractors=settings.distractors, sharing=settings.sharing, seed=settings.seed,
        )  # fmt: skip
    told = table_metadata(items).get("concepts")  # a table of one's own need not name them
    if settings.limit is not None and told is not None and told["chosen"] < settings.limit:
        console.print(f"task: {told['chosen']} concepts are in all pairs, fewer than the limit of {settings.limit}")
    write_table(items, run / "items.parquet")


def task_needs(settings: Settings) -> tuple[str, ...]:
    """Items of one's own stand for a lexicon and its pairs; a chat template comes with the model's tokenizer."""
    if settings.items is not None:
        return (ITEMS,)
    return LEXICON, PAIRS, *((MODEL,) if settings.chat else ())


WORDING = (
    "shots",
    "contexts",
    "sharing",
    "prompt",
    "template",
    "chat",
    "chat_variables",
)  # say how prompts are made of a lexicon


def _check_options(settings: Settings) -> None:
    plain = type(settings)()
    for option in options(type(settings), ("limit_by", *WORDING)):
        if (value := getattr(settings, option.name)) != getattr(plain, option.name):
            raise ValueError(f"task: {flag(option)} must not be given with --items; got {value}")


def _chat(settings: Settings) -> bool | dict[str, Any]:
    """Whether prompts are conversations, or the variables of their template, with numbers and truths read as such."""
    if settings.chat_variables and not settings.chat:
        raise ValueError("task: --chat-variables must be given with --chat; got no --chat")
    read: dict[str, Any] = {}
    for name, value in settings.chat_variables.items():
        try:
            read[name] = orjson.loads(value)
        except orjson.JSONDecodeError:
            read[name] = value
    return read or settings.chat


def _line_breaks(text: str) -> str:
    """The text of a flag, in which ``\\n`` and ``\\t`` stand for what a shell makes hard to type."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


TASK = Stage(
    name="task",
    help="build the translation task from a lexicon, or read items of one's own",
    run=task,
    reads=(LEXICON, PAIRS, ITEMS, MODEL),
    needs=task_needs,
    writes=("items.parquet",),
    settings=("limit", "limit_by", "distractors", *WORDING, "seed"),
    functions=("words.task.build_task", "words.items.read_items"),
)


def score(run: RunFolder, settings: Settings) -> None:
    from pivotkit.lens.score import score as score_items

    items, wanted = read_table(run / "items.parquet"), SCORE.wanted(run, settings)
    model, tokenizer, head = loaded_model(settings)
    run.shards(
        "scores", _parts(items, _shard(items)), run.key,
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
    settings=(
        "dtype",
        "device",
    ),
    functions=("lens.score.score",),
    revision=2,  # targets are read at their telling piece
)


def trace(run: RunFolder, settings: Settings) -> None:
    from pivotkit.lens.contrast import states_that_fit
    from pivotkit.lens.groups import contrast_groups
    from pivotkit.lens.positions import ANSWER
    from pivotkit.lens.trace import trace as trace_items

    items, wanted = read_table(run / "items.parquet"), TRACE.wanted(run, settings)
    known = [path for path in [run / "pivots.parquet"] if path.exists()]
    model, tokenizer, head = loaded_model(settings)
    chosen = {
        "positions": settings.positions, "latent": wanted["latent"], "pivots": read_table(known[0]) if known else None,
        "k": settings.k, "tracked": settings.tracked, "chains": settings.chains, "head": head,
        "policy": _policy(settings),
    }  # fmt: skip
    for old in (run / "traces").glob(CONTRAST_SUMS.format("*")):
        if old.name != CONTRAST_SUMS.format(run.key[:12]):
            old.unlink()
    if ANSWER not in settings.positions:
        run.shards(
            "traces", _parts(items, _shard(items)), run.key,
            lambda part: trace_items(model, part, tokenizer, contrast=False, **chosen), "tracing items",
        )  # fmt: skip
        return
    whole, cut = _by_pair(items, states_that_fit(head))
    means = _contrast_sums(run, cut, model, tokenizer, head) if cut else True
    summed = {part["pair"][0].as_py() for part in cut}
    groups = contrast_groups(items, tokenizer)

    def trace_part(part: pa.Table) -> pa.Table:
        contrast = means if part["pair"][0].as_py() in summed else True
        table = trace_items(model, part, tokenizer, contrast=contrast, **chosen)
        # Each shard says of all pairs which have contrasts, since a reader of the folder sees the metadata of one.
        return with_metadata(table, {**table_metadata(table), "contrast": groups})

    run.shards("traces", [*whole, *cut], run.key, trace_part, "tracing items")


TRACE = Stage(
    name="trace",
    help="trace what every layer predicts at the answer position",
    run=trace,
    reads=("items.parquet", MODEL),
    uses=("pivots.parquet",),
    writes=("traces",),
    settings=("dtype", "device", "latent", "k", "positions", "tracked", "chains", "token_policy"),
    functions=("lens.trace.trace",),
    depends=latent_languages,
    revision=3,  # the masses of the pivots' controls are recorded
)


def trace_fitted(run: RunFolder, settings: Settings) -> None:
    from pivotkit.lens.fitted import load_lens
    from pivotkit.lens.trace import trace as trace_items

    items, wanted = read_table(run / "items.parquet"), TRACE_FITTED.wanted(run, settings)
    pivots = read_table(run / "pivots.parquet") if (run / "pivots.parquet").exists() else None
    model, tokenizer, head = loaded_model(settings)
    assert settings.tuned_lens is not None, "the stage must read TUNED_LENS"
    lens, policy = load_lens(settings.tuned_lens, head), _policy(settings)
    run.shards(
        "traces_fitted", _parts(items, _shard(items)), run.key,
        lambda part: trace_items(
            model, part, tokenizer, latent=wanted["latent"], pivots=pivots, k=settings.k, contrast=False, lens=lens,
            policy=policy, head=head,
        ), "tracing items through the fitted lens",
    )  # fmt: skip


# Beside the raw trace, never in its place: behaviors and contrasts are those of the raw lens, which shows what a layer
# holds; a fitted lens says what the last layer will say.
TRACE_FITTED = Stage(
    name="trace-fitted",
    help="trace the answer through a fitted lens too, to set beside the raw lens",
    run=trace_fitted,
    reads=("items.parquet", MODEL, TUNED_LENS),
    uses=("pivots.parquet",),
    writes=("traces_fitted",),
    settings=("dtype", "device", "latent", "k", "token_policy"),
    functions=("lens.fitted.load_lens", "lens.trace.trace"),
    depends=latent_languages,
    revision=2,  # the masses of the pivots' controls are recorded
)


def _by_pair(items: pa.Table, fit: int) -> tuple[list[pa.Table], list[pa.Table]]:
    """Pairs of which the states of all items fit into memory, each whole, and the rest of the items in parts."""
    order = {pair: number for number, pair in enumerate(dict.fromkeys(items["pair"].to_pylist()))}
    pairs = [items.filter(pc.field("pair") == pair) for pair in order]
    cut = [part for own in pairs if own.num_rows > fit for part in _parts(own, _shard(items))]
    return [own for own in pairs if own.num_rows <= fit], cut


def _contrast_sums(run: RunFolder, parts: Sequence[pa.Table], model: Any, tokenizer: Any, head: Any) -> Any:
    """Sums over all items of pairs that are traced in parts: those that a stopped run left, else made."""
    from pivotkit.lens.contrast_means import ContrastMeans, contrast_means

    path = run / "traces" / CONTRAST_SUMS.format(run.key[:12])
    with contextlib.suppress(FileNotFoundError, InputError):
        return ContrastMeans.load(path)
    sums, done = [], 0
    with progress("summing over items", sum(part.num_rows for part in parts)) as tell:
        for part in parts:
            sums.append(contrast_means(model, part, tokenizer, head=head))
            tell(done := done + part.num_rows)
    means = ContrastMeans.merge(sums)
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


def _policy(settings: Settings) -> Any:
    from pivotkit.words.word_tokens import POLICIES, TokenPolicy

    unknown = set(settings.token_policy) - set(POLICIES)
    if unknown:
        raise ValueError(f"trace: token_policy must name {', '.join(POLICIES)}; got {', '.join(sorted(unknown))}")
    return TokenPolicy(**settings.token_policy)


def _parts(items: pa.Table, size: int) -> list[pa.Table]:
    return [items.slice(begin, size) for begin in range(0, items.num_rows, size)]


def _shard(items: pa.Table) -> int:
    shared = table_metadata(items).get("settings", {}).get("sharing") == "pair"
    return SHARED_SHARD if shared else SHARD
