"""A run folder: its manifest, its lock, and stages that run again only when their inputs changed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
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

from pivotkit.arguments import check_path
from pivotkit.artifacts import read_json, read_table, write_json, write_table
from pivotkit.progress import console, track

PACKAGES = ("pivotkit", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "numba")


class RunFolder:
    """The folder of a run: every artifact, and ``run.json``, which says how each was made.

    Parameters
    ----------
    folder : str or Path
    new : bool, default True
        Whether the folder is made where it is absent.

    Raises
    ------
    ValueError
        Another process uses the folder, or the folder is absent and ``new`` is False.
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
            raise ValueError(f"RunFolder: folder must not be in use by another process; got {self.folder}") from None
        self._manifest = self.folder / "run.json"
        self.manifest: dict[str, Any] = read_json(self._manifest) if self._manifest.exists() else {}
        self.manifest.setdefault("stages", {})
        self.manifest.setdefault("config", {})

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

    def stage(
        self, name: str, outputs: Sequence[str], make: Callable[[], object], *,
        settings: Mapping[str, Any], inputs: Sequence[str | Path] = (),
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
            Files and folders, by their path in the folder or absolute. Names, sizes and times are compared.

        Returns
        -------
        bool
            Whether it ran. An interrupted or failed stage leaves no record, so it runs again.
        """
        key = stage_key(name, settings, [self.folder / path for path in inputs])
        record = self.manifest["stages"].get(name)
        if record and record["key"] == key and record["outputs"] == self._describe(outputs):
            console.print(f"[dim]{name}: nothing to do[/dim]", highlight=False)
            return False
        self.manifest["stages"].pop(name, None)
        self._save()
        begun = time.monotonic()
        _reset_peak_memory()
        make()
        seconds = time.monotonic() - begun
        self.manifest["stages"][name] = {
            "key": key,
            "settings": dict(settings),
            "outputs": self._describe(outputs),
            "seconds": round(seconds, 3),
            "peak_memory_bytes": peak_memory(),
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self._save()
        console.print(f"{name}: {seconds:.1f} s", highlight=False)
        return True

    def shards(
        self, folder: str, items: pa.Table, size: int, key: str, make: Callable[[pa.Table], pa.Table], what: str
    ) -> None:
        """Write ``make`` of every ``size`` items as one Parquet file; files with the same ``key`` are kept."""
        target = self / folder
        target.mkdir(exist_ok=True)
        begins = range(0, items.num_rows, size)
        paths = [target / f"part-{number:05d}-{key[:12]}.parquet" for number in range(len(begins))]
        # The second glob finds what a killed run was writing.
        for stale in (set(target.glob("*.parquet")) - set(paths)) | set(target.glob(".*.part")):
            stale.unlink()
        for path, begin in track(list(zip(paths, begins, strict=True)), what):
            if not path.exists():
                write_table(make(items.slice(begin, size)), path)

    def gather(self, folder: str) -> pa.Table:
        """All shards of ``folder`` as one table."""
        return read_table(self / folder)

    def _describe(self, outputs: Sequence[str]) -> dict[str, Any] | None:
        """The size and time of every output file; None where one is missing."""
        found: dict[str, Any] = {}
        for name in outputs:
            path = self / name
            if not path.exists():
                return None
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    found[str(file.relative_to(self.folder))] = [file.stat().st_size, file.stat().st_mtime_ns]
        return found

    def _save(self) -> None:
        self.manifest["environment"] = environment()
        write_json(self.manifest, self._manifest)


def stage_key(name: str, settings: Mapping[str, Any], inputs: Sequence[Path]) -> str:
    """A hash of the stage's name, its settings and its input files' names, sizes and times."""
    files: list[tuple[str, list[int] | None]] = []
    for path in inputs:
        if not path.exists():
            files.append((str(path), None))
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                files.append((str(file), [file.stat().st_size, file.stat().st_mtime_ns]))
    raw = orjson.dumps([name, dict(settings), files, package_version("pivotkit")], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


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
