"""On the generated world, whose documents are known, each control holds what it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.corpus import tokenize
from pivotkit.corpus.languages import document_languages
from pivotkit.selection import (
    arms_table,
    control_pivots,
    describe_documents,
    pivot_permutation,
    score_documents,
    select,
    selection_controls,
    shuffle_pivots,
)
from pivotkit.testbed import World, build_tokenizer, scarce_config
from pivotkit.testbed.items import demo_items

BUDGET = 4000


@pytest.fixture(scope="module")
def world():
    return World(replace(scarce_config(3), documents=8000, blocks=2, related=0.2))


@pytest.fixture(scope="module")
def pivots(world):
    """The P words of pivot concepts, the held-out ones first; each with another's and a background word."""
    concepts = sorted((one for one in world.concepts if one.kind == "pivot"), key=lambda one: not one.held_out)
    ids = {word: place for place, word in enumerate(world.vocabulary)}
    own = [ids[one.words["p"]] for one in concepts]
    background = [place for word, place in ids.items() if word.startswith("g")]
    return pa.table({"item": [one.index for one in concepts], "token_id": own, "control_id": background[: len(own)],
                     "other_id": own[len(own) // 2 :] + own[: len(own) // 2]})  # fmt: skip


@pytest.fixture(scope="module")
def store(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    world.write(folder)
    return tokenize(folder / "corpus.jsonl.zst", build_tokenizer(world.vocabulary), folder / "tokens")


@pytest.fixture(scope="module")
def documents(world, pivots, store):
    corpus = store.units[0].path
    chosen = pivots.slice(0, len(pivots) // 2)
    sets = {name: score_documents(store, tokens) for name, tokens in control_pivots(pivots, chosen).items()}
    heard = lambda text: sorted({word[0] for word in text.split()} & set("abp"))  # noqa: E731
    languages = document_languages(corpus, languages=heard, workers=1)
    items = demo_items(world)
    return describe_documents(
        score_documents(store, chosen), languages=languages, scores=sets, corpus=corpus, pairs=items
    )


@pytest.fixture(scope="module")
def arms(documents):
    selection = select(documents, budget_tokens=BUDGET, quotas={"a": 0.5, "b": 0.5})
    return {"pivot-aware": selection, **selection_controls(documents, selection, seed=1)}


def test_all_arms_have_equal_tokens_and_what_their_names_say(arms):
    table = {row["arm"]: row | dict(row["languages"]) for row in arms_table(arms).to_pylist()}
    assert len(table) == 11
    tokens = table["pivot-aware"]["tokens"]
    for name, row in table.items():
        assert abs(row["tokens"] - tokens) <= (200 if name == "length-matched" else 2 * 60), name
        assert row["missing_tokens"] == 0
    assert table["pivot-aware"]["parallel"] == 0
    assert table["random"]["p"] > 0.4
    assert "p" not in table["language-matched"]
    assert table["bilingual"]["bilingual"] == 1
    assert 0.2 < table["bilingual"]["parallel"] < 0.8
    assert table["parallel"]["a+b"] == 1
    assert table["code-switched"]["parallel"] == 0
    assert table["code-switched"]["bilingual"] == 1
    assert table["anti-pivot"]["pivot_share"] == 0
    assert (
        table["frequency-matched"]["pivot_share"] < table["random"]["pivot_share"] < table["pivot-aware"]["pivot_share"]
    )
    gap = {name: abs(row["mean_length"] - table["pivot-aware"]["mean_length"]) for name, row in table.items()}
    assert gap["length-matched"] < 0.5 < gap["language-matched"]
    assert dict(table["pivot-shuffled"]["overlap_tokens"])["pivot-aware"] == 1


def test_bilingual_documents_are_a_random_draw_of_those_that_there_are(arms, documents):
    """The share of A with B among them is that of the corpus, within four standard errors."""
    known = documents.to_pylist()
    pool = [row for row in known if row["languages"] in ("a+b", "a+p", "b+p") and row["lang"] in "ab"]
    wanted = np.mean([row["languages"] == "a+b" for row in pool])
    found = [row["languages"] == "a+b" for row in arms["bilingual"].to_pylist()]
    assert abs(np.mean(found) - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / len(found))


def test_other_pivots_are_of_the_other_concepts(arms, store, pivots):
    half = len(pivots) // 2
    scores = score_documents(store, pivots.slice(half))
    shares = dict(zip(scores["row"].to_pylist(), scores["score"].to_pylist(), strict=True))
    other, aware = (
        np.mean([shares[row] for row in arms[name]["row"].to_pylist()]) for name in ("other-pivots", "pivot-aware")
    )
    assert other > 5 * aware


def test_shuffled_documents_keep_everything_but_their_pivots(world, arms, store, pivots):
    permutation = pivot_permutation(pivots, len(world.vocabulary), chosen=pivots.slice(0, len(pivots) // 2))
    unit = store.units[0]
    ids, offsets = store.ids(unit), store.offsets(unit)
    new = shuffle_pivots(store, permutation).ids(unit)
    moved = set(pivots["token_id"].to_pylist()[: len(pivots) // 2])
    for row in arms["pivot-shuffled"]["row"].to_pylist()[:100]:
        before, after = (some[offsets[row] : offsets[row + 1]].tolist() for some in (ids, new))
        assert [one != other for one, other in zip(before, after, strict=True)] == [one in moved for one in before]
        assert all(other in moved for one, other in zip(before, after, strict=True) if one in moved)
