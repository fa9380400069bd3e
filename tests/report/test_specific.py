"""What counts as specific to an item, at its two edges."""

from __future__ import annotations

import math

import pyarrow as pa

from pivotkit.report.specific import specific, specific_places

LEAST, HALF = math.log(100), math.log(0.5)


def test_both_thresholds_are_met_at_their_edge_and_missed_below() -> None:
    assert specific([LEAST, LEAST], [math.log(0.05) + 1e-12, math.log(0.0499)]) == [0]
    assert specific([LEAST - 1e-9, LEAST], [HALF, HALF]) == [1]


def test_a_row_without_contrasts_has_no_places() -> None:
    table = pa.table({"top_logprobs": [[HALF]]})
    assert specific_places(table) == [None]
    table = pa.table({"top_logprobs": [[HALF]] * 3})
    contrasts = pa.array([[9.0], None, [0.0]], pa.list_(pa.float32()))
    assert specific_places(table.append_column("top_contrasts", contrasts)) == [[0], None, []]
