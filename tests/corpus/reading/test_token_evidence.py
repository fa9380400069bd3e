"""Token files that are not what the caller says: headers, other widths, another end of documents, a changed index."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from token_formats import write_datatrove, write_megatron, write_olmo
from tokenizers import Tokenizer, models

from pivotkit.corpus import TokenFiles, TokenWatchList, count
from pivotkit.corpus.reading import token_files
from pivotkit.corpus.reading.scope import Scope
from pivotkit.errors import CorpusError, CorpusWarning

INPUTS = int(os.environ.get("PIVOTKIT_FUZZ", "1000"))  # damaged files of each format


def documents_of(files: TokenFiles) -> list[list[int]]:
    return [
        block.ids[begin:end].tolist()
        for unit in files.work_units()
        for block in files.blocks(unit)
        for begin, end in zip(block.offsets, block.offsets[1:], strict=False)
    ]


def text(documents: int, vocab_size: int, eos: int, seed: int = 1) -> list[list[int]]:
    """Documents of ids that are spread as words are."""
    rng = np.random.default_rng(seed)
    return [[*np.minimum(rng.zipf(1.3, rng.integers(1, 90)), vocab_size - 2).tolist(), eos] for _ in range(documents)]


@pytest.mark.parametrize("dtype", ["<u2", "<u4", "<i8", ">u2", "<f4", "u1"])
@pytest.mark.parametrize("shape", [(7,), (1,), (0,), (2, 3)])
def test_a_file_of_numpy_save_is_refused_by_name(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape, dtype))
    for said in ("uint16", "uint32"):
        files = TokenFiles(tmp_path / "a.npy", vocab_size=50000, eos=0, dtype=said)
        for scope in (Scope("document"), Scope("instance", 2)):
            rule = rf"a\.npy, byte 0: must hold {said} ids without a header; got a file of numpy\.save .*astype\('{said}'\)"
            with pytest.raises(CorpusError, match=rule):
                files.work_units(None, scope)


def test_what_the_message_says_makes_a_file_that_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, 2, 0, 3, 0]))
    np.load(tmp_path / "a.npy").astype("uint16").tofile(tmp_path / "b.npy")
    assert documents_of(TokenFiles(tmp_path / "b.npy", vocab_size=4, eos=0)) == [[1, 2, 0], [3, 0]]


WIDER = [
    ("uint16", "<u4", "uint32"),
    ("uint16", "<i4", "uint32"),
    ("uint16", "<i8", "uint64"),
    ("uint32", "<i8", "uint64"),
]


@pytest.mark.parametrize(("vocab_size", "eos"), [(50280, 50279), (50000, 0), (50000, 2), (65536, 1), (128256, 1)])
@pytest.mark.parametrize("documents", [1, 3, 500])
@pytest.mark.parametrize(("said", "real", "named"), WIDER)
def test_ids_of_a_wider_type_are_refused(
    tmp_path: Path, said: str, real: str, named: str, documents: int, vocab_size: int, eos: int
) -> None:
    texts = text(documents, vocab_size, eos) if documents > 1 else [[5, 7, 9, 11, 1000, 13, 6, eos]]
    path = write_olmo(tmp_path / "a.npy", texts, real)
    files = TokenFiles(path, vocab_size=vocab_size, eos=eos, dtype=said)
    for scope in (Scope("document"), Scope("instance", 8)):
        with pytest.raises(CorpusError, match=f"byte 0: must hold ids of {said}; got ids that look like {named}"):
            files.work_units(None, scope)


def test_a_message_of_width_says_what_to_try(tmp_path: Path) -> None:
    path = write_olmo(tmp_path / "a.npy", text(20, 50280, 50279), "<u4")
    with pytest.raises(CorpusError, match=r"look like uint32: .* \(try dtype='uint32'\)"):
        TokenFiles(path, vocab_size=50280, eos=50279).work_units()
    assert documents_of(TokenFiles(path, vocab_size=50280, eos=50279, dtype="uint32")) == text(20, 50280, 50279)
    np.fromfile(path, "uint32").astype("uint64").tofile(path)
    with pytest.raises(
        CorpusError, match=r"look like uint64: .* \(numpy.fromfile\(path, 'uint64'\).astype\('uint32'\)"
    ):
        TokenFiles(path, vocab_size=50280, eos=50279).work_units()


@pytest.mark.parametrize("vocab_size", [50280, 128256])
def test_ids_of_a_narrower_type_are_refused_where_they_leave_the_vocabulary(tmp_path: Path, vocab_size: int) -> None:
    texts = text(40, 50280, 50279)
    path = write_olmo(tmp_path / "a.npy", texts + ([] if sum(map(len, texts)) % 2 == 0 else [[50279]]), "<u2")
    with pytest.raises(
        CorpusError, match=rf"must be an id in \[0, {vocab_size}\); got \d+ \(the ids look like uint16\)"
    ):
        documents_of(TokenFiles(path, vocab_size=vocab_size, eos=50279, dtype="uint32"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(1, 40000), max_size=30), max_size=30),
    st.lists(st.integers(1, 40000), max_size=5),
    st.sampled_from([0, 2, 50279]),
    st.sampled_from(["uint16", "uint32"]),
)
def test_files_of_the_type_named_are_read(
    tmp_path: Path, texts: list[list[int]], rest: list[int], eos: int, dtype: str
) -> None:
    expected = [[token for token in text if token != eos] + [eos] for text in texts]
    rest = [token for token in rest if token != eos]
    if len(texts) > 20 and all(len(text) == 1 for text in texts):
        return
    path = write_olmo(tmp_path / "a.npy", [*expected, rest], dtype)
    files = TokenFiles(path, vocab_size=50280, eos=eos, dtype=dtype)
    assert documents_of(files) == expected + ([rest] if rest else [])


@pytest.mark.parametrize(
    "ids",
    [
        [],
        [5],
        [5, 0],
        [0, 0],
        [0] * 1000,  # empty documents only
        [5, 6, 7],  # one document without an end
        list(range(1, 40000)),
        [5, 0] * 30,  # documents of one token
        [5, 0, 6, 0, 7, 0, 8, 0, 9, 0],
        [0, 5] * 500,  # begins with an end
        [1, 0, 0, 0, 0, 0, 0, 0],
    ],
)
@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_odd_files_that_may_be_real_are_read(tmp_path: Path, ids: list[int], dtype: str) -> None:
    path = write_olmo(tmp_path / "a.npy", [ids], dtype)
    found = documents_of(TokenFiles(path, vocab_size=50000, eos=0, dtype=dtype))
    assert [token for document in found for token in document] == ids
    assert all(0 not in document[:-1] for document in found)


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_a_large_file_without_an_end_is_refused(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.npy"
    ids = np.random.default_rng(0).integers(2, 30000, (1 << 22) + 10).astype(dtype)
    ids[-1] = 1
    ids.tofile(path)
    assert [len(text) for text in documents_of(TokenFiles(path, vocab_size=30000, eos=1, dtype=dtype))] == [len(ids)]
    files = TokenFiles(path, vocab_size=30000, eos=0, dtype=dtype)
    with pytest.raises(
        CorpusError, match=r"must have documents that end at eos=0; got none in 4194314 ids \(another eos"
    ):
        files.work_units()
    assert len(files.work_units(None, Scope("instance", 100))) == 1  # instances need no ends
    ids[-1], ids[500:502] = 7, (1, 7)  # an end, but before no beginning
    ids[ids == 2] = 7
    ids.tofile(path)
    with pytest.raises(CorpusError, match="end at eos=1 before bos=2; got none"):
        TokenFiles(path, vocab_size=30000, eos=1, bos=2, dtype=dtype).work_units()
    ids[: 1 << 22].tofile(path)  # may be one document
    assert len(documents_of(TokenFiles(path, vocab_size=30000, eos=0, dtype=dtype))) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eos": 9}, r"eos must be an id of uint16 below vocab_size, in \[0, 9\); got 9"),
        ({"eos": 50256}, r"eos must be .*; got 50256"),
        ({"eos": -1}, r"eos must be .*; got -1"),
        ({"bos": 9}, r"bos must be .*; got 9"),
        ({"bos": -5}, r"bos must be .*; got -5"),
        (
            {"vocab_size": 100278, "eos": 100257},
            r"eos must be an id of uint16 below vocab_size, in \[0, 65536\); got 100257",
        ),
    ],
)
def test_an_end_that_no_id_can_equal_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenFiles(**({"files": "a.npy", "vocab_size": 9, "eos": 3} | changes))
    TokenFiles("a.npy", vocab_size=100278, eos=100257, dtype="uint32")


@pytest.mark.parametrize(("said", "real"), [("uint16", "uint32"), ("uint32", "uint16"), ("uint16", "uint64")])
def test_an_index_of_datatrove_tells_another_width(tmp_path: Path, said: str, real: str) -> None:
    path = write_datatrove(tmp_path / "a.ds", [[1, 2], [3, 4, 5, 6]])
    np.fromfile(path, "<u2").astype(real).tofile(path)
    with pytest.raises(CorpusError, match=rf"must hold ends that rise to \d+.*got others \(as for {real} ids\)"):
        TokenFiles(path, vocab_size=9, format="datatrove", dtype=said).work_units()


def test_the_same_ids_in_four_files_are_counted_only_where_they_are_what_is_said(tmp_path: Path, watch: Any) -> None:
    ids = [1, 3, 2, 0, 2, 3, 0]
    np.save(tmp_path / "saved.npy", np.array(ids, "<u2"))
    for name, dtype in (("good", "<u2"), ("wide", "<u4"), ("int64", "<i8")):
        np.array(ids, dtype).tofile(tmp_path / f"{name}.npy")
    for name, said in (("saved", "uint16"), ("wide", "uint16"), ("int64", "uint16"), ("int64", "uint32")):
        with pytest.raises(CorpusError, match=rf"{name}\.npy, byte 0: must hold"):
            count(TokenFiles(tmp_path / f"{name}.npy", vocab_size=50000, eos=0, dtype=said), watch, workers=1)
    good = TokenFiles(tmp_path / "good.npy", vocab_size=50000, eos=0)
    counts = count(good, watch, pairs=[("x", "y")], scope="window:3", workers=1)
    assert (counts.documents, counts.df.tolist(), counts.pair("x", "y")) == (2, [1, 2], 1)


# ---- whatever decides the documents is part of the unit ----


@pytest.fixture
def watch() -> TokenWatchList:
    core = Tokenizer(models.WordLevel({"<unk>": 0, "x": 1, "y": 2, "z": 3}, unk_token="<unk>"))
    return TokenWatchList(["x", "y"], core)


def datatrove(folder: Path, documents: list[list[int]]) -> TokenFiles:
    return TokenFiles(write_datatrove(folder / "a.ds", documents), vocab_size=4, format="datatrove")


def megatron(folder: Path, documents: list[list[int]]) -> TokenFiles:
    return TokenFiles(
        write_megatron(folder / "a.bin", [[document] for document in documents]), vocab_size=4, format="megatron"
    )


def rewritten(make: Callable[..., TokenFiles], folder: Path, documents: list[list[int]]) -> TokenFiles:
    """Other documents of the same ids: the index alone changes."""
    ids = next(path for path in folder.iterdir() if path.suffix in (".ds", ".bin"))
    status = ids.stat()
    files = make(folder, documents)
    os.utime(ids, ns=(status.st_atime_ns, status.st_mtime_ns))
    return files


BOUNDS = [
    [[1, 2, 3], [1, 2, 3]],
    [[1], [2, 3, 1, 2, 3]],
    [[1, 2, 3, 1, 2, 3]],
    [[1], [2], [3], [1], [2], [3]],
    [[], [1, 2, 3, 1, 2, 3]],
]


@pytest.mark.parametrize("make", [datatrove, megatron])
@pytest.mark.parametrize("unit", [None, 4])
def test_counts_follow_the_index(tmp_path: Path, watch: Any, make: Callable[..., TokenFiles], unit: int | None) -> None:
    (tmp_path / "tokens").mkdir()
    make(tmp_path / "tokens", BOUNDS[0])
    names = set()
    for documents in BOUNDS:
        files = rewritten(make, tmp_path / "tokens", documents)
        kept = count(files, watch, pairs=[("x", "y")], workers=1, unit=unit, out=tmp_path / "out")
        assert kept.documents == len(documents)
        assert kept.pair("x", "y") == sum({1, 2} <= set(document) for document in documents)
        names.add(files.work_units()[0].name)
    assert len(names) == len(BOUNDS)


@pytest.mark.parametrize("make", [datatrove, megatron])
def test_an_index_that_changes_during_a_run_is_refused(tmp_path: Path, make: Callable[..., TokenFiles]) -> None:
    (unit,) = make(tmp_path, BOUNDS[0]).work_units()
    unit.check()
    rewritten(make, tmp_path, BOUNDS[2])
    with pytest.raises(CorpusError, match=r"a\.(ds\.index|idx): must stay as it was when the run began"):
        unit.check()


@pytest.mark.parametrize("make", [datatrove, megatron])
def test_an_index_is_read_once_per_unit(
    tmp_path: Path, make: Callable[..., TokenFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make(tmp_path, BOUNDS[0])
    (unit,) = files.work_units()
    reads: list[str] = []
    for name in ("datatrove_offsets", "megatron_layout", "megatron_dtype"):
        real = getattr(token_files, name)
        monkeypatch.setattr(token_files, name, lambda *a, real=real, name=name: (reads.append(name), real(*a))[1])
    list(files.blocks(unit))
    assert len(reads) == 1


def test_a_folder_of_tokens_says_what_it_passes_over_but_not_the_indexes(tmp_path: Path) -> None:
    datatrove(tmp_path, BOUNDS[0])
    (tmp_path / "a.ds.metadata").write_text("x")
    files = TokenFiles(tmp_path, vocab_size=4, format="datatrove")
    assert len(files.paths()) == 1
    (tmp_path / "b.npy").write_bytes(b"")
    with pytest.warns(CorpusWarning, match=r"TokenFiles: passed over in .*: 1 of \.npy \(b\.npy\)"):
        assert len(files.paths()) == 1


def mutated(raw: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(raw) or 1)
        match chance.randrange(4):
            case 0:
                raw = raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :] if raw else raw
            case 1:
                raw = raw[:at] + chance.randbytes(chance.randint(1, 8)) + raw[at + 1 :]
            case 2:
                raw = raw[:at] + raw[at + chance.randint(1, 40) :]
            case _:
                raw = raw[:at] + raw[at : at + 60] + raw[at:]
    return raw


@pytest.mark.parametrize("kind", ["olmo", "numpy", "megatron", "datatrove"])
def test_damaged_token_files_give_documents_or_a_corpus_error(tmp_path: Path, kind: str) -> None:
    texts, chance = text(12, 3000, 0), random.Random(kind)
    if kind == "megatron":
        made = [write_megatron(tmp_path / "a.bin", [[part] for part in texts]), tmp_path / "a.idx"]
    elif kind == "datatrove":
        made = [write_datatrove(tmp_path / "a.ds", texts), tmp_path / "a.ds.index"]
    else:
        made = [write_olmo(tmp_path / "a.npy", texts)]
        if kind == "numpy":
            np.save(made[0], np.fromfile(made[0], "<u2"))
    files = TokenFiles(made[0], vocab_size=3000, format="olmo" if kind == "numpy" else kind,
                       eos=0 if kind in ("olmo", "numpy") else None)  # fmt: skip
    raw = [path.read_bytes() for path in made]
    failed = 0
    for _ in range(INPUTS):
        place = chance.randrange(len(made))
        made[place].write_bytes(mutated(raw[place], chance))
        try:
            units = files.work_units(64)
            assert sum(len(block.offsets) - 1 for unit in units for block in files.blocks(unit)) >= 0
        except CorpusError:
            failed += 1
        made[place].write_bytes(raw[place])
    assert failed > 0.3 * INPUTS
