"""What a lexicon holds, before a long run: each word with its tokens, each pair with the concepts that it can serve."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.words.languages import parse_pair
from pivotkit.words.lexicon import Lexicon, repeated_words
from pivotkit.words.telling import telling_piece
from pivotkit.words.token_classes import alike, folded
from pivotkit.words.word_tokens import WordTokens

WORDS = pa.schema(
    [("concept", pa.string()), ("line", pa.int32()), ("language", pa.string()), ("word", pa.string()),
     ("shown", pa.bool_()), ("repeated", pa.int32()), ("homographs", pa.list_(pa.string())), ("pieces", pa.int32()),
     ("telling_piece", pa.int32()), ("told_apart", pa.bool_()), ("df", pa.int64()), ("df_own", pa.int64()),
     ("df_by_language", pa.map_(pa.string(), pa.int64()))]
)  # fmt: skip
PAIRS = pa.schema(
    [("pair", pa.string()), ("concepts", pa.int32()), ("same_spelling", pa.int32()), ("look_alikes", pa.int32()),
     ("shared_piece", pa.int32()), ("not_told_apart", pa.int32()), ("readable", pa.int32()),
     ("few_documents", pa.int32()), ("served", pa.int32()), ("enough", pa.bool_())]
)  # fmt: skip
LANGUAGES = pa.schema(
    [("language", pa.string()), ("concepts", pa.int32()), ("words", pa.int32()), ("homographs", pa.int32()),
     ("repeated", pa.int32()), ("mean_pieces", pa.float64()), ("one_piece", pa.int32()), ("not_told_apart", pa.int32()),
     ("median_df", pa.float64()), ("few_documents", pa.int32()), ("no_document", pa.int32())]
)  # fmt: skip


@dataclass(frozen=True)
class WordDocuments:
    """The documents that hold each word, by their languages, such as ``fr`` or ``en+fr``."""

    counts: Mapping[str, Mapping[str, int]]

    def __repr__(self) -> str:
        return f"WordDocuments(words={len(self.counts)})"

    def of(self, word: str, code: str) -> int:
        """Those of a language, alone or among others."""
        return sum(count for langs, count in self.counts[word].items() if code in langs.split("+"))

    def told(self, code: str) -> bool:
        """Whether any of them is told to be in a language."""
        return any(code in langs.split("+") for own in self.counts.values() for langs in own)


def word_rows(
    lexicon: Lexicon, tokens: WordTokens | None, tokenizer: Any, documents: WordDocuments | None
) -> list[dict[str, Any]]:
    """One row per accepted word, by the columns of `WORDS`; what is not asked for is None."""
    spelled: dict[str, set[str]] = defaultdict(set)
    for number, row in enumerate(lexicon.rows):
        for code in row:
            for word in lexicon.accepted(number, code):
                spelled[folded(word)].add(code)
    repeated = {(line, code): first for line, code, _, first in repeated_words(lexicon)}
    told = documents is not None and any(map(documents.told, lexicon.names))
    rows = []
    for number, row in enumerate(lexicon.rows):
        line = lexicon.line(number)
        for code in row:
            for place, word in enumerate(lexicon.accepted(number, code)):
                own: dict[str, Any] = {
                    "concept": lexicon.concept(number), "line": line, "language": code, "word": word,
                    "shown": not place,
                    "repeated": None if place else repeated.get((line, code)),
                    "homographs": sorted(spelled[folded(word)] - {code}),
                }  # fmt: skip
                if tokens is not None:
                    own |= _in_tokens(word, tokens, tokenizer)
                if documents is not None:
                    found = documents.counts[word]
                    own |= {"df": sum(found.values()), "df_by_language": [*found.items()]}
                    own |= {"df_own": documents.of(word, code)} if told else {}
                rows.append(own)
    return rows


def _in_tokens(word: str, tokens: WordTokens, tokenizer: Any) -> dict[str, Any]:
    pieces = tokens.pieces(word)
    telling = telling_piece(tokenizer, pieces) if pieces else None
    return {"pieces": len(pieces), "telling_piece": telling, "told_apart": bool(tokens.telling(word))}


def pair_rows(
    lexicon: Lexicon, pairs: Sequence[str], words: Sequence[Mapping[str, Any]], tokens: WordTokens | None,
    min_df: int | None, least: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row per pair, by the columns of `PAIRS`. ``min_df`` is None where no documents were counted."""
    shown = {(word["line"], word["language"]): word for word in words if word["shown"]}
    rows = []
    for pair in pairs:
        source, target = parse_pair(pair, lexicon.names)
        counts = dict.fromkeys(PAIRS.names[1:-1], 0)
        for row in lexicon.having(source, target):
            line, one, other = lexicon.line(row), lexicon.rows[row][source], lexicon.rows[row][target]
            same, shared = folded(one) == folded(other), tokens is not None and tokens.overlap(one, other)
            own = [shown[line, code] for code in (source, target)]
            few = min_df is not None and min(word["df_own"] for word in own) < min_df
            found = {
                "concepts": True, "same_spelling": same, "shared_piece": shared, "few_documents": few,
                "look_alikes": not same and (alike(folded(one), other) or alike(folded(other), one)),
                "not_told_apart": any(word.get("told_apart") is False for word in own),
                "readable": not (same or shared), "served": not (same or shared or few),
            }  # fmt: skip
            for name, holds in found.items():
                counts[name] += holds
        unknown = ["shared_piece", "not_told_apart"] if tokens is None else []
        unknown += ["few_documents", "served"] if min_df is None else []
        rows.append({"pair": pair, **counts, **dict.fromkeys(unknown), "enough": counts["served"] >= least})
    return rows


def language_rows(lexicon: Lexicon, words: Sequence[Mapping[str, Any]], min_df: int | None) -> list[dict[str, Any]]:
    """One row per language, by the columns of `LANGUAGES`, over its accepted words."""
    rows = []
    for code in lexicon.names:
        own = [word for word in words if word["language"] == code]
        row: dict[str, Any] = {
            "language": code, "concepts": sum(word["shown"] for word in own), "words": len(own),
            "homographs": sum(bool(word["homographs"]) for word in own),
            "repeated": sum(word["repeated"] is not None for word in own),
        }  # fmt: skip
        if own and "pieces" in own[0]:
            pieces = [word["pieces"] for word in own]
            row |= {"mean_pieces": float(np.mean(pieces)), "one_piece": pieces.count(1),
                    "not_told_apart": sum(not word["told_apart"] for word in own)}  # fmt: skip
        if own and min_df is not None:
            df = [word["df_own"] for word in own]
            row |= {"median_df": float(np.median(df)), "few_documents": sum(count < min_df for count in df),
                    "no_document": df.count(0)}  # fmt: skip
        rows.append(row)
    return rows
