"""Words, tokens and numbers as the page shows them: nothing is invisible, and nothing can run as code."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection
from typing import Any
from urllib.parse import urlencode

import orjson
from markupsafe import Markup

from pivotkit.words.languages import parse_pair

JOINERS = "\u200c\u200d"  # they shape glyphs inside words and emoji, so they stay


def visible(text: str, *, lines: bool = False) -> str:
    """Return ``text`` with every invisible character written out.

    Parameters
    ----------
    text : str
        A word, a token or, with ``lines``, a prompt.
    lines : bool, default False
        Whether line breaks and spaces stay as they are, for text of several lines.

    Returns
    -------
    str
        A newline becomes ``↵``, a tab ``⇥``, a space at either end ``␣``. Other control characters, and characters that
        set the direction or have no width, become ``⟨U+202E⟩``. A lone combining mark stands on ``◌``, the empty string
        is ``∅``.

    Examples
    --------
    >>> visible(" chien"), visible("\\n"), visible("a\\u202eb"), visible("")
    ('␣chien', '↵', 'a⟨U+202E⟩b', '∅')
    """
    if not text:
        return "∅"
    shown = []
    for place, character in enumerate(text):
        category = unicodedata.category(character)
        if character == " ":
            edge = not text[:place].strip(" ") or not text[place:].strip(" ")
            shown.append("␣" if edge and not lines else " ")
        elif character == "\n":
            shown.append("\n" if lines else "↵")
        elif character == "\t":
            shown.append("⇥")
        elif character in JOINERS and len(text) > 1:
            shown.append(character)
        elif category in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"):
            shown.append(f"⟨U+{ord(character):04X}⟩")
        elif category in ("Mn", "Me") and place == 0:
            shown.append("◌" + character)
        else:
            shown.append(character)
    return "".join(shown)


def token_text(text: str | None, token: int) -> str:
    """Return a token's visible text, or its id where the table was made without a tokenizer."""
    return f"#{token}" if text is None else visible(text)


def number(value: float | None, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` decimals and a true minus sign, or a dash where there is no number.

    Examples
    --------
    >>> number(-0.12345), number(None), number(float("nan"))
    ('−0.123', '–', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.{digits}f}".replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return ``[low, high]``, or a dash where there is no interval."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def duration(seconds: float | None) -> str:
    """Return seconds in seconds, minutes or hours.

    Examples
    --------
    >>> duration(0.25), duration(61), duration(3720)
    ('0.25 s', '1 min 01 s', '1 h 02 min')
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def memory(size: float | None) -> str:
    """Return bytes in the binary unit that fits.

    Examples
    --------
    >>> memory(1536), memory(3 * 2**30)
    ('1.50 KiB', '3.00 GiB')
    """
    if size is None:
        return "–"
    unit = min(int(math.log2(size) // 10), 4) if size >= 1 else 0
    return f"{size / 1024**unit:.{2 if unit else 0}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def ends(pair: str, languages: Collection[str] = ()) -> tuple[str, str]:
    """Return source and target code of a pair, ``languages`` being the codes where they are known (`parse_pair`).

    A pair that cannot be split is a source without a target.
    """
    try:
        return parse_pair(pair, languages or None)
    except ValueError:
        return pair, ""


def arrow(pair: str, languages: Collection[str] = ()) -> str:
    """Return a pair such as ``fr-zh`` as ``fr → zh``; ``languages`` as for `ends`."""
    source, target = ends(pair, languages)
    return f"{visible(source)} → {visible(target)}" if target else visible(pair)


def words_link(pair: str, **which: str) -> str:
    """Return the link from a figure to the words of a pair; ``which`` may name a ``behavior`` and its ``rule``.

    Examples
    --------
    >>> words_link("fr-zh", behavior="pivot", rule="strict")
    '#words?pair=fr-zh&behavior=pivot&rule=strict'
    """
    return "#words?" + urlencode({"pair": pair, **which})


def plain(value: Any) -> str:
    """Return a value of ``run.json`` as one line of text."""
    if isinstance(value, (list, tuple)) and all(isinstance(entry, (str, int, float)) for entry in value):
        return ", ".join(plain(entry) for entry in value)
    if value is None:
        return "–"
    return visible(value if isinstance(value, str) else orjson.dumps(value).decode())


def script_json(value: Any) -> Markup:
    """Return ``value`` as JSON that can neither end nor comment out the ``<script>`` around it.

    Examples
    --------
    >>> str(script_json("</script><!--"))
    '"\\\\u003c/script\\\\u003e\\\\u003c!--"'
    """
    raw = orjson.dumps(value).decode()
    for character in "<>&\u2028\u2029":
        raw = raw.replace(character, f"\\u{ord(character):04x}")
    return Markup(raw)
