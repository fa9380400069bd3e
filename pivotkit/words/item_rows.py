"""One row of a table of one's own as an item: its cells checked, and what they leave out filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pivotkit.errors import InputError
from pivotkit.words.delimited import SYNONYM, accepted_words
from pivotkit.words.languages import parse_pair
from pivotkit.words.questions import AFTER
from pivotkit.words.token_classes import folded

NEEDED = ("prompt", "source", "target")
OPTIONAL = ("item", "pair", "concept", "targets", "distractors", "words")
LARGEST_ITEM = 2**31 - 1

Row = dict[str, Any]


def own_item(
    path: str, place: str, number: int, row: Row, pairs: Sequence[str] | None, names: Mapping[str, str]
) -> Row:
    """One item from its cells."""

    def fail(problem: str) -> InputError:
        return InputError(path, place, problem)

    def text(column: str) -> str:
        value = row.get(column)
        if value is None:
            raise fail(f"column {column} must not be empty")
        if not isinstance(value, str):
            raise fail(f"column {column} must hold text; got {type(value).__name__}")
        return value

    def several(column: str) -> list[str]:
        value = row[column]
        listed = value if isinstance(value, list) else [text(column)]
        if not all(isinstance(one, str) for one in listed):
            raise fail(f"column {column} must hold text; got a list of something else")
        return accepted_words(path, place, column, SYNONYM.join(listed))

    prompt, source = text("prompt"), text("source")
    if not prompt.strip():
        raise fail("column prompt must hold more than blanks")
    [source, *more] = accepted_words(path, place, "source", source)
    if more:
        raise fail(f"column source must hold one word; got {row['source']!r}")
    begin = _last(prompt, source)
    if begin < 0:
        raise fail(f"column prompt must hold the source word {source!r}; got none")
    targets = several("targets") if "targets" in row else several("target") if "target" in row else [text("target")]
    if "target" in row and "targets" in row:
        shown = text("target")
        if shown not in targets:
            raise fail(f"column targets must hold the target {shown!r}; got others")
        targets = [shown, *(one for one in targets if one != shown)]
    if same := [one for one in targets if folded(one) == folded(source)]:
        raise fail(f"column target must hold another word than the source, to be told apart from it; got {same[0]!r}")
    if "pair" not in row and (pairs is None or len(pairs) != 1):
        raise fail("column pair must not be empty, unless pairs name one for all items")
    pair = text("pair") if "pair" in row else pairs[0]  # type: ignore[index]
    try:
        languages = parse_pair(pair, names)
    except ValueError as error:
        raise fail(f"column pair: {error}") from None
    known = {code: accepted_words(path, place, code, text(code))[0] for code in row if code in names}
    words = _words(fail, row.get("words", {}), names) | known
    for code, word in words.items():
        if not any(letter.isalpha() for letter in word):  # a column of numbers is no language: id, no
            raise fail(f"column {code} must hold words of {names[code]}; got {word!r}")
    wrong = several("distractors") if "distractors" in row else None
    if wrong is not None and source in wrong:
        raise fail(f"column distractors must hold other words than the source; got {source!r}")
    return {
        "item": _number(fail, row.get("item", number)), "pair": pair, "concept": str(row.get("concept", source)),
        "line": int(place.split()[1]), "place": place, "source": source, "target": targets[0], "targets": targets,
        "words": list({**words, languages[0]: source, languages[1]: targets[0]}.items()), "distractors": wrong,
        "contexts": [prompt[:begin]], "prompt": prompt, "attributes": list(_attributes(fail, row, names)),
        AFTER: prompt[begin + len(source) :],
    }  # fmt: skip


def _words(fail: Any, given: Any, names: Mapping[str, str]) -> dict[str, str]:
    """The words of a row by language, from a map of Parquet or of Python."""
    pairs = list(given.items()) if isinstance(given, dict) else given
    if not isinstance(pairs, list) or not all(isinstance(one, tuple) and len(one) == 2 for one in pairs):
        raise fail("column words must map language codes to words; got another kind")
    for code, word in pairs:
        if code not in names or not isinstance(word, str) or not word:
            raise fail(f"column words must map known language codes to words; got {code!r} with {word!r}")
    return dict(pairs)


def _last(prompt: str, source: str) -> int:
    """Where the last whole word of a prompt that is the source begins, else its last occurrence; -1 for none."""
    begin = last = prompt.rfind(source)
    while begin >= 0:
        beside = prompt[begin - 1 : begin] + prompt[begin + len(source) : begin + len(source) + 1]
        if not any(letter.isalnum() or letter == "_" for letter in beside):
            return begin
        begin = prompt.rfind(source, 0, begin + len(source) - 1)
    return last


def _number(fail: Any, value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"\d{1,10}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_ITEM:
        raise fail(f"column item must hold a whole number from 0 to {LARGEST_ITEM}; got {value!r}")
    return value


def _attributes(fail: Any, row: Row, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the columns that stand for nothing else say."""
    for name, value in row.items():
        if name not in (*NEEDED, *OPTIONAL) and name not in names:
            if not isinstance(value, str | int | float):
                raise fail(f"column {name} must hold text or numbers; got {type(value).__name__}")
            yield name, str(value)
