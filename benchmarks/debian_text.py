"""Text of languages that the shared corpus lacks, from Debian's packages: the ids line up with the shared ones.

    apt-get download $(python benchmarks/debian_text.py --packages it ru)     # into FOLDER
    apt-get -o Acquire::Languages=it,ru update                                # descriptions, into LISTS
    python benchmarks/debian_text.py it ru --debs FOLDER --lists LISTS --shared SHARED/data --out DATA

DATA is then a folder as `pivot_recall.py` reads it: links to the shared corpus and lexicons, and corpus/it.jsonl.zst and
corpus/ru.jsonl.zst beside them: LibreOffice's and GNOME's help, manual pages, manuals of Debian, descriptions of packages.
"""

from __future__ import annotations

import argparse
import gzip
import html
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import zstandard

# Package, where its text lies in it, and what the shared ids begin with. ``{code}`` is a folder or the code in a name.
SOURCES = {
    "libreoffice-help-{code}": ("usr/share/libreoffice/help/{code}/text", "libreoffice-help/libreoffice/help"),
    "manpages-{code}": ("usr/share/man/{code}", "man/man"),
    "gnome-user-docs": ("usr/share/help/{code}", "gnome-mate-help/help"),
    "mate-user-guide": ("usr/share/help/{code}", "gnome-mate-help/help"),
    "debian-handbook": ("usr/share/doc/debian-handbook/html/{code}-*", "debian-handbook/doc/debian-handbook/html"),
    "installation-guide-amd64": ("usr/share/doc/installation-guide-amd64/{code}",
                                 "installation-guide/doc/installation-guide-amd64"),
    "developers-reference-{code}": ("usr/share/developers-reference/{code}", "devref/developers-reference"),
    "maint-guide-{code}": ("usr/share/doc/maint-guide-{code}/html", "maint-guide/doc/maint-guide-{code}"),
    "aptitude-doc-{code}": ("usr/share/doc/aptitude/html/{code}", "aptitude/doc/aptitude/html"),
}  # fmt: skip
LEAST = 100  # characters of a document


def texts(code: str, debs: Path) -> Iterator[tuple[str, str]]:
    """The id and the text of each document of the packages, where there are such packages."""
    for package, (place, shared) in SOURCES.items():
        for deb in sorted(debs.glob(f"{package.format(code=code)}_*.deb")):
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run(["dpkg-deb", "-x", str(deb), folder], check=True)
                for root in sorted(Path(folder).glob(place.format(code=code))):
                    for path in sorted(root.rglob("*")):
                        if path.is_file() and not path.is_symlink() and (text := plain(path)):
                            inside = path.relative_to(root.parent if root.name != "text" else root.parents[1])
                            yield f"{code}/{shared.format(code=code)}/{inside}", text


def plain(path: Path) -> str:
    """The text of a page in HTML, Mallard or troff, one paragraph a line; nothing for other files."""
    if re.search(r"man\d$", path.parent.name):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = data.decode("utf-8", "replace").splitlines()
        kept = (re.sub(r"^\.\w+ ?", "", line) for line in lines if not line.startswith((r".\"", "'", ".if", ".ie")))
        return re.sub(r"\\f.|\\&|\\\(..|\\\*\(..|\\", "", "\n".join(kept)).strip()
    if path.suffix not in (".html", ".page", ".docbook"):
        return ""
    page = path.read_text("utf-8", "replace")
    page = re.sub(r"(?is)<(script|style|head)\b.*?</\1>|<!--.*?-->", " ", page)
    page = re.sub(r"\s+", " ", page)
    page = re.sub(r"(?i)</?(p|div|h\d|li|tr|td|dt|dd|title|section|page|note|item|br)\b[^>]*>", "\n", page)
    found = html.unescape(re.sub(r"<[^>]+>", "", page))
    return "\n".join(line.strip() for line in found.splitlines() if line.strip())


def descriptions(code: str, lists: Path) -> Iterator[tuple[str, str]]:
    """The translated description of each package, once."""
    told = set()
    for path in sorted(lists.glob(f"*Translation-{code}*")):
        data = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(path)], capture_output=True, check=True)
        for entry in data.stdout.decode("utf-8").split("\n\n"):
            name = re.match(r"Package: (\S+)", entry)
            text = re.search(rf"(?s)Description-{code}: (.*)", entry)
            if name and text and name[1] not in told:
                told.add(name[1])
                yield f"{code}/ddtp/{name[1]}", re.sub(r"(?m)^ \.?", "", text[1]).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs="+")
    parser.add_argument("--packages", action="store_true", help="print the names of the packages, and no more")
    for name in ("debs", "lists", "shared", "out"):
        parser.add_argument(f"--{name}", type=Path)
    given = parser.parse_args()
    if given.packages:
        print(*sorted({package.format(code=code) for package in SOURCES for code in given.languages}))
        return
    corpus = given.out / "corpus"
    corpus.mkdir(parents=True)
    (given.out / "lexicon").symlink_to((given.shared / "lexicon").resolve())
    for path in sorted((given.shared / "corpus").glob("*.jsonl.zst")):
        (corpus / path.name).symlink_to(path.resolve())
    for code in given.languages:
        count = size = 0
        with zstandard.open(corpus / f"{code}.jsonl.zst", "wb") as file:
            for place, text in (*texts(code, given.debs), *descriptions(code, given.lists)):
                if len(text) >= LEAST:
                    file.write(orjson.dumps({"id": place, "text": text, "lang": code}) + b"\n")
                    count, size = count + 1, size + len(text)
        print(f"{code}: {count} documents, {size / 1e6:.1f} million characters")


if __name__ == "__main__":
    main()
