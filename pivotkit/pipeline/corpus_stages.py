"""The stages of the corpus's side beside the counts: tokens, pivots, document scores, selection, token graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pivotkit.artifacts import read_table, table_metadata, write_table
from pivotkit.pipeline.count_stage import TOKEN_OPTIONS, token_store
from pivotkit.pipeline.filter_stage import DROPPED, dropped_documents, units_of_now, with_units_of_now
from pivotkit.pipeline.inputs import (
    CORPUS,
    DROP,
    MODEL,
    TOKEN_FILES,
    check_no_token_options,
    corpus_paths,
    given_tokens,
    model_tokenizer,
    watch_words,
)
from pivotkit.pipeline.settings import Settings, option
from pivotkit.pipeline.stage import Stage
from pivotkit.progress import console
from pivotkit.run_folder import RunFolder
from pivotkit.words.languages import parse_pair

SCORE_COLUMNS = ("distinct", "weighted", "pairs", "file_name", "folder")
# Those of `TOKEN_FORMATS`, which takes a third of a second to import, and every plan of stages asks.
ID_FORMATS = ("olmo", "megatron", "datatrove")
BEHAVIOR = "behavior"  # the rule that needs a column of this name
BEHAVIORS = "behaviors.parquet"
NEARLY_ALL = 0.9  # of the pivots kept as hubs, and hubs tell nothing


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
        measure=settings.pivot_measure, combine=settings.pivot_combine, min_word_df=settings.min_word_df,
        word_tokens=WordTokens(tokenizer), tokenizer=tokenizer, min_score=settings.min_pivot_score,
        hub_penalty=settings.hub_penalty, without=settings.pivots_without, seed=settings.seed,
    )  # fmt: skip
    hubs = hub_pivots(found, k=settings.hubs)
    for line in _lacks(table_metadata(found), table_metadata(hubs), hubs.num_rows):
        console.print(f"pivots: {line}", highlight=False, markup=False, soft_wrap=True)
    write_table(found, run / "pivots.parquet")
    write_table(hubs, run / "hubs.parquet")


def _lacks(found: dict[str, Any], hubs: dict[str, Any], kept: int) -> list[str]:
    """What the pivots do not cover, in words."""
    least, items = found["min_word_df"], found["items"]
    lines = [
        f"{number} of {items} items have none: {reason}" + (f" (--min-word-df {least})" if "few" in reason else "")
        for reason, number in found["items_without_pivots"].items()
        if number
    ]
    if absent := found.get("absent_languages"):
        lines.append(
            f"no document is in {', '.join(absent)}: --languages tells other languages than the documents' own"
        )
    if kept and kept > NEARLY_ALL * hubs["tokens"]:
        lines.append(f"{kept} of {hubs['tokens']} pivots are kept as hubs; a smaller --hubs keeps those of many words")
    return lines


PIVOTS = Stage(
    name="pivots",
    help="find the pivots of every item, and the hubs among them",
    run=pivots,
    reads=("items.parquet", "counts", MODEL),
    writes=("pivots.parquet", "hubs.parquet"),
    settings=(
        "pivot_rule",
        "pivot_measure",
        "pivot_combine",
        "min_word_df",
        "hub_penalty",
        "pivots",
        "min_pivot_score",
        "pivots_without",
        "hubs",
        "seed",
    ),
    functions=("pivots.find.find_pivots", "pivots.hubs.hub_pivots"),
    revision=2,  # three controls stand beside a pivot
)


def score_documents(run: RunFolder, settings: Settings) -> None:
    from pivotkit.corpus.matching.match import match_documents
    from pivotkit.corpus.matching.watchlist import WatchList
    from pivotkit.selection.scoring.scores import score_documents as score_store

    items, hubs = read_table(run / "items.parquet"), read_table(run / "hubs.parquet")
    if not hubs.num_rows:
        raise ValueError("score-documents: hubs.parquet must hold a pivot; got none: `pivotkit pivots` says why")
    words, _ = watch_words(items, [])
    hits = match_documents(corpus_paths(settings), WatchList(words), on_error=settings.on_error)
    store = token_store(run, settings)
    pivots = read_table(run / "pivots.parquet").select(["item", "token_id", "pair", "score"])
    kept = pivots.filter(pc.is_in(pivots["token_id"], hubs["token_id"].combine_chunks()))
    behaviors = _behaviors(run, settings)
    columns = (*SCORE_COLUMNS, *(() if behaviors is None else (BEHAVIOR,)))
    scores = score_store(store, kept, hits=hits, pairs=items, columns=columns, behaviors=behaviors)
    about = {
        "units": [unit.name for unit in store.units],
        "languages": sorted(set(scores["lang"].unique().drop_null().to_pylist())),
        "tokens": pc.sum(scores["tokens"]).as_py() or 0,
    }
    write_table(scores, run / "documents.parquet", table_metadata(scores) | about)


def _by_behavior(settings: Settings) -> tuple[str, ...]:
    """What the rule reads beside what every rule reads."""
    return (BEHAVIORS,) if settings.rule == BEHAVIOR else ()


def _behaviors(run: RunFolder, settings: Settings) -> pa.Table | None:
    return read_table(run / BEHAVIORS) if _by_behavior(settings) else None


def scored_documents(run: RunFolder, settings: Settings) -> pa.Table:
    """``documents.parquet`` with the names that the corpus's units have now: a file may lie elsewhere since."""
    return with_units_of_now(read_table(run / "documents.parquet"), settings)


def _scores(run: RunFolder, settings: Settings) -> tuple[pa.Table | Path, dict[str, Any]]:
    """What to select from, and its metadata. It is read into memory only if the corpus lies elsewhere since."""
    path = run / "documents.parquet"
    about = table_metadata(read_table(path, columns=[]))
    return (path if about["units"] == units_of_now(settings) else scored_documents(run, settings)), about


SCORED_FROM = ("items.parquet", "tokens", "pivots.parquet", "hubs.parquet", CORPUS)
SCORE_DOCUMENTS = Stage(
    name="score-documents",
    help="score documents by their share of pivot tokens, and by all that selection may rank them by",
    run=score_documents,
    reads=(*SCORED_FROM, BEHAVIORS),
    needs=lambda settings: (*SCORED_FROM, *_by_behavior(settings)),
    writes=("documents.parquet",),
    settings=("on_error", "rule"),
    functions=("selection.scoring.scores.score_documents",),
    # Of all rules this one alone asks for other scores.
    depends=lambda _, settings: {"rule": BEHAVIOR if _by_behavior(settings) else None},
    revision=3,  # the file tells its languages and tokens
)


def select(run: RunFolder, settings: Settings) -> None:
    _selected(run, settings)


def plan_selection(run: RunFolder, settings: Settings) -> dict[str, Any]:
    return _selected(run, settings, dry_run=True)


def _selected(run: RunFolder, settings: Settings, dry_run: bool = False) -> dict[str, Any]:
    """Select documents and write them, or say what would be written."""
    from pivotkit.selection.choosing.select import select as select_documents
    from pivotkit.selection.writing.write import write_selection

    items, (documents, about) = read_table(run / "items.parquet"), _scores(run, settings)
    if settings.rule == BEHAVIOR and "behaviors" not in about:
        told = f"be scored for --rule {BEHAVIOR}; run `pivotkit score-documents RUN --rule {BEHAVIOR}` first"
        raise ValueError(f"select: documents.parquet must {told}")
    chosen = select_documents(
        documents,
        budget_tokens=settings.budget_tokens or max(1, about["tokens"] // 10),
        quotas=settings.quotas or (_equal_quotas(items, about["languages"]) if settings.quota_by == "lang" else None),
        quota_by=settings.quota_by,
        rule=settings.rule,
        temperature=settings.temperature,
        cap_by=settings.cap_by,
        cap=settings.cap,
        drop=dropped_documents(run, settings),
        exact=settings.exact,
        seed=settings.seed,
        allow_shortfall=settings.allow_shortfall,
        behaviors=_behaviors(run, settings),
    )
    return write_selection(
        chosen, corpus_paths(settings), run / "selection", format=settings.selection_format,
        on_error=settings.on_error, tokenizer=model_tokenizer(settings) if _takes_tokenizer(settings) else None,
        dry_run=dry_run,
    )  # fmt: skip


def _takes_tokenizer(settings: Settings) -> bool:
    """Whether writing takes a tokenizer: for ids, and to cut the last document of a quota."""
    return settings.exact or settings.selection_format in ID_FORMATS


def _equal_quotas(items: pa.Table, languages: list[str]) -> dict[str, float] | None:
    """Equal shares for those languages of the pairs that documents have. None means one pool of all documents."""
    codes = table_metadata(items).get("languages")
    wanted = {code for pair in items["pair"].unique().to_pylist() for code in parse_pair(pair, codes)}
    found = sorted(wanted & set(languages))
    return {code: 1 / len(found) for code in found} or None


SELECTED_FROM = ("items.parquet", "documents.parquet", CORPUS)


def selection_needs(settings: Settings) -> tuple[str, ...]:
    return (*SELECTED_FROM, *_by_behavior(settings), *((MODEL,) if _takes_tokenizer(settings) else ()))


SELECT = Stage(
    name="select",
    help="select documents within a token budget and quotas",
    run=select,
    reads=(*SELECTED_FROM, BEHAVIORS, MODEL),
    needs=selection_needs,
    uses=(DROP, DROPPED),
    writes=("selection",),
    settings=(
        "rule",
        "temperature",
        "budget_tokens",
        "quotas",
        "quota_by",
        "cap_by",
        "cap",
        "exact",
        "allow_shortfall",
        "selection_format",
        "on_error",
        "seed",
    ),
    plan=plan_selection,
    functions=("selection.choosing.select.select", "selection.writing.write.write_selection"),
)
