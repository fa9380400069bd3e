"""The whole causal test against a plain loop of PyTorch in float64, and what it leaves in the model and the metadata."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from causal_models import pivots_of

from pivotkit.artifacts import table_metadata
from pivotkit.causal import measure, passes
from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.chosen import Item, read_items
from pivotkit.causal.controls import random_unit
from pivotkit.causal.measure import CAUSAL
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.groups import grouped
from pivotkit.lens.model.encoding import encode
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.trace import trace
from pivotkit.words.word_tokens import WordTokens

LAYERS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def pivots(llama_items, word_tokenizer):
    return pivots_of(llama_items, word_tokenizer, LAYERS)


@pytest.fixture(scope="module")
def lens():
    random = torch.Generator().manual_seed(5)
    weights = tuple(torch.eye(32) + 0.1 * torch.randn(32, 32, generator=random) for _ in range(3))
    return AffineLens(weights, None, "", None)


@pytest.fixture(scope="module")
def found(llama, llama_items, word_tokenizer, pivots, lens):
    return causal_test(
        llama, llama_items, word_tokenizer, pivots, directions=("unembedding", "lens", "means"), lens=lens,
        strengths=(0.5, -1.0),
    )  # fmt: skip


class Oracle:
    """A plain loop: one whole prompt per edit, with a hook, in float64."""

    def __init__(self, model, items, tokenizer, lens):
        self.model, self.lens = copy.deepcopy(model).double(), lens
        self.rows = items.to_pylist()
        texts = encode(tokenizer, [row["prompt"] for row in self.rows], [f" {row['target']}" for row in self.rows])
        self.ids = [torch.tensor([text.ids[: text.telling]]) for text in texts]
        self.words = WordTokens(tokenizer)
        self.states, self.logprobs = [], []
        for ids in self.ids:
            held = []

            def first(_, args, kwargs, held=held):
                held.append((args or tuple(kwargs.values()))[0][0, -1])

            def after(_, args, out, held=held):
                held.append(out[0, -1])

            blocks = self.model.model.layers
            hooks = [blocks[0].register_forward_pre_hook(first, with_kwargs=True)]
            hooks += [block.register_forward_hook(after) for block in blocks]
            with torch.no_grad():
                self.logprobs.append(self.model(ids).logits[0, -1].log_softmax(-1))
            for hook in hooks:
                hook.remove()
            self.states.append(torch.stack(held))
        self.answers = [int(logprobs.argmax()) for logprobs in self.logprobs]

    def edited(self, at, layer, state):
        def put(hidden):
            hidden = hidden.clone()
            hidden[0, -1] = state
            return hidden

        if layer == 0:
            hook = self.model.model.embed_tokens.register_forward_hook(lambda _, args, out: put(out))
        else:
            hook = self.model.model.layers[layer - 1].register_forward_hook(lambda _, args, out: put(out))
        with torch.no_grad():
            logprobs = self.model(self.ids[at]).logits[0, -1].log_softmax(-1)
        hook.remove()
        return logprobs

    def direction(self, token, layer, kind):
        vector = self.model.lm_head.weight[token].detach() * self.model.model.norm.weight.detach()
        if kind == "lens" and layer < 3:
            vector = self.lens.weights[layer].double().T @ vector
        return vector / vector.norm()

    def means(self, at, layer, token, pivots):
        """Plain loops over the items of each pair."""
        own = self.rows[at]
        shows = {item for item, where, one in pivots if (where, one) == (layer, token)}
        shows |= {row["item"] for row in self.rows if row["concept"] == own["concept"] and row["pair"] != own["pair"]}
        shows -= {own["item"]}
        apart = []
        for number, row in enumerate(self.rows):
            if row["item"] in shows:
                rest = [self.states[other][layer] for other, one in enumerate(self.rows)
                        if one["pair"] == row["pair"] and one["item"] not in shows and other != at]  # fmt: skip
                apart.append(self.states[number][layer] - torch.stack(rest).mean(0))
        vector = torch.stack(apart).mean(0)
        return vector / vector.norm()

    def family(self, *ats):
        words = [word for at in ats for word in (self.rows[at]["source"], self.rows[at]["target"])]
        return sorted({token for word in words for token in self.words.family(word)})

    def parts(self, vector, family, layer, kind):
        span = torch.stack([self.direction(token, layer, kind) for token in family])
        inside = span.T @ torch.linalg.lstsq(span.T, vector[:, None], driver="gelsd").solution[:, 0]
        outside = vector - inside
        return outside / outside.norm(), inside / inside.norm()

    def mean_of_others(self, at, layer):
        pair = self.rows[at]["pair"]
        return torch.stack([self.states[other][layer] for other, row in enumerate(self.rows)
                            if row["pair"] == pair and other != at]).mean(0)  # fmt: skip


def cells(table):
    """The rows of each item, layer, intervention, direction, mean and strength, by control."""
    names = ("item", "layer", "intervention", "direction", "mean", "strength")
    found = {}
    for row in table.to_pylist():
        found.setdefault(tuple(row[name] for name in names), {})[row["control"]] = row
    return found


def test_every_ablation_and_addition_equals_a_plain_loop_in_float64(
    found, llama, llama_items, word_tokenizer, pivots, lens
):
    oracle = Oracle(llama, llama_items, word_tokenizer, lens)
    held = {(row["item"], row["layer"]): row["token_id"] for row in pivots.to_pylist()}
    listed = [(item, layer, token) for (item, layer), token in held.items()]
    seen = set()
    for (item, layer, name, kind, mean, strength), rows in cells(found).items():
        if name not in ("ablate", "add") or item % 6:
            continue
        state = oracle.states[item][layer]
        start = state - oracle.mean_of_others(item, layer) if mean else state
        token = held[item, layer]
        own = oracle.means(item, layer, token, listed) if kind == "means" else oracle.direction(token, layer, kind)
        outside, inside = oracle.parts(own, oracle.family(item), layer, kind)
        for control, row in rows.items():
            if control in ("own", "own-reduced"):
                unit = own
            elif control.startswith("orthogonal"):
                unit = outside
            elif control == "shared":
                unit = inside
            elif control == "random":
                draw = Item(item, "", "", "", (), (), 0, 0, 0.0, None)
                unit = torch.from_numpy(random_unit(32, draw, layer, 0, "random"))
            elif kind == "means":  # another item's
                [whose] = [at for at, one in enumerate(oracle.rows)
                           if one["pair"] == oracle.rows[item]["pair"] and held[at, layer] == row["token_id"]]  # fmt: skip
                unit = oracle.means(whose, layer, row["token_id"], listed)
            else:
                unit = oracle.direction(row["token_id"], layer, kind)
            size = {"random": own, "orthogonal-equal": own, "own-reduced": outside}.get(control, unit)
            if name == "ablate":
                amount = float(start @ size)
                if control in ("orthogonal-equal", "own-reduced"):
                    amount = float(torch.sign(start @ unit)) * abs(amount)
            else:
                size = size if control in ("orthogonal", "shared", "own-reduced") else own
                amount = -strength * abs(float(state @ size))
            after = oracle.edited(item, layer, state - amount * unit)
            target = oracle.answers[item]
            assert row["removed"] == pytest.approx(amount, rel=1e-4, abs=1e-4), row
            delta = float(after[target] - oracle.logprobs[item][target])
            assert row["delta_logprob"] == pytest.approx(delta, rel=1e-5, abs=1e-4), row
            assert row["delta_rank"] == int((after > after[target]).sum()), row
            seen.add((name, kind, control, mean))
    tokens = {"frequency", "matched", "target", "source"}
    others = {"own", "other", "random", "orthogonal", "orthogonal-equal", "shared", "own-reduced"}
    assert {(name, kind, control) for name, kind, control, _ in seen} == {
        (name, kind, control) for name in ("ablate", "add") for kind in ("unembedding", "lens", "means")
        for control in (others if kind == "means" else others | tokens)
    }  # fmt: skip
    assert {mean for name, _, _, mean in seen if name == "ablate"} == {False, True}


def test_every_swap_equals_a_plain_loop_in_float64(found, llama, llama_items, word_tokenizer, pivots, lens):
    oracle = Oracle(llama, llama_items, word_tokenizer, lens)
    held = {(row["item"], row["layer"]): row["token_id"] for row in pivots.to_pylist()}
    seen, every = set(), cells(found)
    for (item, layer, name, kind, _, _), rows in every.items():
        if name != "swap" or kind == "means" or item % 5:
            continue
        pair = oracle.rows[item]["pair"]
        partner_token = every[item, layer, "ablate", kind, False, None]["other"]["token_id"]
        [partner] = [
            at for at, row in enumerate(oracle.rows) if row["pair"] == pair and held[at, layer] == partner_token
        ]
        state, own = oracle.states[item][layer], oracle.direction(held[item, layer], layer, kind)
        other = oracle.direction(partner_token, layer, kind)
        family = oracle.family(item, partner)
        ends = {
            "own": (own, other),
            "target": tuple(oracle.direction(oracle.answers[at], layer, kind) for at in (item, partner)),
            "source": tuple(oracle.direction(oracle.words.pieces(oracle.rows[at]["source"])[0], layer, kind)
                            for at in (item, partner)),
            "orthogonal": tuple(oracle.parts(one, family, layer, kind)[0] for one in (own, other)),
            "shared": tuple(oracle.parts(one, family, layer, kind)[1] for one in (own, other)),
        }  # fmt: skip
        for control, (first, second) in ends.items():
            if control not in rows:
                continue
            # Coordinates in the plane of the two, exchanged.
            plane = torch.stack([first, second], 1)
            both = torch.linalg.lstsq(plane, state[:, None]).solution[:, 0]
            edited = state - plane @ both + plane @ both.flip(0)
            after = oracle.edited(item, layer, edited)
            for column, at in (("delta_logprob", item), ("delta_other_logprob", partner)):
                token = oracle.answers[at]
                delta = float(after[token] - oracle.logprobs[item][token])
                assert rows[control][column] == pytest.approx(delta, rel=1e-4, abs=2e-4), (control, rows[control])
            assert abs(rows[control]["removed"]) == pytest.approx(float((edited - state).norm()), rel=1e-3, abs=1e-4)
            seen.add((kind, control))
        assert abs(rows["random"]["removed"]) == pytest.approx(abs(rows["own"]["removed"]), rel=1e-5)
        if "orthogonal" in rows:
            assert abs(rows["own-reduced"]["removed"]) == pytest.approx(abs(rows["orthogonal"]["removed"]), rel=1e-5)
    assert seen == set(itertools.product(("unembedding", "lens"), ends))


def test_the_swap_of_two_more_items_names_the_token_of_one_of_them(found, llama, llama_items, word_tokenizer, pivots):
    oracle = Oracle(llama, llama_items, word_tokenizer, None)
    held = {(row["item"], row["layer"]): row["token_id"] for row in pivots.to_pylist()}
    swapped = [(key, rows) for key, rows in cells(found).items() if key[1:4] == (2, "swap", "unembedding")]
    some = [(key, rows["other"]) for key, rows in swapped if "other" in rows][::5]
    assert some
    for (item, layer, *_), row in some:
        state, target = oracle.states[item][layer], oracle.answers[item]
        first = oracle.direction(row["token_id"], layer, "unembedding")
        deltas = []
        for at, one in enumerate(oracle.rows):
            if one["pair"] == row["pair"] and held[at, layer] != row["token_id"]:
                apart = first - oracle.direction(held[at, layer], layer, "unembedding")
                edited = state - 2 * (state @ apart) / (apart @ apart) * apart
                deltas.append(float(oracle.edited(item, layer, edited)[target] - oracle.logprobs[item][target]))
        assert np.abs(np.array(deltas) - row["delta_logprob"]).min() < 2e-4, row


def test_every_patch_equals_a_plain_loop_in_float64(found, llama, llama_items, word_tokenizer, pivots, lens):
    oracle = Oracle(llama, llama_items, word_tokenizer, lens)
    held = {(row["item"], row["layer"]): row["token_id"] for row in pivots.to_pylist()}
    count = 0
    for (item, layer, name, *_), rows in cells(found).items():
        if name != "patch":
            continue
        row = oracle.rows[item]
        for control, patch in rows.items():
            assert patch["direction"] is None
            if control == "other":
                [at] = [at for at, one in enumerate(oracle.rows)
                        if one["pair"] == row["pair"] and held[at, layer] == patch["token_id"]]  # fmt: skip
            elif control == "own":
                [at] = [at for at, one in enumerate(oracle.rows)
                        if one["concept"] == row["concept"] and one["pair"] != row["pair"]]  # fmt: skip
            else:
                continue
            after = oracle.edited(item, layer, oracle.states[at][layer])
            for column, token in (("delta_logprob", oracle.answers[item]), ("delta_other_logprob", oracle.answers[at])):
                delta = float(after[token] - oracle.logprobs[item][token])
                assert patch[column] == pytest.approx(delta, rel=1e-4, abs=2e-4)
            count += 1
    assert count > 100


def test_the_answers_are_those_that_a_trace_reads(llama, llama_items, word_tokenizer, pivots):
    head = LensHead.from_model(llama)
    texts = encode(
        word_tokenizer, llama_items["prompt"].to_pylist(), [f" {x}" for x in llama_items["target"].to_pylist()]
    )
    read, _ = read_items(
        head, grouped(llama_items.to_pylist(), texts, word_tokenizer), texts, WordTokens(word_tokenizer), [1]
    )
    traced = trace(llama, llama_items, word_tokenizer, contrast=False, head=head).filter(pc.field("layer") == 3)
    assert {item.item: item.answer for item in read} == {row["item"]: row["top_ids"][0] for row in traced.to_pylist()}
    for item, row in zip(read, traced.sort_by("item").to_pylist(), strict=True):
        assert item.logprob == pytest.approx(row["top_logprobs"][0], abs=1e-5)


def test_batches_and_skipped_blocks_and_whole_prompts_change_nothing(
    llama, llama_items, word_tokenizer, pivots, monkeypatch
):
    head = LensHead.from_model(llama)

    def run():
        return causal_test(llama, llama_items, word_tokenizer, pivots, strengths=(1.0,), head=head).to_pandas()

    first = run()
    assert passes.skippable(head, (1, 2, 3), [1, 2], torch.zeros(2, 32)) == {1, 2}
    others = []
    with monkeypatch.context() as patch:
        patch.setattr(passes, "ROWS", 3)
        patch.setattr(passes, "BATCH_TOKENS", 70)
        patch.setattr(measure, "EDITS", 1)
        others.append(run())
    with monkeypatch.context() as patch:
        patch.setattr(measure, "skippable", lambda *_: frozenset())
        others.append(run())
    with monkeypatch.context() as patch:
        patch.setattr(passes, "PASS_TOKENS", 10**6)  # no shared prefix
        others.append(run())
    object.__setattr__(head, "shares_prefix", False)
    others.append(run())
    for other in others:
        keys = ["item", "layer", "intervention", "control", "mean", "token_id"]
        assert other[keys].equals(first[keys])
        np.testing.assert_allclose(other["removed"], first["removed"], rtol=1e-4, atol=1e-4)
        for column in ("delta_logprob", "delta_other_logprob"):
            np.testing.assert_allclose(other[column], first[column], atol=2e-4, rtol=1e-4)


def test_an_items_rows_do_not_depend_on_the_order_of_items(llama, llama_items, word_tokenizer, pivots):
    first = causal_test(llama, llama_items, word_tokenizer, pivots, layers=[1], interventions=["ablate"])
    order = np.random.default_rng(0).permutation(pivots.num_rows)
    again = causal_test(llama, llama_items, word_tokenizer, pivots.take(order), layers=[1], interventions=["ablate"])
    assert again.drop_columns(["delta_logprob"]).equals(first.drop_columns(["delta_logprob"]))
    other = causal_test(llama, llama_items, word_tokenizer, pivots, layers=[1], interventions=["ablate"], seed=1)
    assert not other["token_id"].equals(first["token_id"])


def test_the_table_has_its_schema_and_says_what_it_is_of(found, llama):
    assert found.schema.remove_metadata() == CAUSAL
    said = table_metadata(found)
    assert said["layers"] == [0, 1, 2, 3]
    assert said["seed"] == 0
    assert said["strengths"] == [0.5, -1.0]
    assert said["lens"] == "affine lens"
    assert said["head"]["blocks"] == 3
    assert "order of ids" in said["frequency"]
    reasons = {entry["reason"] for entry in said["left_out"] if "what" not in entry}
    assert reasons == {"not solved: the first choice begins no accepted target"}
    assert said["items"]["given"] == said["items"]["tested"] + sum("what" not in entry for entry in said["left_out"])


def test_classes_are_kept_apart(llama, llama_items, word_tokenizer):
    """Others are of the same class, and every class has its own rows."""
    one = pivots_of(llama_items, word_tokenizer, [2])
    two = one.set_column(2, "token_id", pa.array(np.asarray(one["token_id"]) + 16))
    kinds = pa.array(["pivot"] * one.num_rows + ["piece"] * one.num_rows)
    both = pa.concat_tables([one, two]).append_column("class", kinds)
    table = causal_test(llama, llama_items, word_tokenizer, both, interventions=["ablate"])
    assert set(table["class"].to_pylist()) == {"pivot", "piece"}
    for row in table.filter(pc.field("control") == "other").to_pylist():
        owned = (one if row["class"] == "pivot" else two)["token_id"].to_pylist()
        assert row["token_id"] in owned
