"""The stage that counts words, pairs of words and the tokens around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pivotkit.arguments import refuse
from pivotkit.artifacts import read_table
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
    watched_languages,
)
from pivotkit.pipeline.settings import Settings
from pivotkit.pipeline.stage import Stage
from pivotkit.progress import console
from pivotkit.run_folder import RunFolder

if TYPE_CHECKING:
    from pivotkit.corpus.counting.strata import Strata
    from pivotkit.corpus.languages.language_table import LanguageTable
    from pivotkit.corpus.token_store.store import TokenStore

STRATIFIED = "stratified"  # the rule of pivots that needs strata, and words in their languages
TOKEN_OPTIONS = ("token_format", "token_dtype", "vocab_size", "eos", "bos")
WITHOUT_LANGUAGES = (
    "run `pivotkit languages` and give its folder as --languages, or choose --strata length or --pivot-rule paper"
)


def count(run: RunFolder, settings: Settings) -> None:
    from pivotkit.corpus.count import count as count_corpus
    from pivotkit.corpus.counting.strata import LanguagesUnknown

    if _by_language(settings) and settings.scope.startswith("instance"):
        rule = "not be of instances for stratified pivots, because an instance may hold several documents"
        refuse("count", "--scope", f"{rule} (choose --strata length or --pivot-rule paper)", settings.scope)
    items = read_table(run / "items.parquet")
    words, pairs = watch_words(items, **latent_languages(run, settings))
    try:
        count_corpus(
            **_counted(run, settings, *_watched(items, words, settings)), pairs=pairs, scope=settings.scope,
            sample=settings.sample or None, background=settings.background, postings=settings.postings,
            strata=_strata(settings), languages=_languages(settings),
            unit=None if settings.unit == "file" else settings.unit, checkpoint=settings.checkpoint,
            memory=settings.memory, workers=settings.workers, on_error=settings.on_error, out=run / "counts",
        )  # fmt: skip
    except LanguagesUnknown as error:
        raise ValueError(f"{error}; {WITHOUT_LANGUAGES}") from error


def _watched(items: pa.Table, words: list[str], settings: Settings) -> tuple[list[str], list[str | None]]:
    """The words, in all documents, and for stratified pivots those of the items in documents of their language, too.

    Returns the words and the language of each.
    The first are those of the pairs: two languages meet in documents that are said to be in one of them.
    """
    own = watched_languages(items) if _by_language(settings) else []
    return [*words, *(word for word, _ in own)], [*(None for _ in words), *(code for _, code in own)]


def _counted(run: RunFolder, settings: Settings, words: list[str], languages: list[str | None]) -> dict[str, Any]:
    """What is counted, for which words, with which context."""
    from pivotkit.corpus.matching.token_watchlist import TokenWatchList
    from pivotkit.corpus.matching.watchlist import WatchList

    if not settings.token_files:
        check_no_token_options("count", settings, "text")
        context = token_store(run, settings) if settings.context else False
        return {
            "corpus": corpus_paths(settings),
            "watchlist": WatchList(words, languages=languages),
            "context": context,
        }
    watch = TokenWatchList(words, model_tokenizer(settings), languages=languages)
    if watch.unspelled:
        told = ", ".join(dict.fromkeys(watch.unspelled))
        console.print(f"count: the tokenizer has no spelling of {told}: found nowhere", highlight=False, markup=False)
    return {"corpus": given_tokens("count", settings), "watchlist": watch, "context": settings.context}


def _languages(settings: Settings) -> LanguageTable | None:
    from pivotkit.corpus.languages.language_table import LanguageTable

    return None if settings.languages is None else LanguageTable.open(settings.languages)


def _strata(settings: Settings) -> Strata | None:
    from pivotkit.corpus.counting.strata import Strata

    by = _strata_by(settings)
    if by == "none":
        return None
    classes = 1 if by == "language" else settings.length_classes
    return Strata(language=by != "length", length=classes, seed=settings.seed)


def _strata_by(settings: Settings) -> str:
    """The setting ``strata`` with its default filled in."""
    if settings.strata is not None:
        return settings.strata
    return "both" if settings.pivot_rule == STRATIFIED and settings.context else "none"


def _by_language(settings: Settings) -> bool:
    """Whether words are counted in documents of their language too."""
    return settings.pivot_rule == STRATIFIED and _strata_by(settings) in ("language", "both")


def _count_depends(run: RunFolder, settings: Settings) -> dict[str, Any]:
    """Of the rule only what the counts hold of it: other rules need no more than each other."""
    by = {"strata": _strata_by(settings), "pivot_rule": STRATIFIED if _by_language(settings) else None}
    return latent_languages(run, settings) | by


def token_store(run: RunFolder, settings: Settings) -> TokenStore:
    """The run's tokens, for the corpus where it lies now; that its contents are the same was checked before."""
    from pivotkit.corpus.reading.documents import work_units
    from pivotkit.corpus.token_store.store import TokenStore

    return TokenStore.open(run / "tokens").moved(work_units(corpus_paths(settings)))


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
        "pivot_rule",
        "unit",
        "checkpoint",
        "memory",
        "workers",
        "latent",
        "seed",
    ),
    functions=("corpus.count.count",),
    depends=_count_depends,
)
