"""Which files are a corpus's: by name, in any case, through links; what a folder passes over is said, never hidden."""

from __future__ import annotations

import gzip
import json
import os
import socket
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pivotkit.corpus import TokenFiles, Unit, corpus_files, count, read_documents, read_texts, work_units
from pivotkit.corpus.reading.corpus_files import SUFFIXES, Format, format_of, own_path
from pivotkit.errors import CorpusError, CorpusWarning

LINE = b'{"text":"a dog"}\n'
PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}


def put(path: Path, raw: bytes = LINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def texts_of(path: Path) -> list[str]:
    return [text for batch in read_documents(path) for text in batch.texts]


def names(corpus: object) -> list[str]:
    return [file.name for file in corpus_files(corpus)]  # type: ignore[arg-type]


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_read_as_its_suffix_says_in_any_case(tmp_path: Path, suffix: str, case: object) -> None:
    path = tmp_path / f"a{case(suffix)}"  # type: ignore[operator]
    table = pa.table({"text": ["a dog"]})
    if suffix == ".parquet":
        pq.write_table(table, path)
    elif suffix == ".arrow":
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    else:
        _, line, packed = (suffix + ".").split(".")[:3]
        put(path, PACK[f".{packed}" if packed else ""](b"a dog\n" if line == "txt" else LINE))
    assert texts_of(path) == ["a dog"]
    assert work_units(path, 5)[0].path == path
    assert names(tmp_path) == [path.name] if suffix != ".json" else names(path) == [path.name]


def test_formats_by_name() -> None:
    assert format_of(Path("c4-train.00000-of-01024.JSON.GZ")) == Format("json", "gzip")
    assert format_of(Path("x.txt")) == Format("text", None)
    for name in ("a.csv", "jsonl", "a.jsonl.xz", "a.parquet.gz", "a.gz", "a.zst", "a.jsonl.bz2"):
        with pytest.raises(CorpusError, match="must end in one of"):
            format_of(Path(name))


def test_a_folder_of_other_names_is_read(tmp_path: Path) -> None:
    put(tmp_path / "a.json.gz", gzip.compress(LINE))
    for name in ("b.ndjson", "c.JSONL", "d.jsonl"):
        put(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(tmp_path) == ["a.json.gz", "b.ndjson", "c.JSONL", "d.jsonl"]
    assert count(tmp_path, ["dog"], workers=1).documents == 4


@pytest.mark.parametrize(
    ("passed", "told"),
    [
        (["notes.md"], "1 of .md (notes.md)"),
        (["a.jsonl.xz", "b.jsonl.XZ"], "2 of .xz (a.jsonl.xz, b.jsonl.XZ)"),
        (["meta.json"], "1 of .json (meta.json)"),
        (["README.txt", "license.txt", "sub/ReadMe.en.txt.gz"], "2 of .txt (README.txt, license.txt), 1 of .gz"),
        (["_SUCCESS", "part-1"], "2 without suffix (_SUCCESS, part-1)"),
        ([f"{i}.csv" for i in range(9)], "9 of .csv (0.csv, 1.csv, 2.csv, ...)"),
        ([".hidden.jsonl"], "1 of .jsonl (.hidden.jsonl)"),
        (["sub/deep/a.warc.gz"], "1 of .gz (a.warc.gz)"),
    ],
)
def test_a_folder_says_what_it_passes_over(tmp_path: Path, passed: list[str], told: str) -> None:
    put(tmp_path / "a.jsonl")
    for name in passed:
        put(tmp_path / name)
    with pytest.warns(CorpusWarning) as caught:
        assert names(tmp_path) == ["a.jsonl"]
    (warning,) = caught
    assert str(warning.message).startswith(f"corpus_files: passed over in {tmp_path}: {told}")
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(CorpusError, match="must match at least one file; found none, passed over") as error:
        corpus_files(tmp_path)
    assert told in str(error.value)


def test_hidden_files_that_are_no_corpus_and_a_datasets_own_files_are_not_mentioned(tmp_path: Path) -> None:
    hidden = (".DS_Store", ".git/x.jsonl", ".cache/huggingface/b.jsonl", ".gitattributes")
    for name in ("a.jsonl", "dataset_info.json", "README.md", "LICENSE", "CITATION.cff", *hidden):
        put(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(tmp_path) == ["a.jsonl"]


def test_caches_of_a_saved_dataset_are_not_mentioned(tmp_path: Path) -> None:
    for name in ("data-0.arrow", "cache-1.arrow"):
        put(tmp_path / name)
    put(tmp_path / "state.json", json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}).encode())
    assert names(tmp_path) == ["data-0.arrow"]


def test_folders_that_a_glob_matches_and_links_to_folders_are_mentioned(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.jsonl")
    put(tmp_path / "in" / "sub" / "b.jsonl")
    put(tmp_path / "out" / "c.jsonl")
    with pytest.warns(CorpusWarning, match=r"1 folders \(sub\)"):
        assert names(str(tmp_path / "in" / "*")) == ["a.jsonl"]
    assert names(str(tmp_path / "in" / "**")) == ["a.jsonl", "b.jsonl"]
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "out")
    with pytest.warns(CorpusWarning, match=r"1 folders \(linked\)"):
        assert names(tmp_path / "in") == ["a.jsonl", "b.jsonl"]


def hub_cache(folder: Path, files: dict[str, bytes]) -> Path:
    """A cache of the Hugging Face hub: links with names in a snapshot, blobs whose names are hashes."""
    snapshot = folder / "datasets--x" / "snapshots" / "1f"
    for number, (name, raw) in enumerate(files.items()):
        put(folder / "datasets--x" / "blobs" / f"{number:064x}", raw)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(Path("../" * (2 + name.count("/"))) / "blobs" / f"{number:064x}")
    return snapshot


def test_links_of_the_hubs_cache_are_read_under_their_own_names(tmp_path: Path) -> None:
    snapshot = hub_cache(
        tmp_path, {"a.jsonl": LINE, "fr/b.json.gz": gzip.compress(LINE), "c.txt": b"a cat\n", "d.JSONL": LINE}
    )
    files = corpus_files(snapshot)
    assert files == [snapshot / name for name in ("a.jsonl", "c.txt", "d.JSONL", "fr/b.json.gz")]
    assert [text for unit in work_units(snapshot, 3) for text in texts_of(unit)] == ["a dog", "a cat", "a dog", "a dog"]  # type: ignore[arg-type]
    assert Unit.of(files[0]).path == files[0]
    assert count(snapshot, ["dog"], workers=1).df.tolist() == [3]


def test_token_files_and_their_indexes_are_read_through_links(tmp_path: Path) -> None:
    raw = bytes([1, 0, 2, 0, 3, 0])
    snapshot = hub_cache(tmp_path, {"a.ds": raw, "a.ds.index": (3).to_bytes(8, "little"), "b.npy": raw})
    indexed = TokenFiles(snapshot / "a.ds", vocab_size=4, format="datatrove")
    plain = TokenFiles(snapshot / "b.npy", vocab_size=4, eos=3)
    for files in (indexed, plain):
        (block,) = files.blocks(files.work_units()[0])
        assert block.ids.tolist() == [1, 2, 3]


def test_a_link_and_its_file_are_one_file(tmp_path: Path) -> None:
    real = put(tmp_path / "real.jsonl")
    (tmp_path / "link.jsonl").symlink_to(real)
    (tmp_path / "other.ndjson").symlink_to(real)
    (tmp_path / "plain").symlink_to(real)
    assert corpus_files(tmp_path / "link.jsonl") == [real]
    assert corpus_files(tmp_path / "plain") == [real]
    assert own_path(tmp_path / "other.ndjson") == tmp_path / "other.ndjson"
    with pytest.warns(CorpusWarning, match=r"without suffix \(plain\)"):
        assert corpus_files(tmp_path) == [real]
    snapshot = hub_cache(tmp_path / "hub", {"a.jsonl": LINE})
    (snapshot / "b.jsonl").symlink_to(snapshot / "a.jsonl")
    assert corpus_files(snapshot) == [snapshot / "a.jsonl"]


def special(path: Path, kind: str) -> None:
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is short
        try:
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(path.name)
        finally:
            os.chdir(here)
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path if kind == "loop" else path.parent / "absent")


KINDS = {
    "FIFO": "must be a regular file; got a FIFO",
    "socket": "must be a regular file; got a socket",
    "device": "must be a regular file; got a device",
    "dangling": "must be a readable file; a link to .*absent, which cannot be followed",
    "loop": "must be a readable file; a link to",
}


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz", "a.txt.zst", "a.parquet", "a.arrow"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str, name: str) -> None:
    special(tmp_path / name, kind)
    put(tmp_path / "b.jsonl")
    for corpus in (tmp_path / name, tmp_path, str(tmp_path / "*"), [str(tmp_path / name)]):
        with pytest.raises(CorpusError, match=f"{name}: {KINDS[kind]}"):
            work_units(corpus)
    for read in (read_texts, read_documents):
        with pytest.raises(CorpusError, match=KINDS[kind]):
            list(read(tmp_path / name))  # type: ignore[operator]


@pytest.mark.parametrize("kind", KINDS)
def test_token_files_and_indexes_that_are_no_regular_files_are_refused(tmp_path: Path, kind: str) -> None:
    special(tmp_path / "a.npy", kind)
    put(tmp_path / "b.ds", bytes(4))
    special(tmp_path / "b.ds.index", kind)
    put(tmp_path / "c.bin", bytes(4))
    special(tmp_path / "c.idx", kind)
    for name, options in (("a.npy", {"eos": 1}), ("b.ds", {"format": "datatrove"}), ("c.bin", {"format": "megatron"})):
        with pytest.raises(CorpusError, match=KINDS[kind]):
            TokenFiles(tmp_path / name, vocab_size=9, **options).work_units()  # type: ignore[arg-type]


def test_a_folder_given_as_a_file_is_refused(tmp_path: Path) -> None:
    special(tmp_path / "a.jsonl", "folder")
    with pytest.raises(CorpusError, match="must be a regular file; got a folder"):
        read_texts(tmp_path / "a.jsonl")


def test_other_special_files_in_a_folder_are_passed_over_by_name(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl")
    special(tmp_path / "lock", "FIFO")
    with pytest.warns(CorpusWarning, match=r"1 without suffix \(lock\)"):
        assert names(tmp_path) == ["a.jsonl"]
