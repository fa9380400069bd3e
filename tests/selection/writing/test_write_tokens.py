"""Written ids: read back as the same documents, in files of a stated size, and never half of them."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_formats import made_store, write_datatrove, write_megatron, write_olmo

from pivotkit.artifacts import read_json, read_table
from pivotkit.corpus import TokenFiles
from pivotkit.errors import CorpusError, InputError
from pivotkit.selection import score_documents, select, write_selection

EOS = 9


def read_back(out, manifest):
    """The documents that `TokenFiles` reads, and the files."""
    files = TokenFiles(
        str(out / "part-*.npy"),
        manifest["vocab_size"],
        dtype=manifest["dtype"],
        eos=manifest["eos"],
        bos=manifest["bos"],
    )
    return documents_of(files), [path.name for path in files.paths()]


def documents_of(corpus):
    return [document.tolist() for unit in corpus.work_units() for document in corpus.documents(unit)]


def everything(corpus, out=None):
    """Scores and a selection of all documents that have tokens."""
    scores = score_documents(corpus, [1], out=None if out is None else out / "scores")
    options = {"budget_tokens": 10**9, "allow_shortfall": True}
    return select(scores, **options) if out is None else select(out / "scores", **options, out=out / "chosen")


@given(
    st.lists(st.lists(st.lists(st.integers(0, 8), max_size=5), max_size=8), min_size=1, max_size=3),
    st.sampled_from(["olmo", "megatron", "datatrove", "store"]),
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(1, 60),
    st.booleans(),
)
def test_what_is_written_is_read_back(tmp_path_factory, units, format, shard_tokens, block, budget, on_disk):
    folder = tmp_path_factory.mktemp("selection")
    (folder / "corpus").mkdir()
    if format == "store":
        corpus, eos = made_store(folder, *units, vocab_size=10), EOS
    elif format == "olmo":
        for number, texts in enumerate(units):
            write_olmo(folder / "corpus" / f"{number}.npy", [[*text, EOS] for text in texts])
        corpus, eos = TokenFiles(folder / "corpus", vocab_size=10, eos=EOS), None
    else:
        for number, texts in enumerate(units):
            path = folder / "corpus" / f"{number}.{'bin' if format == 'megatron' else 'ds'}"
            write_megatron(path, [[text] for text in texts]) if format == "megatron" else write_datatrove(path, texts)
        corpus, eos = TokenFiles(folder / "corpus", vocab_size=10, format=format), EOS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.writing.token_source.BLOCK_TOKENS", block)
        patch.setattr("pivotkit.selection.choosing.selection_folder.BATCH_ROWS", 2)
        out = folder / "scores" if on_disk else None
        scores = score_documents(corpus, [1, 2], out=out)
        options = {"budget_tokens": budget, "allow_shortfall": True}
        table = select(scores, **options)
        chosen = select(out, **options, out=folder / "chosen") if on_disk else table
        manifest = write_selection(chosen, corpus, folder / "out", eos=eos, shard_tokens=shard_tokens)
    taken = set(zip(table["unit"].to_pylist(), table["row"].to_pylist(), strict=True))
    whole = {
        (unit.name, row): [*text, EOS] for unit, texts in zip(corpus.work_units(), units, strict=True)
        for row, text in enumerate(texts)
    }  # fmt: skip
    expected = [text for place, text in whole.items() if place in taken]
    shards = manifest["selected"]["shards"]
    assert manifest == read_json(folder / "out" / "manifest.json")
    assert all(shard["tokens"] >= shard_tokens for shard in shards[:-1])
    assert all(shard["tokens"] - shard_tokens < 6 for shard in shards)
    provenance = read_table(folder / "out" / "provenance.parquet").to_pylist()
    ids = {shard["file"]: np.fromfile(folder / "out" / shard["file"], "<u2").tolist() for shard in shards}
    assert [ids[row["shard"]][row["first"] : row["first"] + row["length"]] for row in provenance] == expected
    assert [(row["unit"], row["row"]) for row in provenance] == [place for place in whole if place in taken]
    if expected:
        assert read_back(folder / "out", manifest) == (expected, [shard["file"] for shard in shards])
    assert manifest["selected"]["documents"] == len(expected) == table.num_rows
    assert manifest["selected"]["tokens"] == sum(map(len, expected))
    assert manifest["selected"]["eos_added"] == (0 if format == "olmo" else len(expected))
    for shard in shards:
        data = (folder / "out" / shard["file"]).read_bytes()
        assert shard["bytes"] == len(data)
        assert shard["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("vocab_size", "dtype"), [(1 << 16, "uint16"), ((1 << 16) + 1, "uint32")])
def test_ids_are_as_wide_as_the_vocabulary_asks(tmp_path, vocab_size, dtype):
    documents = [[vocab_size - 1, 3, 0], [5, 0]]
    write_olmo(tmp_path / "a.npy", documents, "<u4")
    files = TokenFiles(tmp_path / "a.npy", vocab_size=vocab_size, eos=0, dtype="uint32")
    manifest = write_selection(everything(files), files, tmp_path / "out")
    assert manifest["dtype"] == dtype
    assert read_back(tmp_path / "out", manifest)[0] == documents


def test_with_bos_every_document_is_read_back_as_it_was(tmp_path):
    bos = 8
    first, second = [[3, EOS, 4, EOS], [bos, 2, EOS, 1, EOS]], [[5, EOS], [bos, 1, EOS], [bos, 7]]
    write_olmo(tmp_path / "a.npy", first)
    write_olmo(tmp_path / "b.npy", second)
    files = TokenFiles(tmp_path, vocab_size=10, eos=EOS, bos=bos)
    manifest = write_selection(everything(files), files, tmp_path / "out")
    assert (manifest["bos"], manifest["selected"]["eos_added"]) == (bos, 1)
    assert [shard["documents"] for shard in manifest["selected"]["shards"]] == [2, 3]  # [5, EOS] begins a file
    assert read_back(tmp_path / "out", manifest)[0] == [*first, *second[:2], [bos, 7, EOS]]


def test_a_document_without_an_end_gets_one(tmp_path):
    write_olmo(tmp_path / "a.npy", [[1, EOS], [2, 3]])
    write_olmo(tmp_path / "b.npy", [[4, EOS]])
    files = TokenFiles(tmp_path, vocab_size=10, eos=EOS)
    manifest = write_selection(everything(files), files, tmp_path / "out")
    assert read_back(tmp_path / "out", manifest)[0] == [[1, EOS], [2, 3, EOS], [4, EOS]]
    assert manifest["selected"]["eos_added"] == 1


def test_files_without_selected_documents_are_not_read(tmp_path, monkeypatch):
    for name in "ab":
        write_olmo(tmp_path / f"{name}.npy", [[1, EOS]])
    files = TokenFiles(str(tmp_path / "*.npy"), vocab_size=10, eos=EOS)
    chosen = everything(files).slice(0, 1)
    read, blocks = [], TokenFiles.blocks

    def noted(self, unit, **options):
        read.append(unit.name)
        return blocks(self, unit, **options)

    monkeypatch.setattr(TokenFiles, "blocks", noted)
    write_selection(chosen, files, tmp_path / "out")
    assert read == chosen["unit"].to_pylist()


class TestRefusals:
    def test_tokens_without_an_end_of_their_own_need_one(self, tmp_path):
        store = made_store(tmp_path, [[1, 2]], vocab_size=10)
        with pytest.raises(ValueError, match="write_selection: eos must be given for TokenStore: the id that ends a"):
            write_selection(everything(store), store, tmp_path / "out")
        with pytest.raises(ValueError, match="write_selection: eos must be at most 9; got 10"):
            write_selection(everything(store), store, tmp_path / "out", eos=10)
        assert not (tmp_path / "out").exists()

    def test_another_end_than_that_of_the_files_is_refused(self, tmp_path):
        write_olmo(tmp_path / "a.npy", [[1, EOS]])
        files = TokenFiles(tmp_path, vocab_size=10, eos=EOS)
        with pytest.raises(ValueError, match="write_selection: eos must be that of corpus, 9, or None; got 3"):
            write_selection(everything(files), files, tmp_path / "out", eos=3)

    def test_text_has_no_end(self, tmp_path):
        (tmp_path / "a.txt").write_text("text")
        with pytest.raises(ValueError, match="write_selection: eos must be None for text; got 3"):
            write_selection(
                pa.table({"unit": ["u"], "row": [0], "id": ["a"]}), tmp_path / "a.txt", tmp_path / "o", eos=3
            )

    def test_an_end_inside_a_document_is_refused_by_its_place(self, tmp_path):
        store = made_store(tmp_path, [[1], [2, EOS], [3, EOS, 4]], vocab_size=10)
        with pytest.raises(CorpusError, match=r"u0\.jsonl, row 2: must not hold eos, 9, before its end; got one"):
            write_selection(everything(store), store, tmp_path / "out", eos=EOS)
        assert not (tmp_path / "out").exists()

    def test_another_document_in_the_row_is_refused(self, tmp_path):
        store = made_store(tmp_path, [[1], [2, 3]], vocab_size=10)
        chosen = everything(store)
        other = chosen.set_column(2, "id", pa.array(["u0:0", "else"]))
        with pytest.raises(CorpusError, match=r"u0\.jsonl, row 1: must hold document 'else'; got 'u0:1'"):
            write_selection(other, store, tmp_path / "out", eos=EOS)
        other = chosen.set_column(3, "tokens", pa.array([1, 7], pa.int32()))
        with pytest.raises(CorpusError, match=r"u0\.jsonl, row 1: must hold a document of 7 tokens; got 2"):
            write_selection(other, store, tmp_path / "out", eos=EOS)
        other = chosen.set_column(1, "row", pa.array([0, 5]))
        with pytest.raises(CorpusError, match=r"u0\.jsonl, row 5: must hold document 'u0:1'; it cannot be read"):
            write_selection(other, store, tmp_path / "out", eos=EOS)

    def test_a_changed_file_is_refused(self, tmp_path):
        write_olmo(tmp_path / "a.npy", [[1, EOS]])
        files = TokenFiles(tmp_path, vocab_size=10, eos=EOS)
        chosen = everything(files)
        write_olmo(tmp_path / "a.npy", [[1, 1, EOS]])
        with pytest.raises(ValueError, match="selection must be of units of corpus as it is now; got 1 that are not"):
            write_selection(chosen, files, tmp_path / "out")

    def test_a_document_twice_is_refused(self, tmp_path):
        store = made_store(tmp_path, [[1], [2, 3]], vocab_size=10)
        chosen = everything(store)
        with pytest.raises(ValueError, match="write_selection: selection must hold each document once"):
            write_selection(pa.concat_tables([chosen, chosen]), store, tmp_path / "out", eos=EOS)

    def test_a_damaged_or_unfinished_selection_is_named(self, tmp_path):
        store = made_store(tmp_path, [[1]], [[2, 3]], vocab_size=10)
        chosen = everything(store, tmp_path)
        file = next(chosen.glob("*.parquet"))
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=f"{file.name}: must be a Parquet file, whole; "):
            write_selection(chosen, store, tmp_path / "out", eos=EOS)
        (chosen / "selection.json").unlink()
        with pytest.raises(
            InputError, match=r"chosen: must be a selection that select wrote; found no selection\.json"
        ):
            write_selection(chosen, store, tmp_path / "out", eos=EOS)

    def test_a_folder_of_something_else_is_not_written_over(self, tmp_path):
        store = made_store(tmp_path, [[1]], vocab_size=10)
        with pytest.raises(ValueError, match="write_selection: out must be a new folder, or hold what write_selection"):
            write_selection(everything(store), store, tmp_path / "store", eos=EOS)
        assert everything(store).num_rows == 1
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(ValueError, match=r"write_selection: out must be a new folder, or hold .*; got .*thesis"):
            write_selection(everything(store), store, tmp_path / "thesis.tex", eos=EOS)
        assert (tmp_path / "thesis.tex").read_text() == "years of work"


class TestFaults:
    @pytest.fixture
    def files(self, tmp_path):
        (tmp_path / "corpus").mkdir()
        for name in "abc":
            write_olmo(tmp_path / "corpus" / f"{name}.npy", [[1, 2, EOS]] * 5)
        return TokenFiles(tmp_path / "corpus", vocab_size=10, eos=EOS)

    def test_fewer_files_take_the_place_of_more(self, files, tmp_path):
        write_selection(everything(files), files, tmp_path / "out", shard_tokens=3)
        assert len(list((tmp_path / "out").glob("part-*.npy"))) == 15
        write_selection(everything(files), files, tmp_path / "out")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "manifest.json", "part-00000.csv.gz", "part-00000.npy", "provenance.parquet",
        ]  # fmt: skip

    def test_a_file_that_changes_while_it_is_read_is_refused(self, files, tmp_path, monkeypatch):
        chosen = everything(files)
        blocks = TokenFiles.blocks

        def changing(self, unit, **options):
            yield from blocks(self, unit, **options)
            with unit.path.open("ab") as file:
                file.write(b"\1\0")

        monkeypatch.setattr(TokenFiles, "blocks", changing)
        with pytest.raises(CorpusError, match=r"a\.npy: must stay as it was when the run began"):
            write_selection(chosen, files, tmp_path / "out")
        assert not (tmp_path / "out").exists()
