"""Thresholds of the quality filters by language.

English has those of the filters themselves, which is what Gopher (arXiv 2112.11446), C4 (arXiv 1910.10683) and FineWeb
(arXiv 2406.17557) used. The other languages have those of FineWeb2 (arXiv 2506.20920, its ``configs`` of June 2025),
found on Common Crawl and Wikipedia of each language with words cut as here. A language without a row is judged as
English is, but by no stop words.
"""

from __future__ import annotations

from typing import NamedTuple

MIXED = frozenset({"zh", "ja"})  # without spaces between words; their words are cut by jieba and SudachiPy
UNCUT = frozenset({"th", "lo", "km", "my", "bo"})  # without spaces, and without a cutter here: not judged


class Thresholds(NamedTuple):
    """What differs by language; each field is named as in datatrove."""

    dup_line_frac: float
    top_n_grams: tuple[float, ...]  # for 2, 3 and 4 words
    dup_n_grams: tuple[float, ...]  # for 5 to 10 words
    min_avg_word_length: int
    max_avg_word_length: int
    max_non_alpha_words_ratio: float  # in spite of its name the least share of words that have a letter
    line_punct_thr: float
    new_line_ratio: float
    stop_words: str
    short_line_thr: float = 999.0  # FineWeb2 has no such rule beyond English
    char_duplicates_ratio: float = 0.1


ENGLISH = Thresholds(
    0.3, (0.2, 0.18, 0.16), (0.15, 0.14, 0.13, 0.12, 0.11, 0.1), 3, 10, 0.8, 0.12, 0.3,
    "the be to of and that have with", 0.67, 0.01,
)  # fmt: skip
THRESHOLDS = {
    "en": ENGLISH,
    "de": Thresholds(
        0.263, (0.169, 0.153, 0.137), (0.141, 0.134, 0.126, 0.117, 0.108, 0.098), 0, 15, 0.774, 0.0, 0.152,
        "der und die in von im den des mit das er dem als wurde für",
    ),
    "es": Thresholds(
        0.265, (0.077, 0.097, 0.112), (0.152, 0.137, 0.123, 0.114, 0.107, 0.099), 4, 14, 0.825, 0.3, 0.171,
        "de la en el y a que del los se por un con una las su",
    ),
    "fr": Thresholds(
        0.264, (0.161, 0.149, 0.134), (0.15, 0.141, 0.131, 0.121, 0.111, 0.1), 2, 11, 0.812, 0.1, 0.185,
        "de la le et à en l' des du les est d' un une il dans par au",
    ),
    "it": Thresholds(
        0.246, (0.198, 0.156, 0.133), (0.144, 0.136, 0.127, 0.118, 0.109, 0.1), 3, 21, 0.807, 0.025, 0.2,
        "di e il la in a del che è della un per nel l' con da i una",
    ),
    "ja": Thresholds(
        0.375, (0.121, 0.129, 0.145), (0.307, 0.283, 0.264, 0.248, 0.234, 0.223), 1, 5, 0.759, 0.167, 0.162,
        "の に を は た て が と で 年 し 月 れ さ",
    ),
    "pt": Thresholds(
        0.325, (0.093, 0.117, 0.139), (0.19, 0.172, 0.154, 0.142, 0.131, 0.12), 3, 13, 0.814, 0.154, 0.23,
        "de a e o em do da que um no uma com para na é foi",
    ),
    "ru": Thresholds(
        0.322, (0.184, 0.164, 0.146), (0.168, 0.156, 0.145, 0.133, 0.121, 0.109), 3, 11, 0.713, 0.231, 0.139,
        "в и на с года по году из был к не от что за для его как а он также до после",
    ),
    "zh": Thresholds(
        0.287, (0.256, 0.201, 0.171), (0.198, 0.182, 0.167, 0.154, 0.14, 0.127), 1, 5, 0.735, 0.106, 0.178,
        "的 年 在 月 是 和 日 了 於 為 有 被 人 中 为 他 與 後 也 而 由",
    ),
}  # fmt: skip
