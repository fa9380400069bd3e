"""Each control takes the documents that it may, as many tokens as the selection, and by its own order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_writes import killed

from pivotkit.artifacts import table_metadata
from pivotkit.errors import InputError
from pivotkit.selection import select, selection_controls
from pivotkit.selection.choosing.selection_folder import Selection
from pivotkit.selection.controls.facts import EDGES, length_classes
from pivotkit.selection.controls.rules import CONTROLS, SHUFFLED
from tests.helpers.described import DOCUMENT, make_described, taken
from tests.helpers.score_shards import write_shards

documents_lists = st.lists(DOCUMENT, min_size=4, max_size=40)
COLUMNS = ["tokens", "score", "lang", "languages", "translation_pairs", "other_score", "control_score"]


def corpus() -> pa.Table:
    """Ten tokens each. The selection by score takes the first two; every control has others."""
    rows = [
        (10, 0.9, "a", "a+p", 0, 0.0, 0.0), (10, 0.8, "b", "b+p", 0, 0.1, 0.0),
        (10, 0.0, "a", "a+b", 2, 0.0, 0.0), (10, 0.1, "b", "a+b", 1, 0.0, 0.0),
        (10, 0.1, "a", "a", 0, 0.0, 0.7), (10, 0.2, "b", "b", 0, 0.0, 0.6),
        (10, 0.3, "a", "a+p", 0, 0.8, 0.0), (10, 0.4, "b", "b+p", 0, 0.9, 0.1),
        (10, 0.5, "p", "p", 0, 0.0, 0.0), (10, 0.5, "a", "a+z", 0, 0.0, 0.0),
    ]  # fmt: skip
    return make_described([dict(zip(COLUMNS, row, strict=True)) for row in rows], units=1)


def ids(rows):
    return rows["id"].to_pylist()


def test_each_control_takes_its_own_documents():
    documents = corpus()
    selection = select(documents, budget_tokens=20, quotas={"a": 0.5, "b": 0.5})
    assert ids(selection) == ["d0", "d1"]
    found = {name: ids(rows) for name, rows in selection_controls(documents, selection).items()}
    assert list(found) == list(CONTROLS)
    assert found["parallel"] == ["d2", "d3"]
    assert found["other-pivots"] == ["d6", "d7"]
    assert found["frequency-matched"] == ["d4", "d5"]
    assert found["anti-pivot"] == ["d2", "d3"]
    assert found[SHUFFLED] == ["d0", "d1"]
    assert set(found["bilingual"]) <= {"d0", "d1", "d2", "d3", "d6", "d7"}  # d9 has a language of no selected document
    assert set(found["code-switched"]) <= {"d0", "d1", "d6", "d7", "d9"}
    for name in ("language-matched", "length-matched", "bilingual", "code-switched"):
        assert [row["lang"] for row in documents.to_pylist() if row["id"] in found[name]].count("a") == 1


def test_what_detection_says_of_the_text_goes_before_translation_pairs():
    kinds = ["code-switched" if place in (4, 5) else "bilingual" for place in range(10)]
    documents = corpus().append_column("kind", pa.array(kinds))
    selection = select(documents, budget_tokens=20, quotas={"a": 0.5, "b": 0.5})
    found = selection_controls(documents, selection, controls=["code-switched", "parallel"])
    assert ids(found["code-switched"]) == ["d4", "d5"]
    assert ids(found["parallel"]) == ["d2", "d3"]


def test_sets_of_languages_as_quotas_make_one_pool_of_bilingual_documents():
    documents = corpus()
    selection = select(documents, budget_tokens=20, quotas={"a": 0.5, "a+p": 0.5}, quota_by="languages")
    found = selection_controls(documents, selection, controls=["bilingual", "anti-pivot"], quota_by="languages")
    assert list(table_metadata(found["bilingual"])["quotas"]) == ["all"]
    assert set(table_metadata(found["anti-pivot"])["quotas"]) == {"a", "a+p"}


@given(documents_lists, st.integers(1, 150), st.integers(0, 3), st.sampled_from(sorted(set(CONTROLS) - {SHUFFLED})))
@settings(max_examples=200)
def test_a_control_is_the_plain_choice_among_its_documents(rows, budget, seed, name):
    documents = make_described(rows)
    selection = select(documents, budget_tokens=budget, quotas={"a": 0.5, "b": 0.5}, allow_shortfall=True) if {
        row["lang"] for row in rows
    } == {"a", "b"} else select(documents, budget_tokens=budget, allow_shortfall=True)  # fmt: skip
    if not sum(selection["tokens"].to_pylist()):
        return
    control = CONTROLS[name]
    found = selection_controls(documents, selection, controls=[name], seed=seed, allow_shortfall=True)[name]
    summary = table_metadata(found)
    chosen, listed = selection.to_pylist(), documents.to_pylist()
    tokens = sum(row["tokens"] for row in chosen)
    heard = {
        code
        for code in ("a", "b", "p")
        if sum(row["tokens"] for row in chosen if code in row["languages"].split("+")) >= 0.01 * tokens
    }

    def may(row):
        some = set(row["languages"].split("+")) - {"und"}
        return {
            "all": True,
            "positive": control.takes == "positive" and row[control.merit] > 0,
            "bilingual": len(some) > 1 and some <= heard,
            "parallel": len(some) > 1 and row["translation_pairs"] > 0,
            "code-switched": len(some) > 1 and not row["translation_pairs"],
        }[control.takes]

    def label_of(row):
        if control.equals == "nothing":
            return "all"
        length = int(np.searchsorted(EDGES, row["tokens"], "right")) - 1
        return f"{row['lang']}|{length}" if control.equals == "lengths" else row["lang"]

    def merit(row):
        value = 0.0 if control.merit is None else row[control.merit]
        return -value if control.lowest else value

    wanted = []
    for group in sorted({label_of(row) for row in chosen}):
        own = [row for row in chosen if label_of(row) == group]
        size = sum(row["tokens"] for row in own)
        aim = max(1, size - size // (2 * len(own))) if control.equals == "lengths" else size
        pool = [row for row in listed if may(row) and label_of(row) == group]
        wanted += taken(pool, aim, merit, summary["seed"])
        quota = summary["quotas"].get(group, {"tokens": 0})
        if pool and sum(row["tokens"] for row in pool) >= aim:
            assert quota["tokens"] - aim < max(row["tokens"] for row in pool)
    assert sorted(ids(found)) == sorted(wanted)
    assert (summary["short"] == "") == (
        not any(quota["missing"] for quota in summary["quotas"].values()) and bool(found)
    )


@given(documents_lists, st.integers(1, 80), st.sampled_from(sorted(CONTROLS)), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_any_order_of_rows_gives_the_same_control(rows, budget, name, random):
    documents = make_described(rows)
    selection = select(documents, budget_tokens=budget, allow_shortfall=True)
    if not selection.num_rows:
        return
    mixed = documents.take(random.sample(range(len(rows)), len(rows)))
    one, other = (
        selection_controls(table, chosen, controls=[name], allow_shortfall=True)[name]
        for table, chosen in ((documents, selection), (mixed, selection.take(list(range(len(selection)))[::-1])))
    )
    assert one.to_pylist() == other.to_pylist()
    assert table_metadata(one)["quotas"] == table_metadata(other)["quotas"]


@pytest.mark.parametrize("parquet", [False, True])
def test_files_give_what_a_table_gives(tmp_path, parquet):
    documents = corpus()
    selection = select(documents, budget_tokens=40, allow_shortfall=True)
    tables = selection_controls(documents, selection, allow_shortfall=True)
    folder = write_shards(documents, tmp_path / "scores", parquet=parquet)
    chosen = select(folder, budget_tokens=40, out=tmp_path / "selection")
    found = selection_controls(folder, chosen, allow_shortfall=True, out=tmp_path / "controls")
    assert list(found) == list(CONTROLS)
    for name, path in found.items():
        assert path == tmp_path / "controls" / name
        read = Selection("test", path)
        rows = [row for unit in read.units for batch in read.batches(unit) for row in batch.to_pylist()]
        assert rows == tables[name].to_pylist()
        assert read.summary["quotas"] == table_metadata(tables[name])["quotas"]


def test_a_kill_at_any_moment_leaves_whole_controls_and_the_same_bytes_after_a_rerun(tmp_path):
    rows = [(5 + place % 7, place % 5 / 10, "ab"[place % 2], ("a+b", "a", "b+p", "a+p")[place // 5 % 4], place % 3,
             place % 4 / 10, place % 7 / 10) for place in range(600)]  # fmt: skip
    documents = make_described([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    folder = write_shards(documents, tmp_path / "scores", cuts={1, 2}, batch=100)
    chosen = select(folder, budget_tokens=400, quotas={"a": 0.5, "b": 0.5}, out=tmp_path / "selection")
    found = killed("selection_controls", tmp_path / "controls", {"documents": str(folder), "selection": str(chosen)})
    assert found["broken"] == found["different"] == []
    assert found["killed"] >= 20
    assert sorted(path.name for path in (tmp_path / "controls").iterdir()) == sorted(CONTROLS)


def test_exact_controls_have_the_tokens_of_an_exact_selection():
    documents = corpus()
    selection = select(documents, budget_tokens=34, quotas={"a": 0.5, "b": 0.5}, exact=True)
    found = selection_controls(documents, selection, controls=["random", "language-matched", "anti-pivot"], exact=True)
    for rows in found.values():
        assert sum(rows["take"].to_pylist()) == 34
    for name in ("language-matched", "anti-pivot"):
        sums = found[name].group_by("lang").aggregate([("take", "sum")]).sort_by("lang")
        assert sums["take_sum"].to_pylist() == [17, 17]


def test_what_the_selection_dropped_no_control_takes():
    documents = corpus()
    drop = documents.filter(pc.is_in(documents["id"], pa.array(["d2", "d3"]))).select(["unit", "row"])
    selection = select(documents, budget_tokens=20, quotas={"a": 0.5, "b": 0.5}, drop=drop)
    found = selection_controls(documents, selection, controls=["anti-pivot", "random"], drop=drop)
    assert ids(found["anti-pivot"]) == ["d4", "d5"]
    assert not {"d2", "d3"} & set(ids(found["random"]))
    with pytest.raises(ValueError, match=r"parallel lacks 20 of 20 tokens \(10 of 10 of a, 10 of 10 of b\)$"):
        selection_controls(documents, selection, controls=["parallel"], drop=drop)


def test_random_controls_differ_by_their_names_and_the_seed():
    rows = [dict(zip(COLUMNS, (10, 0.0, "a", "a+p", 0, 0.0, 0.0), strict=True)) for _ in range(400)]
    documents = make_described(rows)
    selection = select(documents, budget_tokens=1000)
    names = ["random", "language-matched", "bilingual"]
    found = [*selection_controls(documents, selection, controls=names).values(),
             *selection_controls(documents, selection, controls=names, seed=1).values()]  # fmt: skip
    assert len({tuple(ids(rows)) for rows in found}) == 6


# ---- refusals


@pytest.mark.parametrize(
    ("gone", "control", "told"),
    [
        ("translation_pairs", "parallel", "parallel needs the column translation_pairs"),
        ("translation_pairs", "code-switched", "code-switched needs the column translation_pairs"),
        ("other_score", "other-pivots", "other-pivots needs the column other_score"),
        ("control_score", "frequency-matched", "frequency-matched needs the column control_score"),
        ("score", "anti-pivot", "anti-pivot needs the column score"),
        (
            "languages",
            "bilingual",
            r"bilingual lacks 20 of 20 tokens \(10 of 10 of a, 10 of 10 of b\); "
            r"lang alone told of languages: describe_documents\(languages=\), or --languages, tells of all",
        ),
    ],
)
def test_a_control_that_documents_cannot_give_is_refused_by_name(gone, control, told):
    documents = corpus()
    selection = select(documents, budget_tokens=20, quotas={"a": 0.5, "b": 0.5})
    less = documents.drop_columns([gone])
    with pytest.raises(ValueError, match=rf"^selection_controls: documents must suffice .*; {told}$"):
        selection_controls(less, selection, controls=["random", control])
    found = selection_controls(less, selection, controls=["random", control], allow_shortfall=True)
    assert found[control].num_rows == 0
    assert found["random"].num_rows == 2
    assert table_metadata(found[control])["short"].startswith(control)


def test_a_ranking_never_goes_on_where_shares_are_0():
    documents = corpus()
    selection = select(documents, budget_tokens=40, quotas={"a": 0.5, "b": 0.5})
    with pytest.raises(ValueError, match=r"other-pivots lacks 10 of 40 tokens \(10 of 20 of a\)$"):
        selection_controls(documents, selection, controls=["other-pivots"])
    short = selection_controls(documents, selection, controls=["other-pivots"], allow_shortfall=True)["other-pivots"]
    assert ids(short) == ["d1", "d6", "d7"]
    assert table_metadata(short)["quotas"]["a"]["missing"] == 10


def test_a_selection_of_nothing_and_unknown_languages_are_refused():
    documents = corpus()
    selection = select(documents, budget_tokens=20)
    with pytest.raises(ValueError, match=r"^selection_controls: selection must hold documents; got none$"):
        selection_controls(documents, selection.slice(0, 0))
    place = documents.schema.get_field_index("lang")
    unknown = documents.set_column(place, "lang", pa.nulls(10, pa.string()))
    with pytest.raises(ValueError, match=r"^selection_controls: selection must have lang in every row; got 2 nulls$"):
        selection_controls(unknown, select(unknown, budget_tokens=20))
    free = ["random", "anti-pivot", SHUFFLED]  # equal in nothing but tokens, without quota_by
    found = selection_controls(unknown, select(unknown, budget_tokens=20), controls=free, quota_by=None)
    assert {name: sum(rows["tokens"].to_pylist()) for name, rows in found.items()} == dict.fromkeys(free, 20)
    with pytest.raises(ValueError, match=r"^selection_controls: selection must have lang in every row; got 2 nulls$"):
        selection_controls(unknown, select(unknown, budget_tokens=20), controls=["length-matched"], quota_by=None)
    with pytest.raises(ValueError, match=r"^selection_controls: controls must be one of random, .*; got 'other'$"):
        selection_controls(documents, selection, controls=["other"])


def test_a_folder_that_is_cut_is_refused(tmp_path):
    documents = corpus()
    folder = write_shards(documents, tmp_path / "scores", parquet=True)
    file = next(folder.iterdir())
    selection = select(documents, budget_tokens=20)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="must be a Parquet file, whole"):
        selection_controls(folder, selection, allow_shortfall=True)


def test_lengths_of_a_class_differ_by_less_than_a_fifth():
    lengths = np.arange(1, 100_000)
    classes = length_classes(lengths)
    begins = np.flatnonzero(np.diff(classes, prepend=-1))
    ends = np.append(begins[1:], len(lengths)) - 1
    assert (lengths[ends[:-1]] < 1.2 * lengths[begins[:-1]]).all()
