"""Selections from files of scores are those of a sort in memory, however the files are cut and whatever is held."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from score_shards import made_scores, write_shards
from selection_oracle import quota_names, sorted_in_memory
from token_formats import made_store, write_olmo

from pivotkit.artifacts import read_json, read_table, table_metadata
from pivotkit.corpus import TokenFiles
from pivotkit.selection import score_documents, select
from pivotkit.selection.choosing.ranking import text_hashes
from pivotkit.selection.choosing.rules import RULES

SCORES = [0.0, -0.0, 0.1, 0.5, 0.5000000000000001, 1.0, -2.0, float("inf"), float("-inf"), 5e-324]
# Unit, tokens, score, language, translation pairs, id: few of each, so that most documents are tied with others.
DOCUMENT = st.tuples(
    st.integers(0, 4), st.integers(0, 9), st.sampled_from(SCORES), st.sampled_from(["en", "fr", "fr+en"]),
    st.integers(0, 2), st.integers(0, 12),
)  # fmt: skip
documents_lists = st.lists(DOCUMENT, min_size=1, max_size=50)


BEHAVIORS = st.lists(
    st.sampled_from(["pivot", "co-occurrence", "copy", "other", "excluded"]), min_size=1, max_size=6
).filter(lambda shown: set(shown) != {"excluded"})
CAPS = [None, ("source", 0.3), ("source", 7), ("lang", 0.5), ("languages", 1)]


@given(
    documents_lists, st.integers(1, 150), st.sampled_from([None, "lang", "languages", "length", "source", "distinct"]),
    st.sampled_from(RULES), st.sampled_from([0.0, 0.0, 0.3, 10.0]), st.sampled_from(CAPS), st.booleans(),
    st.integers(0, 3), st.sampled_from([0, 2, 5]), st.data(),
)  # fmt: skip
def test_a_selection_from_files_is_that_of_a_sort_in_memory(
    tmp_path_factory, documents, budget, quota_by, rule, temperature, cap, exact, seed, dropped, data
):
    if temperature and rule != "random":
        documents = [(*one[:2], abs(one[2]), *one[3:]) for one in documents]
    scores, folder = made_scores(documents), tmp_path_factory.mktemp("scores")
    options = {"budget_tokens": budget, "rule": rule, "exact": exact, "seed": seed}
    if quota_by is not None:
        names = sorted(set(quota_names(scores, quota_by).tolist()))
        options |= {"quotas": {name: 1 / len(names) for name in names}, "quota_by": quota_by}
    if temperature and rule != "random":
        options["temperature"] = temperature
    if cap is not None and cap[1] <= budget:
        options |= {"cap_by": cap[0], "cap": cap[1]}
    places = list(zip(scores["unit"].to_pylist(), scores["row"].to_pylist(), strict=True))[:dropped]
    if rule == "behavior":
        shown = data.draw(BEHAVIORS)
        options["behaviors"] = pa.table({"item": range(len(shown)), "rule": ["strict"] * len(shown), "behavior": shown})
    expected = sorted_in_memory(scores, **options, drop=places)
    if dropped:
        options["drop"] = pa.table({"unit": [unit for unit, _ in places], "row": [row for _, row in places]})
    cuts, parquet = data.draw(st.sets(st.integers(0, 4))), data.draw(st.booleans())
    shards = write_shards(scores, folder / "shards", cuts, parquet, data.draw(st.integers(1, 4)))
    bins, held = data.draw(st.sampled_from([(1 << 22, 1 << 20), (64, 0), (6, 3)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.choosing.quota_cuts.BINS", bins)
        patch.setattr("pivotkit.selection.choosing.quota_cuts.HELD", held)
        patch.setattr("pivotkit.selection.choosing.score_shards.ROWS", 2)
        patch.setattr("pivotkit.selection.choosing.selection_folder.GROUP_ROWS", 3)
        in_memory = select(scores, **options, allow_shortfall=True)
        from_files = select(shards, **options, allow_shortfall=True)
        out = select(shards, **options, allow_shortfall=True, out=folder / "chosen")
    assert in_memory.equals(expected)
    assert from_files.equals(expected)
    assert table_metadata(from_files) == table_metadata(in_memory) == read_json(out / "selection.json")["summary"]
    assert sorted(path.name for path in out.glob("*.parquet")) == [
        f"{u}.parquet" for u in sorted(set(expected["unit"].to_pylist()))
    ]
    if len(expected):
        assert read_table(out).equals(expected)


def test_one_more_document_than_a_batch_holds_is_no_other_choice(tmp_path, monkeypatch):
    documents = [(0, 1 + place % 7, place % 11 / 10, "en", 0, place) for place in range(2000)]
    scores = made_scores(documents)
    expected = sorted_in_memory(scores, budget_tokens=1000)
    for rows in (1, 7, 1999, 2000, 2001):
        monkeypatch.setattr("pivotkit.selection.choosing.score_shards.ROWS", rows)
        assert select(scores, budget_tokens=1000).equals(expected)


def test_memory_holds_bins_and_not_documents(tmp_path):
    size = 300_000
    random = np.random.default_rng(0)
    scores = pa.table(
        {
            "unit": ["u"] * size, "row": np.arange(size), "id": np.arange(size).astype(str),
            "tokens": np.ones(size, np.int32), "score": random.random(size), "lang": ["en"] * size,
        }
    )  # fmt: skip
    with pa.ipc.new_file(tmp_path / "u.arrow", scores.schema) as writer:
        writer.write_table(scores, max_chunksize=4096)
    whole = scores.nbytes
    del scores
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    peaks = []

    def noted(*arguments, **options):
        peaks.append(pool.bytes_allocated() - before)
        return real(*arguments, **options)

    real = pa.compute.run_end_encode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.choosing.score_shards.pc.run_end_encode", noted)
        select(tmp_path, budget_tokens=1000, out=tmp_path / "chosen")
    assert peaks
    assert max(peaks) < whole / 8


@pytest.mark.parametrize("corpus", ["files", "store"])
def test_scores_on_disk_are_selected_from_as_those_in_memory(tmp_path, corpus):
    texts = [[[1, 2, 0], [3, 0]], [[1, 1, 1, 0], [1, 0]], []]
    if corpus == "files":
        (tmp_path / "corpus").mkdir()
        for name, documents in zip("abc", texts, strict=True):
            write_olmo(tmp_path / "corpus" / f"{name}.npy", documents)
        corpus = TokenFiles(tmp_path / "corpus", vocab_size=4, eos=0)
    else:
        corpus = made_store(tmp_path, *texts, vocab_size=4)
    in_memory = score_documents(corpus, [1])
    mapped = score_documents(corpus, [1], out=tmp_path / "scores")
    chosen = select(in_memory, budget_tokens=5)
    assert chosen["score"].to_pylist() == [0.75, 0.5] or chosen["score"].to_pylist() == [0.5, 0.75]
    assert select(mapped, budget_tokens=5).equals(chosen)
    assert select(tmp_path / "scores", budget_tokens=5).equals(chosen)
    assert read_table(select(tmp_path / "scores", budget_tokens=5, out=tmp_path / "chosen")).equals(chosen)


def test_documents_of_token_files_are_ordered_by_the_names_of_their_files(tmp_path):
    chosen = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        for name in "abc":
            write_olmo(tmp_path / folder / f"{name}.npy", [[1, 0]] * 40)
        scores = score_documents(TokenFiles(tmp_path / folder, vocab_size=2, eos=0), [1])
        names = table_metadata(scores)["files"]
        chosen.append({(names[row["unit"]], row["row"]) for row in select(scores, budget_tokens=80).to_pylist()})
        named = scores.set_column(2, "id", [[f"{names[row['unit']]}:{row['row']}" for row in scores.to_pylist()]])
        assert select(named, budget_tokens=80)["row"].equals(select(scores, budget_tokens=80)["row"])
    assert len(chosen[0]) == 40
    assert chosen[0] == chosen[1]


def test_the_hash_of_an_id_does_not_depend_on_its_layout():
    texts = ["", "a", "ab", "abc", "abcd", "é" * 9, "a document of some length"]
    hashes = text_hashes(pa.array(texts, pa.string()), 3)
    assert len(set(hashes.tolist())) == len(texts)
    assert (text_hashes(pa.array(texts, pa.large_string()), 3) == hashes).all()
    assert (text_hashes(pa.array(["x", *texts, "y"]).slice(1, len(texts)), 3) == hashes).all()
    assert (text_hashes(pa.array(texts), 4) != hashes).all()
    scores = made_scores([(0, 1, 0.0, "en", 0, place) for place in range(30)])
    coded = scores.set_column(2, "id", scores["id"].dictionary_encode())
    coded = coded.set_column(5, "lang", coded["lang"].dictionary_encode())
    coded = coded.set_column(0, "unit", coded["unit"].dictionary_encode())
    options = {"budget_tokens": 9, "quotas": {"en": 1.0}}
    assert select(coded, **options)["row"].equals(select(scores, **options)["row"])
