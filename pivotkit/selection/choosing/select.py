"""Choose documents for a token budget, within quotas: by their scores, at random, or between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, overload

import pyarrow as pa

from pivotkit.arguments import check_kind, check_path
from pivotkit.artifacts import with_metadata
from pivotkit.selection.choosing.choice import TAKE, Choice
from pivotkit.selection.choosing.dropped import Dropped
from pivotkit.selection.choosing.groups import in_order
from pivotkit.selection.choosing.request import Request
from pivotkit.selection.choosing.rules import RuleLike
from pivotkit.selection.choosing.score_shards import ScoreShards
from pivotkit.selection.choosing.selection_folder import HEADER, SelectionWriter, replaced_selection


@overload
def select(
    documents: pa.Table | str | PathLike[str], *, budget_tokens: int, quotas: Mapping[str, float] | None = ...,
    quota_by: str = ..., rule: RuleLike = ..., temperature: float = ..., cap_by: str | None = ...,
    cap: float | None = ..., drop: pa.Table | str | PathLike[str] | None = ..., exact: bool = ..., seed: int = ...,
    allow_shortfall: bool = ..., behaviors: pa.Table | None = ..., out: None = ...,
) -> pa.Table: ...  # fmt: skip
@overload
def select(
    documents: pa.Table | str | PathLike[str], *, budget_tokens: int, quotas: Mapping[str, float] | None = ...,
    quota_by: str = ..., rule: RuleLike = ..., temperature: float = ..., cap_by: str | None = ...,
    cap: float | None = ..., drop: pa.Table | str | PathLike[str] | None = ..., exact: bool = ..., seed: int = ...,
    allow_shortfall: bool = ..., behaviors: pa.Table | None = ..., out: str | PathLike[str],
) -> Path: ...  # fmt: skip
def select(
    documents: pa.Table | str | PathLike[str],
    *,
    budget_tokens: int,
    quotas: Mapping[str, float] | None = None,
    quota_by: str = "lang",
    rule: RuleLike = "score",
    temperature: float = 0.0,
    cap_by: str | None = None,
    cap: float | None = None,
    drop: pa.Table | str | PathLike[str] | None = None,
    exact: bool = False,
    seed: int = 0,
    allow_shortfall: bool = False,
    behaviors: pa.Table | None = None,
    out: str | PathLike[str] | None = None,
) -> pa.Table | Path:
    """Take the best documents of each quota until its share of the token budget is met.

    Documents of a quota are ranked by the merit m of the rule, the highest first, then by a hash of id and seed. A
    document is taken while the tokens of those before it are below the quota's budget. With a temperature T they are
    ranked by ``log(m) + T * g``, where ``g = -log(-log(u))`` and u in (0, 1) is made of the same hash: Gumbel top-k,
    which draws documents one after another, without replacement, in proportion to ``m ** (1 / T)``.

    Parameters
    ----------
    documents : pyarrow.Table or path
        The table of `score_documents`: ``unit, row, id, tokens, lang`` and what the rule reads. Or the folder that
        ``score_documents(out=)`` wrote; a Parquet or Arrow file of such rows; or a folder of such files. In files the
        rows of a unit stand together, in order, and in one file.
    budget_tokens : int
        Tokens wanted in total.
    quotas : mapping of name to share, optional
        Shares of the budget that sum to 1. What no quota names is not taken. Without quotas, all documents are one
        pool, from which a ranking by pivots takes documents of the majority language.
    quota_by : str, default "lang"
        The column whose values the quotas name, of texts or whole numbers; "languages", the set of the languages in
        ``lang``, as "en+fr" in this order; or "length": quotas are then named as ranges of tokens, "0-127" or "128-".
    rule : str or function, default "score"
        "score": the column ``score``. "share": ``pivots / tokens``. "distinct", "weighted": the columns of these names.
        "parallel": ``translation_pairs``. "random": all are equal. "pairs": by ``score``, where each quota's budget is
        parted among the values of the column ``pair``, equally, but none gets more than it has; documents without a
        pair are not taken. "behavior": of each quota's budget B, ``round(s * B)`` goes to documents by
        ``behavior_pivots / tokens``, and then the rest to others by ``behavior_pairs``, where s is
        ``(pivot + unsolved / 2) / (pivot + co_occurrence + unsolved)``, the numbers of ``behaviors``; documents with 0
        of a part's are not taken in it. A function, Numba's or one that Numba compiles: its parameters are named as
        columns of numbers, which it gets as float64, and it returns the merit of a document with tokens. "random" with
        the same quotas and budget is the language-matched control.
    temperature : float, default 0
        T. Merits must be 0 or more, and those of 0 come last. Not for "random", which it comes close to as it grows.
    cap_by : str, optional
        A column, or "languages". Its values are the sources that the cap holds for.
    cap : float, optional
        The most of each quota that comes from one source: up to 1 as a share of the quota's budget, above 1 as tokens
        of the whole budget, of which a quota gets its share. Of each source only the documents before which it has
        fewer tokens than this are ranked at all; pairs and budgets are parted among those. With "behavior" each of the
        two parts has a cap, in proportion to its budget.
    drop : pyarrow.Table or path, optional
        Documents that are never taken, as ``unit`` and ``row``: a table, a Parquet file, or a folder of such files.
    exact : bool, default False
        Whether the last document of a quota (of a pair with "pairs", of either part with "behavior") is cut so that
        the budget is met to the token.
        The rows then have ``take`` (int32): how many tokens of each document are taken, from its beginning.
    seed : int, default 0
        Orders documents of equal rank, and draws with a temperature.
    allow_shortfall : bool, default False
        Whether to take all documents of a quota that has too few tokens, instead of raising an error.
    behaviors : pyarrow.Table, optional
        For the rule "behavior", and only for it: the table by which `score_documents` made its columns, ``item, rule,
        behavior``, of which the rows of the strict rule count. Excluded items ask for nothing; those of any behavior
        but pivot and co-occurrence are unsolved, and ask for half of each.
    out : path, optional
        Folder for the selected rows: one Parquet file for each unit, and ``selection.json`` with the summary, written
        last. It takes the place of an earlier selection once it is whole. None, the default: the rows are returned.

    Returns
    -------
    pyarrow.Table, or with ``out`` its path
        The selected rows with all their columns, sorted by ``unit`` and ``row``. Its metadata are the summary: the
        arguments; for each quota its budget, the tokens and documents taken, the tokens available and missing; the
        tokens per language and per pair; what was dropped; and the sources that reached their cap. With "behavior" also
        ``behaviors``, how many items show each, and ``parts``, by ``behavior_pivots`` and ``behavior_pairs``: how many
        items ask for the part, its tokens and documents, and its quotas; what is ``available`` to the second part is
        what the first one left.

    Raises
    ------
    TypeError
        When ``documents`` is neither a table nor a path, for a function that Numba cannot compile, or when another
        argument is of another kind.
    ValueError
        When a column is missing, or ``take`` is there; a document is listed twice or lacks an ``id`` or what a quota or
        cap goes by; a merit is NaN, null, or with a temperature below 0. When quotas are not shares or name what no
        document has, and when one has too few tokens, or would get none. When ``behaviors`` and "behavior" do not come
        together, are others than those of the scores, or ask for nothing. When ``drop`` names other documents, and when
        ``out`` holds something else.
    InputError
        For a file that is damaged or changes while it is read, whose columns are others than those of the first, that
        has rows of a unit that another file has, or rows out of order; for an unfinished folder.

    Notes
    -----
    The excess of a quota (of each pair in it with "pairs", of either part with "behavior", of each source with a cap)
    is less than the length of its last document. A part of a budget is rounded half to even, exactly. Equal ranks are
    ordered by 64 bits of the hash, equal hashes by unit and row. So the choice depends neither on the order of the rows
    or files nor, without a temperature, on the machine; with one, it does where two machines' logarithms differ in the
    last bit. Documents without tokens are never taken.

    Documents of `TokenFiles` have no ``id``. Where it is null in all rows, ``<file name>:<row>`` takes its place, with
    the file names that `score_documents` put into the metadata of its table or files. They have no ``lang`` either;
    quotas by ``lang`` need one in each row.

    Cost: the rows are read three times: for a histogram of each quota's tokens by merit; for the documents of the bins
    in which the budgets are reached, which are sorted; and for those that are taken. Bins with more than 2^20 documents
    are first made narrower, by another reading each time. Caps and "pairs" add a reading for the sums of each, and caps
    the readings of such a ranking; "behavior" adds those of a second one, and its bins. Memory does not depend on how
    many documents there are: 32 bytes for each of at most 2^22 bins, and the documents of those few bins. What grows is
    the list of units, the names of sources, 8 bytes for each dropped document, a table that is given, and without
    ``out`` the table that is returned. Documents of equal rank and equal id must be sorted together, however many they
    are.

    Source: arXiv 2505.16385 takes documents with a high proportion of pivots; it names neither budget nor quotas. The
    rule "behavior" is pivotkit's own.
    Gumbel top-k: arXiv 1903.06059.

    Examples
    --------
    >>> documents = pa.table({"unit": ["u"] * 4, "row": [0, 1, 2, 3], "id": ["a", "b", "c", "d"],
    ...     "tokens": [10, 10, 10, 10], "score": [0.9, 0.8, 0.2, 0.1], "lang": ["en", "en", "fr", "fr"]})
    >>> select(documents, budget_tokens=20)["id"].to_pylist()
    ['a', 'b']
    >>> select(documents, budget_tokens=20, quotas={"en": 0.5, "fr": 0.5})["id"].to_pylist()
    ['a', 'c']
    >>> select(documents, budget_tokens=15, exact=True)["take"].to_pylist()
    [10, 5]
    >>> select(documents, budget_tokens=20, cap_by="lang", cap=0.5)["id"].to_pylist()
    ['a', 'c']
    >>> select(documents, budget_tokens=10, rule=lambda score, tokens: -score * tokens)["id"].to_pylist()
    ['d']
    >>> documents = documents.append_column("behavior_pivots", [[9, 8, 2, 1]])
    >>> documents = documents.append_column("behavior_pairs", [[3, 0, 0, 1]])
    >>> behaviors = pa.table({"item": [0, 1], "rule": ["strict"] * 2, "behavior": ["pivot", "co-occurrence"]})
    >>> select(documents, budget_tokens=20, rule="behavior", behaviors=behaviors)["id"].to_pylist()
    ['a', 'd']
    """
    check_kind("select", "documents", documents, pa.Table | str | PathLike, "a pyarrow.Table or a path")
    if not isinstance(documents, pa.Table):
        check_path("select", "documents", documents)
    check_path("select", "out", out, none=True)
    request = Request.of(
        budget_tokens=budget_tokens, quotas=quotas, quota_by=quota_by, rule=rule, temperature=temperature,
        cap_by=cap_by, cap=cap, exact=exact, seed=seed, allow_shortfall=allow_shortfall, behaviors=behaviors,
    )  # fmt: skip
    dropped = Dropped.of(drop)
    shards = ScoreShards.of(documents if isinstance(documents, pa.Table) else Path(documents), request.columns)
    if TAKE in shards.schema.names:
        raise ValueError(f"select: documents must not have the column {TAKE}; got a selection whose documents were cut")
    if request.behaviors is not None and shards.behaviors - {request.behaviors.digest}:
        raise ValueError("select: behaviors must be those by which documents were scored; got others")
    choices = list[Choice]()
    for part in request.parts:
        ranking, after = request.ranking(part, shards.schema, shards.files), choices[-1] if choices else None
        choices.append(
            Choice(shards, ranking, part.budgets, request.caps(part), dropped, exact=request.exact, after=after)
        )
    chosen = choices[-1]
    chosen.find()
    summary = request.summary() | _taken(request, choices)
    if shards.files:
        summary["files"] = shards.files  # writers name a missing one by it
    if out is None:
        batches = [batch for batch in chosen.take() if len(batch)]
        selection = in_order(pa.Table.from_batches(batches, chosen.schema))
        return with_metadata(selection, summary | chosen.told())
    with replaced_selection("select", Path(out), HEADER) as folder, SelectionWriter(folder, chosen.schema) as writer:
        for batch in chosen.take():
            writer.add(batch)
        writer.finish(summary | chosen.told())
    return Path(out)


def _taken(request: Request, choices: Sequence[Choice]) -> dict[str, Any]:
    """What each quota gets, in all and of each part; ValueError where it is too little and that is not allowed."""
    parts = {part.name: _quotas(request, choice) for part, choice in zip(request.parts, choices, strict=True)}
    *before, last = parts.values()
    quotas = {}
    for name, budget in request.budgets.items():
        sums = {
            field: sum(part[name][field] for part in parts.values()) for field in ("tokens", "documents", "missing")
        }
        available = sum(part[name]["tokens"] for part in before) + last[name]["available"]
        quotas[name] = {"budget": budget, **sums, "available": available}
    short = [
        f"{quota['missing']} tokens of {name}{f' in the part by {part}' if part else ''} "
        f"(it has {quota['available']} of {quota['budget']})"
        for part, mine in parts.items()
        for name, quota in mine.items()
        if quota["missing"]
    ]
    if short and not request.allow_shortfall:
        told = f"fill every quota, or allow_shortfall be set; missing are {', '.join(short)}"
        raise ValueError(f"select: documents must {told}")
    taken = {"tokens": _sum(quotas, "tokens"), "documents": _sum(quotas, "documents"), "quotas": quotas}
    if request.behaviors is None:
        return taken
    told_parts = {
        name: {"items": request.behaviors.asking(name)}
        | {field: _sum(mine, field) for field in ("budget", "tokens", "documents")}
        | {"quotas": mine}
        for name, mine in parts.items()
    }
    return {**taken, "behaviors": request.behaviors.counts, "parts": told_parts}


def _quotas(request: Request, chosen: Choice) -> dict[str, dict[str, int]]:
    """What each quota gets of one choice."""
    found = {}
    names = ("budget", "tokens", "documents", "available")
    for quota, *numbers in zip(
        request.budgets, chosen.budgets.tolist(), chosen.tokens.tolist(), chosen.documents.tolist(),
        chosen.available.tolist(), strict=True,
    ):  # fmt: skip
        told = dict(zip(names, numbers, strict=True))
        found[quota] = told | {"missing": max(told["budget"] - told["tokens"], 0)}
    return found


def _sum(quotas: Mapping[str, Mapping[str, int]], field: str) -> int:
    return sum(quota[field] for quota in quotas.values())
