"""How the items of a table ask for a word: by their prompt format, or each in words of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from pivotkit.words.task import task_languages, task_prompt

AFTER = "after"  # the column of what follows the source word in a prompt of one's own


def questions(items: pa.Table) -> Callable[[Mapping[str, Any], str], str]:
    """How the items ask: a function of a row and a source word gives the text that follows the row's context.

    Items of `build_task` ask as their prompt format says. Those of `read_items` have their own words behind the source
    (column ``after``).
    """
    if AFTER in items.column_names:
        return lambda row, source: source + str(row[AFTER])
    prompt = task_prompt(items)
    names = {pair: task_languages(items, pair) for pair in items["pair"].unique().to_pylist()}
    return lambda row, source: prompt.ask(*names[row["pair"]], source)


def source_spans(items: pa.Table) -> list[tuple[int, int]]:
    """The characters of each item's prompt that are its source word in the question."""
    ask, found = questions(items), []
    inside = {} if AFTER in items.column_names else {
        pair: task_prompt(items).source_span(*task_languages(items, pair), "")[0]
        for pair in items["pair"].unique().to_pylist()
    }  # fmt: skip
    for row in items.to_pylist():
        begin = len(row["prompt"]) - len(ask(row, row["source"])) + inside.get(row["pair"], 0)
        found.append((begin, begin + len(row["source"])))
    return found
