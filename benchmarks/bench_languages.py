"""Languages of lines, against py3langid called line by line, whose answers must be the same; and of documents."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pivotkit.corpus import read_texts
from pivotkit.corpus.languages.detector import Detector
from pivotkit.corpus.languages.verdicts import detect

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 20 if FULL else 1
SHARED = Path(os.environ.get("PIVOTKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
CANDIDATES = {"all": None, "six": ["de", "en", "es", "fr", "ja", "zh"]}


def lines_of(pair: str, documents: int) -> list[str]:
    path = SHARED / "data" / "bilingual" / f"{pair}.jsonl.zst"
    if not path.exists():
        pytest.skip("the shared folder holds no bilingual corpus")
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()).split(b"\n")[:documents]
    return [line for one in raw for line in json.loads(one)["text"].split("\n") if any(map(str.isalpha, line))]


@pytest.mark.parametrize("candidates", CANDIDATES)
def test_lines(interleaved: Any, candidates: str) -> None:
    """The walk alone, without a handicap for rare languages."""
    from py3langid.langid import MODEL_FILE, RAW_FLOOR, LanguageIdentifier

    lines = lines_of("en-fr", 4000 if FULL else 200)
    raw = [line.encode() for line in lines]
    library = LanguageIdentifier.from_model_file(MODEL_FILE)
    library.set_languages(CANDIDATES[candidates])
    detector = Detector(CANDIDATES[candidates] or library.labels)
    results = interleaved(
        {"py3langid": lambda: [library.classify(line) for line in lines], "pivotkit": lambda: detector.label(raw)},
        SECONDS,
        baseline="py3langid",
    )
    labels = results["pivotkit"]
    own = ["zxx" if place < 0 else detector.languages[place] for place in labels.first]
    whole = labels.second < 0
    assert [a for a, is_whole in zip(own, whole, strict=True) if is_whole] == [
        "zxx" if score == RAW_FLOOR else b
        for (b, score), is_whole in zip(results["py3langid"], whole, strict=True)
        if is_whole
    ]


@pytest.mark.parametrize("candidates", CANDIDATES)
@pytest.mark.parametrize("kind", ["bilingual/en-fr", "corpus/de"])
def test_documents(benchmark: Any, kind: str, candidates: str) -> None:
    """From file to verdicts, one process; ``extra_info`` has documents and bytes of text a second."""
    path = SHARED / "data" / f"{kind}.jsonl.zst"
    if not path.exists():
        pytest.skip("the shared folder holds no corpus")
    detector = Detector(CANDIDATES[candidates])

    def run() -> tuple[int, int]:
        documents = size = 0
        for texts in read_texts(path):
            detect(texts, detector)
            documents, size = documents + len(texts), size + len(texts.data)
            if not FULL:
                break
        return documents, size

    documents, size = benchmark.pedantic(run, rounds=3 if FULL else 1)
    if benchmark.stats:
        seconds = benchmark.stats.stats.median
        benchmark.extra_info |= {"documents_s": round(documents / seconds), "MB_s": round(size / seconds / 1e6, 1)}
        print(kind, candidates, benchmark.extra_info)
