"""Counts by a datatrove pipeline: those of one process, however many tasks make them and however often one is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("datatrove", reason="datatrove is not installed")
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from pivotkit.corpus import Counts, count
from pivotkit.corpus.languages import document_languages
from pivotkit.errors import InputError
from pivotkit.integrations.datatrove import PivotCount, PivotLanguages, PivotMerge, PivotScore
from pivotkit.selection import score_documents

SCALE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
WORDS = ["cat", "chat", "dog"]
PAIRS = [("cat", "chat"), ("dog", "cat")]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "corpus").mkdir()
    for file in range(7):
        lines = [
            {"id": f"{file}-{row}", "text": " ".join(rng.choice(["the", *WORDS], 9)), "lang": "fr" if row % 2 else "en"}
            for row in range(20 + 30 * file)
        ]
        (tmp_path / "corpus" / f"{file}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "corpus"


def files(out: Path) -> dict[str, bytes]:
    """The counts in a folder, and the postings of its units."""
    own = [path for path in out.rglob("*") if path.is_file() and "units" not in path.parts and path.name != ".lock"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in [*own, *out.rglob("*.postings")]}


def executor(steps: list[Any], folder: Path, tasks: int, workers: int = 1, **more: Any) -> LocalPipelineExecutor:
    return LocalPipelineExecutor(steps, tasks=tasks, workers=workers, logging_dir=str(folder), **more)


@pytest.mark.parametrize(("tasks", "workers"), [(1, 1), (3, 2), (10, 1)])
def test_tasks_make_the_files_of_one_process(corpus: Path, tmp_path: Path, tasks: int, workers: int) -> None:
    counting = PivotCount(WORDS, tmp_path / "tasks", corpus, pairs=PAIRS)
    made = executor([counting], tmp_path / "log", tasks, workers)
    executor([PivotMerge(counting)], tmp_path / "log-of-merge", 1, depends=made).run()
    count(corpus, WORDS, pairs=PAIRS, unit="256MB", workers=1, out=tmp_path / "one")
    assert files(tmp_path / "tasks") == files(tmp_path / "one")


def test_documents_that_pass_by_are_counted_as_those_of_files(corpus: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def see(data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for document in data:
            seen.append(document.id)
            yield document

    counting = PivotCount(WORDS, tmp_path / "tasks", pairs=PAIRS, language="lang")
    executor([JsonlReader(str(corpus)), counting, see], tmp_path / "log", 3).run()
    executor([PivotMerge(counting)], tmp_path / "log-of-merge", 1).run()
    passed, whole = Counts.load(tmp_path / "tasks"), count(corpus, WORDS, pairs=PAIRS, workers=1, out=tmp_path / "one")
    for name in ("df", "tf", "pair_df"):
        assert getattr(passed, name).tolist() == getattr(whole, name).tolist()
    assert passed.by_language().sort_by("word").to_pylist() == whole.by_language().sort_by("word").to_pylist()
    assert len(seen) == len(set(seen)) == passed.documents


CODE = """
import sys
from pathlib import Path
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from pivotkit.integrations.datatrove import PivotCount

def wait(data, rank=0, world_size=1):
    for document in data or ():
        yield document
    if rank == 1 and not (Path(sys.argv[2]) / "killed").exists():
        (Path(sys.argv[2]) / "waits").touch()
        import time
        time.sleep(600)

if __name__ == "__main__":
    corpus, folder, passing = sys.argv[1], sys.argv[2], sys.argv[3] == "passing"
    counting = PivotCount(["cat", "chat", "dog"], folder + "/tasks", None if passing else corpus)
    steps = [JsonlReader(corpus), wait, counting] if passing else [wait, counting]
    LocalPipelineExecutor(steps, tasks=3, workers=1, logging_dir=folder + "/log").run()
"""


@pytest.mark.parametrize("way", ["passing", "files"])
def test_a_killed_task_is_run_again(corpus: Path, tmp_path: Path, way: str) -> None:
    (tmp_path / "code.py").write_text(CODE)
    command = [sys.executable, str(tmp_path / "code.py"), str(corpus), str(tmp_path), way]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not (tmp_path / "waits").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    counting = PivotCount(WORDS, tmp_path / "tasks", None if way == "passing" else corpus)
    merge = executor([PivotMerge(counting)], tmp_path / "log-of-merge", 1)
    with pytest.raises(InputError, match="must hold the"):
        merge.run()
    (tmp_path / "killed").touch()
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    merge.run()
    whole = count(corpus, WORDS, workers=1, unit="256MB", out=tmp_path / "one")
    assert Counts.load(tmp_path / "tasks").df.tolist() == whole.df.tolist()
    if way == "files":
        assert files(tmp_path / "tasks") == files(tmp_path / "one")


def test_a_pipeline_that_stops_early_counts_nothing(corpus: Path, tmp_path: Path) -> None:
    counting = PivotCount(WORDS, tmp_path / "tasks")
    documents = counting.run(iter([Document("cat", "0"), Document("dog", "1")]))
    assert next(documents).text == "cat"
    documents.close()
    with pytest.raises(InputError, match="part-0-of-1 must be counted again"):
        counting.job.merge()


def test_wrong_arguments_are_refused_when_the_step_is_made(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be in the watch list; got 'tree'"):
        PivotCount(WORDS, tmp_path, corpus, pairs=[("cat", "tree")])
    with pytest.raises(TypeError, match="PivotCount: language must be a str; got int"):
        PivotCount(WORDS, tmp_path, language=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="PivotMerge: counting must be a PivotCount; got"):
        PivotMerge("counts")  # type: ignore[arg-type]


def test_the_log_of_an_executor_names_the_job(corpus: Path, tmp_path: Path) -> None:
    executor([PivotCount(WORDS, tmp_path / "tasks", corpus)], tmp_path / "log", 1).run()
    assert "CountJob(7 units" in (tmp_path / "log" / "executor.json").read_text()


# ---- languages and scores


def passed(steps: list[Any], corpus: Path, folder: Path, tasks: int = 1) -> dict[str, dict[str, Any]]:
    """The metadata of all documents behind the steps, by their ids."""
    found: dict[str, dict[str, Any]] = {}

    def keep(data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for document in data:
            found[document.id] = document.metadata
            yield document

    executor([JsonlReader(str(corpus)), *steps, keep], folder, tasks).run()
    return found


def test_languages_are_those_of_document_languages(tmp_path: Path) -> None:
    pytest.importorskip("py3langid", reason="py3langid is not installed")
    texts = [
        "Do you want to check your settings and try again?",
        "Voulez-vous vérifier vos paramètres et réessayer ?",
        "Save the file under another name\nEnregistrer le fichier sous un autre nom",
        "12345",
    ] * 400
    (tmp_path / "corpus").mkdir()
    lines = [json.dumps({"id": str(row), "text": text}) + "\n" for row, text in enumerate(texts)]
    (tmp_path / "corpus" / "a.jsonl").write_text("".join(lines))
    table = document_languages(tmp_path / "corpus", workers=1)
    sets = [table.language_sets[number] for number in table.of_file(tmp_path / "corpus" / "a.jsonl").tolist()]
    found = passed([PivotLanguages()], tmp_path / "corpus", tmp_path / "log")
    assert [found[str(row)]["language"] for row in range(len(texts))] == ["+".join(some) or "und" for some in sets]
    assert {found[str(row)]["language_kind"] for row in (0, 2, 3)} == {"monolingual", "parallel", "other"}


def test_a_language_that_is_there_is_kept_and_counted(corpus: Path, tmp_path: Path) -> None:
    counting = PivotCount(["chat"], tmp_path / "tasks", language="lang")
    found = passed([PivotLanguages(language="lang"), counting], corpus, tmp_path / "log")
    assert {about["lang"] for about in found.values()} == {"en", "fr"}
    counting.job.merge()
    whole = count(corpus, ["chat"], workers=1, out=tmp_path / "one")
    assert Counts.load(tmp_path / "tasks").by_language().to_pylist() == whole.by_language().to_pylist()


def test_a_function_tells_languages(corpus: Path, tmp_path: Path) -> None:
    found = passed([PivotLanguages(lambda text: ["de", "en"], language="told")], corpus, tmp_path / "log", 2)
    assert {(about["told"], about["language_kind"]) for about in found.values()} == {("de+en", "bilingual")}


@pytest.fixture
def tokenizer() -> Tokenizer:
    made = Tokenizer(WordLevel({word: place for place, word in enumerate(["?", "the", *WORDS])}, unk_token="?"))
    made.pre_tokenizer = Whitespace()
    return made


@pytest.mark.parametrize(
    "score",
    [{}, {"score": "weighted", "weights": {2: 1.5, 4: 0.5}}, {"score": lambda ids, weights: weights[ids].max()}],
)
def test_scores_are_those_of_score_documents(corpus: Path, tmp_path: Path, tokenizer: Tokenizer, score: Any) -> None:
    table = score_documents(corpus, [2, 4], tokenizer=tokenizer, **score)
    found = passed([PivotScore([2, 4], tokenizer, **score)], corpus, tmp_path / "log", 3)
    assert len(found) == len(table)
    for row in table.to_pylist():
        about = found[row["id"]]
        assert (about["pivot_score"], about["pivot_tokens"], about["token_count"]) == (
            row["score"], row["pivots"], row["tokens"],
        )  # fmt: skip


def test_steps_refuse_what_their_functions_refuse(tokenizer: Tokenizer) -> None:
    with pytest.raises(IndexError, match=r"PivotScore: pivots must be tokens of the corpus, below 5; got 9"):
        PivotScore([9], tokenizer)
    with pytest.raises(TypeError, match="PivotScore: tokenizer must be a fast tokenizer or a path; got int"):
        PivotScore([1], 3)
    with pytest.raises(ValueError, match="PivotLanguages: languages must be 'auto', 'field', 'detect' or a function"):
        PivotLanguages("text")
    with pytest.raises(ValueError, match="PivotLanguages: candidates must be None where languages are not detected"):
        PivotLanguages("field", ["en"])


# ---- the docs


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", SCALE.read_text("utf-8"), re.DOTALL))
def test_the_examples_of_the_docs_run(corpus: Path, tmp_path: Path, example: str) -> None:
    code = f"if __name__ == '__main__':\n{textwrap.indent(example, '    ')}"
    (tmp_path / "example.py").write_text(code)
    subprocess.run([sys.executable, "example.py"], cwd=tmp_path, stderr=subprocess.DEVNULL, check=True)
    (out,) = re.findall(r'"(counts\S*)"', example)
    whole = count(corpus, WORDS, pairs=PAIRS[:1], workers=1)
    assert Counts.load(tmp_path / out).df.tolist() == whole.df.tolist()
