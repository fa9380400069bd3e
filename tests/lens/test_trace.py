"""The trace against plain PyTorch in float64."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from pivotkit.lens.model.encoding import encode
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import load_model
from pivotkit.lens.reference import reference_lens
from pivotkit.lens.trace import trace
from pivotkit.words.lexicon import read_lexicon
from pivotkit.words.task import build_task, task_prompt
from pivotkit.words.word_tokens import WordTokens


def test_every_column_equals_the_plain_lens(model, items, tokenizer):
    pivots = {0: [11, 12], 3: [40]}
    table = trace(model, items, tokenizer, latent=["en"], pivots=pivots, k=5).to_pylist()
    prompt, sets = task_prompt(items), WordTokens(tokenizer)
    assert len(table) == items.num_rows * 4
    for row in items.to_pylist():
        [text] = encode(tokenizer, [row["prompt"]], [prompt.reply(row["target"])])
        truth = reference_lens(model, torch.tensor(text.ids[: text.telling]))[:, -1]
        for layer, got in enumerate(step for step in table if step["item"] == row["item"]):
            p = truth[layer]
            assert (got["layer"], got["position"], got["label"]) == (layer, text.telling - 1, "answer")
            assert got["top_ids"] == p.argsort(descending=True, stable=True)[:5].tolist()
            assert got["top_tokens"] == [tokenizer.decode([token]) for token in got["top_ids"]]
            assert got["top_logprobs"] == pytest.approx(p[got["top_ids"]].tolist(), abs=2e-5)
            assert got["entropy"] == pytest.approx(float(-(p.exp() * p).sum()), abs=2e-5)
            assert got["kl_to_final"] == pytest.approx(float((truth[-1].exp() * (truth[-1] - p)).sum()), abs=5e-5)
            assert got["tracked_logprobs"] == pytest.approx(p[got["tracked"]].tolist(), abs=2e-5)
            target = text.ids[text.telling]
            assert got["target_chain_logprob"] is None
            assert (got["target_piece"], got["appended_pieces"]) == (len(text.appended), list(text.appended))
            assert got["appended"] == tokenizer.decode(text.ids[text.answer_start : text.telling])
            assert got["target_logprob"] == pytest.approx(float(p[target]), abs=2e-5)
            assert got["target_rank"] == int((p > p[target]).sum())
            for name, tokens in [
                ("source", sets.telling(row["source"], text.appended)),
                ("target", sets.telling(row["target"], text.appended)),
                ("en", sets.telling(row["concept"], text.appended)), ("pivot", pivots.get(row["item"])),
            ]:  # fmt: skip
                mass = got[f"{name}_logmass"]
                if not tokens:
                    assert mass is None
                else:
                    assert mass == pytest.approx(float(p[list(tokens)].logsumexp(0)), abs=2e-5)


def test_the_masses_of_pivots_and_of_their_controls_are_those_of_their_tokens(llama, items, tokenizer):
    first, second = items["item"].to_pylist()[:2]
    pivots = pa.table(
        {
            "item": pa.array([first, first, second, 10**6], pa.int32()),
            "token_id": [5, 6, 7, 10**6],  # an item that is not traced is not read
            "control_id": [8, None, 9, 1],
            "other_id": pa.array([10, 11, None, 1], pa.int32()),
        }
    )
    table = trace(llama, items, tokenizer, pivots=pivots)
    for name, column in (("pivot", "token_id"), ("control", "control_id"), ("other", "other_id")):
        own = {
            item: [row[column] for row in pivots.to_pylist() if row["item"] == item and row[column] is not None]
            for item in items["item"].to_pylist()
        }
        alone = trace(llama, items, tokenizer, pivots=own)
        assert table[f"{name}_logmass"].equals(alone["pivot_logmass"])
        assert table[f"{name}_ids"].to_pylist() == alone["pivot_ids"].to_pylist()
    assert "matched_logmass" not in table.column_names


@pytest.mark.parametrize(
    ("pivots", "error", "message"),
    [
        (pa.table({"item": [0]}), ValueError, "trace: pivots must have the columns item, token_id; got none named"),
        (pa.table({"item": [0], "token_id": [10**6]}), ValueError, "trace: pivots must be at most"),
        (pa.table({"item": [0], "token_id": ["a"]}), TypeError, "trace: pivots must have numbers in the column"),
        ([0], TypeError, "trace: pivots must be a table of find_pivots or a mapping of item to token ids or None"),
    ],
)
def test_pivots_of_another_kind_are_refused(llama, items, tokenizer, pivots, error, message):
    with pytest.raises(error, match=message):
        trace(llama, items, tokenizer, pivots=pivots)


@torch.inference_mode()
def test_words_that_share_their_first_bytes_are_read_at_the_byte_that_differs(llama, lexicon, tokenizer):
    """By hand, of the tokenizer's own pieces: 书 and 为 begin with one byte, 门 and 间 with two."""
    bare = tokenizer.encode(" ")
    rows = [{"fr": word, "zh": answer} for word, answer in zip("abcd", "书丢门闩", strict=True)]
    rows += [{"fr": f"x{at}", "zh": word["zh"]} for at, word in enumerate(lexicon.rows[:5])]
    names = {"fr": "French", "zh": "Chinese"}
    items = build_task(type(lexicon)(names, rows, [""] * len(rows)), ["fr-zh"], shots=1, contexts=1, distractors=2)
    table = trace(llama, items, tokenizer, k=len(tokenizer)).to_pylist()
    for row in items.to_pylist()[:4]:
        first, second, third = tokenizer.encode(row["target"])
        ids = [*tokenizer.encode(row["prompt"]), *bare, first, second]
        p = llama(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
        got = next(step for step in table if step["item"] == row["item"] and step["layer"] == 3)
        assert got["appended_pieces"] == [*bare, first, second]
        assert (got["position"], got["target_ids"]) == (len(ids) - 1, [third])
        assert got["target_logprob"] == pytest.approx(float(p[third]), abs=2e-5)
        assert got["target_logmass"] == pytest.approx(float(p[third]), abs=2e-5)
    doors = [step["target_ids"] for step in table if step["item"] in (2, 3) and step["layer"] == 3]
    assert doors[0] != doors[1]


def test_tracked_tokens_are_the_same_in_every_layer_and_hold_each_layers_first(model, items, tokenizer):
    table = trace(model, items, tokenizer, tracked=20).to_pylist()
    for item in range(items.num_rows):
        rows = [row for row in table if row["item"] == item]
        [followed] = {tuple(row["tracked"]) for row in rows}
        assert {row["top_ids"][0] for row in rows} <= set(followed)


@pytest.mark.parametrize("positions", [["source"], ["all"], ["answer", "source"]])
def test_other_positions_equal_the_plain_lens(model, items, tokenizer, positions):
    table = trace(model, items, tokenizer, positions=positions, k=3).to_pylist()
    prompt = task_prompt(items)
    for row in items.to_pylist():
        [text] = encode(tokenizer, [row["prompt"]], [prompt.reply(row["target"])])
        truth = reference_lens(model, torch.tensor(text.ids[: text.telling]))
        own = [step for step in table if step["item"] == row["item"]]
        assert {step["label"] for step in own} == set(positions)
        if positions == ["all"]:
            assert {step["position"] for step in own} == set(range(text.telling))
        for got in own:
            p = truth[got["layer"], got["position"]]
            assert got["token"] == tokenizer.decode([text.ids[got["position"]]])
            assert got["top_ids"] == p.argsort(descending=True, stable=True)[:3].tolist()
            assert got["target_logprob"] == pytest.approx(float(p[text.ids[text.telling]]), abs=2e-5)


def test_a_span_is_traced_under_its_label(llama, items, tokenizer):
    spans = {"start": [(0, 6)] * items.num_rows}
    table = trace(llama, items, tokenizer, positions=(), spans=spans)
    everywhere = trace(llama, items, tokenizer, positions=["all"]).to_pylist()
    known = {(row["item"], row["layer"], row["position"]): row["logsumexp"] for row in everywhere}
    for row in table.to_pylist():
        assert row["label"] == "start"
        assert row["logsumexp"] == pytest.approx(known[row["item"], row["layer"], row["position"]], abs=1e-5)
    assert "".join(dict.fromkeys(table["token"].to_pylist())).startswith("Pl")


def test_a_chain_is_the_log_probability_of_the_whole_word_in_every_layer(model, items, tokenizer):
    table = trace(model, items, tokenizer, positions=["answer", "source"], chains=True).to_pylist()
    prompt, longer = task_prompt(items), 0
    for row in items.to_pylist():
        [text] = encode(tokenizer, [row["prompt"]], [prompt.reply(row["target"])])
        truth = reference_lens(model, torch.tensor(text.ids))
        longer += len(text.ids) > text.word_start + 1
        for got in (step for step in table if step["item"] == row["item"]):
            if got["label"] == "answer":
                chain = sum(
                    float(truth[got["layer"], at - 1, text.ids[at]]) for at in range(text.word_start, len(text.ids))
                )
                assert got["target_chain_logprob"] == pytest.approx(chain, abs=1e-4)
            else:
                assert got["target_chain_logprob"] is None
    assert longer >= 2  # items whose target has more than one token


def test_a_lens_stands_before_the_norm(llama, items, tokenizer):
    seen = []

    def halved(states, layers):
        seen.append(list(layers))
        return states * torch.tensor([1.0, 0.5, 0.5, 1.0])[:, None, None]

    raw, other = trace(llama, items, tokenizer), trace(llama, items, tokenizer, lens=lambda states, layers: states)
    assert raw.equals(other)
    # A root-mean-square norm undoes a factor, but not an offset.
    close = trace(llama, items, tokenizer, lens=halved)
    assert close["logsumexp"].to_numpy() == pytest.approx(raw["logsumexp"].to_numpy(), abs=1e-3)
    moved = trace(llama, items, tokenizer, lens=lambda states, layers: states + 1)
    assert np.abs(moved["logsumexp"].to_numpy() - raw["logsumexp"].to_numpy()).max() > 0.1
    assert seen[0] == [0, 1, 2, 3]


def test_masses_stay_below_one_and_the_entropy_within_its_bounds(model, items, tokenizer):
    for row in trace(model, items, tokenizer, latent=["en"]).to_pylist():
        masses = [row[f"{name}_logmass"] for name in ("source", "target", "en")]
        assert all(mass is None or mass <= 1e-6 for mass in masses)
        assert 0 <= row["entropy"] <= np.log(len(tokenizer)) + 1e-5
        assert row["top_logprobs"][0] >= row["target_logprob"]
        assert row["top_logprobs"] == sorted(row["top_logprobs"], reverse=True)


def test_an_item_is_traced_the_same_alone_and_in_company(model, items, tokenizer):
    together = trace(model, items, tokenizer).to_pylist()
    alone = [
        row for number in range(items.num_rows) for row in trace(model, items.slice(number, 1), tokenizer).to_pylist()
    ]
    for one, other in zip(together, alone, strict=True):
        assert one["top_ids"][0] == other["top_ids"][0]
        assert one["logsumexp"] == pytest.approx(other["logsumexp"], abs=1e-5)


def test_a_concept_without_the_latent_word_has_a_null(llama, lexicon, tokenizer):
    rows = [{code: word for code, word in row.items() if code != "en" or word != "dog"} for row in lexicon.rows]
    holed = type(lexicon)({"fr": "French", "zh": "Chinese", "en": "English"}, rows, lexicon.pos)
    table = trace(llama, build_task(holed, ["fr-zh"], shots=1, contexts=1, distractors=2), tokenizer, latent=["en"])
    nulls = {row["item"] for row in table.to_pylist() if row["en_logmass"] is None}
    assert nulls == {0}


def test_a_reading_that_no_distribution_gives_stops_the_trace(llama, items, tokenizer, wrong_sums):
    """A wrong soft-cap does not change the order of the tokens; only an invariant detects it."""
    head = LensHead.from_model(llama)
    wrong_sums()
    with pytest.raises(ArithmeticError, match=r"trace: .* must .*; got"):
        trace(llama, items, tokenizer, head=head)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tracked": 0}, "tracked must be at least 1; got 0"),
        ({"positions": ["first"]}, "positions must be of answer, source, all; got 'first'"),
    ],
)
def test_a_wrong_argument_is_refused(llama, items, tokenizer, arguments, message):
    with pytest.raises(ValueError, match=f"trace: {message}"):
        trace(llama, items, tokenizer, **arguments)


@pytest.mark.parametrize("name", ["positions", "latent"])
def test_one_string_for_several_is_refused(llama, items, tokenizer, name):
    with pytest.raises(TypeError, match=f"trace: {name} must be a sequence of strings; got 'en'"):
        trace(llama, items, tokenizer, **{name: "en"})


def test_items_that_are_none_or_no_table_are_refused(llama, items, tokenizer):
    with pytest.raises(ValueError, match="trace: items must be at least one; got none"):
        trace(llama, items.slice(0, 0), tokenizer)
    with pytest.raises(TypeError, match=r"trace: items must be a pyarrow\.Table; got list"):
        trace(llama, items.to_pylist(), tokenizer)
    with pytest.raises(ValueError, match=r"trace: items must have the columns .*; got none named prompt"):
        trace(llama, items.drop_columns(["prompt"]), tokenizer)


@pytest.mark.parametrize("code", ["target", "matched", "top", "contrast"])
def test_a_language_that_is_called_as_a_column_of_ids_is_cannot_be_latent(llama, lexicon, tokenizer, code):
    names = {**lexicon.names, code: "Targetish"}
    rows = [{**row, code: row["en"]} for row in lexicon.rows]
    named = build_task(dataclasses.replace(lexicon, names=names, rows=rows), ["en-fr"], limit=2, distractors=2)
    with pytest.raises(ValueError, match=f"latent must have codes other than .*, other, top, contrast; got '{code}'"):
        trace(llama, named, tokenizer, latent=[code])


def test_an_unknown_latent_language_is_refused(llama, items, tokenizer):
    with pytest.raises(ValueError, match="trace: latent must be languages of the lexicon; got 'xx'"):
        trace(llama, items, tokenizer, latent=["xx"])


def test_a_prompt_beyond_the_context_is_refused(llama, items, tokenizer, monkeypatch):
    monkeypatch.setattr(llama.config, "max_position_embeddings", 20)
    with pytest.raises(ValueError, match="trace: prompt must fit the model's context of 20 tokens; got"):
        trace(llama, items, tokenizer)


def test_a_state_that_is_not_finite_is_refused_with_its_item(make_model, items, tokenizer):
    model = make_model("llama", vocab_size=len(tokenizer))
    head = LensHead.from_model(model)
    broken = items.slice(4, 1)
    prompt = task_prompt(items)
    [text] = encode(tokenizer, broken["prompt"].to_pylist(), [prompt.reply(broken["target"][0].as_py())])
    begin, layer = text.telling - 1, model.model.layers[1]

    class Failing(type(layer.mlp)):
        """Makes the state at the answer position NaN, in whichever batch it runs."""

        def forward(self, x):
            states = super().forward(x)
            return states.index_fill(1, torch.tensor([begin]), float("nan")) if x.shape[1] == begin + 1 else states

    layer.mlp.__class__ = Failing
    with pytest.raises(
        ValueError, match=f"must be finite; got nan at layer 2, item {broken['item'][0]}, token {begin}"
    ):
        trace(model, broken, tokenizer, head=head)


def test_chinese_words_of_a_byte_level_model_are_told_apart(real_models, shared):
    """Their first pieces are three spaces and bytes; what is read names the word's first character."""
    lexicon = read_lexicon(shared / "data" / "lexicon" / "concrete_nouns.tsv")
    model, tokenizer = load_model(real_models / "smollm2-135m")
    items = build_task(lexicon, ["ja-zh"], limit=24, shots=1, contexts=1, sharing="pair")
    table = trace(model, items, tokenizer).filter(pc.field("layer") == 0).to_pylist()
    first, read = set(), {}
    for row, step in zip(items.to_pylist(), table, strict=True):
        [text] = encode(tokenizer, [row["prompt"]], [" " + row["target"]])
        first.add(text.ids[text.word_start])
        assert step["appended_pieces"]
        told = (*step["appended_pieces"], text.ids[text.telling])
        assert tokenizer.decode(told).strip()[:1] == row["target"][0]
        read.setdefault(told, set()).add(row["target"][0])
    assert len(first) < 12
    assert len(read) > 18
    assert all(len(words) == 1 for words in read.values())
