"""How many of a layer's specific tokens are pivots of the corpus, against plain Python, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.artifacts import table_metadata
from pivotkit.attribution.pivot_agreement import PIVOT_AGREEMENT, pivot_agreement

DF = (3, 15, 60, 400)
SETS = ("token_id", "control_id", "matched_id", "other_id")


def make(n=24, hits=0.7):
    """Items of fr-de and fr-zh whose layers hold English words, of which the share ``hits`` is among the pivots."""
    draw = np.random.default_rng(5)
    items, pivots, rows = [], [], []
    for pair in ("fr-de", "fr-zh"):
        for number in range(n):
            item = len(items)
            items.append(
                {"item": item, "pair": pair, "concept": f"c{number}", "source": "maison", "target": "Haus",
                 "words": [("fr", "maison"), ("de", "Haus"), ("en", "house")]}
            )  # fmt: skip
            own = draw.permutation(np.arange(100, 400))[:20].reshape(4, 5).tolist()
            for place in range(5):
                pivots.append(
                    {"item": item, "pair": pair, "df_source": DF[number % 4], "df_target": 1000}
                    | {name: tokens[place] for name, tokens in zip(SETS, own, strict=True)}
                )
            for layer in range(7):
                held = [int(draw.choice(own[0] if draw.random() < hits else own[int(draw.integers(1, 4))]))]
                held += [900, 901]  # a copy of the source, and a piece
                texts = [f" word{'x' * (held[0] % 7)}", " maison", "ze"]
                logprobs = [math.log(0.2 if number % 6 else 0.01), math.log(0.3), math.log(0.2)]
                lists = {"ids": held, "tokens": texts, "logprobs": logprobs, "contrasts": [6.0, 6.0, 6.0]}
                rows.append(
                    {"item": item, "pair": pair, "layer": layer, "label": "answer"}
                    | {f"top_{name}": value for name, value in lists.items()}
                    | {"contrast_ids": held, "contrast_tokens": texts, "contrast_logprobs": logprobs,
                       "contrasts": lists["contrasts"], "source_ids": [900], "source_pieces": [900],
                       "target_ids": [902], "target_pieces": [902]}
                )  # fmt: skip
    words = pa.map_(pa.string(), pa.string())
    table = pa.Table.from_pylist(items)
    kinds = [pa.field(f.name, words) if f.name == "words" else f for f in table.schema]
    return pa.Table.from_pylist(rows), pa.Table.from_pylist(pivots), pa.Table.from_pylist(items, pa.schema(kinds))


def plain(traces, pivots, items, name, pair, low, high):
    """The items' shares of pivots and of a control, item by item."""
    shown, sets = {}, {}
    for row in traces.to_pylist():
        if row["layer"] in (4, 5) and row["top_logprobs"][0] >= math.log(0.05):
            shown.setdefault(row["item"], set()).add(row["top_ids"][0])
    for row in pivots.to_pylist():
        own = sets.setdefault(
            row["item"], {"df": min(row["df_source"], row["df_target"]), "pivots": set(), "other": set()}
        )
        own["pivots"].add(row["token_id"])
        if row[f"{name}_id"] is not None:
            own["other"].add(row[f"{name}_id"])
    pair_of = {row["item"]: row["pair"] for row in items.to_pylist()}
    return {
        item: [len(tokens & sets[item][side]) / len(tokens) for side in ("pivots", "other")]
        for item, tokens in shown.items()
        if pair in (pair_of[item], "all") and low <= sets[item]["df"] <= high
    }


def test_shares_equal_a_plain_loop_in_every_group():
    made = make()
    found = pivot_agreement(*made, seed=1)
    assert found.schema.remove_metadata() == PIVOT_AGREEMENT
    bins = {"all": (0, 10**9), "1-5": (1, 5), "6-20": (6, 20), "21-100": (21, 100), "over 100": (101, 10**9)}
    groups = [("fr-de", "all"), ("fr-zh", "all"), ("all", "all"), *(("all", name) for name in list(bins)[1:])]
    rows = found.to_pylist()
    assert [(row["pair"], row["documents"]) for row in rows[::3]] == groups
    for row in rows:
        shares = np.array(list(plain(*made, row["against"], row["pair"], *bins[row["documents"]]).values()))
        assert row["items"] == len(shares) > 0
        assert [row["share"], row["control_share"]] == pytest.approx(shares.mean(axis=0).tolist())
        assert row["difference"] == pytest.approx(shares[:, 0].mean() - shares[:, 1].mean())
        assert row["low"] is None or row["low"] < row["difference"] < row["high"]
        assert (row["reason"] is None) == (row["low"] is not None) == (row["concepts"] >= 10)
    assert all(row["low"] > 0.1 for row in rows if row["documents"] == "all")
    assert {row["reason"] for row in rows if row["documents"] == "1-5"} == {"fewer than 10 concepts"}
    assert table_metadata(found)["without"] == {"no specific token": 8}
    assert table_metadata(found)["traced"] == 48


def test_layers_that_hold_no_more_pivots_than_controls_show_no_difference():
    for row in pivot_agreement(*make(hits=0.25)).to_pylist():
        assert row["low"] is None or row["low"] < 0 < row["high"]


def test_items_without_pivots_contrasts_or_enough_controls_are_counted():
    traces, pivots, items = make()
    rows = [row for row in pivots.to_pylist() if row["item"] != 1]  # which is of fr-de and has specific tokens
    for row in rows:
        if row["pair"] == "fr-zh":
            row["other_id"] = None
    steps = traces.to_pylist()
    for step in steps:
        if step["item"] in (2, 3):
            step |= {"top_contrasts": None, "contrasts": None}
    found = pivot_agreement(
        pa.Table.from_pylist(steps, traces.schema), pa.Table.from_pylist(rows, pivots.schema), items
    )  # fmt: skip
    assert table_metadata(found)["without"] == {"no contrasts": 2, "no pivots": 1, "no specific token": 8}
    other = {row["pair"]: row for row in found.to_pylist() if row["against"] == "other" and row["documents"] == "all"}
    assert (other["fr-zh"]["items"], other["fr-zh"]["left_out"]) == (0, 20)
    assert other["fr-zh"]["reason"] == "no item has specific tokens, pivots, and as many tokens of this control"
    assert other["fr-de"]["items"] == 17


def test_traces_without_any_contrast_give_rows_with_a_reason():
    traces, pivots, items = make(n=3)
    nothing = pa.nulls(traces.num_rows, pa.list_(pa.float64()))
    bare = traces.set_column(traces.column_names.index("top_contrasts"), "top_contrasts", nothing)
    found = pivot_agreement(bare, pivots, items)
    assert set(found["items"].to_pylist()) == {0}
    assert None not in found["reason"].to_pylist()
    assert table_metadata(found)["without"] == {"no contrasts": 6}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, p, i: (t, p.drop_columns(["df_source"]), i),
         "pivot_agreement: pivots must have the columns .* got none named df_source"),
        (lambda t, p, i: (t, p.drop_columns(["control_id", "matched_id", "other_id"]), i),
         "pivot_agreement: pivots must have a control; got none named control_id, matched_id, other_id"),
        (lambda t, p, i: (t, pa.concat_tables([p.slice(0, 1).set_column(0, "item", pa.array([99])), p]), i),
         "pivot_agreement: items must hold every item of pivots; got none of item 99 of fr-de"),
        (lambda t, p, i: (t, p, i.slice(5)), "pivot_agreement: items must hold every item of"),
        (lambda t, p, i: (t.drop_columns(["top_ids"]), p, i),
         "pivot_agreement: traces must have the columns .* got none named top_ids"),
    ],
)  # fmt: skip
def test_tables_of_other_items_and_without_what_is_read_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        pivot_agreement(*change(*make()))


def test_layers_that_are_not_traced_are_refused():
    with pytest.raises(ValueError, match="pivot_agreement: layers must be of traces, which have 0 to 6; got 9"):
        pivot_agreement(*make(), layers=[9])
