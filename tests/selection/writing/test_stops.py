"""A call that was stopped goes on: the same bytes after a kill at any moment, a full disk, a corpus that changed."""

from __future__ import annotations

import subprocess
import sys

import orjson
import pyarrow as pa
import pytest
from killed_writes import killed
from token_formats import write_olmo
from tokenizers import Tokenizer, models, pre_tokenizers

from pivotkit.artifacts import read_json
from pivotkit.corpus import TokenFiles
from pivotkit.corpus.reading.documents import work_units
from pivotkit.errors import CorpusError
from pivotkit.selection import write_selection
from pivotkit.selection.choosing.selection_folder import SelectionWriter
from pivotkit.selection.writing.formats import FORMATS

EOS = 99


@pytest.fixture
def texts(tmp_path):
    """A corpus of text with selection, and a tokenizer of its words."""
    (tmp_path / "corpus").mkdir()
    rows = []
    for number in range(3):
        lines = [{"id": f"{number}-{row}", "text": "un deux trois " * (row + 1), "lang": "fr"} for row in range(20)]
        (tmp_path / "corpus" / f"{number}.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        unit = work_units(tmp_path / "corpus" / f"{number}.jsonl")[0].name
        rows += [{"unit": unit, "row": row, "id": f"{number}-{row}", "tokens": 3 * (row + 1), "score": row / 20,
                  "take": 3 * (row + 1) - row % 3, "lang": "fr"} for row in range(1, 20, 2)]  # fmt: skip
    core = Tokenizer(models.WordLevel({"un": 0, "deux": 1, "trois": 2, "[UNK]": EOS}, "[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.save(str(tmp_path / "tokenizer.json"))
    table = pa.Table.from_pylist(rows).set_column(5, "take", pa.array([row["take"] for row in rows], pa.int32()))
    select_folder(table, tmp_path / "chosen")
    return tmp_path


def select_folder(table, out):
    """The folder of a selection of all rows of a table, some of which may be cut."""
    out.mkdir()
    with SelectionWriter(out, table.schema) as writer:
        for batch in table.sort_by([("unit", "ascending"), ("row", "ascending")]).to_batches():
            writer.add(batch)
        writer.finish({})


@pytest.mark.parametrize("format", FORMATS)
def test_a_call_that_is_killed_at_any_moment_goes_on_to_the_same_bytes(texts, format):
    arguments = {"selection": str(texts / "chosen"), "corpus": str(texts / "corpus"), "format": format}
    arguments |= {"tokenizer": str(texts / "tokenizer.json"), "shard_tokens": 100, "shard_bytes": 500}
    if format in ("olmo", "megatron"):
        arguments["eos"] = EOS
    found = killed("write_selection", texts / "out", arguments)
    assert found["broken"] == found["different"] == []
    assert found["killed"] >= 20
    assert found["resumed"] > 3


def test_instances_that_are_killed_at_any_moment_go_on_to_the_same_bytes(texts):
    arguments = {"selection": str(texts / "chosen"), "corpus": str(texts / "corpus"), "format": "olmo", "eos": EOS}
    arguments |= {"tokenizer": str(texts / "tokenizer.json"), "shard_tokens": 100, "instance_tokens": 16}
    found = killed("write_selection", texts / "out", arguments)
    assert found["broken"] == found["different"] == []
    assert found["killed"] >= 20
    assert found["resumed"] > 3


class TestFiles:
    @pytest.fixture
    def files(self, tmp_path):
        (tmp_path / "corpus").mkdir()
        for name in "abc":
            write_olmo(tmp_path / "corpus" / f"{name}.npy", [[1, 2, EOS]] * 5)
        return TokenFiles(tmp_path / "corpus", vocab_size=100, eos=EOS)

    @pytest.fixture
    def chosen(self, files):
        rows = [{"unit": unit.name, "row": row, "id": f"{unit.path.name}:{row}", "tokens": 3, "score": 1.0, "lang": None}
                for unit in files.work_units() for row in range(5)]  # fmt: skip
        schema = pa.schema([("unit", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("tokens", pa.int32()),
                            ("score", pa.float64()), ("lang", pa.string())])  # fmt: skip
        return pa.Table.from_pylist(rows, schema)

    def test_a_disk_that_is_full_is_named_and_what_is_whole_stays(self, files, chosen, tmp_path):
        whole = write_selection(chosen, files, tmp_path / "whole", shard_tokens=6)
        select_folder(chosen, tmp_path / "chosen")
        code = (
            "import resource, sys\n"
            "from pivotkit.corpus import TokenFiles\n"
            "from pivotkit.selection import write_selection\n"
            "from pivotkit.selection.writing.begun_folder import BegunFolder\n"
            "keep = BegunFolder.keep\n"
            "def kept(self, *arguments):\n"
            "    keep(self, *arguments)\n"
            "    if len(self.shards) == 3: resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))\n"
            "BegunFolder.keep = kept\n"
            f"files = TokenFiles(sys.argv[1], vocab_size=100, eos={EOS})\n"
            "write_selection(sys.argv[2], files, sys.argv[3], shard_tokens=6)\n"
        )
        command = [sys.executable, "-c", code, *map(str, (files.files, tmp_path / "chosen", tmp_path / "out"))]
        ended = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].startswith("OSError: [Errno 27] File too large: ")
        assert f"{tmp_path}/.out.begun/part-00003" in ended.stderr.splitlines()[-1]
        assert len(list((tmp_path / ".out.begun" / "state").glob("0*.json"))) == 3
        again = write_selection(tmp_path / "chosen", files, tmp_path / "out", shard_tokens=6)
        assert again["selected"] == whole["selected"]
        assert not (tmp_path / ".out.begun").exists()

    def stopped(self, files, chosen, out, monkeypatch, shards=2):
        """A call that stops behind some whole shards."""
        from pivotkit.selection.writing.begun_folder import BegunFolder

        keep = BegunFolder.keep

        def kept(self, *arguments):
            keep(self, *arguments)
            if len(self.shards) == shards:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(BegunFolder, "keep", kept)
            with pytest.raises(KeyboardInterrupt):
                write_selection(chosen, files, out, shard_tokens=6)

    def test_shards_that_are_whole_are_not_written_again(self, files, chosen, tmp_path, monkeypatch):
        self.stopped(files, chosen, tmp_path / "out", monkeypatch)
        begun = tmp_path / ".out.begun"
        before = {path.name: path.stat().st_mtime_ns for path in begun.glob("part-*")}
        assert len(before) == 4
        write_selection(chosen, files, tmp_path / "out", shard_tokens=6)
        assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in before} == before

    def test_a_shard_that_was_damaged_since_is_written_again(self, files, chosen, tmp_path, monkeypatch):
        whole = write_selection(chosen, files, tmp_path / "whole", shard_tokens=6)
        self.stopped(files, chosen, tmp_path / "out", monkeypatch)
        (tmp_path / ".out.begun" / "part-00001.npy").write_bytes(b"\0\0" * 6)
        assert write_selection(chosen, files, tmp_path / "out", shard_tokens=6)["files"] == whole["files"]

    def test_another_call_begins_anew(self, files, chosen, tmp_path, monkeypatch):
        self.stopped(files, chosen, tmp_path / "out", monkeypatch)
        manifest = write_selection(chosen, files, tmp_path / "out", shard_tokens=9)
        assert manifest == write_selection(chosen, files, tmp_path / "whole", shard_tokens=9)

    def test_a_file_that_changed_between_is_named(self, files, chosen, tmp_path, monkeypatch):
        self.stopped(files, chosen, tmp_path / "out", monkeypatch)
        write_olmo(tmp_path / "corpus" / "b.npy", [[1, EOS]] * 5)
        with pytest.raises(ValueError, match=r"selection must be of units of corpus as it is now; got 1 .*b\.npy"):
            write_selection(chosen, files, tmp_path / "out", shard_tokens=6)
        (tmp_path / "corpus" / "b.npy").unlink()
        with pytest.raises(ValueError, match=r"selection must be of units of corpus as it is now; got 1 "):
            write_selection(chosen, files, tmp_path / "out", shard_tokens=6)

    def test_a_file_that_goes_while_it_is_read_is_named(self, files, chosen, tmp_path, monkeypatch):
        blocks = TokenFiles.blocks

        def going(self, unit, **options):
            (tmp_path / "corpus" / "c.npy").unlink(missing_ok=True)
            yield from blocks(self, unit, **options)

        monkeypatch.setattr(TokenFiles, "blocks", going)
        with pytest.raises((CorpusError, OSError), match=r"c\.npy"):
            write_selection(chosen, files, tmp_path / "out")

    def test_what_was_there_stays_until_all_is_whole(self, files, chosen, tmp_path, monkeypatch):
        before = write_selection(chosen.slice(0, 2), files, tmp_path / "out")
        self.stopped(files, chosen, tmp_path / "out", monkeypatch)
        assert read_json(tmp_path / "out" / "manifest.json") == before
        write_selection(chosen, files, tmp_path / "out", shard_tokens=6)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["corpus", "out"]
