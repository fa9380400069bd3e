"""From the arguments of `count` to what it reads: which go together, and how the corpus is cut into units."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pivotkit.arguments import refuse, shown
from pivotkit.corpus.counting.sources import TextSource, TokenSource
from pivotkit.corpus.counting.strata import LanguagesUnknown, Strata
from pivotkit.corpus.languages.language_table import LanguageTable
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList, as_watchlist
from pivotkit.corpus.reading.documents import Corpus, Unit, work_units
from pivotkit.corpus.reading.scope import PIECES, Scope
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import InputError

Cut = Callable[[int | None], list[Unit]]  # the units of about a size


def choose_source(
    corpus: Corpus | TokenFiles | TokenStore,
    watchlist: WatchList | TokenWatchList | Iterable[str],
    scope: Scope,
    context: bool | TokenStore,
    on_error: str,
    languages: LanguageTable | None,
    strata: Strata | None,
) -> tuple[TextSource | TokenSource, Cut]:
    """What is counted, and what cuts it into units of about a size; refuses arguments that do not go together."""
    if isinstance(corpus, TokenFiles | TokenStore):
        if not isinstance(watchlist, TokenWatchList):
            raise TypeError(f"count: watchlist must be a TokenWatchList for tokens; got {type(watchlist).__name__}")
        if not isinstance(context, bool):
            raise TypeError(f"count: context must be True or False for tokens; got {type(context).__name__}")
        _check_tokenizer(watchlist, corpus)
        if scope.kind in PIECES and not watchlist.texts.kept:
            rule = "be of documents, windows or instances for a tokenizer that drops white space"
            refuse("count", "scope", rule, str(scope))
        tokens = TokenSource(watchlist, corpus, languages)
        _check_languages(tokens, scope, strata)
        if languages is not None:
            languages.check(corpus.work_units())
        return tokens, lambda size: corpus.work_units(size, scope)
    if isinstance(watchlist, TokenWatchList):
        raise TypeError("count: watchlist must be words for text; got a TokenWatchList")
    if scope.kind == "instance":
        raise ValueError(f"count: scope must not be of instances for text, which has no tokens; got {str(scope)!r}")
    if scope.kind != "document" and context is not False:
        rule = "be 'document' for text with a context (for others, count the store as tokens)"
        refuse("count", "scope", rule, str(scope))
    if context is not False and not isinstance(context, TokenStore):
        raise TypeError(f"count: context must be False or a TokenStore for text; got {shown(context)}")
    watch = as_watchlist(watchlist)
    if languages is None and context is False:
        return TextSource(watch, on_error, None), lambda size: work_units(corpus, size)
    units = work_units(corpus)
    if languages is not None:
        languages.check(units)
    if context is False:
        assert languages is not None
        cut = languages.cut
        return TextSource(watch, on_error, None, languages), lambda size: [
            part for unit in units for part in cut(unit, size)
        ]
    if context.on_error != on_error:
        raise ValueError(f"count: on_error must be the store's, {context.on_error!r}; got {on_error!r}")
    absent = set(units) - set(context.units)
    if absent:
        path = min(unit.path for unit in absent)
        raise InputError(context.folder, "", f"must hold every file of the corpus as it is now; {path} is not in it")
    store = context
    text = TextSource(watch, on_error, store, languages)
    return text, lambda size: [part for unit in units for part in store.cut(unit, size)]


def _check_languages(source: TokenSource, scope: Scope, strata: Strata | None) -> None:
    """Refuse what needs the languages of documents where they are not known, or documents are not whole."""
    codes = len(set(source.watch.languages or ()) - {None})
    by_language = strata is not None and strata.language
    if scope.kind == "instance" and (codes or by_language or source.language_table is not None):
        rule = "not be of instances where languages count, because an instance may hold several documents"
        refuse("count", "scope", rule, str(scope))
    if source.has_languages:
        return
    if codes:
        rule = "watchlist must have no languages for token files, which have none without a table of them (languages=)"
        raise LanguagesUnknown(f"count: {rule}; got {codes}")
    if by_language:
        rule = "strata must have language=False for token files, which have no languages without a table (languages=)"
        raise LanguagesUnknown(f"count: {rule}; got True")


def _check_tokenizer(watchlist: TokenWatchList, corpus: TokenFiles | TokenStore) -> None:
    """Refuse a watch list of another tokenizer than that of the corpus, as far as ids can tell."""
    most = max((max(ids) for forms in watchlist.spellings for ids in forms), default=0)
    if most >= corpus.vocab_size:
        rule = f"be of the corpus's own tokenizer, with ids below {corpus.vocab_size}"
        refuse("count", "watchlist", rule, most)
    if isinstance(corpus, TokenStore) and watchlist.vocab_size != corpus.vocab_size:
        rule = f"be of the store's own tokenizer, which has {corpus.vocab_size} ids"
        refuse("count", "watchlist", rule, watchlist.vocab_size)
