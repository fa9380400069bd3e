"""Tuned-lens checkpoints, written here in their format, against the plain formula."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pyarrow.compute as pc
import pytest
import torch
from safetensors.torch import save_file

from pivotkit.artifacts import table_metadata
from pivotkit.errors import InputError
from pivotkit.lens.fitted.tuned import TunedLens
from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.trace import trace

LAYERS, WIDTH = 3, 32  # of the tiny models


def translators(*, bias=True, layers=LAYERS, width=WIDTH, scale=0.1):
    random = torch.Generator().manual_seed(0)
    state = {}
    for layer in range(layers):
        state[f"{layer}.weight"] = scale * torch.randn(width, width, generator=random)
        if bias:
            state[f"{layer}.bias"] = scale * torch.randn(width, generator=random)
    return state


def checkpoint(folder, state, *, file="params.pt", **changed):
    """Write ``state`` with the configuration that the tuned-lens library writes."""
    config = {
        "base_model_name_or_path": "EleutherAI/pythia-160m", "d_model": WIDTH, "num_hidden_layers": LAYERS,
        "bias": True, "base_model_revision": "abc", "unembed_hash": "0" * 64, "lens_type": "linear_tuned_lens",
    } | changed  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    if file == "params.pt":
        torch.save(state, folder / file)
    else:
        save_file(state, folder / file)
    return folder


def hidden(layers=LAYERS + 1, dtype=torch.float32):
    return torch.randn(layers, 5, WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("file", ["params.pt", "params.safetensors"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_checkpoint_gives_the_formula_and_leaves_the_last_layer_alone(tmp_path, file, bias):
    state = translators(bias=bias)
    lens = TunedLens.load(checkpoint(tmp_path, state, file=file, bias=bias))
    states = hidden()
    translated = lens(states)
    for layer in range(LAYERS):
        expected = states[layer] + states[layer] @ state[f"{layer}.weight"].T
        torch.testing.assert_close(translated[layer], expected + (state[f"{layer}.bias"] if bias else 0))
    assert torch.equal(translated[LAYERS], states[LAYERS])
    assert (lens.model, lens.revision) == ("EleutherAI/pythia-160m", "abc")
    assert lens.name == "tuned lens for EleutherAI/pythia-160m"


def test_layers_say_which_translator_a_row_gets(tmp_path):
    lens = TunedLens.load(checkpoint(tmp_path, translators()))
    states = hidden()
    assert torch.equal(lens(states[[3, 1]], [3, 1]), lens(states)[[3, 1]])
    assert lens(states[:0], []).shape == (0, 5, WIDTH)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_dtype_is_kept_and_rounded_to_once(tmp_path, dtype):
    state = {name: tensor.half() for name, tensor in translators().items()}
    lens = TunedLens.load(checkpoint(tmp_path, state))
    states = hidden(dtype=dtype)
    wide = torch.promote_types(dtype, torch.float32)
    expected = states[0].to(wide) + states[0].to(wide) @ state["0.weight"].to(wide).T + state["0.bias"].to(wide)
    translated = lens(states)
    assert translated.dtype == dtype
    torch.testing.assert_close(translated[0], expected.to(dtype))


def test_zero_translators_are_the_raw_lens(tmp_path, model):
    head = LensHead.from_model(model)
    lens = TunedLens.load(checkpoint(tmp_path, translators(scale=0)), head)
    states = capture(head, torch.tensor([[5, 3, 8, 2]]), [(0, 1), (0, 3)])
    assert torch.equal(lens(states), states)


def test_the_translated_last_layer_is_the_models_own_output(tmp_path, llama):
    """Translator i maps the input of block i + 1, so the output of the last block has none."""
    head = LensHead.from_model(llama)
    state = translators()
    states = capture(head, torch.tensor([[5, 3, 8, 2]]), [(0, 3)])
    logits = head.normed(TunedLens.load(checkpoint(tmp_path, state), head)(states)) @ head.weight.T
    given = llama(torch.tensor([[5, 3, 8, 2]]), output_hidden_states=True)
    torch.testing.assert_close(logits[-1, 0], given.logits[0, 3])
    for layer in range(LAYERS):
        entering = given.hidden_states[layer][0, 3]
        moved = entering + state[f"{layer}.weight"] @ entering + state[f"{layer}.bias"]
        torch.testing.assert_close(logits[layer, 0], llama.lm_head(llama.model.norm(moved)))


def test_a_trace_through_zero_translators_is_the_raw_trace_and_names_its_lens(tmp_path, llama, items, tokenizer):
    raw = trace(llama, items, tokenizer, k=3)
    state = translators(scale=0)
    lens = TunedLens.load(checkpoint(tmp_path, state, base_model_name_or_path=""))
    same = trace(llama, items, tokenizer, k=3, lens=lens)
    assert same.equals(raw)
    assert (table_metadata(raw)["lens"], table_metadata(same)["lens"]) == ("logit lens", "tuned lens")
    moved = trace(llama, items, tokenizer, k=3, lens=TunedLens.load(checkpoint(tmp_path, translators())))
    last = pc.equal(raw["layer"], LAYERS)
    assert (
        moved.filter(last)
        .drop_columns(["tracked", "tracked_logprobs"])
        .equals(raw.filter(last).drop_columns(["tracked", "tracked_logprobs"]))
    )
    assert not moved["entropy"].equals(raw["entropy"])


def test_nothing_but_tensors_is_read_and_no_code_runs(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (type(marker).touch, (marker,))

    checkpoint(tmp_path, {"0.weight": Evil()})
    with pytest.raises(InputError, match=r"params\.pt: must be a checkpoint of tensors and nothing else"):
        TunedLens.load(tmp_path)
    (tmp_path / "params.pt").write_bytes(pickle.dumps({"0.weight": Evil()}))
    with pytest.raises(InputError, match=r"params\.pt: must be a checkpoint of tensors and nothing else"):
        TunedLens.load(tmp_path)
    assert not marker.exists()


def test_a_pickle_is_refused_where_torch_cannot_read_it_safely(tmp_path, monkeypatch):
    checkpoint(tmp_path, translators())
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(InputError, match=r"must be read with torch 2\.6 or later; got torch 2\.5\.1"):
        TunedLens.load(tmp_path)
    checkpoint(tmp_path, translators(), file="params.safetensors")
    assert len(TunedLens.load(tmp_path).weights) == LAYERS


@pytest.mark.parametrize(
    ("state", "changed", "message"),
    [
        (translators(layers=2), {}, "must hold weight, bias of 3 layers; found no 2.weight"),
        (translators(layers=4), {}, "must hold weight, bias of 3 layers; got 3.weight too"),
        (translators(), {"bias": False}, "must hold weight of 3 layers; got 0.bias too"),
        (translators(bias=False), {}, "must hold weight, bias of 3 layers; found no 0.bias"),
        (translators(), {"d_model": 16}, r"0.weight must be floating-point \(16, 16\); got torch.float32 \(32, 32\)"),
        (translators() | {"1.bias": torch.zeros(32, dtype=torch.int8)}, {}, r"1.bias must be .*; got torch.int8 \(32,\)"),
        (translators(), {"lens_type": "low_rank"}, "lens_type must be linear_tuned_lens; got 'low_rank'"),
        (translators(), {"num_hidden_layers": 0}, "num_hidden_layers must be a positive integer; got 0"),
        (translators(), {"d_model": None}, "d_model must be a positive integer; got None"),
        (translators(), {"bias": "yes"}, "bias must be true or false; got 'yes'"),
        ([torch.zeros(2)], {}, "must hold tensors by name; got list"),
        ({"0.weight": 1}, {}, "must hold tensors by name; got dict"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_contradicts_itself_is_refused(tmp_path, state, changed, message):
    with pytest.raises(InputError, match=message):
        TunedLens.load(checkpoint(tmp_path, state, **changed))


def test_files_that_are_absent_or_something_else_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json: must be the configuration of a tuned lens; found none"):
        TunedLens.load(tmp_path)
    checkpoint(tmp_path, translators())
    (tmp_path / "params.pt").unlink()
    with pytest.raises(InputError, match=r"must hold params\.safetensors or params\.pt; found neither"):
        TunedLens.load(tmp_path)
    for file in ("params.pt", "params.safetensors"):
        (tmp_path / file).write_bytes(b"nothing")
        with pytest.raises(InputError, match=f"{file}: must be a "):
            TunedLens.load(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InputError, match="must be a JSON object; got list"):
        TunedLens.load(tmp_path)


def test_a_lens_for_another_model_is_refused(tmp_path, llama):
    head = LensHead.from_model(llama)
    with pytest.raises(ValueError, match="must be for 3 blocks of width 32; got one for 2 of width 32"):
        TunedLens.load(checkpoint(tmp_path, translators(layers=2), num_hidden_layers=2), head)
    with pytest.raises(ValueError, match="must be for 3 blocks of width 32; got one for 3 of width 16"):
        TunedLens.load(checkpoint(tmp_path, translators(width=16), d_model=16), head)


def test_names_are_compared_without_their_owner_where_both_are_known(tmp_path, llama, monkeypatch):
    head = LensHead.from_model(llama)
    checkpoint(tmp_path, translators())
    for name in ("", "EleutherAI/pythia-160m", "somebody/Pythia-160M", str(tmp_path)):
        monkeypatch.setattr(llama.config, "_name_or_path", name)
        assert TunedLens.load(tmp_path, head).model == "EleutherAI/pythia-160m"
    monkeypatch.setattr(llama.config, "_name_or_path", "EleutherAI/pythia-410m")
    with pytest.raises(ValueError, match="must be for EleutherAI/pythia-410m; got one for EleutherAI/pythia-160m"):
        TunedLens.load(tmp_path, head)


@pytest.mark.parametrize(
    ("states", "layers", "message"),
    [
        (hidden(3), None, r"hidden must be \(4, N, 32\); got \(3, 5, 32\)"),
        (hidden(1)[..., :8], [0], r"hidden must be \(1, N, 32\); got \(1, 5, 8\)"),
        (hidden(1)[0], [0], r"hidden must be \(1, N, 32\); got \(5, 32\)"),
        (hidden(2), [0, 4], "layers must be between 0 and 3; got 4"),
        (hidden(1), [-1], "layers must be between 0 and 3; got -1"),
    ],
)
def test_hidden_states_of_other_shapes_and_layers_are_refused(tmp_path, states, layers, message):
    lens = TunedLens.load(checkpoint(tmp_path, translators()))
    with pytest.raises(ValueError, match=message):
        lens(states, layers)


def test_a_lens_cannot_be_changed(tmp_path):
    lens = TunedLens.load(checkpoint(tmp_path, translators()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        lens.model = "another"


@pytest.mark.parametrize("file", ["params.safetensors", "params.pt"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_saved_folder_gives_back_the_lens(tmp_path, file, bias):
    first = TunedLens.load(checkpoint(tmp_path, translators(bias=bias), bias=bias))
    lens = dataclasses.replace(first, digest="ab" * 32, dtype="float32", fit={"kind": "ridge"})
    folder = lens.save(tmp_path / "saved", file=file)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", file]
    same = TunedLens.load(folder)
    assert all(map(torch.equal, same.weights, lens.weights))
    assert (same.biases is None) == (not bias)
    assert not bias or all(map(torch.equal, same.biases, lens.biases))
    for name in ("model", "revision", "digest", "dtype", "fit"):
        assert getattr(same, name) == getattr(lens, name)


def test_a_folder_that_holds_something_is_not_replaced(tmp_path):
    lens = TunedLens.load(checkpoint(tmp_path, translators()))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"^TunedLens: folder must be a new or an empty folder; got "):
        lens.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    lens = TunedLens.load(checkpoint(tmp_path, translators()))
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        lens.save(tmp_path / "saved", file="params.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "params.pt"]


@pytest.mark.parametrize("changed", [{"head_digest": 3}, {"head_dtype": []}, {"fit": "ridge"}])
def test_what_a_folder_says_of_its_fit_is_checked(tmp_path, changed):
    [name] = changed
    with pytest.raises(InputError, match=rf"config\.json: {name} must be a (str|dict) or null; got "):
        TunedLens.load(checkpoint(tmp_path, translators(), **changed))
