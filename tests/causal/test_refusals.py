"""What a causal test refuses, and what it leaves out with a reason."""

from __future__ import annotations

import copy
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from causal_models import pivots_of

from pivotkit.artifacts import table_metadata
from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.chosen import read_items
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.model.encoding import encode
from pivotkit.lens.model.head import LensHead
from pivotkit.words.word_tokens import WordTokens


@pytest.fixture(scope="module")
def head(llama):
    return LensHead.from_model(llama)


@pytest.fixture(scope="module")
def run(llama, llama_items, word_tokenizer, head):
    def run(pivots=None, items=llama_items, **changed):
        pivots = pivots_of(llama_items, word_tokenizer, [1]) if pivots is None else pivots
        return causal_test(llama, items, word_tokenizer, pivots, **{"head": head, **changed})

    return run


def table(*rows):
    return pa.table(dict(zip(("item", "layer", "token_id"), map(list, zip(*rows, strict=True)), strict=True)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layers": [4]}, "layers must have layers from 0 to 3; got 4"),
        ({"layers": [-1]}, "layers must be at least 0; got -1"),
        ({"interventions": ["ablate", "delete"]}, "interventions must be of ablate, swap, add, patch; got 'delete'"),
        ({"interventions": []}, "interventions must be at least one of ablate, swap, add, patch; got none"),
        ({"directions": ["lense"]}, "directions must be of unembedding, lens, means; got 'lense'"),
        ({"directions": ["lens"]}, "lens must be given where directions hold 'lens', and only there; got None"),
        ({"layers": []}, "layers must be at least one; got none"),
        ({"strengths": []}, "strengths must be at least one for 'add'; got none"),
        ({"strengths": [0.0]}, "strengths must be finite and not 0; got 0.0"),
        ({"strengths": [math.nan]}, "strengths must be finite and not 0; got nan"),
        ({"frequencies": np.ones(3)}, "frequencies must be one per token, .*; got 3"),
        ({"frequencies": np.full(3, np.inf)}, "frequencies must be finite; got ndarray"),
    ],
)
def test_a_wrong_argument_is_refused(run, changed, said):
    with pytest.raises(ValueError, match=f"^causal_test: {said}"):
        run(**changed)


def test_wrong_pivots_are_refused(run, word_tokenizer):
    size = len(word_tokenizer)
    cases = {
        "pivots must be of items that are given; got item 99": table((99, 1, 5)),
        "pivots must have layers from 0 to 3; got 7": table((0, 7, 5)),
        "pivots must hold one token per item, layer and class; got two of item 0, layer 1": table((0, 1, 5), (0, 1, 6)),
        "pivots must have the columns item, layer, token_id; got none named layer": pa.table(
            {"item": [0], "token_id": [1]}
        ),
        "pivots must hold one of an item that the model solves, in layers of the model; got none": table(
            (0, 1, 5)
        ).slice(1),
    }
    for said, pivots in cases.items():
        with pytest.raises(ValueError, match=f"^causal_test: {said}"):
            run(pivots)
    with pytest.raises(ValueError, match=r"^causal_test: pivots must hold one .* solves, in layers 1, 3; got none"):
        run(table((0, 2, 5)), layers=[3, 1])
    floats = table((0, 1, 5)).cast(pa.schema([("item", pa.int64()), ("layer", pa.int64()), ("token_id", pa.float64())]))
    with pytest.raises(TypeError, match=r"^causal_test: pivots must have integers in the column token_id; got double$"):
        run(floats)
    for token in (size, -1):
        with pytest.raises(
            IndexError, match=f"^causal_test: pivots must have tokens from 0 to {size - 1}; got {token}$"
        ):
            run(table((0, 1, token)))


def test_no_solved_item_is_refused(llama, items, word_tokenizer, head):
    """With the lexicon's targets the random model solves nothing."""
    with pytest.raises(ValueError, match="got none among 0 solved of 32 items"):
        causal_test(llama, items, word_tokenizer, pivots_of(items, word_tokenizer, [1]), head=head)


def test_a_lens_of_another_model_or_type_is_refused(run, head):
    maps = tuple(torch.eye(32) for _ in range(3))
    for lens, said in (
        (AffineLens(maps[:2], None, "", None), "lens must be for 3 blocks of width 32"),
        (AffineLens(maps, None, "", None, digest="0" * 64), "lens must be for the model whose head has the digest"),
        (AffineLens(maps, None, "", None, dtype="bfloat16"), "lens must be for a model in float32"),
        (AffineLens((None, *maps[1:]), None, "", None), "lens must have a map for layer 0"),
    ):
        with pytest.raises(ValueError, match=f"^causal_test: {said}"):
            run(table((0, 0, 5)), directions=["lens"], lens=lens)
    with pytest.raises(TypeError, match="causal_test: lens must be an AffineLens"):
        run(directions=["lens"], lens=lambda hidden, layers: hidden)
    with pytest.raises(
        ValueError, match="lens must be given where directions hold 'lens', and only there; got AffineLens"
    ):
        run(lens=AffineLens(maps, None, "", None))


def test_states_that_are_not_finite_are_refused(llama, llama_items, word_tokenizer):
    model = copy.deepcopy(llama)
    head = LensHead.from_model(model)
    with torch.no_grad():
        model.model.embed_tokens.weight[word_tokenizer.convert_tokens_to_ids("A:")] = math.inf
    with pytest.raises(ValueError, match="hidden states must be finite"):
        causal_test(model, llama_items, word_tokenizer, pivots_of(llama_items, word_tokenizer, [1]), head=head)


def left_out(table):
    return {(entry["reason"], entry.get("what")) for entry in table_metadata(table)["left_out"]}


def test_an_item_without_pivots_is_left_out_with_the_reason(run, llama_items, word_tokenizer):
    pivots = pivots_of(llama_items, word_tokenizer, [1]).filter(pc.field("item") != 0)
    found = run(pivots)
    assert 0 not in found["item"].to_pylist()
    entries = [entry for entry in table_metadata(found)["left_out"] if entry["item"] == 0 and "what" not in entry]
    assert entries == [{"item": 0, "pair": "a-b", "reason": "no pivot in the layers that are tested"}]


def test_a_single_item_has_no_others(run, llama_items):
    one = llama_items.slice(0, 1)
    found = run(table((0, 1, 40)), items=one)
    assert {"other"}.isdisjoint(found["control"].to_pylist())
    assert set(found["intervention"].to_pylist()) == {"ablate", "add"}
    assert not any(found["mean"].to_pylist())
    assert found["delta_other_logprob"].null_count == found.num_rows
    assert left_out(found) >= {
        ("no other item of the pair has another pivot and another answer", "other"),
        ("no other item of the pair has a state", "mean"),
        ("no solved item of the concept in another pair has another answer", "patch own"),
    }


def test_two_items_can_be_swapped_but_have_no_two_more(run, llama_items):
    same = llama_items.filter(pc.field("pair") == "a-b").to_pylist()
    pairs = [(one["item"], two["item"]) for one in same for two in same
             if one["target"][0] in "abgp" and one["target"] != two["target"]]  # fmt: skip
    first, second = pairs[0]
    found = run(table((first, 1, 40), (second, 1, 45)), interventions=["swap"])
    assert set(found["item"].to_pylist()) == {first, second}
    assert "other" not in found["control"].to_pylist()
    reasons = {entry.get("what") for entry in table_metadata(found)["left_out"]}
    assert "swap unembedding other" in reasons


def test_items_with_one_and_the_same_answer_cannot_be_swapped(run, llama_items):
    answers = llama_items["target"].to_pylist()
    common = max(set(answers), key=answers.count)
    chosen = [at for at, answer in enumerate(answers) if answer == common and llama_items["pair"][at].as_py() == "a-b"]
    assert len(chosen) > 2
    found = run(table(*((at, 1, 40 + at) for at in chosen)), items=llama_items.take(chosen))
    assert {"swap", "patch"}.isdisjoint(found["intervention"].to_pylist())
    assert ("no other item of the pair has another pivot and another answer", "other") in left_out(found)


def test_a_pivot_of_the_words_own_family_has_no_orthogonal_part(run, llama_items, word_tokenizer):
    source = word_tokenizer.convert_tokens_to_ids(llama_items["source"][0].as_py())
    found = run(table((0, 1, source), (1, 1, 40)))
    kept = {row["control"] for row in found.to_pylist() if row["item"] == 0 and row["intervention"] == "ablate"}
    assert {"orthogonal", "orthogonal-equal", "own-reduced"}.isdisjoint(kept)
    assert {"own", "shared", "target"} <= kept
    assert ("the pivot's direction lies in the span of both families", "orthogonal unembedding") in left_out(found)


def test_means_that_no_other_item_shows_are_left_out(run, llama_items):
    alone = llama_items.filter(pc.field("pair") == "a-b")
    found = run(table((0, 1, 40), (1, 1, 40), (2, 1, 45)), items=alone, directions=["unembedding", "means"])
    means = found.filter(pc.field("direction") == "means")
    assert set(means["item"].to_pylist()) == {0, 1}
    assert ("its pivot has no direction: no other item shows it", "means") in left_out(found)


def test_a_tie_of_the_answer_with_the_source_is_left_out(llama, llama_items, word_tokenizer, head):
    row = {**llama_items.slice(0, 1).to_pylist()[0], "group": "a-b"}
    texts = encode(word_tokenizer, [row["prompt"]], [f" {row['target']}"])
    words = WordTokens(word_tokenizer)
    [item], _ = read_items(head, [{**row, "source": row["target"]}], texts, words, [1])
    assert item.reason == "tied: the answer's token begins the source too"
    [item], _ = read_items(head, [row], texts, words, [1])
    assert item.reason is None
    words.telling = lambda word, appended: ()
    [item], _ = read_items(head, [row], texts, words, [1])
    assert item.reason == "tied: no token tells an accepted target apart"
