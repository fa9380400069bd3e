"""The files of a corpus: what a file holds by its name, and which files of a folder are read (docs/formats.md)."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable, Sequence
from glob import glob
from pathlib import Path
from typing import NamedTuple

import orjson

from pivotkit.errors import CorpusError, CorpusWarning


class Format(NamedTuple):
    """What a file holds: "json" or "text" lines, plain (None), "gzip" or "zstd"; or "parquet" or "arrow" columns."""

    content: str
    compression: str | None = None


COMPRESSIONS = {"": None, ".gz": "gzip", ".zst": "zstd"}
LINES = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".txt": "text"}
FORMATS = {
    **{line + packed: Format(LINES[line], COMPRESSIONS[packed]) for line in LINES for packed in COMPRESSIONS},
    ".parquet": Format("parquet"),
    ".arrow": Format("arrow"),
}
SUFFIXES = tuple(FORMATS)
TOKEN_SUFFIXES = {"olmo": ".npy", "megatron": ".bin", "datatrove": ".ds"}

ABOUT = {"readme", "license", "licence", "copying", "notice", "authors", "changelog", "citation", "contributing"}
DATASET = {"state.json", "dataset_info.json", "dataset_dict.json"}  # what Hugging Face datasets writes beside its data

Corpus = str | Path | Sequence[str | Path]


def format_of(path: Path) -> Format:
    """What the file at ``path`` holds, by the end of its name in upper or lower case; CorpusError for another name.

    >>> format_of(Path("part-1.JSON.gz"))
    Format(content='json', compression='gzip')
    """
    return FORMATS[check_suffix(path)]


def check_suffix(path: Path, suffixes: Sequence[str] = SUFFIXES) -> str:
    """The one of ``suffixes`` that the name ends in; CorpusError when it ends in none."""
    suffix = _suffix(path.name, suffixes)
    if suffix is None:
        one_of = "one of " if len(suffixes) > 1 else ""
        raise CorpusError(path, "", f"must end in {one_of}{', '.join(suffixes)}; got {path.name!r}")
    return suffix


def _suffix(name: str, suffixes: Sequence[str]) -> str | None:
    lower = name.lower()
    return next((suffix for suffix in suffixes if lower.endswith(suffix)), None)


def regular_file(path: Path) -> os.stat_result:
    """The status of a file; CorpusError for what is absent or no regular file, because reading it may never end."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        link = f"a link to {path.readlink()}, which cannot be followed; " if path.is_symlink() else ""
        raise CorpusError(path, "", f"must be a readable file; {link}{error}") from None
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
        raise CorpusError(path, "", f"must be a regular file; got {kinds.get(stat.S_IFMT(status.st_mode), 'a device')}")
    return status


def own_path(path: Path) -> Path:
    """The absolute path of a file without links; a link whose own name alone says the format keeps its name.

    So links in a cache of the Hugging Face hub are read as what they are called; the names of its blobs are hashes.
    """
    real = path.resolve()
    every = (*SUFFIXES, *TOKEN_SUFFIXES.values())
    own = _suffix(path.name, every)
    return real if own is None or own == _suffix(real.name, every) else path.parent.resolve() / path.name


def corpus_files(corpus: Corpus) -> list[Path]:
    """The files of a corpus, each once, sorted by path.

    Parameters
    ----------
    corpus
        A file, a folder (every corpus file below it), a glob, or a sequence of those. docs/formats.md says which files
        of a folder are corpus files. A CorpusWarning says which others were passed over, and how many.

    Returns
    -------
    list of Path
        Absolute paths.

    Raises
    ------
    CorpusError
        When a part matches no file; for a file whose name does not end in one of `SUFFIXES`, in any case; for a FIFO, a
        socket, a device or a link that leads nowhere, unless a folder passes it over for its name.
    TypeError
        For a part that is not a path.
    """
    return find_files("corpus_files", corpus, SUFFIXES, _is_corpus, DATASET)


def find_files(
    function: str,
    corpus: Corpus,
    suffixes: Sequence[str],
    is_wanted: Callable[[Path], bool],
    companions: set[str],
) -> list[Path]:
    """The files of ``corpus`` with one of ``suffixes``, each once, sorted by path.

    ``is_wanted`` says of a file in a folder whether it is one. The others are mentioned, unless they are companions.
    """
    parts = [corpus] if isinstance(corpus, str | Path) else list(corpus)
    if not parts:
        raise CorpusError("corpus", "", "must name at least one file; got none")
    files: dict[Path, Path] = {}
    for part in parts:
        if not isinstance(part, str | Path):
            raise TypeError(f"{function}: corpus must hold paths; got {type(part).__name__}")
        path = Path(part)
        if path.is_dir():
            found, passed = _below(path, is_wanted)
        else:
            matches = [part] if os.path.lexists(path) else glob(str(part), recursive=True)  # noqa: PTH207 (absolute)
            found = [path for match in matches if not (path := Path(match)).is_dir()]
            folders = [path for match in matches if (path := Path(match)).is_dir()]
            passed = [folder for folder in folders if not any(file.is_relative_to(folder) for file in found)]
        told = passed_over([path for path in passed if not _is_companion(path, companions)])
        if not found:
            raise CorpusError(part, "", f"must match at least one file; found none{told and f', passed over {told}'}")
        if told:
            warnings.warn(f"{function}: passed over in {part}: {told}", CorpusWarning, stacklevel=3)
        for file in sorted(found):
            regular_file(file)
            own, real = own_path(file), file.resolve()
            if own == real or real not in files:
                files[real] = own
    for file in sorted(files.values()):
        check_suffix(file, suffixes)
    return sorted(files.values())


def passed_over(files: Sequence[Path]) -> str:
    """How many files there are by the last part of their names, with some of the names.

    >>> passed_over([Path("a.csv"), Path("b.csv"), Path("LICENSE")])
    '2 of .csv (a.csv, b.csv), 1 without suffix (LICENSE)'
    """
    kinds: dict[str, list[str]] = {}
    for file in files:
        kind = "folders" if file.is_dir() else f"of {file.suffix.lower()}" if file.suffix else "without suffix"
        kinds.setdefault(kind, []).append(file.name)
    told = []
    for kind, names in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])):
        some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        told.append(f"{len(names)} {kind} ({some})")
    return ", ".join(told)


def _below(folder: Path, is_wanted: Callable[[Path], bool]) -> tuple[list[Path], list[Path]]:
    """The wanted files below a folder, and those that are passed over: of hidden ones only the wanted."""

    def refuse(error: OSError) -> None:
        raise CorpusError(error.filename, "", f"must be a readable folder; {error}")

    found: list[Path] = []
    passed: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=refuse):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".")]
        passed += [here / name for name in folders if (here / name).is_symlink()]  # is not walked
        for path in (here / name for name in files):
            if not path.name.startswith("."):
                (found if is_wanted(path) else passed).append(path)
            elif is_wanted(path):
                passed.append(path)
    arrow = [file for file in found if file.suffix.lower() == ".arrow"]
    saved = {place: _saved_dataset(place) for place in {file.parent for file in arrow}}
    caches = {file for file in arrow if (names := saved[file.parent]) is not None and file.name not in names}
    return [file for file in found if file not in caches], sorted(passed)


def _is_corpus(path: Path) -> bool:
    suffix = _suffix(path.name, SUFFIXES)
    if suffix is None or suffix == ".json":
        return False
    return FORMATS[suffix].content != "text" or not _is_about(path)


def _is_about(path: Path) -> bool:
    """Whether a file is a README, a license or the like."""
    return path.name.partition(".")[0].lower() in ABOUT


def _is_companion(path: Path, companions: set[str]) -> bool:
    """Whether a file that is passed over is so common beside data that nobody need hear of it."""
    return path.name.endswith(tuple(companions)) or (_is_about(path) and _suffix(path.name, SUFFIXES) is None)


def _saved_dataset(folder: Path) -> set[str] | None:
    """The names of a saved dataset's data files; None when ``folder`` is not a saved dataset."""
    state = folder / "state.json"
    if not state.is_file():
        return None
    try:
        return {entry["filename"] for entry in orjson.loads(state.read_bytes())["_data_files"]}
    except (ValueError, KeyError, TypeError):
        raise CorpusError(state, "", 'must list the "_data_files" of a saved dataset; got something else') from None
