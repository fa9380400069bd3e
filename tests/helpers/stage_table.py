"""The generated tables of README.md and docs/architecture.md. Run this file to write them anew."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from pivotkit.pipeline.inputs import CORPUS, GIVEN, TUNED_LENS
from pivotkit.pipeline.run import ON_REQUEST
from pivotkit.pipeline.stage import EVERYTHING, Stage
from pivotkit.testbed.commands.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]


def user_table() -> str:
    """The stages as users see them: one row per subcommand, with its Python functions."""
    rows = ["| subcommand | reads | writes | function |", "|---|---|---|---|"]
    for stage in STAGES:
        functions = ", ".join(f"`{name}`" for name in stage.functions)
        rows.append(f"| `{stage.name}` | {_reads(stage)} | {_artifacts(stage.writes)} | {functions} |")
    return "\n".join(rows)


def developer_table() -> str:
    """The stages as developers see them: where each stands, and when it runs."""
    rows = ["| stage | record in | reads | uses where it is there | writes | runs in |", "|---|---|---|---|---|---|"]
    for stage in STAGES:
        place = stage.run.__module__.removeprefix("pivotkit.").replace(".", "/") + ".py"
        used = "everything" if EVERYTHING in stage.uses else _names(stage.uses)
        runs = "the testbed" if place.startswith("testbed/") else "every run"
        runs = "a command of its own" if stage in ON_REQUEST else runs
        for given, what in ((CORPUS, "a corpus"), (TUNED_LENS, "a fitted lens")):
            if STAGES.needs(stage, given, stage.form()) and runs == "every run":
                runs = f"a run with {what}"
        rows.append(f"| `{stage.name}` | `{place}` | {_needs(stage)} | {used} | {_artifacts(stage.writes)} | {runs} |")
    return "\n".join(rows)


def room_table() -> str:
    """What each room may import, as the layout test holds it."""
    layout = runpy.run_path(str(ROOT / "tests" / "test_layout.py"))
    rows = ["| room | may import |", "|---|---|"]
    for room, below in (layout["ROOMS"] | layout["INNER_ROOMS"]).items():
        names = ", ".join(f"`{name}`" for name in sorted(below)) or "nothing"
        rows.append(f"| `{room}` | {names} |")
    return "\n".join(rows)


TABLES = {
    "README.md": {"stages": user_table},
    "docs/architecture.md": {"stages": developer_table, "rooms": room_table},
}


def marked(text: str, name: str) -> str:
    """What stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    [found] = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", text, re.DOTALL)
    return str(found)


def write_tables() -> None:
    for name, tables in TABLES.items():
        path = ROOT / name
        text = path.read_text("utf-8")
        for mark, table in tables.items():
            begin = text.index(f"<!-- {mark} -->\n") + len(f"<!-- {mark} -->\n")
            text = text[:begin] + table() + text[text.index(f"\n<!-- /{mark} -->") :]
        path.write_text(text, "utf-8")


def _reads(stage: Stage) -> str:
    if EVERYTHING in stage.uses:
        return "everything that is there"
    used = f"; where it is there, {_names(stage.uses)}" if stage.uses else ""
    return _needs(stage) + used


def _needs(stage: Stage) -> str:
    """What a stage needs with the default settings; or what else it may read."""
    needed = stage.needed(stage.form())
    others = tuple(name for name in stage.reads if name not in needed)
    return _names(needed) + (f"; or {_names(others)}" if others else "")


def _names(names: tuple[str, ...]) -> str:
    shown = [name.replace("_", " ") if name in GIVEN else _artifacts((name,)) for name in names]
    return ", ".join(shown) or "nothing"


def _artifacts(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" if "." in name else f"`{name}/`" for name in names)


if __name__ == "__main__":
    write_tables()
