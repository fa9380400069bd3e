"""Sets and kinds of documents, against a loop over their lines; and the real bilingual corpus."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from pivotkit.corpus import read_texts
from pivotkit.corpus.languages.detector import Detector, Labels
from pivotkit.corpus.languages.segments import segments_of
from pivotkit.corpus.languages.verdicts import KINDS, detect
from pivotkit.corpus.reading.text_block import TextBlock


class Marked:
    """A detector of segments that name their language: ``fr:`` or ``en|fr:`` before the letters."""

    languages = ("de", "en", "fr", "ja", "zh")

    def label(self, segments: Any) -> Labels:
        columns: list[list[int]] = [[], [], [], []]
        for segment in segments:
            for column, value in zip(columns, self._one(segment.decode()), strict=True):
                column.append(value)
        kinds = (np.int32, np.int32, np.int64, np.int64)
        return Labels(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))

    def _one(self, text: str) -> tuple[int, int, int, int]:
        mark, _, letters = text.strip().partition(":")
        size = sum(len(letter.encode()) for letter in letters if letter.isalpha())
        codes = [self.languages.index(code) for code in mark.split("|") if code in self.languages]
        if len(codes) == 2:
            return codes[0], codes[1], size // 2, size - size // 2
        return (codes[0] if codes else -1), -1, size, 0


def block(tmp_path: Path, texts: list[str]) -> TextBlock:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    (found,) = read_texts(file)
    return found


def told(tmp_path: Path, texts: list[str]) -> list[tuple[tuple[str, ...], str]]:
    verdicts = detect(block(tmp_path, texts), Marked())  # type: ignore[arg-type]
    return [(verdicts.sets[place], KINDS[kind]) for place, kind in zip(verdicts.ids, verdicts.kinds, strict=True)]


def by_hand(text: str) -> tuple[tuple[str, ...], str]:
    """The rules, written down once more."""
    votes: dict[str, int] = {}
    lines: list[str] = []
    switched = 0
    for line in filter(str.strip, text.split("\n")):
        a, b, first, second = Marked()._one(line)
        here: dict[str, int] = {}
        for code, size in ((a, first), (b, second)):
            if code >= 0 and size:
                votes[Marked.languages[code]] = votes.get(Marked.languages[code], 0) + size
                here[Marked.languages[code]] = here.get(Marked.languages[code], 0) + size
        switched += first + second if b >= 0 else 0
        if here:
            lines.append(min(here, key=lambda code: (-here[code], code)))
    total = sum(votes.values())
    some = tuple(sorted(code for code, size in votes.items() if size >= 0.2 * total))
    kind = {1: "monolingual", 2: "bilingual"}.get(len(some), "other")
    own = [line for line in lines if line in some]
    if len(some) == 2 and len(own) > 1:
        n = len(own)
        signs = [1 if line == some[0] else -1 for line in own]
        alternate = abs(sum(sign * (-1) ** place for place, sign in enumerate(signs)))
        half = abs(sum(signs[: n // 2]) - sum(signs[n - n // 2 :]))
        if 10 * max(alternate, half) >= 8 * n and 10 * abs(sum(signs)) <= 2 * n:
            kind = "parallel"
    if len(some) > 1 and switched and switched >= 0.2 * total:
        kind = "code-switched"
    return some, kind


def test_sets_and_kinds_are_those_of_a_loop_over_lines(tmp_path: Path) -> None:
    rng = random.Random(0)
    marks = ["en", "fr", "en|fr", "zh", "de", "??", ""]
    texts = []
    for _ in range(1500):
        chosen = rng.choices(marks, [5, 5, rng.choice([0, 2]), 1, 1, 1, 1], k=rng.randint(0, 12))
        if rng.random() < 0.4:
            chosen = ["en", "fr"] * rng.randint(1, 8) if rng.random() < 0.5 else ["fr"] * 5 + ["en"] * rng.randint(4, 6)
        texts.append("\n".join(f"{mark}: {'é中a'[rng.randrange(3)] * rng.randint(0, 30)}" for mark in chosen))
    got = told(tmp_path, texts)
    assert got == [by_hand(text) for text in texts]
    assert {kind for _, kind in got} == set(KINDS)


@pytest.mark.parametrize(
    ("lines", "some", "kind"),
    [
        (["en"], ("en",), "monolingual"),
        (["en"] * 4 + ["fr"], ("en", "fr"), "bilingual"),
        (["en"] * 5 + ["fr"], ("en",), "monolingual"),
        (["en", "fr"], ("en", "fr"), "parallel"),
        (["fr", "fr", "en", "en"], ("en", "fr"), "parallel"),
        (["fr", "en"] * 3, ("en", "fr"), "parallel"),
        (["fr", "en", "en", "fr", "en", "en", "fr", "fr"], ("en", "fr"), "bilingual"),
        (["en|fr"], ("en", "fr"), "code-switched"),
        (["en", "fr", "zh"], ("en", "fr", "zh"), "other"),
        (["??"], (), "other"),
        ([], (), "other"),
    ],
)
def test_a_document_is_of_one_kind(tmp_path: Path, lines: list[str], some: tuple[str, ...], kind: str) -> None:
    assert told(tmp_path, ["\n".join(f"{mark}: {'a' * 20}" for mark in lines)]) == [(some, kind)]


def test_long_lines_are_cut_at_sentences_and_others_are_not(tmp_path: Path) -> None:
    short, sentence = "One here. Two there.", "This is a sentence that has some length of its own. "
    texts = [short, f"{short}\n\n{sentence * 10}", "", "  \n"]
    found = block(tmp_path, texts)
    segments = segments_of(found)
    pieces = [bytes(found.data[a:b]).decode() for a, b in itertools.pairwise(segments.offsets.tolist())]
    assert pieces == [short, f"{short}\n\n", *[sentence] * 10, "  \n"]
    assert segments.line.tolist() == [0, 1, *[2] * 10, 3]
    assert segments.document.tolist() == [0, 1, 1, 3]


SENTENCES = {
    "en": ("The file could not be opened because it was removed.", "Please restart the program and try again."),
    "de": ("Die Datei konnte nicht geöffnet werden, weil sie fehlt.", "Bitte starten Sie das Programm noch einmal."),
    "ja": ("ファイルが削除されたため、開くことができませんでした。", "プログラムを再起動してもう一度お試しください。"),
}


@pytest.mark.parametrize("candidates", [None, ["de", "en", "ja", "fr"]])
def test_real_sentences_get_their_languages(tmp_path: Path, candidates: list[str] | None) -> None:
    en, de, ja = (SENTENCES[code] for code in ("en", "de", "ja"))
    texts = ["\n".join(en), f"{en[0]}\n{de[0]}\n{en[1]}\n{de[1]}", "\n".join((*ja, *en)), f"{de[0]} {en[1]}", "%1 42"]
    verdicts = detect(block(tmp_path, texts), Detector(candidates))
    assert [verdicts.sets[place] for place in verdicts.ids] == [("en",), ("de", "en"), ("en", "ja"), ("de", "en"), ()]
    kinds = ["monolingual", "parallel", "parallel", "code-switched", "other"]
    assert [KINDS[kind] for kind in verdicts.kinds] == kinds


@pytest.mark.parametrize("candidates", [None, ["en", "fr", "de", "es", "ja", "zh"]])
def test_bilingual_messages_have_their_two_languages(
    shared: Path, tmp_path: Path, candidates: list[str] | None
) -> None:
    """A sample of 300 a pair; on all of the corpus it is 98.8 to 99.3 %, and 99.2 to 99.6 % with candidates."""
    detector, right, parallel, documents = Detector(candidates), 0, 0, 0
    for pair in ("en-fr", "en-de", "en-es", "en-ja", "en-zh"):
        path = shared / "data" / "bilingual" / f"{pair}.jsonl.zst"
        if not path.exists():
            pytest.skip("the shared folder holds no bilingual corpus")
        lines = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()).decode().strip().split("\n")
        sample = random.Random(0).sample(lines, 300)
        (tmp_path / "a.jsonl").write_text("\n".join(sample), "utf-8")
        for texts in read_texts(tmp_path / "a.jsonl"):
            verdicts = detect(texts, detector)
            right += sum(verdicts.sets[place] == tuple(sorted(pair.split("-"))) for place in verdicts.ids)
            parallel += sum(KINDS[kind] == "parallel" for kind in verdicts.kinds)
            documents += len(texts)
    assert documents == 1500
    assert right >= 0.98 * documents
    assert parallel >= 0.97 * documents
