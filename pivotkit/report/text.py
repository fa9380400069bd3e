"""What users' words, tokens and numbers look like on the page: nothing invisible, nothing that can act."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import orjson
from markupsafe import Markup

JOINERS = "\u200c\u200d"  # inside words and emoji they shape the glyph, so they stay


def visible(text: str, *, lines: bool = False) -> str:
    """Return ``text`` with every character that would not be seen written out.

    Parameters
    ----------
    text : str
        A word, a token or, with ``lines``, a prompt.
    lines : bool, default False
        Keep line breaks and spaces as they are, for text of several lines.

    Returns
    -------
    str
        Newline as ``↵``, tab as ``⇥``, spaces at either end as ``␣``; other controls and characters that steer
        direction or have no width as ``⟨U+202E⟩``; a lone combining mark on ``◌``; the empty string as ``∅``.

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
    """Return a token as it is shown: its text, or its id when the table was made without a tokenizer."""
    return f"#{token}" if text is None else visible(text)


def number(value: float | None, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` decimals and a true minus sign; a dash where there is no number.

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
    """Return seconds the way one says them.

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


def arrow(pair: str) -> str:
    """Return a pair such as ``fr-zh`` as ``fr → zh``."""
    source, _, target = pair.partition("-")
    return f"{visible(source)} → {visible(target)}" if target else visible(pair)


def plain(value: Any) -> str:
    """Return a value of ``run.json`` as one line of text."""
    if isinstance(value, (list, tuple)) and all(isinstance(entry, (str, int, float)) for entry in value):
        return ", ".join(plain(entry) for entry in value)
    if value is None:
        return "–"
    return visible(value if isinstance(value, str) else orjson.dumps(value).decode())


def script_json(value: Any) -> Markup:
    """Return ``value`` as JSON that cannot end or comment out the ``<script>`` it stands in.

    Examples
    --------
    >>> str(script_json("</script><!--"))
    '"\\\\u003c/script\\\\u003e\\\\u003c!--"'
    """
    raw = orjson.dumps(value).decode()
    for character in "<>&\u2028\u2029":
        raw = raw.replace(character, f"\\u{ord(character):04x}")
    return Markup(raw)
