"""Documents are described by their languages, other scores and pairs; on disk as in memory, and after a stop."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pivotkit.artifacts import table_metadata
from pivotkit.corpus import TokenFiles, tokenize
from pivotkit.corpus.languages import LanguageTable, document_languages
from pivotkit.errors import InputError
from pivotkit.selection import describe_documents, score_documents
from pivotkit.selection.controls import columns

PAIRS = [("cat", "chat"), ("dog", "chien"), ("chat", "cat")]
TEXTS = [
    ("the cat, le chat", ["en", "fr"]),
    ("a dog", "en"),
    ("un chien, a dog, a cat, un chat", ["en", "fr"]),
    ("rien", "fr"),
]


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, texts in (("a", TEXTS[:2]), ("b", TEXTS[2:])):
        lines = [json.dumps({"text": text, "lang" if isinstance(some, str) else "langs": some}) for text, some in texts]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture
def store(corpus, tmp_path, tokenizer):
    return tokenize(corpus, tokenizer, tmp_path / "tokens")


def read(folder):
    return pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])


def test_every_column_is_what_the_text_says(corpus, store):
    documents = score_documents(store, [1, 2])
    other = score_documents(store, [3, 4])
    mixed = documents.take([2, 0, 3, 1])
    found = describe_documents(
        mixed, languages=document_languages(corpus, workers=1), scores={"other": other}, corpus=corpus, pairs=PAIRS
    )
    order = found.sort_by([("unit", "ascending"), ("row", "ascending")])
    assert found.select(documents.column_names).equals(mixed)
    by_id = {row["id"]: row for row in order.to_pylist()}
    told = {row["id"]: (row["languages"], row["translation_pairs"]) for row in by_id.values()}
    ids = documents["id"].to_pylist()
    assert [told[one] for one in ids] == [("en+fr", 1), ("en", 0), ("en+fr", 2), ("fr", 0)]
    scores = dict(zip(ids, other["score"].to_pylist(), strict=True))
    assert all(row["other_score"] == scores[one] for one, row in by_id.items())
    assert "kind" not in found.column_names  # by field no document is known to be parallel


def test_detection_tells_the_kind(tmp_path, tokenizer):
    pytest.importorskip("py3langid")
    lines = ["The weather is very nice today and we walk.", "Le temps est très beau aujourd'hui et nous marchons."]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "\n".join(lines * 3)}) + "\n", "utf-8")
    store = tokenize(tmp_path / "a.jsonl", tokenizer, tmp_path / "tokens")
    languages = document_languages(tmp_path / "a.jsonl", languages="detect", candidates=["en", "fr"], workers=1)
    found = describe_documents(score_documents(store, [1]), languages=languages)
    assert found.select(["languages", "kind"]).to_pylist() == [{"languages": "en+fr", "kind": "parallel"}]


def test_folders_hold_what_a_table_holds_and_a_stopped_call_goes_on(corpus, store, tmp_path, monkeypatch):
    monkeypatch.setattr("pivotkit.selection.choosing.score_shards.ROWS", 1)
    documents, other = (
        score_documents(store, tokens, out=tmp_path / name) for name, tokens in (("one", [1, 2]), ("two", [3]))
    )
    languages = document_languages(corpus, workers=1)
    wanted = {"languages": languages, "corpus": corpus, "pairs": PAIRS}
    table = describe_documents(score_documents(store, [1, 2]), scores={"other": score_documents(store, [3])}, **wanted)
    calls = []
    of = columns.Score.of

    def stop(self, unit, rows):
        calls.append(unit)
        if len(set(calls)) == 2:
            raise KeyboardInterrupt
        return of(self, unit, rows)

    with monkeypatch.context() as patched:
        patched.setattr(columns.Score, "of", stop)
        with pytest.raises(KeyboardInterrupt):
            describe_documents(documents, scores={"other": other}, out=tmp_path / "out", **wanted)
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 1
    out = describe_documents(documents, scores={"other": other}, out=tmp_path / "out", **wanted)
    assert read(out).sort_by([("unit", "ascending"), ("row", "ascending")]).to_pylist() == (
        table.sort_by([("unit", "ascending"), ("row", "ascending")]).to_pylist()
    )
    with pytest.raises(InputError, match="must hold no scores or those of the same arguments; got others"):
        describe_documents(documents, out=tmp_path / "out", **wanted)


def test_token_files_take_the_languages_of_a_table(tmp_path):
    np.array([2, 1, 0, 4, 0, 1, 0], "<u2").tofile(tmp_path / "part.npy")
    files = TokenFiles(tmp_path / "part.npy", vocab_size=8, eos=0)
    rows = [{"file": "part.npy", "row": row, "languages": some} for row, some in enumerate(["en", "en+fr", None])]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "languages.parquet")
    languages = LanguageTable.from_file(tmp_path / "languages.parquet", files)
    found = describe_documents(score_documents(files, [2]), languages=languages)
    assert found["languages"].to_pylist() == ["en", "en+fr", "und"]
    assert table_metadata(found)["files"] == table_metadata(score_documents(files, [2]))["files"]


def test_what_is_of_other_documents_is_refused(corpus, store, tmp_path):
    documents = score_documents(store, [1])
    with pytest.raises(InputError, match="must hold the scores of the same documents"):
        describe_documents(documents, scores={"other": documents.slice(0, 3)})
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "a"}\n', "utf-8")
    with pytest.raises(InputError, match="must hold every file of the corpus as it is now; got none for unit"):
        describe_documents(documents, languages=document_languages(other, workers=1))
    with pytest.raises(ValueError, match="corpus must hold the files that were scored; got none of unit"):
        describe_documents(documents, corpus=other, pairs=PAIRS)
    described = describe_documents(documents, scores={"other": documents})
    with pytest.raises(ValueError, match="documents must not have the column other_score yet; got one"):
        describe_documents(described, scores={"other": documents})
    with pytest.raises(ValueError, match="corpus and pairs must be given together; got one of them"):
        describe_documents(documents, pairs=PAIRS)
    with pytest.raises(ValueError, match="out must be None for a table, and be given for files"):
        describe_documents(documents, out=tmp_path / "out")
    with pytest.raises(ValueError, match="scores must be one of other, control; got 'more'"):
        describe_documents(documents, scores={"more": documents})
