"""Scores that are damaged, doubled, unfinished or changing are refused by the name of their file; a kill leaves no half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from killed_writes import killed
from score_shards import made_scores, write_shards
from token_formats import write_olmo

from pivotkit.artifacts import read_json, read_table
from pivotkit.corpus import TokenFiles
from pivotkit.errors import InputError
from pivotkit.selection import score_documents, select
from pivotkit.selection.choosing.choice import Choice

# Rows at a time, so that a small selection has many moments.
SMALL = {
    "pivotkit.selection.choosing.score_shards.ROWS": 100,
    "pivotkit.selection.choosing.selection_folder.GROUP_ROWS": 300,
}
DOCUMENTS = [(place % 3, 2, place % 5 / 10, "en", 0, place) for place in range(60)]


@pytest.fixture
def shards(tmp_path):
    """Units u2, u1 and u0 in 0.arrow, 1.arrow and 2.arrow."""
    return write_shards(made_scores(DOCUMENTS), tmp_path / "shards", cuts={1, 2})


def read_shard(path):
    with pa.ipc.open_file(path) as reader:
        return reader.read_all()


def write_shard(path, table):
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


class TestRefusals:
    def test_a_truncated_file_is_named(self, shards):
        whole = (shards / "1.arrow").read_bytes()
        (shards / "1.arrow").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=r"1\.arrow: must be an Arrow file, whole; "):
            select(shards, budget_tokens=10)

    def test_a_truncated_parquet_file_is_named(self, tmp_path):
        shards = write_shards(made_scores(DOCUMENTS), tmp_path / "shards", cuts={1, 2}, parquet=True)
        whole = (shards / "1.parquet").read_bytes()
        (shards / "1.parquet").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=r"1\.parquet: must be a Parquet file, whole; "):
            select(shards, budget_tokens=10)

    def test_a_document_twice_in_a_file_is_refused(self, shards):
        table = read_shard(shards / "1.arrow")
        write_shard(shards / "1.arrow", pa.concat_tables([table, table.slice(len(table) - 1)]))
        with pytest.raises(
            ValueError, match=r"documents must hold each document once; got row \d+ of unit u1 twice in .*1\.arrow"
        ):
            select(shards, budget_tokens=10)

    def test_a_unit_in_two_files_is_refused(self, shards):
        table = read_shard(shards / "1.arrow")
        write_shard(shards / "9.arrow", table.slice(0, 1))
        with pytest.raises(
            InputError, match=r"9\.arrow: must hold units of its own; got unit u1, which .*1\.arrow has"
        ):
            select(shards, budget_tokens=10)

    def test_a_unit_in_two_places_of_a_file_is_refused(self, shards):
        table = pa.concat_tables([read_shard(shards / "1.arrow"), read_shard(shards / "2.arrow")])
        (shards / "2.arrow").unlink()
        write_shard(shards / "1.arrow", pa.concat_tables([table.slice(1), table.slice(0, 1)]))
        with pytest.raises(
            InputError, match=r"1\.arrow: must hold the rows of a unit together; got unit u1 in several"
        ):
            select(shards, budget_tokens=10)

    @pytest.mark.parametrize("rows", [1, 1 << 16])
    def test_rows_out_of_order_are_refused(self, shards, rows, monkeypatch):
        monkeypatch.setattr("pivotkit.selection.choosing.score_shards.ROWS", rows)
        table = read_shard(shards / "1.arrow")
        write_shard(shards / "1.arrow", pa.concat_tables([table.slice(1), table.slice(0, 1)]))
        with pytest.raises(
            InputError, match=r"1\.arrow: must hold the rows of a unit in order; got row 1 of u1 after 58"
        ):
            select(shards, budget_tokens=10)

    def test_other_columns_are_refused(self, shards):
        table = read_shard(shards / "1.arrow")
        write_shard(shards / "1.arrow", table.drop_columns(["lang"]))
        with pytest.raises(InputError, match=r"1\.arrow: must have the columns unit string, .*; got others"):
            select(shards, budget_tokens=10)

    @pytest.mark.parametrize(("name", "value", "told"), [
        ("score", float("nan"), "documents must have a score each; got NaN or null for 1 of 60"),
        ("score", None, "documents must have a score each; got NaN or null for 1 of 60"),
        ("tokens", None, "documents must have tokens in every row; got 1 nulls"),
        ("tokens", -5, "documents must have 0 or more tokens each; got fewer for 1 of 60"),
        ("row", None, "documents must have row in every row; got 1 nulls"),
        ("unit", None, "documents must have unit in every row; got 1 nulls"),
        ("id", None, "documents must have id in every row; got 1 nulls"),
        ("lang", None, r"documents must have lang in every row; got 1 nulls \(token files tell no language"),
    ])  # fmt: skip
    def test_a_row_that_lacks_what_ranks_it_is_refused(self, shards, name, value, told):
        rows = read_shard(shards / "1.arrow").to_pylist()
        schema = read_shard(shards / "1.arrow").schema
        rows[3][name] = value
        write_shard(shards / "1.arrow", pa.Table.from_pylist(rows, schema))
        with pytest.raises(ValueError, match=f"select: {told}"):
            select(shards, budget_tokens=10, quotas={"en": 1.0})

    @pytest.mark.parametrize("name", ["row", "tokens"])
    def test_what_counts_must_be_whole_numbers(self, shards, name):
        table = pa.concat_tables([read_shard(path) for path in sorted(shards.glob("*.arrow"))])
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(pa.float64()))
        with pytest.raises(
            TypeError, match=f"select: documents must have whole numbers in the column {name}; got double"
        ):
            select(table, budget_tokens=10)

    def test_documents_without_ids_need_the_names_of_their_files(self, tmp_path):
        write_olmo(tmp_path / "a.npy", [[1, 0]] * 3)
        scores = score_documents(TokenFiles(tmp_path / "a.npy", vocab_size=2, eos=0), [1])
        assert select(scores, budget_tokens=4).num_rows == 2
        with pytest.raises(ValueError, match=r"select: documents must have id in every row; got 3 nulls \(or in none"):
            select(scores.replace_schema_metadata(None), budget_tokens=4)

    def test_an_unfinished_folder_is_refused_and_finished_by_the_same_call(self, tmp_path, monkeypatch):
        for name in "ab":
            write_olmo(tmp_path / f"{name}.npy", [[1, 0]] * 3)
        files = TokenFiles(tmp_path / "*.npy", vocab_size=2, eos=0)

        def broken(self, unit, **options):
            if unit.path.stem == "b":
                raise KeyboardInterrupt
            return blocks(self, unit, **options)

        blocks = TokenFiles.blocks
        with monkeypatch.context() as patch:
            patch.setattr(TokenFiles, "blocks", broken)
            with pytest.raises(KeyboardInterrupt):
                score_documents(files, [1], out=tmp_path / "scores")
        with pytest.raises(InputError, match="scores: must hold scores of all units; found them unfinished"):
            select(tmp_path / "scores", budget_tokens=4)
        score_documents(files, [1], out=tmp_path / "scores")
        assert select(tmp_path / "scores", budget_tokens=100, allow_shortfall=True).num_rows == 6

    def test_units_that_the_corpus_no_longer_has_are_not_selected_from(self, tmp_path):
        for name in "ab":
            write_olmo(tmp_path / f"{name}.npy", [[1, 0]] * 3)
        files = TokenFiles(tmp_path / "*.npy", vocab_size=2, eos=0)
        score_documents(files, [1], out=tmp_path / "scores")
        write_olmo(tmp_path / "b.npy", [[1, 0]] * 4)
        score_documents(files, [1], out=tmp_path / "scores")
        assert len(list((tmp_path / "scores").glob("*.parquet"))) == 3
        assert select(tmp_path / "scores", budget_tokens=100, allow_shortfall=True).num_rows == 7

    @pytest.mark.parametrize("place", ["nothing", "empty"])
    def test_a_place_without_scores_is_refused(self, tmp_path, place):
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match=place):
            select(tmp_path / place, budget_tokens=1)

    def test_a_folder_of_something_else_is_not_written_over(self, shards, tmp_path):
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "thesis.tex").write_text("years of work")
        with pytest.raises(
            ValueError, match=r"select: out must be a new folder, or hold what select wrote; got .*home"
        ):
            select(shards, budget_tokens=10, out=tmp_path / "home")
        with pytest.raises(ValueError, match=r"select: out must be a new folder, or hold .*; got .*thesis\.tex"):
            select(shards, budget_tokens=10, out=tmp_path / "home" / "thesis.tex")
        assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"

    def test_a_shortfall_is_told_before_anything_is_written(self, shards, tmp_path):
        with pytest.raises(ValueError, match=r"missing are 880 tokens of all \(it has 120 of 1000\)"):
            select(shards, budget_tokens=1000, out=tmp_path / "chosen")
        assert not (tmp_path / "chosen").exists()


class TestChanges:
    """What changes between two readings."""

    @staticmethod
    def change_before_taking(monkeypatch, change):
        take = Choice.take

        def changed(self):
            change()
            return take(self)

        monkeypatch.setattr(Choice, "take", changed)

    def test_a_file_that_is_longer_is_named(self, shards, tmp_path, monkeypatch):
        table = read_shard(shards / "1.arrow")
        self.change_before_taking(
            monkeypatch, lambda: write_shard(shards / "1.arrow", pa.concat_tables([table, table]))
        )
        with pytest.raises(InputError, match=r"1\.arrow: must stay as it was when the run began"):
            select(shards, budget_tokens=10, out=tmp_path / "chosen")
        assert not (tmp_path / "chosen").exists()

    def test_a_file_of_the_same_size_is_named(self, shards, tmp_path, monkeypatch):
        table = read_shard(shards / "1.arrow")
        other = table.set_column(4, "score", pa.array([0.9] * len(table)))
        self.change_before_taking(monkeypatch, lambda: write_shard(shards / "1.arrow", other))
        with pytest.raises(InputError, match=r"1\.arrow: must stay as it was when the run began"):
            select(shards, budget_tokens=10, out=tmp_path / "chosen")

    def test_a_change_that_its_time_hides_is_refused(self, shards, tmp_path, monkeypatch):
        path = shards / "1.arrow"
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        table = read_shard(path)
        other = table.set_column(4, "score", pa.array([0.9] * len(table)))

        def change():
            write_shard(path, other)
            os.utime(path, ns=times)

        write_shard(path, table)  # in one batch, as the other one
        os.utime(path, ns=times)
        self.change_before_taking(monkeypatch, change)
        with pytest.raises(
            InputError, match="shards: must stay as it was when select began; it has other documents now"
        ):
            select(shards, budget_tokens=10, out=tmp_path / "chosen")
        assert not (tmp_path / "chosen").exists()

    def test_a_file_that_is_gone_is_named(self, shards, monkeypatch):
        self.change_before_taking(monkeypatch, (shards / "1.arrow").unlink)
        with pytest.raises(InputError, match=r"1\.arrow: must stay as it was when the run began"):
            select(shards, budget_tokens=10)


class TestWriting:
    def test_a_new_selection_takes_the_place_of_an_old_one(self, shards, tmp_path):
        select(shards, budget_tokens=100, out=tmp_path / "chosen")
        chosen = select(shards, budget_tokens=2, out=tmp_path / "chosen")
        assert read_table(chosen).equals(select(shards, budget_tokens=2))
        assert len(list(chosen.iterdir())) == 2
        assert sorted(path.name for path in tmp_path.iterdir()) == ["chosen", "shards"]

    def test_a_full_disk_leaves_the_selection_of_before(self, shards, tmp_path, monkeypatch):
        select(shards, budget_tokens=2, out=tmp_path / "chosen")
        before = read_json(tmp_path / "chosen" / "selection.json")

        def full(*arguments, **options):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(OSError, match="No space left on device") as caught:
            select(shards, budget_tokens=100, out=tmp_path / "chosen")
        assert "chosen" in caught.value.filename
        assert read_json(tmp_path / "chosen" / "selection.json") == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["chosen", "shards"]

    def test_a_kill_leaves_the_selection_of_before_and_the_next_run_begins_anew(self, shards, tmp_path):
        select(shards, budget_tokens=2, out=tmp_path / "chosen")
        before = read_json(tmp_path / "chosen" / "selection.json")
        code = (
            "import os, signal, sys; import pyarrow.parquet as pq; from pivotkit.selection import select\n"
            "close = pq.ParquetWriter.close\n"
            "def killed(self): close(self); os.kill(os.getpid(), signal.SIGKILL)\n"
            "pq.ParquetWriter.close = killed\n"
            "select(sys.argv[1], budget_tokens=100, out=sys.argv[2])\n"
        )
        command = [sys.executable, "-c", code, str(shards), str(tmp_path / "chosen")]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert read_json(tmp_path / "chosen" / "selection.json") == before
        assert len(list(tmp_path.iterdir())) == 3
        select(shards, budget_tokens=100, out=tmp_path / "chosen")
        assert read_table(tmp_path / "chosen").equals(select(shards, budget_tokens=100))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["chosen", "shards"]

    def test_a_kill_at_any_moment_leaves_no_half_and_the_same_bytes_after_a_rerun(self, tmp_path):
        scores = made_scores([(place % 4, 1 + place % 5, place % 7 / 10, "en", 0, place) for place in range(2000)])
        shards = write_shards(scores, tmp_path / "shards", cuts={1, 2, 3}, parquet=True, batch=100)
        options = {"budget_tokens": 1500, "temperature": 0.5, "cap_by": "source", "cap": 0.4, "exact": True}
        found = killed("select", tmp_path / "chosen", {"documents": str(shards), **options}, SMALL)
        assert found["broken"] == found["different"] == []
        assert found["killed"] >= 20
        chosen = read_table(tmp_path / "chosen").sort_by([("unit", "ascending"), ("row", "ascending")])
        assert chosen.to_pylist() == select(shards, **options).to_pylist()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["chosen", "shards"]
