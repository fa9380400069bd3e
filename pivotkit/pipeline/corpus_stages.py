"""The stages of the corpus's side: documents -> tokens -> counts -> pivots -> document scores -> selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pivotkit.artifacts import read_table, table_metadata, write_table
from pivotkit.pipeline.inputs import (
    CORPUS,
    LANGUAGES,
    MODEL,
    TOKEN_FILES,
    check_no_token_options,
    corpus_paths,
    given_tokens,
    latent_languages,
    model_tokenizer,
    watch_words,
)
from pivotkit.pipeline.run_folder import RunFolder
from pivotkit.pipeline.settings import Settings, option
from pivotkit.pipeline.stage import Stage
from pivotkit.progress import console
from pivotkit.words.languages import parse_pair

if TYPE_CHECKING:
    from pivotkit.corpus.counting.strata import Strata
    from pivotkit.corpus.languages.language_table import LanguageTable
    from pivotkit.corpus.token_store.store import TokenStore

TOKEN_OPTIONS = ("token_format", "token_dtype", "vocab_size", "eos", "bos")


def tokens(run: RunFolder, settings: Settings) -> None:
    from pivotkit.corpus.token_store.tokenize import tokenize

    tokenizer, out = model_tokenizer(settings), run / "tokens"
    tokenize(corpus_paths(settings), tokenizer, out, on_error=settings.on_error, replace=True)


TOKENS = Stage(
    name="tokens",
    help="tokenize the corpus once, with the model's tokenizer",
    run=tokens,
    reads=(CORPUS, MODEL),
    writes=("tokens",),
    settings=("on_error",),
    functions=("corpus.token_store.tokenize.tokenize",),
)


def count(run: RunFolder, settings: Settings) -> None:
    from pivotkit.corpus.count import count as count_corpus

    words, pairs = watch_words(read_table(run / "items.parquet"), **latent_languages(run, settings))
    count_corpus(
        **_counted(run, settings, words), pairs=pairs, scope=settings.scope, sample=settings.sample or None,
        background=settings.background, postings=settings.postings, strata=_strata(settings),
        languages=_languages(settings),
        unit=None if settings.unit == "file" else settings.unit, checkpoint=settings.checkpoint,
        memory=settings.memory, workers=settings.workers, on_error=settings.on_error, out=run / "counts",
    )  # fmt: skip


def _counted(run: RunFolder, settings: Settings, words: list[str]) -> dict[str, Any]:
    """What is counted, for which words, with which context."""
    from pivotkit.corpus.matching.token_watchlist import TokenWatchList
    from pivotkit.corpus.matching.watchlist import WatchList

    if not settings.token_files:
        check_no_token_options("count", settings, "text")
        context = _store(run, settings) if settings.context else False
        return {"corpus": corpus_paths(settings), "watchlist": WatchList(words), "context": context}
    watch = TokenWatchList(words, model_tokenizer(settings))
    if watch.unspelled:
        told = ", ".join(watch.unspelled)
        console.print(f"count: the tokenizer has no spelling of {told}: found nowhere", highlight=False, markup=False)
    return {"corpus": given_tokens("count", settings), "watchlist": watch, "context": settings.context}


def _languages(settings: Settings) -> LanguageTable | None:
    from pivotkit.corpus.languages.language_table import LanguageTable

    return None if settings.languages is None else LanguageTable.open(settings.languages)


def _strata(settings: Settings) -> Strata | None:
    from pivotkit.corpus.counting.strata import Strata

    if settings.strata == "none":
        return None
    classes = 1 if settings.strata == "language" else settings.length_classes
    return Strata(language=settings.strata != "length", length=classes, seed=settings.seed)


def count_needs(settings: Settings) -> tuple[str, ...]:
    """Token files come with the tokenizer of their ids; text has its tokens for the context alone."""
    if settings.token_files:
        return "items.parquet", TOKEN_FILES, MODEL
    return "items.parquet", *(("tokens",) if settings.context else ()), CORPUS


COUNT = Stage(
    name="count",
    help="count words, pairs of words and the tokens around them in a corpus of text or of tokens",
    run=count,
    reads=("items.parquet", "tokens", CORPUS, TOKEN_FILES, MODEL),
    needs=count_needs,
    uses=(LANGUAGES,),
    writes=("counts",),
    settings=(
        *TOKEN_OPTIONS,
        "on_error",
        "scope",
        "context",
        "sample",
        "background",
        "postings",
        "strata",
        "length_classes",
        "unit",
        "checkpoint",
        "memory",
        "workers",
        "latent",
        "seed",
    ),
    functions=("corpus.count.count",),
    depends=latent_languages,
)


@dataclass(repr=False)
class TokenGraphSettings(Settings):
    """The settings of a run, and what a token graph adds."""

    window: int = option(10, "largest distance of a pair of tokens", least=1)
    weight: str = option("harmonic", "weight of a pair: 1 / distance, or 1", choices=("harmonic", "flat"))
    symmetric: bool = option(True, "ignore the order of a pair")


def token_graph(run: RunFolder, settings: TokenGraphSettings) -> None:
    from pivotkit.corpus.token_graph import token_graph as build_graph
    from pivotkit.corpus.token_store.store import TokenStore

    if settings.token_files:
        documents = given_tokens("token-graph", settings)
    else:
        check_no_token_options("token-graph", settings, "the run's own tokens")
        documents = TokenStore.open(run / "tokens")
    build_graph(
        documents, out=run / "token-graph", window=settings.window, weight=settings.weight,
        symmetric=settings.symmetric, memory=settings.memory,
    )  # fmt: skip


TOKEN_GRAPH = Stage(
    name="token-graph",
    help="sum all pairs of tokens near each other in the corpus, weighted by distance",
    run=token_graph,
    reads=("tokens", TOKEN_FILES),
    needs=lambda settings: (TOKEN_FILES,) if settings.token_files else ("tokens",),
    uses=(MODEL,),
    writes=("token-graph",),
    settings=(*TOKEN_OPTIONS, "window", "weight", "symmetric", "memory"),
    functions=("corpus.token_graph.token_graph",),
    form=TokenGraphSettings,
)


def pivots(run: RunFolder, settings: Settings) -> None:
    from pivotkit.corpus.tables.counts import Counts
    from pivotkit.pivots.find import find_pivots
    from pivotkit.pivots.hubs import hub_pivots
    from pivotkit.words.word_tokens import WordTokens

    tokenizer = model_tokenizer(settings)
    found = find_pivots(
        Counts.load(run / "counts"), read_table(run / "items.parquet"), rule=settings.pivot_rule, k=settings.pivots,
        word_tokens=WordTokens(tokenizer), tokenizer=tokenizer, min_score=settings.min_pivot_score, seed=settings.seed,
        without=settings.pivots_without,
    )  # fmt: skip
    write_table(found, run / "pivots.parquet")
    write_table(hub_pivots(found, k=settings.hubs), run / "hubs.parquet")


PIVOTS = Stage(
    name="pivots",
    help="find the pivots of every item, and the hubs among them",
    run=pivots,
    reads=("items.parquet", "counts", MODEL),
    writes=("pivots.parquet", "hubs.parquet"),
    settings=("pivot_rule", "pivots", "min_pivot_score", "pivots_without", "hubs", "seed"),
    functions=("pivots.find.find_pivots", "pivots.hubs.hub_pivots"),
    revision=2,  # three controls stand beside a pivot
)


def score_documents(run: RunFolder, settings: Settings) -> None:
    from pivotkit.corpus.matching.match import match_documents
    from pivotkit.corpus.matching.watchlist import WatchList
    from pivotkit.selection.scores import score_documents as score_store

    items, hubs = read_table(run / "items.parquet"), read_table(run / "hubs.parquet")
    words, _ = watch_words(items, [])
    hits = match_documents(corpus_paths(settings), WatchList(words), on_error=settings.on_error)
    store = _store(run, settings)
    scores = score_store(store, hubs, hits=hits, pairs=items)
    named = {"units": [unit.name for unit in store.units]}
    write_table(scores, run / "documents.parquet", table_metadata(scores) | named)


def _store(run: RunFolder, settings: Settings) -> TokenStore:
    """The run's tokens, for the corpus where it lies now; that its contents are the same was checked before."""
    from pivotkit.corpus.reading.documents import work_units
    from pivotkit.corpus.token_store.store import TokenStore

    return TokenStore.open(run / "tokens").moved(work_units(corpus_paths(settings)))


def scored_documents(run: RunFolder, settings: Settings) -> pa.Table:
    """``documents.parquet`` with the names that the corpus's units have now: a file may lie elsewhere since."""
    from pivotkit.corpus.reading.documents import work_units

    documents = read_table(run / "documents.parquet")
    now = [unit.name for unit in work_units(corpus_paths(settings))]
    names = dict(zip(table_metadata(documents)["units"], now, strict=True))
    units = pa.array([names[unit] for unit in documents["unit"].to_pylist()], pa.string())
    return documents.set_column(documents.schema.get_field_index("unit"), "unit", units)


SCORE_DOCUMENTS = Stage(
    name="score-documents",
    help="score documents by their share of pivot tokens",
    run=score_documents,
    reads=("items.parquet", "tokens", "hubs.parquet", CORPUS),
    writes=("documents.parquet",),
    settings=("on_error",),
    functions=("selection.scores.score_documents",),
)


def select(run: RunFolder, settings: Settings) -> None:
    from pivotkit.selection.select import select as select_documents
    from pivotkit.selection.write import write_selection

    items, documents = read_table(run / "items.parquet"), scored_documents(run, settings)
    chosen = select_documents(
        documents,
        budget_tokens=settings.budget_tokens or max(1, sum(documents["tokens"].to_pylist()) // 10),
        language_quotas=settings.quotas or _equal_quotas(items, documents),
        strategy=settings.strategy,
        seed=settings.seed,
        allow_shortfall=settings.allow_shortfall,
    )
    write_selection(chosen, corpus_paths(settings), run / "selection", on_error=settings.on_error)


def _equal_quotas(items: pa.Table, documents: pa.Table) -> dict[str, float] | None:
    """Equal shares for those languages of the pairs that the corpus has. None means one pool of all documents."""
    codes = table_metadata(items).get("languages")
    wanted = {code for pair in items["pair"].unique().to_pylist() for code in parse_pair(pair, codes)}
    found = sorted(wanted & set(documents["lang"].unique().to_pylist()))
    return {code: 1 / len(found) for code in found} or None


SELECT = Stage(
    name="select",
    help="select documents within a token budget and language quotas",
    run=select,
    reads=("items.parquet", "documents.parquet", CORPUS),
    writes=("selection",),
    settings=("strategy", "budget_tokens", "quotas", "allow_shortfall", "on_error", "seed"),
    functions=("selection.select.select", "selection.write.write_selection"),
)
