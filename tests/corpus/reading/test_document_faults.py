"""Files that are cut short, corrupt or changed: an error with its place, or a count; nothing lost in silence."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pyarrow as pa
import pytest
from corpus_formats import FORMATS, text_lines, write

from pivotkit.corpus import Unit, read_documents, read_texts, work_units
from pivotkit.corpus.reading import documents
from pivotkit.errors import CorpusError

DOCUMENTS = [{"text": f"text {i} é猫 " + "ab" * (i % 30), "id": f"d{i}", "lang": "fr"} for i in range(120)]
INPUTS = int(os.environ.get("PIVOTKIT_FUZZ", "1000"))  # damaged files of each format
TEXTS = [document["text"] for document in DOCUMENTS]


def texts_of(unit: Unit | Path, on_error: str = "raise") -> tuple[list[str], int]:
    batches = list(read_documents(unit, on_error))
    return [text for batch in batches for text in batch.texts], sum(batch.skipped for batch in batches)


def places(raw: bytes) -> list[int]:
    """Where to cut: everywhere near the ends, and in steps between."""
    return [*range(30), *range(30, len(raw) - 60, 13), *range(max(30, len(raw) - 60), len(raw))]


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("jsonl", "txt")])
def test_a_file_cut_anywhere_is_an_error_or_ends_between_pieces(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, DOCUMENTS)
    raw = path.read_bytes()
    ends = {unit.begin for unit in work_units(path, 1)} if kind.endswith(("gz", "zst")) else set()
    assert texts_of(path) == (TEXTS, 0)
    for size in places(raw):
        path.write_bytes(raw[:size])
        found, skipped = texts_of(path, "skip")
        if size in ends and size > 0:  # whole frames or members: only the line that was cut shows it, and JSON sees it
            assert found[:-1] == TEXTS[: len(found) - 1]
            assert (TEXTS[len(found) - 1].startswith(found[-1]), skipped) == (True, kind.startswith("jsonl"))
            continue
        assert found == TEXTS[: len(found)]
        assert skipped == 1, size
        with pytest.raises(CorpusError, match=str(path)):
            texts_of(path)


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.bgz", "jsonl.zst", "parquet", "stream", "file"])
def test_units_of_a_file_that_is_cut_are_an_error_or_whole(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, DOCUMENTS)
    raw = path.read_bytes()
    for size in random.Random(1).sample(range(1, len(raw)), 60):
        path.write_bytes(raw[:size])
        units = work_units(path, 1)  # planning reads headers, and raises nothing
        found = [texts_of(unit, "skip") for unit in units]
        joined = [text for texts, _ in found for text in texts]
        assert joined == TEXTS[: len(joined)]
        assert len(joined) < len(TEXTS)
        assert sum(skipped for _, skipped in found) >= 1
        with pytest.raises(CorpusError, match=str(path)):
            [texts_of(unit) for unit in units]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_was_changed_before_reading_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, DOCUMENTS)
    units = work_units(path, 500)
    raw = path.read_bytes()
    path.write_bytes(raw + b" ")
    for unit in units:
        for on_error in ("raise", "skip"):
            with pytest.raises(
                CorpusError, match=r"must stay as it was when the run began \(\d+ bytes\); got \d+ bytes"
            ):
                texts_of(unit, on_error)
    path.write_bytes(raw)
    os.utime(path, ns=(1, units[0].modified + 1))
    with pytest.raises(CorpusError, match=r"must stay as it was when the run began \(\d+ ns\)"):
        texts_of(units[0], "skip")
    path.unlink()
    with pytest.raises(CorpusError, match=r"must stay as it was when the run began; .*No such file"):
        texts_of(units[0], "skip")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, kind: str, on_error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "BATCH_BYTES", 100)
    monkeypatch.setattr(documents, "READ_BYTES", 300)
    path = write(tmp_path, kind, DOCUMENTS)
    blocks = read_texts(Unit.of(path), on_error)
    next(blocks)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    with pytest.raises(CorpusError, match="must stay as it was when the run began"):
        list(blocks)


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"a\.jsonl: must be a readable file; .*No such file"):
        read_texts(tmp_path / "a.jsonl")


def test_a_file_of_no_known_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(CorpusError, match=r"must end in one of .*; got 'a\.csv'"):
        list(read_texts(tmp_path / "a.csv"))


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "txt.zst"])
@pytest.mark.parametrize("unit_bytes", [None, 600])
def test_a_line_without_end_is_refused_wherever_it_begins(
    tmp_path: Path, kind: str, unit_bytes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LONGEST_LINE", 1000)
    monkeypatch.setattr(documents, "READ_BYTES", 100)
    path = write(tmp_path, kind, [{"text": "one"}, {"text": os.urandom(2000).hex()}, {"text": "two"}])
    found = []
    for unit in work_units(path, unit_bytes):
        try:
            found += texts_of(unit)[0]
        except CorpusError as error:
            found.append(f"{error.place}: {error.problem}")
    assert found[0] == "line 2: must be at most 1000 bytes; got more"
    assert found[1:] == (["two"] if unit_bytes else [])


def mutated(raw: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(raw))
        match chance.randrange(4):
            case 0:
                raw = raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]
            case 1:
                raw = raw[:at] + chance.randbytes(chance.randint(1, 8)) + raw[at + 1 :]
            case 2:
                raw = raw[:at] + raw[at + chance.randint(1, 40) :]
            case _:
                raw = raw[:at] + raw[at : at + 60] + raw[at:]
        raw = raw or b"\0"
    return raw


def other_arrow(path: Path, kind: str) -> Path:
    """20 documents as other writers lay them out."""
    texts = pa.array([None if "view" in kind and row == 7 else text for row, text in enumerate(TEXTS[:20])])
    runs = pa.RunEndEncodedArray.from_arrays(pa.array(range(1, 21), pa.int32()), texts)
    columns = {
        "text": texts.dictionary_encode() if kind == "dictionary" else runs if kind == "runs" else texts,
        "id": pa.array(range(20), pa.decimal128(9, 2)) if kind == "legacy file" else pa.array(range(20), pa.float64()),
        "lang": pa.array(["fr", "de"] * 10).dictionary_encode(),
    }
    if kind in ("string_view", "binary_view", "large_binary"):
        columns["text"] = texts.cast(getattr(pa, kind)())
    if kind == "lists":
        columns["langs"] = pa.array([["en", "fr"][: row % 3] or None for row in range(20)])
    table = pa.table(columns)
    options = pa.ipc.IpcWriteOptions(use_legacy_format=kind.startswith("legacy"))
    new = pa.ipc.new_stream if kind == "legacy stream" else pa.ipc.new_file
    with new(str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=5)
    return path


OTHERS = ["legacy stream", "legacy file", "dictionary", "runs", "string_view", "binary_view", "large_binary", "lists"]


@pytest.mark.parametrize("kind", [*FORMATS, *OTHERS])
def test_damaged_files_give_documents_or_a_corpus_error(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, DOCUMENTS[:20]) if kind in FORMATS else other_arrow(tmp_path / "a.arrow", kind)
    raw, chance = path.read_bytes(), random.Random(len(kind))
    failed = 0
    for number in range(INPUTS):
        path.write_bytes(mutated(raw, chance))
        whole, skipped = texts_of(path, "skip")
        assert len(whole) + skipped <= 4 * len(DOCUMENTS)
        try:
            found = texts_of(path)[0]
        except CorpusError:
            failed += 1
            assert skipped > 0
        else:
            assert (found, skipped) == (whole, 0)
        for unit in work_units(path, 400) if number % 4 == 0 else []:
            texts_of(unit, "skip")
    assert failed > 0.06 * INPUTS or kind in ("txt", "jsonl")


@pytest.mark.parametrize(
    ("kind", "damage"),
    [("txt.gz", b"\0" * 100 + b"x"), ("txt.gz", b"garbage that is no frame"),
     ("txt.zst", b"\0" * 100), ("txt.zst", b"garbage that is no frame")],
)  # fmt: skip
def test_what_follows_the_last_piece_is_an_error(tmp_path: Path, kind: str, damage: bytes) -> None:
    path = write(tmp_path, kind, DOCUMENTS)
    path.write_bytes(path.read_bytes() + damage)
    with pytest.raises(CorpusError, match=f"line {len(TEXTS) + 1}: must be readable to its end"):
        texts_of(path)
    assert texts_of(path, "skip") == (TEXTS, 1)


def test_an_arrow_stream_that_goes_on_behind_its_end_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "stream", DOCUMENTS)
    path.write_bytes(path.read_bytes() * 2)  # a reader that stops at the marker would lose half
    with pytest.raises(CorpusError, match="must end at its end marker; it goes on at byte"):
        texts_of(path)


def test_a_member_with_a_wrong_checksum_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "txt.gz", DOCUMENTS, parts=1)
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorpusError, match="must be readable to its end"):
        texts_of(path)
    assert len(text_lines(DOCUMENTS)) < documents.READ_BYTES


@pytest.mark.parametrize("kind", ["legacy file", "legacy stream", "string_view"])
def test_a_dictionary_of_negative_length_is_an_error(tmp_path: Path, kind: str) -> None:
    """Each length or size of 2 in the file becomes -2; one of them is that of the dictionary of languages."""
    path = other_arrow(tmp_path / "a.arrow", kind)
    raw, two = path.read_bytes(), (2).to_bytes(8, "little")
    said = []
    for at in range(len(raw) - 8):
        if raw[at : at + 8] == two:
            path.write_bytes(raw[:at] + (-2).to_bytes(8, "little", signed=True) + raw[at + 8 :])
            texts_of(path, "skip")
            try:
                texts_of(path)
            except CorpusError as error:
                said.append(str(error))
    assert any("negative" in message for message in said), said
