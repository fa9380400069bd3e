"""Token files of other tools: every document where its tool put it, and a file that is not as it should be refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.corpus.reading import token_formats
from pivotkit.corpus.reading.token_formats import open_datatrove, open_megatron, open_olmo
from pivotkit.errors import CorpusError

EOS = 9
documents = st.lists(st.lists(st.integers(0, 8), max_size=6), max_size=8)


def listed(file: Any) -> list[list[int]]:
    assert len(file) == len(file.offsets) - 1
    return [document.tolist() for document in file.documents()]


def write_olmo(path: Path, texts: list[list[int]], dtype: str = "<u2") -> Path:
    np.array([token for text in texts for token in text], dtype).tofile(path)
    return path


def write_megatron(path: Path, texts: list[list[list[int]]], code: int = 8, dtype: str = "<u2") -> Path:
    """``texts`` are documents of sequences of ids."""
    sequences = [sequence for text in texts for sequence in text]
    np.array([token for sequence in sequences for token in sequence], dtype).tofile(path)
    lengths = np.array([len(sequence) for sequence in sequences], "<i4")
    pointers = (np.cumsum(lengths) - lengths) * np.dtype(dtype).itemsize
    bounds = np.cumsum([0, *map(len, texts)])
    path.with_suffix(".idx").write_bytes(
        b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(sequences), len(bounds))
        + lengths.tobytes() + pointers.astype("<i8").tobytes() + bounds.astype("<i8").tobytes()
    )  # fmt: skip
    return path


def write_datatrove(path: Path, texts: list[list[int]]) -> Path:
    write_olmo(path, texts)
    np.cumsum([len(text) for text in texts]).astype("<u8").tofile(path.with_name(path.name + ".index"))
    return path


@given(texts=documents, rest=st.lists(st.integers(0, 8), max_size=3), scan=st.sampled_from([1, 3, 1 << 24]))
def test_an_olmo_document_ends_with_its_end_and_the_last_where_the_file_does(tmp_path_factory, texts, rest, scan):
    path = tmp_path_factory.mktemp("olmo") / "part.npy"
    ended = [[*text, EOS] for text in texts] + ([rest] if rest else [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_formats, "SCAN", scan)
        for dtype in ("uint16", "uint32"):
            assert listed(open_olmo(write_olmo(path, ended, dtype), dtype=dtype, eos=EOS)) == ended


@pytest.mark.parametrize("scan", [1, 2, 1 << 24])
def test_an_end_that_is_also_a_beginning_counts_where_another_follows(tmp_path, monkeypatch, scan):
    monkeypatch.setattr(token_formats, "SCAN", scan)
    texts = [[9, 1, 9, 2, 9], [9, 3, 9]]
    assert listed(open_olmo(write_olmo(tmp_path / "a.npy", texts), dtype="uint16", eos=9, bos=9)) == texts


@given(texts=st.lists(st.lists(st.lists(st.integers(0, 200), max_size=4), max_size=3), max_size=5))
def test_a_megatron_document_is_its_sequences(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("megatron") / "part.bin"
    whole = [[token for sequence in text for token in sequence] for text in texts]
    for code, dtype in ((8, "<u2"), (4, "<i4"), (1, "u1")):
        assert listed(open_megatron(write_megatron(path, texts, code, dtype))) == whole


@given(texts=documents)
def test_a_datatrove_document_ends_where_its_index_says(tmp_path_factory, texts):
    path = write_datatrove(tmp_path_factory.mktemp("datatrove") / "part.ds", texts)
    assert listed(open_datatrove(path, dtype="uint16")) == texts


def test_ids_are_mapped_and_not_copied(tmp_path):
    file = open_olmo(write_olmo(tmp_path / "a.npy", [[1, EOS], [2, EOS]]), dtype="uint16", eos=EOS)
    assert isinstance(file.ids, np.memmap)
    assert all(np.shares_memory(document, file.ids) for document in file.documents())
    with pytest.raises(ValueError, match="read-only"):
        file.ids[0] = 3


@pytest.mark.parametrize("open_file", [open_olmo, open_datatrove])
def test_another_type_is_refused(tmp_path, open_file):
    more = {"eos": 0} if open_file is open_olmo else {}
    with pytest.raises(ValueError, match=f"{open_file.__name__}: dtype must be one of uint16, uint32; got 'float32'"):
        open_file(tmp_path / "a.npy", dtype="float32", **more)


def test_a_file_that_ends_within_an_id_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"12345")
    with pytest.raises(CorpusError, match=r"a.npy, byte 4: must hold whole ids of uint16; got a part of one"):
        open_olmo(path, dtype="uint16", eos=0)


def changed(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: changed(raw, 0, b"X"), "byte 0: must be a Megatron index of version 1; got"),
        (lambda raw: changed(raw, 9, b"\2"), "byte 0: must be a Megatron index of version 1; got"),
        (lambda raw: raw[:20], "byte 0: must be a Megatron index of version 1; got"),
        (lambda raw: changed(raw, 17, b"\6"), "byte 17: must name a type of ids, 1, 3, 4, 5, 8; got 6"),
        (lambda raw: raw[:-1], "must hold 3 sequences and 3 bounds, 94 bytes; got 93"),
        (lambda raw: raw + b"0", "must hold 3 sequences and 3 bounds, 94 bytes; got 95"),
        (lambda raw: changed(raw, 34, b"\1"), "must lay its sequences one behind another over a.bin, 6 ids"),
        (lambda raw: changed(raw, 46 + 8, b"\0"), "must lay its sequences one behind another over a.bin, 6 ids"),
        (lambda raw: changed(raw, 70, b"\1"), "must bound documents by sequences from 0 to 3, in order"),
        (lambda raw: changed(raw, 86, b"\2"), "must bound documents by sequences from 0 to 3, in order"),
    ],
)
def test_a_damaged_megatron_index_is_refused_by_name(tmp_path, damage, message):
    path = write_megatron(tmp_path / "a.bin", [[[1, 2], [3]], [[4, 5, 6]]])
    index = path.with_suffix(".idx")
    index.write_bytes(damage(index.read_bytes()))
    with pytest.raises(CorpusError, match=f"a.idx.*{message}"):
        open_megatron(path)


def test_a_megatron_file_cut_short_is_refused(tmp_path):
    path = write_megatron(tmp_path / "a.bin", [[[1, 2], [3]], [[4, 5, 6]]])
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CorpusError, match=r"must lay its sequences one behind another over a.bin, 5 ids"):
        open_megatron(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-3], "a.ds.index, byte 8: must hold ends of 8 bytes; got a part of one"),
        (lambda raw: raw[:-8], "a.ds.index: must hold ends that rise to 3, the ids of a.ds; got others"),
        (lambda raw: raw[8:] + raw[:8], "must hold ends that rise to 3"),
    ],
)
def test_a_damaged_datatrove_index_is_refused_by_name(tmp_path, damage, message):
    path = write_datatrove(tmp_path / "a.ds", [[1, 2], [3]])
    index = path.with_name("a.ds.index")
    index.write_bytes(damage(index.read_bytes()))
    with pytest.raises(CorpusError, match=message):
        open_datatrove(path, dtype="uint16")


def test_a_missing_index_is_named(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"a.idx: must lie beside its token file; found none"):
        open_megatron(tmp_path / "a.bin")
    with pytest.raises(CorpusError, match=r"a.bin.index: must lie beside its token file; found none"):
        open_datatrove(tmp_path / "a.bin", dtype="uint16")
