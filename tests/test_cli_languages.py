"""`pivotkit languages`: the composition of a corpus, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pivotkit.cli import main
from pivotkit.corpus.languages import LanguageTable

ENGLISH = "The file could not be opened because it was removed."
GERMAN = "Die Datei konnte nicht geöffnet werden, weil sie gelöscht ist."


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    texts = [ENGLISH, f"{ENGLISH}\n{GERMAN}", f"{ENGLISH}\n{GERMAN}", "42"]
    lines = [json.dumps({"text": text, "lang": "xx" if text == ENGLISH else None}) for text in texts]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    return str(tmp_path / "a.jsonl")


def test_the_composition_is_printed_by_kind(corpus: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["languages", corpus, "--candidates", "en,de,fr"]) == 0
    lines = capsys.readouterr().out.splitlines()
    both = 2 * (len(ENGLISH) + len(GERMAN) + 1)
    assert lines[:2] == ["documents: 4", "skipped: 0"]
    assert lines[3:] == [
        f"monolingual: 1 documents, {len(ENGLISH)} characters (xx 1)",
        f"parallel: 2 documents, {both} characters (de+en 2)",
        "other: 1 documents, 2 characters (und 1)",
    ]


def test_json_has_every_set_and_the_table_stays(
    corpus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["languages", corpus, "--languages", "detect", "--out", str(tmp_path / "out"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    table = LanguageTable.open(tmp_path / "out")
    assert summary["digest"] == table.digest
    rows = [{"kind": kind, **row} for kind, rows in summary["composition"].items() for row in rows]
    assert rows == table.composition().to_pylist()
    assert [row["languages"] for row in rows] == ["en", "de+en", "und"]


def test_an_unknown_candidate_is_refused_in_one_line(corpus: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["languages", corpus, "--candidates", "en,zz"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pivotkit: document_languages: candidates must be among the 140 languages of py3langid")
    assert line.endswith("got 'zz'")
