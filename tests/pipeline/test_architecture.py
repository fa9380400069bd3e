"""docs/architecture.md and the table of stages in README.md, held against the code."""

from __future__ import annotations

import re

import pytest
from stage_table import ROOT, TABLES, marked

from pivotkit.report.data import RECORDS
from pivotkit.report.data import TABLES as TABLES_OF_REPORT
from pivotkit.testbed.commands.stages import STAGES

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, tables in TABLES.items() for name in tables])
def test_a_table_is_what_the_records_say(file, name):
    """`python tests/helpers/stage_table.py` writes the tables anew."""
    assert marked((ROOT / file).read_text("utf-8"), name) == TABLES[file][name]()


def test_the_report_names_the_stage_that_writes_what_is_absent():
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "pivotkit" / "report").glob("*.j2"))
    named = re.findall(r'absent\("([\w-]+)", "(?:items\.parquet and )?([\w.]+)', pages)
    assert len(named) > 8
    assert [(STAGES.writer(artifact).name, artifact) for _, artifact in named] == named


def test_the_report_reads_only_what_a_stage_writes():
    places = {place for place, _ in TABLES_OF_REPORT.values()} | set(RECORDS.values())
    for place in places - {"run.json"}:
        assert STAGES.writer(place).name in STAGES


def tree() -> list[str]:
    """The paths of the tree of rooms; a folder ends in a slash."""
    [block] = re.findall(r"## Rooms\n+```\n(.*?)```", PAGE, re.DOTALL)
    paths: list[str] = []
    above: list[str] = []
    for line in block.splitlines():
        found = re.fullmatch(r"( *)(\S+)(?: +(\S.*))?", line)
        assert found, line
        indent, name, purpose = found.groups()
        depth = len(indent) // 2
        above[depth:] = [name]
        assert purpose or name == "pivotkit/", line
        paths.append("".join(above))
    return paths


def test_everything_in_the_tree_is_there():
    for path in tree():
        place = ROOT / path
        assert place.is_dir() if path.endswith("/") else place.is_file(), path


def test_no_folder_of_the_package_is_missing_from_the_tree():
    folders = {path.parent.relative_to(ROOT).as_posix() + "/" for path in (ROOT / "pivotkit").rglob("*.py")}
    assert {path for path in tree() if path.startswith("pivotkit/") and path.endswith("/")} == folders


def test_every_file_that_the_page_names_is_there():
    names = re.findall(r"`((?:pipeline|report|pivots|lens|corpus|testbed|integrations|tests)/[\w/*.]*)`", PAGE)
    assert len(names) > 10
    for name in names:
        assert list((ROOT if name.startswith("tests/") else ROOT / "pivotkit").glob(name.rstrip("/"))), name
