"""From text to pivots: a planted corpus through the real tokenizer, counter and extraction."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from pivotkit.artifacts import table_metadata
from pivotkit.corpus.count import count
from pivotkit.corpus.token_store.tokenize import tokenize
from pivotkit.pivots.find import find_pivots
from pivotkit.pivots.hubs import hub_pivots

BACKGROUND = [f"b{number}" for number in range(40)]
PIECES = ["[UNK]", "kat", "##ze", "chat", "cat", "decoy", "the", "of", "maus", "souris", "mouse", *BACKGROUND]


@pytest.fixture(scope="module")
def tokenizer():
    core = Tokenizer(WordPiece({piece: place for place, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    core.pre_tokenizer = Whitespace()
    return core


@pytest.fixture(scope="module", params=[None, 25], ids=["exact", "sampled"])
def counts(request, tokenizer, tmp_path_factory):
    """``katze`` and ``chat`` meet ``cat`` and never each other; ``kat``, a piece of ``katze``, meets ``decoy``."""
    draw = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("corpus")
    abouts = [
        "Katze cat",
        "chat cat",
        "Katze",
        "chat decoy",
        "kat decoy",
        "kat decoy",
        "",
        "",
        "",
        "maus mouse",
        "souris mouse",
    ]
    for part in range(2):
        lines = []
        for number in range(220):
            stops = "the of" if draw.random() < 0.95 else "of"
            text = f"{stops} {abouts[number % len(abouts)]} {' '.join(draw.choice(BACKGROUND, 8))}"
            lines.append(orjson.dumps({"text": text}))
        (folder / f"{part}.jsonl").write_bytes(b"\n".join(lines))
    store = tokenize(folder, tokenizer, tmp_path_factory.mktemp("store"))
    words = ["Katze", "chat", "maus", "souris", "nirgends"]
    return count(folder, words, pairs=[("katze", "chat")], context=store, sample=request.param, workers=1)


@pytest.fixture(scope="module")
def pivots(counts, tokenizer):
    pairs = [("Katze", "chat"), ("Maus", "souris"), ("nirgends", "chat")]
    items = pa.table(
        {"item": [0, 1, 2], "pair": ["de-fr"] * 3, "source": [a for a, _ in pairs], "target": [b for _, b in pairs]}
    )
    sets = SimpleNamespace(family=lambda word: tokenizer.encode(word.lower(), add_special_tokens=False).ids)
    return find_pivots(counts, items, "paper", word_tokens=sets, tokenizer=tokenizer)


def test_the_words_never_meet(counts):
    assert counts.pair("katze", "chat") == 0


def test_the_planted_pivots_are_rank_1(pivots):
    first = {row["source"]: row["token"] for row in pivots.to_pylist() if row["rank"] == 1}
    assert first == {"Katze": "cat", "Maus": "mouse"}


def test_stop_words_are_no_pivots_to_speak_of(pivots):
    assert all(row["score"] < 0.1 for row in pivots.to_pylist() if row["token"] in ("the", "of"))


def test_a_piece_of_a_word_does_not_stand_for_the_word(counts, pivots):
    """The published filter takes a document that holds any one piece, so that ``decoy`` would be a pivot."""
    assert counts.df[counts.index("katze")] == 80
    assert "decoy" not in pivots["token"].to_pylist()


def test_a_word_in_no_document_is_counted(pivots):
    assert table_metadata(pivots)["items_without_pivots"]["a word never occurs"] == 1
    assert table_metadata(pivots)["absent_words"] == ["nirgends"]


def test_hubs_name_the_tokens(pivots):
    hubs = hub_pivots(pivots, 50).to_pylist()
    assert {hub["token"] for hub in hubs} >= {"cat", "mouse"}
    assert all(hub["words"] in (2, 4) for hub in hubs)
