"""The AUC of each predictor for co-occurrence behavior against pivot behavior, by rule and group of items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.attribution.item_counts import ItemCounts, item_keys
from pivotkit.attribution.item_means import LEAST_CONCEPTS, POOLED
from pivotkit.attribution.permutation import permuted_areas
from pivotkit.attribution.predictors import (
    CO_OCCURRENCE,
    PARTIAL,
    group_names,
    item_groups,
    predictors,
    with_partial,
)
from pivotkit.attribution.statistics import auc_of_clusters
from pivotkit.attribution.wording import count
from pivotkit.bootstrap import Estimate, estimate

BEHAVIORS = ("co-occurrence", "pivot", "copy", "other", "excluded")
STRICTLY, WITH_COPY = "co-occurrence", "co-occurrence+copy"  # which behaviors count as co-occurrence
LEAST_ITEMS = 10  # of each class, and of those with another value of the predictor than the commonest

Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """The items of one rule that show co-occurrence or pivot behavior, with what is known of each."""

    rule: str
    positive: str
    pairs: NDArray[Any]
    concepts: NDArray[np.int64]
    direct: NDArray[np.bool_]
    copied: NDArray[np.bool_]
    values: dict[str, NDArray[np.float64]]
    groups: dict[str, NDArray[Any]]  # what else items are grouped by
    everywhere: NDArray[Any]  # the pairs of all items of the rule, those that are left out too

    def entry(self, mine: NDArray[np.bool_]) -> Row:
        """How many items of each kind are in a group."""
        direct = self.direct[mine]
        return {
            "rule": self.rule, "positive": self.positive, "n": int(mine.sum()),
            "n_concepts": len(np.unique(self.concepts[mine])),
            "n_co_occurrence": int((direct & ~self.copied[mine]).sum()), "n_copy": int(self.copied[mine].sum()),
            "n_pivot": int((~direct).sum()),
        }  # fmt: skip


def samples(behaviors: pa.Table, known: ItemCounts) -> Iterator[Sample]:
    """Each rule's items, once with copy left out and once with copy as co-occurrence."""
    for rule in dict.fromkeys(behaviors["rule"].to_pylist()):
        ruled = behaviors.filter(pc.equal(behaviors["rule"], rule))
        keys = item_keys(ruled)
        if len(set(keys)) != len(keys):
            raise ValueError(
                f"attribute: behaviors must hold one row per item and rule; got two for an item under {rule!r}"
            )
        seen = np.asarray(ruled["behavior"].to_pylist(), dtype=object)
        unknown = sorted({str(behavior) for behavior in seen} - set(BEHAVIORS))
        if unknown:
            raise ValueError(f"attribute: behavior must be one of {', '.join(BEHAVIORS)}; got {unknown[0]!r}")
        everywhere = np.asarray(ruled["pair"].to_pylist(), dtype=object)
        places = known.places(ruled, "behaviors")
        for positive in (STRICTLY, WITH_COPY):
            direct = np.isin(seen, positive.split("+"))
            kept = direct | (seen == "pivot")
            words = [known.words[place] for place in places[kept]]
            counts = known.counts(places[kept])
            yield Sample(
                rule, positive, everywhere[kept], known.concepts[places[kept]], direct[kept], seen[kept] == "copy",
                predictors(counts, words, known.tokens(places[kept])),
                item_groups(counts, words), everywhere,
            )  # fmt: skip


def areas_by_pair(sample: Sample, bootstrap: int, seed: int) -> list[Row]:
    """One row per pair and predictor; the pair `POOLED` is last."""
    rows = []
    for pair, mine in by_pair(sample.everywhere, sample.pairs):
        left_out = _size(sample.everywhere, pair) - int(mine.sum())
        for row in _areas(sample, mine, pair, bootstrap, seed):
            rows.append({"pair": pair} | row | {"n_left_out": left_out})
    return rows


def areas_by_group(sample: Sample, bootstrap: int, seed: int) -> list[Row]:
    """One row per group of all pairs' items and predictor: by the words' frequency and by their scripts."""
    rows = []
    for by, values in sample.groups.items():
        for group in group_names(values):
            mine = values == group
            found = _areas(sample, mine, f"{by}\0{group}", bootstrap, seed, only=(CO_OCCURRENCE, PARTIAL))
            rows += [{"pair": POOLED, "by": by, "group": group} | row for row in found]
    return rows


def permuted_by_pair(sample: Sample, draws: int, seed: int) -> list[Row]:
    """One row per pair: the AUC of log co-occurrence, and the interval that permuted co-occurrence gives."""
    rows = []
    for pair, mine in by_pair(sample.everywhere, sample.pairs):
        values, direct = sample.values[CO_OCCURRENCE][mine], sample.direct[mine]
        row: Row = {"pair": pair, "predictor": CO_OCCURRENCE} | sample.entry(mine)
        row |= dict.fromkeys(("auc", "mean", "low", "high", "p"))
        row["reason"] = why_not(row, values) or (None if draws else "no permutations were asked for")
        if row["reason"] is None:
            area = auc_of_clusters(values, direct, np.arange(len(values)))(np.ones((len(values), 1)))[0]
            key = f"{sample.rule}\0{sample.positive}\0{pair}"
            drawn = permuted_areas(values, direct, sample.pairs[mine], sample.concepts[mine], draws, seed, key)
            low, high = np.percentile(drawn, [2.5, 97.5])
            farther = np.abs(drawn - drawn.mean()) >= abs(area - drawn.mean()) - 1e-12
            row |= {"auc": float(area), "mean": float(drawn.mean()), "low": float(low), "high": float(high)}
            row["p"] = float((1 + farther.sum()) / (1 + draws))
        rows.append(row)
    return rows


def by_pair(listed: NDArray[Any], pairs: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each pair of ``listed`` with a mask of its rows among ``pairs``, then `POOLED` with all rows."""
    for pair in dict.fromkeys(listed.tolist()):
        yield pair, pairs == pair
    yield POOLED, np.ones(len(pairs), dtype=bool)


def numbered(concepts: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """Return the number of concepts, and each row's concept numbered from 0."""
    names, numbers = np.unique(concepts, return_inverse=True)
    return len(names), numbers


def why_not(entry: Row, values: NDArray[np.float64]) -> str | None:
    """Why a group has no AUC: too few items of a class or concepts, or too few values other than the commonest."""
    sizes = {"co-occurrence": entry["n_co_occurrence"] + entry["n_copy"], "pivot": entry["n_pivot"]}
    if entry["positive"] == WITH_COPY:
        sizes = {"co-occurrence or copy": sizes.pop("co-occurrence")} | sizes
    for name, size in sizes.items():
        if size < LEAST_ITEMS:
            shown = f"only {size} items show" if size > 1 else "one item shows" if size else "no item shows"
            return f"{shown} {name} behavior" + f"; {LEAST_ITEMS} are needed" * bool(size)
    return few_concepts(entry["n_concepts"]) or hardly_varies(values)


def few_concepts(number: int) -> str | None:
    """The reason where resamples of so few concepts would say little about others: intervals would be too narrow."""
    if number >= LEAST_CONCEPTS:
        return None
    return f"the items are of {count(number, 'concept')}; {LEAST_CONCEPTS} are needed"


def hardly_varies(values: NDArray[np.float64]) -> str | None:
    """The reason where fewer than `LEAST_ITEMS` values differ from the commonest one."""
    differ = len(values) - int(np.unique(values, return_counts=True)[1].max(initial=0))
    if differ >= LEAST_ITEMS:
        return None
    return f"{differ} of {len(values)} items differ from the predictor's commonest value; {LEAST_ITEMS} are needed"


def _size(everywhere: NDArray[Any], pair: str) -> int:
    return len(everywhere) if pair == POOLED else int((everywhere == pair).sum())


def _areas(
    sample: Sample, mine: NDArray[np.bool_], key: str, bootstrap: int, seed: int, only: tuple[str, ...] = ()
) -> list[Row]:
    """The AUC of each predictor for the items ``mine``."""
    values = with_partial({name: column[mine] for name, column in sample.values.items()}, sample.pairs[mine])
    number, clusters = numbered(sample.concepts[mine])
    entry = sample.entry(mine)
    wanted = [name for name in values if not only or name in only]
    reasons = {name: why_not(entry, values[name]) for name in wanted}
    told = {name: values[name] for name in wanted if reasons[name] is None}
    statistics = {name: auc_of_clusters(column, sample.direct[mine], clusters) for name, column in told.items()}
    found = estimate(statistics, number, resamples=bootstrap, seed=seed, key=f"{sample.rule}\0{key}")
    rows = []
    for name in wanted:
        area = found.get(name, Estimate(None, None, None))
        numbers = {"auc": area.value, "low": area.low, "high": area.high}
        rows.append({"predictor": name} | numbers | entry | {"reason": reasons[name]})
    return rows
