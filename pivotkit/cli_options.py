"""Settings as flags of the command line: how a value is written, and where the run folder stands among lists."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field
from glob import glob
from pathlib import Path
from typing import Any, NoReturn

from pivotkit.arguments import shown
from pivotkit.pipeline.settings import flag


class Parser(argparse.ArgumentParser):
    """A parser that refuses a wrong argument in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")

    def action(self, word: str) -> argparse.Action | None:
        """What the flag ``word``, or its unambiguous beginning, stands for."""
        name = word.partition("=")[0]
        found = [name] if name in self._option_string_actions else []
        found = found or [flag for flag in self._option_string_actions if flag.startswith(name)]
        return self._option_string_actions[found[0]] if len(found) == 1 else None


def add_options(parser: Parser, wanted: Sequence[Field[Any]]) -> None:
    """Add one flag per setting, and say how a list is written where there is one.

    An absent flag leaves no trace, so a setting that the run folder keeps can stand.
    """
    alone = {option.metadata["instead_of"]: parser.add_mutually_exclusive_group() for option in wanted
             if option.metadata.get("instead_of")}  # fmt: skip
    for option in wanted:
        kind, written = str(option.type).removesuffix(" | None"), flag(option)
        adder = alone.get(option.name) or alone.get(option.metadata.get("instead_of")) or parser
        shown: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS, "help": _help(option)}
        if kind == "bool":
            adder.add_argument(written, action=argparse.BooleanOptionalAction, **shown)
        elif kind in COLLECTIONS:
            parser.epilog = "A list takes several words, or one word with commas."
            convert = _paths if option.metadata["paths"] else COLLECTIONS[kind]
            adder.add_argument(written, action=_Join, nargs="+", type=convert, metavar="VALUE", **shown)
        else:
            choices = option.metadata.get("choices")
            metavar = None if choices else "VALUE"
            adder.add_argument(written, type=_scalar(SCALARS[kind]), choices=choices, metavar=metavar, **shown)


def _help(option: Field[Any]) -> str:
    default = None if option.default is MISSING else option.default
    known = isinstance(default, (str, int, float)) and not isinstance(default, bool)
    return str(option.metadata["help"]) + (f" (default: {default})" if known else "")


class _Join(argparse.Action):
    """Joins the words of a list flag, each of which may hold several values."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        joined = type(values[0])()
        for value in values:
            joined = joined | value if isinstance(joined, dict) else joined + value
        setattr(namespace, self.dest, joined)


def _list(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _numbers(kind: type) -> Callable[[str], list[Any]]:
    def read(text: str) -> list[Any]:
        return [_scalar(kind)(part) for part in _list(text)]

    return read


def _paths(text: str) -> list[str]:
    """Paths and globs. An existing path or a glob with matches stands for itself, commas and all."""
    if text and (Path(text).exists() or glob(text, recursive=True)):  # noqa: PTH207
        return [text]
    if not _list(text):  # an empty variable of a shell; a run without a corpus would leave stages out
        raise argparse.ArgumentTypeError(f"must be at least one path; got {text!r}")
    return _list(text)


def _named(text: str, what: str = "value") -> dict[str, str]:
    """Read ``name=value,name=value``."""
    found = {}
    for part in _list(text):
        name, equals, value = part.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"must be name={what},name={what}; got {part!r}")
        found[name] = value
    return found


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for name, value in _named(text, "share").items():
        try:
            shares[name] = float(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"share must be a number; got '{name}={value}'") from None
    return shares


def _scalar(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"invalid {kind.__name__} value: {shown(text)}") from None

    return read


SCALARS: dict[str, type] = {"str": str, "int": int, "float": float}
COLLECTIONS: dict[str, Callable[[str], Any]] = {
    "list[str]": _list, "list[int]": _numbers(int), "list[float]": _numbers(float),
    "dict[str, float]": _shares, "dict[str, str]": _named,
}  # fmt: skip


def run_first(parser: Parser, words: list[str]) -> list[str]:
    """Return the arguments of a stage with the run folder in front, where a list flag would swallow it.

    The folder is the one word that no flag takes. Without such a word it is the last value of the one list flag that
    has several values, as in ``--latent en RUN``. It must then be absent, empty or a run: other paths may be values.
    """
    ends: list[int] = []
    place = 0
    while place < len(words):
        word = words[place]
        action = parser.action(word) if word.startswith("-") else None
        if word == "--" or not word.startswith("-"):
            return words  # a word that no flag takes: the run folder
        place += 1
        if action is None or "=" in word or action.nargs == 0:
            continue
        if action.nargs != "+":
            place += 1
            continue
        begin = place
        while place < len(words) and not words[place].startswith("-"):
            place += 1
        if place - begin > 1:
            ends.append(place - 1)
    if not ends:
        return words
    last = words[ends[-1]]
    if len(ends) > 1 or not _can_be_run(Path(last)):
        parser.error(f"RUN must be named first where a list follows, as in `{parser.prog} RUN ...`; got {last!r} last")
    return [last, *words[: ends[-1]], *words[ends[-1] + 1 :]]


def _can_be_run(folder: Path) -> bool:
    return not folder.exists() or (folder / "run.json").exists() or (folder.is_dir() and not any(folder.iterdir()))
