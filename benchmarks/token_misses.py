"""Which words of a text are missed in its tokens, and why: the table of docs/token_counting.md.

``PYTHONPATH=tests/helpers python benchmarks/token_misses.py SHARED MODELS``: the folder of real text, and that of real
tokenizers. It also checks that no word is counted more often in tokens than in text.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import zstandard
from alphabets import LANGUAGES, make_text, make_words
from token_counts import invented
from tokenizers import Tokenizer

from pivotkit._text import pack_ids, pack_strings
from pivotkit.corpus import TokenWatchList, WatchList
from pivotkit.corpus.matching.token_watchlist import EVERY_CASE

TOKENIZERS = ("smollm2-135m", "gemma3-270m")
DOCUMENTS = 200
CAUSES = ("joined to a neighbour", "cut otherwise", "written otherwise", "edge open")


def sources(shared: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, words and texts."""
    rows = [row.split("\t") for row in (shared / "data/lexicon/concrete_nouns.tsv").read_text("utf-8").splitlines()]
    nouns = {name: [cell for cell in cells if cell] for name, *cells in zip(*rows, strict=True)}
    for language in ("en", "fr", "de", "es", "ja", "zh"):
        with zstandard.open(shared / f"data/corpus/{language}.jsonl.zst", "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line, _ in zip(lines, range(DOCUMENTS), strict=False)]
        yield f"documentation, {language}", nouns[language], texts
    table = [row.split("\t") for row in (shared / "data/parallel/udhr.tsv").read_text("utf-8").splitlines()]
    for language, *texts in zip(*table, strict=True):
        if language in ("it", "pt", "ru", "ko"):
            found = {word.strip(".,;:()«»\"'") for text in texts for word in text.split()}
            yield f"human rights, {language}", sorted(found - {""}), list(texts)
    rng = Random(0)
    for name, some in {
        "Latin": ("vi", "pl", "tr", "cs"), "Greek, Armenian, Georgian": ("el", "hy", "ka"), "Hebrew, Arabic": ("he", "ar", "fa"),
        "Indic": ("hi", "bn", "ta", "te"), "Thai to Khmer": ("th", "lo", "my", "km"),
    }.items():  # fmt: skip
        assert set(some) <= set(LANGUAGES)
        words = {language: make_words(language, 60, rng) for language in some}
        texts = [make_text(words[language], language, rng) for language in some for _ in range(300)]
        yield f"made, {name}", [word for each in words.values() for word in each], texts


def causes(core: Tokenizer, words: list[str], texts: list[str]) -> Counter[str]:
    """How many occurrences in text are found in tokens, and why the others are not."""
    watch = TokenWatchList(words, core)
    surfaces = [set() for _ in watch.words]
    for word in words:
        surfaces[watch.id(word)] |= {spelling.strip() for spelling in EVERY_CASE.spellings(word)}
    assert invented(watch, core, texts) == []
    encoded = core.encode_batch(texts, add_special_tokens=False)
    ids, offsets = pack_ids([one.ids for one in encoded])
    hits, hit_words, _, places = watch.matcher(core.get_vocab_size()).match(ids, offsets, True)
    assert places is not None
    found = {
        (document, int(hit_words[hit]), encoded[document].offsets[stop - 1][1])
        for document, hit in zip(
            np.repeat(np.arange(len(texts)), np.diff(hits)).tolist(), range(len(hit_words)), strict=True
        )
        for stop in places[2][places[0][hit] : places[0][hit + 1]].tolist()
    }
    seen: Counter[str] = Counter()
    spans = WatchList(watch.words).matcher().spans(*pack_strings(texts))
    for document, word, begin, end in zip(*(column.tolist() for column in spans), strict=True):
        text, at = texts[document], encoded[document].offsets
        inside = [i for i, (a, b) in enumerate(at) if a < end and b > begin]
        first, last = inside[0], inside[-1]
        slices = {tuple(encoded[document].ids[a : last + 1]) for a in (first, max(0, first - 1))}
        if (document, word, end) in found:
            seen["found"] += 1
        elif text[at[first][0] : begin].strip() or text[end : at[last][1]].strip():
            seen[CAUSES[0]] += 1
        elif slices & set(watch.spellings[word]):
            seen[CAUSES[3]] += 1
        else:
            seen[CAUSES[1] if text[begin:end] in surfaces[word] else CAUSES[2]] += 1
    return seen


def main(shared: str, models: str) -> None:
    print("| text | tokenizer | occurrences | found | " + " | ".join(CAUSES) + " |")
    print("|---|---|---|---|" + "---|" * len(CAUSES))
    cores = {name: Tokenizer.from_file(str(Path(models) / name / "tokenizer.json")) for name in TOKENIZERS}
    for title, words, texts in sources(Path(shared)):
        for name, core in cores.items():
            seen = causes(core, words, texts)
            total = max(1, sum(seen.values()))
            shares = [f"{100 * seen[cause] / total:.1f} %" for cause in ("found", *CAUSES)]
            print(f"| {title} | {name} | {total:,} | " + " | ".join(shares) + " |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
