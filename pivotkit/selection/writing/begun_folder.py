"""A folder of shards that is written piece by piece: what is whole stays after a stop, and the same call goes on.

The work lies beside its place, in ``.<name>.begun``. There ``state/`` holds ``call.json``, the digest of what the files
depend on, and for each whole shard ``<number>.json``, written last, and ``<number>.arrow``, its rows of provenance.
When all is written the folder takes the place of ``out``: readers see the old folder or the new one, whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pivotkit.artifacts import atomic_path, file_digest, read_object, value_digest, write_json
from pivotkit.errors import InputError

MANIFEST = "manifest.json"
PROVENANCE = "provenance.parquet"
STATE = "state"
OWN = {MANIFEST, PROVENANCE, "state.json", "dataset_info.json", "documents", "attributes", "selected.jsonl.zst"}
GROUP_ROWS = 1 << 17
REPEATED = ("unit", "lang", "file", "shard", "part")  # columns in which few texts stand in many rows


class BegunFolder:
    """The work on one folder. A second process that writes the same waits for the first.

    Attributes
    ----------
    folder : Path
        Where shards are written.
    shards : list of dict
        What was told of each whole shard, in order.
    digest : str
        The digest of what the files depend on.
    """

    def __init__(self, function: str, out: Path, call: Mapping[str, Any]) -> None:
        if out.exists() and not (out.is_dir() and is_own(out)):
            rule = f"be a new folder, or hold what {function} wrote"
            raise ValueError(f"{function}: out must {rule}; got {out}, which has no {MANIFEST}")
        self._out, self.digest = out, value_digest(call)
        self.folder = out.with_name(f".{out.name}.begun")
        self._old = out.with_name(f".{out.name}.old")
        self.shards: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def opened(self) -> Iterator[dict[str, Any] | None]:
        """Yield the manifest where the files are finished already, else None. What is whole outlasts an error."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder):
            if self._old.exists() and not self._out.exists():
                self._old.rename(self._out)  # a kill came between the renames
            manifest = self._resume()
            try:
                yield manifest
            except BaseException:
                if not self.shards:
                    shutil.rmtree(self.folder, ignore_errors=True)
                raise

    @contextlib.contextmanager
    def naming(self, name: str) -> Iterator[None]:
        """An OSError in the block, which may not say which file could not be written, names this one."""
        try:
            yield
        except OSError as error:
            if error.filename is not None:
                raise
            told = error.strerror or str(error)
            raise OSError(error.errno or errno.EIO, told, str(self.folder / name)) from error

    def keep(self, shard: Mapping[str, Any], files: list[str]) -> None:
        """Note that a shard is whole: ``files``, and its provenance, which was written to `rows_path`."""
        for name in files:
            _flush(self.folder / name)
        rows_path = self.rows_path(len(self.shards))
        _flush(rows_path)
        kept = {name: self._about(name) for name in files}
        record = {**shard, "files": kept, "provenance": file_digest(rows_path)}
        write_json(record, self._state / f"{len(self.shards):05}.json")
        self.shards.append(record)

    def rows_path(self, number: int) -> Path:
        """Where the provenance of a shard lies until all are written."""
        return self._state / f"{number:05}.arrow"

    def finish(self, manifest: Mapping[str, Any], schema: pa.Schema, more: Mapping[str, bytes]) -> dict[str, Any]:
        """Write the provenance of all shards, the files ``more``, and last the manifest; then take the place."""
        with atomic_path(self.folder / PROVENANCE) as path:
            self._gather(path, schema)
        for name, content in more.items():
            with atomic_path(self.folder / name) as path:
                path.write_bytes(content)
        files = {name: about for shard in self.shards for name, about in shard["files"].items()}
        files |= {name: self._about(name) for name in (PROVENANCE, *more)}
        whole = {**manifest, "files": files, "call": self.digest}
        write_json(whole, self.folder / MANIFEST)
        self.settle()
        return whole

    def settle(self) -> None:
        """Let the finished folder take the place of ``out``."""
        shutil.rmtree(self._state, ignore_errors=True)
        shutil.rmtree(self._old, ignore_errors=True)
        if self._out.exists():
            self._out.rename(self._old)
        self.folder.rename(self._out)
        shutil.rmtree(self._old, ignore_errors=True)

    @property
    def _state(self) -> Path:
        return self.folder / STATE

    def _about(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        return {"bytes": path.stat().st_size, "sha256": file_digest(path)}

    def _gather(self, path: Path, schema: pa.Schema) -> None:
        """All rows in one Parquet file, whose groups do not depend on how the rows came."""
        repeated = [name for name in REPEATED if name in schema.names]
        options = {"compression": "zstd", "use_dictionary": repeated, "write_page_checksum": True}
        waiting, count = [], 0
        with pq.ParquetWriter(path, schema, **options) as writer:
            for number in range(len(self.shards)):
                with pa.OSFile(str(self.rows_path(number))) as source:
                    for batch in pa.ipc.open_stream(source):
                        waiting.append(batch)
                        count += len(batch)
                        while count >= GROUP_ROWS:
                            table = pa.Table.from_batches(waiting)
                            writer.write_table(table.slice(0, GROUP_ROWS).cast(schema))
                            waiting, count = table.slice(GROUP_ROWS).to_batches(), count - GROUP_ROWS
            if count:
                writer.write_table(pa.Table.from_batches(waiting).cast(schema))

    def _resume(self) -> dict[str, Any] | None:
        """Take the whole shards of a call that was stopped, and remove what else lies there."""
        if (manifest := self._finished()) is not None:
            return manifest
        call = self._state / "call.json"
        if not (call.exists() and _read(call).get("digest") == self.digest):
            _empty(self.folder)
            self._state.mkdir()
            write_json({"digest": self.digest}, call)
        while (record := self._whole(len(self.shards))) is not None:
            self.shards.append(record)
        kept = {name for shard in self.shards for name in shard["files"]}
        for path in self.folder.rglob("*"):
            inside = path.relative_to(self.folder)
            if inside.parts[0] == STATE:
                is_known = path.name == "call.json" or (path.stem.isdigit() and int(path.stem) < len(self.shards))
            else:
                is_known = inside.as_posix() in kept
            if path.is_file() and not is_known:
                path.unlink()
        return None

    def _finished(self) -> dict[str, Any] | None:
        """The manifest of this very call, which was stopped before it took its place."""
        manifest = _read(self.folder / MANIFEST)
        if manifest.get("call") != self.digest:
            return None
        known = all((self.folder / name).is_file() and self._about(name) == about
                    for name, about in manifest["files"].items())  # fmt: skip
        return manifest if known else None

    def _whole(self, number: int) -> dict[str, Any] | None:
        record = _read(self._state / f"{number:05}.json")
        rows = self.rows_path(number)
        if not record or not rows.is_file() or file_digest(rows) != record["provenance"]:
            return None
        known = all((self.folder / name).is_file() and self._about(name) == about
                    for name, about in record["files"].items())  # fmt: skip
        return record if known else None


def is_own(out: Path) -> bool:
    """Whether a folder is empty or holds nothing but what `write_selection` and `mix` write."""
    names = {path.name for path in out.iterdir()}
    return MANIFEST in names or all(name in OWN or name.startswith("part-") for name in names)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none, or a broken one."""
    try:
        return read_object(path, {})
    except (OSError, InputError):
        return {}


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make ``folder``, and wait until no other process has it; the folder may be renamed meanwhile, and made again."""
    import fcntl

    while True:
        folder.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                is_same = os.path.samestat(os.fstat(handle), folder.stat())
            except FileNotFoundError:
                is_same = False
            if is_same:
                yield
                return
