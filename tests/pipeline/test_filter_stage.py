"""`pivotkit filter`: what it writes, what `select` leaves out, and what the command line refuses."""

from __future__ import annotations

import json

import pytest
import zstandard

from pivotkit.artifacts import read_json, read_table, table_metadata
from pivotkit.cli import main


@pytest.fixture
def doubled(given, tmp_path):
    """The world's corpus with its first forty documents twice."""
    with (given / "world" / "corpus.jsonl.zst").open("rb") as file:
        raw = zstandard.ZstdDecompressor().stream_reader(file).read()
    lines = raw.decode().splitlines()
    copies = [json.dumps(json.loads(line) | {"id": f"copy{place}"}) for place, line in enumerate(lines[:40])]
    (tmp_path / "corpus.jsonl").write_text("\n".join([*lines, *copies]) + "\n")
    return tmp_path / "corpus.jsonl"


def test_select_leaves_out_what_the_filter_lists(doubled, arguments, tmp_path, capsys):
    run = str(tmp_path / "run")
    words = [str(doubled) if word.endswith("corpus.jsonl.zst") else word for word in arguments]
    assert main(["run", *words, "--budget-tokens", "1000000", "--out", run]) == 0
    everything = read_table(tmp_path / "run" / "selection" / "provenance.parquet")["id"].to_pylist()
    assert main(["filter", run, "--filters", "near-duplicates"]) == 0
    dropped = read_table(tmp_path / "run" / "dropped.parquet")
    assert dropped.num_rows >= 40
    assert table_metadata(dropped)["filters"]["near-duplicates"]
    assert "filter: near-duplicates takes" in capsys.readouterr().err
    assert main(["filter", run, "--filters", "near-duplicates"]) == 0
    assert "filter: nothing to do" in capsys.readouterr().err
    assert main(["select", run]) == 0
    left = read_table(tmp_path / "run" / "selection" / "provenance.parquet")["id"].to_pylist()
    assert set(left) == set(everything) - set(dropped["id"].to_pylist())
    moved = tmp_path / "elsewhere" / "corpus.jsonl"
    moved.parent.mkdir()
    doubled.rename(moved)
    assert main(["select", run, "--corpus", str(moved), "--seed", "1"]) == 0
    assert set(read_table(tmp_path / "run" / "selection" / "provenance.parquet")["id"].to_pylist()) == set(left)
    assert main(["report", run]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "What the guard took" in page
    assert '<mark class="pivot">' in page


def test_excluded_files_are_read_again_when_they_change(copied, tmp_path, capsys):
    bench = tmp_path / "bench.txt"
    bench.write_text("eight words that stand in no document at all\n")
    ask = ["filter", str(copied), "--filters", "near-duplicates", "--exclude", str(bench)]
    assert main(ask) == 0
    assert main(ask) == 0
    assert "filter: nothing to do" in capsys.readouterr().err
    bench.write_text("other words that stand in no document at all\n")
    assert main(ask) == 0
    assert "nothing to do" not in capsys.readouterr().err
    assert read_json(copied / "run.json")["stages"]["filter"]["settings"]["exclude"] == [str(bench)]


@pytest.mark.parametrize(("flags", "told"), [
    (["--filter-thresholds", "gopher=3"], "--filter-thresholds must name gopher.NAME, c4.NAME, fineweb.NAME; got 'gopher'"),
    (["--filter-thresholds", "c4.min_num_sentences=few"], "must be numbers; got c4.min_num_sentences='few'"),
    (["--filters", "gofer"], "--filters must be one of near-duplicates, gopher, c4, fineweb; got 'gofer'"),
    (["--similarity", "2"], "--similarity must be between 0 and 1; got 2"),
])  # fmt: skip
def test_a_wrong_setting_is_refused_in_one_line(copied, capsys, flags, told):
    with pytest.raises(SystemExit) as left:
        raise SystemExit(main(["filter", str(copied), *flags]))
    assert left.value.code == 2
    assert told in capsys.readouterr().err
