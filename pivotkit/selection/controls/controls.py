"""The controls of a selection, made by one function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.arguments import check_flag, check_int, check_kind, check_path, check_strings, check_text, refuse
from pivotkit.artifacts import require_columns
from pivotkit.corpus.languages.field import language_set
from pivotkit.selection.choosing.dropped import Dropped
from pivotkit.selection.choosing.ranking import seed_of
from pivotkit.selection.choosing.score_shards import ScoreShards
from pivotkit.selection.choosing.selection_folder import Selection
from pivotkit.selection.controls.choose import Plan, choose, keep, survey
from pivotkit.selection.controls.facts import languages_column, taken_tokens, texts
from pivotkit.selection.controls.rules import (
    CONTROLS,
    POOL,
    SHUFFLED,
    ControlQuotas,
    ControlRule,
    Labels,
    label_languages,
)

NAME = "selection_controls"
LEAST_SHARE = 0.01  # of a selection's tokens that documents with a language have at least, for it to be one of its own
ONE_LANGUAGE = ("bilingual", "parallel", "code-switched")  # what documents of one language are not
BASE = ("unit", "row", "id", "tokens")


class Composition:
    """What a selection consists of: tokens and documents by label, and tokens by language.

    Attributes
    ----------
    tokens : int
    sums : list of dict of str to (int, int)
        For each of some `Labels`, the tokens and documents of each label.
    """

    def __init__(self, selection: Selection, labels: list[Labels]) -> None:
        self.tokens = 0
        self.sums: list[dict[str, tuple[int, int]]] = [{} for _ in labels]
        self.nulls: dict[str, int] = {}
        self._spoken: dict[str, int] = {}
        for batch in _batches(selection):
            tokens = taken_tokens(batch)
            self.tokens += int(tokens.sum())
            for own, sums in zip(labels, self.sums, strict=True):
                _add(sums, own.of(batch), tokens)
            tags: dict[str, tuple[int, int]] = {}
            _add(tags, texts(batch, languages_column(selection.schema.names)), tokens)
            for tag, (some, _) in tags.items():
                for language in language_set(tag or ""):
                    self._spoken[language] = self._spoken.get(language, 0) + some

    @property
    def languages(self) -> frozenset[str]:
        """The languages of documents with at least a hundredth of the tokens."""
        return frozenset(code for code, tokens in self._spoken.items() if tokens >= LEAST_SHARE * self.tokens)


def selection_controls(
    documents: pa.Table | str | PathLike[str],
    selection: pa.Table | str | PathLike[str],
    *,
    controls: Iterable[str] | None = None,
    quota_by: str | None = "lang",
    drop: pa.Table | str | PathLike[str] | None = None,
    exact: bool = False,
    seed: int = 0,
    allow_shortfall: bool = False,
    out: str | PathLike[str] | None = None,
) -> dict[str, Any]:
    """Choose the controls of a selection: other documents of as many tokens.

    A control is taken from the same documents by another rule. For each value v of ``quota_by`` it has as many tokens
    as the selection, ``sum(tokens[control & (quota_by == v)]) == sum(tokens[selection & (quota_by == v)])``, within
    one document.

    Parameters
    ----------
    documents : pyarrow.Table or path
        What the selection was chosen from, as for `select`.
    selection : pyarrow.Table or path
        What `select` returned, or its folder; by any rule.
    controls : iterable of str, optional
        Which, by default all:

        ================= ========================================================= ==============================
        control           documents                                                 needs the column
        ================= ========================================================= ==============================
        random            any, at random, whatever their ``quota_by``
        language-matched  of the same ``lang``, at random                           ``lang``
        length-matched    of the same ``lang`` and class of length, at random       ``lang``
        bilingual         of two languages of the selection or more, at random      ``languages`` or ``lang``
        parallel          with both words of a translation pair, most pairs first   ``translation_pairs``
        code-switched     that mix languages within lines, at random                ``kind``, or the two above
        pivot-shuffled    the selection's; `shuffle_pivots` replaces their pivots
        other-pivots      with the highest share of other pairs' pivots             ``other_score``
        frequency-matched with the highest share of tokens as frequent as pivots    ``control_score``
        anti-pivot        with the lowest score                                     ``score``
        ================= ========================================================= ==============================

        `describe_documents` adds these columns.
    quota_by : str or None, default "lang"
        The column in which each control has the selection's tokens; None: only the sum is equal. Where its values are
        themselves sets of languages, as "en+fr", controls of two languages are taken from one pool.
    drop : pyarrow.Table or path, optional
        Documents that no control takes, as for `select`: what the selection dropped.
    exact : bool, default False
        Whether each budget is met to the token, as for `select`. What a selection that was cut takes of a document is
        what counts.
    seed : int, default 0
        Together with the name of a control it orders documents of equal rank.
    allow_shortfall : bool, default False
        Whether to take all there is where documents do not suffice, and to tell it in the summary (``short``), instead
        of raising an error. A control of nothing is an empty table.
    out : path, optional
        Folder for the controls, one folder of its name each, as ``select(out=)`` writes it. None: they are returned.

    Returns
    -------
    dict of str to pyarrow.Table, or with ``out`` to Path
        Rows of ``documents`` by control, sorted by ``unit`` and ``row``; the metadata are the summary, as of `select`,
        with ``control``, ``told``, the ``seed`` of its own, and ``short``.

    Raises
    ------
    TypeError
        For an argument of another kind.
    ValueError
        For a control of another name; a selection without documents, or with some that lack what a control equals it
        in; documents that do not suffice for a control, or lack its column: the message has the numbers of each.
    InputError
        As `select`.

    Notes
    -----
    Bilingual documents have two languages or more, all of them languages of documents with at least a hundredth of the
    selection's tokens. Documents are parallel where they hold both words of a translation pair and, where ``languages``
    is known, are in several; or where ``kind`` says that their lines are. Code-switched is what ``kind`` says; where it
    is not known, two languages and no translation pair. Ranking controls take no document whose share is 0.

    Classes of length are four to a doubling. Unless ``exact``, a control of equal lengths aims at half a mean document
    less of each class, so that what its classes exceed or lack evens out.

    The choice depends neither on the order of rows or files nor on the machine. Cost: one reading of the columns for
    what is there, and for each control those of `select`. Memory does not depend on how many documents there are.

    Examples
    --------
    >>> from pivotkit.selection import select
    >>> documents = pa.table({"unit": ["u"] * 6, "row": range(6), "id": list("abcdef"), "tokens": [10] * 6,
    ...     "score": [0.9, 0.8, 0.2, 0.1, 0.0, 0.3], "lang": ["en", "fr"] * 3,
    ...     "languages": ["en+fr", "en+fr", "en", "fr", "en", "en+fr"]})
    >>> selection = select(documents, budget_tokens=20)
    >>> found = selection_controls(documents, selection, controls=["anti-pivot", "bilingual"])
    >>> {name: rows["id"].to_pylist() for name, rows in found.items()}
    {'anti-pivot': ['d', 'e'], 'bilingual': ['a', 'b']}
    """
    for argument, value in (("documents", documents), ("selection", selection)):
        check_kind(NAME, argument, value, pa.Table | str | PathLike, "a pyarrow.Table or a path")
        if not isinstance(value, pa.Table):
            check_path(NAME, argument, value)
    names = list(CONTROLS) if controls is None else check_strings(NAME, "controls", controls)
    for name in names:
        check_text(NAME, "controls", name, tuple(CONTROLS))
    check_text(NAME, "quota_by", quota_by, none=True)
    check_int(NAME, "seed", seed, 0)
    check_flag(NAME, "exact", exact)
    check_flag(NAME, "allow_shortfall", allow_shortfall)
    check_path(NAME, "out", out, none=True)
    check_kind(NAME, "drop", drop, pa.Table | str | PathLike, "a pyarrow.Table or a path", none=True)
    if isinstance(drop, pa.Table):
        require_columns(NAME, "drop", drop, ("unit", "row"))
    elif drop is not None:
        check_path(NAME, "drop", drop)
    dropped = Dropped.of(drop)
    chosen = Selection(NAME, selection)
    language = quota_by if quota_by == "languages" else "lang"
    if quota_by is not None and quota_by not in chosen.schema.names:
        refuse(NAME, "quota_by", "be a column of selection", quota_by)
    needed = dict.fromkeys([*BASE, language, *([quota_by] if quota_by else [])])
    require_columns(NAME, "selection", chosen.schema.empty_table(), list(needed))
    if isinstance(documents, pa.Table):
        require_columns(NAME, "documents", documents, list(needed))
    shards = ScoreShards.of(documents if isinstance(documents, pa.Table) else Path(documents), [*needed])
    plans = _plans(dict.fromkeys(names), chosen, shards, quota_by, language, seed, exact)
    survey(shards, plans, dropped)
    refused = [plan for plan in plans if plan.refusal()]
    if refused and not allow_shortfall:
        told = "; ".join(plan.refusal() for plan in refused)
        if any("lang" in plan.control.columns(shards.schema.names) for plan in refused):
            told += "; lang alone told of languages: describe_documents(languages=), or --languages, tells of all"
        raise ValueError(f"{NAME}: documents must suffice for every control, or allow_shortfall be set; {told}")
    found: dict[str, Any] = {}
    for plan in plans:
        about = _about(plan)
        place = None if out is None else Path(out) / plan.name
        if plan.name == SHUFFLED:
            rows = (batch for table in _batches(chosen) for batch in table.to_batches())
            summary = {**chosen.summary, **about}
            found[plan.name] = keep(rows, chosen.schema, lambda told=summary: told, place)  # type: ignore[misc]
        elif not any(plan.available.values()):
            empty = about | {"tokens": 0, "documents": 0, "quotas": {}, "tokens_by_language": {}}
            found[plan.name] = keep((), shards.schema, lambda told=empty: told, place)  # type: ignore[misc]
        else:
            found[plan.name] = choose(shards, plan, dropped, exact, about, place)
    return found


def _plans(
    names: Iterable[str],
    chosen: Selection,
    shards: ScoreShards,
    quota_by: str | None,
    language: str,
    seed: int,
    exact: bool,
) -> list[Plan]:
    labels = {"quotas": Labels(quota_by), "languages": Labels(language), "lengths": Labels(language, lengths=True)}
    kinds = list(labels)
    made_of = Composition(chosen, list(labels.values()))
    if not made_of.tokens:
        raise ValueError(f"{NAME}: selection must hold documents; got none")
    known = tuple(shards.schema.names)
    plans = []
    for name in names:
        control = CONTROLS[name]
        in_sets = control.takes in ONE_LANGUAGE and label_languages(made_of.sums[0])
        if control.equals == "nothing" or in_sets:
            own, budgets = Labels(None), {POOL: made_of.tokens}
        else:
            own, sums = labels[control.equals], made_of.sums[kinds.index(control.equals)]
            if None in sums:
                documents = sums[None][1]  # type: ignore[index]
                raise ValueError(f"{NAME}: selection must have {own.column} in every row; got {documents} nulls")
            budgets = {label: _budget(*sums[label], half=own.lengths and not exact) for label in sorted(sums)}
        lacks = () if name == SHUFFLED else tuple(one for one in control.columns(known) if one not in known)
        quotas = ControlQuotas(list(budgets), None, control=control, labels=own, languages=made_of.languages)
        rule = ControlRule.of_control(control, known)
        plans.append(Plan(name, control, rule, quotas, budgets, seed_of(name, seed), lacks))
    return plans


def _budget(tokens: int, documents: int, *, half: bool) -> int:
    """The tokens at which a control's label ends: with ``half``, half a mean document before those of the selection."""
    return max(1, tokens - tokens // (2 * documents)) if half else tokens


def _about(plan: Plan) -> dict[str, Any]:
    return {
        "control": plan.name,
        "told": plan.control.told,
        "rule": plan.control.merit or "random",
        "quota_by": plan.quotas.labels.column,
        "seed": plan.seed,
        "budget_tokens": sum(plan.budgets.values()),
        "short": plan.refusal(),
    }


def _batches(selection: Selection) -> Iterator[pa.Table]:
    for unit in selection.units:
        yield from selection.batches(unit)


def _add(sums: dict[str, tuple[int, int]], labels: pa.Array, tokens: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    """Add the tokens and documents of each label."""
    grouped = pa.table({"label": labels, "tokens": tokens}).group_by("label")
    part = grouped.aggregate([("tokens", "sum"), ("tokens", "count")])
    for label, total, count in zip(*(part[name].to_pylist() for name in ("label", "tokens_sum", "tokens_count")),
                                   strict=True):  # fmt: skip
        before = sums.get(label, (0, 0))
        sums[label] = before[0] + total, before[1] + count
