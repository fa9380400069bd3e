"""What the study reads of shared data: the clean rows of a lexicon, and all or a share of a corpus."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import orjson
import zstandard

from pivotkit.artifacts import atomic_path

HUB = "en"  # the language that every bilingual document is in


def clean_rows(lexicon: Path, tier: str, accepted: int, out: Path) -> int:
    """Write the rows of ``lexicon`` that are of ``tier`` to ``out``, in their order, and return how many they are.

    A row whose first word in some language is that of an earlier row is left out: as a question it would have two
    answers. A cell keeps the first ``accepted`` of its words: a score's cost grows with every answer that is accepted,
    and some cells have more than a hundred.
    """
    with lexicon.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file, delimiter="\t")
    about = {head.index(name) for name in ("pos", "tier")}
    kept, seen = [], set()
    for row in rows:
        words = {(place, cell.partition("|")[0]) for place, cell in enumerate(row) if place not in about and cell}
        if row[head.index("tier")] == tier and seen.isdisjoint(words):
            kept.append(["|".join(cell.split("|")[:accepted]) for cell in row])
            seen |= words
    _write_if_other(out, "".join("\t".join(row) + "\n" for row in [head, *kept]).encode())
    return len(kept)


def corpus_files(data: Path, languages: Sequence[str]) -> list[Path]:
    """The monolingual files of ``languages``, and the bilingual ones of English and each other one."""
    bilingual = [data / "bilingual" / f"{HUB}-{code}.jsonl.zst" for code in languages if code != HUB]
    files = [*(data / "corpus" / f"{code}.jsonl.zst" for code in languages), *bilingual]
    return [file for file in files if file.exists()]


def sampled(files: Sequence[Path], share: float, out: Path) -> list[Path]:
    """The files, or copies in ``out`` of a share of their documents, which the hash of a document's id decides."""
    if share == 1:
        return list(files)
    return [_sample(file, share, out / f"{file.parent.name}-{file.name}") for file in files]


def left_out(file: Path, share: float, count: int) -> list[str]:
    """The texts of the last ``count`` documents of a file that `sampled` leaves out."""
    with zstandard.open(file, "rb") as compressed:
        rest = [row for row in map(orjson.loads, io.BufferedReader(compressed)) if _place(row["id"]) >= share]
    return [row["text"] for row in rest[-count:]]


def _sample(file: Path, share: float, out: Path) -> Path:
    with zstandard.open(file, "rb") as compressed:
        lines = [line for line in io.BufferedReader(compressed) if _place(orjson.loads(line)["id"]) < share]
    _write_if_other(out, zstandard.compress(b"".join(lines)))
    return out


def _place(name: str) -> float:
    """A number from 0 to 1 that stands for ``name``."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big") / 2**48


def _write_if_other(path: Path, content: bytes) -> None:
    """Write a file unless it holds ``content`` already, so that a second call finds an unchanged run."""
    if not (path.exists() and path.read_bytes() == content):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            part.write_bytes(content)
