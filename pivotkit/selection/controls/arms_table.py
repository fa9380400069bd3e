"""What selections of one corpus consist of, side by side: size, languages, kinds of documents, pivots, overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import check_kind, check_path, refuse_kind
from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.corpus.languages.field import language_set, language_tag
from pivotkit.selection.choosing.selection_folder import Selection
from pivotkit.selection.controls.facts import (
    is_bilingual,
    is_code_switched,
    is_parallel,
    languages_column,
    numbers,
    taken_tokens,
    texts,
)

NAME = "arms_table"
SHARES = pa.map_(pa.string(), pa.float64())
SCHEMA = pa.schema(
    [("arm", pa.string()), ("documents", pa.int64()), ("tokens", pa.int64()), ("mean_length", pa.float64()),
     ("median_length", pa.float64()), ("pivot_share", pa.float64()), ("bilingual", pa.float64()),
     ("parallel", pa.float64()), ("code_switched", pa.float64()), ("languages", SHARES),
     ("overlap_documents", SHARES), ("overlap_tokens", SHARES), ("missing_tokens", pa.int64()), ("told", pa.string()),
     ("short", pa.string())]
)  # fmt: skip


class Place(NamedTuple):
    """Documents of one unit, by ascending row, and their tokens."""

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]


class Arm:
    """One selection, read once: what is counted of its documents."""

    def __init__(self, name: str, selection: Selection) -> None:
        self.name, self.selection = name, selection
        self.documents = self.tokens = 0
        self.lengths: Counter[int] = Counter()
        self.languages: Counter[str] = Counter()
        self.sums: dict[str, float] = {}

    def places(self, unit: str) -> Iterator[Place]:
        """The documents of a unit, some at a time, each counted."""
        for batch in self.selection.batches(unit) if unit in self.selection.units else ():
            tokens = taken_tokens(batch)
            self._count(batch, tokens)
            yield Place(batch["row"].to_numpy(), tokens)

    def _count(self, batch: pa.Table, tokens: NDArray[np.int64]) -> None:
        self.documents += len(batch)
        self.tokens += int(tokens.sum())
        lengths, counts = np.unique(tokens, return_counts=True)
        self.lengths.update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
        tags = texts(batch, languages_column(batch.schema.names)).fill_null("")
        spoken = pa.table({"tag": tags, "tokens": tokens}).group_by("tag").aggregate([("tokens", "sum")])
        for tag, total in zip(spoken["tag"].to_pylist(), spoken["tokens_sum"].to_pylist(), strict=True):
            self.languages[language_tag(language_set(tag))] += total
        names = batch.schema.names
        if is_spoken := any(map(language_set, spoken["tag"].to_pylist())):
            self._add("bilingual", int(tokens[is_bilingual(batch)].sum()))
        if "kind" in names or ("translation_pairs" in names and is_spoken):
            self._add("code_switched", int(tokens[is_code_switched(batch)].sum()))
        if "kind" in names or "translation_pairs" in names:
            self._add("parallel", int(tokens[is_parallel(batch)].sum()))
        if "pivots" in names:
            self._add("pivot_share", float(_taken_pivots(batch, tokens).sum()))

    def _add(self, name: str, number: float) -> None:
        self.sums[name] = self.sums.get(name, 0) + number

    def row(self, shared: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
        """The row of the table; ``shared`` has the documents and tokens that it shares with each other arm."""
        summary = self.selection.summary
        quotas = summary.get("quotas", {}).values()
        missing = sum(quota["missing"] for quota in quotas) if quotas else summary.get("budget_tokens", 0) - self.tokens
        share = {name: number / self.tokens for name, number in self.sums.items() if self.tokens}
        return {
            "arm": self.name,
            "documents": self.documents,
            "tokens": self.tokens,
            "mean_length": self.tokens / self.documents if self.documents else None,
            "median_length": median(self.lengths),
            "pivot_share": share.get("pivot_share"),
            "bilingual": share.get("bilingual"),
            "parallel": share.get("parallel"),
            "code_switched": share.get("code_switched"),
            "languages": [(tag, tokens / self.tokens) for tag, tokens in sorted(self.languages.items()) if self.tokens],
            "overlap_documents": [(arm, some / self.documents) for arm, (some, _) in shared.items() if self.documents],
            "overlap_tokens": [(arm, some / self.tokens) for arm, (_, some) in shared.items() if self.tokens],
            "missing_tokens": max(0, missing),
            "told": summary.get("told", ""),
            "short": summary.get("short", ""),
        }


def arms_table(arms: Mapping[str, pa.Table | str | PathLike[str]]) -> pa.Table:
    """Say what each of some selections of one corpus consists of, and what they share.

    Shares are of tokens: ``sum(tokens[d] for d in arm if bilingual(d)) / sum(tokens[d] for d in arm)``.

    Parameters
    ----------
    arms : mapping of str to pyarrow.Table or path
        Selections as `select` or `selection_controls` gives them, by name, of the same documents.

    Returns
    -------
    pyarrow.Table
        One row for each arm: ``arm string, documents int64, tokens int64, mean_length double, median_length double``
        (tokens of a document); ``pivot_share double``, the tokens that are pivots, of a document that is cut in
        proportion; ``bilingual, parallel, code_switched double``, the tokens in such documents (see
        `selection_controls`; null where no document tells); ``languages``, a map of each set of languages to its share;
        ``overlap_documents, overlap_tokens``, maps of each other arm to the share of this arm's documents and tokens
        that it has too; ``missing_tokens int64``, what its budget lacks; ``told, short string``, what the arm is, and
        why it is short.

    Raises
    ------
    TypeError
        When ``arms`` is no mapping of names to tables or paths.
    ValueError
        For no arm, or one that lacks the columns ``unit, row, id, tokens, lang``.
    InputError
        For a damaged or unfinished folder.

    Notes
    -----
    Pivots of "pivot-shuffled" are counted before they are replaced by as many others. Cost: one reading of all arms
    side by side; memory does not depend on how many documents they have.

    Examples
    --------
    >>> rows = pa.table({"unit": ["u"] * 2, "row": [0, 1], "id": ["a", "b"], "tokens": [30, 10], "pivots": [6, 0],
    ...     "lang": ["en+fr", "fr"]})
    >>> table = arms_table({"one": rows, "other": rows.slice(0, 1)})
    >>> table.select(["tokens", "pivot_share", "bilingual"]).to_pylist()
    [{'tokens': 40, 'pivot_share': 0.15, 'bilingual': 0.75}, {'tokens': 30, 'pivot_share': 0.2, 'bilingual': 1.0}]
    >>> table["overlap_tokens"].to_pylist()
    [[('other', 0.75)], [('one', 1.0)]]
    """
    check_kind(NAME, "arms", arms, Mapping, "a mapping of names to selections")
    if not arms:
        raise ValueError(f"{NAME}: arms must hold at least one selection; got none")
    read = []
    for name, rows in arms.items():
        check_kind(NAME, "arms", name, str, "a mapping with names of str")
        if not isinstance(rows, pa.Table | str | PathLike):
            refuse_kind(NAME, "arms", "hold tables or paths", rows)
        if not isinstance(rows, pa.Table):
            check_path(NAME, "arms", rows)
        selection = Selection(NAME, rows)
        if selection.units:
            require_columns(NAME, "arms", selection.schema.empty_table(), ("unit", "row", "id", "tokens", "lang"))
        read.append(Arm(name, selection))
    documents, tokens = _shared(read)
    found = []
    for one, arm in enumerate(read):
        others = [other for other in range(len(read)) if other != one]
        found.append(arm.row({read[at].name: (int(documents[one, at]), int(tokens[one, at])) for at in others}))
    return with_metadata(pa.Table.from_pylist(found, SCHEMA), {"arms": list(arms)})


def _taken_pivots(batch: pa.Table, taken: NDArray[np.int64]) -> NDArray[np.float64]:
    """The pivots of each document; of one that is cut, as much of them as of its tokens."""
    pivots, whole = numbers(batch, "pivots"), numbers(batch, "tokens")
    return np.nan_to_num(pivots * np.divide(taken, whole, out=np.ones(len(batch)), where=whole > 0))


def median(lengths: Mapping[int, int]) -> float | None:
    """The median of values that occur so many times.

    >>> median({1: 2, 10: 1}), median({1: 1, 10: 1}), median({})
    (1.0, 5.5, None)
    """
    if not lengths:
        return None
    values = np.array(sorted(lengths))
    ends = np.cumsum([lengths[int(value)] for value in values])
    middle = values[np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], "right")]
    return float(middle.mean())


def _shared(arms: list[Arm]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many documents and tokens each two arms share."""
    size = len(arms)
    documents, tokens = np.zeros((size, size), np.int64), np.zeros((size, size), np.int64)
    for unit in sorted({unit for arm in arms for unit in arm.selection.units}):
        for window in _windows([arm.places(unit) for arm in arms]):
            rows = np.unique(np.concatenate([place.rows for place in window]))
            member, taken = np.zeros((size, len(rows)), np.bool_), np.zeros((size, len(rows)), np.int64)
            for one, place in enumerate(window):
                at = np.searchsorted(rows, place.rows)
                member[one, at], taken[one, at] = True, place.tokens
            for one in range(size):
                documents[one] += (member & member[one]).sum(1)
                tokens[one] += np.minimum(taken, taken[one]).sum(1)  # a cut document is taken from its beginning
    return documents, tokens


def _windows(streams: list[Iterator[Place]]) -> Iterator[list[Place]]:
    """The documents of several ascending streams, cut at the same rows."""
    none = Place(np.zeros(0, np.int64), np.zeros(0, np.int64))
    waiting: list[Place | None] = [next(stream, None) for stream in streams]
    while any(place is not None for place in waiting):
        end = min(int(place.rows[-1]) for place in waiting if place is not None)
        window = []
        for one, place in enumerate(waiting):
            if place is None:
                window.append(none)
                continue
            cut = int(np.searchsorted(place.rows, end, "right"))
            window.append(Place(place.rows[:cut], place.tokens[:cut]))
            left = Place(place.rows[cut:], place.tokens[cut:])
            waiting[one] = left if len(left.rows) else next(streams[one], None)
        yield window
