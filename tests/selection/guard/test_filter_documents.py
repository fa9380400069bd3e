"""The table of dropped documents: who is in it, in which order, what it sums, and that `select` leaves them out."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_formats import FORMATS, write
from guard_oracle import made_texts
from token_formats import made_store

from pivotkit.artifacts import read_table, table_metadata
from pivotkit.corpus import TokenFiles
from pivotkit.corpus.reading.documents import work_units
from pivotkit.errors import BackendUnavailable, CorpusError
from pivotkit.selection import filter_documents, select
from pivotkit.selection.guard import near_duplicates

LETTERS = "abcdefghijklmnop"


def documents() -> list[dict]:
    """Four families of three, alike but for a word at the end."""
    texts = [f"{text}{end}" for end in ("", " more", " Less!") for text in made_texts(1, 4, 0, LETTERS, " ")]
    return [{"id": f"d{place}", "text": text, "lang": ("en", "fr")[place % 2]} for place, text in enumerate(texts)]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_are_in_the_order_of_the_corpus_with_the_first_filter_that_takes_each(tmp_path):
    rows = documents()
    bad = rows[5]["text"]
    (tmp_path / "b.jsonl").write_text("")
    files = [write_lines(tmp_path / "b.jsonl", rows[6:]), write_lines(tmp_path / "a.jsonl", rows[:6])]
    dropped = filter_documents(files, quality={"gopher": {"min_doc_words": 100}}, exclude_texts=[bad])
    assert dropped.schema.names == ["unit", "row", "id", "characters", "lang", "filter", "reason", "like"]
    names = [unit.name for unit in work_units(files)]
    places = [(names.index(row["unit"]), row["row"]) for row in dropped.to_pylist()]
    assert places == sorted(set(places))
    by_id = {row["id"]: row for row in dropped.to_pylist()}
    assert by_id["d5"]["filter"] == "exclude"
    for row in rows:
        found = by_id.get(row["id"])
        if found is not None and found["filter"] == "gopher":
            assert found["reason"] == "gopher_short_doc" or len(row["text"].split()) >= 100
            assert found["like"] is None
        assert found is None or (found["characters"], found["lang"]) == (len(row["text"]), row["lang"])


def test_the_sums_are_those_of_the_rows(tmp_path):
    rows = documents()
    dropped = filter_documents(
        write_lines(tmp_path / "a.jsonl", rows), quality=("fineweb",), exclude_texts=[rows[0]["text"]]
    )
    about = table_metadata(dropped)
    for lang in ("en", "fr"):
        mine = [row for row in rows if row["lang"] == lang]
        assert about["all"][lang] == {"documents": len(mine), "characters": sum(len(row["text"]) for row in mine)}
    told = {
        (name, lang): (some["documents"], some["characters"])
        for name, langs in about["filters"].items() for lang, some in langs.items()
    }  # fmt: skip
    counted = {}
    for row in dropped.to_pylist():
        before = counted.get((row["filter"], row["lang"]), (0, 0))
        counted[row["filter"], row["lang"]] = before[0] + 1, before[1] + row["characters"]
    assert told == counted
    assert list(about["filters"]) == ["exclude", "gopher", "c4", "fineweb", "near-duplicates"]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_of_a_corpus_gives_the_same_documents(tmp_path, format):
    rows = documents()
    path = write(tmp_path, format, rows)
    dropped = filter_documents(path, quality=())
    assert dropped.num_rows == 8
    units = work_units(path)
    assert {(unit, row) for unit, row in zip(dropped["unit"].to_pylist(), dropped["row"].to_pylist(), strict=True)} <= {
        (unit.name, row) for unit in units for row in range(len(rows) + 5)
    }


def test_select_leaves_them_out(tmp_path):
    file = write_lines(tmp_path / "a.jsonl", documents())
    dropped = filter_documents(file, quality=())
    (unit,) = work_units(file)
    scores = pa.table({
        "unit": [unit.name] * 12, "row": range(12), "id": [f"d{row}" for row in range(12)], "tokens": [1] * 12,
        "score": [0.5] * 12, "lang": ["en"] * 12,
    })  # fmt: skip
    chosen = select(scores, budget_tokens=100, drop=dropped, allow_shortfall=True)
    assert set(chosen["row"].to_pylist()) == set(range(12)) - set(dropped["row"].to_pylist())
    assert chosen.num_rows == 4


def test_a_token_store_keeps_ids_and_languages(tmp_path):
    words = list(range(1, 60))
    store = made_store(tmp_path, [words, words[::-1], [*words[:-1], 99]], vocab_size=100)
    dropped = filter_documents(store)
    assert dropped.num_rows == 1
    assert dropped["tokens"].to_pylist() == [59]
    assert dropped["row"].to_pylist()[0] in (0, 2)


def test_what_a_unit_gave_is_kept_and_read_again_where_anything_changed(tmp_path, monkeypatch):
    file = write_lines(tmp_path / "a.jsonl", documents())
    first = filter_documents(file, quality=(), out=tmp_path / "out")
    assert read_table(tmp_path / "out" / "dropped.parquet").equals(first)
    reads = []
    module = "pivotkit.selection.guard.unit_guard.read_texts"
    whole = __import__("pivotkit.selection.guard.unit_guard", fromlist=["read_texts"]).read_texts
    monkeypatch.setattr(module, lambda unit, on_error: reads.append(unit) or whole(unit, on_error))
    again = filter_documents(file, quality=(), out=tmp_path / "out")
    assert (again.equals(first), table_metadata(again) == table_metadata(first), reads) == (True, True, [])
    filter_documents(file, quality=(), seed=1, out=tmp_path / "out")
    assert len(reads) == 1
    filter_documents(file, quality=(), seed=1, exclude_texts=[documents()[0]["text"]], out=tmp_path / "out")
    assert len(reads) == 2
    filter_documents(file, quality=("c4",), near_duplicates=False, out=tmp_path / "out")
    assert len(reads) == 3
    write_lines(file, documents()[:9])
    filter_documents(file, quality=("c4",), near_duplicates=False, out=tmp_path / "out")
    assert len(reads) == 4


def test_documents_that_cannot_be_read_are_counted(tmp_path):
    file = write_lines(tmp_path / "a.jsonl", documents())
    file.write_text(file.read_text() + "{]\n")
    with pytest.raises(CorpusError, match=r"a\.jsonl, line 13"):
        filter_documents(file, quality=())
    assert table_metadata(filter_documents(file, quality=(), on_error="skip"))["skipped"] == 1


def test_an_empty_corpus_has_nothing_to_drop(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    dropped = filter_documents(tmp_path / "a.jsonl")
    assert dropped.num_rows == 0
    assert table_metadata(dropped)["all"] == {}


@pytest.mark.parametrize(("how", "error", "told"), [
    ({"near_duplicates": 0.0}, ValueError, "near_duplicates must be above 0, or False; got 0.0"),
    ({"near_duplicates": 1.5}, ValueError, "near_duplicates must be between 0 and 1; got 1.5"),
    ({"seed": -1}, ValueError, "seed must be at least 0; got -1"),
    ({"workers": 0}, ValueError, "workers must be at least 1; got 0"),
    ({"exclude_texts": "a text"}, TypeError, "exclude_texts must be a sequence of strings"),
    ({"exclude": 3}, TypeError, "exclude must be a path or a sequence of paths"),
])  # fmt: skip
def test_an_argument_out_of_range_is_refused(tmp_path, how, error, told):
    with pytest.raises(error, match=f"filter_documents: {told}"):
        filter_documents(write_lines(tmp_path / "a.jsonl", documents()), **how)


def test_what_token_ids_cannot_have_is_refused_by_name(tmp_path):
    (tmp_path / "a.npy").write_bytes(bytes(8))
    files = TokenFiles(tmp_path / "a.npy", vocab_size=8, eos=0)
    text = write_lines(tmp_path / "a.jsonl", documents())
    for how, told in (
        ({"quality": ("gopher", "c4")}, r"quality must be \(\) for token ids; got gopher, c4, which read text"),
        ({"exclude": text}, "exclude must be a TokenStore or TokenFiles, as corpus is"),
    ):
        with pytest.raises(TypeError, match=told):
            filter_documents(files, **how)
    with pytest.raises(ValueError, match="exclude_texts must be None for token ids"):
        filter_documents(files, exclude_texts=["a"])
    with pytest.raises(TypeError, match="exclude must be text, as corpus is; got TokenFiles"):
        filter_documents(text, exclude=files)


def test_without_rensa_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rensa", None)
    with pytest.raises(BackendUnavailable, match=r"near_duplicates needs rensa; .*pivotkit\[filters\]"):
        near_duplicates.rensa()
    file = write_lines(tmp_path / "a.jsonl", documents())
    assert filter_documents(file, near_duplicates=False, quality=("c4",)).num_rows <= 12


def test_the_result_can_be_given_to_select_as_a_file(tmp_path):
    filter_documents(write_lines(tmp_path / "a.jsonl", documents()), quality=(), out=tmp_path / "out")
    assert pq.read_schema(tmp_path / "out" / "dropped.parquet").names[:2] == ["unit", "row"]
