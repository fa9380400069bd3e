"""Documents in several languages, from every format that can say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from pivotkit.corpus import Strata, WatchList, count, read_documents
from pivotkit.errors import CorpusError

LANGS = [["en", "fr"], ["ja"], [], None, ["fr", "en"]]
SAID = ["en+fr", "ja", "und", "und", "fr+en"]
KINDS = {
    "list": pa.list_(pa.string()),
    "large_list": pa.large_list(pa.large_string()),
    "of views": pa.list_(pa.large_string()),
}


def written(path: Path, langs: list[Any], kind: pa.DataType = KINDS["list"], **columns: Any) -> Path:
    """A document per entry of ``langs``."""
    texts = ["a"] * len(langs)
    if path.suffix == ".jsonl":
        path.write_bytes(b"".join(orjson.dumps({"text": "a", "langs": some}) + b"\n" for some in langs))
        return path
    table = pa.table({"text": texts, "langs": pa.array(langs, kind), **columns})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        feather.write_feather(table, path, compression="uncompressed")
    return path


def languages(path: Path, on_error: str = "raise") -> list[str]:
    return [lang for batch in read_documents(path, on_error) for lang in batch.langs]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.arrow"])
def test_a_list_of_languages_is_one_name_with_plus_between(tmp_path: Path, name: str, kind: str) -> None:
    assert languages(written(tmp_path / name, LANGS, KINDS[kind])) == SAID


def test_a_lang_may_be_a_list_and_a_langs_a_string(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text":"a","lang":["en","fr"]}\n{"text":"a","langs":"de"}\n{"text":"a","langs":["x"],"lang":"de"}\n'
    )
    assert languages(path) == ["en+fr", "de", "de"]  # of both, the last counts


def test_a_column_of_lists_counts_before_one_of_strings(tmp_path: Path) -> None:
    lang = pa.array(["x", "de", "de", "de", None])
    assert languages(written(tmp_path / "a.parquet", LANGS, lang=lang)) == ["en+fr", "ja", "de", "de", "fr+en"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.arrow"])
def test_a_list_with_something_else_is_no_document(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, [["en"], ["fr", None], ["de"]])
    with pytest.raises(CorpusError, match='must have a string or a list of strings "langs"; got NoneType'):
        languages(path)
    assert languages(path, "skip") == ["en", "de"]


def test_a_word_counts_in_every_language_of_a_document(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    records = [("os", ["en", "fr"]), ("os", ["en"]), ("os", ["fr"]), ("os", None), ("os", ["fr", "en", "en"])]
    path.write_bytes(b"".join(orjson.dumps({"text": text, "langs": some}) + b"\n" for text, some in records))
    watch = WatchList(["os"] * 3, languages=["fr", "en", None])
    strata = Strata(edges={("en", "fr"): [], ("en",): []})
    counts = count(path, watch, strata=strata, pairs=[(("os", "fr"), ("os", "en"))], workers=1)
    assert counts.df.tolist() == [3, 3, 5]
    assert counts.pair_df.tolist() == [2]
    assert counts.strata is not None
    assert counts.strata.documents.tolist() == [2, 1, 2]


def test_bilingual_documents_have_their_two_languages(shared: Path) -> None:
    for code in ("fr", "de", "es", "ja", "zh"):
        path = shared / "data" / "bilingual" / f"en-{code}.jsonl.zst"
        assert set(next(iter(read_documents(path))).langs) == {f"en+{code}"}
