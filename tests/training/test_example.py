"""The example of docs/training.md runs, on small files of the same names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from pivotkit.words.prompts import PROMPTS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "training.md"
# Sizes are made small, and the items are of the testbed, since its tokenizer knows no other words.
SMALLER = {
    '["en-fr", "fr-en"]': '["a-b", "b-a"], prompt=TESTBED, shots=2, contexts=1, distractors=2',
    '"length": 512': '"length": 4',
    "200_000": "1_540",
    "checkpoints=4": "checkpoints=1",
    "[0, 1]": "[0]",
}


def test_the_example_of_the_document_runs(given, tmp_path, monkeypatch):
    for name, arm in (("pivot", "one"), ("random", "two")):
        shutil.copytree(given / arm, tmp_path / "arms" / name)
    (tmp_path / "MODEL").symlink_to(given / "model")
    shutil.copy(given / "world" / "lexicon.tsv", tmp_path / "words.tsv")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    for text, smaller in SMALLER.items():
        assert text in code
        code = code.replace(text, smaller)
    scope: dict[str, Any] = {"TESTBED": PROMPTS["testbed"]}
    exec(code, scope)
    assert (tmp_path / "compare.html").exists()
    assert set(scope["table"]["arm"].to_pylist()) == {"before", "pivot", "random"}
