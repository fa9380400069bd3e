"""Attribution is shown as it was written: its AUCs and what stands beside them; its headline is the strict rule's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pivotkit.artifacts import read_json, write_json
from pivotkit.errors import InputError
from pivotkit.report import write_report
from pivotkit.report.text import number


def test_auc_and_its_reasons_are_shown_as_computed(page: Any, full_run: Path) -> None:
    for entry in read_json(full_run / "attribution.json")["auc"]:
        shown = number(entry["auc"])
        assert shown in page.words
        assert (entry.get("reason") or f"[{number(entry['low'])}, {number(entry['high'])}]") in page.words


@pytest.mark.parametrize("rules", [("paper", "strict"), ("paper",)])
def test_the_headline_is_the_auc_of_the_strict_rule_or_none(new_run: Callable[[], Path], rules: tuple[str]) -> None:
    run = new_run()
    values = {"paper": 0.123, "strict": 0.876}
    counts = {"low": None, "high": None, "n_co_occurrence": 4, "n_pivot": 4}
    rows = [{"rule": rule, "pair": "all", "predictor": "log_df_both", "auc": values[rule]} | counts for rule in rules]
    write_json({"auc": rows}, run / "attribution.json")
    cards = write_report(run).read_text(encoding="utf-8").split('<div class="cards">')[1].split("<figure")[0]
    assert ("0.876" in cards) == ("AUC of log co-occurrence, all pairs, rule strict" in cards) == ("strict" in rules)
    assert "0.123" not in cards


def test_an_incomplete_attribution_is_refused(new_run: Callable[[], Path]) -> None:
    run = new_run()
    write_json({"auc": [{"rule": "paper", "pair": "all"}]}, run / "attribution.json")
    with pytest.raises(InputError, match="auc must have the keys predictor, auc, low"):
        write_report(run)


SAMPLE = {"rule": "strict", "pair": "all", "n": 31, "n_co_occurrence": 12, "n_copy": 0, "n_pivot": 19, "reason": None}
AREA = SAMPLE | {"predictor": "log_df_both", "low": 0.6, "high": 0.9, "positive": "co-occurrence"}
MORE: dict[str, Any] = {
    "auc": [AREA | {"auc": 0.777}, AREA | {"auc": 0.666, "predictor": "log_df_both_given_df"}],
    "auc_with_copy": [AREA | {"auc": 0.555, "positive": "co-occurrence+copy", "n_copy": 4}],
    "auc_by_group": [
        AREA | {"auc": None, "low": None, "high": None, "by": "frequency of the rarer word", "group": "6 to 20"}
        | {"reason": "one item shows pivot behavior"}
    ],
    "correlation_by_group": [
        {"by": "script of the source", "group": "Latin", "predictor": "log_df_both", "r": 0.345, "low": 0.2, "high": 0.5}
        | {"n": 31, "reason": None}
    ],
    "permutation": [AREA | {"auc": 0.777, "mean": 0.512, "low": 0.41, "high": 0.62, "p": 0.013}],
    "fits": [{"pair": "all", "model": "log_df_both + log_pivots", "term": "log_pivots", "value": 0.123, "low": 0.1}
             | {"high": 0.2, "n": 31, "reason": None}],
    "points": [{"item": 3, "pair": "fr-zh", "log_df_both": 2.5, "score": 0.25, "behavior": "pivot"},
               {"item": 4, "pair": "fr-zh", "log_df_both": 0.0, "score": -0.5, "behavior": None}],
}  # fmt: skip


def test_what_stands_beside_the_auc_is_shown(new_run: Callable[[], Path], read_page: Callable[[Path], Any]) -> None:
    run = new_run()
    write_json(MORE, run / "attribution.json")
    source = write_report(run).read_text(encoding="utf-8")
    page = read_page(run / "report.html")
    assert page.has("Rule strict, copy as co-occurrence")
    assert "all pairs, log co-occurrence: 0.555 [0.600, 0.900]</title>" in source
    assert "all pairs, log co-occurrence, given the frequencies: 0.666 [0.600, 0.900]</title>" in source
    assert page.has("all pairs", "co-occurrence", "31", "0.777", "0.512", "[0.410, 0.620]", "0.013")
    assert page.has("6 to 20", "co-occurrence", "log co-occurrence", "31", "–", "one item shows pivot behavior")
    assert page.has("script of the source", "Latin", "log co-occurrence", "31", "0.345", "[0.200, 0.500]")
    assert page.has("all pairs", "log co-occurrence + log_pivots", "log_pivots", "31", "0.123", "[0.100, 0.200]")
    assert 'href="#words?pair=fr-zh&amp;item=3"' in source
    assert "fr → zh: pivot</title>" in source
    assert "fr → zh: no behavior</title>" in source


def test_copy_is_counted_where_it_counts_as_co_occurrence(new_run: Callable[[], Path], page: Any) -> None:
    run = new_run()
    write_json({"auc": [AREA | {"auc": 0.5, "n_copy": 4}]}, run / "attribution.json")
    assert '<td class="num">16</td><td class="num">19</td>' in write_report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(MORE))
def test_an_incomplete_row_is_refused_by_its_list(name: str, new_run: Callable[[], Path]) -> None:
    run = new_run()
    write_json(MORE | {name: [{"pair": "all"}]}, run / "attribution.json")
    with pytest.raises(InputError, match=rf"attribution.json: {name} must have the keys "):
        write_report(run)
