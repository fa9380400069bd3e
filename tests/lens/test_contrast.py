"""The item contrast against its definition in float64: log p_i(t) less the mean over the other items of the pair."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from pivotkit.artifacts import table_metadata
from pivotkit.lens import contrast as contrast_module
from pivotkit.lens import trace as trace_module
from pivotkit.lens.contrast_means import contrast_means
from pivotkit.lens.groups import about
from pivotkit.lens.model.encoding import encode
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import load_model
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.lens.trace import trace
from pivotkit.words.lexicon import read_lexicon
from pivotkit.words.task import build_task, task_prompt

COLUMNS = ("top_contrasts", "contrast_ids", "contrast_tokens", "contrasts", "contrast_logprobs")
ENOUGH, FEW = "fr-en", "zh-en"


@pytest.fixture(scope="module")
def twelve(lexicon):
    """12 items of one pair, and 5 of another."""
    return build_task(lexicon, [ENOUGH, FEW], limit=12, shots=1, contexts=1, distractors=2).slice(0, 17)


def plain_logprobs(head, items, tokenizer, lens=None):
    """{item: (L, V) float64}: every logit of every layer, of the same states that a trace reads."""
    rows, prompt = items.to_pylist(), task_prompt(items)
    texts = encode(tokenizer, [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows])
    tree = PrefixTree([text.ids for text in texts], [[text.telling - 1] for text in texts])
    found = {}
    with torch.inference_mode():
        for lines, states in tree.run(head):
            states = states if lens is None else lens(states, range(len(states)))
            z = head.normed(states).double() @ head.weight.double().T
            z = head.logit_scale * (z if head.bias is None else z + head.bias.double())
            z = z if head.softcap is None else head.softcap * torch.tanh(z / head.softcap)
            for at, line in enumerate(lines):
                for row, own in zip(rows, tree.rows, strict=True):
                    if line in own:
                        found[row["item"]] = z[:, at].log_softmax(-1)
    return found


def plain_contrast(logprobs, item):
    return logprobs[item] - torch.stack([p for other, p in logprobs.items() if other != item]).mean(0)


def check(table, items, logprobs, atol=1e-4):
    """Every row of the table against the definition; returns the number of rows with a contrast."""
    members = [row["item"] for row in items.to_pylist() if row["pair"] == ENOUGH]
    own = {item: logprobs[item] for item in members}
    truth = {item: plain_contrast(own, item) for item in members}
    seen = 0
    for row in table.to_pylist():
        if row["pair"] != ENOUGH or row["label"] != "answer":
            assert [row[name] for name in COLUMNS] == [None] * 5
            continue
        seen += 1
        expected, p = truth[row["item"]][row["layer"]], own[row["item"]][row["layer"]]
        assert row["top_contrasts"] == pytest.approx(expected[row["top_ids"]].tolist(), abs=atol)
        assert row["contrasts"] == pytest.approx(expected[row["contrast_ids"]].tolist(), abs=atol)
        assert row["contrasts"] == pytest.approx(expected.topk(len(row["contrasts"])).values.tolist(), abs=atol)
        assert row["contrast_logprobs"] == pytest.approx(p[row["contrast_ids"]].tolist(), abs=atol)
        assert len(set(row["contrast_ids"])) == len(row["contrast_ids"]) == len(row["top_ids"])
    return seen


# ---- oracle


def test_a_contrast_is_the_log_probability_less_its_mean_over_the_other_items(model, twelve, tokenizer):
    table = trace(model, twelve, tokenizer, k=7)
    assert check(table, twelve, plain_logprobs(LensHead.from_model(model), twelve, tokenizer)) == 12 * 4


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3", "cohere", "granite", "phi"])
def test_contrasts_of_a_bfloat16_head_with_scale_bias_or_soft_cap_are_exact(make_model, family, twelve, tokenizer):
    model = make_model(family, vocab_size=len(tokenizer)).to(torch.bfloat16)
    table = trace(model, twelve, tokenizer, k=5)
    assert check(table, twelve, plain_logprobs(LensHead.from_model(model), twelve, tokenizer)) == 12 * 4


def test_a_contrast_is_of_what_the_lens_says(llama, twelve, tokenizer):
    def bent(states, layers):
        return states.flip(-1) + torch.linspace(-1, 1, states.shape[-1])

    table = trace(llama, twelve, tokenizer, lens=bent)
    head = LensHead.from_model(llama)
    assert check(table, twelve, plain_logprobs(head, twelve, tokenizer, bent)) == 12 * 4
    assert table["contrasts"] != trace(llama, twelve, tokenizer)["contrasts"]


def test_the_item_itself_is_left_out_of_the_mean(llama, twelve, tokenizer):
    """An item that says something else than eleven equal ones stands as far from them as if there were one of them."""
    first, last = twelve.slice(0, 1).to_pylist()[0], twelve.slice(11, 1)
    same = pa.Table.from_pylist([{**first, "item": number} for number in range(11)], schema=twelve.schema)
    items = pa.concat_tables([same, last])
    p = plain_logprobs(LensHead.from_model(llama), items, tokenizer)
    odd = last["item"][0].as_py()
    for row in trace(llama, items, tokenizer).to_pylist():
        if row["item"] == odd:
            difference = p[odd][row["layer"]] - p[0][row["layer"]]
            assert row["contrasts"] == pytest.approx(difference[row["contrast_ids"]].tolist(), abs=1e-4)


def test_contrasts_at_other_positions_are_null(llama, twelve, tokenizer):
    table = trace(llama, twelve, tokenizer, positions=["answer", "source", "all"], spans={"start": [(0, 6)] * 17})
    assert check(table, twelve, plain_logprobs(LensHead.from_model(llama), twelve, tokenizer)) == 12 * 4
    assert set(table["label"].to_pylist()) == {"answer", "source", "all", "start"}


def test_states_that_do_not_fit_are_read_twice_with_the_same_result(model, twelve, tokenizer, monkeypatch):
    once = trace(model, twelve, tokenizer)
    monkeypatch.setattr(contrast_module, "STATES_BYTES", 1000)
    passes = []
    monkeypatch.setattr(
        trace_module, "contrast_means", lambda *args, **named: passes.append(1) or contrast_means(*args, **named)
    )
    twice = trace(model, twelve, tokenizer)
    assert passes == [1]
    for name in ("contrasts", "top_contrasts"):
        for one, other in zip(once[name].to_pylist(), twice[name].to_pylist(), strict=True):
            assert other == (None if one is None else pytest.approx(one, abs=1e-5))
    assert table_metadata(once)["contrast"] == table_metadata(twice)["contrast"]


def test_contrasts_read_in_several_parts_are_those_read_at_once(model, twelve, tokenizer, monkeypatch):
    once = trace(model, twelve, tokenizer)
    monkeypatch.setattr(contrast_module, "ROWS", 1)
    parts = trace(model, twelve, tokenizer)
    for one, other in zip(once["contrasts"].to_pylist(), parts["contrasts"].to_pylist(), strict=True):
        assert other == (None if one is None else pytest.approx(one, abs=1e-5))


def test_states_that_no_item_changes_are_not_multiplied(llama, twelve, tokenizer, monkeypatch):
    """All items stand at one token, so layer 0 has one state: a screen cannot settle its ties and would cost most."""
    given = []
    multiply = contrast_module.unembed
    monkeypatch.setattr(contrast_module, "unembed", lambda rows, *a, **b: given.append(rows) or multiply(rows, *a, **b))
    rows = trace(llama, twelve, tokenizer).to_pylist()
    [multiplied] = given
    assert len(multiplied) == 12 * 3
    assert multiplied.any(-1).all()
    first = [row for row in rows if row["layer"] == 0 and row["pair"] == ENOUGH]
    assert all(row["contrast_ids"] == list(range(10)) for row in first)


# ---- limits


def test_a_pair_of_few_items_has_nulls_and_the_metadata_says_why(llama, twelve, tokenizer):
    table = trace(llama, twelve, tokenizer)
    assert table_metadata(table)["contrast"] == {
        "least_items": 10,
        "items": {ENOUGH: 12},
        "absent": {FEW: "5 items; a contrast needs at least 10"},
    }
    few = [row for row in table.to_pylist() if row["pair"] == FEW]
    assert len(few) == 5 * 4
    assert all(row[name] is None for row in few for name in COLUMNS)


def test_groups_of_too_few_items_say_how_many():
    told = about({"a": 10, "b": 9, "c": 1})
    assert told["items"] == {"a": 10}
    assert told["absent"] == {
        "b": "9 items; a contrast needs at least 10", "c": "1 item; a contrast needs at least 10",
    }  # fmt: skip


def test_items_are_compared_with_those_read_behind_the_same_pieces(llama, lexicon, tokenizer):
    """Of 20 items 12 are read at once, and 8 behind the letters that others begin with: of these there are too few."""
    words = ["salt", "ship", "bird", "fish", "tree", "book", "door", "hand", "foot", "moon", "rain", "star"]
    alone = ["zig", "zag", "zog", "zug", "qat", "qit", "zeg", "qut"]
    rows = [{"fr": f"mot{at}", "en": word} for at, word in enumerate(words + alone)]
    names = {"fr": "French", "en": "English"}
    items = build_task(type(lexicon)(names, rows, [""] * 20), [ENOUGH], shots=1, contexts=1, distractors=2)
    table = trace(llama, items, tokenizer)
    told = table_metadata(table)["contrast"]
    assert told["items"] == {ENOUGH: 12}
    assert told["absent"] == {
        f"{ENOUGH} after Ġ {letter}": f"{count} items; a contrast needs at least 10"
        for letter, count in (("q", 3), ("z", 5))
    }
    assert all((row["appended"] == "") == (row["contrasts"] is not None) for row in table.to_pylist())
    first = items.slice(0, 12)
    with_head = table.filter(pc.less(table["item"], 12))
    assert check(with_head, first, plain_logprobs(LensHead.from_model(llama), first, tokenizer)) == 12 * 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"contrast": False}, "not asked for"), ({"positions": ["source"]}, "the answer is not traced")],
)
def test_a_trace_without_contrasts_has_the_same_columns_all_null(llama, twelve, tokenizer, arguments, reason):
    table = trace(llama, twelve, tokenizer, **arguments)
    assert table.schema.equals(trace(llama, twelve, tokenizer).schema)
    assert all(table[name].null_count == table.num_rows for name in COLUMNS)
    assert table_metadata(table)["contrast"] == {"absent": reason}


def test_all_else_in_a_trace_is_the_same_with_and_without_contrasts(model, twelve, tokenizer):
    with_them, without = trace(model, twelve, tokenizer), trace(model, twelve, tokenizer, contrast=False)
    assert with_them.drop_columns(COLUMNS).equals(without.drop_columns(COLUMNS))


def test_items_that_are_all_alike_have_no_contrast(model, twelve, tokenizer):
    [first] = twelve.slice(0, 1).to_pylist()
    alike = pa.Table.from_pylist([{**first, "item": number} for number in range(12)], schema=twelve.schema)
    for row in trace(model, alike, tokenizer).to_pylist():
        assert np.abs(row["contrasts"] + row["top_contrasts"]).max() < 1e-5
        assert row["contrast_ids"] == list(range(10))  # equal contrasts go to the smaller id


def test_the_embedding_of_one_token_has_no_contrast(llama, lexicon, tokenizer):
    """Items that are all read at one token, as at the colon before the answer, have one state in layer 0."""
    every = build_task(lexicon, [ENOUGH], shots=1, contexts=1, distractors=2)
    at_colon = [row["item"] for row in trace(llama, every, tokenizer).to_pylist() if row["token"] == ":"]
    items = every.filter(pc.is_in(every["item"], pa.array(at_colon)))
    rows = trace(llama, items, tokenizer).to_pylist()
    assert items.num_rows >= 10
    assert max(np.abs(row["contrasts"]).max() for row in rows if row["layer"] == 0) < 1e-5
    assert min(row["contrasts"][0] for row in rows if row["layer"] == 3) > 0.01


def test_a_state_that_is_not_finite_is_refused(model, twelve, tokenizer):
    def broken(states, layers):
        states = states.clone()
        states[2, 0] = float("inf")
        return states

    for function in (trace, contrast_means):
        with pytest.raises(ValueError, match="hidden must be finite; got NaN or infinity"):
            function(model, twelve, tokenizer, lens=broken)


def test_an_item_that_is_there_twice_is_refused(llama, twelve, tokenizer):
    twice = pa.concat_tables([twelve, twelve.slice(3, 1)])
    with pytest.raises(ValueError, match="items must each be there once; got item 3 of fr-en twice"):
        trace(llama, twice, tokenizer)


def test_contrast_must_be_true_or_false(llama, twelve, tokenizer):
    with pytest.raises(TypeError, match="trace: contrast must be True, False or a ContrastMeans; got str"):
        trace(llama, twelve, tokenizer, contrast="yes")


# ---- a real model


def test_no_token_of_the_early_layers_of_gemma_is_specific_to_an_item(real_models, shared):
    """Its raw lens says a few tokens with probability near 1 there, whatever the item; what it holds at 13 is specific."""
    lexicon = read_lexicon(shared / "data" / "lexicon" / "concrete_nouns.tsv")
    model, tokenizer = load_model(real_models / "gemma3-270m")
    table = trace(model, build_task(lexicon, ["fr-de"], limit=28, sharing="pair"), tokenizer)
    rows = table.filter(pc.field("appended") == "").to_pylist()
    assert len({row["item"] for row in rows}) > 20

    def sure(layers):
        """Top tokens of probability at least 0.05, by layer, as (contrast, text)."""
        return [(row["top_contrasts"][0], row["top_tokens"][0]) for row in rows
                if row["layer"] in layers and row["top_logprobs"][0] >= math.log(0.05)]  # fmt: skip

    junk = sure(range(1, 8))
    assert len(junk) > 100
    assert max(contrast for contrast, _ in junk) < math.log(100)
    assert np.median([abs(contrast) for contrast, _ in junk]) < 0.5
    specific = [contrast >= math.log(100) for contrast, _ in sure([13])]
    assert np.mean(specific) > 0.8
    for row in rows:
        if row["layer"] <= 7:
            found = zip(row["contrasts"], row["contrast_logprobs"], strict=True)
            assert not [pair for pair in found if pair[0] >= math.log(100) and pair[1] >= math.log(0.05)]
