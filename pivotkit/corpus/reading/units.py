"""Corpus files, and the work units inside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from glob import glob
from itertools import islice
from pathlib import Path

import orjson

from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.reading.boundaries import arrow_batches, gzip_members, parquet_row_groups, zstd_frames
from pivotkit.errors import CorpusError

JSON_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
SUFFIXES = (*JSON_SUFFIXES, ".txt", ".txt.gz", ".txt.zst", ".parquet", ".arrow")

Corpus = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Unit:
    """One piece of work: a file as it was when it was found, or a part of it.

    ``name`` consists of a hash of path, size and time of change, and of the part's ends. So work on a file is not taken
    for work on a changed file or on another part, and two names tell whether their parts overlap (`overlap`).

    Attributes
    ----------
    path : Path
    size : int
        Size of the file in bytes.
    modified : int
        When the file was last changed, in nanoseconds.
    begin, end : int, int or None
        Bytes of the file, where None is the file's end; for token files, ids or documents (`TokenFiles.work_units`). A
        unit has the row groups (`row_group_places`) and record batches that begin in [begin, end). It has the lines
        that begin after ``begin`` and at or before ``end``, and the first unit also has the file's first line. (So
        nobody has to look before ``begin`` to know whether a line begins there.) In a compressed file both are ends of
        frames or members, and lines begin at places in the decompressed text.
    """

    path: Path
    size: int
    modified: int
    begin: int = 0
    end: int | None = None

    def __repr__(self) -> str:
        part = "" if self.begin == 0 and self.end is None else f", {self.begin}-{'' if self.end is None else self.end}"
        return f"Unit({str(self.path)!r}{part}, {amount(self.size, 'byte')})"

    @classmethod
    def of(cls, path: str | Path) -> Unit:
        """The whole file at ``path`` as it is now."""
        path = Path(path).resolve()
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns)

    @property
    def name(self) -> str:
        identity = f"{self.path}\0{self.size}\0{self.modified}"
        digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
        whole = self.begin == 0 and self.end is None
        return digest if whole else f"{digest}.{self.begin}-{'' if self.end is None else self.end}"

    @property
    def stop(self) -> int:
        """``end``, or the size of the file where ``end`` is None."""
        return self.size if self.end is None else self.end

    def check(self) -> None:
        """Raise a CorpusError when the file is not as it was."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise CorpusError(self.path, "", f"must stay as it was when the run began; {error}") from None
        for name, now, then in (("bytes", status.st_size, self.size), ("ns", status.st_mtime_ns, self.modified)):
            if now != then:
                problem = f"must stay as it was when the run began ({then} {name}); got {now} {name}"
                raise CorpusError(self.path, "", problem)


def overlap(one: str, other: str) -> bool:
    """Whether the units with these names share a part of one file. Names of other things overlap only with themselves.

    >>> overlap("a.0-10", "a.5-"), overlap("a.0-10", "a.10-20"), overlap("a", "a.10-20"), overlap("a", "b")
    (True, False, True, False)
    """
    if one == other:
        return True
    (file, begin, end), (other_file, other_begin, other_end) = _extent(one), _extent(other)
    return file == other_file and begin < other_end and other_begin < end


def any_overlap(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether a unit of ``some`` overlaps one of ``others``; only names of the same file are compared."""
    by_file: dict[str, list[str]] = {}
    for name in others:
        by_file.setdefault(name.partition(".")[0], []).append(name)
    return any(overlap(name, other) for name in some for other in by_file.get(name.partition(".")[0], ()))


def _extent(name: str) -> tuple[str, float, float]:
    file, _, part = name.partition(".")
    begin, _, end = part.partition("-")
    return file, float(begin or 0), float(end or "inf")


def corpus_files(corpus: Corpus) -> list[Path]:
    """The files of a corpus, each once, sorted by path.

    Parameters
    ----------
    corpus
        A file, a folder (every corpus file below it), a glob, or a sequence of those. In a folder of Hugging Face
        ``datasets.save_to_disk``, only the data files in its ``state.json`` are corpus files; caches beside them are
        not.

    Returns
    -------
    list of Path
        Absolute paths.

    Raises
    ------
    CorpusError
        When a part matches no file, and for a file whose name does not end in one of `SUFFIXES`.
    TypeError
        For a part that is not a path.
    """
    return find_files("corpus_files", corpus, SUFFIXES, _below)


def find_files(
    function: str, corpus: Corpus, suffixes: tuple[str, ...], below: Callable[[Path], list[Path]]
) -> list[Path]:
    """The files of ``corpus`` with one of ``suffixes``, each once, sorted; ``below`` finds the files in a folder."""
    parts = [corpus] if isinstance(corpus, str | Path) else list(corpus)
    if not parts:
        raise CorpusError("corpus", "", "must name at least one file; got none")
    files: set[Path] = set()
    for part in parts:
        if not isinstance(part, str | Path):
            raise TypeError(f"{function}: corpus must hold paths; got {type(part).__name__}")
        path = Path(part)
        if path.is_dir():
            found = below(path)
        else:
            matches = [part] if path.exists() else glob(str(part), recursive=True)  # noqa: PTH207 (it may be absolute)
            found = [Path(match) for match in matches]
        if not found:
            raise CorpusError(part, "", "must match at least one file; found none")
        files.update(file.resolve() for file in found if not file.is_dir())
    for file in sorted(files):
        check_suffix(file, suffixes)
    return sorted(files)


def _below(folder: Path) -> list[Path]:
    found = [file for file in folder.rglob("*") if file.is_file() and file.name.endswith(SUFFIXES)]
    listed = {parent: _listed(parent) for parent in {file.parent for file in found if file.suffix == ".arrow"}}
    return [
        file
        for file in found
        if file.suffix != ".arrow" or (names := listed[file.parent]) is None or file.name in names
    ]


def _listed(folder: Path) -> set[str] | None:
    """The names of a saved dataset's data files; None when ``folder`` is not a saved dataset."""
    state = folder / "state.json"
    if not state.exists():
        return None
    try:
        return {entry["filename"] for entry in orjson.loads(state.read_bytes())["_data_files"]}
    except (ValueError, KeyError, TypeError):
        raise CorpusError(state, "", 'must list the "_data_files" of a saved dataset; got something else') from None


def check_suffix(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> None:
    if not path.name.endswith(suffixes):
        one_of = "one of " if len(suffixes) > 1 else ""
        raise CorpusError(path, "", f"must end in {one_of}{', '.join(suffixes)}; got {path.name!r}")


def work_units(corpus: Corpus, unit_bytes: int | None = None) -> list[Unit]:
    """The work units of a corpus, file by file in the order of `corpus_files`; the units of a file tile it in order.

    Parameters
    ----------
    corpus
        As for `corpus_files`.
    unit_bytes : int, optional
        About how many bytes of the file a unit should have. None, the default: one unit per file. Plain text is cut
        anywhere, zstd between frames, gzip between members, Parquet between row groups, and Arrow between record
        batches. A file with only one of these is one unit.

    Returns
    -------
    list of Unit

    Raises
    ------
    CorpusError
        As `corpus_files`. A truncated or corrupt file raises its error when its unit is read, not here.
    TypeError, ValueError
        For ``unit_bytes`` that is not a positive int.

    Notes
    -----
    Cost: reads headers only, one per block (zstd), member (BGZF) or batch (Arrow). Other gzip members do not give their
    length, so the file is searched once for the next beginning, and a few kilobytes are inflated there as a test.
    `read_texts` proves the result.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = file.write_text('{"text": "un"}\\n{"text": "deux"}\\n')
    >>> [(unit.begin, unit.end) for unit in work_units(file, unit_bytes=10)]
    [(0, 10), (10, 21), (21, None)]
    """
    if unit_bytes is not None:
        if isinstance(unit_bytes, bool) or not isinstance(unit_bytes, int):
            raise TypeError(f"work_units: unit_bytes must be an int or None; got {type(unit_bytes).__name__}")
        if unit_bytes < 1:
            raise ValueError(f"work_units: unit_bytes must be at least 1; got {unit_bytes}")
    return [part for file in corpus_files(corpus) for part in _parts(Unit.of(file), unit_bytes)]


def _parts(whole: Unit, unit_bytes: int | None) -> list[Unit]:
    if unit_bytes is None or whole.size <= unit_bytes:
        return [whole]
    begins = [0, *_cuts(whole, unit_bytes)]
    ends = [*begins[1:], None]
    return [Unit(whole.path, whole.size, whole.modified, begin, end) for begin, end in zip(begins, ends, strict=True)]


def _cuts(whole: Unit, unit_bytes: int) -> list[int]:
    """Where units after the first begin."""
    name = whole.path.name
    if name.endswith((".jsonl", ".txt")):
        parts = max(1, round(whole.size / unit_bytes))
        return [whole.size * part // parts for part in range(1, parts)]
    if name.endswith(".gz"):
        return gzip_members(whole.path, unit_bytes)
    find = zstd_frames if name.endswith(".zst") else parquet_row_groups if name.endswith(".parquet") else arrow_batches
    cuts, last = [], 0
    for begin in islice(find(whole.path), 1, None):  # bytes before the first belong to the first unit
        if begin - last >= unit_bytes:
            cuts.append(begin)
            last = begin
    return cuts
