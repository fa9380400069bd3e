"""Language codes, the names that prompts use for them, and pairs of codes."""

from __future__ import annotations

import re
from collections.abc import Collection

# Tags with a script or a region have the names of CLDR's English locale (common/main/en.xml).
LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
    "ar-001": "Modern Standard Arabic", "de-AT": "Austrian German", "de-CH": "Swiss High German",
    "en-AU": "Australian English", "en-CA": "Canadian English", "en-GB": "British English",
    "en-US": "American English", "es-419": "Latin American Spanish", "es-ES": "European Spanish",
    "es-MX": "Mexican Spanish", "fr-CA": "Canadian French", "fr-CH": "Swiss French", "nl-BE": "Flemish",
    "pt-BR": "Brazilian Portuguese", "pt-PT": "European Portuguese", "sr-Cyrl": "Serbian (Cyrillic)",
    "sr-Latn": "Serbian (Latin)", "zh-Hans": "Simplified Chinese", "zh-Hant": "Traditional Chinese",
}  # fmt: skip

# A code of one part, or a tag of RFC 5646 (BCP 47) in its usual case: language, script, region, variants. No subtag
# behind the first has two or three small letters, so a pair of such codes can be split in at most one way.
_TAG = re.compile(r"\w+|[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?(-([A-Za-z0-9]{5,8}|\d[a-z0-9]{3}))*")


def parse_pair(pair: str, known: Collection[str] | None = None) -> tuple[str, str]:
    """Split a pair such as ``"fr-zh"`` or ``"en-pt-BR"`` into source and target code.

    Parameters
    ----------
    pair : str
        Two different codes joined by a hyphen. A code may have hyphens of its own.
    known : collection of str, optional
        The codes to accept, such as the languages of a lexicon. Without them, the codes must have one part each or be
        tags of RFC 5646 in their usual case (``zh-Hans``, ``pt-BR``).

    Returns
    -------
    (str, str)

    Raises
    ------
    TypeError
        ``pair`` is no string.
    ValueError
        ``pair`` is not of that form, a code is not in ``known``, or two ways to split ``pair`` give accepted codes.

    Examples
    --------
    >>> parse_pair("fr-zh", LANGUAGES), parse_pair("zh-Hans-pt-BR")
    (('fr', 'zh'), ('zh-Hans', 'pt-BR'))
    """
    if not isinstance(pair, str):
        raise TypeError(f"parse_pair: pair must be a string such as 'fr-zh'; got {pair!r}")
    parts = pair.split("-")
    ways = [("-".join(parts[:place]), "-".join(parts[place:])) for place in range(1, len(parts))]
    accepts = (lambda code: code in known) if known is not None else (lambda code: bool(_TAG.fullmatch(code)))
    found = [way for way in ways if all(map(accepts, way))]
    if len(found) > 1:
        readings = " or ".join(f"{source} to {target}" for source, target in found)
        raise ValueError(f"parse_pair: pair must be two codes in one way only; got {pair!r}, which is {readings}")
    if found and found[0][0] != found[0][1]:
        return found[0]
    halves = [way for way in ways if all(way) and any(map(accepts, way))] or [way for way in ways if all(way)]
    if known is not None and not found and len(halves) == 1:
        [unknown, *_] = [code for code in halves[0] if code not in known]
        raise ValueError(f"parse_pair: language must be one of {', '.join(sorted(known))}; got {unknown!r} in {pair!r}")
    raise ValueError(f"parse_pair: pair must be two different language codes as 'fr-zh'; got {pair!r}")
