"""Parquet and Arrow as other writers make them: encodings, layouts and types of text, checksums of pages."""

from __future__ import annotations

import base64
import zlib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_formats import write_columns

from pivotkit.corpus import read_documents, read_texts, work_units
from pivotkit.errors import CorpusError

DOCUMENTS = [{"text": f"text {i} é猫" * (i % 9), "id": f"d{i}", "lang": ["fr", "de"][i % 2]} for i in range(60)]
TEXTS = [document["text"] for document in DOCUMENTS]

# What write_ipc of polars 2.1 makes of two rows. Behind the magic is no message of a stream.
POLARS = """c-qxeJ5Iwu5PeIwFkvN3aN#lspn#5&oB$~ev<93IDRL1RiPA^m033pnl5-$vs3?%koAoS;R<iguJj**f|MB|Slj-#M<N&Y$UfQ<JAbZ1gh%F>sEnaDNv?RR5JK%cCdmmli4gEP~>SF*SMbs|-Wl_yVzwe0?`v&FW0(jznkNYw2Tw_v<*eAt~&vHKJ&DXZRe_dYJP|)0_rkhJ@HKwy?I=REHuji;eYG1*v&Lz*C(dVdbq93`+BbD1Kn<%b{;_p<3zA#aOiR!Cv*FpyC`Ek7-Js^qZ{VJ}i@%iPVtd=EZQRAmDpUl^X;tYR+(AR!5Z?>APe$!WY8Ttw@g*S&EycAZC$T-XQ<NO&t1m5U@H4#t##W(rP&BXs;-T_f?ZA}"""


def texts_of(unit: object, on_error: str = "raise") -> list[str]:
    return [text for batch in read_documents(unit, on_error) for text in batch.texts]  # type: ignore[arg-type]


def write_ipc(path: Path, table: pa.Table, layout: str, rows: int = 12, **options: object) -> Path:
    new = pa.ipc.new_stream if layout == "stream" else pa.ipc.new_file
    with new(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


@pytest.mark.parametrize(("version", "compression"), [("V4", None), ("V5", None), ("V5", "lz4"), ("V5", "zstd")])
@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("layout", ["file", "stream"])
def test_every_encoding_of_arrow_is_read_whole_and_in_units(
    tmp_path: Path, layout: str, legacy: bool, compression: str | None, version: str
) -> None:
    options = {
        "use_legacy_format": legacy,
        "compression": compression,
        "metadata_version": pa.ipc.MetadataVersion[version],
    }
    path = write_ipc(tmp_path / "a.arrow", pa.Table.from_pylist(DOCUMENTS), layout, **options)
    assert texts_of(path) == TEXTS
    units = work_units(path, 1)
    assert len(units) == 5
    assert [text for unit in units for text in texts_of(unit)] == TEXTS
    raw = path.read_bytes()
    for size in (1, 9, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises(CorpusError, match=r"a\.arrow"):
            texts_of(path)


def test_a_file_of_polars_is_read_by_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "two_rows.arrow"
    path.write_bytes(zlib.decompress(base64.b85decode(POLARS)))
    (batch,) = read_documents(path)
    assert (batch.texts, batch.ids, batch.langs) == (["un chien", "le chat"], ["a", "b"], ["fr", "fr"])


@pytest.mark.parametrize(
    "head", [b"\x04\0\0\0\xf2\xff\xff\xff", bytes(8), b"\xff" * 8, b"\xff\xff\xff\xff\0\0\0\0", b"ARROW1\0\0"]
)
def test_nothing_but_the_footer_decides_where_a_file_has_its_batches(tmp_path: Path, head: bytes) -> None:
    path = write_columns(tmp_path / "a.arrow", DOCUMENTS, 12, "file")
    raw = path.read_bytes()
    path.write_bytes(raw[:8] + head + raw[16:])
    assert texts_of(path) == TEXTS
    assert [text for unit in work_units(path, 1) for text in texts_of(unit)] == TEXTS


def views(values: list[str | None]) -> list[pa.Array]:
    strings = pa.array(values, pa.string())
    raw = [None if value is None else value.encode() for value in values]
    return [
        strings,
        strings.cast(pa.large_string()),
        pa.array(values, pa.string_view()),
        strings.dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array(range(len(values)), pa.int8()), strings.cast(pa.large_string())),
        pa.RunEndEncodedArray.from_arrays(pa.array(range(1, len(values) + 1), pa.int32()), strings),
        pa.array(raw, pa.binary()),
        pa.array(raw, pa.large_binary()),
        pa.array(raw, pa.binary_view()),
        pa.array(raw, pa.binary()).dictionary_encode(),
    ]


VALUES: list[str | None] = ["a", "é猫 a long one, longer than a view holds", "", "a", "z\0z"]
COLUMNS = {str(column.type): column for column in views(VALUES)}


@pytest.mark.parametrize("layout", ["file", "stream"])
@pytest.mark.parametrize("kind", COLUMNS)
def test_text_may_be_in_any_layout_of_strings(tmp_path: Path, kind: str, layout: str) -> None:
    table = pa.table({"text": COLUMNS[kind], "lang": pa.array(["fr"] * 5).dictionary_encode()})
    path = write_ipc(tmp_path / "a.arrow", table, layout, rows=3)
    blocks = list(read_texts(path))
    assert [text for block in blocks for text in block.texts()] == VALUES
    assert [lang for block in blocks for lang in block.langs.to_pylist()] == ["fr"] * 5
    assert [text for unit in work_units(path, 1) for text in texts_of(unit)] == VALUES


@pytest.mark.parametrize("kind", [kind for kind in COLUMNS if not kind.startswith("run_end") and "view" not in kind])
def test_parquet_gives_them_too(tmp_path: Path, kind: str) -> None:
    pq.write_table(pa.table({"text": COLUMNS[kind], "id": range(5)}), tmp_path / "a.parquet", row_group_size=2)
    assert texts_of(tmp_path / "a.parquet") == VALUES


@pytest.mark.parametrize("column", views(["a", None, "b"]), ids=lambda column: str(column.type))
def test_a_missing_text_is_named_in_any_layout(tmp_path: Path, column: pa.Array) -> None:
    path = write_ipc(tmp_path / "a.arrow", pa.table({"text": column}), "file")
    with pytest.raises(CorpusError, match='row 1: must have a string "text"; got NoneType'):
        texts_of(path)
    assert texts_of(path, "skip") == ["a", "b"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
@pytest.mark.parametrize("packed", [False, True])
def test_bytes_that_are_no_utf8_are_named(tmp_path: Path, kind: pa.DataType, packed: bool) -> None:
    column = pa.array([b"a", b"\xff\xfe", b"c"], kind)
    if packed:
        column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), column.cast(pa.binary()))
    path = write_ipc(tmp_path / "a.arrow", pa.table({"text": column}), "stream")
    with pytest.raises(CorpusError, match="row 1: must be an Arrow file of UTF-8 text; got other bytes"):
        texts_of(path)
    assert texts_of(path, "skip") == ["a", "c"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2]),
        pa.array([["a"], ["b"]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([b"ab", b"cd"], pa.binary(2)),
        pa.array([1, 2]).dictionary_encode(),
        pa.nulls(2),
    ],
    ids=lambda column: str(column.type),
)
def test_text_of_another_type_is_refused_by_name(tmp_path: Path, column: pa.Array) -> None:
    path = write_ipc(tmp_path / "a.arrow", pa.table({"text": column}), "stream")
    with pytest.raises(CorpusError, match='must have a string column "text"; got'):
        texts_of(path)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1.5, None, -2.25]), ["1.5", "a.arrow:2", "-2.25"]),
        (pa.array([0.5, None, 3e300], pa.float32().to_pandas_dtype() and pa.float64()), ["0.5", "a.arrow:2", "3e+300"]),
        (pa.array([Decimal("1.50"), None, Decimal("9")], pa.decimal128(5, 2)), ["1.50", "a.arrow:2", "9.00"]),
        (pa.array([2**63, None, 0], pa.uint64()), ["9223372036854775808", "a.arrow:2", "0"]),
        (pa.array(["x", None, "y"], pa.string_view()), ["x", "a.arrow:2", "y"]),
    ],
)
def test_ids_may_be_strings_or_numbers(tmp_path: Path, column: pa.Array, expected: list[str]) -> None:
    path = write_ipc(tmp_path / "a.arrow", pa.table({"text": ["a", "b", "c"], "id": column}), "file")
    assert [name for batch in read_documents(path) for name in batch.ids] == expected


def test_an_id_that_is_no_number_is_refused(tmp_path: Path) -> None:
    column = pa.array([1.5, float("nan"), float("-inf")])
    path = write_ipc(tmp_path / "a.arrow", pa.table({"text": ["a", "b", "c"], "id": column}), "file")
    with pytest.raises(CorpusError, match='row 1: must have a string or number "id"; got nan'):
        texts_of(path)
    assert texts_of(path, "skip") == ["a"]


def test_a_place_beyond_a_dictionary_is_refused(tmp_path: Path) -> None:
    for places in ([0, 1, 9], [0, -1, 1]):
        broken = pa.DictionaryArray.from_arrays(pa.array(places, pa.int8()), pa.array(["a", "b"]), safe=False)
        path = write_ipc(tmp_path / "a.arrow", pa.table({"text": broken}), "stream")
        with pytest.raises(CorpusError, match="must be an Arrow file of UTF-8 text"):
            texts_of(path)
        assert texts_of(path, "skip") == []


@pytest.mark.parametrize("name", ["text", "id", "lang"])
def test_rows_of_a_broken_value_of_a_dictionary_are_named_or_skipped_alone(tmp_path: Path, name: str) -> None:
    offsets, data = pa.py_buffer(np.array([0, 1, 3, 4], np.int32)), pa.py_buffer(b"a\xff\xfec")
    values = pa.Array.from_buffers(pa.string(), 3, [None, offsets, data])
    broken = pa.DictionaryArray.from_arrays(pa.array([2, 1, 0, 1, 2], pa.int8()), values)
    columns = {"text": ["1", "2", "3", "4", "5"], "id": ["x"] * 5, "lang": ["fr"] * 5} | {name: broken}
    path = write_ipc(tmp_path / "a.arrow", pa.table(columns), "file")
    with pytest.raises(CorpusError, match="row 1: must be an Arrow file of UTF-8 text; got other bytes"):
        texts_of(path)
    (batch,) = read_documents(path, "skip")
    assert (batch.rows, batch.skipped) == ([0, 2, 4], 2)
    assert {"text": batch.texts, "id": batch.ids, "lang": batch.langs}[name] == ["c", "a", "c"]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_checksums_of_parquet_pages_are_verified(
    tmp_path: Path, compression: str, version: str, dictionary: bool
) -> None:
    path, raw = tmp_path / "a.parquet", {}
    for checked in (True, False):
        pq.write_table(
            pa.table({"text": TEXTS}), path, row_group_size=30, write_page_checksum=checked, write_statistics=False, compression=compression,
            data_page_version=version, use_dictionary=dictionary,
        )  # fmt: skip
        assert texts_of(path) == TEXTS
        raw[checked] = path.read_bytes()
    path.write_bytes(raw[True])
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    begin = chunk.dictionary_page_offset if dictionary else chunk.data_page_offset
    last = begin + chunk.total_compressed_size - 1
    path.write_bytes(raw[True][:last] + bytes([raw[True][last] ^ 1]) + raw[True][last + 1 :])
    with pytest.raises(CorpusError, match="CRC"):
        texts_of(path)
    assert texts_of(path, "skip") == TEXTS[:30]


def test_letters_changed_in_a_page_without_checksum_cannot_be_seen(tmp_path: Path) -> None:
    """What the checksum is for: the same damage gives another text in silence where the writer left it out."""
    path = tmp_path / "a.parquet"
    for checked in (False, True):
        pq.write_table(pa.table({"text": ["abcdef"]}), path, compression="none", write_page_checksum=checked, write_statistics=False,
                       use_dictionary=False)  # fmt: skip
        raw = path.read_bytes()
        at = raw.index(b"abcdef")
        path.write_bytes(raw[:at] + b"X" + raw[at + 1 :])
        if checked:
            with pytest.raises(CorpusError, match="CRC"):
                texts_of(path)
        else:
            assert texts_of(path) == ["Xbcdef"]


def test_rows_are_where_the_file_has_them(tmp_path: Path) -> None:
    path = write_ipc(tmp_path / "a.arrow", pa.Table.from_pylist(DOCUMENTS), "file", use_legacy_format=True)
    rows = np.concatenate([block.rows for unit in work_units(path, 1) for block in read_texts(unit)])
    assert rows.tolist() == list(range(12)) * 5
