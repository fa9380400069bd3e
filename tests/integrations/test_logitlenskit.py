"""logitlenskit's JSON, version 2, against what its docs/DATA_FORMAT.md says and against the trace itself."""

from __future__ import annotations

import math
from datetime import datetime

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pivotkit.integrations.logitlenskit import export_all_logitlenskit, export_logitlenskit
from pivotkit.lens.trace import trace
from pivotkit.words.task import build_task

LAYERS, K = 4, 3  # embedding output and three blocks


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS - 1,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def items(lexicon):
    return build_task(lexicon, ["fr-zh"], limit=2, shots=1, contexts=1, distractors=4)


@pytest.fixture(scope="module")
def whole(model, items, tokenizer):
    """Every position, every curve whole."""
    return trace(model, items, tokenizer, positions=("answer", "all"), k=K, tracked=K * LAYERS)


def probabilities(model, tokenizer, prompt):
    """(L, P, V) by transformers alone."""
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    with torch.inference_mode():
        states = model(ids, output_hidden_states=True).hidden_states
        normed = [*(model.model.norm(state) for state in states[:-1]), states[-1]]
        return torch.stack([model.lm_head(state)[0].softmax(-1) for state in normed])


def test_every_field_is_as_the_format_has_it(whole):
    found = export_logitlenskit(whole, 0, model="tiny")
    assert set(found) == {"meta", "layers", "input", "topk", "tracked", "entropy"}
    assert (found["meta"]["version"], found["meta"]["model"]) == (2, "tiny")
    assert datetime.fromisoformat(found["meta"]["timestamp"]).utcoffset().total_seconds() == 0
    assert found["layers"] == list(range(LAYERS))
    positions = len(found["input"])
    assert all(isinstance(token, str) for token in found["input"])
    assert [len(row) for row in found["topk"]] == [positions] * LAYERS
    assert [len(row) for row in found["entropy"]] == [positions] * LAYERS
    assert len(found["tracked"]) == positions
    for position, curves in enumerate(found["tracked"]):
        for curve in curves.values():
            assert len(curve) == LAYERS
            assert all(0 <= value <= 1 and round(value, 5) == value for value in curve)
        for layer in range(LAYERS):
            named = found["topk"][layer][position]
            assert len(set(named)) == K
            assert set(named) <= set(curves)  # "every token in topk is also in tracked"
            here = [curves[name][layer] for name in named]
            assert here == sorted(here, reverse=True)
            assert max(curve[layer] for curve in curves.values()) == here[0]
    assert all(
        set(curves) == {name for row in found["topk"] for name in row[at]} for at, curves in enumerate(found["tracked"])
    )


def test_curves_equal_the_models_own_probabilities(model, items, whole, tokenizer):
    found = export_logitlenskit(whole, 1)
    own = probabilities(model, tokenizer, items["prompt"][1].as_py())
    ids = tokenizer(items["prompt"][1].as_py())["input_ids"]
    # The answer is read behind a bare space piece where the tokenizer has one, so that too is a traced position.
    assert found["input"][: len(ids)] == [tokenizer.decode([token]) for token in ids]
    for position in range(len(ids)):
        best = own[:, position].topk(K).indices.tolist()
        curves = found["tracked"][position]
        different = sorted({token for layer in best for token in layer})
        texts = [tokenizer.decode([token]) for token in different]
        named = [
            f"{text}⟨{token}⟩" if text in texts[:at] else text
            for at, (token, text) in enumerate(zip(different, texts, strict=True))
        ]
        assert set(curves) == set(named)
        for token, name in zip(different, named, strict=True):
            assert curves[name] == pytest.approx(own[:, position, token].tolist(), abs=2e-5)


def rows(*, tracked, labels=("answer",), positions=(7,), texts=None):
    """Two layers of tokens 1 and 2, then 3 and 1, with probabilities 0.5 and 0.25 each."""
    texts = texts or {1: " a", 2: " b", 3: " c"}
    chance = {0: {1: 0.5, 2: 0.25, 3: 0.125}, 1: {3: 0.5, 1: 0.25, 2: 0.0625}}
    return pa.Table.from_pylist([
        {
            "item": 0, "layer": layer, "position": position, "token": f"t{position}", "label": label,
            "top_ids": top, "top_tokens": [texts[token] for token in top],
            "top_logprobs": [math.log(chance[layer][token]) for token in top], "entropy": 1.25 + layer,
            "tracked": list(tracked), "tracked_logprobs": [math.log(chance[layer][token]) for token in tracked],
        }
        for label in labels for position in positions for layer, top in ((0, [1, 2]), (1, [3, 1]))
    ])  # fmt: skip


def test_a_tracked_token_has_its_curve_whole_and_another_what_is_known():
    found = export_logitlenskit(rows(tracked=[3, 1]), 0)
    assert found["topk"] == [[[" a", " b"]], [[" c", " a"]]]
    assert found["tracked"] == [{" c": [0.125, 0.5], " a": [0.5, 0.25], " b": [0.25, 0]}]
    assert list(found["tracked"][0]) == [" c", " a", " b"]  # as the trace ranks them
    assert (found["input"], found["entropy"]) == (["t7"], [[1.25], [2.25]])
    assert "model" not in found["meta"]


def test_tokens_of_one_text_keep_a_curve_each():
    found = export_logitlenskit(rows(tracked=[1, 2, 3], texts={1: "\ufffd", 2: "\ufffd", 3: "c"}), 0)
    assert found["topk"] == [[["\ufffd", "\ufffd⟨2⟩"]], [["c", "\ufffd"]]]
    assert found["tracked"] == [{"\ufffd": [0.5, 0.25], "\ufffd⟨2⟩": [0.25, 0.0625], "c": [0.125, 0.5]}]


def test_all_positions_are_shown_where_they_were_traced_and_else_those_there_are():
    tables = [
        rows(tracked=[1], labels=["source"], positions=[9, 4]),
        rows(tracked=[1], labels=["answer"], positions=[9]),
    ]
    assert export_logitlenskit(pa.concat_tables(tables), 0)["input"] == ["t4", "t9"]
    tables.append(rows(tracked=[1], labels=["all"], positions=[2, 1]))
    assert export_logitlenskit(pa.concat_tables(tables), 0)["input"] == ["t1", "t2"]


def test_the_file_holds_what_is_returned(whole, tmp_path):
    found = export_logitlenskit(whole, 0, tmp_path / "one.json")
    assert orjson.loads((tmp_path / "one.json").read_bytes()) == found


def test_every_item_gets_a_file(whole, tmp_path):
    assert export_all_logitlenskit(whole, tmp_path / "out", model="tiny") == tmp_path / "out"
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["item-00000.json", "item-00001.json"]
    for item, file in enumerate(files):
        written, found = orjson.loads(file.read_bytes()), export_logitlenskit(whole, item, model="tiny")
        written["meta"].pop("timestamp")
        found["meta"].pop("timestamp")
        assert written == found


def test_what_cannot_be_shown_is_refused(whole):
    with pytest.raises(ValueError, match="item must be one of the traced; got 17"):
        export_logitlenskit(whole, 17)
    holed = whole.filter(pc.or_(pc.not_equal(whole["layer"], 2), pc.not_equal(whole["position"], 5)))
    with pytest.raises(ValueError, match="traces must have each layer of every position; item 0 lacks some"):
        export_logitlenskit(holed, 0)
    with pytest.raises(ValueError, match=r"must have the columns .* got none named tracked"):
        export_logitlenskit(whole.drop_columns(["tracked"]), 0)
    with pytest.raises(TypeError, match=r"traces must be a pyarrow\.Table; got dict"):
        export_logitlenskit({}, 0)
