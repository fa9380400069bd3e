"""The example of docs/training.md runs as it stands, on small files of the same names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def test_the_example_of_the_document_runs(given, tmp_path, monkeypatch):
    (tmp_path / "arms").mkdir()
    for name, arm in (("pivot", "one"), ("random", "two")):
        shutil.copytree(given / arm, tmp_path / "arms" / name)
    (tmp_path / "MODEL").symlink_to(given / "model")
    lexicon = (given / "world" / "lexicon.tsv").read_text("utf-8").splitlines()
    head = lexicon[0].split("\t")
    names = {"a": "en", "b": "fr"}
    (tmp_path / "words.tsv").write_text(
        "\n".join(["\t".join(names.get(name, name) for name in head), *lexicon[1:]]) + "\n"
    )
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    # Sizes alone are made small.
    code = (
        code.replace('"length": 512', '"length": 4')
        .replace("200_000", "1_540")
        .replace("checkpoints=4", "checkpoints=1")
        .replace("[0, 1]", "[0]")
    )
    scope: dict[str, object] = {}
    exec(code, scope)
    assert (tmp_path / "compare.html").exists()
    assert set(scope["table"]["seed"].to_pylist()) == {None, 0}  # type: ignore[index]
