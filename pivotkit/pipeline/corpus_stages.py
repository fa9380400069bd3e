"""The corpus's wing: documents -> tokens -> counts -> pivots -> document scores -> selection."""

from __future__ import annotations

import pyarrow as pa

from pivotkit.artifacts import read_table, write_table
from pivotkit.pipeline.inputs import corpus_paths, latent_languages, model_files, model_tokenizer, watch_words
from pivotkit.pipeline.run_folder import RunFolder
from pivotkit.pipeline.settings import Settings


def tokens(run: RunFolder, settings: Settings) -> None:
    """corpus -> tokens/: every document's ids under the model's tokenizer"""
    from pivotkit.corpus.reading.token_store import tokenize

    files = corpus_paths(settings)
    run.stage(
        "tokens", ["tokens"],
        lambda: tokenize(files, model_tokenizer(settings), run / "tokens", on_error=settings.on_error),
        settings=settings.of("tokens"), inputs=[*files, *model_files(settings)],
    )  # fmt: skip


def count(run: RunFolder, settings: Settings) -> None:
    """items, corpus, tokens/ -> counts/"""
    from pivotkit.corpus.count import count as count_corpus
    from pivotkit.corpus.matching.watchlist import WatchList
    from pivotkit.corpus.reading.token_store import TokenStore

    items = read_table(run.need("items.parquet", "task"))
    run.need("tokens", "tokens")
    files = corpus_paths(settings)

    def make() -> None:
        words, pairs = watch_words(items, latent_languages(settings, items))
        count_corpus(
            files, WatchList(words), pairs=pairs, context=TokenStore.open(run / "tokens"), memory=settings.memory,
            workers=settings.workers, on_error=settings.on_error, out=run / "counts",
        )  # fmt: skip

    wanted = settings.of("count") | {"latent": latent_languages(settings, items)}
    wanted.pop("workers")  # the counts do not depend on it
    run.stage("count", ["counts"], make, settings=wanted, inputs=["items.parquet", "tokens", *files])


def pivots(run: RunFolder, settings: Settings) -> None:
    """items, counts/ -> pivots.parquet, hubs.parquet"""
    from pivotkit.corpus.tables.counts import Counts
    from pivotkit.pivots.find import find_pivots
    from pivotkit.pivots.hubs import hub_pivots
    from pivotkit.words.word_tokens import WordTokens

    items = read_table(run.need("items.parquet", "task"))
    run.need("counts", "count")

    def make() -> None:
        tokenizer = model_tokenizer(settings)
        found = find_pivots(
            Counts.load(run / "counts"), items, rule=settings.pivot_rule, k=settings.pivots,
            word_tokens=WordTokens(tokenizer), tokenizer=tokenizer, min_score=settings.min_pivot_score,
            seed=settings.seed,
        )  # fmt: skip
        write_table(found, run / "pivots.parquet")
        write_table(hub_pivots(found, k=settings.hubs), run / "hubs.parquet")

    run.stage(
        "pivots", ["pivots.parquet", "hubs.parquet"], make,
        settings=settings.of("pivots"), inputs=["items.parquet", "counts", *model_files(settings)],
    )  # fmt: skip


def score_documents(run: RunFolder, settings: Settings) -> None:
    """items, corpus, tokens/, hubs.parquet -> documents.parquet"""
    from pivotkit.corpus.matching.match import match_documents
    from pivotkit.corpus.matching.watchlist import WatchList
    from pivotkit.corpus.reading.token_store import TokenStore
    from pivotkit.selection.scores import score_documents as score_store

    inputs = ["items.parquet", "tokens", "hubs.parquet"]
    for name, stage in zip(inputs, ("task", "tokens", "pivots"), strict=True):
        run.need(name, stage)
    files = corpus_paths(settings)

    def make() -> None:
        items = read_table(run / "items.parquet")
        words, _ = watch_words(items, [])
        hits = match_documents(files, WatchList(words), on_error=settings.on_error)
        hubs = read_table(run / "hubs.parquet")
        store = TokenStore.open(run / "tokens")
        write_table(score_store(store, hubs, hits=hits, pairs=items), run / "documents.parquet")

    wanted = settings.of("score-documents")
    run.stage("score-documents", ["documents.parquet"], make, settings=wanted, inputs=[*inputs, *files])


def select(run: RunFolder, settings: Settings) -> None:
    """items, documents.parquet, corpus -> selection/"""
    from pivotkit.selection.select import select as select_documents
    from pivotkit.selection.write import write_selection

    inputs = ["items.parquet", "documents.parquet"]
    for name, stage in zip(inputs, ("task", "score-documents"), strict=True):
        run.need(name, stage)
    files = corpus_paths(settings)

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
    run.stage("select", ["selection"], make, settings=wanted, inputs=[*inputs, *files])


def _equal_quotas(items: pa.Table, documents: pa.Table) -> dict[str, float] | None:
    """Equal shares for the pairs' languages that the corpus has; None, one pool of documents, where it has none."""
    wanted = {code for pair in items["pair"].unique().to_pylist() for code in pair.split("-")}
    found = sorted(wanted & set(documents["lang"].unique().to_pylist()))
    return {code: 1 / len(found) for code in found} or None
