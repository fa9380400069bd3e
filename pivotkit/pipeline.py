"""The stages of a run, each from the artifacts before it; here the model's wing and the corpus's wing meet."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from pivotkit.artifacts import read_table, write_json, write_table
from pivotkit.run_folder import RunFolder
from pivotkit.settings import Settings

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


def tokens(run: RunFolder, settings: Settings) -> None:
    """corpus -> tokens/: every document's ids under the model's tokenizer"""
    from pivotkit.corpus.documents import corpus_files
    from pivotkit.corpus.tokens import tokenize

    files = corpus_files(_corpus(settings))
    run.stage(
        "tokens", ["tokens"],
        lambda: void(tokenize(files, _tokenizer(settings), run / "tokens", on_error=settings.on_error)),
        settings=settings.of("tokens"), inputs=[*_absolute(files), *_model_files(settings)],
    )  # fmt: skip


def count(run: RunFolder, settings: Settings) -> None:
    """items, corpus, tokens/ -> counts/"""
    from pivotkit.corpus.count import count as count_corpus
    from pivotkit.corpus.documents import corpus_files
    from pivotkit.corpus.tokens import TokenStore
    from pivotkit.corpus.watchlist import WatchList

    items = read_table(run.need("items.parquet", "task"))
    run.need("tokens", "tokens")
    files = corpus_files(_corpus(settings))

    def make() -> None:
        words, pairs = watch_words(items, _latent(settings, items))
        count_corpus(
            files, WatchList(words), pairs=pairs, context=TokenStore.open(run / "tokens"), memory=settings.memory,
            workers=settings.workers, on_error=settings.on_error, out=run / "counts",
        )  # fmt: skip

    wanted = settings.of("count") | {"latent": _latent(settings, items)}
    wanted.pop("workers")  # the counts do not depend on it
    run.stage("count", ["counts"], make, settings=wanted, inputs=["items.parquet", "tokens", *_absolute(files)])


def pivots(run: RunFolder, settings: Settings) -> None:
    """items, counts/ -> pivots.parquet, hubs.parquet"""
    from pivotkit.corpus.counts import Counts
    from pivotkit.pivots.find import find_pivots
    from pivotkit.pivots.hubs import hub_pivots
    from pivotkit.words.token_sets import TokenSets

    items = read_table(run.need("items.parquet", "task"))
    run.need("counts", "count")

    def make() -> None:
        tokenizer = _tokenizer(settings)
        found = find_pivots(
            Counts.load(run / "counts"), items, rule=settings.pivot_rule, k=settings.pivots,
            token_sets=TokenSets(tokenizer), tokenizer=tokenizer, min_score=settings.min_pivot_score,
            seed=settings.seed,
        )  # fmt: skip
        write_table(found, run / "pivots.parquet")
        write_table(hub_pivots(found, k=settings.hubs), run / "hubs.parquet")

    run.stage(
        "pivots", ["pivots.parquet", "hubs.parquet"], make,
        settings=settings.of("pivots"), inputs=["items.parquet", "counts", *_model_files(settings)],
    )  # fmt: skip


def score(run: RunFolder, settings: Settings) -> None:
    """items, model -> scores.parquet"""
    items = read_table(run.need("items.parquet", "task"))
    inputs = ["items.parquet", *_model_files(settings)]
    wanted = settings.of("score")

    def make() -> None:
        from pivotkit.lens.score import score as score_items

        model, tokenizer, head = _model(settings)
        run.shards(
            "scores", items, SHARD, _fingerprint(items, wanted),
            lambda part: score_items(model, part, tokenizer, head=head), "scoring items",
        )  # fmt: skip
        write_table(run.gather("scores"), run / "scores.parquet", {"head": head.describe(), **wanted})

    run.stage("score", ["scores.parquet"], make, settings=wanted, inputs=inputs)


def trace(run: RunFolder, settings: Settings) -> None:
    """items, model, pivots.parquet where it lies -> traces/"""
    items = read_table(run.need("items.parquet", "task"))
    latent = _latent(settings, items)
    wanted = settings.of("trace") | {"latent": latent}
    known = [name for name in ["pivots.parquet"] if (run / name).exists()]

    def make() -> None:
        from pivotkit.lens.trace import trace as trace_items

        model, tokenizer, head = _model(settings)
        tracked = _pivot_ids(run) if known else None
        run.shards(
            "traces", items, SHARD, _fingerprint(items, wanted | {"pivots": _digest(run, known)}),
            lambda part: trace_items(model, part, tokenizer, latent=latent, pivots=tracked, k=settings.k, head=head),
            "tracing items",
        )  # fmt: skip

    run.stage("trace", ["traces"], make, settings=wanted, inputs=["items.parquet", *known, *_model_files(settings)])


def behaviors(run: RunFolder, settings: Settings) -> None:
    """traces/ -> behaviors.parquet"""
    from pivotkit.lens.behavior import classify

    run.need("traces", "trace")
    run.stage(
        "behaviors", ["behaviors.parquet"],
        lambda: void(write_table(
            classify(run.gather("traces"), min_probability=settings.min_probability), run / "behaviors.parquet"
        )),
        settings=settings.of("behaviors"), inputs=["traces"],
    )  # fmt: skip


def attribution(run: RunFolder, settings: Settings) -> None:
    """items, behaviors, counts/, scores -> attribution.json"""
    from pivotkit.experiment.attribution import attribute

    inputs = ["items.parquet", "behaviors.parquet", "counts/pairs.parquet", "scores.parquet"]
    for name, stage in zip(inputs, ("task", "behaviors", "count", "score"), strict=True):
        run.need(name, stage)

    def make() -> None:
        items, seen, pairs, scores = (read_table(run / name) for name in inputs)
        found = attribute(seen, pairs, items=items, scores=scores, seed=settings.seed)
        write_json(found, run / "attribution.json")

    run.stage("attribution", ["attribution.json"], make, settings=settings.of("attribution"), inputs=inputs)


def score_documents(run: RunFolder, settings: Settings) -> None:
    """items, corpus, tokens/, hubs.parquet -> documents.parquet"""
    from pivotkit.corpus.documents import corpus_files
    from pivotkit.corpus.match import match_documents
    from pivotkit.corpus.tokens import TokenStore
    from pivotkit.corpus.watchlist import WatchList
    from pivotkit.selection.scores import score_documents as score_store

    inputs = ["items.parquet", "tokens", "hubs.parquet"]
    for name, stage in zip(inputs, ("task", "tokens", "pivots"), strict=True):
        run.need(name, stage)
    files = corpus_files(_corpus(settings))

    def make() -> None:
        items = read_table(run / "items.parquet")
        words, _ = watch_words(items, [])
        hits = match_documents(files, WatchList(words), on_error=settings.on_error)
        hubs = read_table(run / "hubs.parquet")
        store = TokenStore.open(run / "tokens")
        write_table(score_store(store, hubs, hits=hits, pairs=items), run / "documents.parquet")

    wanted = settings.of("score-documents")
    run.stage("score-documents", ["documents.parquet"], make, settings=wanted, inputs=[*inputs, *_absolute(files)])


def select(run: RunFolder, settings: Settings) -> None:
    """items, documents.parquet, corpus -> selection/"""
    from pivotkit.corpus.documents import corpus_files
    from pivotkit.selection.select import select as select_documents
    from pivotkit.selection.write import write_selection

    inputs = ["items.parquet", "documents.parquet"]
    for name, stage in zip(inputs, ("task", "score-documents"), strict=True):
        run.need(name, stage)
    files = corpus_files(_corpus(settings))

    def make() -> None:
        items, documents = (read_table(run / name) for name in inputs)
        chosen = select_documents(
            documents,
            budget_tokens=settings.budget_tokens or max(1, sum(documents["tokens"].to_pylist()) // 10),
            language_quotas=settings.quotas or _equal_quotas(items, documents),
            strategy=settings.strategy,
            seed=settings.seed,
            allow_shortfall=not settings.quotas,  # a quota that was asked for is met or refused
        )
        write_selection(chosen, files, run / "selection", on_error=settings.on_error)

    wanted = settings.of("select")
    run.stage("select", ["selection"], make, settings=wanted, inputs=[*inputs, *_absolute(files)])


def report(run: RunFolder, settings: Settings) -> None:
    """Everything -> report.html"""
    from pivotkit.report import write_report

    write_report(run.folder)


STAGES: dict[str, Callable[[RunFolder, Settings], None]] = {
    "task": task, "tokens": tokens, "count": count, "pivots": pivots, "score": score, "trace": trace,
    "behaviors": behaviors, "attribution": attribution, "score-documents": score_documents, "select": select,
    "report": report,
}  # fmt: skip
CORPUS_STAGES = {"tokens", "count", "pivots", "attribution", "score-documents", "select"}


def run_all(run: RunFolder, settings: Settings) -> None:
    """Every stage in order; those that need a corpus only when one is given."""
    run.configure(settings.given())
    for name, stage in STAGES.items():
        if settings.corpus or name not in CORPUS_STAGES:
            stage(run, settings)


def watch_words(items: pa.Table, latent: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The words to count and the pairs to count together: source with target, and each with every latent word."""
    words: dict[str, None] = {}
    pairs: dict[tuple[str, str], None] = {}
    for row in items.select(["source", "target", "words"]).to_pylist():
        known = dict(row["words"])
        between = [known[code] for code in latent if code in known]
        words.update(dict.fromkeys([row["source"], row["target"], *between]))
        pairs[row["source"], row["target"]] = None
        for middle in between:
            pairs.update(dict.fromkeys((word, middle) for word in (row["source"], row["target"]) if word != middle))
    return list(words), [(first, second) for first, second in pairs if first != second]


def void(value: object) -> None:
    """Drop a value where a stage is one expression."""


def _latent(settings: Settings, items: pa.Table) -> list[str]:
    """The latent languages asked for; English where nothing was said and the lexicon has it."""
    if settings.latent is not None:
        return settings.latent
    return ["en"] if any("en" in dict(row["words"]) for row in items.select(["words"]).to_pylist()) else []


def _equal_quotas(items: pa.Table, documents: pa.Table) -> dict[str, float] | None:
    """Equal shares for the pairs' languages that the corpus has; None, one pool of documents, where it has none."""
    wanted = {code for pair in items["pair"].unique().to_pylist() for code in pair.split("-")}
    found = sorted(wanted & set(documents["lang"].unique().to_pylist()))
    return {code: 1 / len(found) for code in found} or None


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


def _corpus(settings: Settings) -> list[str]:
    if not settings.corpus:
        raise ValueError("pivotkit: corpus must be given; got none")
    return settings.corpus


def _missing(**values: object) -> str:
    return " and ".join(f"no {name}" for name, value in values.items() if not value)


def _absolute(files: list[Path]) -> list[Path]:
    return [file.absolute() for file in files]


def _model_name(settings: Settings) -> str:
    if settings.model is None:
        raise ValueError("pivotkit: model must be given; got none")
    return settings.model


def _model_files(settings: Settings) -> list[Path]:
    """The model's folder, as an input that may change; a hub id has none."""
    from pivotkit.lens.model import find_model

    folder = Path(find_model(_model_name(settings)))
    return [folder.absolute()] if folder.is_dir() else []


def _model(settings: Settings) -> tuple[Any, Any, Any]:
    return _loaded(_model_name(settings), settings.dtype)


@functools.lru_cache(maxsize=1)
def _loaded(name: str, dtype: str) -> tuple[Any, Any, Any]:
    """One model at a time in memory, with its tokenizer and its proved head."""
    from pivotkit.lens.head import LensHead
    from pivotkit.lens.model import load_model

    model, tokenizer = load_model(name, dtype=dtype)
    return model, tokenizer, LensHead.from_model(model)


def _tokenizer(settings: Settings) -> Any:
    from pivotkit.lens.model import load_tokenizer

    return load_tokenizer(_model_name(settings))
