"""Loading: types, devices, and one clear message for a model that cannot be loaded."""

from __future__ import annotations

import pytest
import torch

from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import load_model


@pytest.fixture(scope="module")
def folder(llama, tokenizer, tmp_path_factory):
    place = tmp_path_factory.mktemp("llama")
    llama.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture
def accelerate():
    return pytest.importorskip("accelerate", reason="the package accelerate is absent, which dispatches models")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_folder_is_loaded_in_the_type_asked_for(folder, dtype):
    model, _ = load_model(folder, dtype=dtype)
    assert model.lm_head.weight.dtype == getattr(torch, dtype)
    assert not model.training


def test_a_dispatched_model_works(folder, llama, accelerate):
    model, _ = load_model(folder, device_map="cpu")
    ids = torch.tensor([[3, 7, 1]])
    mine, truth = (capture(LensHead.from_model(one), ids, [(0, 2)]) for one in (model, llama))
    assert torch.equal(mine, truth)


def test_blocks_may_be_offloaded_where_the_head_is_not(folder, llama, accelerate, tmp_path):
    from transformers import AutoModelForCausalLM

    places = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    places |= {f"model.layers.{layer}": "disk" if layer == 1 else "cpu" for layer in range(3)}
    model = AutoModelForCausalLM.from_pretrained(
        folder, device_map=places, offload_folder=tmp_path, dtype=torch.float32
    )
    assert next(model.model.layers[1].parameters()).device.type == "meta"
    ids = torch.tensor([[3, 7, 1]])
    mine, truth = (capture(LensHead.from_model(one), ids, [(0, 2)]) for one in (model.eval(), llama))
    assert torch.equal(mine, truth)


def test_a_device_beside_a_device_map_is_refused(folder):
    with pytest.raises(ValueError, match="load_model: device must be None where device_map is given; got 'cpu'"):
        load_model(folder, device="cpu", device_map="auto")


def test_an_unknown_type_is_refused(folder):
    with pytest.raises(ValueError, match="load_model: dtype must be one of float32, bfloat16, float16; got 'int8'"):
        load_model(folder, dtype="int8")


def test_a_folder_without_safetensors_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="load_model: model must be a folder, a GGUF file, a name in"):
        load_model(tmp_path)
