"""A slow and independent reading of where lines and sentences begin."""

from __future__ import annotations

import regex

BREAK = "\n\r\v\f\x85\u2028\u2029"
SPACE = BREAK + " \t\x1c-\x1f\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
STOP = ".!?\u0589\u061d-\u061f\u06d4\u0964\u0965\u104a\u104b\u1362\u1367\u1368\u166e\u17d4\u17d5\u2026\u203c\u203d\u2047-\u2049\u2e2e"
WIDE_STOP = "\u3002\ufe12\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
CLOSER = (
    "\"')\\]}\u00bb\u2019\u201d\u203a\u2046\u3009\u300b\u300d\u300f\u3011\u3015\u3017\u3019\u301b\u301e\u301f"
    "\uff02\uff07\uff09\uff3d\uff5d\uff63"
)
SMALL = "a-z\u00df-\u00f6\u00f8-\u00ff\u03b1-\u03c9\u0430-\u045f" + "".join(
    chr(code) for code in range(0x101, 0x180, 2)
)
LETTER = SMALL + "A-Z\u00c0-\u017f\u0391-\u03a9\u0400-\u042f"


def pieces(text: str, kind: str) -> list[str]:
    """The lines or sentences of a text, by looking at each place between two characters."""
    starts = [at for at in range(1, len(text)) if begins(text, at, kind)]
    return [text[begin:end] for begin, end in zip([0, *starts], [*starts, len(text)], strict=True) if end > begin]


def begins(text: str, at: int, kind: str) -> bool:
    """Whether a piece begins at ``text[at]``."""
    if regex.match(f"[{SPACE}]", text[at]) or not text[:at].strip(_SPACES):
        return False
    behind = text[:at].rstrip(_SPACES)
    gap = text[len(behind) : at]
    breaks = len(regex.findall(f"\r\n|[{BREAK}]", gap))
    if kind == "line":
        return breaks > 0
    if breaks >= 2 or "\u2029" in gap:
        return True
    if regex.match(f"[{STOP}{WIDE_STOP}]", text[at]):
        return False
    # Back over closing signs and stops that stand together, to see what the sentence ends with.
    tail = regex.search(f"[{STOP}{WIDE_STOP}{CLOSER}]*\\Z", behind)[0]
    tail = tail.lstrip(_CLOSERS)
    if not tail:
        return False
    if regex.search(f"[{WIDE_STOP}]", tail):
        return bool(gap) or not regex.match(f"[{CLOSER}]", text[at])
    if not gap or regex.match(f"[{SMALL}]", text[at]):
        return False
    before = behind[: len(behind) - len(tail)]
    initial = regex.search(f"(?<![{LETTER}])[{LETTER}]\\Z", before)
    return not (initial and tail.rstrip(_CLOSERS) == "." and tail[0] == ".")


_SPACES = "".join(chr(code) for code in range(0x3001) if regex.match(f"[{SPACE}]", chr(code)))
_CLOSERS = "".join(chr(code) for code in range(0x10000) if regex.match(f"[{CLOSER}]", chr(code)))
