"""The page is whole, safe and self-contained."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.errors import InputError
from pivotkit.report import write_report


def test_the_page_refers_to_nothing_outside_itself(page: Any, source: str) -> None:
    assert not re.search(r"https?://|@import|url\(|srcset|xlink", source)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")
    assert not [tag for tag, name, _ in page.attributes if name == "src"]


def test_users_words_never_become_markup(page: Any, source: str) -> None:
    assert page.tags["script"] == 3
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "<!--" not in source
    assert any("</script><script>alert(1)</script>" in words for words in page.words)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u200b\u200f\u2028\u202e]", source)


def test_the_policy_allows_the_pages_own_script_only(page: Any) -> None:
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]]
    assert f"script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}';" in policy
    assert "default-src 'none'" in policy


def test_links_within_the_page_lead_somewhere(page: Any) -> None:
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert {link.partition("?")[0] for link in links} <= set(ids)
    assert {value for _, name, value in page.attributes if name == "data-key"} <= {
        value.removeprefix("key-") for value in ids
    }


def test_every_table_scrolls_in_a_box_of_its_own_so_that_the_page_never_does(source: str, comparison: str) -> None:
    for page in (source, comparison):
        assert page.count("<table") == page.count('<div class="scroll"><table') > 3


def test_every_figure_has_a_name_and_its_data(source: str, comparison: str) -> None:
    for page in (source, comparison):
        figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
        assert len(figures) > 5
        for figure in figures:
            assert re.search(r'<svg viewBox="[\d. ]+" role="img" aria-label="[^"]+"><metadata>[^<]+\n', figure)


def test_the_same_run_gives_the_same_page(full_run: Path, source: str, tmp_path: Path) -> None:
    assert write_report(full_run, tmp_path / "again.html").read_text(encoding="utf-8") == source


def test_an_empty_run_says_what_has_not_run(tmp_path: Path, read_page: Callable[[Path], Any]) -> None:
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    page = read_page(path)
    assert page.words.count("This stage has not run: the run folder holds no") == 12
    assert page.tags["script"] == 1  # for figures
    assert "Testbed: planted and recovered" not in page.words


@pytest.mark.parametrize(
    ("artifact", "command"),
    [
        ("scores.parquet", "pivotkit score"),
        ("traces", "pivotkit trace"),
        ("traces_fitted", "pivotkit trace-fitted --tuned-lens LENS"),
        ("behaviors.parquet", "pivotkit behaviors"),
        ("causal_effects.parquet", "pivotkit causal"),
        ("causal.parquet", None),
        ("attribution.json", "pivotkit attribution"),
        ("pivots.parquet", "pivotkit pivots"),
        ("agreement.parquet", "pivotkit agreement"),
        ("pivot_mass.parquet", "pivotkit agreement"),
        ("documents.parquet", "pivotkit score-documents"),
        ("selection", "pivotkit select"),
        ("controls", "pivotkit controls"),
        ("dropped.parquet", None),
        ("pretrain.parquet", "pivotkit pretrain"),
        ("items.parquet", "pivotkit trace"),
        ("hubs.parquet", None),
        ("counts", None),
        ("run.json", None),
        ("truth.json", None),
        ("experiment.json", None),
    ],
)
def test_any_stage_may_be_missing(
    artifact: str, command: str | None, new_run: Callable[[], Path], read_page: Callable[[Path], Any]
) -> None:
    run = new_run()
    if (run / artifact).is_dir():
        shutil.rmtree(run / artifact)
    else:
        (run / artifact).unlink()
    page = read_page(write_report(run))
    assert ("This stage has not run: the run folder holds no" in page.words) == (command is not None)
    assert command is None or command in page.words


def test_no_page_is_written_or_changed_when_a_table_is_malformed(new_run: Callable[[], Path]) -> None:
    run = new_run()
    (run / "report.html").write_text("before")
    behaviors = read_table(run / "behaviors.parquet").to_pylist()
    behaviors[3]["behavior"] = "guess"
    write_table(pa.Table.from_pylist(behaviors), run / "behaviors.parquet")
    with pytest.raises(InputError, match=r"behavior must be one of .*; got 'guess'"):
        write_report(run)
    assert (run / "report.html").read_text() == "before"
    assert not list(run.glob(".*.part"))
