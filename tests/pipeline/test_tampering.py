"""A finished run with one damaged file: every command ends with the same result, or names the file and changes nothing."""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from pivotkit.cli import main

NUMBER = int(os.environ.get("PIVOTKIT_TAMPERINGS", "60"))
STAGES = ("task", "tokens", "count", "pivots", "score", "trace", "behaviors", "attribution", "agreement", "score-documents", "select",
          "report")  # fmt: skip
WRITES = {"task": "items.parquet", "tokens": "tokens", "count": "counts", "pivots": "pivots.parquet", "score": "scores.parquet"} | {
    "trace": "traces", "behaviors": "behaviors.parquet", "attribution": "attribution.json", "agreement": "agreement.parquet", "report": "report.html",
    "score-documents": "documents.parquet", "select": "selection", "merge": "sum",
}  # fmt: skip


def flip(path: Path, random_: random.Random, run: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[random_.randrange(len(raw))] ^= 1 << random_.randrange(8)
    path.write_bytes(raw)


def cut(path: Path, random_: random.Random, run: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: random_.choice([0, random_.randrange(len(raw)), len(raw) - 1])])


def lengthen(path: Path, random_: random.Random, run: Path) -> None:
    path.write_bytes(path.read_bytes() + random_.randbytes(random_.choice([1, 8, 100])))


def remove(path: Path, random_: random.Random, run: Path) -> None:
    path.unlink()


def swap(path: Path, random_: random.Random, run: Path) -> None:
    other = random_.choice(files(run))
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def drop(path: Path, random_: random.Random, run: Path) -> None:
    """A key or a column less, or one that is null."""
    if path.suffix == ".json":
        value = orjson.loads(path.read_bytes())
        inner = random_.choice([value, *(part for part in value.values() if isinstance(part, dict) and part)])
        key = random_.choice(list(inner))
        inner[key] = None
        if random_.random() < 0.7:
            del inner[key]
        path.write_bytes(orjson.dumps(value))
    elif path.suffix == ".parquet":
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([random_.choice(table.column_names)]), path)
    else:
        flip(path, random_, run)


def files(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if path.is_file() and not path.name.startswith("."))


def result(run: Path, command: str) -> dict[str, bytes]:
    """What a command made, without the times on the page."""
    place = run / WRITES[command]
    found = {str(path.relative_to(run)): path.read_bytes() for path in ([place] if place.is_file() else files(place))}
    return {name: re.sub(rb"[\d.,]+", b"", raw) if name.endswith(".html") else raw for name, raw in found.items()}


@pytest.fixture(scope="module")
def pristine(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    run = shutil.copytree(finished, tmp_path_factory.mktemp("pristine") / "run")
    assert main(["merge", str(run / "counts"), "--out", str(run / "sum")]) == 0
    return {command: result(run, command) for command in WRITES}


def test_a_damaged_run_gives_the_same_result_or_names_the_file(
    finished: Path, pristine: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = (flip, flip, flip, cut, lengthen, remove, swap, drop, drop)
    ended = {0: 0, 2: 0}
    for number in range(NUMBER):
        random_ = random.Random(number)
        run = tmp_path / str(number) / "run"
        shutil.copytree(finished, run)
        victim, kind = random_.choice(files(run)), random_.choice(kinds)
        command = random_.choice([*STAGES, "merge"])
        kind(victim, random_, run)
        capsys.readouterr()
        given = [str(run / "counts"), "--out", str(run / "sum")] if command == "merge" else [str(run)]
        what = f"{number}: {kind.__name__} {victim.relative_to(run)}, then {command}"
        try:
            status = main([command, *given])
        except BaseException as error:
            raise AssertionError(what) from error
        line = capsys.readouterr().err.splitlines()[-1:]
        assert status in ended, (what, line)
        if status == 0:
            assert result(run, command).keys() == pristine[command].keys(), what
            assert result(run, command) == pristine[command], what
        else:
            assert str(run) in line[0], (what, line)
        ended[status] += 1
        shutil.rmtree(run.parent)
    print(f"{NUMBER} tamperings: {ended[0]} ended with the same result, {ended[2]} with the name of a file")
    assert min(ended.values()) > NUMBER // 10
