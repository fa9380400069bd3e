"""What the native matcher must know of each code point: its class, and its part in grapheme clusters.

Both are made at run time from this Python's `unicodedata` and from `unicode_tables`.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from pivotkit.corpus.matching import unicode_tables
from pivotkit.corpus.matching.code_points import CODE_POINTS, categories, code_ranges
from pivotkit.corpus.matching.normal_form import DIGRAPHS, SIGNS, TAGS, TONES
from pivotkit.corpus.matching.process_tables import once_a_process

SEPARATOR, WORD, UNSPACED, SPACE = 0, 1, 2, 3

# The values of ClusterClass in csrc/matcher/alphabet.h, in the place that a letter has for them.
_CLUSTER = 4
(_CONTROL, PREPEND, PICTURE, _FLAG, _CONSONANT, _SARA_AA, HO, NO) = (_CLUSTER * number for number in range(1, 9))
(_EXTEND, _JOINER, _STACKER, _NIKHAHIT, _ENCLOSING) = (_CLUSTER * number for number in range(16, 21))


@functools.cache
def char_classes() -> npt.NDArray[np.uint8]:
    """The class of every code point (0x110000,): SEPARATOR, WORD, UNSPACED or SPACE.

    Letters, marks, decimal digits, letter numbers and the underscore are of words. Other numbers (²) and what
    normalizes to a sign (the modifier letter apostrophe) separate.
    """
    kinds = categories()
    classes = np.full(CODE_POINTS, SEPARATOR, np.uint8)
    classes[np.isin(kinds.astype("S1"), [b"L", b"M"]) | np.isin(kinds, [b"Nd", b"Nl"])] = WORD
    classes[ord("_")] = WORD
    blank = np.flatnonzero(np.isin(kinds.astype("S1"), [b"Z", b"C"]) & (kinds != b"Cn"))
    classes[[code for code in blank.tolist() if chr(code).isspace()]] = SPACE
    classes[[ord(form) for forms in SIGNS.values() for form in forms]] = SEPARATOR
    unspaced = list(code_ranges(unicode_tables.UNSPACED))
    classes[unspaced] = np.where(classes[unspaced] == WORD, UNSPACED, classes[unspaced])
    classes.setflags(write=False)
    return classes


@once_a_process
def letters() -> npt.NDArray[np.uint8]:
    """The class of every code point plus four times its cluster class: the argument ``letters`` of `_C.Matcher`.

    Marks, and what UAX #29 calls Extend and SpacingMark, belong to what they follow. So do a few vowel signs of Myanmar
    and Tai scripts that it leaves out. A consonant belongs to the coeng or virama before it that stacks it.
    """
    found = char_classes().copy()
    marks = categories().astype("S1") == b"M"
    found[marks] += np.where(categories()[marks] == b"Me", _ENCLOSING, _EXTEND).astype(np.uint8)
    for value, codes in {
        _CONSONANT: code_ranges(unicode_tables.STACKED),
        _CONTROL: code_ranges(unicode_tables.CONTROLS),
        PICTURE: code_ranges(unicode_tables.PICTURES),
        _EXTEND: [*code_ranges(unicode_tables.EXTENDING), *TAGS, *TONES],
        PREPEND: code_ranges(unicode_tables.PREPENDED),
        _FLAG: range(0x1F1E6, 0x1F200),
        _STACKER: code_ranges(unicode_tables.STACKERS),
        _JOINER: [0x200D],
        _NIKHAHIT: [0x0E4D, 0x0ECD],
        _SARA_AA: map(ord, DIGRAPHS["\u0e4d"] + DIGRAPHS["\u0ecd"]),
        HO: [0x0EAB],
        NO: map(ord, DIGRAPHS["\u0eab"]),
    }.items():
        places = list(codes)
        found[places] = found[places] % _CLUSTER + value
    found.setflags(write=False)
    return found
