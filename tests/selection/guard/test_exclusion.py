"""Excluded texts against sets of tuples of words."""

from __future__ import annotations

import gzip
import json

import pytest
from guard_oracle import grams, words_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from token_formats import write_datatrove, write_olmo

from pivotkit.artifacts import table_metadata
from pivotkit.corpus import TokenFiles
from pivotkit.selection import filter_documents

VERSE = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
ALONE = {"quality": (), "near_duplicates": False}


def rows(corpus, **how):
    return filter_documents(corpus, **ALONE, **how)["row"].to_pylist()


def write_lines(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def held(document: str, texts: list[str]) -> bool:
    """The definition, word for word."""
    words = words_of(document)
    for text in texts:
        wanted = words_of(text)
        length = min(13, len(wanted))
        if length >= 8 and grams(words, length) & grams(wanted, length):
            return True
    return False


WORDS = st.lists(st.sampled_from("abc"), max_size=20).map(" ".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(WORDS, min_size=1, max_size=4),
    st.lists(st.lists(st.sampled_from("abc"), min_size=8, max_size=16).map(" ".join), min_size=1, max_size=3),
)
def test_the_definition(tmp_path, documents, texts):
    file = write_lines(tmp_path / "a.jsonl", documents)
    assert rows(file, exclude_texts=texts) == [row for row, one in enumerate(documents) if held(one, texts)]


@pytest.mark.parametrize(("document", "goes"), [
    (f"before {VERSE} behind", True),
    ("One, two; three-four FIVE six seven (eight) nine ten eleven twelve thirteen!", True),
    ("one two three four five six seven eight nine ten eleven twelve", False),
    ("two three four five six seven eight nine ten eleven twelve thirteen fourteen", True),
    ("two three four five six seven eight nine ten eleven twelve thirteen or fourteen", False),
])  # fmt: skip
def test_thirteen_words_in_a_row(tmp_path, document, goes):
    assert rows(write_lines(tmp_path / "a.jsonl", [document]), exclude_texts=[VERSE]) == [0] * goes


def test_thirteen_characters_in_a_row_of_a_language_without_spaces(tmp_path):
    text = "天地玄黃宇宙洪荒日月盈昃辰宿列張"
    file = write_lines(tmp_path / "a.jsonl", [f"說：{text[:13]}。", f"說：{text[:12]}。", f"{text[3:9]}，{text[9:16]}"])
    assert rows(file, exclude_texts=[text]) == [0, 2]


def test_a_text_of_eight_to_twelve_words_is_looked_for_as_a_whole(tmp_path):
    short = " ".join(VERSE.split()[:8])
    file = write_lines(tmp_path / "a.jsonl", [f"so {short} so", VERSE.replace("eight", "acht")])
    assert rows(file, exclude_texts=[short, "a b c"]) == [0]
    summary = table_metadata(filter_documents(file, **ALONE, exclude_texts=[short, "a b c"]))["exclude"]
    assert (summary["texts"], summary["too_short"], summary["words"]) == (2, 1, [8, 13])


def test_texts_that_are_all_too_short_are_refused(tmp_path):
    with pytest.raises(ValueError, match="exclude must hold a text of at least 8 words; got 1 texts, all shorter"):
        rows(write_lines(tmp_path / "a.jsonl", [VERSE]), exclude_texts=["seven words are not enough for it"])


def test_files_of_any_format_are_read(tmp_path):
    corpus = write_lines(tmp_path / "a.jsonl", ["else", VERSE])
    (tmp_path / "bench.txt.gz").write_bytes(gzip.compress(f"a line\n{VERSE}\n".encode()))
    assert rows(corpus, exclude=tmp_path / "bench.txt.gz") == [1]
    assert rows(corpus, exclude=[corpus]) == [1]


def test_token_ids_are_excluded_by_token_ids(tmp_path):
    texts = [[*range(1, 20), 0], [*range(1, 13), 50, *range(13, 20), 0]]
    corpus = TokenFiles(write_olmo(tmp_path / "a.npy", texts), vocab_size=64, eos=0)
    bench = TokenFiles(write_datatrove(tmp_path / "b.ds", [list(range(2, 15))]), vocab_size=64, format="datatrove")
    dropped = filter_documents(corpus, near_duplicates=False, exclude=bench)
    assert dropped.select(["row", "filter"]).to_pylist() == [{"row": 0, "filter": "exclude"}]
