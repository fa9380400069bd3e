"""Checks of arguments. An error names the function, the argument, the rule and the value, in one short line.

A wrong kind is a TypeError that shows the kind; a wrong value is a ValueError that shows the value.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from numbers import Integral, Real
from os import PathLike, fspath
from typing import Any, NoReturn

import numpy as np

LARGEST = 2**63 - 1  # of the integers that tables and JSON hold
LONGEST_PATH = 4096  # characters; no system takes more
SHOWN = 60  # characters of a value


def kind(value: object) -> str:
    """The name of a value's type; None stands for itself."""
    return "None" if value is None else type(value).__name__


def shown(value: object) -> str:
    """A value in one short line: numbers and texts as they are, but cut; anything else by its kind."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"an int of {value.bit_length()} bits"
    if isinstance(value, PathLike):
        value = fspath(value)
    if isinstance(value, str | bytes):
        return repr(value[:SHOWN]) + ("..." if len(value) > SHOWN else "")
    return str(value) if value is None or isinstance(value, Real) else kind(value)


def refuse_kind(function: str, argument: str, rule: str, value: object) -> NoReturn:
    """Raise the error of a wrong kind."""
    raise TypeError(f"{function}: {argument} must {rule}; got {kind(value)}")


def refuse(function: str, argument: str, rule: str, value: object) -> NoReturn:
    """Raise the error of a wrong value."""
    raise ValueError(f"{function}: {argument} must {rule}; got {shown(value)}")


def available_cpus() -> int:
    """The CPUs that this process may use: the default of ``threads`` and ``workers``."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_kind(function: str, argument: str, value: object, kinds: Any, rule: str, *, none: bool = False) -> None:
    """Refuse a value that is not an instance of ``kinds``; ``rule`` names them."""
    if not (isinstance(value, kinds) or (none and value is None)):
        refuse_kind(function, argument, f"be {rule}{' or None' if none else ''}", value)


def check_int(function: str, argument: str, value: Any, least: int, most: int = LARGEST, *, none: bool = False) -> None:
    """Refuse what is no integer from ``least`` to ``most``."""
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, Integral):
        refuse_kind(function, argument, "be an int or None" if none else "be an int", value)
    if int(value) < least:
        refuse(function, argument, f"be at least {least}", value)
    if int(value) > most:
        refuse(function, argument, f"be at most {most}", value)


def check_number(
    function: str, argument: str, value: Any, least: float = -math.inf, most: float = math.inf, *, none: bool = False
) -> None:
    """Refuse what is no finite number from ``least`` to ``most``."""
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        refuse_kind(function, argument, "be a number or None" if none else "be a number", value)
    try:
        number = float(value)
    except OverflowError:  # an int beyond every float
        number = math.inf
    if not math.isfinite(number) and not math.isfinite(most):
        refuse(function, argument, "be finite", value)
    if not least <= number <= most:
        bounds = f"between {least:g} and {most:g}" if math.isfinite(most) else f"at least {least:g}"
        refuse(function, argument, f"be {bounds}", value)


def check_flag(function: str, argument: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    check_kind(function, argument, value, bool | np.bool_, "True or False")


def check_text(function: str, argument: str, value: Any, among: Sequence[str] = (), *, none: bool = False) -> None:
    """Refuse what is no str, or none of those ``among`` which it must be."""
    check_kind(function, argument, value, str, "a str", none=none)
    if among and value is not None and value not in among:
        refuse(function, argument, f"be one of {', '.join(among)}", value)


def check_path(function: str, argument: str, value: Any, *, none: bool = False) -> None:
    """Refuse what cannot be a path; whether something lies there is not asked."""
    check_kind(function, argument, value, str | PathLike, "a path (str or Path)", none=none)
    if value is None:
        return
    text = fspath(value)
    if not isinstance(text, str) or not text or "\0" in text:
        refuse(function, argument, "be a path of at least one character and without NUL", value)
    if len(text) > LONGEST_PATH:
        refuse(function, argument, f"be a path of at most {LONGEST_PATH} characters", value)


def check_paths(function: str, argument: str, value: Any) -> list[Any]:
    """The paths of a path or of several; refuses what cannot be one."""
    if isinstance(value, str | PathLike):
        check_path(function, argument, value)
        return [value]
    paths = elements(function, argument, value, "a path or a sequence of paths")
    for path in paths:
        if not isinstance(path, str | PathLike):
            refuse_kind(function, argument, "hold paths", path)
        check_path(function, argument, path)
    return paths


def check_strings(function: str, argument: str, value: Any, rule: str = "a sequence of strings") -> list[str]:
    """The elements of an iterable of str; refuses one str."""
    found = elements(function, argument, value, rule)
    for one in found:
        if not isinstance(one, str):
            refuse_kind(function, argument, "hold str", one)
    return found


def check_word_pairs(function: str, argument: str, value: Any, languages: bool = False) -> list[Any]:
    """The elements of an iterable of pairs of str; with ``languages``, of a str and its language in its place too."""
    pairs = elements(function, argument, value, "pairs of words")
    for pair in [] if _all_pairs(pairs) else pairs:
        if not (isinstance(pair, tuple | list | np.ndarray) and len(pair) == 2):
            got = f"one of {len(pair)}" if isinstance(pair, tuple | list) else kind(pair)
            raise TypeError(f"{function}: {argument} must be pairs of two words; got {got}")
        for word in pair:
            if languages and isinstance(word, tuple) and len(word) == 2 and all(isinstance(part, str) for part in word):
                continue
            if not isinstance(word, str):
                refuse_kind(function, argument, "be pairs of str", word)
    return pairs


def _all_pairs(pairs: list[Any]) -> bool:
    """Whether all are plain pairs of str; quick, because there may be millions."""
    return (
        set(map(type, pairs)) <= {tuple, list}
        and set(map(len, pairs)) <= {2}
        and set(map(type, chain.from_iterable(pairs))) <= {str}
    )


def elements(function: str, argument: str, value: Any, rule: str) -> list[Any]:
    """The elements of an iterable that is neither one text nor a mapping; ``rule`` names what is wanted."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{function}: {argument} must be {rule}; got {shown(value)}")
    if isinstance(value, np.ndarray) and not value.ndim:
        refuse_kind(function, argument, f"be {rule}", value)
    return list(value)
