"""What a run found, in sentences: caveats first, then what holds of the paper's claims, each figure with its n."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.artifacts import require_columns, table_metadata
from pivotkit.attribution.areas import STRICTLY, Row
from pivotkit.attribution.evidence import causal_sentences, corpus_pivot_sentences
from pivotkit.attribution.item_counts import Key, item_keys
from pivotkit.attribution.item_means import POOLED, means
from pivotkit.attribution.predictors import BY_FREQUENCY, CO_OCCURRENCE, PARTIAL
from pivotkit.attribution.wording import ENDS, caveat, count, estimated, found, of_class, percent
from pivotkit.lens.behavior import STRICT
from pivotkit.words.languages import parse_pair

RARE = ("0", "1 to 5", "6 to 20")  # classes of frequency in which a corpus cannot show pivots
BASELINES = {
    "log_df_source": "the source's frequency",
    "log_df_target": "the target's frequency",
    "log_min_df": "the rarer word's frequency",
    "similarity": "the spellings' likeness",
    "tokens_source": "the source's number of tokens",
    "tokens_target": "the target's number of tokens",
}

Sentence = dict[str, str]


def finding(
    attribution: dict[str, Any],
    behaviors: pa.Table,
    items: pa.Table,
    *,
    mass: pa.Table | None = None,
    agreement: pa.Table | None = None,
    effects: pa.Table | None = None,
    without: Sequence[str] | None = None,
) -> list[Sentence]:
    """Say in sentences what a run found of the paper's claims, caveats first.

    Parameters
    ----------
    attribution : dict
        The result of `attribute`, with its intervals.
    behaviors : pyarrow.Table
        The result of `classify`; rows of the rule "strict" are read.
    items : pyarrow.Table
        ``item, pair, concept``.
    mass, agreement : pyarrow.Table, optional
        What the layers give the corpus's pivots, and how many of the layers' tokens are such pivots, each beside
        controls: columns ``pair, against, items, concepts, difference, low, high, reason``, and ``documents`` in the
        second.
    effects : pyarrow.Table, optional
        The result of `causal_effects`.
    without : sequence of str, optional
        Whose look-alikes were left out of the corpus's pivots (`find_pivots`); by default this is not told.

    Returns
    -------
    list of dict
        ``{"text": sentence, "kind": "caveat" | "finding"}``. Every figure stands with its 95 % interval, where it has
        one, and with the number of its items.

    Raises
    ------
    TypeError, ValueError
        A table is none, or lacks a column; ``items`` lacks an item of ``behaviors``.

    Notes
    -----
    *The claim* is that words that share documents are translated without a pivot. It **holds** where the intervals of
    the AUC of log co-occurrence and of the partial AUC, given the words' frequencies, lie above 0.5, and the AUC above
    the interval that it has with co-occurrence permuted within the pairs. It **fails** where the AUC's interval lies
    below 0.5 and the AUC below the permutations' interval. What lies between is named: it cannot be told, or is not
    shown within the pairs or beyond frequency, which does not say that these are its cause. Only the rule "strict"
    decides.

    Intervals of shares are percentiles over 1000 resamples of concepts; fewer than 10 concepts have none.
    """
    require_columns("finding", "behaviors", behaviors, ("item", "pair", "rule", "behavior", "correct"))
    require_columns("finding", "items", items, ("item", "pair", "concept"))
    strict = [row for row in behaviors.select(["item", "pair", "rule", "behavior", "correct"]).to_pylist()
              if row["rule"] == STRICT]  # fmt: skip
    if not strict:
        return [caveat(f"Nothing is said of the paper's claims: behaviors hold no item of the rule {STRICT}.")]
    concepts = dict(zip(item_keys(items), map(str, items["concept"].to_pylist()), strict=True))
    unknown = next((key for row in strict if (key := (row["item"], row["pair"])) not in concepts), None)
    if unknown is not None:
        raise ValueError(
            f"finding: items must hold every item of behaviors; got none for {unknown}: "
            "give tables that were made of the same items"
        )
    languages = table_metadata(items).get("languages")
    told = [
        *_sample(strict, concepts, languages), *_frequencies(attribution), *_missing(attribution),
        *_claim(attribution), *_behaviors(strict, concepts), *_baselines(attribution), *_other_readings(attribution),
        *_pairs(attribution), *_scores(attribution), *corpus_pivot_sentences(mass, agreement, without),
        *causal_sentences(effects),
    ]  # fmt: skip
    return sorted(told, key=lambda sentence: sentence["kind"] != "caveat")


def _share(rows: list[Row], concepts: dict[Key, str], is_one: Any) -> str:
    """The share of rows for which ``is_one``, with its interval over concepts."""
    names = [concepts[row["item"], row["pair"]] for row in rows]
    hits = np.array([is_one(row) for row in rows], np.float64)
    one = means({"share": hits}, names, resamples=1000, seed=0, key="share")["share"]
    if one.low is None:
        return f"{percent(one.value)} (no interval)"
    return f"{percent(one.value)} [{percent(one.low)}, {percent(one.high)}]"


def _sample(strict: list[Row], concepts: dict[Key, str], languages: dict[str, str] | None) -> Iterable[Sentence]:
    pairs = list(dict.fromkeys(row["pair"] for row in strict))
    names = {concepts[row["item"], row["pair"]] for row in strict}
    left = [row for row in strict if row["behavior"] in ("excluded", "other")]
    if left:
        seen = Counter(row["behavior"] for row in left)
        yield caveat(
            f"{len(left)} of {len(strict)} items ({count(len(names), 'concept')}, {count(len(pairs), 'pair')}) say "
            f"nothing: {seen['other']} are answered wrongly, {seen['excluded']} are excluded."
        )
    yield caveat(
        f"The model answers {_share(strict, concepts, lambda row: row['correct'])} of {len(strict)} items correctly."
    )
    english = [pair for pair in pairs if "en" in parse_pair(pair, languages)]
    if english:
        yield caveat(
            f"In {len(english)} of {count(len(pairs), 'pair')} English is source or target, so that the English word "
            "cannot show as a pivot of its own there."
        )


def _frequencies(attribution: dict[str, Any]) -> Iterable[Sentence]:
    rows = [row for row in attribution["auc_by_group"] if row["by"] == BY_FREQUENCY]
    sizes = {row["group"]: row["n"] for row in rows if _is(row, predictor=CO_OCCURRENCE)}
    rare = sum(sizes.get(group, 0) for group in RARE)
    if rare:
        yield caveat(
            f"{rare} of {sum(sizes.values())} items that show co-occurrence or a pivot have a word in at most 20 "
            "documents, too few to tell what it shares documents with."
        )


def _missing(attribution: dict[str, Any]) -> Iterable[Sentence]:
    rows = [row for row in attribution["auc"] if row["pair"] != POOLED and _is(row, predictor=CO_OCCURRENCE)]
    without = [row for row in rows if row["auc"] is None]
    if without:
        shown = "; ".join(f"{row['pair']}: {row['reason']}" for row in without[:3])
        more = f"; and {len(without) - 3} more" * (len(without) > 3)
        yield caveat(f"{len(without)} of {count(len(rows), 'pair')} have no AUC of their own ({shown}{more}).")


def _claim(attribution: dict[str, Any]) -> Iterable[Sentence]:
    """The verdict on the claim, then the figures that it follows from."""
    whole, partial = (_pooled(attribution["auc"], name) for name in (CO_OCCURRENCE, PARTIAL))
    permuted = _pooled(attribution["permutation"], CO_OCCURRENCE)
    if whole is None or whole["auc"] is None:
        why = "no AUC was computed" if whole is None else whole["reason"]
        yield found(f"Whether words that share documents are translated without a pivot cannot be told: {why}.")
        return
    yield found(VERDICTS[verdict(whole, partial, permuted)])
    yield found(
        f"AUC of log co-occurrence for co-occurrence against pivot: {estimated(whole, 'auc')}, {of_class(whole)}."
    )
    if permuted is not None and permuted["mean"] is not None:
        yield found(
            f"With co-occurrence permuted within the pairs the AUC would be {estimated(permuted, 'mean')}, "
            f"p {permuted['p']:.3g}, n {permuted['n']}."
        )
    if partial is not None:
        yield found(_partial_words(partial))


def _partial_words(partial: Row) -> str:
    if partial["auc"] is None:
        return f"Given the words' frequencies there is no AUC: {partial['reason']} (n {partial['n']})."
    return (
        f"Given the words' frequencies, the AUC of log co-occurrence is {estimated(partial, 'auc')}, n {partial['n']}."
    )


VERDICTS = {
    "holds": "The paper's claim holds in this run: words that share more documents are more often translated without a "
    "pivot, beyond what their frequencies and the pairs tell.",
    "frequency": "The paper's claim is not shown beyond frequency: words that share more documents are more often "
    "translated without a pivot, but given the words' frequencies no such link can be told.",
    "pairs": "The paper's claim is not shown within the pairs: the AUC of co-occurrence is no further from 0.5 than it "
    "may be where co-occurrence is permuted within the pairs.",
    "open": "Whether words that share more documents are more often translated without a pivot cannot be told from "
    "this run: the interval holds 0.5.",
    "untested": "Whether words that share more documents are more often translated without a pivot cannot be told: "
    "intervals or permutations were not asked for.",
    "fails": "The paper's claim does not hold in this run: words that share more documents are more often translated "
    "through a pivot.",
}


def verdict(whole: Row, partial: Row | None, permuted: Row | None) -> str:
    """What follows from the AUC, the partial one and the permutations; each interval must lie on one side whole."""
    if any(whole[end] is None for end in ENDS) or permuted is None or permuted["high"] is None:
        return "untested"
    if whole["low"] <= 0.5 <= whole["high"]:
        return "open"
    if whole["high"] < 0.5:
        return "fails" if whole["auc"] < permuted["low"] else "pairs"
    if whole["auc"] <= permuted["high"]:
        return "pairs"
    if partial is None or partial["low"] is None or partial["low"] <= 0.5:
        return "frequency"
    return "holds"


def _behaviors(strict: list[Row], concepts: dict[Key, str]) -> Iterable[Sentence]:
    rows = [row for row in strict if row["behavior"] not in ("excluded", "other")]
    if not rows:
        yield found(f"No item of {len(strict)} shows co-occurrence, copy or a pivot.")
        return
    shares = [f"{name} {_share(rows, concepts, lambda row, name=name: row['behavior'] == name)}"
              for name in ("pivot", "copy", "co-occurrence")]  # fmt: skip
    yield found(f"Behaviors of the {count(len(rows), 'item')} that show one: {', '.join(shares)}.")


def _baselines(attribution: dict[str, Any]) -> Iterable[Sentence]:
    whole = _pooled(attribution["auc"], CO_OCCURRENCE)
    rows = [row for row in (_pooled(attribution["auc"], name) for name in BASELINES) if row and row["auc"] is not None]
    if whole is None or whole["auc"] is None or not rows:
        return
    best = max(rows, key=lambda row: abs(row["auc"] - 0.5))
    more = abs(best["auc"] - 0.5) > abs(whole["auc"] - 0.5)
    yield found(
        f"Of the baselines {BASELINES[best['predictor']]} tells most: AUC {estimated(best, 'auc')}, n {best['n']}; "
        f"that is {'further from' if more else 'nearer to'} 0.5 than that of co-occurrence."
    )


def _other_readings(attribution: dict[str, Any]) -> Iterable[Sentence]:
    """The AUC where copy counts as co-occurrence, and under the other rules."""
    row = _pooled(attribution["auc_with_copy"], CO_OCCURRENCE)
    if row is not None and row["n_copy"]:
        told = row["reason"] if row["auc"] is None else f"AUC {estimated(row, 'auc')}"
        yield found(f"With copy counted as co-occurrence: {told}, {of_class(row)}.")
    permuted = {row["rule"]: row for row in attribution["permutation"]
                if (row["pair"], row["positive"]) == (POOLED, STRICTLY) and row["mean"] is not None}  # fmt: skip
    others = [
        f"{row['rule']} {estimated(row, 'auc')}, permuted within the pairs "
        f"{estimated(permuted[row['rule']], 'mean')} (n {row['n']})"
        for row in attribution["auc"]
        if (row["pair"], row["predictor"]) == (POOLED, CO_OCCURRENCE) and row["rule"] != STRICT
        and row["rule"] in permuted
    ]  # fmt: skip
    if others:
        yield found(f"AUC under the published rules, which do not decide: {'; '.join(others)}.")


def _pairs(attribution: dict[str, Any]) -> Iterable[Sentence]:
    rows = [row for row in attribution["auc"] if row["pair"] != POOLED and _is(row, predictor=CO_OCCURRENCE)
            and row["low"] is not None]  # fmt: skip
    if len(rows) > 1:
        above, below = sum(row["low"] > 0.5 for row in rows), sum(row["high"] < 0.5 for row in rows)
        yield found(
            f"Pair by pair the interval lies above 0.5 in {above} of {len(rows)}, below in {below} "
            f"(n {min(row['n'] for row in rows)} to {max(row['n'] for row in rows)} items a pair)."
        )


def _scores(attribution: dict[str, Any]) -> Iterable[Sentence]:
    rows = {row["predictor"]: row for row in attribution["correlation"] if row["pair"] == POOLED}
    if CO_OCCURRENCE in rows:
        row, partial = rows[CO_OCCURRENCE], rows[PARTIAL]
        told = row["reason"] if row["r"] is None else estimated(row, "r")
        given = partial["reason"] if partial["r"] is None else estimated(partial, "r")
        yield found(
            f"Correlation of log co-occurrence and translation score: {told}; given the words' frequencies and the "
            f"pair: {given}; n {row['n']}."
        )


def _is(row: Row, **wanted: Any) -> bool:
    wanted = {"rule": STRICT, "positive": STRICTLY} | wanted
    return all(row[name] == value for name, value in wanted.items())


def _pooled(rows: list[Row], predictor: str) -> Row | None:
    """The row of the strict rule, all pairs and a predictor; copy is in it as it is in the list."""
    wanted = (STRICT, POOLED, predictor)
    return next((row for row in rows if (row["rule"], row["pair"], row["predictor"]) == wanted), None)
