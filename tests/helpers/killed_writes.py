"""Calls that write a folder, killed at random moments, and called again: a script, because it forks.

`killed` runs it. ``python killed_writes.py JOB KILLS SEED``: JOB is a JSON file with ``function`` (of pivotkit.selection), its
``arguments``, ``out``, the folder, and ``settings``, values of constants by their full names. A call is killed, killed once more,
and left alone, until there were so many kills. Prints as JSON how many calls were killed, in how many of them a whole shard was
left, what a kill left that is not as an uninterrupted call writes it, and what differed in the end.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pivotkit.selection
from pivotkit.corpus import TokenFiles


def killed(function: str, out: Path, arguments: Mapping[str, Any], settings: Mapping[str, Any] | None = None,
           kills: int = 20) -> dict[str, Any]:  # fmt: skip
    """What the script says of calls that were killed; the file of the job lies beside ``out``."""
    job = out.with_name(f"{out.name}.json")
    job.write_text(
        json.dumps({"function": function, "out": str(out), "arguments": dict(arguments), "settings": settings or {}})
    )
    command = [sys.executable, __file__, str(job), str(kills), "0"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    job.unlink()
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def arguments(job: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with token files in the place of what tells of them."""

    def made(value: Any) -> Any:
        if isinstance(value, dict) and "vocab_size" in value:
            return TokenFiles(**value)
        return {name: made(one) for name, one in value.items()} if isinstance(value, dict) else value

    return {name: made(value) for name, value in job["arguments"].items()}


def in_child(job: dict[str, Any], kill_at: int | None = None) -> tuple[int, int]:
    """Run the job in a process of its own; how it ended, and how many calls of functions it made."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def noted(frame: Any, event: str, argument: Any) -> None:
            nonlocal count
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            given = arguments(job)
            sys.setprofile(noted)
            getattr(pivotkit.selection, job["function"])(out=job["out"], **given)
            sys.setprofile(None)
            os.write(writing, str(count).encode())
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    return os.waitpid(child, 0)[1], int(told or 0)


def digests(folder: Path) -> dict[str, str]:
    """The digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def main(path: str, kills: int, seed: int) -> None:
    job = json.loads(Path(path).read_text())
    for name, value in job["settings"].items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    out, draw = Path(job["out"]), random.Random(seed)
    status, calls = in_child(job)
    assert status == 0, status
    whole = digests(out)
    found: dict[str, Any] = {"calls": calls, "killed": 0, "resumed": 0, "broken": [], "different": []}
    while found["killed"] < kills:
        shutil.rmtree(out, ignore_errors=True)
        for at in (draw.randrange(1, calls), draw.randrange(1, calls)):  # a call that goes on may end before its moment
            found["killed"] += os.WIFSIGNALED(in_child(job, at)[0])
            found["resumed"] += bool(list(out.parent.glob(f".{out.name}.begun/state/0*.json")))
            visible = {name: digest for name, digest in digests(out).items() if not name.startswith(".")}
            found["broken"] += sorted(visible.items() - whole.items())
        status, _ = in_child(job)
        left = [file.name for file in out.parent.iterdir() if file.name.startswith(f".{out.name}")]
        if status != 0 or digests(out) != whole or left:
            different = dict(digests(out).items() ^ whole.items())
            found["different"].append([status, sorted(different), left])
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
