"""Every format read back: by the tool that it is of, where that is installed, and by pivotkit."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_formats import made_store, write_olmo
from tokenizers import Tokenizer, models, pre_tokenizers

from pivotkit.artifacts import file_digest, read_json, read_table
from pivotkit.corpus import TokenFiles
from pivotkit.corpus.reading.documents import read_documents, work_units
from pivotkit.corpus.reading.scope import Scope
from pivotkit.errors import CorpusError
from pivotkit.selection import write_selection

EOS = 9
WORDS = ["un", "deux", "trois", "quatre"]


@pytest.fixture
def corpus(tmp_path):
    """Two files of seven documents with unusual characters."""
    (tmp_path / "corpus").mkdir()
    for number in range(2):
        lines = [{"id": f"{number}-{row}", "text": " ".join(WORDS[: row % 4 + 1]) + ' "é\n中,'[: row],
                  "lang": "fr" if row % 2 else "zh"} for row in range(7)]  # fmt: skip
        (tmp_path / "corpus" / f"{number}.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return tmp_path / "corpus"


@pytest.fixture
def selection(corpus):
    """Every second document, with its count of tokens."""
    rows = [
        {"unit": unit.name, "row": row, "id": batch.ids[row], "tokens": len(ids_of(batch.texts[row])),
         "score": row / 8, "lang": batch.langs[row]}
        for unit in work_units(corpus) for batch in read_documents(unit) for row in batch.rows if row % 2 == 0
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


@pytest.fixture
def tokenizer():
    core = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)} | {"[UNK]": 4}, "[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return core


def ids_of(text):
    return [WORDS.index(word) if word in WORDS else 4 for word in text.split()]


def texts_of(corpus, selection):
    """What was selected: id, text and language of each."""
    chosen = set(selection["id"].to_pylist())
    return [one for unit in work_units(corpus) for batch in read_documents(unit)
            for one in zip(batch.ids, batch.texts, batch.langs, strict=True) if one[0] in chosen]  # fmt: skip


def read_back(paths):
    return [one for unit in work_units(paths) for batch in read_documents(unit)
            for one in zip(batch.ids, batch.texts, batch.langs, strict=True)]  # fmt: skip


TEXT_FILES = {"jsonl": "part-*.jsonl", "jsonl.zst": "part-*.jsonl.zst", "parquet": "part-*.parquet"}


@pytest.mark.parametrize("format", TEXT_FILES)
def test_texts_are_read_back_by_pivotkit(corpus, selection, tmp_path, format):
    manifest = write_selection(selection, corpus, tmp_path / "out", format=format, shard_bytes=20)
    assert len(manifest["selected"]["shards"]) > 3
    assert read_back(str(tmp_path / "out" / TEXT_FILES[format])) == texts_of(corpus, selection)


@pytest.mark.parametrize("format", ["jsonl", "jsonl.zst", "parquet", "datasets", "dolma"])
def test_a_row_of_provenance_leads_to_the_document(corpus, selection, tmp_path, format):
    write_selection(selection, corpus, tmp_path / "out", format=format, shard_bytes=20)
    for row in read_table(tmp_path / "out" / "provenance.parquet").to_pylist():
        (batch,) = read_documents(tmp_path / "out" / row["shard"])
        assert row["id"] == (batch.ids[row["line"]])
        assert row["file"] == f"{row['id'][0]}.jsonl"


def test_a_dataset_is_loaded_by_datasets(corpus, selection, tmp_path):
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    write_selection(selection, corpus, tmp_path / "out", format="datasets", shard_bytes=20)
    rows = datasets.load_from_disk(str(tmp_path / "out"))
    assert [(row["id"], row["text"], row["lang"]) for row in rows] == texts_of(corpus, selection)
    assert set(rows["source"]) == {"0.jsonl", "1.jsonl"}
    assert read_back(str(tmp_path / "out" / "part-*.arrow")) == texts_of(corpus, selection)
    write_selection(selection.slice(0, 0), corpus, tmp_path / "none", format="datasets")
    assert datasets.load_from_disk(str(tmp_path / "none")).to_list() == []


def test_parquet_is_loaded_by_datasets(corpus, selection, tmp_path):
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    write_selection(selection, corpus, tmp_path / "out", format="parquet", shard_bytes=20)
    files = str(tmp_path / "out" / "part-*.parquet")
    rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert [(row["id"], row["text"], row["lang"]) for row in rows] == texts_of(corpus, selection)


def test_jsonl_and_parquet_are_read_by_datatrove(corpus, selection, tmp_path):
    readers = pytest.importorskip("datatrove.pipeline.readers", reason="needs datatrove")
    for format, reader in (("jsonl", readers.JsonlReader), ("parquet", readers.ParquetReader)):
        write_selection(selection, corpus, tmp_path / format, format=format, shard_bytes=20)
        read = reader(str(tmp_path / format), glob_pattern="part-*")()
        assert [(one.id, one.text, one.metadata["lang"]) for one in read] == texts_of(corpus, selection)


def native_mixer():
    """What ``dolma mix`` calls, from its native module alone: dolma's Python half needs much that is not asked here."""
    found = importlib.util.find_spec("dolma")
    places = [] if found is None else [Path(place) for place in found.submodule_search_locations or ()]
    native = next((path for place in places for path in place.glob("dolma.*.so")), None)
    if native is None:
        pytest.skip("needs dolma's mixer: pip install --no-deps dolma (it asks for older numpy and tokenizers)")
    spec = importlib.util.spec_from_file_location("dolma", native)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.mixer_entrypoint


class TestDolma:
    def test_attributes_stand_beside_their_documents(self, corpus, selection, tmp_path):
        write_selection(selection, corpus, tmp_path / "out", format="dolma", shard_bytes=20)
        rows = iter(selection.sort_by([("unit", "ascending"), ("row", "ascending")]).to_pylist())
        order = {row["id"]: row for row in rows}
        found = []
        for path in sorted((tmp_path / "out" / "documents").iterdir()):
            beside = tmp_path / "out" / "attributes" / "pivotkit" / path.name
            with gzip.open(path) as documents, gzip.open(beside) as attributes:
                for one, about in zip(map(json.loads, documents), map(json.loads, attributes), strict=True):
                    row = order[one["id"]]
                    assert about["id"] == one["id"]
                    assert about["attributes"] == {
                        f"pivotkit__selection__{name}": [[0, len(one["text"]), row[name]]]
                        for name in ("tokens", "score")
                    }
                    found.append((one["id"], one["text"], one["metadata"]["lang"]))
        assert found == texts_of(corpus, selection)

    def test_dolma_mixes_by_the_attributes(self, corpus, selection, tmp_path):
        mixer = native_mixer()
        (tmp_path / "mixed").mkdir()
        write_selection(selection, corpus, tmp_path / "out", format="dolma")
        include = "$.attributes[?(@.pivotkit__selection__score[0][2] >= 0.5)]"
        stream = {
            "name": "high", "documents": [f"{tmp_path}/out/documents/*.gz"], "attributes": ["pivotkit"],
            "filter": {"include": [include], "exclude": []},
            "output": {"path": str(tmp_path / "mixed"), "max_size_in_bytes": 1 << 30},
        }  # fmt: skip
        work = {"input": str(tmp_path / "in"), "output": str(tmp_path / "work")}
        mixer(json.dumps({"streams": [stream], "processes": 1, "work_dir": work}))
        packed = b"".join(path.read_bytes() for path in (tmp_path / "mixed").iterdir())
        lines = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
        high = {row["id"] for row in selection.to_pylist() if row["score"] >= 0.5}
        assert {line["id"] for line in lines} == high != set()


@pytest.mark.parametrize("format", ["olmo", "megatron", "datatrove"])
@pytest.mark.parametrize("vocab_size", [10, 1 << 17])
def test_ids_of_text_are_read_back_by_pivotkit(corpus, selection, tokenizer, tmp_path, format, vocab_size):
    if vocab_size > 10:
        tokenizer.add_special_tokens([f"<{number}>" for number in range(2)])
    manifest = write_selection(
        selection, corpus, tmp_path / "out", format=format, tokenizer=tokenizer, eos=4, shard_tokens=3
    ) if format != "olmo" else None  # fmt: skip
    if format == "olmo":
        with pytest.raises(CorpusError, match="must not hold eos, 4, before its end"):
            write_selection(selection, corpus, tmp_path / "out", format=format, tokenizer=tokenizer, eos=4)
        tokenizer.add_special_tokens(["<eos>"])
        manifest = write_selection(
            selection, corpus, tmp_path / "out", format=format, tokenizer=tokenizer, eos=tokenizer.token_to_id("<eos>"),
            shard_tokens=3,
        )  # fmt: skip
    options = {"eos": manifest["eos"]} if format == "olmo" else {}
    files = TokenFiles(tmp_path / "out", manifest["vocab_size"], format=format, **options)
    found = [ids.tolist() for unit in files.work_units() for ids in files.documents(unit)]
    texts = [ids_of(text) for _, text, _ in texts_of(corpus, selection)]
    assert found == [ids if ids and ids[-1] == manifest["eos"] else [*ids, manifest["eos"]] for ids in texts]
    assert manifest["tokenizer"] is not None


class TestTools:
    """Ids of a store, without ends, by each tool's own reader."""

    texts: list[list[int]] = [[1, 2, 3], [4], [], [5, 6], [7, 8, 1, 2]]  # noqa: RUF012

    def written(self, tmp_path, format, vocab_size=10, **options):
        store = made_store(tmp_path, self.texts, vocab_size=vocab_size)
        rows = {"unit": [store.units[0].name] * 5, "row": range(5), "id": [f"u0:{row}" for row in range(5)]}
        return write_selection(pa.table(rows), store, tmp_path / "out", format=format, **options)

    @pytest.mark.parametrize(("vocab_size", "kind"), [(10, "uint16"), (1 << 17, "int32")])
    def test_megatron_reads_its_files(self, tmp_path, vocab_size, kind):
        indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs megatron-core")
        assert self.written(tmp_path, "megatron", vocab_size)["dtype"] == kind
        read = indexed.IndexedDataset(str(tmp_path / "out" / "part-00000"))
        assert [read[place].tolist() for place in range(len(read))] == self.texts
        assert read.document_indices.tolist() == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize("vocab_size", [10, 1 << 17])
    def test_megatrons_layout_is_that_of_its_source(self, tmp_path, vocab_size):
        """`_IndexWriter` of megatron/core/datasets/indexed_dataset.py, in NumPy."""
        self.written(tmp_path, "megatron", vocab_size)
        kind, code = (np.dtype("<u2"), 8) if vocab_size == 10 else (np.dtype("<i4"), 4)
        lengths = [len(text) for text in self.texts]
        pointers = np.cumsum([0, *lengths[:-1]]) * kind.itemsize
        expected = b"MMIDIDX\x00\x00" + np.array([1], "<u8").tobytes() + bytes([code])
        expected += np.array([5, 6], "<u8").tobytes() + np.array(lengths, "<i4").tobytes()
        expected += np.array(pointers, "<i8").tobytes() + np.arange(6, dtype="<i8").tobytes()
        assert (tmp_path / "out" / "part-00000.idx").read_bytes() == expected
        ids = [token for text in self.texts for token in text]
        assert (tmp_path / "out" / "part-00000.bin").read_bytes() == np.array(ids, kind).tobytes()

    @pytest.mark.parametrize("vocab_size", [10, 1 << 17])
    def test_datatrove_reads_its_files(self, tmp_path, vocab_size):
        dataset = pytest.importorskip("datatrove.utils.dataset", reason="needs datatrove")
        self.written(tmp_path, "datatrove", vocab_size)
        path, size = str(tmp_path / "out" / "part-00000.ds"), 2 if vocab_size == 10 else 4
        read = dataset.DatatroveFileDataset(path, seq_len=2, token_size=size)
        flat = [token for text in self.texts for token in text]
        assert [token for place in range(len(read)) for token in read[place]["input_ids"].tolist()[:3]][:3] == flat[:3]
        merger = pytest.importorskip("datatrove.pipeline.tokens.merger")
        ends = merger.load_doc_ends((tmp_path / "out" / "part-00000.ds.index").open("rb"))
        assert list(ends) == np.cumsum([len(text) for text in self.texts]).tolist()
        told = (tmp_path / "out" / "part-00000.ds.metadata").read_text().splitlines()
        assert told[:2] == [f"made up|{size}", "10"]

    def test_olmos_sidecar_says_where_documents_lie(self, tmp_path):
        self.written(tmp_path, "olmo", eos=EOS)
        ids = np.memmap(tmp_path / "out" / "part-00000.npy", "<u2", "r").tolist()
        with gzip.open(tmp_path / "out" / "part-00000.csv.gz", "rt") as file:
            rows = list(csv.reader(file))
        assert [ids[int(start) : int(end)] for start, end, *_ in rows] == [[*text, EOS] for text in self.texts]
        assert [row[2:] for row in rows] == [[f"u0:{row}", "u0.jsonl", str(row + 1)] for row in range(5)]


@given(
    st.lists(st.lists(st.integers(0, 8), max_size=9), min_size=1, max_size=9),
    st.integers(1, 5),
    st.integers(1, 20),
    st.integers(1, 9),
)
def test_instances_are_the_ids_in_order_without_the_last_that_is_not_whole(
    tmp_path_factory, texts, length, shard, block
):
    folder = tmp_path_factory.mktemp("instances")
    files = TokenFiles(write_olmo(folder / "a.npy", [[*text, EOS] for text in texts]), vocab_size=10, eos=EOS)
    unit = files.work_units()[0]
    rows = pa.table(
        {"unit": [unit.name] * len(texts), "row": range(len(texts)), "id": pa.nulls(len(texts), pa.string())}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.writing.token_source.BLOCK_TOKENS", block)
        patch.setattr("os.fsync", lambda handle: None)  # most of the time of many small shards
        manifest = write_selection(rows, files, folder / "out", shard_tokens=shard, instance_tokens=length)
    flat = [token for text in texts for token in [*text, EOS]]
    whole = len(flat) // length * length
    selected = manifest["selected"]
    assert (selected["tokens"], selected["left_out_tokens"]) == (whole, len(flat) - whole)
    written = [np.fromfile(folder / "out" / one["file"], "<u2").tolist() for one in selected["shards"]]
    assert [token for shard in written for token in shard] == flat[:whole]
    assert {len(shard) for shard in written[:-1]} <= {max(shard // length, 1) * length}
    assert all(len(shard) % length == 0 for shard in written)
    names = {one["file"]: ids for one, ids in zip(selected["shards"], written, strict=True)}
    for row in read_table(folder / "out" / "provenance.parquet").to_pylist():
        text = [*texts[row["row"]], EOS]
        piece = names[row["shard"]][row["first"] : row["first"] + row["length"]]
        assert piece == text[row["offset"] : row["offset"] + row["length"]]
    if whole:
        again = TokenFiles(folder / "out", vocab_size=10, eos=EOS)
        scope = Scope("instance", length)
        read = [block.ids[begin:end].tolist() for unit in again.work_units(scope=scope)
                for block in again.blocks(unit, scope) for begin, end in pairwise(block.offsets.tolist())]  # fmt: skip
        assert read == [flat[begin : begin + length] for begin in range(0, whole, length)]


class TestTake:
    """A column that says how many tokens are written of a document."""

    def test_ids_are_cut_and_marked(self, tmp_path):
        store = made_store(tmp_path, [[1, 2, 3], [4, 5]], vocab_size=10)
        rows = {"unit": [store.units[0].name] * 2, "row": [0, 1], "id": ["u0:0", "u0:1"], "tokens": [3, 2],
                "take": pa.array([2, None], pa.int32())}  # fmt: skip
        write_selection(pa.table(rows), store, tmp_path / "out", eos=EOS)
        assert np.fromfile(tmp_path / "out" / "part-00000.npy", "<u2").tolist() == [1, 2, EOS, 4, 5, EOS]
        assert read_table(tmp_path / "out" / "provenance.parquet")["cut"].to_pylist() == [True, False]

    def test_of_olmo_files_the_end_counts_and_stays(self, tmp_path):
        files = TokenFiles(write_olmo(tmp_path / "a.npy", [[1, 2, 3, EOS], [4, EOS]]), vocab_size=10, eos=EOS)
        rows = {"unit": [files.work_units()[0].name] * 2, "row": [0, 1], "id": pa.nulls(2, pa.string()),
                "tokens": [4, 2], "take": [3, 1]}  # fmt: skip
        manifest = write_selection(pa.table(rows), files, tmp_path / "out")
        assert np.fromfile(tmp_path / "out" / "part-00000.npy", "<u2").tolist() == [1, 2, EOS, EOS]
        assert (manifest["selected"]["tokens"], manifest["selected"]["eos_added"]) == (4, 0)

    def test_texts_are_cut_by_the_offsets_of_their_tokens(self, corpus, selection, tokenizer, tmp_path):
        takes = [max(1, tokens - 1) for tokens in selection["tokens"].to_pylist()]
        cut = selection.append_column("take", pa.array(takes, pa.int32()))
        write_selection(cut, corpus, tmp_path / "out", format="jsonl", tokenizer=tokenizer)
        texts = {identity: text for identity, text, _ in read_back(tmp_path / "out" / "part-00000.jsonl")}
        whole = {identity: text for identity, text, _ in texts_of(corpus, selection)}
        for row in cut.to_pylist():
            text = texts[row["id"]]
            assert whole[row["id"]].startswith(text)
            assert ids_of(text) == ids_of(whole[row["id"]])[: row["take"]]
        marks = read_table(tmp_path / "out" / "provenance.parquet").select(["id", "cut"]).to_pylist()
        assert {row["id"]: row["cut"] for row in marks} == {
            row["id"]: row["take"] < row["tokens"] for row in cut.to_pylist()
        }

    def test_texts_are_not_cut_without_a_tokenizer(self, corpus, selection, tmp_path):
        cut = selection.append_column("take", selection["tokens"])
        with pytest.raises(ValueError, match="write_selection: tokenizer must be given where documents are cut"):
            write_selection(cut, corpus, tmp_path / "out")

    @pytest.mark.parametrize("take", [0, 4, -1])
    def test_more_than_a_document_has_cannot_be_taken(self, tmp_path, take):
        store = made_store(tmp_path, [[1, 2, 3]], vocab_size=10)
        rows = {"unit": [store.units[0].name], "row": [0], "id": ["u0:0"], "tokens": [3], "take": [take]}
        with pytest.raises(CorpusError, match=rf"row 0: must have from 1 to 3 of its tokens taken; got {take}"):
            write_selection(pa.table(rows), store, tmp_path / "out", eos=EOS)


class TestRefusals:
    @pytest.mark.parametrize("format", ["jsonl", "jsonl.zst", "parquet", "datasets", "dolma"])
    def test_ids_are_no_text(self, tmp_path, format):
        store = made_store(tmp_path, [[1]], vocab_size=10)
        rows = pa.table({"unit": [store.units[0].name], "row": [0], "id": ["u0:0"]})
        with pytest.raises(ValueError, match="write_selection: format must be one of ids for TokenStore, which has no"):
            write_selection(rows, store, tmp_path / "out", format=format)

    def test_text_needs_a_tokenizer_to_be_ids(self, corpus, selection, tmp_path):
        with pytest.raises(
            ValueError, match="write_selection: tokenizer must be given to write text as olmo; got None"
        ):
            write_selection(selection, corpus, tmp_path / "out", format="olmo")

    def test_another_tokenizer_than_that_of_the_scores_is_told(self, corpus, selection, tokenizer, tmp_path):
        wrong = selection.set_column(3, "tokens", pa.array([7] * len(selection)))
        with pytest.raises(CorpusError, match="must hold a document of 7 tokens of this tokenizer; got"):
            write_selection(wrong, corpus, tmp_path / "out", format="datatrove", tokenizer=tokenizer)

    def test_instances_are_olmos(self, corpus, selection, tokenizer, tmp_path):
        with pytest.raises(ValueError, match="write_selection: instance_tokens must be None for megatron; got 4"):
            write_selection(
                selection, corpus, tmp_path / "out", format="megatron", tokenizer=tokenizer, instance_tokens=4
            )


class TestManifest:
    @pytest.mark.parametrize("format", ["jsonl.zst", "datasets", "dolma", "olmo", "megatron", "datatrove"])
    def test_it_names_every_file_and_what_it_was_made_with(self, corpus, selection, tokenizer, tmp_path, format):
        options = {"eos": 4} if format in ("megatron",) else {}
        if format == "olmo":
            tokenizer.add_special_tokens(["<eos>"])
            options = {"eos": tokenizer.token_to_id("<eos>")}
        manifest = write_selection(
            selection, corpus, tmp_path / "out", format=format, tokenizer=tokenizer, shard_tokens=5, shard_bytes=30,
            **options,
        )  # fmt: skip
        assert read_json(tmp_path / "out" / "manifest.json") == manifest
        files = {
            str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()
        }
        assert set(manifest["files"]) == set(files) - {"manifest.json"}
        for name, about in manifest["files"].items():
            assert about == {"bytes": files[name].stat().st_size, "sha256": file_digest(files[name])}
        assert set(manifest["versions"]) >= {"pivotkit", "pyarrow", "tokenizers"}
        assert manifest["command"]
        assert pq.read_metadata(tmp_path / "out" / "provenance.parquet").num_rows == len(selection)


class TestPlan:
    def test_nothing_is_written(self, corpus, selection, tmp_path):
        found = write_selection(selection, corpus, tmp_path / "out", dry_run=True)
        assert not [path for path in tmp_path.iterdir() if path.name != "corpus"]
        assert (found["documents"], found["tokens"]) == (len(selection), sum(selection["tokens"].to_pylist()))
        files = found["files"]
        assert {name.rpartition("/")[2]: told["documents"] for name, told in files.items()} == {
            "0.jsonl": 4,
            "1.jsonl": 4,
        }
        langs = selection["lang"].to_pylist()
        assert {lang: told["documents"] for lang, told in found["languages"].items()} == {
            lang: langs.count(lang) for lang in set(langs)
        }

    @pytest.mark.parametrize("format", ["jsonl", "parquet", "megatron", "datatrove"])
    def test_the_bytes_are_those_that_are_written_of_a_small_selection(
        self, corpus, selection, tokenizer, tmp_path, format
    ):
        options = {"format": format, "tokenizer": tokenizer}
        found = write_selection(selection, corpus, tmp_path / "out", dry_run=True, **options)
        manifest = write_selection(selection, corpus, tmp_path / "out", **options)
        own = [about["bytes"] for name, about in manifest["files"].items() if name != "provenance.parquet"]
        assert found["bytes"] == sum(own)
