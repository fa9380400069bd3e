"""What each control is: which documents it may take, what ranks them, and in what it equals the selection."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.corpus.languages.field import language_set
from pivotkit.selection.choosing.groups import Quotas, places_of
from pivotkit.selection.choosing.rules import Rule
from pivotkit.selection.controls.facts import (
    Mask,
    Rows,
    by_languages,
    is_code_switched,
    is_parallel,
    languages_column,
    length_classes,
    numbers,
    texts,
)

POOL = "all"  # the label of every document where a control equals the selection in nothing but tokens


@dataclass(frozen=True)
class Control:
    """One control.

    Attributes
    ----------
    told : str
        What it takes, in words.
    merit : str or None
        The column that ranks documents, high before low; None: they are taken at random.
    lowest : bool
        Whether low stands before high.
    takes : {"all", "positive", "bilingual", "parallel", "code-switched"}
        Which documents may be taken; "positive": those whose merit is above 0.
    equals : {"quotas", "languages", "lengths", "nothing"}
        In what it has as many tokens of each kind as the selection.
    """

    told: str
    merit: str | None = None
    lowest: bool = False
    takes: str = "all"
    equals: str = "quotas"

    def columns(self, names: Collection[str]) -> tuple[str, ...]:
        """What must be known of documents that have the columns ``names``."""
        needed = {
            "bilingual": (languages_column(names),),
            "parallel": ("translation_pairs", *(name for name in ("languages", "kind") if name in names)),
            "code-switched": ("kind",) if "kind" in names else (languages_column(names), "translation_pairs"),
        }.get(self.takes, ())
        return tuple(dict.fromkeys([*needed, *([self.merit] if self.merit else [])]))


SHUFFLED = "pivot-shuffled"
CONTROLS: Mapping[str, Control] = {
    "random": Control("any documents, at random", equals="nothing"),
    "language-matched": Control("documents of the same languages, at random", equals="languages"),
    "length-matched": Control("documents of the same languages and lengths, at random", equals="lengths"),
    "bilingual": Control("documents of two of the selection's languages, at random", takes="bilingual"),
    "parallel": Control(
        "documents with both words of a translation pair, most pairs first", "translation_pairs", takes="parallel"
    ),
    "code-switched": Control("documents that mix languages within lines, at random", takes="code-switched"),
    SHUFFLED: Control("the selection, each pivot replaced by another pair's"),
    "other-pivots": Control("the highest share of other pairs' pivots", "other_score", takes="positive"),
    "frequency-matched": Control(
        "the highest share of tokens as frequent as pivots", "control_score", takes="positive"
    ),
    "anti-pivot": Control("the lowest score", "score", lowest=True),
}


@dataclass(frozen=True)
class Labels:
    """By what a control's tokens equal those of the selection: a column, with or without the class of length."""

    column: str | None
    lengths: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.column is None else (self.column,)

    def of(self, rows: Rows) -> pa.Array:
        """The label of each document; null where the column is."""
        one = pa.scalar(POOL, pa.string())
        labels = pa.repeat(one, len(rows)) if self.column is None else texts(rows, self.column)
        if not self.lengths:
            return labels
        classes = pa.array(length_classes(numbers(rows, "tokens").astype(np.int64)))
        return pc.binary_join_element_wise(labels.cast(pa.string()), classes.cast(pa.string()), "|")


@dataclass(frozen=True)
class ControlRule(Rule):
    """What ranks documents for a control; its columns are also those by which documents are let in."""

    control: Control = field(default_factory=lambda: CONTROLS["random"])

    @classmethod
    def of_control(cls, control: Control, known: Collection[str]) -> ControlRule:
        return cls("random" if control.merit is None else "control", control.columns(known), control=control)

    def values(self, batch: pa.RecordBatch) -> NDArray[np.float64]:
        if self.control.merit is None:
            return np.zeros(len(batch))
        found = numbers(batch, self.control.merit)
        return -found if self.control.lowest else found


@dataclass(frozen=True)
class ControlQuotas(Quotas):
    """The labels that a selection has, for the documents that a control may take."""

    control: Control = field(default_factory=lambda: CONTROLS["random"])
    labels: Labels = Labels(None)
    languages: frozenset[str] = frozenset()  # those of the selection

    @property
    def columns(self) -> list[str]:
        return [*self.labels.columns, "tokens"]

    def places(self, batch: pa.RecordBatch) -> NDArray[np.int32]:
        found = places_of(self.labels.of(batch), self.names)
        return np.where(self._may_take(batch), found, np.int32(-1)).astype(np.int32)

    def _may_take(self, rows: Rows) -> Mask:
        tests: dict[str, Callable[[], Mask]] = {
            "all": lambda: np.ones(len(rows), np.bool_),
            "positive": lambda: numbers(rows, str(self.control.merit)) > 0,
            "bilingual": lambda: by_languages(rows, lambda some: len(some) > 1 and self.languages.issuperset(some)),
            "parallel": lambda: is_parallel(rows),
            "code-switched": lambda: is_code_switched(rows),
        }
        return tests[self.control.takes]()


def label_languages(labels: Collection[str | None]) -> bool:
    """Whether labels are sets of languages, so that those of one language have no bilingual document."""
    return any(len(language_set(label or "")) > 1 for label in labels)
