"""Token files of other tools: every document where its tool put it, and a file that is not as it should be refused."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_formats import write_datatrove, write_megatron, write_olmo

from pivotkit.corpus import TokenFiles
from pivotkit.errors import CorpusError

EOS = 9
documents = st.lists(st.lists(st.integers(0, 8), max_size=6), max_size=8)


def listed(files: TokenFiles, **options: Any) -> list[list[int]]:
    """The documents of `TokenFiles.blocks`; the parts of one that spans blocks are put together."""
    found: list[list[int]] = []
    for unit in files.work_units():
        for block in files.blocks(unit, **options):
            bounds = block.offsets.tolist()
            parts = [block.ids[begin:end].tolist() for begin, end in pairwise(bounds)]
            if block.continued:
                found[-1] += parts.pop(0)
            found += parts
    return found


def olmo(path: Path, dtype: str = "uint16", bos: int | None = None) -> TokenFiles:
    return TokenFiles(path, vocab_size=EOS + 1, dtype=dtype, eos=EOS, bos=bos)


def megatron(path: Path) -> TokenFiles:
    return TokenFiles(path, vocab_size=1000, format="megatron")


def datatrove(path: Path) -> TokenFiles:
    return TokenFiles(path, vocab_size=1000, format="datatrove")


sizes = st.sampled_from(
    [{"tokens": 1}, {"tokens": 3}, {"tokens": 1, "whole": False}, {"tokens": 3, "whole": False}, {}]
)


@given(texts=documents, rest=st.lists(st.integers(0, 8), max_size=3), size=sizes)
def test_an_olmo_document_ends_with_its_end_and_the_last_where_the_file_does(tmp_path_factory, texts, rest, size):
    path = tmp_path_factory.mktemp("olmo") / "part.npy"
    ended = [[*text, EOS] for text in texts] + ([rest] if rest else [])
    for dtype in ("uint16", "uint32"):
        assert listed(olmo(write_olmo(path, ended, dtype), dtype), **size) == ended


@given(size=sizes)
def test_an_end_that_is_also_a_beginning_counts_where_another_follows(tmp_path_factory, size):
    texts = [[9, 1, 9, 2, 9], [9, 3, 9]]
    path = write_olmo(tmp_path_factory.mktemp("olmo") / "a.npy", texts)
    assert listed(olmo(path, bos=9), **size) == texts


@given(texts=st.lists(st.lists(st.lists(st.integers(0, 200), max_size=4), max_size=3), max_size=5), size=sizes)
def test_a_megatron_document_is_its_sequences(tmp_path_factory, texts, size):
    path = tmp_path_factory.mktemp("megatron") / "part.bin"
    whole = [[token for sequence in text for token in sequence] for text in texts]
    for code, dtype in ((8, "<u2"), (4, "<i4"), (1, "u1")):
        assert listed(megatron(write_megatron(path, texts, code, dtype)), **size) == whole


@given(texts=documents, size=sizes)
def test_a_datatrove_document_ends_where_its_index_says(tmp_path_factory, texts, size):
    path = write_datatrove(tmp_path_factory.mktemp("datatrove") / "part.ds", texts)
    assert listed(datatrove(path), **size) == texts


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("format", ["olmo", "megatron", "datatrove"])
def test_a_block_has_about_the_ids_asked_for_and_whole_documents_if_asked(tmp_path, format, whole):
    texts = [[1, EOS], [2, EOS], [*range(9), EOS], [3, EOS], [EOS]]
    files = {
        "olmo": lambda: olmo(write_olmo(tmp_path / "a.npy", texts)),
        "megatron": lambda: megatron(write_megatron(tmp_path / "a.bin", [[text] for text in texts])),
        "datatrove": lambda: datatrove(write_datatrove(tmp_path / "a.ds", texts)),
    }[format]()
    blocks = list(files.blocks(files.work_units()[0], tokens=4, whole=whole))
    assert [token for block in blocks for token in block.ids.tolist()] == [token for text in texts for token in text]
    assert [block.first for block in blocks] == [sum(len(b.ids) for b in blocks[:i]) for i in range(len(blocks))]
    assert max(len(block.ids) for block in blocks) <= (
        20 if whole else 5
    )  # twice the longest document, or 4 and one more
    assert any(block.continued for block in blocks) != whole


def test_a_file_that_ends_within_an_id_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"12345")
    with pytest.raises(CorpusError, match=r"a.npy, byte 4: must hold whole ids of uint16; got a part of one"):
        listed(olmo(path))


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
        listed(megatron(path))


def test_a_megatron_file_cut_short_is_refused(tmp_path):
    path = write_megatron(tmp_path / "a.bin", [[[1, 2], [3]], [[4, 5, 6]]])
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CorpusError, match=r"must lay its sequences one behind another over a.bin, 5 ids"):
        listed(megatron(path))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-3], "a.ds.index, byte 8: must hold ends of 8 bytes; got a part of one"),
        (lambda raw: raw[:-8], "a.ds.index: must hold ends that rise to 3, the ids of a.ds; got others"),
        (lambda raw: raw[8:] + raw[:8], "must hold ends that rise to 3"),
        (lambda raw: struct.pack("<3Q", 1 << 62, (1 << 63) + (1 << 61), 3), "must hold ends that rise to 3"),  # by 2^62
    ],
)
def test_a_damaged_datatrove_index_is_refused_by_name(tmp_path, damage, message):
    path = write_datatrove(tmp_path / "a.ds", [[1, 2], [3]])
    index = path.with_name("a.ds.index")
    index.write_bytes(damage(index.read_bytes()))
    with pytest.raises(CorpusError, match=message):
        listed(datatrove(path))


def test_bounds_whose_differences_overflow_are_refused(tmp_path):
    path = write_megatron(tmp_path / "a.bin", [[[1]], [[2]], [[3]]])
    index = path.with_suffix(".idx")
    raw = index.read_bytes()
    index.write_bytes(raw[:-24] + struct.pack("<2q", 1 << 62, -(3 << 61)) + raw[-8:])
    with pytest.raises(CorpusError, match="must bound documents by sequences from 0 to 3, in order"):
        listed(megatron(path))


def test_a_missing_index_is_named(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    (tmp_path / "a.ds").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"a.idx: must lie beside its token file; found none"):
        listed(megatron(tmp_path / "a.bin"))
    with pytest.raises(CorpusError, match=r"a.ds.index: must lie beside its token file; found none"):
        listed(datatrove(tmp_path / "a.ds"))
