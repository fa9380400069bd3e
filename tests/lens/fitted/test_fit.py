"""`fit_lens` on models whose maps are known, and what it refuses."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from itertools import chain

import pytest
import torch
import zstandard

from pivotkit.lens.fidelity import lens_fidelity
from pivotkit.lens.fitted import TunedLens, fit_lens, load_lens
from pivotkit.lens.fitted.ridge import Moments
from pivotkit.lens.fitted.texts import is_held_out, sequences
from pivotkit.lens.model import load_model
from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.trace import trace


def composed(model, layer):
    """A and b of the blocks after ``layer``, in float64."""
    weight, bias = torch.eye(8).double(), torch.zeros(8).double()
    for block in model.model.layers[layer:]:
        weight = block.weight.detach().double() @ weight
        bias = block.weight.detach().double() @ bias + block.bias.detach().double()
    return weight, bias


def test_a_ridge_lens_finds_the_affine_map_that_the_blocks_are(affine_model, texts, tokenizer):
    lens = fit_lens(affine_model, texts, tokenizer, ridge=0)
    for layer in range(3):
        weight, bias = composed(affine_model, layer)
        torch.testing.assert_close(lens.weights[layer].double() + torch.eye(8), weight, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(lens.biases[layer].double(), bias, atol=1e-4, rtol=1e-4)
    head = LensHead.from_model(affine_model)
    states = capture(head, torch.tensor([[5, 3, 8, 2]]), [(0, 2), (0, 3)])
    torch.testing.assert_close(lens(states), states[-1:].expand(4, -1, -1), atol=1e-3, rtol=1e-3)


def test_moments_equal_least_squares_on_all_rows_at_once():
    random = torch.Generator().manual_seed(0)
    states = torch.randn(3, 50, 4, generator=random) * torch.tensor([1.0, 100, 1, 0.01]) + 7
    moments = Moments.zeros(2, 4, "cpu")
    for part in states.split([20, 1, 29], dim=1):
        moments.add(part)
    weights, biases = moments.solve(0.0)
    assert moments.count == 50
    for layer in range(2):
        rows = torch.cat([states[layer].double(), torch.ones(50, 1).double()], dim=1)
        best = torch.linalg.lstsq(rows, states[2].double()).solution
        torch.testing.assert_close(weights[layer], best[:4].T, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(biases[layer], best[4], rtol=1e-6, atol=1e-4)


def test_a_large_ridge_leaves_the_raw_lens_but_for_the_means():
    states = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    moments = Moments.zeros(1, 4, "cpu")
    moments.add(states)
    [weight], [bias] = moments.solve(1e9)
    torch.testing.assert_close(weight, torch.eye(4).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(bias, (states[1] - states[0]).double().mean(0), atol=1e-6, rtol=0)


def test_equal_arguments_give_equal_maps_and_batches_do_not_matter(affine_model, texts, tokenizer):
    one, two = (fit_lens(affine_model, iter(texts), tokenizer, tokens=100) for _ in range(2))
    other = fit_lens(affine_model, texts, tokenizer, tokens=100, batch=20)
    for first, second, third in zip(one.weights, two.weights, other.weights, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, third, atol=1e-4, rtol=1e-4)
    assert one.fit == two.fit == {
        "kind": "ridge", "tokens": 100, "texts": other.fit["texts"], "context": 128, "ridge": 1e-3, "held_out": 0.1,
        "seed": 0,
    }  # fmt: skip
    assert not torch.equal(one.weights[0], fit_lens(affine_model, texts, tokenizer, tokens=100, seed=1).weights[0])


def test_no_held_out_text_is_fitted_on_and_fidelity_reads_no_other(texts, tokenizer):
    def taken(held):
        return sequences("f", texts, tokenizer, tokens=10**6, context=64, held_out=0.3, seed=5, held=held)

    apart = [is_held_out(text, 0.3, 5) for text in texts]
    assert 0 < sum(apart) < len(texts)
    for held in (False, True):
        own = [text for text, out in zip(texts, apart, strict=True) if out == held]
        assert taken(held) == [tuple(ids) for ids in tokenizer(own)["input_ids"]]


def test_the_share_that_is_held_out_is_the_share_asked_for():
    names = [f"text {number}" for number in range(4000)]
    assert abs(sum(is_held_out(name, 0.1, 0) for name in names) / 4000 - 0.1) < 0.02
    assert not any(is_held_out(name, 0, 0) for name in names)
    assert all(is_held_out(name, 1, 0) for name in names)
    assert [is_held_out(name, 0.1, 0) for name in names] != [is_held_out(name, 0.1, 1) for name in names]


def test_texts_are_read_only_as_far_as_needed_and_the_last_is_cut(texts, tokenizer):
    read = []
    stream = (read.append(text) or text for text in chain(texts, texts * 100))
    found = sequences("f", stream, tokenizer, tokens=50, context=9, held_out=0, seed=0)
    assert sum(len(ids) - 1 for ids in found) == 50
    assert max(map(len, found)) == 9
    assert len(read) <= 256


def test_a_fitted_lens_is_saved_where_it_is_asked_and_read_back(affine_model, texts, tokenizer, tmp_path):
    head = LensHead.from_model(affine_model)
    lens = fit_lens(affine_model, texts, tokenizer, head=head, out=tmp_path / "lens")
    assert lens.name == "ridge lens"
    for same in (TunedLens.load(tmp_path / "lens", head), load_lens(tmp_path / "lens", head)):
        assert (same.name, same.digest, same.dtype, same.fit) == (lens.name, head.digest, "float32", lens.fit)
        assert all(map(torch.equal, (*same.weights, *same.biases), (*lens.weights, *lens.biases)))


def test_a_lens_names_its_model_and_not_the_place_of_its_folder(affine_model, texts, tokenizer, tmp_path):
    for name, expected in (("google/gemma-3", "google/gemma-3"), (str(tmp_path / "gemma"), "gemma"), ("", "")):
        affine_model.config._name_or_path = name
        assert fit_lens(affine_model, texts, tokenizer, tokens=50).model == expected


def test_a_digest_decides_where_names_differ(affine_model, texts, tokenizer):
    affine_model.config._name_or_path = "google/gemma-3"
    lens = fit_lens(affine_model, texts, tokenizer, tokens=50)
    affine_model.config._name_or_path = "somebody/copy"
    lens.require_head("f", "a", LensHead.from_model(affine_model))
    with pytest.raises(ValueError, match=r"^f: a must be for somebody/copy; got one for google/gemma-3$"):
        dataclasses.replace(lens, digest=None).require_head("f", "a", LensHead.from_model(affine_model))


def test_a_place_that_holds_something_is_refused_before_anything_runs(affine_model, texts, tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(ValueError, match="fit_lens: out must be a new or an empty folder"):
            fit_lens(affine_model, texts, tokenizer, out=place)
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_a_lens_of_another_model_is_refused_by_load_and_trace(llama, gemma2, items, tokenizer, texts, tmp_path):
    many = [f"{text} {number}" for number in range(4) for text in texts]
    lens = fit_lens(llama, many, tokenizer, out=tmp_path / "lens")
    assert trace(llama, items, tokenizer, lens=lens).num_rows
    message = "must be for the model whose head has the digest [0-9a-f]{16}; got one for [0-9a-f]{16}$"
    with pytest.raises(ValueError, match=rf"^trace: lens {message}"):
        trace(gemma2, items, tokenizer, lens=lens)
    with pytest.raises(ValueError, match=rf"^TunedLens: folder {message}"):
        TunedLens.load(tmp_path / "lens", LensHead.from_model(gemma2))
    with pytest.raises(ValueError, match=rf"^lens_fidelity: lenses {message}"):
        lens_fidelity(gemma2, lens, many, tokenizer)


def test_a_lens_of_another_type_or_shape_is_refused(llama, affine_model, make_model, texts, tokenizer):
    many = [f"{text} {number}" for number in range(4) for text in texts]
    lens = fit_lens(llama, many, tokenizer)
    half = LensHead.from_model(make_model("llama").bfloat16())
    with pytest.raises(ValueError, match=r"^f: a must be for a model in bfloat16; got one for float32$"):
        lens.require_head("f", "a", half)
    with pytest.raises(ValueError, match=r"^f: a must be for 3 blocks of width 8; got one for 3 of width 32$"):
        lens.require_head("f", "a", LensHead.from_model(affine_model))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"held_out": 1}, "held_out must be below 1, to leave texts to fit on; got 1"),
        ({"context": 257}, "context must be at most 256, the model's context; got 257"),
        ({"tokens": 7}, "texts must give at least 8 tokens, the width of the model; got 7"),
        ({"texts": []}, "texts must give at least 8 tokens, the width of the model; got 0"),
        ({"texts": "a text"}, "texts must be an iterable of str; got 'a text'"),
        ({"texts": ["a", b"b"]}, "texts must hold str; got bytes"),
        ({"kind": "logit"}, "kind must be one of "),
    ],
)
def test_what_cannot_be_fitted_is_refused(affine_model, texts, tokenizer, changed, message):
    given = {"texts": texts, "context": 128} | changed
    with pytest.raises((ValueError, TypeError), match=rf"^fit_lens: {re.escape(message)}"):
        fit_lens(affine_model, given.pop("texts"), tokenizer, **given)


def test_another_models_tokenizer_is_refused(texts, tokenizer, make_model):
    with pytest.raises(ValueError, match=r"^fit_lens: tokenizer must be the model's own, with ids below 60; got "):
        fit_lens(make_model("llama"), texts, tokenizer)


def test_states_that_span_too_little_need_a_ridge(affine_model, texts, tokenizer):
    with torch.no_grad():
        affine_model.model.embed_tokens.weight[:, 0] = 0
    with pytest.raises(ValueError, match=r"^fit_lens: ridge must be larger where states span fewer than 8 dimensions"):
        fit_lens(affine_model, texts, tokenizer, ridge=0)
    lens = fit_lens(affine_model, texts, tokenizer, ridge=1e-6)
    assert all(weight.isfinite().all() for weight in lens.weights)


def test_states_that_are_not_finite_are_refused_by_their_place(affine_model, texts, tokenizer):
    head = LensHead.from_model(affine_model)
    with torch.no_grad():
        affine_model.model.layers[1].bias[3] = float("inf")
    with pytest.raises(ValueError, match=r"hidden states must be finite; got inf at layer 2, sequence \d+, token 1$"):
        fit_lens(affine_model, texts, tokenizer, head=head)


def test_a_ridge_lens_of_a_real_model_is_nearer_in_every_layer(real_models, shared, all_threads):
    files = sorted((shared / "data" / "corpus").glob("*.jsonl.zst"))
    if not files:
        pytest.skip("the shared folder holds no corpus")

    def texts():
        """Documents of all languages in turn."""
        streams = [io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file.open("rb"))) for file in files]
        for lines in zip(*streams, strict=False):
            yield from (json.loads(line)["text"] for line in lines)

    model, tokenizer = load_model(real_models / "gemma3-270m")
    head = LensHead.from_model(model)
    lens = fit_lens(model, texts(), tokenizer, tokens=1500, head=head)
    rows = lens_fidelity(model, lens, texts(), tokenizer, tokens=100, head=head).to_pylist()
    raw, fitted = (
        {row["layer"]: row for row in rows if (row["lens"] == "logit lens") == which} for which in (True, False)
    )
    assert list(raw) == list(fitted) == list(range(19))
    for layer in range(18):
        assert fitted[layer]["kl"] < raw[layer]["kl"], layer
    assert raw[18]["kl"] == fitted[18]["kl"] == 0
    assert raw[18]["agreement"] == 1


def long(texts):
    """Documents of more tokens than the first 16."""
    return [f"{text} {text}" for text in texts]


def test_the_jacobian_of_affine_blocks_is_the_product_of_their_matrices(affine_model, texts, tokenizer):
    lens = fit_lens(affine_model, long(texts), tokenizer, kind="jacobian", tokens=40, batch=100)
    for layer in range(3):
        torch.testing.assert_close(lens.weights[layer].double(), composed(affine_model, layer)[0], atol=1e-5, rtol=1e-5)
    assert (lens.prompts, lens.biases, lens.name) == (lens.fit["texts"], None, "Jacobian lens")


@pytest.mark.parametrize("batch", [1, 40, 10_000])
def test_the_jacobian_is_the_mean_of_whole_ones_by_autograd(llama, texts, tokenizer, batch):
    """Every effect of a position on itself and later ones, averaged over positions, then over prompts."""
    found = sequences("f", long(texts), tokenizer, tokens=12, context=128, skip=17, held_out=0, seed=0)
    assert len(found) > 1
    expected = torch.zeros(32, 32).double()
    for ids in found:
        entering = {}
        hook = llama.model.layers[1].register_forward_hook(lambda _, args, out, kept=entering: kept.update(out=out))
        llama.model(torch.tensor([ids]))
        hook.remove()

        def last(state, ids=ids):
            """The last block's output, with the second block's replaced."""
            kept = {}
            hooks = [
                llama.model.layers[1].register_forward_hook(lambda _, args, out: state),
                llama.model.layers[2].register_forward_hook(lambda _, args, out: kept.update(out=out)),
            ]
            llama.model(torch.tensor([ids]))
            for one in hooks:
                one.remove()
            return kept["out"][0, 16:-1].sum(0)

        whole = torch.autograd.functional.jacobian(last, entering["out"].detach())
        expected += whole[:, 0, 16:-1].double().mean(1)
    lens = fit_lens(llama, long(texts), tokenizer, kind="jacobian", tokens=12, held_out=0, batch=batch)
    torch.testing.assert_close(lens.weights[2].double(), expected / len(found), atol=1e-4, rtol=1e-4)


def test_a_jacobian_lens_is_saved_where_it_is_asked_and_needs_long_prompts(affine_model, texts, tokenizer, tmp_path):
    with pytest.raises(ValueError, match=r"^fit_lens: out must end in \.safetensors or \.pt; got "):
        fit_lens(affine_model, texts, tokenizer, kind="jacobian", out=tmp_path / "lens")
    with pytest.raises(ValueError, match=r"^fit_lens: texts must give prompts of more than 17 tokens; got none$"):
        fit_lens(affine_model, ["a dog"], tokenizer, kind="jacobian")
    path = tmp_path / "lens.safetensors"
    lens = fit_lens(affine_model, long(texts), tokenizer, kind="jacobian", tokens=10, out=path)
    same = load_lens(path, LensHead.from_model(affine_model))
    assert all(map(torch.equal, same.weights, lens.weights))
    assert (same.fit, same.digest, same.prompts) == (lens.fit, lens.digest, lens.prompts)


def test_states_that_are_not_finite_have_no_jacobian(affine_model, texts, tokenizer):
    head = LensHead.from_model(affine_model)
    with torch.no_grad():
        affine_model.model.layers[1].bias[3] = float("nan")
    with pytest.raises(ValueError, match=r"hidden states must be finite; got nan at layer 2, sequence 0, token 0$"):
        fit_lens(affine_model, long(texts), tokenizer, kind="jacobian", tokens=10, head=head)


def test_training_brings_the_lens_nearer_than_the_ridge_lens_where_it_is_trained(model, texts, tokenizer):
    many = [f"{text} {number}" for number in range(4) for text in texts]
    given = {"tokens": 1200, "held_out": 0}
    ridge = fit_lens(model, many, tokenizer, **given)
    tuned = fit_lens(model, many, tokenizer, kind="tuned", steps=40, **given)
    assert (tuned.name, tuned.fit["steps"]) == ("tuned lens", 40)
    rows = lens_fidelity(model, [ridge, tuned], many, tokenizer, held_out=1, tokens=1200).to_pylist()
    kl = {(row["lens"], row["layer"]): row["kl"] for row in rows}
    for layer in range(3):
        assert kl["tuned lens", layer] < kl["ridge lens", layer]


def test_equal_seeds_train_equal_lenses(llama, texts, tokenizer):
    many = [f"{text} {number}" for number in range(4) for text in texts]
    one, two, other = (
        fit_lens(llama, many, tokenizer, kind="tuned", steps=3, tokens=400, held_out=0, seed=seed) for seed in (0, 0, 1)
    )
    assert all(map(torch.equal, one.weights, two.weights))
    assert not torch.equal(one.weights[0], other.weights[0])


def test_no_step_leaves_gradients_or_hooks_on_the_model(llama, texts, tokenizer):
    def hooks():
        return [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in llama.modules()]

    before = hooks()
    many = [f"{text} {number}" for number in range(4) for text in texts]
    fit_lens(llama, many, tokenizer, kind="tuned", steps=2, tokens=400)
    fit_lens(llama, long(texts), tokenizer, kind="jacobian", tokens=10)
    assert all(parameter.grad is None for parameter in llama.parameters())
    assert hooks() == before
