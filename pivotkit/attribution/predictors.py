"""What may predict how a word is translated: co-occurrence, and baselines that know nothing of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit.attribution.item_counts import normal

CO_OCCURRENCE = "log_df_both"
PARTIAL = "log_df_both_given_df"
COUNTED = (CO_OCCURRENCE, "log_df_source", "log_df_target", "log_min_df", "pmi")
TOKENS = ("tokens_source", "tokens_target")
PREDICTORS = (*COUNTED, PARTIAL, "similarity")
BY_FREQUENCY = "frequency of the rarer word"
SMOOTHING = 0.5  # documents added to every count before the logarithm of pmi
# Classes of the documents with the rarer word: each begins here and ends before the next one.
FREQUENCY_CLASSES = {0: "0", 1: "1 to 5", 6: "6 to 20", 21: "21 to 100", 101: "101 to 1000", 1001: "over 1000"}

Numbers = NDArray[np.float64]


def predictors(counts: Numbers, words: Sequence[tuple[str, str]], tokens: Numbers | None) -> dict[str, Numbers]:
    """The predictors of items by name, all but `PARTIAL`, which depends on the other items (`with_partial`).

    ``counts`` (3, n) are the documents with source, target and both, ``tokens`` (2, n) the tokens of source and target.
    """
    source, target, both = counts
    pmi = np.log(both + SMOOTHING) - np.log(source + SMOOTHING) - np.log(target + SMOOTHING)
    logs = (np.log1p(both), np.log1p(source), np.log1p(target), np.log1p(np.minimum(source, target)))
    found = dict(zip(COUNTED, (*logs, pmi), strict=True))
    found["similarity"] = np.array([similarity(*pair) for pair in words], dtype=np.float64)
    return found if tokens is None else found | dict(zip(TOKENS, tokens, strict=True))


def with_partial(values: dict[str, Numbers], pairs: NDArray[Any]) -> dict[str, Numbers]:
    """The predictors with `PARTIAL`: what of log co-occurrence the frequencies of the two words do not explain."""
    partial = {PARTIAL: given_frequencies(values[CO_OCCURRENCE], values, pairs)}
    return {name: values[name] for name in COUNTED} | partial | values


def given_frequencies(y: Numbers, values: dict[str, Numbers], pairs: NDArray[Any]) -> Numbers:
    """What of ``y`` the frequencies of the two words do not explain: the residuals of a linear regression.

    Equivalent to ``y - X @ lstsq(X, y)``, where X holds ``log_df_source``, ``log_df_target`` and one constant per
    language pair.
    """
    constants = (pairs[:, None] == np.unique(pairs)[None, :]).astype(np.float64)
    x = np.column_stack([values["log_df_source"], values["log_df_target"], constants])
    explained = x @ np.linalg.lstsq(x, y, rcond=None)[0] if len(y) else y
    # Nine digits, so that an exact fit leaves equal residuals and not the noise of rounding.
    return np.round(y - explained, 9).astype(np.float64) + 0.0


def similarity(source: str, target: str) -> float:
    """How alike two words are spelled: 1 - edit distance / characters of the longer one, in normalized form.

    Examples
    --------
    >>> similarity("nation", "Nation"), similarity("table", "tafel"), similarity("dog", "犬")
    (1.0, 0.4, 0.0)
    """
    a, b = normal(source), normal(target)
    above = list(range(len(b) + 1))
    for row, char in enumerate(a, 1):
        line = [row]
        for column, other in enumerate(b, 1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (char != other)))
        above = line
    return 1 - above[-1] / max(len(a), len(b), 1)


def item_groups(counts: Numbers, words: Sequence[tuple[str, str]]) -> dict[str, NDArray[Any]]:
    """What items are grouped by: how often the rarer word occurs, and the scripts of the words."""
    scripts = [(script(source), script(target)) for source, target in words]
    named = {
        BY_FREQUENCY: frequency_classes(counts).tolist(),
        "script of the source": [source for source, _ in scripts],
        "script of the target": [target for _, target in scripts],
        "scripts": [f"{source} to {target}" for source, target in scripts],
    }
    return {by: np.array(groups, dtype=object) for by, groups in named.items()}


def group_names(groups: NDArray[Any]) -> list[str]:
    """The groups that there are: classes of frequency from rare to frequent, others by name."""
    classes = list(FREQUENCY_CLASSES.values())
    return sorted(set(groups.tolist()), key=lambda name: (classes.index(name) if name in classes else 0, name))


def frequency_classes(counts: Numbers) -> NDArray[Any]:
    """The class of each item (`FREQUENCY_CLASSES`) by the documents with the rarer of its words."""
    names = np.array(list(FREQUENCY_CLASSES.values()), dtype=object)
    starts = list(FREQUENCY_CLASSES)
    classes: NDArray[Any] = names[np.searchsorted(starts, np.minimum(counts[0], counts[1]), side="right") - 1]
    return classes


def script(word: str) -> str:
    """The scripts of a word's letters by the first word of their Unicode names, ``han`` for CJK characters.

    Examples
    --------
    >>> script("chien"), script("犬"), script("食べる"), script("3")
    ('latin', 'han', 'han+hiragana', 'none')
    """
    names = {unicodedata.name(char, "").split(" ")[0].partition("-")[0].lower() for char in word if char.isalpha()}
    return "+".join(sorted("han" if name == "cjk" else name for name in names if name)) or "none"
