"""A GGUF file is converted once, exactly, and either completely or not at all."""

from __future__ import annotations

import json
import os

import pytest
import torch

from pivotkit.errors import InputError
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import find_model, load_model, load_tokenizer

gguf = pytest.importorskip("gguf", reason="the package gguf is absent")
pytest.importorskip("accelerate", reason="the package accelerate is absent, which transformers reads GGUF with")

BLOCK = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if module in OUTSIDE:
        return f"{OUTSIDE[module]}.{kind}"
    _, _, layer, part = module.split(".", 3)
    return f"blk.{layer}.{BLOCK[part]}.{kind}"


@pytest.fixture(scope="module")
def original(tokenizer):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.3, tie_word_embeddings=False,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def write_gguf(path, original, tokenizer, drop=None, more_tokens=0):
    """The original as GGUF: matrices in Q8_0 where 32 divides their rows, the rest in float32."""
    config = original.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    raw = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    tokens += [f"more{number}" for number in range(more_tokens)]
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL, *[gguf.TokenType.NORMAL] * (len(tokens) - 1)])
    writer.add_token_merges([" ".join(pair) for pair in raw["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, tensor in original.state_dict().items():
        if name == drop:
            continue
        values = tensor.numpy()
        if values.ndim == 2 and values.shape[1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            tensor.copy_(torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)))
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def file(original, tokenizer, tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", original, tokenizer)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVOTKIT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models" / "gguf"


def test_a_gguf_file_gives_the_logits_of_its_dequantized_weights(original, file, cache, tokenizer):
    from transformers import AutoModelForCausalLM

    model, found = load_model(file)
    text = "French: chien\nEnglish:"
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    assert found(text)["input_ids"] == ids[0].tolist()
    direct = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, direct(ids).logits)
        assert torch.allclose(model(ids).logits, original(ids).logits, atol=1e-4)
    assert LensHead.from_model(model).error <= 1e-5


def test_a_file_is_converted_once_and_again_when_it_changes(file, cache, tmp_path, monkeypatch):
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    load_tokenizer(copy)
    [first] = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("pivotkit.lens.model.gguf._convert", lambda *_: pytest.fail("converted again"))
        load_tokenizer(copy)
    os.utime(copy, (0, 0))
    load_tokenizer(copy)
    assert len(list(cache.iterdir())) == 2
    assert {path.suffix for path in first.iterdir()} <= {".json", ".safetensors", ".jinja"}


def test_a_conversion_that_breaks_off_leaves_nothing(file, cache, monkeypatch):
    def killed(file, out):
        out.mkdir()
        (out / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pivotkit.lens.model.gguf._convert", killed)
        with pytest.raises(KeyboardInterrupt):
            load_tokenizer(file)
    assert not list(cache.iterdir())
    assert load_tokenizer(file) is not None


def test_of_two_conversions_at_once_the_first_stands(file, cache, monkeypatch):
    from pivotkit.lens.model import gguf as module

    plain = module._convert

    def overtaken(file, out):
        plain(file, out)
        with monkeypatch.context() as patch:
            patch.setattr(module, "_convert", plain)
            module.converted_folder(file, cache.parent)

    monkeypatch.setattr(module, "_convert", overtaken)
    place = module.converted_folder(file, cache.parent)
    assert [place] == list(cache.iterdir())


def test_a_file_that_is_no_gguf_is_refused_by_name(tmp_path, cache):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but not really" * 10)
    with pytest.raises(InputError, match=r"broken\.gguf: cannot be converted to safetensors"):
        load_model(tmp_path / "broken.gguf")
    assert not list(cache.iterdir())


def test_the_absent_package_is_named(file, cache, monkeypatch):
    monkeypatch.setattr("pivotkit.lens.model.gguf.find_spec", lambda package: None)
    with pytest.raises(
        ValueError, match=r"where gguf and accelerate cannot be imported; .*pip install 'pivotkit\[gguf\]'"
    ):
        load_model(file)


def test_a_folder_stands_for_its_gguf_file_unless_it_has_safetensors(tmp_path):
    file = tmp_path / "model.gguf"
    file.touch()
    (tmp_path / "config.json").touch()
    assert find_model(tmp_path) == str(file)
    (tmp_path / "model.safetensors").touch()
    assert find_model(tmp_path) == str(tmp_path)


def test_a_folder_of_several_gguf_files_is_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.gguf").touch()
    with pytest.raises(
        ValueError, match=r"must be one GGUF file where a folder holds several; got .* with a\.gguf, b\.gguf"
    ):
        load_model(tmp_path)


def data_start(file):
    """Where the tensors of a GGUF file begin."""
    return gguf.GGUFReader(file).data_offset


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.5, 0.8, 0.99])
def test_a_file_that_ends_inside_a_tensor_is_refused_by_file_and_tensor(file, cache, tmp_path, share):
    raw, start = file.read_bytes(), data_start(file)
    place = tmp_path / "cut.gguf"
    end = start + int((len(raw) - start) * share)
    place.write_bytes(raw[:end])
    tensors = gguf.GGUFReader(file).tensors
    first = next(tensor.name for tensor in tensors if tensor.data_offset + tensor.n_bytes > end)
    with pytest.raises(
        InputError, match=rf"cut\.gguf, tensor {first}: must end at byte \d+; the file ends at byte {end}$"
    ):
        load_model(place)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("end", [0, 3, 4, 8, 20, 24, 100, 1000])
def test_a_file_that_ends_inside_its_header_is_refused_by_name(file, cache, tmp_path, end):
    place = tmp_path / "cut.gguf"
    place.write_bytes(file.read_bytes()[:end])
    with pytest.raises(InputError, match=r"cut\.gguf: cannot be converted to safetensors \(") as caught:
        load_tokenizer(place)
    assert "\n" not in str(caught.value)
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.down_proj.weight", "model.norm.weight", "model.layers.0.self_attn.q_proj.bias"]
)
def test_a_file_that_lacks_a_tensor_is_refused_by_its_name(original, tokenizer, cache, tmp_path, name):
    place = write_gguf(tmp_path / "lacking.gguf", original, tokenizer, drop=name)
    with pytest.raises(
        InputError, match=rf"lacking\.gguf, tensor {name}: must be in the file, because the model has it"
    ):
        load_model(place)
    assert not list(cache.iterdir())


def test_a_file_whose_vocabulary_is_not_that_of_its_matrix_is_refused(original, tokenizer, cache, tmp_path):
    place = write_gguf(tmp_path / "wide.gguf", original, tokenizer, more_tokens=8)
    with pytest.raises(InputError, match=r"wide\.gguf, tensor .*(embed_tokens|lm_head)\.weight: must have the shape"):
        load_model(place)
