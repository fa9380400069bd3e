"""Letters of 27 languages, after their exemplar characters, and texts made of them; what may stand beside a word."""

from __future__ import annotations

from random import Random

from pivotkit.corpus import normalize

# Runs of letters: the first and last of each run, or letters one by one. Marks and vowel signs are among them.
_LETTERS = {
    "en": "az", "fr": "az àâæçéèêëîïôœùûüÿ", "de": "az äöüß", "es": "az áéíñóúü", "vi": "ay ăâđêôơưàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ",
    "pl": "az ąćęłńóśźż", "tr": "az çğıİöşü", "cs": "az áčďéěíňóřšťúůýž", "ru": "ая ё", "uk": "ая єіїґ", "el": "αω άέήίόύώϊϋ",
    "hy": "աև", "ka": "აჰ", "he": "את", "ar": "ءي ًْ", "fa": "ءي پچژکگی", "hi": "अह ँः ाौ ् ़ क़य़", "bn": "অহ ঁঃ াৌ ় ্", "ta": "அஹ ாௌ ்",
    "te": "అహ ాౌ ఁః ్", "ko": "가힣", "th": "กฮ ะำ ิู เ์", "lo": "ກຮ ະໄ ່ໍ", "my": "ကအ ာှ", "km": "កអ ាៅ ំះ ្", "ja": "ぁん ァン ー 一九", "zh": "一龥",
}  # fmt: skip

BESIDE = (
    "", "s", "ệ", "я", "ẽ", "٣", "7", "_", "²", "½", "ﬁ", "™", "´", "\u0301", "\u0323\u0301", "\u0308", "है", "\u0e48", "\u17d2រ", "์",
    "은", "ᆨ", "猫", "ー", "ﾞ", "\u3099", "ア", "ก", "\u00ad", "\u200d", "\u200b", "\u200d\u0301", "\ufe0f", "\u2060", "’", "'", "ʼ", "׳",
    "-", "‑", "·", "😀", "👍🏽", "🇩🇪", "𝒳", "𐍈", "\ufeff", "ׁ", "ּ", "ً", "ـ", " ", " ", " ", "\n", "\t", ".", ",", "。", "「", "」", "(", ")",
    "▁", "\u00a0", "\ufffd", "<", "##", "\u0345",
)  # fmt: skip


def letters(language: str) -> list[str]:
    found: list[str] = []
    for run in _LETTERS[language].split(" "):
        if len(run) == 2:
            found += [chr(code) for code in range(ord(run[0]), ord(run[1]) + 1)]
        else:
            found += run
    return found


LANGUAGES = tuple(_LETTERS)


def make_words(language: str, count: int, rng: Random) -> list[str]:
    """Words of one to five letters, most of them with a neighbour that is longer or shorter by a letter."""
    alphabet = letters(language)
    words: list[str] = []
    while len(words) < count:
        word = "".join(rng.choices(alphabet, k=rng.randint(1, 4)))
        words += [word, word + rng.choice(alphabet), rng.choice(alphabet) + word]
    return [word for word in dict.fromkeys(words) if normalize(word)]  # some are stretching signs alone


def make_text(words: list[str], language: str, rng: Random, length: int = 12) -> str:
    """Words of any case with anything beside them, among it letters of the same language."""
    beside = [*BESIDE, *rng.choices(letters(language), k=8)]
    parts = []
    for word in rng.choices(words, k=length):
        parts += [rng.choice((word, word, word.upper(), word.title())), rng.choice(beside), rng.choice((" ", "", ""))]
    return "".join(parts)
