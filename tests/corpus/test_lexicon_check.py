"""A check of a lexicon with a corpus, its files, and its command."""

from __future__ import annotations

import json

import orjson
import pyarrow as pa
import pytest

from pivotkit.artifacts import read_json, read_table, table_metadata
from pivotkit.cli import main
from pivotkit.corpus.languages import document_languages
from pivotkit.corpus.lexicon_check import check_lexicon
from pivotkit.errors import CorpusError, InputError
from pivotkit.words.lexicon import read_lexicon

LEXICON = "en\tfr\npain\tdouleur\nbread\tpain\ndog\tchien|toutou\nsun\tsoleil\nbread\tmie\n"
TEXTS = [
    ("en", "Pain and bread"), ("en", "a dog"), ("en", "a dog and bread"), ("fr", "le pain, le chien"), ("fr", "Chien"),
    ("fr", "un toutou"), ("de", "pain"), ("fr", "le soleil"),
]  # fmt: skip


@pytest.fixture
def place(tmp_path):
    (tmp_path / "words.tsv").write_text(LEXICON)
    lines = [json.dumps({"text": text, "lang": lang}) for lang, text in TEXTS]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    (tmp_path / "bare.jsonl").write_text("\n".join(json.dumps({"text": text}) for _, text in TEXTS))
    return tmp_path


def test_documents_are_counted_by_language(place):
    found = check_lexicon(place / "words.tsv", corpus=place / "corpus.jsonl", min_df=2, workers=1)
    rows = {(row["language"], row["line"], row["word"]): row for row in found.words.to_pylist()}
    df = {key[2::-2]: (row["df"], row["df_own"], dict(row["df_by_language"])) for key, row in rows.items()}
    assert df["pain", "en"] == (3, 1, {"de": 1, "en": 1, "fr": 1})
    assert df["pain", "fr"] == (3, 1, {"de": 1, "en": 1, "fr": 1})
    assert df["chien", "fr"] == (2, 2, {"fr": 2})
    assert df["toutou", "fr"] == (1, 1, {"fr": 1})
    assert df["sun", "en"] == (0, 0, {})
    assert found.about["documents"] == len(TEXTS)
    [pair] = found.pairs.to_pylist()
    # Both words in two documents of their language: dog and chien alone.
    assert (pair["concepts"], pair["few_documents"], pair["served"]) == (5, 4, 1)
    english = found.languages.to_pylist()[0]
    assert (english["median_df"], english["few_documents"], english["no_document"]) == (2.0, 2, 1)


def test_a_word_that_two_rows_show_is_told_and_not_refused(place):
    with pytest.raises(InputError, match=r"line 6: column en must name 'bread' once; line 3 has it too$"):
        read_lexicon(place / "words.tsv")
    found = check_lexicon(place / "words.tsv")
    assert [(row["word"], row["line"], row["repeated"]) for row in found.words.to_pylist() if row["repeated"]] == [
        ("bread", 6, 3)
    ]
    assert found.languages["repeated"].to_pylist() == [1, 0]


def test_documents_without_a_language_are_counted_and_no_more(place):
    found = check_lexicon(place / "words.tsv", corpus=place / "bare.jsonl", workers=1)
    pain = found.words.to_pylist()[0]
    assert (pain["df"], pain["df_own"], dict(pain["df_by_language"])) == (3, None, {"und": 3})
    assert found.pairs["served"].to_pylist() == [None]
    assert "`pivotkit languages` tells them" in found.about["left_out"]["languages of documents"]
    languages = document_languages(place / "bare.jsonl", languages=lambda text: "fr+en", workers=1)
    both = check_lexicon(place / "words.tsv", corpus=place / "bare.jsonl", languages=languages, workers=1)
    assert both.words["df_own"].to_pylist()[0] == 3  # documents of both languages count for each
    assert "languages of documents" not in both.about["left_out"]


def test_a_check_is_written_whole(place):
    found = check_lexicon(place / "words.tsv", corpus=place / "corpus.jsonl", workers=1)
    said = read_json(found.save(place / "check.json"))
    assert said == orjson.loads(orjson.dumps(found.as_dict()))
    assert {name: len(said[name]) for name in ("words", "pairs", "languages")} == {
        "words": 11, "pairs": 1, "languages": 2,
    }  # fmt: skip
    table = read_table(found.save(place / "check.parquet"))
    assert table.to_pylist() == found.words.to_pylist()
    assert table_metadata(table) == {name: said[name] for name in ("about", "pairs", "languages")}


def test_the_command_shows_tables_and_examples(place, capsys):
    words = ["lexicon", str(place / "words.tsv"), "--corpus", str(place / "corpus.jsonl"), "--workers", "1"]
    assert main([*words, "--min-df", "2", "--out", str(place / "check.json")]) == 0
    said = capsys.readouterr().out
    for told in ("en-fr", "homographs", "served", "one spelling in several languages: pain (en, fr)",
                 "shown in two rows, which a run refuses: bread (en, lines 3, 6)", "documents: 8",
                 "without tokens: no model was given"):  # fmt: skip
        assert told in said
    assert "one piece" not in said  # nothing is known of tokens
    assert read_json(place / "check.json")["about"]["documents"] == 8


def test_the_command_gives_data(place, capsys):
    assert main(["lexicon", str(place / "words.tsv"), "--pairs", "fr-en", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["pair"] for row in said["pairs"]] == ["fr-en"]
    assert said["left_out"] == {"tokens": "no model was given", "documents": "no corpus was given"}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--out", "check.xlsx"], "check_lexicon: out must end in .json or .parquet; got 'check.xlsx'"),
        (["--pairs", "fr-de"], "parse_pair: language must be one of en, fr; got 'de' in 'fr-de'"),
        (["--min-df", "-1"], "check_lexicon: min_df must be at least 0; got -1"),
        (["--model", "nowhere"], "load_tokenizer: model must be a folder"),
        (["--corpus", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_what_the_command_refuses_is_told_in_one_line(place, capsys, monkeypatch, more, told):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["lexicon", str(place / "words.tsv"), *more]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_a_corrupt_document_stops_or_is_skipped(place):
    with (place / "corpus.jsonl").open("a") as file:
        file.write("\n{broken")
    with pytest.raises(CorpusError):
        check_lexicon(place / "words.tsv", corpus=place / "corpus.jsonl", workers=1)
    found = check_lexicon(place / "words.tsv", corpus=place / "corpus.jsonl", workers=1, on_error="skip")
    assert found.about["documents"] == len(TEXTS)
    assert isinstance(found.words, pa.Table)


@pytest.mark.parametrize("name", ["concrete_nouns.tsv", "words_2000.tsv"])
def test_real_lexicons_are_checked(shared, name):
    found = check_lexicon(shared / "data" / "lexicon" / name)
    assert found.words.num_rows > 2000
    assert all(row["readable"] <= row["concepts"] for row in found.pairs.to_pylist())
    assert sum(found.languages["repeated"].to_pylist()) == (0 if name == "concrete_nouns.tsv" else 695)
