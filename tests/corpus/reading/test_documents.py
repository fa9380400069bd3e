"""Reading documents: strict, streaming, from every format."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pivotkit.corpus.reading import documents
from pivotkit.corpus.reading.documents import Unit, corpus_files, read_documents, work_units
from pivotkit.errors import CorpusError, CorpusWarning

LINES = [{"text": f"text {i} é猫", "id": f"d{i}", "lang": "fr"} for i in range(5000)]
RAW = "".join(json.dumps(line, ensure_ascii=i % 2 == 0) + "\n" for i, line in enumerate(LINES)).encode()


def flat(path: Path, on_error: str = "raise") -> tuple[list[tuple[Any, ...]], int]:
    rows: list[tuple[Any, ...]] = []
    skipped = 0
    for batch in read_documents(path, on_error):
        rows += zip(batch.rows, batch.ids, batch.texts, batch.langs, strict=True)
        skipped += batch.skipped
    return rows, skipped


def put(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_every_format_gives_the_same_documents(
    tmp_path: Path, suffix: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "READ_BYTES", chunk)
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(LINES), path, row_group_size=700)
    else:
        half = len(RAW) // 2  # two members or frames, parted inside a line
        pack = {"jsonl": bytes, "jsonl.gz": gzip.compress, "jsonl.zst": zstandard.ZstdCompressor().compress}[suffix]
        put(path, pack(RAW[:half]) + pack(RAW[half:]))
    rows, skipped = flat(path)
    assert skipped == 0
    assert rows == [(i, line["id"], line["text"], "fr") for i, line in enumerate(LINES)]


def test_what_may_be_absent_gets_its_default(tmp_path: Path) -> None:
    lines = [
        '{"text":"a"}',
        '{"text":"","id":7,"lang":"  "}',
        '{"text":"c","id":null,"lang":null}',
        '{"text":"d","lang":"Unknown"}',
    ]
    path = put(tmp_path / "a.jsonl", "\r\n".join(lines).encode())  # no newline at the end
    rows, _ = flat(path)
    assert rows == [
        (0, "a.jsonl:1", "a", "und"),
        (1, "7", "", "und"),
        (2, "a.jsonl:3", "c", "und"),
        (3, "a.jsonl:4", "d", "und"),
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"score": float("nan")},
        {"ppl": float("inf"), "low": float("-inf")},
        {"title": "\ud83d"},
        {"\udc00": {"deep": ["\ude00\ud83d", float("nan")]}},
        {"n": 10**5000},
        {"n": [-(10**400), 1e308, 5e-324]},
        {"a": {"text": 1, "id": [], "lang": {}}},
        {"語": "zh", 'x"y': None},
    ],
)
def test_what_other_fields_hold_does_not_cost_the_document(tmp_path: Path, record: dict[str, Any]) -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        lines = [json.dumps(part) + "\n" for part in ({"text": "a"} | record, record | {"text": "b", "id": 1})]
    finally:
        sys.set_int_max_str_digits(limit)
    path = put(tmp_path / "a.jsonl", "".join(lines).encode())
    assert flat(path) == ([(0, "a.jsonl:1", "a", "und"), (1, "1", "b", "und")], 0)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("7", "7"), ("-7", "-7"), ("0", "0"), ("-0", "0"), ("1.0", "1.0"), ("-0.0", "-0.0"), ("1e5", "1e5"),
        ("12E-3", "12E-3"), ("1e999", "1e999"), ("9" * 30, "9" * 30), ("0.1000", "0.1000"), ('"1.0"', "1.0"),
    ],
)  # fmt: skip
def test_an_id_is_a_number_as_it_is_written(tmp_path: Path, written: str, expected: str) -> None:
    rows, _ = flat(put(tmp_path / "a.jsonl", f'{{"id":{written},"text":"a"}}'.encode()))
    assert rows == [(0, expected, "a", "und")]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("unit_bytes", [None, 5])
def test_a_byte_order_mark_at_the_start_is_passed_over(tmp_path: Path, pack: Any, unit_bytes: int | None) -> None:
    suffix = {"bytes": "", "compress": ".gz"}.get(pack.__name__, ".zst") if pack is not bytes else ""
    suffix = ".zst" if pack not in (bytes, gzip.compress) else suffix
    mark = b"\xef\xbb\xbf"
    for name, raw, expected in (
        ("a.jsonl", mark + b'{"text":"a"}\r\n' + mark + b'{"text":"b"}\n', ["a", "b"]),  # of two files joined, too
        ("b.txt", mark + b"a\nb\n", ["a", "b"]),
        ("c.txt", mark, []),
        ("d.txt", mark + b"\n" + mark + b"b", ["\ufeffb"]),
        ("e.txt", mark + mark + b"a", ["\ufeffa"]),
    ):
        units = work_units(put(tmp_path / (name + suffix), pack(raw)), unit_bytes)
        assert [text for unit in units for batch in read_documents(unit) for text in batch.texts] == expected


def test_an_empty_file_holds_no_documents(tmp_path: Path) -> None:
    assert flat(put(tmp_path / "a.jsonl", b"")) == ([], 0)


BAD_LINES = [
    (b"{", "must be a JSON object"),
    (b"", "must be a JSON object"),
    (b"[1]", "must be a JSON object; got list"),
    (b'"text"', "must be a JSON object; got str"),
    (b"{}", 'must have a string "text"; got none'),
    (b'{"text": 3}', 'must have a string "text"; got int'),
    (b'{"text": null}', 'must have a string "text"; got NoneType'),
    (b'{"text": "\xff"}', "must be a JSON object"),
    (b'{"text": "\\ud800"}', "must be a JSON object"),
    (b'{"text": "a", "id": [1.5]}', 'must have a string or number "id"; got list'),
    (b'{"text": "a", "id": true}', 'must have a string or number "id"; got bool'),
    (b'{"text": "a", "id": NaN}', 'must have a string or number "id"; got nan'),
    (b'{"text": "a", "id": "\\ud800"}', 'with a "id" of characters; got the lone surrogate U\\+D800'),
    (b'{"text": 1.5}', 'must have a string "text"; got float'),
    (b'{"text": "a", "lang": 1}', 'must have a string or a list of strings "lang"; got int'),
    (b'{"text": "a"} x', "must be a JSON object"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_is_named_or_skipped_and_counted(tmp_path: Path, line: bytes, message: str) -> None:
    path = put(tmp_path / "a.jsonl", b'{"text":"one"}\n' + line + b'\n{"text":"three"}\n')
    with pytest.raises(CorpusError, match=message) as caught:
        flat(path)
    assert caught.value.place == "line 2"
    assert caught.value.path == str(path)
    rows, skipped = flat(path, "skip")
    assert ([(row, text) for row, _, text, _ in rows], skipped) == ([(0, "one"), (2, "three")], 1)


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9999])
@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_truncated_stream_is_named_or_counted(tmp_path: Path, suffix: str, kept: float) -> None:
    raw = gzip.compress(RAW) if suffix == "gz" else zstandard.ZstdCompressor().compress(RAW)
    path = put(tmp_path / f"a.jsonl.{suffix}", raw[: int(len(raw) * kept)])
    with pytest.raises(CorpusError, match=r"byte 0: must be a|must be readable to its end; Truncated"):
        flat(path)
    rows, skipped = flat(path, "skip")
    assert skipped == 1
    assert rows == [(i, line["id"], line["text"], "fr") for i, line in enumerate(LINES[: len(rows)])]


def test_a_plain_file_cut_inside_its_last_line_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", RAW[:-9])
    with pytest.raises(CorpusError, match=f"line {len(LINES)}: must be a JSON object"):
        flat(path)


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_a_file_of_another_format_is_named(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / f"a.{suffix}", RAW)
    with pytest.raises(CorpusError, match=str(path)):
        flat(path)
    assert flat(path, "skip") == ([], 1)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LONGEST_LINE", 1000)
    monkeypatch.setattr(documents, "READ_BYTES", 100)
    with pytest.raises(CorpusError, match="line 1: must be at most 1000 bytes"):
        flat(put(tmp_path / "a.jsonl", b" " * 5000))


def test_parquet_needs_a_text_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match='must have a string column "text"; got none'):
        flat(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": [1]}), tmp_path / "b.parquet")
    with pytest.raises(CorpusError, match='must have a string column "text"; got int64'):
        flat(tmp_path / "b.parquet")


def test_parquet_rows_are_named_or_skipped(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None, "c"], "id": [1, 2, 3]}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match='row 1: must have a string "text"'):
        flat(tmp_path / "a.parquet")
    rows, skipped = flat(tmp_path / "a.parquet", "skip")
    assert (rows, skipped) == ([(0, "1", "a", "und"), (2, "3", "c", "und")], 1)


def test_parquet_with_broken_utf8_is_named(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    pq.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match="row 0: must be a Parquet file of UTF-8 text"):
        flat(tmp_path / "a.parquet")


def test_on_error_has_two_values(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'skip'; got 'ignore'"):
        read_documents(tmp_path / "a.jsonl", "ignore")


def test_files_are_sorted_and_listed_once(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl.zst", "sub/c.parquet", "notes.md", "x[1].jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.warns(CorpusWarning, match=r"1 of \.md \(notes\.md\)"):
        names = [file.name for file in corpus_files(tmp_path)]
    assert names == ["a.jsonl.zst", "b.jsonl", "c.parquet", "x[1].jsonl"]
    both = corpus_files([tmp_path / "b.jsonl", str(tmp_path / "*.jsonl"), tmp_path / "x[1].jsonl"])
    assert [file.name for file in both] == ["b.jsonl", "x[1].jsonl"]


def test_files_that_are_no_corpus_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").touch()
    with pytest.raises(CorpusError, match="must match at least one file; found none"):
        corpus_files(tmp_path / "*.jsonl")
    with pytest.raises(CorpusError, match="must match at least one file; found none"):
        corpus_files(tmp_path)
    with pytest.raises(CorpusError, match=r"must end in one of .*; got 'notes.md'"):
        corpus_files(tmp_path / "notes.md")
    with pytest.raises(CorpusError, match="must name at least one file; got none"):
        corpus_files([])
    with pytest.raises(TypeError, match="must hold paths; got int"):
        corpus_files([3])  # type: ignore[list-item]


def test_a_file_that_changes_is_another_unit(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", b'{"text":"a"}\n')
    before = Unit.of(path)
    assert [before.name] == [unit.name for unit in work_units(path)]
    put(path, b'{"text":"ab"}\n')
    assert Unit.of(path).name != before.name
