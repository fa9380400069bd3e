"""Which concepts of a lexicon a task asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FREQUENT, STRATIFIED = "frequent", "stratified"
LIMIT_BY = (FREQUENT, STRATIFIED)


def chosen_concepts(
    having: Mapping[str, Sequence[int]], limit: int | None, limit_by: str, *, function: str = "build_task"
) -> dict[str, list[int]]:
    """Choose the concepts of each pair: without a limit all that it has, with one the same concepts in every pair.

    Pairs that hold different concepts cannot be compared, because what differs may be the concepts.

    Parameters
    ----------
    having : mapping of str to sequence of int
        The rows of the lexicon that have words in both languages of each pair, ascending; of a table of items, the
        numbers of its concepts.
    limit : int or None
        The most concepts of a pair. Where fewer are in all pairs, those.
    limit_by : {"frequent", "stratified"}
        Which of them, by their place in the lexicon, whose rows go from frequent to rare. ``"frequent"`` takes the
        first; ``"stratified"`` cuts them into ``limit`` classes of equal size and takes the middle one of each, so that
        rare ones are there too. Nothing is drawn at random.
    function : str, default "build_task"
        Whom an error names.

    Returns
    -------
    dict of str to list of int
        Rows per pair, ascending.

    Raises
    ------
    ValueError
        There is a limit, and no concept is in all pairs.

    Examples
    --------
    >>> chosen_concepts({"en-fr": [0, 1, 2, 3, 4, 5], "fr-zh": [1, 2, 3, 4]}, 2, "stratified")
    {'en-fr': [2, 4], 'fr-zh': [2, 4]}
    """
    if limit is None:
        return {pair: list(rows) for pair, rows in having.items()}
    shared = sorted(set.intersection(*map(set, having.values())))
    if not shared:
        sizes = ", ".join(f"{pair} has {len(rows)}" for pair, rows in having.items())
        raise ValueError(
            f"{function}: with a limit, pairs must have concepts in common; got none ({sizes}); "
            "leave out a pair or the limit, or add words"
        )
    count = min(limit, len(shared))
    places = range(count) if limit_by == FREQUENT else [(2 * n + 1) * len(shared) // (2 * count) for n in range(count)]
    chosen = [shared[place] for place in places]
    return {pair: list(chosen) for pair in having}
