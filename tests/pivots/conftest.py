"""Counts of small corpora, made by a search of every document, and families of invented words."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_array


def count_slowly(documents, words, vocabulary):
    """Document counts of words and of tokens. A document contains a word if it has its token ids in sequence."""
    names = list(words)
    df = np.zeros(len(names), np.int64)
    context = np.zeros((len(names), vocabulary), np.int64)
    background = np.zeros(vocabulary, np.int64)
    for document in documents:
        present = sorted(set(document))
        background[present] += 1
        for row, name in enumerate(names):
            word = list(words[name])
            if any(document[at : at + len(word)] == word for at in range(len(document) - len(word) + 1)):
                df[row] += 1
                context[row, present] += 1
    return SimpleNamespace(
        words=names,
        df=df,
        documents=len(documents),
        context=csr_array(context),
        background=background,
        index=names.index,  # a ValueError for other words, as with Counts
    )


def find_slowly(counts, source, target, families, k, min_df):
    """The paper's rule in plain Python: (token, score) of the pivots, best first."""
    a, b = counts.index(source), counts.index(target)
    dense = counts.context.toarray()
    scores = Counter()
    for token in range(dense.shape[1]):
        if token in families or min(dense[a, token], dense[b, token]) < min_df:
            continue
        share = counts.background[token] / counts.documents
        scores[token] = min(dense[a, token] / counts.df[a] - share, dense[b, token] / counts.df[b] - share)
    best = sorted((-score, token) for token, score in scores.items() if score > 0)
    return [(token, -score) for score, token in best[:k]]


@pytest.fixture(scope="session")
def slow():
    return SimpleNamespace(count=count_slowly, find=find_slowly)


@pytest.fixture
def families():
    """Word families of words with known tokens."""
    return lambda words: SimpleNamespace(family=lambda word: words[word])
