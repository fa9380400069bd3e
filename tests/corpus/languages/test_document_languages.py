"""Tables of languages by field, text and function, against a loop; and the arguments that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from pivotkit.corpus import TokenFiles, tokenize, work_units
from pivotkit.corpus.languages import LanguageTable, document_languages
from pivotkit.corpus.languages import document_languages as door
from pivotkit.errors import InputError

TEXTS = {
    "en": "The file could not be opened because it was removed.",
    "de": "Die Datei konnte nicht geöffnet werden, weil sie gelöscht ist.",
    "ja": "ファイルが削除されたため、開くことができませんでした。",
}
FIELDS: list[Any] = [None, "en", "de", ["en", "de"], "de+en", "", "und", [], "xx"]
SETS = [(), ("en",), ("de",), ("de", "en"), ("de", "en"), (), (), (), ("xx",)]


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module(), "UNIT_BYTES", 3000)


def door_module() -> Any:
    import importlib

    return importlib.import_module("pivotkit.corpus.languages.document_languages")


@pytest.fixture
def documents() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(400):
        text = TEXTS[["en", "de", "ja"][number % 3]]
        field = FIELDS[rng.integers(len(FIELDS))]
        made.append(
            {"text": text} | ({"langs" if isinstance(field, list) else "lang": field} if field is not None else {})
        )
    return made


@pytest.fixture
def corpus(tmp_path: Path, documents: list[dict[str, Any]]) -> Path:
    """Two files with empty lines between, so that rows are not documents."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, part in (("a", documents[:150]), ("b", documents[150:])):
        lines = [json.dumps(one, ensure_ascii=False) for one in part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def field_set(document: dict[str, Any]) -> tuple[str, ...]:
    field = document.get("langs", document.get("lang"))
    return SETS[FIELDS.index(field)]


def text_set(document: dict[str, Any]) -> tuple[str, ...]:
    return tuple(code for code, text in TEXTS.items() if text == document["text"])


def sets_of(table: LanguageTable, corpus: Path) -> list[tuple[str, ...]]:
    places = [table.of_file(file) for file in sorted(corpus.iterdir())]
    return [table.language_sets[place] for place in np.concatenate(places)]


def test_the_field_says_the_languages(corpus: Path, documents: list[dict[str, Any]]) -> None:
    table = document_languages(corpus, languages="field", workers=1)
    assert sets_of(table, corpus) == [field_set(document) for document in documents]
    assert table.language_sets == [(), ("de",), ("de", "en"), ("en",), ("xx",)]
    assert (table.documents, table.skipped, table.measure) == (400, 0, "characters")
    assert len(table.units) > 10
    assert repr(table) == "LanguageTable(400 documents, 5 language sets, 2 files)"


def test_the_text_says_the_languages_of_documents_without_a_field(
    corpus: Path, documents: list[dict[str, Any]]
) -> None:
    detected = document_languages(corpus, languages="detect", workers=1)
    assert sets_of(detected, corpus) == [text_set(document) for document in documents]
    auto = document_languages(corpus, workers=1, candidates=["ja", "en", "de"])
    assert sets_of(auto, corpus) == [field_set(document) or text_set(document) for document in documents]


def test_a_function_says_the_languages(corpus: Path, documents: list[dict[str, Any]]) -> None:
    answers: list[Any] = ["en", "fr+en", ["zh", "en", "zh"], (), "", "und", iter(["de"])]
    table = document_languages(corpus, languages=lambda text: answers[len(text) % 6])
    wanted = [("en",), ("en", "fr"), ("en", "zh"), (), (), ()]
    assert sets_of(table, corpus) == [wanted[len(document["text"]) % 6] for document in documents]
    for answer in (3, None, b"en", ["en", 3]):
        with pytest.raises(TypeError, match=r"^document_languages: languages must return a str or an iterable of str"):
            document_languages(corpus, languages=lambda text, answer=answer: answer)


def test_the_composition_is_that_of_a_loop(corpus: Path, documents: list[dict[str, Any]]) -> None:
    table = document_languages(corpus, languages="field", workers=1)
    counted: dict[tuple[str, str], list[int]] = {}
    for document in documents:
        some = field_set(document)
        kind = {1: "monolingual", 2: "bilingual"}.get(len(some), "other")
        total = counted.setdefault((kind, "+".join(some) or "und"), [0, 0])
        total[0] += 1
        total[1] += len(document["text"])
    rows = table.composition().to_pylist()
    assert {(row["kind"], row["languages"]): [row["documents"], row["characters"]] for row in rows} == counted
    assert [row["kind"] for row in rows] == ["monolingual"] * 3 + ["bilingual", "other"]
    assert rows[0]["documents"] >= rows[1]["documents"] >= rows[2]["documents"]


def test_rows_are_those_of_the_file(tmp_path: Path) -> None:
    """Lines that are no documents have none."""
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a", "lang": "en"}\n\nbad\n{"text": "b"}\n' * 300)
    with pytest.raises(InputError, match=r"a\.jsonl, line 2: must be a JSON object"):
        document_languages(file, languages="field", workers=1)
    table = document_languages(file, languages="field", on_error="skip", workers=1)
    assert len(table.units) > 3
    rows = table.rows(file)
    assert rows["row"].to_pylist() == [row for row in range(1200) if row % 4 in (0, 3)]
    assert rows["languages"].to_pylist() == ["en", "und"] * 300
    assert rows["kind"].to_pylist() == ["monolingual", "other"] * 300
    assert table.skipped == 600


def test_a_unit_is_a_part_of_its_file(corpus: Path) -> None:
    table = document_languages(corpus, languages="field", workers=1)
    file = work_units(corpus)[1]
    whole = table.of_file(file.path)
    assert np.array_equal(
        np.concatenate([table.of_unit(unit) for unit in table.units if unit.path == file.path]), whole
    )
    for size in (None, 1, 7000, 10**9):
        cut = table.cut(file, size)
        assert np.array_equal(np.concatenate([table.of_unit(unit) for unit in cut]), whole)
        assert (len(cut) == 1) == (size in (None, 10**9))
        firsts = [table.first_row(unit) for unit in cut]
        assert firsts == np.cumsum([0, *(len(table.of_unit(unit)) for unit in cut)])[:-1].tolist()
    tags = table.tags(file, np.array([0, 3, 249])).to_pylist()
    assert tags == ["+".join(table.language_sets[place]) or "und" for place in whole[[0, 3, 249]]]
    with pytest.raises(InputError, match=r"must hold every document of the corpus; got none at 250"):
        table.tags(file, np.array([3, 250]))
    other = work_units(file.path, 13)[1]
    with pytest.raises(ValueError, match=r"^LanguageTable: unit must be one that cut makes; got Unit"):
        table.of_unit(other)


def test_the_table_depends_on_the_languages_alone(corpus: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Not on workers, nor on whether it is kept."""
    one = document_languages(corpus, languages="detect", workers=1, out=tmp_path / "one")
    two = document_languages(corpus, languages="detect", workers=2, out=tmp_path / "two")
    memory = document_languages(corpus, languages="detect", workers=2)
    opened = LanguageTable.open(tmp_path / "one")
    assert len({table.digest for table in (one, two, memory, opened)}) == 1
    assert sets_of(two, corpus) == sets_of(memory, corpus) == sets_of(opened, corpus)
    assert opened.composition() == memory.composition()
    names = {path.name for path in (tmp_path / "one").iterdir()}
    for name in names - {".lock"}:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert document_languages(corpus, languages="field").digest != one.digest


@pytest.fixture
def core() -> Tokenizer:
    core = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    core.pre_tokenizer = Whitespace()
    return core


def test_a_token_store_has_the_field_of_its_text(
    corpus: Path, documents: list[dict[str, Any]], core: Tokenizer, tmp_path: Path
) -> None:
    store = tokenize(corpus, core, tmp_path / "store")
    for arguments in ({}, {"languages": "field", "out": tmp_path / "out"}):
        table = document_languages(store, **arguments)
        assert sets_of(table, corpus) == [field_set(document) for document in documents]
        assert table.measure == "tokens"
        assert sum(table.composition()["tokens"].to_pylist()) == sum(map(store.tokens, store.units))
    with pytest.raises(
        ValueError, match="languages must be 'field' or 'auto' for a TokenStore, which has no text; got"
    ):
        document_languages(store, languages="detect")


def test_a_folder_holds_the_table_of_one_call(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = document_languages(corpus, languages="field", out=out, workers=1)
    assert document_languages(corpus, languages="field", out=out, workers=1).digest == first.digest
    for arguments in (
        {"languages": "detect"},
        {"languages": "field", "on_error": "skip"},
        {"languages": lambda t: "en"},
    ):
        with pytest.raises(
            InputError, match="must hold no table of languages or one of the same arguments; got another"
        ):
            document_languages(corpus, out=out, workers=1, **arguments)
    function = tmp_path / "function"
    document_languages(corpus, languages=lambda text: "en", out=function)
    with pytest.raises(InputError, match="must hold no table"):
        document_languages(corpus, languages=lambda text: "en", out=function)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"languages": "guess"}, ValueError, "languages must be 'auto', 'field', 'detect' or a function; got 'guess'"),
        ({"languages": 3}, TypeError, "languages must be 'auto', 'field', 'detect' or a function; got int"),
        ({"candidates": "en"}, TypeError, "candidates must be a sequence of strings; got 'en'"),
        ({"candidates": []}, ValueError, "candidates must be at least one language or None; got 'none'"),
        (
            {"candidates": ["en", "zh-Hans"]},
            ValueError,
            r"candidates must be among the 140 languages of py3langid; got 'zh-Hans'",
        ),
        ({"candidates": ["en"], "languages": "field"}, ValueError, "candidates must be None where languages are not"),
        ({"on_error": "ignore"}, ValueError, "on_error must be 'raise' or 'skip'"),
        ({"workers": 0}, ValueError, "workers must be at least 1"),
        ({"out": 3}, TypeError, "out must be a path"),
    ],
)
def test_wrong_arguments_are_refused(corpus: Path, arguments: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^document_languages: {message}"):
        document_languages(corpus, **arguments)


def test_token_files_are_refused_with_the_way_out(tmp_path: Path) -> None:
    files = TokenFiles(tmp_path / "*.npy", vocab_size=9, eos=0)
    with pytest.raises(
        TypeError, match=r"TokenFiles have no languages \(LanguageTable.from_file reads a table of them"
    ):
        document_languages(files)  # type: ignore[arg-type]


def test_the_door_is_the_public_name() -> None:
    import pivotkit as pk

    assert pk.document_languages is door
