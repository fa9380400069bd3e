"""Choose documents for a token budget: by pivots, at random, or by translation pairs, within language quotas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa

from pivotkit.arguments import check_flag, check_int, check_kind, check_number, check_path, check_text
from pivotkit.artifacts import with_metadata
from pivotkit.selection.choosing.choice import Choice
from pivotkit.selection.choosing.quota_cuts import QuotaCuts
from pivotkit.selection.choosing.ranking import Ranking
from pivotkit.selection.choosing.score_shards import ScoreShards
from pivotkit.selection.choosing.selection_folder import HEADER, SelectionWriter, replaced_selection

STRATEGIES = ("pivot", "random", "parallel")
POOL = "all"  # the name of the only pool when there are no quotas


@overload
def select(
    documents: pa.Table | str | PathLike[str], *, budget_tokens: int, language_quotas: Mapping[str, float] | None = ...,
    strategy: str = ..., seed: int = ..., allow_shortfall: bool = ..., out: None = ...,
) -> pa.Table: ...  # fmt: skip
@overload
def select(
    documents: pa.Table | str | PathLike[str], *, budget_tokens: int, language_quotas: Mapping[str, float] | None = ...,
    strategy: str = ..., seed: int = ..., allow_shortfall: bool = ..., out: str | PathLike[str],
) -> Path: ...  # fmt: skip
def select(
    documents: pa.Table | str | PathLike[str],
    *,
    budget_tokens: int,
    language_quotas: Mapping[str, float] | None = None,
    strategy: str = "pivot",
    seed: int = 0,
    allow_shortfall: bool = False,
    out: str | PathLike[str] | None = None,
) -> pa.Table | Path:
    """Take the best documents of each language until its share of the token budget is met.

    Documents of a quota are ranked by score, the highest first, then by a hash of id and seed. A document is taken
    while the tokens of those before it are below the quota's budget.

    Parameters
    ----------
    documents : pyarrow.Table or path
        The table of `score_documents`: ``unit, row, id, tokens, score, lang``; for "parallel" also
        ``translation_pairs``. Or the folder that ``score_documents(out=)`` wrote; an Arrow or Parquet file of such
        rows; or a folder of such files. In files the rows of a unit stand together, in order, and in one file.
    budget_tokens : int
        Tokens wanted in total.
    language_quotas : mapping of language to share, optional
        Shares of the budget that sum to 1. Languages without a share are not taken. Without quotas, all documents are
        one pool, from which a ranking by pivots takes documents of the majority language.
    strategy : {"pivot", "random", "parallel"}, default "pivot"
        Rank by ``score``, at random, or by ``translation_pairs``. "random" with the same quotas and budget is the
        language-matched control.
    seed : int, default 0
        Orders documents of equal rank.
    allow_shortfall : bool, default False
        Whether to take all documents of a language that has too few tokens, instead of raising an error.
    out : path, optional
        Folder for the selected rows: one Parquet file for each unit, and ``selection.json`` with the summary, written
        last. It takes the place of an earlier selection once it is whole. None, the default: the rows are returned.

    Returns
    -------
    pyarrow.Table, or with ``out`` its path
        The selected rows with all their columns, sorted by ``unit`` and ``row``. Its metadata are the summary: the
        arguments; the budget of each quota, with the tokens and documents taken, available and missing; the tokens per
        language.

    Raises
    ------
    TypeError
        When ``documents`` is neither a table nor a path, or another argument is of another kind.
    ValueError
        When a column is missing, a document is listed twice or has no ``id`` (or no ``lang``, with quotas), when quotas
        are not shares of known languages, and when a language has too few tokens. When ``out`` holds something else.
    InputError
        For a file that is damaged or changes while it is read, whose columns are others than those of the first, that
        has rows of a unit that another file has, or rows out of order; for an unfinished folder.

    Notes
    -----
    The excess of a quota is less than the length of its last document. Equal ranks are ordered by 64 bits of a hash of
    the document's ``id`` and the seed, equal hashes by unit and row. So the choice depends neither on the order of the
    rows or files nor on the machine. Documents without tokens are never taken.

    Documents of `TokenFiles` have no ``id``. Where it is null in all rows, ``<file name>:<row>`` takes its place, with
    the file names that `score_documents` put into the metadata of its table or files. They have no ``lang`` either;
    quotas need one in each row.

    Cost: the rows are read three times: for a histogram of each quota's tokens by score; for the documents of the bins
    in which the budgets are reached, which are sorted; and for those that are taken. Bins with more than 2^20 documents
    are first made narrower, by another reading each time. Memory does not depend on how many documents there are: 32
    bytes for each of at most 2^22 bins, and the documents of those few bins. What grows is the list of units, a table
    that is given, and without ``out`` the table that is returned. Documents of equal score and equal id must be sorted
    together, however many they are.

    Source: arXiv 2505.16385 takes documents with a high proportion of pivots; it names neither budget nor quotas.

    Examples
    --------
    >>> documents = pa.table({"unit": ["u"] * 4, "row": [0, 1, 2, 3], "id": ["a", "b", "c", "d"],
    ...     "tokens": [10, 10, 10, 10], "score": [0.9, 0.8, 0.2, 0.1], "lang": ["en", "en", "fr", "fr"]})
    >>> select(documents, budget_tokens=20)["id"].to_pylist()
    ['a', 'b']
    >>> select(documents, budget_tokens=20, language_quotas={"en": 0.5, "fr": 0.5})["id"].to_pylist()
    ['a', 'c']
    """
    check_text("select", "strategy", strategy, STRATEGIES)
    check_kind("select", "documents", documents, pa.Table | str | PathLike, "a pyarrow.Table or a path")
    if not isinstance(documents, pa.Table):
        check_path("select", "documents", documents)
    check_int("select", "budget_tokens", budget_tokens, 1)
    budgets = _budgets(budget_tokens, language_quotas)
    check_int("select", "seed", seed, 0)
    check_flag("select", "allow_shortfall", allow_shortfall)
    check_path("select", "out", out, none=True)
    merit = {"pivot": "score", "parallel": "translation_pairs"}.get(strategy)
    columns = ["unit", "row", "id", "tokens", "score", "lang"] + ["translation_pairs"] * (strategy == "parallel")
    shards = ScoreShards.of(documents if isinstance(documents, pa.Table) else Path(documents), columns)
    ranking = Ranking(merit, None if language_quotas is None else list(budgets), seed, shards.files)
    cuts = QuotaCuts(np.array(list(budgets.values()), np.int64), all_equal=merit is None)
    chosen = Choice(shards, ranking, cuts)
    chosen.find()
    quotas = {
        name: {
            "budget": budget,
            "tokens": int(cuts.tokens[place]),
            "documents": int(cuts.documents[place]),
            "available": int(cuts.available[place]),
            "missing": max(budget - int(cuts.tokens[place]), 0),
        }
        for place, (name, budget) in enumerate(budgets.items())
    }
    short = {name: quota["missing"] for name, quota in quotas.items() if quota["missing"]}
    if short and not allow_shortfall:
        told = ", ".join(f"{missing} tokens of {name}" for name, missing in short.items())
        raise ValueError(f"select: documents must fill every quota, or allow_shortfall be set; missing are {told}")
    summary = {
        "strategy": strategy,
        "seed": seed,
        "budget_tokens": budget_tokens,
        "language_quotas": None if language_quotas is None else dict(language_quotas),
        "tokens": int(cuts.tokens.sum()),
        "documents": int(cuts.documents.sum()),
        "quotas": quotas,
    }
    if out is None:
        batches = [batch for batch in chosen.take() if len(batch)]
        selection = pa.Table.from_batches(batches, shards.schema).sort_by([("unit", "ascending"), ("row", "ascending")])
        return with_metadata(selection, {**summary, "tokens_by_language": chosen.tokens_by_language()})
    with replaced_selection("select", Path(out), HEADER) as folder, SelectionWriter(folder, shards.schema) as writer:
        for batch in chosen.take():
            writer.add(batch)
        writer.finish({**summary, "tokens_by_language": chosen.tokens_by_language()})
    return Path(out)


def _budgets(budget_tokens: int, quotas: Mapping[str, float] | None) -> dict[str, int]:
    """The budget of each quota by name: whole numbers of tokens that sum to the total budget."""
    check_kind("select", "language_quotas", quotas, Mapping, "a mapping of language to share", none=True)
    if quotas is None:
        return {POOL: int(budget_tokens)}
    for name, share in quotas.items():
        check_text("select", "language_quotas", name)
        check_number("select", "language_quotas", share)
    if not quotas or not all(share > 0 for share in quotas.values()) or not math.isclose(sum(quotas.values()), 1.0):
        raise ValueError(f"select: language_quotas must be positive shares that sum to 1; got {dict(quotas)}")
    names = sorted(quotas)
    bounds = np.rint(np.cumsum([0.0, *(quotas[name] for name in names)]) * budget_tokens).astype(np.int64)
    return dict(zip(names, np.diff(bounds).tolist(), strict=True))
