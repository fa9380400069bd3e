"""Choose documents for a token budget: by pivots, at random, or by translation pairs, within language quotas."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.arguments import check_flag, check_int, check_kind, check_number, check_text
from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.corpus.reading.text_block import UNKNOWN

STRATEGIES = ("pivot", "random", "parallel")
POOL = "all"  # the name of the only pool when there are no quotas


def select(
    documents: pa.Table,
    *,
    budget_tokens: int,
    language_quotas: Mapping[str, float] | None = None,
    strategy: str = "pivot",
    seed: int = 0,
    allow_shortfall: bool = False,
) -> pa.Table:
    """Take the best documents of each language until its share of the token budget is met.

    Parameters
    ----------
    documents : pyarrow.Table
        The table of `score_documents`: ``unit, row, id, tokens, score, lang``; for "parallel" also
        ``translation_pairs``.
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

    Returns
    -------
    pyarrow.Table
        The selected rows with all their columns, sorted by ``unit`` and ``row``. Its metadata are the summary: the
        arguments; the budget of each quota, with the tokens and documents taken, available and missing; the tokens per
        language.

    Raises
    ------
    TypeError
        When ``documents`` is not a table, or another argument is of another kind.
    ValueError
        When a column is missing, a document is listed twice or has no ``id`` (or no ``lang``, with quotas), when quotas
        are not shares of known languages, and when a language has too few tokens.

    Notes
    -----
    Documents are taken while a quota's tokens are below its budget, so the excess is less than the length of the last
    document. Equal ranks are ordered by a hash of the document's ``id`` and the seed. So the choice does not depend on
    the order of the rows or on the machine. Documents without tokens are never taken. Documents of `TokenFiles` have no
    ``id`` and no ``lang``; fill in ``id``, and for quotas ``lang``, to select from them. Cost: one hash per document
    and one sort.

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
    columns = ["unit", "row", "id", "tokens", "score", "lang"]
    check_text("select", "strategy", strategy, STRATEGIES)
    require_columns("select", "documents", documents, columns + ["translation_pairs"] * (strategy == "parallel"))
    check_int("select", "budget_tokens", budget_tokens, 1)
    check_kind("select", "language_quotas", language_quotas, Mapping, "a mapping of language to share", none=True)
    for name, share in (language_quotas or {}).items():
        check_text("select", "language_quotas", name)
        check_number("select", "language_quotas", share)
    check_int("select", "seed", seed, 0)
    check_flag("select", "allow_shortfall", allow_shortfall)
    for name in ["id"] + ["lang"] * (language_quotas is not None):
        if documents[name].null_count:
            raise ValueError(f"select: documents must have {name} in every row; got {documents[name].null_count} nulls")
    documents = _in_order(documents)
    tokens = documents["tokens"].to_numpy().astype(np.int64)
    merit = {"pivot": "score", "parallel": "translation_pairs"}.get(strategy)
    values = np.zeros(len(tokens)) if merit is None else documents[merit].to_numpy().astype(np.float64)
    if np.isnan(values).any():
        raise ValueError(f"select: documents must have a {merit} each; got NaN")
    ranking = np.lexsort((_hashes(documents["id"], seed), -values))  # stable, so equal hashes go by unit and row
    ranking = ranking[tokens[ranking] > 0]
    chosen: list[NDArray[np.intp]] = []
    quotas: dict[str, dict[str, Any]] = {}
    for name, budget, members in _pools(documents["lang"], budget_tokens, language_quotas):
        ranked = ranking[members[ranking]]
        before = np.cumsum(tokens[ranked]) - tokens[ranked]
        taken = ranked[before < budget]
        got = int(tokens[taken].sum())
        chosen.append(taken)
        quotas[name] = {
            "budget": budget,
            "tokens": got,
            "documents": len(taken),
            "available": int(tokens[ranked].sum()),
            "missing": max(budget - got, 0),
        }
    short = {name: quota["missing"] for name, quota in quotas.items() if quota["missing"]}
    if short and not allow_shortfall:
        told = ", ".join(f"{missing} tokens of {name}" for name, missing in short.items())
        raise ValueError(f"select: documents must fill every quota, or allow_shortfall be set; missing are {told}")
    selection = documents.take(np.sort(np.concatenate(chosen)))
    spoken = pa.table({"lang": selection["lang"].fill_null(UNKNOWN), "tokens": selection["tokens"]})
    by_language = spoken.group_by("lang").aggregate([("tokens", "sum")])
    summary = {
        "strategy": strategy,
        "seed": seed,
        "budget_tokens": budget_tokens,
        "language_quotas": None if language_quotas is None else dict(language_quotas),
        "tokens": sum(quota["tokens"] for quota in quotas.values()),
        "documents": selection.num_rows,
        "quotas": quotas,
        "tokens_by_language": dict(sorted(zip(*by_language.to_pydict().values(), strict=True))),
    }
    return with_metadata(selection, summary)


def _in_order(documents: pa.Table) -> pa.Table:
    """The documents sorted by unit and row; refuses a document that is listed twice."""
    documents = documents.sort_by([("unit", "ascending"), ("row", "ascending")]).combine_chunks()
    if documents.num_rows > 1:
        one, next_ = documents.slice(0, documents.num_rows - 1), documents.slice(1)
        twice = pc.and_(pc.equal(one["unit"], next_["unit"]), pc.equal(one["row"], next_["row"]))
        if pc.any(twice).as_py():
            place = pc.index(twice, True).as_py()
            raise ValueError(
                f"select: documents must hold each document once; got row {one['row'][place]} of unit "
                f"{one['unit'][place]} twice"
            )
    return documents


def _hashes(ids: pa.ChunkedArray, seed: int) -> NDArray[np.uint64]:
    """64 bits of BLAKE2b of each id, keyed by the seed."""
    key = str(seed).encode()
    digests = [
        hashlib.blake2b(identity.encode(), digest_size=8, key=key).digest()
        for chunk in ids.chunks
        for begin in range(0, len(chunk), 1 << 16)  # never all ids as Python strings at once
        for identity in chunk.slice(begin, 1 << 16).to_pylist()
    ]
    return np.frombuffer(b"".join(digests), dtype="<u8")


def _pools(
    langs: pa.ChunkedArray, budget_tokens: int, quotas: Mapping[str, float] | None
) -> Iterator[tuple[str, int, NDArray[np.bool_]]]:
    """Name, budget and documents of each quota. Budgets are whole numbers of tokens and sum to the total budget."""
    if quotas is None:
        yield POOL, budget_tokens, np.ones(len(langs), dtype=bool)
        return
    if not quotas or not all(share > 0 for share in quotas.values()) or not math.isclose(sum(quotas.values()), 1.0):
        raise ValueError(f"select: language_quotas must be positive shares that sum to 1; got {dict(quotas)}")
    known = set(pc.unique(langs).to_pylist())
    unknown = sorted(set(quotas) - known)
    if unknown:
        raise ValueError(
            f"select: language_quotas must name languages of the documents ({', '.join(sorted(known))}); "
            f"got {', '.join(unknown)}"
        )
    names = sorted(quotas)
    bounds = np.rint(np.cumsum([0.0, *(quotas[name] for name in names)]) * budget_tokens).astype(np.int64)
    for name, budget in zip(names, np.diff(bounds).tolist(), strict=True):
        yield name, budget, pc.equal(langs, name).to_numpy(zero_copy_only=False)
