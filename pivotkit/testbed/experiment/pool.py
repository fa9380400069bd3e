"""A pool of documents, scored as any corpus is: counted as token files, its pivots found, its documents scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.corpus.count import count
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.pivots.find import find_pivots
from pivotkit.selection.scoring.scores import score_documents
from pivotkit.testbed.experiment.setting import Setting
from pivotkit.testbed.items import demo_items
from pivotkit.testbed.tokenizer import build_tokenizer
from pivotkit.testbed.world import BOS, LANGUAGES, SPECIAL, Ints, World
from pivotkit.words.word_tokens import WordTokens

LEAST_SCORE = 0.15  # normalized pointwise mutual information of a pivot with both words; chance company has below 0.05

Documents = list[list[int]]


@dataclass(frozen=True)
class Pool:
    """The parts of a world, and what is known about the documents of its pool.

    Attributes
    ----------
    world : World
    setting : Setting
    base, base_lines, held_out, lines : list of list of int
        Ids of the documents and blocks of the base, the held-out documents, and the lines of the arms.
    documents : int64 (N, W)
        The documents to select from, padded with -1 on the right.
    languages : (N,) str
        The languages of each: ``"a"``, ``"ab"``, ...
    table : pyarrow.Table
        The documents' rows of `score_documents`, with ``lang``, ``languages`` and ``translation_pairs``.
    pivots : pyarrow.Table
        The result of `find_pivots` for all concepts.
    """

    world: World
    setting: Setting
    base: Documents
    base_lines: Documents
    held_out: Documents
    lines: Documents
    documents: Ints
    languages: NDArray[np.str_]
    table: pa.Table
    pivots: pa.Table

    @property
    def lengths(self) -> Ints:
        """The tokens of each document, with its separator."""
        return np.asarray(self.table["tokens"], dtype=np.int64)

    def texts(self, places: Ints) -> Documents:
        """The ids of the documents at ``places``."""
        return listed(self.documents[places])


def make_pool(setting: Setting, seed: int, folder: Path) -> Pool:
    """Make the world of a seed, cut it into its parts, and score the documents of the pool by its pivots.

    ``folder`` takes the pool's token file.
    """
    sizes = (setting.base_documents, setting.pool_documents, setting.held_out_documents)
    blocks = setting.base_blocks + setting.arm_blocks
    world = World(replace(setting.world, documents=sum(sizes), blocks=blocks, seed=seed))
    base, documents, held_out = np.split(world.documents.ids, np.cumsum(sizes)[:-1])
    langs = np.array(world.documents.langs[sizes[0] : sizes[0] + sizes[1]])
    languages = languages_of(world, documents)
    files = _token_files(world, documents, folder / "pool.npy")
    pivots = _pivots(world, files)
    scores = score_documents(files, pivots)
    columns = {"lang": langs, "languages": languages, "translation_pairs": (languages == "ab").astype(np.int32)}
    for name, values in columns.items():
        scores = scores.drop_columns([name] if name in scores.column_names else []).append_column(name, [values])
    lines = listed(world.lines.ids)
    return Pool(
        world, setting, listed(base), lines[: setting.base_blocks], listed(held_out), lines[setting.base_blocks :],
        documents, languages, scores, pivots,
    )  # fmt: skip


def listed(ids: Ints) -> Documents:
    """Rows without their padding."""
    return [row[row >= 0].tolist() for row in ids]


def languages_of(world: World, ids: Ints) -> NDArray[np.str_]:
    """The languages whose concept words a document holds, such as ``"ap"``."""
    concepts = world.config.concepts
    word = np.where(ids >= len(SPECIAL), (ids - len(SPECIAL)) // concepts, len(LANGUAGES))
    held = [np.where((word == place).any(axis=1), name, "") for place, name in enumerate(LANGUAGES)]
    return np.char.add(np.char.add(held[0], held[1]), held[2])


def _token_files(world: World, documents: Ints, path: Path) -> TokenFiles:
    eos = world.vocabulary.index(BOS)
    ended = np.concatenate([documents, np.full((len(documents), 1), eos)], axis=1)
    ended[ended >= 0].astype("<u2").tofile(path)
    return TokenFiles(path, vocab_size=len(world.vocabulary), eos=eos)


def _pivots(world: World, files: TokenFiles) -> pa.Table:
    items, tokenizer = demo_items(world), build_tokenizer(world.vocabulary)
    words = sorted({*items["source"].to_pylist(), *items["target"].to_pylist()})
    counts = count(files, TokenWatchList(words, tokenizer), context=True, workers=1)
    return find_pivots(
        counts, items, rule="npmi", k=5, min_score=LEAST_SCORE, word_tokens=WordTokens(tokenizer), tokenizer=tokenizer
    )


def monolingual(world: World, documents: Documents) -> Iterator[tuple[str, Documents]]:
    """The documents in P, in A and in B alone."""
    width = max(map(len, documents))
    padded = np.full((len(documents), width), -1, dtype=np.int64)
    for row, ids in enumerate(documents):
        padded[row, : len(ids)] = ids
    languages = languages_of(world, padded)
    for language in ("p", "a", "b"):
        yield language, [documents[place] for place in np.flatnonzero(languages == language)]
