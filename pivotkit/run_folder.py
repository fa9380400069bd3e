"""A run folder: its manifest, its lock, and stages that run again only when what they are made of changed."""

from __future__ import annotations

import contextlib
import fcntl
import platform
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pivotkit.arguments import check_path
from pivotkit.artifacts import (
    file_digest,
    file_digests,
    is_sealed,
    read_object,
    read_table,
    sweep,
    temporary_path,
    value_digest,
    write_sealed,
)
from pivotkit.progress import console, progress

PACKAGES = ("pivotkit", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "numba")


class RunFolder:
    """The folder of a run: every artifact, and ``run.json``, which says what each was made of.

    What processes that were killed left unfinished is removed when the folder is opened.

    Parameters
    ----------
    folder : str or Path
    new : bool, default True
        Whether the folder is made where it is absent.

    Raises
    ------
    ValueError
        Another process uses the folder, or the folder is absent and ``new`` is False.
    InputError
        ``run.json`` is not as it was written.
    """

    def __init__(self, folder: str | Path, *, new: bool = True) -> None:
        check_path("RunFolder", "folder", folder)
        self.folder = Path(folder)
        if not new and not self.folder.is_dir():
            raise ValueError(f"RunFolder: folder must be that of a run; got {self.folder}, which is not there")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ValueError(f"RunFolder: folder must not be in use by another process; got {self.folder}") from None
        sweep(self.folder, alone=True)
        self._manifest = self.folder / "run.json"
        try:
            self.manifest = read_manifest(self._manifest)
        except BaseException:
            self.close()
            raise
        self.key = ""  # what the stage that runs now is made of, as one digest

    def __repr__(self) -> str:
        return f"RunFolder({str(self.folder)!r}, stages: {', '.join(self.manifest['stages']) or 'none'})"

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def close(self) -> None:
        """Let other processes use the folder."""
        self._lock.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def configure(self, config: Mapping[str, Any]) -> None:
        """Replace the run's settings by ``config``."""
        self.manifest["config"] = dict(config)
        self._save()

    def record(self, stage: str) -> dict[str, Any] | None:
        """What ``run.json`` says of a finished stage."""
        found: dict[str, Any] | None = self.manifest["stages"].get(stage)
        return found

    def stage(
        self, name: str, outputs: Sequence[str], make: Callable[[], object], *,
        settings: Mapping[str, Any], inputs: Sequence[str | Path] = (), given: Mapping[str, str] | None = None,
        inside: Sequence[str] = (),
    ) -> bool:  # fmt: skip
        """Run ``make`` unless its outputs lie here, made of the same inputs with the same settings.

        Parameters
        ----------
        name : str
            Name of the record in ``run.json``.
        outputs : sequence of str
            What ``make`` writes, by its path in the folder.
        make : function without arguments
        settings : mapping
            What the outputs depend on beside the inputs; JSON can hold it.
        inputs : sequence of str or Path, default ()
            Files and folders, by their path in the folder or absolute. Their contents are compared, never their times.
        given : mapping of str to str, optional
            Digests of what the user gave (`given_digest`).
        inside : sequence of str, default ()
            Artifacts among what the user gave. They are recorded; ``given`` decides.

        Returns
        -------
        bool
            Whether it ran. An interrupted or failed stage leaves no record, so it runs again. One that refused its
            settings, and wrote nothing, keeps the record of what lies there.

        Notes
        -----
        Cost: the digests of inputs and outputs, a second per 1.3 GB and core, once per process.
        """
        made_of = {
            "settings": orjson.loads(orjson.dumps(dict(settings))),  # as they come back from the file
            "made_of": {_name(path): joined(self.digests([path])) for path in inputs},
            "given": dict(given or {}),
            "pivotkit": package_version("pivotkit"),
        }
        record = self.record(name)
        lying = self.digests(outputs)
        whole = all((self / output).exists() for output in outputs)
        if record and whole and record["outputs"] == lying and made_of.items() <= record.items():
            console.print(f"[dim]{name}: nothing to do[/dim]", highlight=False)
            return False
        for path, digest in (record["outputs"] if record else {}).items():
            if lying.get(path, digest) != digest:
                (self / path).unlink()  # so that no part of a damaged output is taken for a finished one
        self.manifest["stages"].pop(name, None)
        self._save()
        begun = time.monotonic()
        _reset_peak_memory()
        self.key = value_digest([made_of, environment()])
        try:
            make()
        except (ValueError, TypeError, IndexError):  # a refusal; where it came before any work, nothing has changed
            if record and self.digests(outputs) == record["outputs"]:
                self.manifest["stages"][name] = record
                self._save()
            raise
        seconds = time.monotonic() - begun
        self.manifest["stages"][name] = made_of | {
            "inside": {path: joined(self.digests([path])) for path in inside},
            "outputs": self.digests(outputs),
            "seconds": round(seconds, 3),
            "peak_memory_bytes": peak_memory(),
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self._save()
        console.print(f"{name}: {seconds:.1f} s", highlight=False)
        return True

    def digests(self, names: Sequence[str | Path]) -> dict[str, str]:
        """The digest of every file of artifacts, by its path in the folder. Hidden files are nobody's artifact."""
        found: list[tuple[str, Path]] = []
        for name in names:
            for inside, file in files_of(self.folder / name):
                found.append((f"{_name(name)}/{inside}" if inside else _name(name), file))
        return dict(zip((place for place, _ in found), file_digests(file for _, file in found), strict=True))

    def given_digest(self, value: Any, paths: Sequence[Path]) -> str:
        """The digest of what the user gave: the names and contents of ``paths``, or ``value`` where there are none.

        ``run.json`` keeps the digest of each file, so a file is read only where its size or time is another.
        """
        kept: dict[str, Any] = self.manifest["given"]
        listed = [(inside or path.name, file.resolve()) for path in paths for inside, file in files_of(path)]
        status = {file: [file.stat().st_size, file.stat().st_mtime_ns] for _, file in listed}
        unknown = [file for file in status if kept.get(str(file), [])[:2] != status[file]]
        for file, digest in zip(unknown, file_digests(unknown), strict=True):
            kept[str(file)] = [*status[file], digest]
        return value_digest([(name, kept[str(file)][2]) for name, file in listed] or value)

    def shards(
        self, folder: str, parts: Sequence[pa.Table], key: str, make: Callable[[pa.Table], pa.Table], what: str
    ) -> None:
        """Write ``make`` of each part of the items as one Parquet file; whole files with the same ``key`` are kept.

        The name of a file holds its number, the key and its own digest.
        """
        target = self / folder
        target.mkdir(exist_ok=True)
        stems = [f"part-{number:05d}-{key[:12]}-" for number in range(len(parts))]
        there = {}
        for path in sorted(target.glob("*.parquet")):
            stem = path.name[: len(stems[0])] if stems else ""
            if stem in stems and stem not in there and path.name == _shard_name(stem, path):
                there[stem] = path
            else:
                path.unlink()
        done = 0
        with progress(what, sum(part.num_rows for part in parts)) as tell:
            for stem, part in zip(stems, parts, strict=True):
                if stem not in there:
                    temporary = temporary_path(target / "part")
                    try:
                        pq.write_table(make(part), temporary, compression="zstd")
                        temporary.replace(target / _shard_name(stem, temporary))
                    finally:
                        temporary.unlink(missing_ok=True)
                done += part.num_rows
                tell(done)

    def gather(self, folder: str) -> pa.Table:
        """All shards of ``folder`` as one table."""
        return read_table(self / folder)

    def _save(self) -> None:
        self.manifest["environment"] = environment()
        write_sealed(self.manifest, self._manifest)


def read_manifest(path: Path) -> dict[str, Any]:
    """``run.json``, or an empty one. Records without digests, as pivotkit wrote them before, are left out."""
    value: dict[str, Any] = {}
    if path.exists():
        value = read_object(path, {"stages": dict, "config": dict})
        if not is_sealed(path, value):
            value = {"config": value["config"]}
    value.pop("digest", None)
    return {"stages": {}, "config": {}, "given": {}} | value


def files_of(path: Path) -> Iterator[tuple[str, Path]]:
    """The file at ``path`` under the name "", or the files below it by their names there; hidden ones are left out."""
    if path.is_file():
        yield "", path
    for file in sorted(path.rglob("*")) if path.is_dir() else ():
        inside = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in inside.parts):
            yield inside.as_posix(), file


def joined(digests: Mapping[str, str]) -> str | None:
    """One digest of the files of an artifact; None for no file."""
    return value_digest(dict(digests)) if digests else None


def _name(path: str | Path) -> str:
    """How a record names an input: by its path in the folder, or by its own name where it lies elsewhere."""
    return Path(path).name if Path(path).is_absolute() else Path(path).as_posix()


def _shard_name(stem: str, path: Path) -> str:
    return f"{stem}{file_digest(path)[:12]}.parquet"


def environment() -> dict[str, Any]:
    """The versions of Python and of the packages that matter to a run."""
    return {"python": platform.python_version(), **{name: package_version(name) for name in PACKAGES}}


def package_version(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return None


def _reset_peak_memory() -> None:
    """Reset the operating system's record of peak memory where it can be reset."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Peak resident memory in bytes: of the stage where its record can be reset, else of the process."""
    for line in _status_lines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status_lines() -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from Path("/proc/self/status").read_text().splitlines()
