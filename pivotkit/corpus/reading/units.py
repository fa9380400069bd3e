"""The work units inside corpus files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.reading.boundaries import gzip_members, parquet_row_groups, zstd_frames
from pivotkit.corpus.reading.corpus_files import Corpus, corpus_files, format_of, own_path, regular_file
from pivotkit.corpus.reading.ipc import arrow_batches
from pivotkit.errors import CorpusError


@dataclass(frozen=True)
class Unit:
    """One piece of work: a file as it was when it was found, or a part of it.

    ``name`` consists of a hash of path, size and time of change, those of the index too, and of the part's ends. So
    work on a file is not taken for work on a changed file or on another part, and two names tell whether their parts
    overlap (`overlap`).

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
    index : Unit, optional
        The file beside a token file that says where its documents lie.
    """

    path: Path
    size: int
    modified: int
    begin: int = 0
    end: int | None = None
    index: Unit | None = None

    def __repr__(self) -> str:
        part = "" if self.is_whole else f", {self.begin}-{'' if self.end is None else self.end}"
        return f"Unit({str(self.path)!r}{part}, {amount(self.size, 'byte')})"

    @classmethod
    def of(cls, path: str | Path) -> Unit:
        """The whole file at ``path`` as it is now (`own_path`); CorpusError when it is no regular file."""
        path = Path(path)
        status = regular_file(path)
        return cls(own_path(path), status.st_size, status.st_mtime_ns)

    @property
    def name(self) -> str:
        identity = f"{self.path}\0{self.size}\0{self.modified}" + (f"\0{self.index.name}" if self.index else "")
        digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
        return digest if self.is_whole else f"{digest}.{self.begin}-{'' if self.end is None else self.end}"

    @property
    def is_whole(self) -> bool:
        """Whether the unit is the whole file."""
        return self.begin == 0 and self.end is None

    @property
    def file(self) -> Unit:
        """The unit of the whole file."""
        return replace(self, begin=0, end=None)

    @property
    def stop(self) -> int:
        """``end``, or the size of the file where ``end`` is None."""
        return self.size if self.end is None else self.end

    def check(self) -> None:
        """Raise a CorpusError when the file or its index is not as it was."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise CorpusError(self.path, "", f"must stay as it was when the run began; {error}") from None
        for name, now, then in (("bytes", status.st_size, self.size), ("ns", status.st_mtime_ns, self.modified)):
            if now != then:
                problem = f"must stay as it was when the run began ({then} {name}); got {now} {name}"
                raise CorpusError(self.path, "", problem)
        if self.index is not None:
            self.index.check()


def unit_bytes(units: Sequence[Unit]) -> list[int]:
    """About how many bytes of its file each of ``units`` has, which are all of a corpus; exact where they count bytes.

    >>> whole = Unit(Path("a"), 100, 0)
    >>> unit_bytes([replace(whole, end=30), replace(whole, begin=30, end=40), Unit(Path("b"), 7, 0)])
    [75, 25, 7]
    """
    ends: dict[Path, int] = {}  # in bytes, or in what else units count
    for unit in units:
        ends[unit.path] = max(ends.get(unit.path, 0), unit.stop)
    return [unit.size * (unit.stop - unit.begin) // max(ends[unit.path], 1) for unit in units]


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
    return [part for file in corpus_files(corpus) for part in cut(Unit.of(file), unit_bytes)]


def cut(whole: Unit, unit_bytes: int | None) -> list[Unit]:
    """The units of one file, as `work_units`."""
    if unit_bytes is None or whole.size <= unit_bytes:
        return [whole]
    begins = [0, *_cuts(whole, unit_bytes)]
    ends = [*begins[1:], None]
    return [replace(whole, begin=begin, end=end) for begin, end in zip(begins, ends, strict=True)]


def _cuts(whole: Unit, unit_bytes: int) -> list[int]:
    """Where units after the first begin."""
    content, compression = format_of(whole.path)
    if content in ("json", "text") and compression is None:
        parts = max(1, round(whole.size / unit_bytes))
        return [whole.size * part // parts for part in range(1, parts)]
    if compression == "gzip":
        return gzip_members(whole.path, unit_bytes)
    find = zstd_frames if compression == "zstd" else parquet_row_groups if content == "parquet" else arrow_batches
    cuts, last = [], 0
    for begin in islice(find(whole.path), 1, None):  # bytes before the first belong to the first unit
        if begin - last >= unit_bytes:
            cuts.append(begin)
            last = begin
    return cuts
