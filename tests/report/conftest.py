"""Pages of a made-up run, written and read."""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_run import HOSTILE, WORDS, make_run

from pivotkit.report import write_comparison, write_report


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every stage over real and hostile words; tests must not write into it."""
    return make_run(tmp_path_factory.mktemp("runs") / "full", WORDS + HOSTILE)


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every stage over real words, which `new_run` copies."""
    return make_run(tmp_path_factory.mktemp("runs") / "plain", WORDS)


@pytest.fixture
def new_run(plain_run: Path, tmp_path: Path) -> Callable[[], Path]:
    """Make a run that the test may damage."""
    return lambda: Path(shutil.copytree(plain_run, tmp_path / "run"))


VOID = {"meta", "br", "input", "img", "link", "hr"}


class Page(HTMLParser):
    """Reads a page, refusing tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif data.strip():
            self.words.append(data.strip())

    def data(self) -> dict:
        """The data of the word browser, opened: the words of every pair, each with its pair and the texts of its tokens."""
        data = json.loads(self.scripts[0])
        data["words"] = []
        for pair in data["pairs"]:
            opened = json.loads(zlib.decompress(base64.b64decode(pair["packed"])))
            data["words"] += [word | {"pair": pair["code"], "tokens": opened["tokens"]} for word in opened["words"]]
        return data

    def has(self, *words: str) -> bool:
        return any(self.words[place : place + len(words)] == list(words) for place in range(len(self.words)))


@pytest.fixture(scope="session")
def read_page() -> Callable[[Path], Page]:
    """Read a page that a test wrote."""
    return lambda path: Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def source(full_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the full run, as text."""
    return write_report(full_run, tmp_path_factory.mktemp("pages") / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def comparison(full_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page that sets the full run beside its copy, as text."""
    folder = tmp_path_factory.mktemp("comparison")
    copy = shutil.copytree(full_run, folder / "copy")
    return write_comparison([full_run, copy], folder / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(source: str) -> Page:
    """The page of the full run, read."""
    return Page(source)
