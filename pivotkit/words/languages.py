"""Language codes and the names that prompts use for them."""

from __future__ import annotations

LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


def parse_pair(pair: str, known: dict[str, str] | tuple[str, ...]) -> tuple[str, str]:
    """Split a pair such as ``"fr-zh"`` into source and target code.

    Parameters
    ----------
    pair : str
        Two different codes joined by a hyphen.
    known : dict or tuple of str
        The codes to accept.

    Returns
    -------
    (str, str)

    Raises
    ------
    ValueError
        ``pair`` is not of that form, or a code is not in ``known``.

    Examples
    --------
    >>> parse_pair("fr-zh", LANGUAGES)
    ('fr', 'zh')
    """
    source, dash, target = pair.partition("-")
    if not dash or not source or not target or source == target:
        raise ValueError(f"parse_pair: pair must be two different language codes as 'fr-zh'; got {pair!r}")
    for code in (source, target):
        if code not in known:
            raise ValueError(
                f"parse_pair: language must be one of {', '.join(sorted(known))}; got {code!r} in {pair!r}"
            )
    return source, target
