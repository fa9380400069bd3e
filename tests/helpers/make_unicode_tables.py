"""Makes pivotkit/corpus/matching/unicode_tables.py from the Unicode data in ICU: ``pip install PyICU``, then run this file.

Sets are written in the notation of UTS #18, as ICU's ``UnicodeSet`` reads it. Only this script needs PyICU.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

import icu

TARGET = Path(__file__).resolve().parents[2] / "pivotkit/corpus/matching/unicode_tables.py"
NFKC = icu.Normalizer2.getNFKCInstance()
# UAX #14: between any two letters of these classes, or any two syllables, a line may end. Nothing else divides words.
UNSPACED = "[[:L:]&[[:lb=ID:][:lb=CJ:][:lb=SA:][:lb=AK:][:lb=AP:][:lb=AS:]]]"


def codes(pattern: str) -> set[int]:
    """The code points of a set."""
    found = icu.UnicodeSet(f"[{pattern}]")
    ends = [(found.getRangeStart(i), found.getRangeEnd(i)) for i in range(found.getRangeCount())]
    return {code for first, last in ends for code in range(number(first), number(last) + 1)}


def number(code: int | str) -> int:
    return code if isinstance(code, int) else ord(code)


def scripts(code: int) -> set[str]:
    return {icu.Script(script).getShortName() for script in icu.Script.getScriptExtensions(chr(code))}


def of_scripts(pattern: str, names: Iterable[str]) -> set[int]:
    """The code points of a set whose Script, or else all of whose Script_Extensions, are among ``names``."""
    names = set(names)
    own = codes("[" + "".join(f"[:sc={name}:]" for name in sorted(names)) + "]")
    shared = codes("[[:sc=Zinh:][:sc=Zyyy:]]-[[:scx=Zinh:][:scx=Zyyy:]]")
    return codes(pattern) & (own | {code for code in shared if scripts(code) <= names})


def without_spaces() -> list[str]:
    """Scripts with a letter of `UNSPACED`. Full-width Latin and single jamo do not count: they normalize to others."""
    letters = [code for code in codes(UNSPACED) if NFKC.normalize(chr(code)) == chr(code)]
    return sorted({icu.Script.getScript(chr(code)).getShortName() for code in letters} - {"Zyyy", "Zinh"})


def ranges(found: set[int]) -> str:
    pairs: list[list[int]] = []
    for code in sorted(found):
        if pairs and pairs[-1][1] == code - 1:
            pairs[-1][1] = code
        else:
            pairs.append([code, code])
    return " ".join(f"{first:X}" if first == last else f"{first:X}-{last:X}" for first, last in pairs)


def main() -> None:
    unspaced = without_spaces()
    words = "[[:L:][:M:][:N:]]"
    stackers = of_scripts("[[:InSC=Virama:][:InSC=Invisible_Stacker:]]", unspaced)
    tables = {
        "IGNORABLE": ("Default_Ignorable_Code_Point", codes("[:DI:]")),
        "PICTURES": ("Extended_Pictographic", codes("[:ExtPict:]")),
        "ABJAD_MARKS": (
            "nonspacing marks of the Arabic and Hebrew scripts",
            of_scripts("[[:Mn:]&[[:scx=Arab:][:scx=Hebr:]]]", ["Arab", "Hebr", "Syrc"]),
        ),
        "UNSPACED": (
            f"letters, marks and numbers of scripts without spaces: {', '.join(unspaced)}",
            # a plane of ideographs by default, so that later versions' ideographs are in it
            of_scripts(words, unspaced) | (codes("[[:lb=ID:]&[:Cn:]]") & {*range(0x20000, 0x40000)}),
        ),
        "STACKERS": (
            "Indic_Syllabic_Category=Virama and Invisible_Stacker of those scripts",
            stackers,
        ),
        "STACKED": (
            "letters of the scripts of STACKERS",
            of_scripts("[:L:]", {icu.Script.getScript(chr(code)).getShortName() for code in stackers}),
        ),
        "CONTROLS": (
            "Grapheme_Cluster_Break=Control, CR and LF",
            codes("[[:GCB=CN:][:GCB=CR:][:GCB=LF:]]-[[:Cn:][:DI:]]"),
        ),
        "PREPENDED": ("Grapheme_Cluster_Break=Prepend", codes("[:GCB=PP:]")),
        "EXTENDING": (
            "Grapheme_Cluster_Break=Extend and SpacingMark that are no marks",
            codes("[[:GCB=EX:][:GCB=SM:]]-[:M:]"),
        ),
    }
    lines = [
        '"""Sets of code points that `unicodedata` does not know: made by tests/helpers/make_unicode_tables.py."""',
        "",
        f'VERSION = "{icu.UNICODE_VERSION}"  # of Unicode, as ICU {icu.ICU_VERSION} has it',
    ]
    for name, (about, found) in tables.items():
        lines += ["", *(f"# {line}" for line in textwrap.wrap(about, 117))]
        *wrapped, last = textwrap.wrap(ranges(found), 104)
        if wrapped:
            lines += [f"{name} = (", *(f'    "{line} "' for line in wrapped), f'    "{last}"', ")"]
        else:
            lines.append(f'{name} = "{last}"')
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
