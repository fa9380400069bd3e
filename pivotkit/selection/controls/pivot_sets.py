"""Sets of tokens in place of a set of pivots: of other pairs, or as frequent; and a permutation of pivots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import check_flag, check_int, check_strings, check_text
from pivotkit.artifacts import require_columns, with_metadata

COLUMNS = {"other": "other_id", "control": "control_id"}
WHAT = {"other": "a pivot of another pair that is none of them", "control": "a token as frequent that is no pivot"}


def control_pivots(
    pivots: pa.Table,
    chosen: pa.Table | None = None,
    *,
    kinds: Iterable[str] = tuple(COLUMNS),
    allow_shortfall: bool = False,
) -> dict[str, pa.Table]:
    """Find sets of as many tokens as a set of pivots: pivots of other pairs, and tokens that are about as frequent.

    Each pivot in turn, the best first, gets the control of its row that is neither one of the set nor taken yet.

    Parameters
    ----------
    pivots : pyarrow.Table
        The result of `find_pivots`: ``token_id, control_id, other_id``.
    chosen : pyarrow.Table, optional
        The pivots by which documents were scored, in the column ``token_id``, the best first: hubs, or the rows of
        ``pivots`` of some items. None: all of ``pivots``, which leaves no pivot of another pair.
    kinds : iterable of {"other", "control"}, default both
        Which sets.
    allow_shortfall : bool, default False
        Whether a set may be smaller than that of the pivots, or empty.

    Returns
    -------
    dict of str to pyarrow.Table
        "other": pivots of other pairs; "control": tokens as frequent; each with the columns
        ``token_id int32`` and ``instead_of int32``, for `score_documents`.
        The metadata have ``wanted`` and ``found``.

    Raises
    ------
    TypeError, ValueError
        For a table that lacks a column, or has no pivot; for another kind; for a set that is smaller,
        with the numbers.

    Notes
    -----
    A frequency-matched token is no pivot of any item. Cost: one look at each row.

    Examples
    --------
    >>> pivots = pa.table({"token_id": [7, 8, 9], "control_id": [1, 2, 3], "other_id": [9, 9, 7]})
    >>> sets = control_pivots(pivots, pa.table({"token_id": [7]}))
    >>> sets["other"]["token_id"].to_pylist(), sets["control"]["token_id"].to_pylist()
    ([9], [1])
    """
    function = "control_pivots"
    require_columns(function, "pivots", pivots, ("token_id", *COLUMNS.values()))
    if chosen is not None:
        require_columns(function, "chosen", chosen, ("token_id",))
    names = check_strings(function, "kinds", kinds)
    for name in names:
        check_text(function, "kinds", name, tuple(COLUMNS))
    check_flag(function, "allow_shortfall", allow_shortfall)
    tokens = list(dict.fromkeys((pivots if chosen is None else chosen)["token_id"].to_pylist()))
    if not tokens:
        raise ValueError(f"{function}: {'pivots' if chosen is None else 'chosen'} must hold a pivot; got none")
    every = pivots["token_id"].to_pylist()
    found = {}
    for name in dict.fromkeys(names):
        column = COLUMNS[name]
        controls: dict[int, list[int]] = defaultdict(list)
        for token, control in zip(every, pivots[column].to_pylist(), strict=True):
            if control is not None:
                controls[token].append(control)
        taken = {*tokens, *(every if name == "control" else ())}
        rows = []
        for token in tokens:
            free = next((one for one in controls[token] if one not in taken), None)
            if free is not None:
                taken.add(free)
                rows.append((free, token))
        if len(rows) < len(tokens) and not allow_shortfall:
            rule = f"have {WHAT[name]} for each of {len(tokens)} chosen ones, or allow_shortfall be set"
            raise ValueError(f"{function}: pivots must {rule}; got {len(rows)}")
        table = pa.table(
            {"token_id": pa.array([one for one, _ in rows], pa.int32()),
             "instead_of": pa.array([token for _, token in rows], pa.int32())}
        )  # fmt: skip
        found[name] = with_metadata(table, {"wanted": len(tokens), "found": len(rows)})
    return found


def pivot_permutation(
    pivots: pa.Table, vocab_size: int, *, chosen: pa.Table | None = None, seed: int = 0, allow_shortfall: bool = False
) -> NDArray[np.int64]:
    """Draw a permutation that replaces each pivot by one of another pair, and leaves all other tokens as they are.

    ``p = permutation; p[t] != t for t in pivots; p[t] == t for all others; sorted(p) == range(V)``.

    Parameters
    ----------
    pivots : pyarrow.Table
        The result of `find_pivots`: ``item, token_id``.
    vocab_size : int
        V, one more than the largest id.
    chosen : pyarrow.Table, optional
        The pivots to replace, in the column ``token_id``, such as hubs. None: all.
    seed : int, default 0
    allow_shortfall : bool, default False
        Whether a pivot may get one that an item of its own has too, where no other is left.

    Returns
    -------
    int64 (V,)
        The new id of each id: ``permutation[ids]`` has as many ids, and as many pivots, as ``ids``.

    Raises
    ------
    TypeError, ValueError
        For a table without a column, fewer than two pivots, ids not below ``vocab_size``, and pivots of which some
        share an item with all others; the message has their number.

    Notes
    -----
    A pivot and what replaces it are pivots of no item together. Cost: some draws a pivot; where few pivots of other
    items are left, a look at all.

    Examples
    --------
    >>> pivots = pa.table({"item": [0, 0, 1, 1], "token_id": [3, 4, 5, 6]})
    >>> permutation = pivot_permutation(pivots, 8)
    >>> sorted(permutation[[3, 4]].tolist()), sorted(permutation[[5, 6]].tolist()), permutation[[0, 7]].tolist()
    ([5, 6], [3, 4], [0, 7])
    """
    function = "pivot_permutation"
    require_columns(function, "pivots", pivots, ("item", "token_id"))
    check_int(function, "vocab_size", vocab_size, 1)
    if chosen is not None:
        require_columns(function, "chosen", chosen, ("token_id",))
    check_int(function, "seed", seed, 0)
    check_flag(function, "allow_shortfall", allow_shortfall)
    tokens = np.unique(np.array((pivots if chosen is None else chosen)["token_id"].to_pylist(), np.int64))
    if len(tokens) < 2:
        raise ValueError(f"{function}: pivots must be two at least; got {len(tokens)}")
    if tokens[0] < 0 or tokens[-1] >= vocab_size:
        wrong = tokens[0] if tokens[0] < 0 else tokens[-1]
        raise ValueError(f"{function}: pivots must be below vocab_size, {vocab_size}; got {wrong}")
    items: dict[int, set[Any]] = {token: set() for token in tokens.tolist()}
    for token, item in zip(pivots["token_id"].to_pylist(), pivots["item"].to_pylist(), strict=True):
        if token in items:
            items[token].add(item)
    images, shared = _deranged(tokens, items, np.random.default_rng(seed))
    if shared and not allow_shortfall:
        rule = "have one of another item for each, or allow_shortfall be set"
        raise ValueError(
            f"{function}: pivots must {rule}; got {shared} of {len(tokens)} that share an item with the rest"
        )
    permutation = np.arange(vocab_size)
    permutation[tokens] = images
    return permutation


def _deranged(
    tokens: NDArray[np.int64], items: dict[int, set[Any]], random: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """The tokens in an order in which none is at its own place, nor one that shares an item; how many still do.

    A random order is repaired by exchanges that leave two places right. Whatever is left only leaves its own place.
    """
    size = len(tokens)
    listed = tokens.tolist()
    order = random.permutation(size)

    def fits(place: int, image: int) -> bool:
        return place != image and items[listed[place]].isdisjoint(items[listed[image]])

    def exchange(place: int, test: Any) -> bool:
        for other in random.permutation(size).tolist():
            if other != place and test(place, order[other]) and test(other, order[place]):
                order[place], order[other] = order[other], order[place]
                return True
        return False

    wrong = [place for place in range(size) if not fits(place, int(order[place]))]
    for _ in range(3):  # an exchange may free another
        wrong = [place for place in wrong if not fits(place, int(order[place])) and not exchange(place, fits)]
    for place in wrong:
        if order[place] == place:
            exchange(place, lambda one, image: one != image)
    return tokens[order], sum(not fits(place, int(order[place])) for place in range(size))
