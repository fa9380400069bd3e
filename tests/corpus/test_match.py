"""Which words occur in each document of a corpus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pivotkit.corpus import match_documents, match_texts, work_units
from pivotkit.errors import CorpusError


def test_rows_follow_files_and_lines(write: Any, tmp_path: Any) -> None:
    write(["un chat", "rien", "chat chien CHAT"], "b.jsonl", "fr")
    write(["a cat"], "a.jsonl", "en")
    matches = match_documents(tmp_path, ["cat", "chat", "chien"])
    units = [unit.name for unit in work_units(tmp_path)]
    assert matches.words == ["cat", "chat", "chien"]
    assert matches.documents.to_pydict() == {
        "unit": [units[0], units[1], units[1], units[1]],
        "row": [0, 0, 1, 2],
        "id": ["a.jsonl/0", "b.jsonl/0", "b.jsonl/1", "b.jsonl/2"],
        "lang": ["en", "fr", "fr", "fr"],
    }
    assert matches.hits.dtype == np.int32
    assert matches.hits.toarray().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 2, 1]]


def test_no_documents_give_no_rows(write: Any) -> None:
    matches = match_documents(write([]), ["cat"])
    assert (matches.documents.num_rows, matches.hits.shape) == (0, (0, 1))
    assert match_texts([], ["cat"]).shape == (0, 1)


def test_bad_documents_are_refused_or_skipped(write: Any) -> None:
    path = write(["cat", "cat"])
    path.write_text(path.read_text() + "{\n")
    with pytest.raises(CorpusError, match="line 3"):
        match_documents(path, ["cat"])
    assert match_documents(path, ["cat"], on_error="skip").hits.shape == (2, 1)
    with pytest.raises(ValueError, match="on_error must be"):
        match_documents(path, ["cat"], on_error="no")
