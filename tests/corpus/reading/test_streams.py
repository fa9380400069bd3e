"""Compressed files as they are found: several members, padding behind them, large windows; what is cut is an error."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest
import zstandard
from corpus_formats import bgzf, skippable, zstd

from pivotkit.corpus import Unit, read_documents, work_units
from pivotkit.corpus.reading import documents, streams
from pivotkit.errors import CorpusError

LINES = [f"line {i} é猫 " + "ab" * (i % 30) for i in range(200)]
RAW = "".join(line + "\n" for line in LINES).encode()


def texts_of(unit: Unit | Path, on_error: str = "raise") -> list[str]:
    return [text for batch in read_documents(unit, on_error) for text in batch.texts]


def put(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("zeros", [1, 2, 7, 8, 9, 10, 511, 512, 65536, 70000])
@pytest.mark.parametrize("pack", [gzip.compress, bgzf])
def test_zeros_behind_a_gzip_file_are_padding(tmp_path: Path, zeros: int, pack: object) -> None:
    half = len(RAW) // 2
    members = [pack(RAW[:half]), pack(RAW[half:])]  # type: ignore[operator]
    path = put(tmp_path / "a.txt.gz", *members, bytes(zeros))
    assert texts_of(path) == LINES
    assert [text for unit in work_units(path, 100) for text in texts_of(unit)] == LINES
    put(path, members[0], bytes(zeros), members[1])  # each file padded to blocks, then joined
    assert texts_of(path) == LINES


@pytest.mark.parametrize("size", [0, 1, 5, 256, 65536, 1 << 24])
def test_a_member_may_itself_end_in_zeros(tmp_path: Path, size: int) -> None:
    path = put(tmp_path / "a.txt.gz", gzip.compress(b"a" * (size - 1) + b"\n" if size else b""), bytes(13))
    assert [len(text) for text in texts_of(path)] == ([size - 1] if size > 1 else [])


@pytest.mark.parametrize("behind", [b"\1", b"\0\0x", b"\0" * 600 + b"\x1f\x8b\x08", b"garbage"])
def test_other_bytes_behind_a_member_are_an_error(tmp_path: Path, behind: bytes) -> None:
    path = put(tmp_path / "a.txt.gz", gzip.compress(RAW), behind)
    with pytest.raises(CorpusError, match=f"line {len(LINES) + 1}: must be readable to its end"):
        texts_of(path)
    assert texts_of(path, "skip") == LINES


@pytest.mark.parametrize("before", [b"\0", b"\0" * 512, b"x"])
def test_bytes_before_the_first_member_are_an_error(tmp_path: Path, before: bytes) -> None:
    with pytest.raises(CorpusError, match="line 1: must be readable to its end"):
        texts_of(put(tmp_path / "a.txt.gz", before, gzip.compress(RAW)))


@pytest.mark.parametrize("size", [1, 3, 40, 1000])
def test_a_file_of_small_members_is_read(tmp_path: Path, size: int) -> None:
    members = [RAW[at : at + size] for at in range(0, len(RAW), size)]
    assert texts_of(put(tmp_path / "a.txt.gz", *map(gzip.compress, members))) == LINES
    assert texts_of(put(tmp_path / "a.txt.zst", *map(zstd, members))) == LINES


@pytest.mark.parametrize("pack", ["gz", "zst"])
@pytest.mark.parametrize("read_bytes", [1, 7, 1 << 18])
def test_bytes_that_compress_well_come_whole(
    tmp_path: Path, pack: str, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "READ_BYTES", read_bytes)
    raw = b"a" * (3000 if read_bytes < 10 else 5_000_000) + b"\n"
    path = put(tmp_path / f"a.txt.{pack}", gzip.compress(raw) if pack == "gz" else zstd(raw))
    assert texts_of(path) == [raw[:-1].decode()]
    put(path, path.read_bytes()[:-1])
    with pytest.raises(CorpusError, match="Truncated"):
        texts_of(path)


@pytest.mark.parametrize("pack", ["gz", "zst"])
def test_all_before_a_wrong_byte_is_read(tmp_path: Path, pack: str) -> None:
    chance = random.Random(2)
    raw = "".join(f"{chance.getrandbits(64):x}\n" for _ in range(40000)).encode()
    whole = (
        gzip.compress(raw) if pack == "gz" else b"".join(zstd(raw[at : at + 9999]) for at in range(0, len(raw), 9999))
    )
    at = len(whole) // 2
    path = put(tmp_path / f"a.txt.{pack}", whole[:at], bytes([whole[at] ^ 0x55]), whole[at + 1 :])
    expected = raw.decode().splitlines()
    found = texts_of(path, "skip")
    same = sum(1 for _ in zip(found, expected, strict=False) if _[0] == _[1])
    assert len(expected) * 0.45 < same <= len(found)


def frame(log: int, eighths: int, data: bytes) -> bytes:
    """A zstd frame of one raw block with a window of 2^log bytes and so many eighths of that (RFC 8878, 3.1.1.1.2)."""
    return (
        b"\x28\xb5\x2f\xfd\0" + bytes([(log - 10) << 3 | eighths]) + (len(data) << 3 | 1).to_bytes(3, "little") + data
    )


@pytest.mark.parametrize(("log", "eighths"), [(27, 1), (28, 0), (28, 7), (29, 3), (31, 0)])
def test_a_window_beyond_the_usual_is_read_when_allowed(
    tmp_path: Path, log: int, eighths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = (1 << log) + (eighths << log - 3)
    path = put(
        tmp_path / "a.txt.zst", zstd(b"first\n"), skippable(b"x"), frame(log, eighths, b"second\n"), zstd(b"last\n")
    )
    with pytest.raises(CorpusError) as caught:
        texts_of(path)
    option = f"PIVOTKIT_ZSTD_WINDOW={window >> 20}MiB"
    assert f"it has a zstd window of {window} bytes, and PIVOTKIT_ZSTD_WINDOW allows 134217728; {option}" in str(
        caught.value
    )
    assert texts_of(path, "skip") == ["first"]
    monkeypatch.setenv("PIVOTKIT_ZSTD_WINDOW", option.partition("=")[2])
    assert texts_of(path) == ["first", "second", "last"]


@pytest.mark.parametrize("log", [10, 20, 27])
def test_the_usual_windows_need_no_option(tmp_path: Path, log: int) -> None:
    assert texts_of(put(tmp_path / "a.txt.zst", frame(log, 0, b"one\n"))) == ["one"]


def test_a_window_beyond_the_library_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.txt.zst", frame(32, 0, b"one\n"))
    with pytest.raises(CorpusError, match="must be readable to its end"):
        texts_of(path)
    for value, problem in (
        ("3GiB", "must be at most 2GiB"),
        ("much", "must be a positive size"),
        ("-1", "must be a pos"),
    ):
        monkeypatch.setenv("PIVOTKIT_ZSTD_WINDOW", value)
        with pytest.raises(ValueError, match=f"read_texts: PIVOTKIT_ZSTD_WINDOW {problem}"):
            streams.window_limit()
    assert "PIVOTKIT_ZSTD_WINDOW" in os.environ


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("sized", [True, False])
def test_frames_cut_within_are_an_error_with_and_without_checksum_and_size(
    tmp_path: Path, checksum: bool, sized: bool
) -> None:
    pack = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=sized)
    whole = pack.compress(RAW[:2000])
    for size in range(1, len(whole)):
        with pytest.raises(CorpusError):
            texts_of(put(tmp_path / "a.txt.zst", whole[:size]))
    assert texts_of(put(tmp_path / "a.txt.zst", whole)) == RAW[:2000].decode(errors="replace").splitlines()
