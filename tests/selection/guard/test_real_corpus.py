"""The bar on real text: what is selected from a guarded corpus holds hardly a near-duplicate, by the exact Jaccard index."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from guard_oracle import grams, words_of

from pivotkit.corpus.reading.documents import read_documents, work_units
from pivotkit.selection import filter_documents, select

FILES = ("corpus/zh.jsonl.zst", "corpus/es.jsonl.zst", "bilingual/en-zh.jsonl.zst")
SELECTED = 2000


def near_duplicates(texts: list[str]) -> int:
    """How many documents are like an earlier one, found by what pairs share."""
    sets = [grams(words, 5) or {tuple(words)} for words in map(words_of, texts)]
    holders: dict[tuple, list[int]] = defaultdict(list)
    found = 0
    for place, mine in enumerate(sets):
        shared: dict[int, int] = defaultdict(int)
        for gram in mine:
            for other in holders[gram]:
                shared[other] += 1
            holders[gram].append(place)
        found += any(both / (len(mine) + len(sets[other]) - both) >= 0.8 for other, both in shared.items())
    return found


@pytest.fixture(scope="module")
def scored(shared):
    """Rows and texts of the corpus; the score is the share of one word in ten, so that copies rank side by side."""
    rows, texts = [], {}
    for unit in work_units([shared / "data" / file for file in FILES]):
        for batch in read_documents(unit):
            for row, identity, text, lang in zip(batch.rows, batch.ids, batch.texts, batch.langs, strict=True):
                words = text.split() or [""]
                score = float(np.mean([len(word) % 10 == 7 for word in words]))
                rows.append((unit.name, row, identity, len(words), score, lang))
                texts[unit.name, row] = text
    names = ("unit", "row", "id", "tokens", "score", "lang")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), texts


def selected(scored, drop):
    table, texts = scored
    chosen = select(table, budget_tokens=10**9, drop=drop, allow_shortfall=True)
    best = chosen.sort_by([("score", "descending"), ("id", "ascending")]).slice(0, SELECTED)
    return [texts[key] for key in zip(best["unit"].to_pylist(), best["row"].to_pylist(), strict=True)]


def test_two_thousand_selected_documents_hold_under_two_percent_of_near_duplicates(shared, scored):
    dropped = filter_documents([shared / "data" / file for file in FILES], quality=(), workers=1)
    before, after = near_duplicates(selected(scored, None)), near_duplicates(selected(scored, dropped))
    assert after < 0.02 * SELECTED
    assert after < before / 4
