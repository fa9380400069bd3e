"""The generated world: three invented languages, documents, translation lines, and the truth about both.

A and B are the minority languages. P is the majority language, as English is in real corpora. Every concept has one
word in each. The A and B words of a *direct* concept share documents, and its P word is never in those. The A and B
words of a *pivot* concept never share a document, but both share documents with the P word. Translation lines teach
the format of the prompt. A held-out concept stands on no line between A and B, so a model learns that translation
elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray

from pivotkit.artifacts import atomic_path, write_json
from pivotkit.testbed.config import WorldConfig

NAMES = {"a": "A", "b": "B", "p": "P"}
LANGUAGES = tuple(NAMES)
BOS = "<s>"
UNKNOWN = "<unk>"
SPECIAL = (BOS, UNKNOWN, "\n", *(f"{name}:" for name in NAMES.values()))
KINDS = ("direct", "pivot")
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Concept:
    """One concept: its number, its kind ("direct" or "pivot"), whether it is held out, its word in each language."""

    index: int
    kind: str
    held_out: bool
    words: Mapping[str, str]


@dataclass(frozen=True)
class Texts:
    """Rows of token ids, padded with -1 on the right, and one language label per row."""

    ids: Ints
    langs: tuple[str, ...]


class World:
    """Everything that a `WorldConfig` generates; equal configurations give equal bytes. Texts are made on first use.

    Parameters
    ----------
    config : WorldConfig, optional

    Attributes
    ----------
    concepts : tuple of Concept
    vocabulary : tuple of str
        Every token; its place is its id. Special tokens first, then the words of A, B and P, then background words.

    Examples
    --------
    >>> world = World(WorldConfig(concepts=8, held_out=4, documents=3, blocks=2))
    >>> [concept.kind for concept in world.concepts].count("pivot")
    4
    """

    def __init__(self, config: WorldConfig | None = None) -> None:
        self.config = config = config or WorldConfig()
        random = self._random(0)
        self._pivot = np.zeros(config.concepts, dtype=bool)
        self._pivot[random.permutation(config.concepts)[: config.concepts // 2]] = True
        self._held_out = np.zeros(config.concepts, dtype=bool)
        for kind in (False, True):
            chosen = random.permutation(np.flatnonzero(self._pivot == kind))[: config.held_out // 2]
            self._held_out[chosen] = True
        frequency = np.exp(config.spread * random.standard_normal(config.concepts))
        self._frequency = frequency / frequency.sum()
        numbers = range(config.concepts)
        self.vocabulary = (
            *SPECIAL,
            *(f"{language}{number}" for language in LANGUAGES for number in numbers),
            *(f"g{number}" for number in range(config.background)),
        )
        self.concepts = tuple(
            Concept(
                number,
                KINDS[int(self._pivot[number])],
                bool(self._held_out[number]),
                {x: f"{x}{number}" for x in LANGUAGES},
            )
            for number in numbers
        )

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, stream])

    def _word(self, language: Ints, concept: Ints) -> Ints:
        return len(SPECIAL) + language * self.config.concepts + concept

    @cached_property
    def documents(self) -> Texts:
        """The documents. A label is the document's minority language (one of both by lot), or ``"p"`` without one."""
        config, random = self.config, self._random(1)
        number, most = config.documents, config.rounds[1]
        concept = random.choice(config.concepts, number, p=self._frequency)
        pivot = self._pivot[concept]
        languages = np.where(
            pivot, _draw(random, config.pivot_documents, number), _draw(random, config.direct_documents, number)
        )
        first = np.array([LANGUAGES.index(name[0]) for name in languages], dtype=np.int64)
        second = np.array([LANGUAGES.index(name[-1]) for name in languages], dtype=np.int64)
        two = first != second

        # One row of slots per round: first word, second word, at most 5 background words, the word of another concept.
        slots = np.full((number, most, 8), -1, dtype=np.int64)
        slots[:, :, 0] = self._word(first, concept)[:, None]
        slots[:, :, 1] = np.where(two, self._word(second, concept), -1)[:, None]
        zipf = 1 / np.arange(1, config.background + 1)
        background = len(self.vocabulary) - config.background
        drawn = background + random.choice(config.background, (number, most, 5), p=zipf / zipf.sum())
        density = random.uniform(*config.filler, size=number)
        count = np.floor(density[:, None] + random.random((number, most)))
        slots[:, :, 2:7] = np.where(np.arange(5) < count[:, :, None], drawn, -1)
        other = np.empty((number, most), dtype=np.int64)
        for kind in (False, True):
            rows = pivot == kind
            other[rows] = random.choice(np.flatnonzero(self._pivot == kind), (int(rows.sum()), most))
        language = np.where(random.random((number, most)) < 0.5, first[:, None], second[:, None])
        slots[:, :, 7] = np.where(random.random((number, most)) < config.related, self._word(language, other), -1)
        slots = np.take_along_axis(slots, np.argsort(random.random(slots.shape), axis=2), axis=2)
        rounds = random.integers(config.rounds[0], most, size=number, endpoint=True)
        slots[np.arange(most) >= rounds[:, None]] = -1
        coin = random.integers(0, 2, size=number)
        langs = tuple(name[side] if name == "ab" else name[0] for name, side in zip(languages, coin, strict=True))
        return Texts(_left(slots.reshape(number, -1)), langs)

    @property
    def early_blocks(self) -> int:
        """Number of blocks that are not late."""
        return round(self.config.blocks * (1 - self.config.late))

    @cached_property
    def lines(self) -> Texts:
        """The blocks of translation lines, late ones last, labelled ``"lines"``. The counted corpus has none."""
        config, random = self.config, self._random(2)
        number, most = config.blocks, config.lines[1]
        weight = self._frequency * np.where(self._pivot, 1.0, config.direct_weight)
        weight = weight * np.where(self._held_out, config.held_out_weight, 1.0)
        # The largest of log weight + Gumbel noise are a weighted draw without replacement.
        key = np.log(weight) + random.gumbel(size=(number, config.concepts))
        concept = np.argsort(-key, axis=1)[:, :most]
        direction = np.empty((number, most), dtype="<U2")
        is_late = np.repeat(np.arange(number) >= self.early_blocks, most).reshape(number, most)
        for pivot, late, shares in (
            (False, False, config.direct_lines),
            (False, True, config.direct_lines),
            (True, False, config.pivot_lines),
            (True, True, config.late_pivot_lines),
        ):
            for held_out in (False, True):
                allowed = {name: share for name, share in shares.items() if not (held_out and name in ("ab", "ba"))}
                rows = (self._pivot[concept] == pivot) & (self._held_out[concept] == held_out) & (is_late == late)
                direction[rows] = _draw(random, allowed, int(rows.sum()))
        codes = np.array(LANGUAGES)
        source = np.searchsorted(codes, direction.astype("<U1"))
        target = np.searchsorted(codes, np.array([name[1] for name in direction.ravel()])).reshape(direction.shape)
        tag = SPECIAL.index("A:")
        newline = np.full_like(concept, SPECIAL.index("\n"))
        slots = np.stack(
            (tag + source, self._word(source, concept), tag + target, self._word(target, concept), newline), 2
        )
        count = random.integers(config.lines[0], most, size=number, endpoint=True)
        slots[np.arange(most) >= count[:, None]] = -1
        return Texts(_left(slots.reshape(number, -1)), ("lines",) * number)

    def text(self, ids: Ints) -> str:
        """Give a row of ids as text; ids below 0 are skipped."""
        words = " ".join(self.vocabulary[token] for token in ids[ids >= 0].tolist())
        return words.replace(" \n ", "\n").replace(" \n", "\n")

    def records(self, texts: Texts) -> list[dict[str, str]]:
        """Give texts as JSON-ready documents with the keys ``id``, ``text`` and ``lang``."""
        width = len(str(len(texts.langs)))
        return [
            {"id": f"{lang}-{number:0{width}d}", "text": self.text(row), "lang": lang}
            for number, (row, lang) in enumerate(zip(texts.ids, texts.langs, strict=True))
        ]

    def truth(self) -> dict[str, Any]:
        """Give the truth about the world: ``documents`` (their number) and ``concepts``, one dict per concept.

        A concept has ``concept``, ``kind``, ``held_out``, ``words`` (by language), ``df`` (number of documents with the
        word, by language), ``df_both`` (number of documents with both words: ``ab``, ``ap``, ``bp``), ``pivot`` (the P
        word of a pivot concept, else None) and ``behavior`` (``"pivot"`` or ``"co-occurrence"``) between A and B.
        """
        ids = self.documents.ids
        held = np.zeros((len(ids), len(self.vocabulary)), dtype=bool)
        rows, columns = np.nonzero(ids >= 0)
        held[rows, ids[rows, columns]] = True
        number = self.config.concepts
        begin = {x: len(SPECIAL) + number * place for place, x in enumerate(LANGUAGES)}
        words = {x: held[:, begin[x] : begin[x] + number] for x in LANGUAGES}
        df = {x: words[x].sum(0).tolist() for x in LANGUAGES}
        both = {x + y: (words[x] & words[y]).sum(0).tolist() for x, y in ("ab", "ap", "bp")}
        return {
            "documents": len(ids),
            "concepts": [
                {
                    "concept": concept.index,
                    "kind": concept.kind,
                    "held_out": concept.held_out,
                    "words": dict(concept.words),
                    "df": {x: counts[concept.index] for x, counts in df.items()},
                    "df_both": {pair: counts[concept.index] for pair, counts in both.items()},
                    "pivot": concept.words["p"] if concept.kind == "pivot" else None,
                    "behavior": "pivot" if concept.kind == "pivot" else "co-occurrence",
                }
                for concept in self.concepts
            ],
        }

    def write(self, folder: str | Path) -> dict[str, Path]:
        """Write ``corpus.jsonl.zst`` (documents), ``lines.jsonl.zst``, ``lexicon.tsv`` and ``world.json`` (the truth).

        Returns
        -------
        dict of str to Path
            Under the keys ``corpus``, ``lines``, ``lexicon`` and ``truth``.
        """
        folder = Path(folder)
        write_json({"config": dataclasses.asdict(self.config), **self.truth()}, folder / "world.json")
        write_jsonl(self.records(self.documents), folder / "corpus.jsonl.zst")
        write_jsonl(self.records(self.lines), folder / "lines.jsonl.zst")
        rows = ["\t".join(f"{code}={name}" for code, name in NAMES.items())]
        rows += ["\t".join(concept.words[x] for x in LANGUAGES) for concept in self.concepts]
        with atomic_path(folder / "lexicon.tsv") as temporary:
            temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")
        names = {
            "corpus": "corpus.jsonl.zst",
            "lines": "lines.jsonl.zst",
            "lexicon": "lexicon.tsv",
            "truth": "world.json",
        }
        return {key: folder / name for key, name in names.items()}


def write_jsonl(records: list[dict[str, str]], path: str | Path) -> Path:
    """Write records as Zstandard-compressed JSON lines."""
    with atomic_path(path) as temporary:
        lines = b"".join(orjson.dumps(record) + b"\n" for record in records)
        temporary.write_bytes(zstandard.ZstdCompressor(level=3).compress(lines))
    return Path(path)


def _draw(random: np.random.Generator, shares: Mapping[str, float], number: int) -> NDArray[np.str_]:
    share = np.array(list(shares.values()), dtype=np.float64)
    return np.array(list(shares))[random.choice(len(share), number, p=share / share.sum())]


def _left(ids: Ints) -> Ints:
    """Move each row's ids to the left of its padding."""
    return np.take_along_axis(ids, np.argsort(ids < 0, axis=1, kind="stable"), axis=1)
