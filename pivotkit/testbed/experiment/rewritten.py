"""Arms whose documents are rewritten: other words in place of pivots, words of P among those of A or B."""

from __future__ import annotations

import numpy as np

from pivotkit.testbed.experiment.pool import Documents, Pool, listed
from pivotkit.testbed.world import LANGUAGES, SPECIAL, Ints

CLOSEST = 8  # tokens nearest in frequency to a pivot, one of which takes its place


def pivots_replaced(pool: Pool, places: Ints, by: str, random: np.random.Generator) -> Documents:
    """The documents at ``places``, in each of which every pivot is replaced by one other token, drawn per document.

    Parameters
    ----------
    by : {"pivots", "others"}
        By another pivot; or by one of the `CLOSEST` tokens in document frequency that are no pivots.
    """
    size = len(pool.world.vocabulary)
    pivots = np.unique(pool.pivots["token_id"].to_numpy())
    if by == "pivots":
        chances = {pivot: pivots[pivots != pivot] for pivot in pivots.tolist()}
    else:
        rows = np.repeat(np.arange(len(pool.documents)), pool.documents.shape[1])
        ids = pool.documents.ravel()
        held = np.unique(rows[ids >= 0] * size + ids[ids >= 0]) % size
        frequency = np.bincount(held, minlength=size)
        others = np.setdiff1d(np.arange(len(SPECIAL), size), pivots)
        chances = {
            pivot: others[np.argsort(np.abs(frequency[others] - frequency[pivot]), kind="stable")[:CLOSEST]]
            for pivot in pivots.tolist()
        }
    documents = pool.texts(places)
    for document in documents:
        drawn: dict[int, int] = {}
        for place, token in enumerate(document):
            if token in chances:
                if token not in drawn:
                    drawn[token] = int(random.choice(chances[token]))
                document[place] = drawn[token]
    return documents


def code_switched(pool: Pool, places: Ints, random: np.random.Generator) -> Documents:
    """The documents at ``places``, each word of A or B by an even chance replaced by the concept's word in P.

    The world writes no such documents: where it has two languages, every round has a word of both. So these are made
    with the lexicon, as synthetic code-switching is. P is the other language, because words of A and B in exchange
    would be the answers that the model is asked for.
    """
    concepts = pool.world.config.concepts
    ids = pool.documents[places]
    minority = (ids >= len(SPECIAL)) & (ids < len(SPECIAL) + LANGUAGES.index("p") * concepts)
    in_p = len(SPECIAL) + LANGUAGES.index("p") * concepts + (ids - len(SPECIAL)) % concepts
    return listed(np.where(minority & (random.random(ids.shape) < 0.5), in_p, ids))
